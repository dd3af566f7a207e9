"""Encoders that save work inside a layer: bottlenecks, groups, convolutions, a Fourier transform for attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepwide.architecture.attention import Attention
from deepwide.architecture.composite import Assembly
from deepwide.architecture.extras import Convolution, Linear, Operation, Vector
from deepwide.architecture.ffn import FeedForward
from deepwide.architecture.model import Body, Small
from deepwide.architecture.parts import LAYER, NormLayer
from deepwide.errors import BadInput
from deepwide.formats.families.encoders.bert import BERT, PLAIN, shared_out
from deepwide.formats.fields import Fields, read
from deepwide.formats.readers.encoder import pooler
from deepwide.formats.readers.layers import DENSE, FULL, attention_heads

MOST_NETWORKS = 1000  # a layer's own networks are listed one by one


def inner_width(c: Fields) -> Any:
    """MobileBERT: the width inside a layer, that of the bottleneck, where there is one."""
    return c.number("intra_bottleneck_size" if c.flag("use_bottleneck") else "hidden")


def bottleneck(name: str, inputs: Any, outputs: Any, used: bool = True) -> tuple[Small, ...]:
    """MobileBERT: a projection and its norm; an unused one is there, and no token passes it."""
    return (
        Linear(name=name, inputs=inputs, outputs=outputs, bias=True, part="other", rows=None if used else 0),
        NormLayer(norm=LAYER, name=f"{name}_norm", width=outputs),
    )


def bottlenecked_attention(c: Fields, kind: str) -> Body:
    """MobileBERT: attention in the bottleneck; its values come from the full width unless they share it."""
    width, heads, hidden = inner_width(c), c.number("heads"), c.number("hidden")
    if not heads or width % heads:
        raise BadInput(f"{c.where}: {c.spelled('heads')}={heads} does not divide the width {width} of the bottleneck")
    body = Attention(
        heads=heads,
        kv_heads=heads,
        head_dim=width // heads,
        bias="qkvo",
        inputs=width,
        outputs=width,
        value_width=width if c.flag("use_bottleneck_attention") else hidden,
    )
    parts: list[Small] = [NormLayer(norm=LAYER, width=width)]
    if c.flag("use_bottleneck"):
        parts += bottleneck("input_bottleneck", hidden, width)
        if c.flag("key_query_shared_bottleneck"):
            parts += bottleneck("query_bottleneck", hidden, width, used=not c.flag("use_bottleneck_attention"))
    return Assembly(parts=(body, *parts), name="attention")


def stacked_networks(c: Fields, kind: str) -> Body:
    """MobileBERT: several small networks one after the other, each with its norm, and the way back to full width."""
    width, number = inner_width(c), c.positive("num_feedforward_networks", 4)
    if number > MOST_NETWORKS:
        raise BadInput(f"{c.where}: num_feedforward_networks={number} must be at most {MOST_NETWORKS}")
    body = FeedForward(ffn=c.number("ffn"), gated=False, bias=True, activation=c.text("activation"), inputs=width)
    norm = NormLayer(norm=LAYER, width=width)
    networks = [Assembly(parts=(body, norm), name=str(i)) for i in range(number)]
    back = bottleneck("output_bottleneck", width, c.number("hidden")) if c.flag("use_bottleneck") else ()
    return Assembly(parts=(*networks, *back), name="ffn")


def trigram(c: Fields) -> Any:
    """MobileBERT: three neighbouring token vectors make one of the full width."""
    return c.number("embedding_size") * (3 if c.flag("trigram_input") else 1)


def full_width(c: Fields) -> Any:
    """The hidden size, where other encoders have that of the token table."""
    return c.number("hidden")


def mobile_head(c: Fields) -> tuple[Small, ...]:
    """MobileBERT: the rest of the output matrix, beside the part that is the narrow token table."""
    rest = c.number("hidden") - c.number("embedding_size")
    if rest < 0:
        raise BadInput(f"{c.where}: embedding_size must not exceed hidden_size={c.number('hidden')}")
    return (Linear(name="output_rest", inputs=rest, outputs=c.number("vocab"), part="head"),)


def grouped_attention(c: Fields, kind: str) -> Body:
    """SqueezeBERT: projections in groups, each reading its share of the hidden size."""
    heads, head_dim = attention_heads(c)
    body = Attention(
        heads=heads,
        kv_heads=heads,
        head_dim=head_dim,
        bias="qkv",
        inputs=shared_out(c, "q_groups", "hidden"),
        keys_width=shared_out(c, "k_groups", "hidden"),
        value_width=shared_out(c, "v_groups", "hidden"),
        outputs=shared_out(c, "post_attention_groups", "hidden"),
    )
    bias = Vector(name="output.bias", shape=(c.number("hidden"),), part="attention")
    return Assembly(parts=(body, bias), name="attention")


def grouped_network(up: str, down: str) -> Any:
    """A network whose two matrices are cut into groups, as many as these fields say."""

    def network(c: Fields, kind: str) -> Body:
        hidden, ffn = c.number("hidden"), c.number("ffn")
        for groups in (up, down):
            shared_out(c, groups, "ffn")
        body = FeedForward(
            ffn=ffn,
            gated=False,
            activation=c.text("activation", "gelu"),
            inputs=shared_out(c, up, "hidden"),
            outputs=shared_out(c, down, "hidden"),
        )
        biases = (Vector(name=f"{role}.bias", shape=(n,), part="ffn") for role, n in (("up", ffn), ("down", hidden)))
        return Assembly(parts=(body, *biases), name="ffn")

    return network


def convolved_attention(c: Fields, kind: str) -> Body:
    """ConvBERT: half of the width attends, half is convolved with kernels made from each token (arXiv:2008.02496).

    convolution [hidden, kernel], key_convolution [hidden, width], kernel [width, heads * kernel], output in two halves
    """
    hidden, width, heads = c.number("hidden"), *convbert_halves(c)
    kernel = c.number("conv_kernel_size")
    body = Attention(heads=heads, kv_heads=heads, head_dim=width // heads, bias="qkvo")
    parts: tuple[Small, ...] = (
        Convolution(name="convolution", channels=hidden, kernel=kernel, part="attention"),
        Linear(name="key_convolution", outputs=width, bias=True, part="attention"),
        Linear(name="kernel", inputs=width, outputs=heads * kernel, bias=True, part="attention"),
        Linear(name="convolved", outputs=width, bias=True, part="attention"),
        Operation(name="convolved", kind="conv", k=kernel, n=width),
        Linear(name="output_convolved", inputs=width, part="attention"),
    )
    return Assembly(parts=(body, *parts), name="attention")


def convbert_halves(c: Fields) -> tuple[Any, Any]:
    """ConvBERT: the width of the attending half, and its heads: fewer by `head_ratio`."""
    ratio, hidden = c.positive("head_ratio", 2), c.number("hidden")
    heads = c.number("heads") // ratio or 1
    if hidden % (2 * heads):
        raise BadInput(f"{c.where}: {c.spelled('hidden')}={hidden} must be a multiple of 2 * {heads} heads")
    return hidden // 2, heads


def fourier(c: Fields, kind: str) -> Body:
    """FNet: a Fourier transform over tokens and channels mixes them, without a weight (arXiv:2105.03824)."""
    return Assembly(parts=(), name="fourier")


def fourier_projection(c: Fields) -> tuple[Small, ...]:
    """FNet's projection after the embedding, at equal widths too."""
    return (Linear(name="projection", bias=True, part="embedding"),)


def equal_widths(c: Fields) -> None:
    """SqueezeBERT has no projection: token vectors must be as wide as the layers."""
    width, hidden = c.number("embedding_size", c("hidden")), c.number("hidden")
    if width != hidden:
        raise BadInput(f"{c.where}: embedding_size={width} must equal {c.spelled('hidden')}={hidden}")


FAMILIES: dict[str, Mapping[str, Any]] = {
    "fnet": {**PLAIN, "mixers": {FULL: fourier}, "embedding_extra": fourier_projection, "after": pooler},
    "convbert": {
        **BERT,
        "embedding_width": read("embedding_size"),
        "mixers": {FULL: convolved_attention},
        "ffns": {DENSE: grouped_network("num_groups", "num_groups")},
        "spare_bias": False,
    },
    "squeezebert": {
        **PLAIN,
        "embedding_width": equal_widths,
        "mixers": {FULL: grouped_attention},
        "ffns": {DENSE: grouped_network("intermediate_groups", "output_groups")},
        "after": pooler,
    },
    "mobilebert": {
        **PLAIN,
        "norms": "inside",  # the bodies bring their own, of their own widths
        "embedding_width": read("embedding_size"),
        "position_width": full_width,
        "types_width": full_width,
        "projection_inputs": trigram,
        "always_projected": True,
        "projected_before_norm": True,
        "mixers": {FULL: bottlenecked_attention},
        "ffns": {DENSE: stacked_networks},
        "transform_width": full_width,
        "head_extra": mobile_head,
    },
}
