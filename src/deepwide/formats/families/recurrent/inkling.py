"""Inkling: attention with learned relative positions instead of rotary ones, and short convolutions everywhere.

Two kinds of layers, each with head counts of its own: `hybrid_sliding` look through a window, `hybrid` see all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepwide.architecture.attention import Attention
from deepwide.architecture.composite import Assembly
from deepwide.architecture.experts import Experts
from deepwide.architecture.extras import Convolution, Linear, Operation, Vector
from deepwide.architecture.ffn import FeedForward
from deepwide.architecture.model import Small
from deepwide.architecture.parts import RMS, NormLayer
from deepwide.errors import BadInput
from deepwide.formats.fields import Fields, read
from deepwide.formats.readers.decoder import decoder
from deepwide.formats.readers.layer_lists import Kinds, among, by_index, indices, listed_kinds
from deepwide.formats.readers.layer_patterns import dense_first
from deepwide.formats.readers.layers import DENSE, SPARSE, active_experts, for_kinds

ALL, NEAR, FIRST_ALL, FIRST_NEAR = "hybrid", "hybrid_sliding", "hybrid_first", "hybrid_sliding_first"


def local_or_sixths(c: Fields) -> list[str] | None:
    """Windows in the layers that `local_layer_ids` numbers; else in all but every sixth."""
    chosen = frozenset(indices(c, "local_layer_ids"))
    near = (lambda i: i in chosen) if c("local_layer_ids") is not None else (lambda i: (i + 1) % 6 != 0)
    return among(c, "layer_types", listed_kinds(c, "layer_types", lambda i: NEAR if near(i) else ALL), (NEAR, ALL))


def first_apart(kinds: Kinds) -> Kinds:
    """The same kinds, the first layer named apart: it has no earlier blocks to choose its input from."""

    def named(c: Fields) -> list[str] | None:
        found = kinds(c)
        return [f"{found[0]}_first", *found[1:]] if found else found

    return named


def head_sizes(c: Fields, kind: str) -> tuple[Any, Any, Any]:
    """Heads, key/value heads and the width of a head, of a layer of this kind."""
    names = ("swa_num_attention_heads", "swa_num_key_value_heads", "swa_head_dim")
    near = kind in (NEAR, FIRST_NEAR)
    heads, groups, width = (c.number(n) for n in (names if near else ("heads", "kv_heads", "head_dim")))
    if groups < 1 or heads % groups:
        raise BadInput(f"{c.where}: {heads} heads must be a multiple of {groups} key/value heads in {kind} layers")
    return heads, groups, width


def reach(c: Fields, kind: str) -> Any:
    """How many distances a layer tells apart: those in its window, or `rel_extent`."""
    return c.number("window") if kind in (NEAR, FIRST_NEAR) else c.number("rel_extent")


def scores_by_distance(c: Fields, kind: str) -> tuple[Small, ...]:
    """Scores by distance: `d_rel` numbers for each head, times a table that all heads share."""
    heads, width = head_sizes(c, kind)[0], c.number("d_rel")
    return (
        Linear(name="relative", outputs=heads * width, part="attention", split="column"),
        Vector(name="distances", shape=(width, reach(c, kind)), part="attention"),
        Operation(name="distance_scores", kind="matmul", k=heads * width, n=reach(c, kind)),
    )


def softmax_attention(c: Fields, kind: str, **more: Any) -> Attention:
    """Attention with the heads and the window of a layer of this kind."""
    heads, groups, width = head_sizes(c, kind)
    window = c.number("window") if kind in (NEAR, FIRST_NEAR) else None
    return Attention(heads=heads, kv_heads=groups, head_dim=width, window=window, **more)


def inkling_attention(c: Fields, kind: str) -> Assembly:
    """Inkling's attention: keys and values pass a short convolution each."""
    _, groups, width = head_sizes(c, kind)
    mixes = tuple(short_convolution(c, f"{role}_convolution", groups * width, "attention") for role in ("key", "value"))
    return Assembly(
        parts=(softmax_attention(c, kind, qk_norm=RMS), *scores_by_distance(c, kind), *mixes), name="attention"
    )


def short_convolution(c: Fields, name: str, channels: Any, part: Any = "other") -> Convolution:
    """A causal depthwise convolution."""
    return Convolution(name=name, channels=channels, kernel=c.number("conv_kernel_size"), part=part, causal=True)


def inkling2_attention(c: Fields, kind: str) -> Assembly:
    """Inkling 2's attention: gated, with a sink for each token, and scales where it clips.

    Where a layer sees all, the convolutions' kernels come from the token itself: `dynamic`, per key/value head.
    """
    heads, groups, width = head_sizes(c, kind)
    parts: list[Any] = [softmax_attention(c, kind, gate="width"), *scores_by_distance(c, kind)]
    parts += [
        Linear(name="sink", outputs=heads, part="attention"),
        Vector(name="query_scale", shape=(heads, width), part="attention"),
        Vector(name="distance_scale", shape=(heads, c.number("d_rel")), part="attention"),
    ]
    for role in ("key", "value"):
        if kind in (ALL, FIRST_ALL):
            parts.extend(dynamic_kernel(c, role, groups, width))
        else:
            parts.append(short_convolution(c, f"{role}_convolution", groups * width, "attention"))
    return Assembly(parts=tuple(parts), name="attention")


def dynamic_kernel(c: Fields, role: str, groups: Any, width: Any) -> tuple[Small, ...]:
    """A kernel [kernel, channels], to which each token adds one of its own per head."""
    kernel = c.number("conv_kernel_size")
    return (
        Vector(name=f"{role}_convolution", shape=(kernel, groups * width), part="attention"),
        Linear(name=f"{role}_kernel", outputs=groups * kernel, part="attention"),
    )


def output_convolutions(c: Fields, mixer: str, ffn: str) -> tuple[Small, ...]:
    """A short convolution after the attention and one after the network."""
    hidden = c.number("hidden")
    return (
        short_convolution(c, "attention_output_convolution", hidden),
        short_convolution(c, "ffn_output_convolution", hidden),
    )


def block_choices(c: Fields, mixer: str, ffn: str) -> tuple[Small, ...]:
    """Inkling 2: queries that choose among earlier blocks' outputs, one per input; norms of keys and values apart."""
    hidden, sees_all = c.number("hidden"), mixer in (ALL, FIRST_ALL)
    inputs = 0 if mixer in (FIRST_ALL, FIRST_NEAR) else 3 if sees_all else 1
    queries = tuple(Vector(name=f"attention_input_{i}", shape=(hidden,)) for i in range(inputs))
    norms = tuple(NormLayer(norm=RMS, name=f"{role}_input_norm") for role in ("key", "value")) if sees_all else ()
    return (*queries, Vector(name="ffn_input", shape=(hidden,)), *norms, *output_convolutions(c, mixer, ffn))


def scaled_network(c: Fields, kind: str) -> Assembly:
    """Inkling's dense network, with one scale for all."""
    network = FeedForward(ffn=c.number("dense_intermediate_size", c.number("intermediate_size")))
    return Assembly(parts=(network, Vector(name="scale", shape=(1,), part="ffn")), name="ffn")


def inkling_experts(c: Fields, kind: str) -> Experts:
    """Inkling's experts: the router also weighs the shared ones."""
    number, shared = c.number("experts"), c.number("shared_experts", 0)
    return Experts(
        experts=number,
        active_experts=active_experts(c, number),
        ffn=c.number("expert_ffn"),
        router_outputs=number + shared,
        shared=FeedForward(ffn=c.number("expert_ffn"), name="shared") if shared else None,
        shared_copies=shared,
    )


def router_scale(c: Fields, mixer: str, ffn: str) -> tuple[Small, ...]:
    """Inkling: one scale for all of a router's choices, and the convolutions after both branches."""
    scale = (Vector(name="router_scale", shape=(1,), part="router"),) if ffn == SPARSE else ()
    return (*scale, *output_convolutions(c, mixer, ffn))


def expert_width(c: Fields) -> Any:
    """Inkling: where the dense width is named apart, the plain one is that of an expert."""
    return c("moe_intermediate_size" if c("dense_intermediate_size") is None else "intermediate_size")


COMMON = {
    "reader": decoder,
    "positions": "relative",
    "embedding_norm": True,
    "window": read("sliding_window", "sliding_window_size"),
    "conv_kernel_size": read("sconv_kernel_size", "conv_kernel_size"),
    "experts": read("num_local_experts", "n_routed_experts"),
    "tied": False,
}

FAMILIES: dict[str, Mapping[str, Any]] = {
    "inkling_text": {
        **COMMON,
        "expert_ffn": expert_width,
        "mixers": {ALL: inkling_attention, NEAR: inkling_attention},
        "mixer_kinds": local_or_sixths,
        "ffns": {DENSE: scaled_network, SPARSE: inkling_experts},
        "ffn_kinds": dense_first("dense_mlp_idx", otherwise=0),
        "layer_extra": for_kinds(router_scale),
    },
    "inkling2_text": {
        **COMMON,
        "expert_ffn": read("intermediate_size", "moe_intermediate_size"),
        "mixers": dict.fromkeys((ALL, NEAR, FIRST_ALL, FIRST_NEAR), inkling2_attention),
        "mixer_kinds": first_apart(local_or_sixths),
        "ffn_kinds": lambda c: by_index(c, lambda i: SPARSE),
        "layer_extra": for_kinds(block_choices),
        "after": lambda c: (Vector(name="final_input", shape=(c.number("hidden"),)),),
    },
}
