"""Mixtures of experts: routed networks, and shared ones that every token passes."""

from __future__ import annotations

from dataclasses import dataclass

from deepwide.architecture.ffn import FeedForward, network
from deepwide.architecture.site import Site, lowers
from deepwide.units import Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """A mixture of experts: a router sends each token to `active_experts` of `experts` networks of inner width `ffn`.

    gated, bias, activation   of each expert's network, as in FeedForward
    router_bias       the router adds a number per choice
    router_outputs    choices of the router where they are not the experts alone: some choices may be no experts
    router_inputs     what the router reads where it has layers of its own before it, else the hidden size
    balance           a number per choice that evens out their load, set by rule and yet stored as a parameter
    output_bias       one bias [hidden] for all experts
    idle_experts      experts whose gate and up projections no token meets (LongCat-Flash keeps them for its choices
                      that are no experts)
    shared            a network that every token passes; shared_copies of it, scaled by one number if shared_gate
    width             the experts' input and output width where they work in a smaller space than the hidden size
    name              the word for its rows in the ledger
    """

    experts: Num
    active_experts: Num
    ffn: Num
    gated: bool = True
    bias: bool = False
    activation: str = "silu"
    router_bias: bool = False
    router_outputs: Num | None = None
    router_inputs: Num | None = None
    balance: bool = False
    output_bias: bool = False
    idle_experts: Num = 0
    shared: FeedForward | None = None
    shared_copies: Num = 1
    shared_gate: bool = False
    width: Num | None = None
    name: str = "ffn"


@lowers(Experts)
def experts(at: Site, e: Experts) -> None:
    """router [hidden, experts]; gate and up [hidden, ffn], down [ffn, hidden] in each expert."""
    at.part = "ffn"
    outputs = e.experts if e.router_outputs is None else e.router_outputs
    router_inputs = at.hidden if e.router_inputs is None else e.router_inputs
    at.matrix("router", router_inputs, outputs, bias=e.router_bias, part="router")
    if e.balance:
        at.vector("router.balance", outputs, part="router")
    width = at.hidden if e.width is None else e.width
    network(at, e, width, width, "expert_", copies=e.experts, active=e.active_experts, idle=e.idle_experts)
    if e.output_bias:
        at.bias("expert_down", width, part="ffn")
    if e.shared:
        network(at, e.shared, at.hidden, at.hidden, "shared_", copies=e.shared_copies, active=e.shared_copies)
    if e.shared_gate:
        at.matrix("shared_gate_scalar", at.hidden, 1, part="router")
