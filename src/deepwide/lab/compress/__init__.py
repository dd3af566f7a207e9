"""Smaller models: matrices in 8 or 4 bits, fewer layers, heads and channels, weights that are zero."""

from deepwide.lab.compress.cutting import Kept, cut, strongest
from deepwide.lab.compress.importance import channel_scores, head_scores, layer_losses
from deepwide.lab.compress.latency import Latency, latencies
from deepwide.lab.compress.quantising import Way, checked_way, load_quantised, quantise, stored, unpacked_first
from deepwide.lab.compress.sparsity import make_sparse, multiplied, zeros

__all__ = [
    "Kept",
    "Latency",
    "Way",
    "channel_scores",
    "checked_way",
    "cut",
    "head_scores",
    "latencies",
    "layer_losses",
    "load_quantised",
    "make_sparse",
    "multiplied",
    "quantise",
    "stored",
    "strongest",
    "unpacked_first",
    "zeros",
]
