"""Decoders that mix attention with state spaces, linear attention or short convolutions.

Jamba, Bamba, Falcon-H1, Granite 4, Nemotron-H, Zamba; Qwen3-Next and 3.5, OLMo hybrid, Kimi Linear, Ling 3, MiniMax;
LFM2, RecurrentGemma.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from deepwide.architecture.ffn import Experts, FeedForward
from deepwide.architecture.linear import LightningAttention
from deepwide.architecture.model import Architecture, Beside, Branch, Run, Small
from deepwide.architecture.parts import RMS, Linear, NormLayer
from deepwide.architecture.recurrent import GatedRecurrence
from deepwide.errors import BadInput
from deepwide.formats.families.dense import biased
from deepwide.formats.families.latent import MLA
from deepwide.formats.fields import Fields, read
from deepwide.formats.readers.decoder import decoder
from deepwide.formats.readers.layers import (
    DENSE,
    FULL,
    LINEAR,
    SLIDING,
    SPARSE,
    attention,
    attention_heads,
    experts,
    feed_forward,
    listed_kinds,
)
from deepwide.formats.readers.patterns import Kinds, among, by_index, dense_first, every_step, for_kinds, sparse_where, step
from deepwide.formats.readers.states import (
    divides,
    gated_convolution,
    gated_delta,
    kimi_delta,
    mamba,
    mamba2,
    no_ffn,
)
from deepwide.formats.readers.text import text_model

CONV, HYBRID, MOE, MLP = "conv", "hybrid", "moe", "mlp"
LETTERS = {"M": LINEAR, "E": MOE, "*": FULL, "-": MLP}  # Nemotron-H's layers as letters of a word


def mixed(rule: Callable[[Fields], Callable[[int], bool]], *others: str, name: str = "layer_types") -> Kinds:
    """Attention in the layers that `rule` picks and the family's other mixer elsewhere, unless the config lists them."""
    known = (others[0], FULL, *others[1:])

    def kinds(c: Fields) -> list[str] | None:
        picks = (lambda i: True) if c.listed(name) else rule(c)
        return among(c, name, listed_kinds(c, name, lambda i: FULL if picks(i) else known[0]), known)

    return kinds


def last_of(name: str, period: int) -> Callable[[Fields], Callable[[int], bool]]:
    """The last of every so many layers: the config's number, else `period`."""

    def rule(c: Fields) -> Callable[[int], bool]:
        every = step(c, name, period)
        return lambda i: (i + 1) % every == 0

    return rule


def among_indices(name: str, otherwise: bool = False) -> Callable[[Fields], Callable[[int], bool]]:
    """The layers that the config numbers under `name`; all or none where it does not."""

    def rule(c: Fields) -> Callable[[int], bool]:
        if c(name) is None:
            return lambda i: otherwise
        chosen = frozenset(i for i in c.listed(name) if type(i) is int)
        return lambda i: i in chosen

    return rule


def offset_in(period: str, offset: str) -> Callable[[Fields], Callable[[int], bool]]:
    """One layer in every period, at an offset that must lie inside it."""

    def rule(c: Fields) -> Callable[[int], bool]:
        every, at = step(c, period, 1), c.number(offset)
        if at >= every:
            raise BadInput(f"{c.where}: {offset}={at} must be below {period}={every}")
        return lambda i: bool(i % every == at)

    return rule


def where_experts(rule: Callable[[Fields], Callable[[int], bool]], least: int = 1) -> Kinds:
    """Experts in the layers that `rule` picks, if there are at least so many of them."""

    def kinds(c: Fields) -> list[str] | None:
        picks = rule(c) if c.number("experts", 0) >= least else lambda i: False
        return by_index(c, lambda i: SPARSE if picks(i) else DENSE)

    return kinds


def everywhere(c: Fields) -> Callable[[int], bool]:
    """Every layer."""
    return lambda i: True


# --- state spaces beside attention


def both(c: Fields, kind: str) -> Beside:
    """Falcon-H1: attention and a state space side by side in every layer."""
    return Beside(mixers=(attention(c), mamba2(c)))


def shared_network(c: Fields, kind: str) -> FeedForward:
    """Granite 4 without experts: the shared network is all there is."""
    return replace(feed_forward(c), ffn=c.number("shared_ffn"), name="shared")


def lettered(c: Fields) -> list[str] | None:
    """Nemotron-H: one mixer or one network per layer, as listed or as letters of a word."""
    return among(c, "layers_block_type", _lettered(c), tuple(LETTERS.values()))


def _lettered(c: Fields) -> list[str]:
    word, listed = c("hybrid_override_pattern"), c.listed("layer_types")
    if listed:
        return [str(kind) for kind in listed]
    return [LETTERS.get(letter, letter) for letter in word] if isinstance(word, str) else list(LETTERS.values())


def latent_experts(c: Fields, kind: str) -> Experts:
    """Nemotron-H: experts, which may work in a narrower space than the stream."""
    return replace(experts(c), width=c.maybe("moe_latent_size"))


def latent_projections(c: Fields, mixer: str, ffn: str) -> tuple[Small, ...]:
    """Nemotron-H: the way into the experts' space and back."""
    width, bias = c.maybe("moe_latent_size"), c.flag("ffn_bias")
    if mixer != MOE or width is None:
        return ()
    return (
        Linear(name="latent_down", outputs=width, bias=bias, part="ffn"),
        Linear(name="latent_up", inputs=width, bias=bias, part="ffn"),
    )


# --- Zamba: one transformer block, or a few, met again and again


def zamba(c: Fields) -> Architecture:
    """State spaces, and in the hybrid layers a transformer block before them whose weights all these layers share.

    The block reads the hidden state beside the embedding, twice the width (arXiv:2405.16712); what it gives goes
    through a projection of the layer's own.
    """
    model = decoder(c)
    kinds = list(dict.fromkeys(c("mixer_kinds") or ()))
    runs = tuple(
        _with_block(c, run) if kind == HYBRID else run for run, kind in zip(model.main.runs, kinds, strict=False)
    )
    return replace(model, stacks=(replace(model.main, runs=runs or model.main.runs),))


def _with_block(c: Fields, run: Run) -> Run:
    hidden, owned = c.number("hidden"), min(c.number("shared_blocks", 1), run.layers)
    width = c.number("block_width", 0) or 2 * hidden
    mixer = replace(attention(c), inputs=width, outputs=hidden)
    block = (
        Branch(body=mixer, extra=(NormLayer(norm=RMS, width=width),), owned=owned),
        Branch(body=feed_forward(c), before=RMS, owned=owned),
    )
    extra = (Linear(name="block_output", part="attention"), *_adapters(c, width))
    return replace(run, layer=replace(run.layer, branches=(*block, *run.layer.branches), extra=extra))


def _adapters(c: Fields, width: Any) -> tuple[Linear, ...]:
    """Zamba 2: low-rank additions to the shared weights, of each layer's own."""
    rank = c.maybe("adapter_rank")
    if rank is None:
        return ()
    pairs: list[tuple[str, Any, Any]] = [("gate_up", c.number("hidden"), 2 * c.number("ffn", 4 * c.number("hidden")))]
    if c.flag("use_shared_attention_adapter"):
        pairs += [(role, width, width) for role in ("query", "key", "value")]
    return tuple(
        Linear(name=f"{role}_adapter_{way}", inputs=inputs, outputs=outputs, part="ffn" if role == "gate_up" else "attention")
        for role, wide, out in pairs
        for way, inputs, outputs in (("down", wide, rank), ("up", rank, out))
    )


def zamba_hybrids(c: Fields) -> Callable[[int], bool]:
    """Zamba: the third layer, and from the fourth on one in every period."""
    every, at = step(c, "attn_layer_period", 6), c.number("attn_layer_offset", 4)
    return lambda i: i == 2 or i > 2 and (i - 3) % every == at


def zamba2_hybrids(c: Fields) -> Callable[[int], bool]:
    """Zamba 2: every sixth layer of the first 43, then the 48th and the 52nd."""
    return lambda i: i in (47, 51) or 0 < i < 43 and i % 6 == 0


def hybrid_where(rule: Callable[[Fields], Callable[[int], bool]]) -> Kinds:
    """Zamba's layers: state spaces, with the shared block where `rule` picks."""

    def kinds(c: Fields) -> list[str] | None:
        picks = (lambda i: True) if c.listed("layer_types") else rule(c)
        found = listed_kinds(c, "layer_types", lambda i: HYBRID if picks(i) else LINEAR)
        return among(c, "layer_types", found, (LINEAR, HYBRID))

    return kinds


def doubled_head(c: Fields) -> Any:
    """Zamba: heads of twice the hidden size, divided among them."""
    given, heads = c.raw("attention_head_dim"), c.number("heads")
    return given if isinstance(given, int) and given else 2 * c.number("hidden") // max(heads, 1)


# --- linear attention beside attention


def lightning(c: Fields, kind: str) -> LightningAttention:
    """MiniMax's lightning attention, with the heads of its softmax attention."""
    heads, head_dim = attention_heads(c)
    return LightningAttention(heads=heads, head_dim=head_dim, block=max(1, c.number("block_size", 256)))


def fourths(c: Fields) -> Callable[[int], bool]:
    """OLMo hybrid: the last of every four layers; of fewer than four, the last."""
    layers = c.number("layers")
    return lambda i: i % 4 == 3 or layers < 4 and i == layers - 1


def olmo_key_dim(c: Fields) -> Any:
    """OLMo hybrid: keys that fill three quarters of the hidden size, unless given."""
    given, heads = c.raw("linear_key_head_dim"), c.number("linear_key_heads")
    return given if isinstance(given, int) else 3 * c.number("hidden") // (4 * max(heads, 1))


def kimi_attention(c: Fields) -> Callable[[int], bool]:
    """Kimi Linear: the layers numbered from 1 in `full_attn_layers`; else every fourth after the first."""
    own = c("linear_attn_config")
    if isinstance(own, Mapping) and "full_attn_layers" in own and "kda_layers" in own:
        chosen = c.inside("linear_attn_config", {}).listed("full_attn_layers")
        return lambda i: i + 1 in chosen
    return lambda i: i > 0 and i % 4 == 0


def kimi_own(name: str, otherwise: str) -> Callable[[Fields], Any]:
    """A field of Kimi Linear's own table for linear attention, or the flat one."""

    def chosen(c: Fields) -> Any:
        own = c("linear_attn_config")
        return own[name] if isinstance(own, Mapping) and name in own else c.raw(otherwise)

    return chosen


# --- recurrences and short convolutions


def recurrence(c: Fields, kind: str) -> GatedRecurrence:
    """RecurrentGemma's recurrent unit, as wide as the hidden size unless given."""
    width = c.number("lru_width", c.number("hidden"))
    return GatedRecurrence(inner=width, heads=divides(c, "heads", width, "width of the unit"), kernel=c.number("kernel"))


def windowed(c: Fields, kind: str) -> Any:
    """RecurrentGemma's attention: always through a window."""
    return attention(c, SLIDING)


def repeated_blocks(c: Fields) -> list[str] | None:
    """RecurrentGemma: a short list of block types, repeated; everything but "recurrent" is attention."""
    types = c.listed("block_types")
    if not types:
        raise BadInput(f"{c.where}: block_types must list at least one type")
    return by_index(c, lambda i: LINEAR if types[i % len(types)] == "recurrent" else FULL)


def adjusted_ffn(c: Fields) -> Any:
    """LFM2: two thirds of the width given, times a factor, rounded up to a multiple."""
    given = c.raw("block_ff_dim")
    width = c.checked("block_ff_dim", given) if isinstance(given, int | float) else c.number("intermediate_size")
    if not c.flag("block_auto_adjust_ff_dim", True):
        return width
    width, scale, multiple = 2 * width // 3, c.raw("block_ffn_dim_multiplier"), c.number("block_multiple_of", 256)
    if isinstance(scale, int | float) and 0 < scale < 1000:
        width, multiple = int(scale * width), max(multiple, 1)
        width = (width + multiple - 1) // multiple * multiple
    return width


def gated(c: Fields) -> str:
    """LFM3: one number per head scales what its attention gives, unless switched off."""
    return "head" if c.flag("use_attention_gate", True) else ""


QKVO = biased("attention_bias", "qkvo")
MAMBA_FIELDS = {
    "expand": read("mamba_expand"),
    "state": read("mamba_d_state"),
    "kernel": read("mamba_d_conv"),
    "state_bias": read("mamba_proj_bias"),
    "conv_bias": read("mamba_conv_bias"),
}
MAMBA2_FIELDS = {
    **MAMBA_FIELDS,
    "state_heads": read("mamba_n_heads"),
    "state_head_dim": read("mamba_d_head"),
    "groups": read("mamba_n_groups"),
    "chunk": read("mamba_chunk_size"),
}
DELTA_FIELDS = {
    "linear_key_heads": read("linear_num_key_heads"),
    "linear_value_heads": read("linear_num_value_heads"),
    "linear_key_dim": read("linear_key_head_dim"),
    "linear_value_dim": read("linear_value_head_dim"),
    "kernel": read("linear_conv_kernel_dim"),
}
QWEN = {
    "reader": decoder,
    **DELTA_FIELDS,
    "attention_bias": biased("attention_bias", "qkvog"),
    "attention_gate": "width",
    "qk_norm": True,
    "mixers": {LINEAR: gated_delta},
    "mixer_kinds": mixed(last_of("full_attention_interval", 4), LINEAR),
}
KIMI = {
    **MLA,
    "mixers": {**MLA["mixers"], LINEAR: kimi_delta},
    "active_experts": read("num_experts_per_token", "num_experts_per_tok"),
    "kernel": read("linear_conv_kernel_dim"),
    "tied": False,
}
LFM = {
    "reader": decoder,
    "layer_types": read("layer_types"),
    "kernel": read("conv_L_cache"),
    "qk_norm": True,
    "tied": read("tie_embedding", "tie_word_embeddings"),
    "mixers": {CONV: gated_convolution},
}
ZAMBA = {
    "reader": zamba,
    **MAMBA_FIELDS,
    "layer_types": read("layers_block_type", "layer_types"),
    "block_width": read("attention_hidden_size"),
    "head_dim": doubled_head,
    "ffns": {DENSE: no_ffn},
}

FAMILIES: dict[str, Mapping[str, Any]] = {
    "jamba": {
        "reader": decoder,
        **MAMBA_FIELDS,
        "positions": "none",
        "step_rank": read("mamba_dt_rank"),
        "inner_norm": True,
        "expert_ffn": read("intermediate_size"),
        "mixers": {LINEAR: mamba},
        "mixer_kinds": mixed(offset_in("attn_layer_period", "attn_layer_offset"), LINEAR, name=""),
        "ffn_kinds": where_experts(offset_in("expert_layer_period", "expert_layer_offset"), least=2),
    },
    "bamba": {
        "reader": decoder,
        **MAMBA2_FIELDS,
        "attention_bias": QKVO,
        "ffn_bias": read("mlp_bias"),
        "mixers": {LINEAR: mamba2},
        "mixer_kinds": mixed(among_indices("attn_layer_indices"), LINEAR, name=""),
    },
    "falcon_h1": {
        "reader": decoder,
        **MAMBA2_FIELDS,
        "inner": read("mamba_d_ssm"),
        "inner_norm": read("mamba_rms_norm", otherwise=False),
        "state_output_bias": read("projectors_bias", otherwise=False),
        "attention_bias": QKVO,
        "ffn_bias": read("mlp_bias"),
        "mixers": {FULL: both},
    },
    "granitemoehybrid": {
        "reader": decoder,
        **MAMBA2_FIELDS,
        "layer_types": read("layer_types", "layers_block_type"),
        "attention_bias": QKVO,
        "expert_ffn": read("intermediate_size"),
        "shared_ffn": read("shared_intermediate_size"),
        "mixers": {LINEAR: mamba2},
        "mixer_kinds": mixed(among_indices(""), LINEAR),
        "ffns": {DENSE: shared_network},
        "ffn_kinds": where_experts(everywhere),
    },
    "nemotron_h": {
        "reader": decoder,
        "layers": lambda c: len(_lettered(c)),
        "inner": lambda c: c.number("state_heads") * c.number("mamba_head_dim"),
        "state": read("ssm_state_size"),
        "state_heads": read("mamba_num_heads"),
        "groups": read("mamba_n_groups", "n_groups"),
        "kernel": read("mamba_d_conv", "conv_kernel"),
        "chunk": read("mamba_chunk_size", "chunk_size"),
        "state_bias": read("use_bias"),
        "conv_bias": read("mamba_conv_bias", "use_conv_bias"),
        "layer_types": read("layers_block_type", "layer_types"),
        "head_dim": read("head_dim"),
        "positions": "none",
        "gated": False,
        "ffn_bias": read("mlp_bias"),
        "shared_ffn": read("moe_shared_expert_intermediate_size"),
        "tied": False,
        "mixers": {LINEAR: mamba2, MOE: latent_experts, MLP: feed_forward},
        "mixer_kinds": lettered,
        "ffns": {DENSE: no_ffn},
        "layer_extra": for_kinds(latent_projections),
    },
    "zamba": {
        **ZAMBA,
        "step_rank": read("mamba_dt_rank"),
        "positions": "none",
        "mixers": {LINEAR: mamba, HYBRID: mamba},
        "mixer_kinds": hybrid_where(zamba_hybrids),
    },
    "zamba2": {
        **ZAMBA,
        "state_heads": read("n_mamba_heads"),
        "groups": read("mamba_ngroups"),
        "chunk": read("chunk_size"),
        "state_bias": read("add_bias_linear"),
        "conv_bias": True,
        "ffn_bias": read("add_bias_linear"),
        "shared_blocks": read("num_mem_blocks"),
        "mixers": {LINEAR: mamba2, HYBRID: mamba2},
        "mixer_kinds": hybrid_where(zamba2_hybrids),
    },
    "qwen3_next": {
        **QWEN,
        "shared_ffn": read("shared_expert_intermediate_size"),
        "shared_gate": True,
        "ffn_kinds": where_experts(every_step),
    },
    "qwen3_5_text": QWEN,
    "qwen3_5_moe_text": {"like": "qwen3_next", "ffn_kinds": where_experts(everywhere, least=0)},
    "qwen3_5": {"reader": text_model("qwen3_5_text")},
    "qwen3_5_moe": {"reader": text_model("qwen3_5_moe_text")},
    "olmo_hybrid": {
        "reader": decoder,
        **DELTA_FIELDS,
        "linear_key_heads": lambda c: c("linear_num_key_heads", c("heads")),
        "linear_value_heads": lambda c: c("linear_num_value_heads", c("heads")),
        "linear_key_dim": olmo_key_dim,
        "linear_value_dim": lambda c: c("linear_value_head_dim", 2 * c.number("linear_key_dim")),
        "attention_bias": QKVO,
        "qk_norm": True,
        "qk_norm_over": "width",
        "norms": {LINEAR: "pre", FULL: "after"},
        "mixers": {LINEAR: gated_delta},
        "mixer_kinds": mixed(fourths, LINEAR),
    },
    "kimi_linear": {
        **KIMI,
        "linear_heads": kimi_own("num_heads", "linear_num_heads"),
        "linear_head_dim": kimi_own("head_dim", "linear_head_dim"),
        "kernel": kimi_own("short_conv_kernel_size", "linear_conv_kernel_dim"),
        "narrow_gates": True,
        "mixer_kinds": mixed(kimi_attention, LINEAR),
        "ffn_kinds": dense_first("first_k_dense_replace"),
    },
    "bailing_hybrid": {
        **KIMI,
        "query_rank": None,
        "latent_gate": "head",
        "linear_heads": read("linear_num_heads", "num_attention_heads"),
        "linear_head_dim": read("linear_head_dim", "head_dim"),
        "kernel": read("linear_conv_kernel_dim", "short_conv_kernel_size"),
        "mixer_kinds": mixed(last_of("layer_group_size", 6), LINEAR),
        "ffn_kinds": dense_first("first_k_dense_replace", otherwise=2),
    },
    "minimax": {
        "reader": decoder,
        "expert_ffn": read("intermediate_size"),
        "mixers": {LINEAR: lightning},
        "mixer_kinds": mixed(lambda c: lambda i: i % 2 == 0, LINEAR),
        "ffn_kinds": where_experts(everywhere, least=0),
    },
    "lfm2": {
        **LFM,
        "ffn": adjusted_ffn,
        "mixer_kinds": mixed(among_indices("full_attn_idxs", otherwise=True), CONV),
    },
    "lfm2_moe": {
        **LFM,
        "mixer_kinds": mixed(among_indices("full_attn_idxs", otherwise=True), CONV),
        "ffn_kinds": sparse_where(lambda c: lambda i: bool(i >= c.number("num_dense_layers", 2))),
    },
    "lfm3": {
        **LFM,
        "attention_bias": QKVO,
        "attention_gate": gated,
        "norms": lambda c: "sandwich" if c.flag("use_sandwich_norm", True) else "pre",
        "mixer_kinds": lambda c: among(
            c,
            "layer_types",
            listed_kinds(c, "layer_types", lambda i: FULL if i % 4 == 2 else SLIDING if i and i % 4 == 0 else CONV),
            (CONV, FULL, SLIDING),
        ),
    },
    "recurrent_gemma": {
        "reader": decoder,
        "attention_bias": lambda c: "qkvo" if c.raw("attention_bias") is True else "o",
        "head_dim": read("head_dim"),
        "ffn": lambda c: c.number("intermediate_size") // 2,
        "ffn_bias": True,
        "window": read("attention_window_size"),
        "kernel": read("conv1d_width"),
        "mixers": {LINEAR: recurrence, FULL: windowed},
        "mixer_kinds": repeated_blocks,
    },
}
