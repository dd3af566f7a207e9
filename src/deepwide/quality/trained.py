"""What a law of the loss may ask: the sizes of a model, folded from its ledger, and the tokens it is trained on.

Every number is one of one model, or an array with one entry for each of many.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from deepwide.arithmetic import largest, least, repeated
from deepwide.units import Num, Real

if TYPE_CHECKING:
    from deepwide.architecture.ledger import Ledger
    from deepwide.architecture.model import Architecture

FLOPS_PER_PARAMETER = 6  # of a token trained on: 2 forward and 4 backward, Kaplan et al. 2020, arXiv:2001.08361


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A model and its training, as laws see them.

    total           parameters; body: those between embedding and head, active: those of the body that a token meets
    head            parameters of the output matrix, vocab * hidden, whether it is tied or not
    attention, ffn  parameters of those parts; ffn without routers, all experts included
    experts, active_experts    of each mixture; 1 and 1 where there is none
    expansion       how many times as many FFN parameters there are as a token meets; 1 where there are no experts
    tokens          trained on, repeated ones each time; unique_tokens: those that differ
    """

    total: Num
    body: Num
    active: Num
    head: Num
    layers: Num
    hidden: Num
    attention: Num
    ffn: Num
    vocab: Num
    tokens: Real
    unique_tokens: Real
    experts: Num = 1
    active_experts: Num = 1
    expansion: Real = 1.0

    @property
    def aspect(self) -> Real:
        """Hidden size per layer: large is wide, small is deep."""
        return self.hidden / self.layers

    @property
    def mlp_ratio(self) -> Real:
        """Parameters of the FFN over those of attention."""
        return self.ffn / self.attention

    @property
    def relative_width(self) -> Real:
        """Hidden size over the root of the body."""
        ratio: Real = self.hidden / self.body**0.5
        return ratio

    @property
    def granularity(self) -> Num:
        """How many experts share the work of one dense FFN: those that a token meets."""
        return self.active_experts

    @property
    def active_with_embeddings(self) -> Num:
        """Parameters that a token meets, with an input and an output embedding."""
        return self.active + 2 * self.head

    @property
    def tokens_per_parameter(self) -> Real:
        """Tokens per parameter of the whole model."""
        return self.tokens / self.total

    @property
    def epochs(self) -> Real:
        """How often the unique tokens are read, 1 at least."""
        epochs: Real = largest(1.0, self.tokens / self.unique_tokens)
        return epochs

    @property
    def working(self) -> Num:
        """Parameters that multiply in a forward pass: the active body and the head."""
        return self.active + self.head

    @property
    def flops(self) -> Real:
        """FLOPs of the training, attention scores left out: 6 (active body + head) D."""
        return FLOPS_PER_PARAMETER * self.working * self.tokens


def trained(architecture: Architecture, ledger: Ledger, tokens: Real, unique_tokens: Real | None = None) -> Trained:
    """A model, or a template whose sizes are columns, trained on so many tokens; all unique where nothing is said."""
    from deepwide.architecture.sizes import sizes

    own = sizes(architecture)
    attention, ffn = (
        repeated((w.repeat, w.layer_parameters) for w in ledger.weights if w.part == part)
        for part in ("attention", "ffn")
    )
    met_ffn, body = ffn, ledger.body_parameters()
    if own.experts is not None:
        met_ffn = repeated((w.repeat, w.layer_active_parameters) for w in ledger.weights if w.part == "ffn")
    return Trained(
        total=ledger.parameters(),
        body=body,
        active=body if met_ffn is ffn else body - (ffn - met_ffn),
        head=architecture.vocab * own.hidden,
        layers=own.layers,
        hidden=own.hidden,
        attention=attention,
        ffn=ffn,
        vocab=architecture.vocab,
        tokens=tokens,
        unique_tokens=tokens if unique_tokens is None else least(unique_tokens, tokens),
        experts=own.experts if own.experts is not None else 1,
        active_experts=own.active_experts if own.active_experts is not None else 1,
        expansion=1.0 if met_ffn is ffn else ffn / met_ffn,
    )


def resized(of: Trained, factor: Real) -> Trained:
    """The same shape with `factor` times the layers and the hidden size; the vocabulary stays.

    The body then has factor^3 times the parameters, embeddings and head `factor` times.
    """
    grown: dict[str, Any] = {name: getattr(of, name) * factor**3 for name in ("body", "active", "attention", "ffn")}
    grown |= {name: getattr(of, name) * factor for name in ("layers", "hidden", "head")}
    grown["total"] = grown["body"] + (of.total - of.body) * factor
    return replace(of, **grown)
