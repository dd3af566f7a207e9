"""How each family's class in transformers is written, where that decides what is kept for the backward pass.

Two classes of the same mathematics keep different tensors: one casts its softmax to float32, one projects queries,
keys and values with a single matrix and keeps views of it. A family that is not listed is written like Llama.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """What differs from Llama's class.

    `rms_norm` and `layer_norm` say how norms are spelled (see `activation_tape`); `float32_softmax` and
    `float32_loss` whether scores and logits are raised to float32 (None: logits are, where a decoder stands alone);
    `fused_qkv` whether one matrix makes queries, keys and values.
    `rotary_parts` is the head's width over the part that turns; a head turned in part is put together anew.
    `capped_scores`, `capped_logits`: tanh keeps its output. `mask_kept`: each checkpoint keeps the mask of scores.
    `drops` are the places that have a dropout: embedding, scores, output (of a branch), inner (of the FFN), final.
    `position_rows` says how often the indices of learned positions are kept: once per sequence of the batch
    ("batch"), once for all ("row"), or not at all where they are a buffer ("").
    """

    rms_norm: str = "llama"
    layer_norm: str = "kernel"
    float32_softmax: bool = True
    float32_loss: bool | None = None
    fused_qkv: bool = False
    rotary_parts: int = 1
    rotary_joins: bool = False
    capped_scores: bool = False
    capped_logits: bool = False
    mask_kept: bool = False
    drops: tuple[str, ...] = ("embedding", "scores", "output")
    position_rows: str = "row"
    gated_gelu: str = "gelu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropout:
    """Which dropouts are switched on while training: a rate of zero keeps nothing."""

    embedding: bool = False
    scores: bool = False
    output: bool = False
    inner: bool = False
    final: bool = False


NO_DROPOUT = Dropout()
LLAMA = Habit(drops=("scores",))
BERT = Habit(float32_softmax=False, position_rows="")
GEMMA = replace(LLAMA, rms_norm="gemma")
GPT2 = Habit(float32_softmax=False, fused_qkv=True, mask_kept=True)
NEOX = Habit(fused_qkv=True, rotary_parts=4, rotary_joins=True)
T5 = Habit(
    rms_norm="t5",
    float32_softmax=False,
    mask_kept=True,
    drops=("embedding", "scores", "output", "inner", "final"),
    gated_gelu="gelu_new",
)

HABITS: Mapping[str, Habit] = {
    "bert": BERT,
    "gemma": GEMMA,
    "gemma2": replace(GEMMA, capped_scores=True, capped_logits=True),
    "gpt2": GPT2,
    "gpt_neox": NEOX,
    "opt": Habit(drops=("scores", "output"), position_rows="batch"),
    "t5": T5,
}

# The fields of configs that give the rate of each dropout, the one that wins first.
RATES: Mapping[str, tuple[str, ...]] = {
    "embedding": ("embd_pdrop", "embedding_dropout", "hidden_dropout_prob", "hidden_dropout", "dropout_rate", "dropout"),
    "scores": ("attn_pdrop", "attention_probs_dropout_prob", "attention_dropout", "dropout_rate"),
    "output": ("resid_pdrop", "hidden_dropout_prob", "hidden_dropout", "dropout_rate", "dropout"),
    "inner": ("activation_dropout", "dropout_rate"),
    "final": ("dropout_rate",),
}


def habit(family: str) -> Habit:
    """How a family's class is written."""
    return HABITS.get(family, LLAMA)


def dropout(config: Mapping[str, Any]) -> Dropout:
    """The dropouts that a config switches on; what it leaves out is answered by its class."""
    from deepwide.formats.huggingface import defaults

    family = str(config.get("model_type", ""))
    known = {**defaults().get(family, {}), **config}
    places = habit(family).drops
    return Dropout(**{place: place in places and _rate(known, place) > 0 for place in RATES})


def _rate(config: Mapping[str, Any], place: str) -> float:
    values = (config[name] for name in RATES[place] if name in config)
    return next((v for v in values if isinstance(v, int | float)), 0.0)
