"""Shorthand: a model in one line, `like=llama,layers=32,hidden=4096`, or a known one changed, `llama-3-8b,layers=48`.

What is left out follows a stated rule, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from deepwide.architecture.model import Architecture, Small, Stack
from deepwide.architecture.parts import TokenEmbedding
from deepwide.errors import BadInput, did_you_mean
from deepwide.units import parse_count

SIZES = (
    "layers",
    "hidden",
    "heads",
    "kv_heads",
    "head_dim",
    "ffn",
    "vocab",
    "context",
    "window",
    "experts",
    "active_experts",
    "expert_ffn",
    "shared_experts",
)
CHOICES = {
    "positions": ("rotary", "learned", "sinusoidal", "alibi", "none"),
    "norm": ("rms", "layer", "layer_no_bias"),
    "norms": ("pre", "post", "sandwich", "after", "parallel"),
    "activation": ("silu", "gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "relu2", "tanh"),
}
OF_SCORES = ("rotary", "alibi")  # positions that act on the scores of attention and nowhere else
ABLATIONS = ("no_residual", "no_norm", "shared_qkv")
FLAGS: dict[str, tuple[str, bool]] = {
    "tied": ("tied", True),
    "untied": ("tied", False),
    "gated": ("gated", True),
    "plain": ("gated", False),
    "qk_norm": ("qk_norm", True),
    "no_qk_norm": ("qk_norm", False),
    "biased": ("biased", True),
    "unbiased": ("biased", False),
    **{name: (name, True) for name in ABLATIONS},
}
HEAD_DIM = 128  # the commonest head width among published decoders of 1B parameters and more
FFN_MULTIPLE = 256  # Llama's own rounding of 8/3 hidden (arXiv:2302.13971, reference code)


def parse(text: str) -> tuple[str, dict[str, Any]]:
    """The first word (a model, or nothing) and the changes of a MODEL given in one line.

    >>> parse("llama-3-8b,layers=48")
    ('llama-3-8b', {'layers': 48})
    >>> parse("like=llama,layers=2,hidden=256,tied")
    ('', {'like': 'llama', 'layers': 2, 'hidden': 256, 'tied': True})
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    base = words.pop(0) if words and "=" not in words[0] and words[0] not in FLAGS else ""
    changes: dict[str, Any] = {}
    for word in words:
        name, value = _change(word)
        changes[name] = value
    return base, changes


def _change(word: str) -> tuple[str, Any]:
    name, sign, value = (part.strip() for part in word.partition("="))
    if not sign and name in FLAGS:
        return FLAGS[name]
    if name == "like":
        return name, value
    if name in CHOICES:
        if value not in CHOICES[name]:
            known = CHOICES[name]
            raise BadInput(f"{name}={value}: no such choice{did_you_mean(value, known)}; known: {', '.join(known)}")
        return name, value
    if name not in SIZES or not sign:
        known = (*SIZES, "like", *CHOICES, *FLAGS)
        raise BadInput(f"{word!r} is not a change{did_you_mean(name, known)}; known: {', '.join(known)}")
    size = parse_count(value, name)
    if size < 0 or (size == 0 and name in ("layers", "hidden", "heads", "kv_heads", "head_dim", "vocab")):
        raise BadInput(f"{name}={value} must be at least 1")
    return name, size


def refuse_unused(changes: Mapping[str, Any], read: Callable[..., Architecture]) -> None:
    """Refuses a choice that the family has no part for: with it the model is as without it, whatever the choice is.

    `read` makes the architecture of some changes. A choice that merely says what the family does anyway passes.
    """
    if changes.get("positions") in OF_SCORES and not _attends(read(changes=changes)):
        raise BadInput(f"positions={changes['positions']} act on attention, and this model has none; leave it out")
    for name in (*CHOICES, *dict.fromkeys(field for field, _ in FLAGS.values())):
        if name not in changes or name in ABLATIONS:
            continue
        values = (None, changes[name], *(v for v in CHOICES.get(name, (True, False)) if v != changes[name]))
        if len({_told_apart(changes, name, value, read) for value in values[:2]}) > 1:
            continue
        if len({_told_apart(changes, name, value, read) for value in values}) == 1:
            word = f"{name}={changes[name]}" if name in CHOICES else _flag(name, changes[name])
            raise BadInput(
                f"{word} changes nothing in this model, which has no part that it could change; leave it out"
            )


def _attends(architecture: Architecture) -> bool:
    from deepwide.architecture.ledger import lower

    return any(op.kind == "attention" for op in lower(architecture).ops)


def _flag(name: str, value: bool) -> str:
    return next(word for word, said in FLAGS.items() if said == (name, value))


def _told_apart(
    changes: Mapping[str, Any], name: str, value: Any, read: Callable[..., Architecture]
) -> Architecture | str:
    """The model with this value of a choice, or without the choice where it is None; or why there is none."""
    others = {n: v for n, v in changes.items() if n != name and n not in ABLATIONS}
    try:
        return replace(read(changes=others if value is None else {**others, name: value}), notes=())
    except BadInput as refusal:
        return str(refusal)


def single_layer(text: str) -> Architecture | None:
    """One layer by itself, `linear=768x3072` (y = xW + b) or `embedding=50000x768`; None for anything else."""
    kind, _, shape = text.partition("=")
    if kind not in ("linear", "embedding"):
        return None
    from deepwide.architecture.extras import Linear

    sizes = shape.lower().replace("×", "x").split("x")
    if len(sizes) != 2:
        raise BadInput(f"{text!r}: write two sizes, for instance linear=768x3072 or embedding=50000x768")
    first, second = (parse_count(size, kind) for size in sizes)
    if first < 1 or second < 1:
        raise BadInput(f"{text!r}: both sizes must be at least 1")
    part: Small = Linear(name="linear", outputs=second, bias=True) if kind == "linear" else TokenEmbedding(vocab=first)
    hidden, vocab = (first, 0) if kind == "linear" else (second, first)
    stack = Stack(name="layer", hidden=hidden, runs=(), before=(part,))
    return Architecture(name=text, family=kind, vocab=vocab, stacks=(stack,))


def completed(changes: Mapping[str, Any], gated: bool) -> tuple[dict[str, Any], list[str]]:
    """A shape from nothing but shorthand: heads of 128 and an FFN of 8/3 (gated) or 4 hidden where left out."""
    shape, notes = dict(changes), []
    for name in ("layers", "hidden"):
        if name not in shape:
            raise BadInput(f"{name} is missing; write for instance like=llama,layers=32,hidden=4096")
    if "heads" not in shape:
        head_dim = shape.get("head_dim") or min(HEAD_DIM, shape["hidden"])
        if shape["hidden"] % head_dim:
            raise BadInput(
                f"hidden={shape['hidden']} is not a multiple of head_dim={head_dim}; give heads and head_dim"
            )
        shape["heads"] = shape["hidden"] // head_dim
        notes.append(f"heads={shape['heads']} assumed: hidden / {head_dim}")
    if "kv_heads" not in shape:
        shape["kv_heads"] = shape["heads"]
    if "head_dim" not in shape and shape["heads"] and shape["hidden"] % shape["heads"] == 0:
        shape["head_dim"] = shape["hidden"] // shape["heads"]
    if "ffn" not in shape:
        shape["ffn"] = ffn_for(shape["hidden"]) if shape.get("gated", gated) else 4 * shape["hidden"]
        rule = f"8/3 hidden, rounded up to {FFN_MULTIPLE}" if shape.get("gated", gated) else "4 hidden"
        notes.append(f"ffn={shape['ffn']} assumed: {rule}")
    return shape, notes


def ffn_for(hidden: int) -> int:
    """The usual width of a gated network: 8/3 hidden, up to the next multiple of 256.

    >>> ffn_for(4096)
    11008
    """
    return -(-8 * hidden // (3 * FFN_MULTIPLE)) * FFN_MULTIPLE


def carried(changes: Mapping[str, Any], base: Mapping[str, int]) -> tuple[dict[str, Any], list[str]]:
    """A known model with changes: when its width changes, heads and FFN follow in the model's own proportions.

    `base` holds the model's own hidden, heads, kv_heads, head_dim, ffn and expert_ffn; 0 where it has none.
    """
    shape, notes = dict(changes), []
    hidden = shape.get("hidden", base["hidden"])
    if hidden != base["hidden"] and "heads" not in shape:
        head_dim = shape.get("head_dim", base["head_dim"])
        if hidden % head_dim == 0:
            shape["heads"], shape["head_dim"] = hidden // head_dim, head_dim
            notes.append(f"heads={shape['heads']} follow the width: {head_dim} each, as in the model")
        elif hidden % base["heads"] == 0:
            shape["head_dim"] = hidden // base["heads"]
            notes.append(f"heads={base['heads']} are kept, so head_dim becomes {shape['head_dim']}")
    if "heads" in shape and "head_dim" not in shape and hidden % shape["heads"] == 0:
        shape["head_dim"] = hidden // shape["heads"]
    heads = shape.get("heads", base["heads"])
    if heads != base["heads"] and "kv_heads" not in shape:
        shape["kv_heads"] = _groups(heads, base["heads"] // max(1, base["kv_heads"]), base["kv_heads"])
        notes.append(f"kv_heads={shape['kv_heads']} follow the heads")
    for name in ("ffn", "expert_ffn"):
        if hidden != base["hidden"] and name not in shape and base.get(name):
            shape[name] = in_proportion(base[name], hidden, base["hidden"])
            notes.append(
                f"{name}={shape[name]} follows the width: {base[name] / base['hidden']:.3g} hidden, as in the model"
            )
    return shape, notes


def in_proportion(width: int, hidden: int, usual: int) -> int:
    """The width of a network at another hidden size than its `usual` one: the same share of it, in steps of 64."""
    return max(1, round(width * hidden / usual / 64)) * 64


def _groups(heads: int, per_group: int, base_groups: int) -> int:
    """KV heads for a new number of heads: the model's own number if it divides, else the same group size, else all."""
    if base_groups > 1 and heads % base_groups == 0:
        return base_groups
    return heads // per_group if heads % per_group == 0 else heads
