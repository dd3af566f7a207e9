"""Which shape should a model of a given size have? A table from deep to wide, and one recommendation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from deepwide.answers.limits import LARGEST_VOCAB, LONGEST_CONTEXT, MOST_DEVICES, MOST_TOKENS, whole
from deepwide.answers.load import Load
from deepwide.answers.memory import memory_parts
from deepwide.answers.models import find_model
from deepwide.answers.shape import TOKENS_PER_PARAMETER
from deepwide.cost.inference.engine import driven
from deepwide.cost.memory import overhead_bytes
from deepwide.design.search import Found, Use, deep_to_wide, front, search
from deepwide.design.space import Space
from deepwide.errors import BadInput
from deepwide.quality.shape import DIFFERENCE_SD, TIE

SMALLEST_BUDGET, LARGEST_BUDGET = 10**6, 10**13
LONGEST_FRONT = 200
MOST_ROWS = 50
MOST_SEARCHES = 4  # what a shape needs beside its weights hardly differs from one to the next
BOUNDS = {
    "parameters": (SMALLEST_BUDGET, LARGEST_BUDGET),
    "devices": (1, MOST_DEVICES),
    "tokens": (1, MOST_TOKENS),
    "context": (1, LONGEST_CONTEXT),
    "vocab": (1, LARGEST_VOCAB),
    "rows": (2, MOST_ROWS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A recommended shape with its reason, the shapes from deep to wide, and the front of loss against decode time."""

    recommended: dict[str, Any]
    reason: str
    table: tuple[dict[str, Any], ...]
    front: tuple[dict[str, Any], ...]
    evaluated: int
    priced: int
    seconds: float
    binding: tuple[str, ...]
    on: str
    tokens: int
    context: int
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def design(
    *,
    parameters: int,
    on: str,
    devices: int = 1,
    tokens: int | None = None,
    context: int = 4096,
    vocab: int = 128_256,
    tied: bool = False,
    tolerance: float = 0.02,
    rows: int = 9,
    progress: Callable[[int], None] = lambda counted: None,
) -> Design:
    """The best dense decoder of about `parameters`, to train on `tokens` and to serve at batch 1.

    Weights in bf16; a shape that does not fit the devices, as `memory` counts it, is left out.
    """
    from deepwide.facts.accelerators import accelerator, memory_for_use_bytes

    trained = TOKENS_PER_PARAMETER * parameters if tokens is None else tokens
    _check(tolerance, parameters=parameters, devices=devices, tokens=trained, context=context, vocab=vocab, rows=rows)
    device = accelerator(on)
    used, capacity_bytes = driven(device), memory_for_use_bytes(device)
    look = partial(
        search,
        Space(vocab=vocab, tied=tied),
        used,
        Use(tokens=trained, context=context),
        parameters=parameters,
        tolerance=tolerance,
        progress=progress,
    )
    found = _fitting(look, capacity_bytes, Load(context=context, devices=devices), vocab, tied)
    if found.best < 0:
        raise NoDesign(_why_none(found, parameters, devices * capacity_bytes, on))
    columns = found.priced.columns
    best = found.priced.row(found.best)
    indices = deep_to_wide(columns, rows, found.best)
    lowest = float(columns["loss"].min())
    return Design(
        recommended=_spelled(best, vocab, tied, lowest),
        reason=_reason(found, best),
        table=tuple(_spelled(found.priced.row(i), vocab, tied, lowest) for i in indices),
        front=tuple(_spelled(found.priced.row(i), vocab, tied, lowest) for i in front(columns)[:LONGEST_FRONT]),
        evaluated=found.counted,
        priced=len(found.priced),
        seconds=found.seconds,
        binding=("parameters", *(("memory",) if found.too_large else ())),
        on=used.name,
        tokens=trained,
        context=context,
        notes=_notes(columns, found, devices),
    )


def _fitting(look: Callable[..., Found], capacity_bytes: int, load: Load, vocab: int, tied: bool) -> Found:
    """What is found in the memory that the runtime leaves, and again in less where the best still does not fit.

    The search sees weights and cache; what stands beside them on a device is known of one shape at a time.
    """
    devices, beside_bytes = load.devices, overhead_bytes(load.devices)
    for _ in range(MOST_SEARCHES):
        found = look(capacity_bytes=devices * (capacity_bytes - beside_bytes))
        if found.best < 0:
            return found
        best = found.priced.row(found.best)
        total_bytes = sum(memory_parts(find_model(_model(best, vocab, tied)), load).values())
        if total_bytes <= capacity_bytes:
            return found
        held_bytes = int(best["weight_bytes"] + load.context * best["kv_cache_bytes_per_token"])
        beside_bytes = max(beside_bytes, total_bytes - held_bytes // devices)
    return found


class NoDesign(ValueError):
    """No shape meets the limits: an answer, not an error of the input."""


def _check(tolerance: float, **asked: int) -> None:
    for name, value in asked.items():
        whole(name, value, *BOUNDS[name])
    if not 0 < tolerance <= 0.5:
        raise BadInput(
            f"tolerance={tolerance} must lie between 0 and 0.5: the share by which a size may miss the budget"
        )


def _why_none(found: Found, parameters: int, capacity_bytes: int, on: str) -> str:
    if found.too_large:
        needed = -(-2 * parameters // max(1, capacity_bytes))
        why = f"at least {needed} times the memory is needed for 16-bit weights"
        return (
            f"none of {found.too_large} shapes of {parameters:,} parameters fits {capacity_bytes:,} bytes on {on}; "
            f"{why if needed > 1 else 'cache, activations and runtime leave too little for the weights'}"
        )
    return f"no shape of the space has {parameters:,} parameters; widen --tolerance or change --vocab"


def _spelled(row: dict[str, Any], vocab: int, tied: bool, lowest: float) -> dict[str, Any]:
    """A row with the MODEL that repeats it in any other command, its aspect, and its verdict on loss."""
    behind = row["loss"] - lowest
    verdict = "tie" if behind < TIE else f"+{behind:.3f}"
    return {"model": _model(row, vocab, tied), **row, "aspect": row["hidden"] / row["layers"], "verdict": verdict}


def _model(row: dict[str, Any], vocab: int, tied: bool) -> str:
    names = ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn")
    return ",".join(["like=llama", *(f"{n}={row[n]}" for n in names), f"vocab={vocab}", *(["tied"] if tied else [])])


def _reason(found: Found, best: dict[str, Any]) -> str:
    return (
        f"the fastest to decode of the {found.tied:,} shapes whose predicted loss is within {DIFFERENCE_SD} nats "
        f"(one standard deviation of a difference between shapes) of the lowest; hidden / layers is "
        f"{best['hidden'] / best['layers']:.0f}, and the best ratio would save {best['shape_effect']:.3f} nats"
    )


def _notes(columns: dict[str, Any], found: Found, devices: int) -> tuple[str, ...]:
    said = [
        "the loss law does not see head width, KV heads or FFN ratio: they stay among the values of published models"
    ]
    if columns["outside"][found.best] > 0:
        said.append("the loss extrapolates: beyond 1.8B body parameters or 350B tokens nothing was fitted")
    if devices > 1:
        said.append("decode time is for one device; more devices only add memory here")
    return tuple(said)
