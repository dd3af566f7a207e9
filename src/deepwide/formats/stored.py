"""A ledger from nothing but stored tensors: exact totals, with parts told by the names of the tensors.

This serves files that come without a description of the model, and models built by transformers as a fallback.
Tensors of equal layers are gathered into one row.
"""

from __future__ import annotations

import re
from collections import Counter

from deepwide.architecture.ledger import Ledger
from deepwide.architecture.rows import Op, Part, Weight
from deepwide.formats.tensors import Container, is_parameter

# The first rule that matches the name of a tensor says which part of a model it belongs to.
PARTS: tuple[tuple[str, Part], ...] = (
    (r"norm|\bln_|layernorm|\.ln\d?\.|_ln\.", "norm"),
    (r"router|mlp\.gate\.|ffn_gate_inp|gate\.wg", "router"),
    (r"wpe|position|pos_emb|relative_attention_bias", "position"),
    (r"^(output|head)\.|lm_head|embed_out", "head"),
    (r"embed|wte|token_type|shared\.weight", "embedding"),
    (r"mamba|mixer|ssm|linear_attn|conv", "recurrent"),
    (r"attn|attention|[qkvo]_proj|\.att\.", "attention"),
    (r"mlp|ffn|feed_forward|fc\d|expert|dense_h_to|dense_4h", "ffn"),
)
LOOKED_UP = ("embedding", "position")


def stored_ledger(container: Container) -> Ledger:
    """Weights and the matrix products they imply. Nothing is known of attention scores or caches."""
    shapes = Counter((_starred(t.name), t.shape) for t in container.tensors if is_parameter(t))
    weights = tuple(
        Weight(name=name, part=part_of(name), role=_role(name), shape=shape, repeat=repeat)
        for (name, shape), repeat in shapes.items()
    )
    return Ledger(weights=weights, ops=tuple(_product(w) for w in weights if _multiplied(w)), caches=())


def part_of(name: str) -> Part:
    """The part of a model that a tensor belongs to, by its name."""
    lower = name.lower()
    return next((part for pattern, part in PARTS if re.search(pattern, lower)), "other")


def _starred(name: str) -> str:
    """The name with the number of its layer (and expert) replaced by a star."""
    return re.sub(r"(?<=\.)\d+(?=\.)", "*", name)


def _role(name: str) -> str:
    words = name.split(".")
    return words[-2] if len(words) > 1 and words[-1] in ("weight", "bias") else words[-1]


def _multiplied(w: Weight) -> bool:
    return len(w.shape) == 2 and w.part not in LOOKED_UP


def _product(w: Weight) -> Op:
    return Op(
        kind="matmul", name=w.name, part=w.part, k=w.shape[1], n=w.shape[0], repeat=w.repeat, weight=w.name
    )
