"""The optimiser of a model: Muon on the matrices of its blocks and AdamW on the rest, or AdamW on all.

Its states are known by the names of the parameters, so that they can be kept in any file and given back exactly.
Tables and vectors go without Muon (its post, above `muon`, says why); vectors go without weight decay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from deepwide.lab.training.muon import muon_step
from deepwide.lab.training.rates import ROLES, rate, role
from deepwide.lab.training.recipe import Recipe
from deepwide.lab.training.tensors import check_tensors

MOMENTUM = 0.95  # of Muon; the value of its post
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Parameters that share a role, with their names and their learning rate before the schedule."""

    role: str
    names: tuple[str, ...]
    parameters: tuple[nn.Parameter, ...]
    rate: float
    weight_decay: float


class Optimizer:
    """Steps, and states by name. `dtype` is that of Muon's products, and `muon` takes its steps."""

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        dtype: torch.dtype = torch.float32,
        muon: Callable[..., None] = muon_step,
    ) -> None:
        self.groups = groups(model, recipe)
        self.dtype, self.muon_step = dtype, muon
        self.muon = [g for g in self.groups if recipe.optimizer == "muon" and g.role == "matrix"]
        self.momenta = {
            name: torch.zeros_like(p) for g in self.muon for name, p in zip(g.names, g.parameters, strict=True)
        }
        self.rest = [g for g in self.groups if g not in self.muon]
        self.adamw = _adamw(self.rest, recipe)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All that is trained, each once."""
        return [p for g in self.groups for p in g.parameters]

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        for p in self.parameters:
            p.grad = None

    @torch.no_grad()
    def step(self, share: float) -> None:
        """One step at a share of the full learning rate."""
        if self.adamw:
            for own, group in zip(self.adamw.param_groups, self.rest, strict=True):
                own["lr"] = group.rate * share
            self.adamw.step()
        for group in self.muon:
            used = [(n, p, p.grad) for n, p in zip(group.names, group.parameters, strict=True) if p.grad is not None]
            self.muon_step(
                [p for _, p, _ in used],
                [gradient for _, _, gradient in used],
                [self.momenta[name] for name, _, _ in used],
                rate=group.rate * share,
                weight_decay=group.weight_decay,
                momentum=MOMENTUM,
                dtype=self.dtype,
            )

    def state(self) -> dict[str, Tensor]:
        """The tensors to be kept, by name: the very ones in use, not copies."""
        kept = {f"momentum.{name}": tensor for name, tensor in self.momenta.items()}
        for name, parameter in self._adamw_named():
            moments = self.adamw.state.get(parameter, {}) if self.adamw else {}
            kept.update({f"{key}.{name}": moments[key] for key in (*MOMENTS, "step") if key in moments})
        return kept

    @torch.no_grad()
    def load(self, kept: Mapping[str, Tensor]) -> None:
        """Takes back what `state` gave; the next step is then the one that would have followed."""
        expected = {f"momentum.{name}": tensor for name, tensor in self.momenta.items()}
        for name, parameter in self._adamw_named():
            if f"step.{name}" in kept:
                expected.update({f"{key}.{name}": parameter for key in MOMENTS})
        steps = {name for name in kept if name.startswith("step.")}
        check_tensors(expected, {name: t for name, t in kept.items() if name not in steps}, "optimiser state")
        for name, tensor in self.momenta.items():
            tensor.copy_(kept[f"momentum.{name}"])
        for name, parameter in self._adamw_named():
            if self.adamw and f"step.{name}" in kept:
                moments = {key: torch.empty_like(parameter).copy_(kept[f"{key}.{name}"]) for key in MOMENTS}
                self.adamw.state[parameter] = {"step": _on(parameter, kept[f"step.{name}"]), **moments}

    def _adamw_named(self) -> list[tuple[str, nn.Parameter]]:
        return [pair for g in self.rest for pair in zip(g.names, g.parameters, strict=True)]


def groups(model: nn.Module, recipe: Recipe) -> list[Group]:
    """The parameters that are trained, by role, a tied one once."""
    hidden, layers = size(model)
    named: dict[str, list[tuple[str, nn.Parameter]]] = {part: [] for part in ROLES}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            named[role(name, parameter.ndim)].append((name, parameter))
    return [
        Group(
            role=part,
            names=tuple(name for name, _ in pairs),
            parameters=tuple(parameter for _, parameter in pairs),
            rate=rate(part, hidden=hidden, layers=layers, base=recipe.base_rate),
            weight_decay=0.0 if part == "vector" else recipe.weight_decay,
        )
        for part, pairs in named.items()
        if pairs
    ]


def size(model: nn.Module) -> tuple[int, int]:
    """Hidden size and layers of a model's main stack, which the learning rates follow."""
    main = model.architecture.main  # type: ignore[union-attr] # nn.Module's attributes are not known to mypy
    return int(main.hidden), int(main.layers)  # type: ignore[union-attr, arg-type]


def _adamw(some: list[Group], recipe: Recipe) -> torch.optim.AdamW | None:
    """AdamW in its fused form where the device has one: 15 % of a small model's step on a CPU."""
    if not some:
        return None
    told = [{"params": list(g.parameters), "lr": g.rate, "weight_decay": g.weight_decay} for g in some]
    fused = all(p.device.type in ("cpu", "cuda") for g in some for p in g.parameters)
    return torch.optim.AdamW(told, betas=recipe.betas, fused=fused)


def _on(parameter: nn.Parameter, step: Tensor) -> Tensor:
    """AdamW's count of steps, where its fused form looks for it."""
    return step.detach().to(parameter.device, torch.float32, copy=True)
