"""Shapes as rows of an answer: each is priced alone, by the functions that answer for one model in other commands."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from deepwide.answers.design.question import Question
from deepwide.answers.loss import predicted
from deepwide.answers.models import find_model
from deepwide.answers.shape import WEIGHT_BYTES
from deepwide.answers.training import predict_training
from deepwide.design.front import Columns
from deepwide.design.pricing import Purpose, priced
from deepwide.design.search import Tally, deep_to_wide, row
from deepwide.design.space import Block, Kind, Mixture, spelled
from deepwide.quality.shape import DIFFERENCE_SD, TIE

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZES = ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab", "experts", "active_experts")
SPEED = ("decode_s", "ttft_s", "slowness")  # what limits on speed are limits of
LONGEST_FRONT = 60
TRAINING = ("plan_words", "plan", "step_s", "mfu", "memory_bytes", "days", "usd", "kwh", "kg_co2e", "low", "high")


def alone(asked: Question, found: dict[str, float]) -> dict[str, Any]:
    """One shape of the search as an answer shows it, priced again in plain numbers."""
    sizes = {name: int(found[name]) for name in SIZES}
    mixture = Mixture(sizes["experts"], sizes["active_experts"])
    kind = Kind(sizes["head_dim"], 1, sizes["kv_heads"], sizes["vocab"], mixture)
    numbers: dict[str, Any] = {name: sizes[name] for name in ("layers", "hidden", "heads", "kv_heads", "ffn")}
    block = Block(kind=kind, **{**numbers, "number": found["number"]})
    purpose = asked.purpose
    costs = {name: _plain(value) for name, value in priced(purpose, block).items()}
    text = spelled(purpose.space, sizes)
    model = find_model(text)
    quality, _ = predicted(model, costs["tokens"], purpose.unique_tokens)
    if quality is None:
        raise ValueError(f"{text} is a decoder, so it has a loss")
    moved = costs["loss"] - float(quality.loss)  # by another vocabulary than the first of the space
    return {
        "model": text,
        **sizes,
        **costs,
        "tokens": int(costs["tokens"]),
        "weight_bytes": WEIGHT_BYTES * costs["parameters"],
        "active": int(model.ledger.active_parameters()),
        "low": float(quality.low) + moved,
        "high": float(quality.high) + moved,
        "shape_effect": float(quality.shape_effect),
        "outside": float(quality.outside),
        "aspect": sizes["hidden"] / sizes["layers"],
    }


def _plain(value: Any) -> float | int:
    number = value.item() if hasattr(value, "item") else value
    return int(number) if isinstance(number, int) else float(number)


def any_speed(purpose: Purpose) -> Purpose:
    """The same purpose without its limits on speed."""
    return replace(purpose, limits=tuple(limit for limit in purpose.limits if limit.column not in SPEED))


def table(asked: Question, columns: Columns, marks: int, best: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """Shapes of one size from deep to wide, the recommended among them; each a tie with the lowest loss or behind."""
    chosen = [alone(asked, row(columns, i)) for i in deep_to_wide(columns, marks, best["aspect"])] if columns else []
    rows = sorted([*chosen, best], key=lambda each: float(each["aspect"]))
    lowest = min(each["loss"] for each in rows)
    behind = [each["loss"] - lowest for each in rows]
    return tuple({**r, "verdict": "tie" if gap < TIE else f"+{gap:.3f}"} for r, gap in zip(rows, behind, strict=True))


def alternatives(asked: Question, columns: Columns) -> dict[str, dict[str, Any]]:
    """Of the same size at any speed: the lowest loss, and the fastest that is as good for all that the law can tell."""
    import numpy as np

    if not columns or not len(columns["loss"]):
        return {}
    lowest = int(columns["loss"].argmin())
    tied = np.flatnonzero(columns["loss"] <= columns["loss"][lowest] + DIFFERENCE_SD)
    fastest = int(tied[columns["decode_s"][tied].argmin()])
    return {"lowest_loss": alone(asked, row(columns, lowest)), "fastest_tie": alone(asked, row(columns, fastest))}


def front(asked: Question, found: Tally) -> tuple[dict[str, Any], ...]:
    """The shapes on any of the fronts that none beats in everything at once, from the lowest loss to the highest.

    Of a long front some are told, evenly over decode time. `front_of` names the costs in which nothing beats a shape
    at its loss.
    """
    import numpy as np

    costs = list(found.fronts)
    rows: dict[float, dict[str, float]] = {}
    fronts_of: dict[float, list[str]] = {}
    for cost in costs:
        for i in range(len(found.fronts[cost].rows["loss"])):
            each = row(found.fronts[cost].rows, i)
            rows[each["number"]] = each
            fronts_of.setdefault(each["number"], []).append(cost)
    ranked = sorted(rows.values(), key=lambda each: (each["loss"], each["number"]))
    kept = [ranked[i] for i in _unbeaten(np.array([[each[name] for name in ("loss", *costs)] for each in ranked]))]
    return tuple({**alone(asked, each), "front_of": fronts_of[each["number"]]} for each in _thinned(kept))


def _thinned(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    """At most so many rows, those nearest to even steps of ln(decode time), in their order."""
    import numpy as np

    if len(rows) <= LONGEST_FRONT:
        return rows
    logs = np.log([each["decode_s"] for each in rows])
    marks = np.linspace(logs.min(), logs.max(), LONGEST_FRONT)
    return [rows[i] for i in sorted({int(np.abs(logs - mark).argmin()) for mark in marks})]


def _unbeaten(values: NDArray[Any]) -> list[int]:
    """Rows that no other is nowhere worse and somewhere better than."""
    return [
        i for i, mine in enumerate(values) if not ((values <= mine).all(axis=1) & (values < mine).any(axis=1)).any()
    ]


def best_plan(asked: Question, best: dict[str, Any]) -> dict[str, Any] | None:
    """The fastest plan of all for the recommended shape, its step and its bill."""
    if asked.purpose.cluster is None or asked.training is None:
        return None
    run = asked.training.run
    answer = predict_training(
        best["model"],
        on=asked.device.name,
        devices=run.devices,
        tokens=best["tokens"],
        sequence=run.sequence,
        global_batch=run.global_batch,
        runtime=run.runtime,
        usd_per_hour=run.usd_per_hour,
        grid=run.grid,
    )
    return {name: getattr(answer, name) for name in ("fits", "runtime", "devices", *TRAINING)}
