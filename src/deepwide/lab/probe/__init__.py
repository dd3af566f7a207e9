"""Looking into a model from outside, through hooks and functions of its weights; the network knows nothing of it."""

from deepwide.lab.probe.attention import HeadMap, attention_maps
from deepwide.lab.probe.descent import PlainDescent
from deepwide.lab.probe.gradients import LayerGradient, gradient_norms
from deepwide.lab.probe.memories import Memory, Trigger, memories
from deepwide.lab.probe.ntk import kernel, most_rows, projected
from deepwide.lab.probe.similarity import Likeness, likeness
from deepwide.lab.probe.variants import attention_alone, with_weights_of, without_skips

__all__ = [
    "HeadMap",
    "LayerGradient",
    "Likeness",
    "Memory",
    "PlainDescent",
    "Trigger",
    "attention_alone",
    "attention_maps",
    "gradient_norms",
    "kernel",
    "likeness",
    "memories",
    "most_rows",
    "projected",
    "with_weights_of",
    "without_skips",
]
