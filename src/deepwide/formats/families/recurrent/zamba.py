"""Zamba: state spaces, and one transformer block, or a few, met again and again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from deepwide.architecture.extras import Linear, Vector
from deepwide.architecture.model import Architecture, Branch, Run
from deepwide.architecture.parts import RMS, NormLayer
from deepwide.architecture.rows import Part
from deepwide.formats.families.recurrent.hybrids import MAMBA_FIELDS
from deepwide.formats.fields import Fields, read
from deepwide.formats.readers.decoder import decoder
from deepwide.formats.readers.layer_patterns import Pick, attention_where
from deepwide.formats.readers.layers import DENSE, LINEAR, attention, feed_forward
from deepwide.formats.readers.recurrent_mixers import mamba, mamba2, no_ffn

HYBRID = "hybrid"


def zamba(c: Fields) -> Architecture:
    """State spaces, and in the hybrid layers a transformer block before them whose weights all these layers share.

    The block reads the hidden state beside the embedding, twice the width (arXiv:2405.16712); what it gives goes
    through a projection of the layer's own.
    """
    model, kinds = decoder(c), c("mixer_kinds") or []
    hybrids, distinct = kinds.count(HYBRID), list(dict.fromkeys(kinds))
    if not hybrids:
        return model
    stack, at = model.main, distinct.index(HYBRID)
    runs = (*stack.runs[:at], _with_block(c, stack.runs[at]), *stack.runs[at + 1 :])
    return replace(model, stacks=(replace(stack, runs=runs, after=(*stack.after, *_idle_adapters(c, hybrids))),))


def _with_block(c: Fields, run: Run) -> Run:
    """The hybrid layers with the shared block before their own mixer, and the projection of what it gives."""
    hidden, width = c.number("hidden"), _block_width(c)
    owned = min(_blocks(c), run.layers) if c.flag("tied") else run.layers
    mixer = replace(attention(c), inputs=width, outputs=hidden)
    block = (
        Branch(body=mixer, extra=(NormLayer(norm=RMS, width=width),), owned=owned),
        Branch(body=feed_forward(c), before=RMS, owned=owned),
    )
    extra = (Linear(name="block_output", part="attention"), *_adapters(c))
    return replace(run, layer=replace(run.layer, branches=(*block, *run.layer.branches), extra=extra))


def _blocks(c: Fields) -> int:
    """Transformer blocks with weights of their own, which the hybrid layers take in turn."""
    return max(1, int(c.number("shared_blocks", 1)))


def _block_width(c: Fields) -> Any:
    """What the shared block reads: hidden state and embedding side by side, unless given."""
    return c.number("block_width", 0) or 2 * c.number("hidden")


def _adapters(c: Fields) -> tuple[Linear, ...]:
    """Zamba 2: low-rank additions to the shared weights, of each layer's own."""
    rank, hidden, width = c.maybe("adapter_rank"), c.number("hidden"), _block_width(c)
    if rank is None:
        return ()
    pairs: list[tuple[Part, str, Any, Any]] = [("ffn", "gate_up", hidden, 2 * c.number("ffn", 4 * hidden))]
    if c.flag("use_shared_attention_adapter"):
        pairs += [("attention", role, width, width) for role in ("query", "key", "value")]
    return tuple(
        Linear(name=f"{role}_adapter_{way}", inputs=inputs, outputs=outputs, part=part)
        for part, role, wide, out in pairs
        for way, inputs, outputs in (("down", wide, rank), ("up", rank, out))
    )


def _idle_adapters(c: Fields, hybrids: int) -> tuple[Vector, ...]:
    """A block holds the adapters of all layers that take it; in a config that unties the blocks, most are never met."""
    adapters = _adapters(c)
    if c.flag("tied") or not adapters:
        return ()
    taken = [len(range(block, hybrids, _blocks(c))) for block in range(min(_blocks(c), hybrids))]
    idle = sum(layers * layers for layers in taken) - hybrids
    return tuple(Vector(name=f"idle_{a.name}", shape=(idle, a.inputs or 0, a.outputs or 0)) for a in adapters)


def zamba_hybrids(c: Fields) -> Pick:
    """Zamba: the third layer, and from the fourth on one in every period."""
    every, at = c.positive("attn_layer_period", 6), c.number("attn_layer_offset", 4)
    return lambda i: i == 2 or (i > 2 and (i - 3) % every == at)


def zamba2_hybrids(c: Fields) -> Pick:
    """Zamba 2: every sixth layer of the first 43, then the 48th and the 52nd."""
    return lambda i: i in (47, 51) or (0 < i < 43 and i % 6 == 0)


def doubled_head(c: Fields) -> Any:
    """Zamba: heads of twice the hidden size, divided among them."""
    given, heads = c.raw("attention_head_dim"), c.number("heads")
    return given if isinstance(given, int) and given else 2 * c.number("hidden") // max(heads, 1)


ZAMBA = {
    "reader": zamba,
    **MAMBA_FIELDS,
    "layer_types": read("layers_block_type", "layer_types"),
    "block_width": read("attention_hidden_size"),
    "head_dim": doubled_head,
    "ffns": {DENSE: no_ffn},
}

FAMILIES: dict[str, Mapping[str, Any]] = {
    "zamba": {
        **ZAMBA,
        "step_rank": read("mamba_dt_rank"),
        "positions": "none",
        "mixers": {LINEAR: mamba, HYBRID: mamba},
        "mixer_kinds": attention_where(zamba_hybrids, LINEAR, HYBRID),
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
        "mixer_kinds": attention_where(zamba2_hybrids, LINEAR, HYBRID),
    },
}
