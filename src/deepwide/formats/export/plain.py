"""What training engines can express: a decoder of equal layers, each attention and then a network, norms before both.

Everything else is refused, in one line that names the part; so a config is never nearly right.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from deepwide.architecture.attention import Attention
from deepwide.architecture.experts import Experts
from deepwide.architecture.ffn import FeedForward
from deepwide.architecture.model import Architecture, Branch, Layer
from deepwide.architecture.parts import Head, Norm, NormLayer, Positions, TokenEmbedding
from deepwide.errors import BadInput
from deepwide.formats.constants import Said

SAID = "heads kv_heads head_dim bias qk_norm qk_norm_over window name".split()  # of an attention
EXPERTS_SAID = "experts active_experts ffn gated activation shared shared_gate name".split()
TANH_GELU = ("gelu_new", "gelu_fast", "gelu_pytorch_tanh")
GELU = ("gelu", *TANH_GELU)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """A decoder as engines know it.

    norm          of every layer and after the last
    positions     rotary, learned or none
    network       its feed-forward network, or that of each expert
    experts       the mixture, None where every token passes one network
    context       tokens it is made for; 0 where nothing says
    """

    name: str
    layers: int
    hidden: int
    vocab: int
    context: int
    attention: Attention
    network: FeedForward
    experts: Experts | None
    norm: Norm
    positions: str
    tied: bool
    said: Said

    @property
    def joined(self) -> bool:
        """Whether the heads together are as wide as the stream, as engines assume."""
        return bool(self.attention.heads * self.attention.head_dim == self.hidden)


def plain(architecture: Architecture, said: Said, engine: str) -> Plain:
    """The decoder that an architecture is; BadInput says what of it the engine has no word for."""
    stack, refuse = architecture.main, Refusal(architecture.name, engine)
    if not architecture.lone_decoder:
        raise refuse("anything but a lone decoder")
    if len(stack.runs) != 1 or stack.runs[0].shared:
        raise refuse("layers of several kinds, or that share weights")
    attention, body, norm = _parts(stack.runs[0].layer, refuse)
    if len(stack.after) != 1 or not isinstance(stack.after[0], NormLayer) or stack.after[0].norm != norm:
        raise refuse("a stack that does not end in the norm of its layers")
    return Plain(
        name=architecture.name,
        layers=int(stack.layers),
        hidden=int(stack.hidden),
        vocab=int(architecture.vocab),
        context=int(architecture.context or 0),
        attention=attention,
        network=_network(body),
        experts=body if isinstance(body, Experts) else None,
        norm=norm,
        positions=_positions(architecture, refuse),
        tied=_tied(architecture, refuse),
        said=said,
    )


@dataclass(frozen=True, slots=True)
class Refusal:
    """The error for a model that an engine cannot express."""

    name: str
    engine: str

    def __call__(self, what: str) -> BadInput:
        """The error that names what it is."""
        return BadInput(f"{self.name}: {self.engine} cannot express {what}; --to huggingface can")


def letters(bias: str) -> frozenset[str]:
    """Which projections of an attention have a bias."""
    return frozenset(bias)


def biases(p: Plain, refuse: Refusal) -> str:
    """Where matrices have biases: "all", those of "qkv", or "" for none."""
    own, inner = letters(p.attention.bias), p.network.bias
    if own == letters("qkvo") and inner:
        return "all"
    if own == letters("qkv") and not inner:
        return "qkv"
    if own or inner:
        raise refuse(f"biases of {p.attention.bias or 'no projection'} and {'a' if inner else 'no'} network alone")
    return ""


def _parts(layer: Layer, refuse: Refusal) -> tuple[Attention, FeedForward | Experts, Norm]:
    """The two bodies of a layer and the norm before each."""
    if layer.parallel or layer.extra or len(layer.branches) != 2:
        raise refuse("layers that are not attention and then a network")
    first, second = layer.branches
    if first.before is None or first.before != second.before or any(map(_decorated, layer.branches)):
        raise refuse("norms other than one before each branch")
    attention, body = first.body, second.body
    if not isinstance(attention, Attention) or not isinstance(body, FeedForward | Experts):
        raise refuse(type(body if isinstance(attention, Attention) else attention).__name__)
    said = SAID, (EXPERTS_SAID if isinstance(body, Experts) else ("ffn", "gated", "bias", "activation", "name"))
    for part, names in zip((attention, body), said, strict=True):
        for name, value in _unusual(part):
            if name not in names:
                raise refuse(f"{type(part).__name__} with {name}={value!r}")
    return attention, body, first.before


def _decorated(branch: Branch) -> bool:
    return branch.after is not None or not branch.residual or bool(branch.extra) or branch.owned is not None


def _unusual(part: Any) -> list[tuple[str, Any]]:
    """The fields of a part that are not as the plain one has them."""
    fields = type(part).__dataclass_fields__.values()
    return [(f.name, getattr(part, f.name)) for f in fields if getattr(part, f.name) != f.default]


def _network(body: FeedForward | Experts) -> FeedForward:
    if isinstance(body, FeedForward):
        return body
    return FeedForward(ffn=body.ffn, gated=body.gated, bias=body.bias, activation=body.activation)


def _positions(architecture: Architecture, refuse: Refusal) -> str:
    kinds = [part for part in architecture.embedding if isinstance(part, Positions)]
    plain_table = all(isinstance(part, Positions | TokenEmbedding) for part in architecture.embedding)
    if not plain_table or len(kinds) != 1 or architecture.main.before:
        raise refuse("an embedding that is more than tables of tokens and positions")
    token = next(part for part in architecture.embedding if isinstance(part, TokenEmbedding))
    if token.width is not None or token.vocab != architecture.vocab:
        raise refuse("a token table of another width or length")
    if kinds[0].kind not in ("rotary", "learned", "none"):
        raise refuse(f"{kinds[0].kind} positions")
    if kinds[0].kind == "learned" and kinds[0].rows != architecture.context:
        raise refuse(f"{kinds[0].rows} positions for a context of {architecture.context}")
    return kinds[0].kind


def _tied(architecture: Architecture, refuse: Refusal) -> bool:
    head = architecture.head[0] if len(architecture.head) == 1 else None
    if not isinstance(head, Head) or head.bias or head.width is not None or head.vocab != architecture.vocab:
        raise refuse("a head that is more than one matrix")
    return head.tied


def gated_by(p: Plain, *names: str) -> bool:
    """Whether its network is gated by one of these functions."""
    return p.network.gated and p.network.activation in names


def power_of_two(number: int, most: int) -> int:
    """The largest power of two that divides a number, up to `most`.

    >>> power_of_two(50304, 128)
    128
    """
    return min(number & -number, most)


def scalar(value: Any) -> str:
    """A value as YAML has it; a text is quoted."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):  # YAML 1.1 reads 1e-05 as a text: it wants a point
        return f"{value:.10f}".rstrip("0") + ("0" if value == int(value) else "") if value < 1e15 else repr(value)
    return str(value) if isinstance(value, int) else json.dumps(str(value), ensure_ascii=False)
