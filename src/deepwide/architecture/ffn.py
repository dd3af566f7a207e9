"""Feed-forward networks, plain and gated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepwide.architecture.site import Site, lowers
from deepwide.units import Num

if TYPE_CHECKING:
    from deepwide.architecture.experts import Experts


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedForward:
    """down(act(up(x))), or down(act(gate(x)) * up(x)) when `gated`.

    ffn               inner width
    bias              every matrix has one
    activation        the function between them, by its usual name (silu, gelu, relu2)
    inputs, outputs   widths that are read and written where they are not the hidden size
    name              the word for its rows in the ledger
    """

    ffn: Num
    gated: bool = True
    bias: bool = False
    activation: str = "silu"
    inputs: Num | None = None
    outputs: Num | None = None
    name: str = "ffn"


@lowers(FeedForward)
def feed_forward(at: Site, f: FeedForward) -> None:
    """gate and up [hidden, ffn], down [ffn, hidden]."""
    at.part = "ffn"
    inputs = at.hidden if f.inputs is None else f.inputs
    network(at, f, inputs, inputs if f.outputs is None else f.outputs, "")


def network(
    at: Site,
    f: FeedForward | Experts,
    inputs: Num,
    outputs: Num,
    prefix: str,
    copies: Num = 1,
    active: Num = 1,
    idle: Num = 0,
) -> None:
    """Rows of a network, or of so many `copies` of it, of which a token meets `active`; `prefix` begins their names.

    gate and up [inputs, ffn], of which `idle` more exist than are met; down [ffn, outputs]
    """
    for role in ("gate", "up") if f.gated else ("up",):
        at.matrix(prefix + role, inputs, f.ffn, bias=f.bias, split="column", copies=copies + idle, active=active)
    at.op("activation", prefix + f.activation, 2 if f.gated else 1, f.ffn, active=active)
    at.matrix(prefix + "down", f.ffn, outputs, bias=f.bias, split="row", copies=copies, active=active)
