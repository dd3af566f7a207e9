"""Feed-forward networks, plain, gated, and as a mixture of experts.

Shapes: B batch, T tokens, N tokens of all sequences, D hidden, F inner width, E experts.
"""

from __future__ import annotations

from dataclasses import fields

import torch
from torch import Tensor, nn

from deepwide.architecture.experts import Experts as ExpertsDescription
from deepwide.architecture.ffn import FeedForward as Description
from deepwide.errors import BadInput
from deepwide.lab.network.layers import Linear, activation, at_least_fp32, side_by_side

EXPERTS_BUILT = "experts active_experts ffn gated bias activation router_bias shared shared_gate name".split()


class FeedForward(nn.Module):
    """down(act(up(x))), or down(act(gate(x)) * up(x)) when gated."""

    def __init__(self, f: Description, hidden: int) -> None:
        super().__init__()
        inputs = hidden if f.inputs is None else f.inputs
        self.act = activation(f.activation)
        self.gate = Linear(inputs, f.ffn, bias=f.bias) if f.gated else None
        self.up = Linear(inputs, f.ffn, bias=f.bias)
        self.down = Linear(f.ffn, inputs if f.outputs is None else f.outputs, bias=f.bias)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        if self.gate is None:
            y: Tensor = self.down(self.act(self.up(x_BTD)))
            return y
        gate, up = side_by_side(x_BTD, self.gate, self.up)
        y = self.down(self.act(gate) * up)
        return y


class Experts(nn.Module):
    """Each token passes the `active` experts that its router scores highest, weighted by their share of the softmax.

    Shazeer et al. 2017, arXiv:1701.06538; the weights of the chosen sum to one, as in Mixtral (arXiv:2401.04088). A
    single one keeps its share, without which the router would not learn (Fedus et al. 2021, arXiv:2101.03961, eq. 2).
    The experts' matrices are stacked: expert_gate and expert_up [E, D, F], expert_down [E, F, D].
    """

    def __init__(self, e: ExpertsDescription, hidden: int) -> None:
        super().__init__()
        _refuse_unknown(e)
        experts, ffn = int(e.experts), int(e.ffn)
        self.active, self.act = int(e.active_experts), activation(e.activation)
        self.router = Linear(hidden, e.experts, bias=e.router_bias)
        self.expert_gate = nn.Parameter(torch.empty(experts, hidden, ffn)) if e.gated else None
        self.expert_up = nn.Parameter(torch.empty(experts, hidden, ffn))
        self.expert_down = nn.Parameter(torch.empty(experts, ffn, hidden))
        for name, width in (("expert_gate", ffn), ("expert_up", ffn), ("expert_down", hidden)):
            biased = e.bias and getattr(self, name) is not None
            self.register_parameter(f"{name}_bias", nn.Parameter(torch.empty(experts, width)) if biased else None)
        self.shared = FeedForward(e.shared, hidden) if e.shared else None
        self.shared_gate_scalar = Linear(hidden, 1, bias=False) if e.shared_gate else None

    def forward(self, x_BTD: Tensor) -> Tensor:
        """[B, T, D] to [B, T, D]: experts take their tokens one expert after the other."""
        x_ND = x_BTD.flatten(0, -2)
        scores_NE = torch.softmax(at_least_fp32(self.router(x_ND)), dim=-1)
        shares, chosen = scores_NE.topk(self.active, dim=-1)
        if self.active > 1:
            shares = shares / shares.sum(-1, keepdim=True)
        shares = shares.to(x_ND.dtype)
        y_ND = torch.zeros_like(x_ND)
        for expert in range(scores_NE.shape[1]):
            rows, place = torch.where(chosen == expert)
            if rows.numel():
                y_ND = y_ND.index_add(0, rows, self._expert(expert, x_ND[rows]) * shares[rows, place, None])
        return (y_ND + self._everybody(x_ND)).view_as(x_BTD)

    def _expert(self, e: int, x_ND: Tensor) -> Tensor:
        up = self._product("expert_up", e, x_ND)
        inner = self.act(up) if self.expert_gate is None else self.act(self._product("expert_gate", e, x_ND)) * up
        return self._product("expert_down", e, inner)

    def _product(self, name: str, e: int, x: Tensor) -> Tensor:
        y: Tensor = x @ getattr(self, name)[e].to(x.dtype)
        bias: Tensor | None = getattr(self, f"{name}_bias")
        return y if bias is None else y + bias[e].to(x.dtype)

    def _everybody(self, x_ND: Tensor) -> Tensor | float:
        """What every token passes: the shared network, scaled by one number per token where it has a gate."""
        if self.shared is None:
            return 0.0
        y: Tensor = self.shared(x_ND)
        return y if self.shared_gate_scalar is None else y * torch.sigmoid(self.shared_gate_scalar(x_ND))


def _refuse_unknown(e: ExpertsDescription) -> None:
    for f in fields(e):
        if f.name not in EXPERTS_BUILT and getattr(e, f.name) != f.default:
            raise BadInput(f"experts with {f.name}={getattr(e, f.name)!r} cannot be built; they can only be counted")
