"""Lowering: an Architecture becomes rows, once. Everything else deepwide says is a fold over these rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from deepwide.architecture import parts
from deepwide.architecture.model import Architecture, Branch, Run, Small, Stack
from deepwide.architecture.rows import Cache, Op, Weight
from deepwide.architecture.site import Site, place
from deepwide.arithmetic import repeated
from deepwide.units import Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The rows of one model (or of one template, when its sizes are arrays): `weights`, `ops` and `caches`."""

    weights: tuple[Weight, ...]
    ops: tuple[Op, ...]
    caches: tuple[Cache, ...]

    def parameters(self) -> Num:
        """Parameters; a tied tensor counts once."""
        return _total(self.weights)

    def active_parameters(self) -> Num:
        """Parameters that one token uses, the whole embedding table included."""
        total: Num = repeated((w.repeat, w.layer_active_parameters) for w in self.weights)
        return total

    def body_parameters(self) -> Num:
        """Parameters between the embedding and the output head, positions left out: what loss laws call the body."""
        return _total(w for w in self.weights if w.part not in ("embedding", "position", "head"))

    def parameters_by(self, key: Callable[[Weight], str]) -> dict[str, Num]:
        """Parameters summed over the rows that share a key, e.g. `lambda w: w.part`."""
        groups: dict[str, list[Weight]] = {}
        for w in self.weights:
            groups.setdefault(key(w), []).append(w)
        return {name: _total(group) for name, group in groups.items()}


def _total(weights: Iterable[Weight]) -> Num:
    total: Num = repeated((w.repeat, w.layer_parameters) for w in weights)
    return total


def lower(architecture: Architecture) -> Ledger:
    """The ledger of an architecture: embedding, stacks from bottom to top, head."""
    main = architecture.main
    site = Site(weights=[], ops=[], caches=[], prefix="", hidden=main.hidden)
    reads_text = next((stack for stack in architecture.stacks if stack.tokens is None), main)
    _place_all(site, "embedding", architecture.embedding, stream=reads_text.name)
    for stack in architecture.stacks:
        _stack(site, stack, generates=stack is main and stack.causal)
    _place_all(site, "head", architecture.head, hidden=main.hidden, stream=main.name)
    return Ledger(weights=tuple(site.weights), ops=tuple(site.ops), caches=tuple(site.caches))


def _stack(site: Site, stack: Stack, generates: bool) -> None:
    at = site.placed(
        hidden=stack.hidden, stream=stack.name, causal=stack.causal, generates=generates, rows=stack.tokens
    )
    _place_all(at, stack.name, stack.before)
    for run in stack.runs:
        _run(at, stack.name, run)
    _place_all(at, stack.name, stack.after)


def _run(site: Site, stack: str, run: Run) -> None:
    prefix = f"{stack}.{run.name}" if run.name else stack
    at = site.placed(prefix=prefix, repeat=run.layers, stored=run.owned if run.shared else run.layers)
    for branch in run.layer.branches:
        _branch(at, prefix, branch)
    for small in run.layer.extra:
        place(at, prefix, small)


def _branch(at: Site, prefix: str, branch: Branch) -> None:
    if branch.owned is not None:
        at = at.placed(stored=branch.owned)
    at.prefix = f"{prefix}.{getattr(branch.body, 'name', type(branch.body).__name__.lower())}"
    if branch.before:
        parts.norm(at, branch.before, at.hidden, "norm")
    place(at, at.prefix, branch.body)
    for small in branch.extra:
        place(at, at.prefix, small)
    if branch.after:
        parts.norm(at, branch.after, at.hidden, "norm_after")


def _place_all(site: Site, prefix: str, bodies: Iterable[Small], **changes: Any) -> None:
    at = site.placed(prefix=prefix, **changes)
    for body in bodies:
        place(at, prefix, body)
