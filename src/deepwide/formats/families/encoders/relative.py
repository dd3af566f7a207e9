"""Encoders whose scores depend on how far tokens stand apart, by tables of their own: DeBERTa, Funnel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from deepwide.architecture.composite import Assembly
from deepwide.architecture.extras import Convolution, Linear, Operation, Table, Vector
from deepwide.architecture.model import Body, Run, Small
from deepwide.architecture.parts import LAYER, NormLayer
from deepwide.errors import BadInput
from deepwide.formats.families.encoders.bert import PLAIN, shared_out
from deepwide.formats.fields import Fields, read, says
from deepwide.formats.readers.encoder import stack_name
from deepwide.formats.readers.layers import FULL, attention, attention_heads


def relative_kinds(c: Fields) -> frozenset[str]:
    """Which scores are added: content to position (c2p), position to content (p2c); none without relative attention."""
    kinds = c("pos_att_type") or ()
    if isinstance(kinds, str):
        kinds = [word.strip() for word in kinds.lower().split("|")]
    if not isinstance(kinds, list | tuple):
        raise BadInput(f"{c.where}: pos_att_type={kinds!r} must be a list such as ['c2p', 'p2c']")
    return frozenset(str(kind) for kind in kinds) if c.flag("relative_attention") else frozenset()


def relative_rows(c: Fields) -> Any:
    """Rows of the table of relative positions: as many to the left as to the right."""
    for name in ("position_buckets", "max_relative_positions"):
        given = c(name)
        if isinstance(given, int) and given > 0:
            return 2 * c.checked(name, given)
    return 2 * c.number("context")


def relative_table(c: Fields) -> tuple[Small, ...]:
    """The vectors of relative positions [rows, hidden], one table for all layers."""
    if not c.flag("relative_attention"):
        return ()
    return (Table(name="relative", rows=relative_rows(c), part="position"),)


def relative_table_v2(c: Fields) -> tuple[Small, ...]:
    """The table, its norm, and the convolution [hidden, hidden / groups, kernel] beside the first layer."""
    parts = list(relative_table(c))
    if "layer_norm" in [word.strip() for word in c.text("norm_rel_ebd").lower().split("|")]:
        parts.append(NormLayer(norm=LAYER, name="relative_norm"))
    kernel = c.number("conv_kernel_size", 0)
    if kernel:
        convolution = Convolution(
            name="convolution",
            channels=c.number("hidden"),
            kernel=kernel,
            inputs_per_group=shared_out(c, "conv_groups", "hidden"),
            groups=c.number("conv_groups", 1),
            bias=True,
            part="other",
        )
        parts += [convolution, NormLayer(norm=LAYER, name="convolution_norm")]
    return tuple(parts)


def disentangled(c: Fields, kind: str) -> Body:
    """DeBERTa: one projection of positions for each kind of score, and the scores of every token with every distance.

    At fewer tokens than `max_relative_positions` the original reads a part of the table; counted is all of it.
    """
    body, kinds = attention(c, kind), relative_kinds(c)
    parts: list[Small] = []
    if "c2p" in kinds:
        parts += _position_scores(c, "key", Linear(name="position_key"))
    if "p2c" in kinds:
        parts += _position_scores(c, "query", Linear(name="position_query", bias=True))
    if c.flag("talking_head"):
        for role in ("logits", "weights"):
            parts.append(Vector(name=f"head_{role}", shape=(c.number("heads"),) * 2, part="attention"))
            parts.append(Operation(name=f"head_{role}", kind="attention", k=c.number("heads") ** 2))
    return Assembly(parts=(body, *parts), name="attention")


def disentangled_v2(c: Fields, kind: str) -> Body:
    """DeBERTa-v2: the projections of positions may be those of the content."""
    kinds, shared = relative_kinds(c), c.flag("share_att_key") and c.flag("relative_attention")
    parts: list[Small] = []
    for role, name in (("key", "c2p"), ("query", "p2c")):
        if shared:
            matrix = Linear(name=f"position_{role}", tied=f"{stack_name(c)}.attention.{role}")
        else:
            matrix = Linear(name=f"position_{role}", bias=True)
        if shared or name in kinds:
            parts += _position_scores(c, role, matrix)[: 2 if name in kinds else 1]
    return Assembly(parts=(attention(c, kind), *parts), name="attention")


def _position_scores(c: Fields, role: str, matrix: Linear) -> list[Small]:
    rows, hidden = relative_rows(c), c.number("hidden")
    scores = Operation(name=f"{role}_scores", kind="attention", k=hidden, key_rows=rows)
    return [replace(matrix, part="attention", rows=rows, once=True), scores]


def filling_heads(c: Fields) -> Any:
    """The width of a head; heads must fill the hidden size, because the output projection expects it."""
    heads, hidden = c.number("heads"), c.number("hidden")
    given = c("attention_head_size")
    if given is None or heads * c.checked("attention_head_size", given) == hidden:
        return c.divided("hidden", "heads")
    raise BadInput(f"{c.where}: attention_head_size={given} times {heads} heads must give hidden_size={hidden}")


def funnel_blocks(c: Fields) -> tuple[list[int], list[int]]:
    """Layers in each block, and how often each block's weights run."""
    sizes = [c.checked("block_sizes", n) for n in c.listed("block_sizes")]
    repeats = [c.checked("block_repeats", n) for n in c.listed("block_repeats") or [1] * len(sizes)]
    if not sizes or len(sizes) != len(repeats):
        raise BadInput(f"{c.where}: block_sizes={sizes} and block_repeats={repeats} must be lists of the same length")
    return sizes, repeats


def funnel_runs(c: Fields, runs: tuple[Run, ...]) -> tuple[Run, ...]:
    """Blocks whose weights run several times."""
    sizes, repeats = funnel_blocks(c)
    c.notes.append("operations are counted as if no block pooled its tokens")
    extra = sum(size * (times - 1) for size, times in zip(sizes, repeats, strict=True))
    if not extra:
        return runs
    (run,) = runs
    return (replace(run, layers=run.layers + extra, shared=True, owned=run.layers),)


def relative_attention(c: Fields, kind: str) -> Body:
    """Scores with positions and segments beside those with the content; distances run over twice the tokens."""
    heads, head_dim = attention_heads(c)
    width = heads * head_dim
    roles, shape = ("word", "distance", "segment"), (heads, head_dim)
    parts: tuple[Small, ...] = (
        *(Vector(name=f"{role}_bias", shape=shape, part="attention") for role in roles),
        Vector(name="segments", shape=(2, heads, head_dim), part="attention"),
        Linear(name="distance", outputs=width, part="attention", split="column"),
        Operation(name="distance_scores", kind="attention", k=2 * width),
        Operation(name="segment_scores", kind="attention", k=width, key_rows=2),
    )
    return Assembly(parts=(attention(c, kind), *parts), name="attention")


DEBERTA = {
    **PLAIN,
    "attention_bias": "qvo",
    "embedding_width": read("embedding_size"),
    "positions": says("position_biased_input", "learned", "relative", otherwise=True),
    "embedding_extra": relative_table,
    "projected_before_norm": True,
    "projection_bias": False,
    "mixers": {FULL: disentangled},
    "head_width": lambda c: c("embedding_size") if c.flag("legacy", True) else None,
    "tied": lambda c: c.flag("tie_word_embeddings") or not c.flag("legacy", True),
}

FAMILIES: dict[str, Mapping[str, Any]] = {
    "deberta": DEBERTA,
    "deberta-v2": {
        **DEBERTA,
        "head_dim": filling_heads,
        "attention_bias": "qkvo",
        "embedding_extra": relative_table_v2,
        "mixers": {FULL: disentangled_v2},
    },
    "funnel": {
        **PLAIN,
        "layers": lambda c: sum(funnel_blocks(c)[0]) + c.number("num_decoder_layers", 0),
        "runs": funnel_runs,
        "head_dim": read("d_head"),
        "attention_bias": "kvo",
        "ffn": read("d_inner"),
        "positions": "relative",
        "types": 0,
        "mixers": {FULL: relative_attention},
        "head_transform": False,
        "spare_bias": False,
    },
}
