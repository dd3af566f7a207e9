"""Models that read bytes and think on something shorter: Perceiver on latents, BLT on patches of bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from deepwide.architecture.attention import Attention
from deepwide.architecture.composite import Assembly
from deepwide.architecture.extras import Linear, Table, Vector
from deepwide.architecture.ffn import FeedForward
from deepwide.architecture.model import Architecture, Branch, Layer, Run, Stack
from deepwide.architecture.parts import LAYER, RMS, Head, NormLayer, Positions, TokenEmbedding
from deepwide.errors import BadInput
from deepwide.formats.families.decoders.dense import NO_BIASES, hidden_over_heads
from deepwide.formats.fields import Fields
from deepwide.formats.readers.assembled import assembled
from deepwide.formats.readers.decoder import decoder_stack
from deepwide.formats.readers.inner_configs import Inner, nested
from deepwide.formats.readers.layers import attention_heads, kv_heads

# ---- Perceiver (arXiv:2107.14795), the model of bytes with a masked-language head

READ_OUT_HEADS, READ_OUT_KEYS = 8, 256  # of the attention from the outputs to the latents (PerceiverForMaskedLM)


def perceiver(c: Fields) -> Architecture:
    """Latents attend to the bytes, then to themselves, and a query for each output attends to the latents."""
    named = c.text("architecture")
    if named and not named.endswith("ForMaskedLM"):
        raise BadInput(f"{c.where}: {named} is not described; ask for PerceiverForMaskedLM")
    width, latent, context = c.number("d_model"), c.number("d_latents"), c.number("context")
    queries = Vector(name="queries", shape=(context, width), part="position")
    read_out = attention_across(
        c, READ_OUT_HEADS, READ_OUT_KEYS, width, to="latents", keys_width=latent, rows=c.number("num_latents")
    )
    answers = perceiver_layer(read_out, 1, width, "read_out")
    return assembled(
        c,
        latent_stack(c, latent, width),
        Stack(name="encoder", hidden=width, runs=(answers,), before=(queries,), causal=False),
        embedding=(TokenEmbedding(vocab=c.number("vocab")), Positions(kind="learned", rows=context)),
        head=(Head(vocab=c.number("vocab"), tied=True, bias=True),),
        context=context,
    )


def latent_stack(c: Fields, latent: Any, width: Any) -> Stack:
    """The latents: one layer that attends to the bytes, and blocks of layers that share their weights."""
    keys, values = c.maybe("qk_channels"), c.maybe("v_channels")
    shape = c.text("cross_attention_shape_for_attention", "kv")
    if shape not in ("q", "kv"):
        raise BadInput(f"{c.where}: cross_attention_shape_for_attention={shape[:40]!r} must be q or kv")
    own = latent if keys is None else keys
    across = width if keys is None and shape == "kv" else own
    reading = attention_across(
        c, c.number("num_cross_attention_heads"), across, values or across, to="encoder", keys_width=width
    )
    looking = attention_across(c, c.number("num_self_attention_heads"), own, values or own, keys_width=latent)
    layers, blocks = c.number("num_self_attends_per_block"), c.number("num_blocks")
    run = perceiver_layer(looking, c.number("self_attention_widening_factor"), latent, "latent")
    return Stack(
        name="latents",
        hidden=latent,
        runs=(
            perceiver_layer(reading, c.number("cross_attention_widening_factor"), latent, "reading"),
            replace(run, layers=layers * blocks, shared=True, owned=layers),
        ),
        before=(Vector(name="latents", shape=(c.number("num_latents"), latent)),),
        causal=False,
        tokens=c.number("num_latents"),
    )


def attention_across(
    c: Fields, heads: Any, keys: Any, values: Any, *, keys_width: Any, to: str = "", rows: Any = None
) -> Attention:
    """Attention with so many channels of keys and of values, across to the stack `to` where it is given."""
    if heads < 1 or keys % heads or values % heads:
        raise BadInput(f"{c.where}: {heads} heads do not divide {keys} channels of queries and {values} of values")
    return Attention(
        heads=heads,
        kv_heads=heads,
        head_dim=keys // heads,
        value_dim=values // heads,
        bias="qkvo",
        keys=to,
        keys_width=keys_width,
        key_rows=rows,
        outputs=None if to else values,
    )


def perceiver_layer(mixer: Attention, widening: Any, width: Any, name: str) -> Run:
    """A layer: attention with a norm of the queries, and of the keys where they are another stack's, and a network."""
    keys = (NormLayer(norm=LAYER, name="key_norm", width=mixer.keys_width),) if mixer.keys else ()
    network = FeedForward(ffn=widening * width, gated=False, bias=True, activation="gelu")
    branches = (Branch(body=mixer, before=LAYER, extra=keys), Branch(body=network, before=LAYER))
    return Run(layer=Layer(branches=branches), layers=1, name=name)


# ---- the Byte Latent Transformer (arXiv:2412.09871)


def byte_latent(c: Fields) -> Architecture:
    """A small model cuts the bytes in patches; an encoder of bytes, a large model of patches, a decoder of bytes."""
    encoder = inner_fields(c, "encoder", {"window": c.maybe("local_attention_window_len")})
    patches, decodes = inner_fields(c, "global"), inner_fields(c, "decoder")
    c.notes.append("as many patches as bytes are taken, unless the number of tokens of `patches` and `global` is given")
    stacks = (*patcher(c), *byte_encoder(c, encoder), global_model(c, encoder, patches, decodes), byte_decoder(decodes))
    output = Head(vocab=c.number("vocab"), tied=c.flag("tied"), tied_to="encoder.tokens")
    return assembled(c, *stacks, head=(output,))


def inner_fields(c: Fields, name: str, changes: Mapping[str, Any] | None = None) -> Fields:
    """The fields of one of its models; the user's own changes are for the large one."""
    return nested(c, f"{name}_config", Inner(f"blt_{MODELS[name]}"), c.changes if name == "global" else changes)


def patcher(c: Fields) -> tuple[Stack, ...]:
    """The model whose entropy says where a patch ends, where it belongs to the class; it is not trained along."""
    if not c.flag("patch_in_forward", True):
        return ()
    own = inner_fields(c, "patcher")
    stack, vocab = decoder_stack(own, "patcher"), own.number("vocab")
    head = Linear(name="head", outputs=vocab, part="head", split="vocabulary")
    return (replace(stack, before=(TokenEmbedding(vocab=vocab),), after=(*stack.after, head)),)


def byte_encoder(c: Fields, own: Fields) -> tuple[Stack, ...]:
    """The encoder of bytes, with vectors for hashes of the last few; and the patches, which attend to its output."""
    hidden, sizes = own.number("hidden"), c.listed("encoder_hash_byte_group_size") or HASHED
    functions = c.number("encoder_hash_byte_group_nb_functions", 1) * len(sizes)
    hashes = Table(name="hashes", rows=c.number("encoder_hash_byte_group_vocab") * functions, width=hidden)
    layers = own.number("layers") if own.flag("cross_attn_all_layers") else 1
    across = Layer(branches=(Branch(body=across_to(own, "encoder"), before=RMS),))
    pooled = Linear(name="pooled", outputs=hidden * own.number("cross_attn_k"))
    return (
        replace(decoder_stack(own, "encoder"), before=(TokenEmbedding(vocab=own.number("vocab")), hashes)),
        Stack(name="patches", hidden=hidden, runs=(Run(layer=across, layers=layers),), before=(pooled,), causal=False),
    )


def global_model(c: Fields, below: Fields, own: Fields, above: Fields) -> Stack:
    """The large model, from the width of the patches to that of the decoder's keys."""
    width, hidden = below.number("hidden") * c.number("cross_attn_k"), own.number("hidden")
    before = (Linear(name="from_patches", inputs=width),) if width != hidden else ()
    outputs = above.number("hidden") * above.number("cross_attn_k")
    after = Linear(name="to_bytes", inputs=above.number("hidden_size_global"), outputs=outputs)
    return replace(decoder_stack(own, "global"), before=before, after=(after,))


def byte_decoder(own: Fields) -> Stack:
    """The decoder of bytes, whose layers (all, or the first) also attend to the patches."""
    looking = replace(own, rule={**own.rule, "cross": lambda c: across_to(c, "global")})
    layers, stack = own.number("layers"), decoder_stack(own, "decoder")
    (first,), (plain,) = decoder_stack(looking, "decoder").runs, stack.runs
    if own.flag("cross_attn_all_layers", True):
        return replace(stack, runs=(first,))
    rest = (replace(plain, layers=layers - 1, name="rest"),) if layers > 1 else ()
    return replace(stack, runs=(replace(first, layers=1, name="first"), *rest))


def across_to(c: Fields, stack: str) -> Assembly:
    """Attention to another stack's tokens, with a norm of its own for them."""
    heads, head_dim = attention_heads(c)
    groups = kv_heads(c, heads)
    mixer = Attention(heads=heads, kv_heads=groups, head_dim=head_dim, keys=stack, keys_width=c.number("hidden"))
    return Assembly(parts=(mixer, NormLayer(norm=RMS, name="key_norm")), name="cross_attention")


def two_thirds_of_four(c: Fields) -> Any:
    """The width that gives a gated network the weights of a plain one four times as wide."""
    return c("intermediate_size") or int(8 * c.number("hidden") / 3)


MODELS = {
    "patcher": "patcher",
    "encoder": "local_encoder",
    "global": "global_transformer",
    "decoder": "local_decoder",
}
HASHED = (3, 4, 5, 6, 7, 8)  # numbers of bytes hashed together where the config does not say (BltConfig)
BLT: dict[str, Any] = {
    "like": "llama",
    **NO_BIASES,
    "head_dim": hidden_over_heads,
    "kv_heads": lambda c: c("num_key_value_heads") or c("heads"),
    "ffn": two_thirds_of_four,
    "final_norm": True,
}

FAMILIES: dict[str, Mapping[str, Any]] = {
    "perceiver": {"reader": perceiver},
    "blt": {"reader": byte_latent},
    "blt_patcher": {**BLT, "window_everywhere": True},
    "blt_local_encoder": {**BLT, "window_everywhere": True, "final_norm": False},
    "blt_global_transformer": {**BLT, "final_norm": False},
    "blt_local_decoder": BLT,
}
