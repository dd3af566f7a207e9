"""The report of `design`: the recommended shape and those around it, what limits cost, and what people trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepwide import units
from deepwide.answers.design import Design
from deepwide.answers.design.known import KnownModel
from deepwide.answers.figures.depth import loss_and_latency
from deepwide.answers.figures.front import pareto_front
from deepwide.answers.figures.points import ShapePoint, row_point
from deepwide.answers.models import Model, find_model
from deepwide.answers.report import Picture, Report, Section, Table
from deepwide.answers.report.parts import (
    DEPTH_CAPTION,
    FRONT_CAPTION,
    aspects_picture,
    parameters_picture,
    roofline_picture,
    sources,
    spelled,
)
from deepwide.answers.shape import Shape, loss_resolution_of, shape_of
from deepwide.cost.inference.engine import driven
from deepwide.facts.accelerators import accelerator
from deepwide.quality.shape import TIE

COLUMNS = ("layers", "hidden", "heads (KV)", "ffn", "hidden / layers", "parameters", "loss, nats (95%)", "Δ loss")
TRAINING = {
    "step_s": "step",
    "mfu": "MFU",
    "memory_bytes": "memory of a device",
    "days": "days",
    "usd": "US dollars",
    "kwh": "kWh",
    "kg_co2e": "kg of CO2e",
}
SHOWN_NATS = 0.3  # above the recommended shape: beyond, the front goes on to models of quite another size
COSTS = ("decode", "weights", "KV cache a token")


def design_report(answer: Design, command: str = "") -> Report:
    """The report; `command` is what repeats it."""
    best = answer.recommended
    chosen = find_model(best["model"])
    beside: dict[str, Model] = {"recommended": chosen, **{k.model: find_model(k.model) for k in answer.known}}
    return Report(
        title=f"A shape of {units.count(best['parameters'], 1)} parameters",
        question=_asked(answer),
        headline=_headline(answer),
        sections=(
            Section(title="The recommended shape", content=(_limits(answer), f"MODEL: {best['model']}")),
            Section(title="Deep or wide", content=(_depth(answer), _table(answer))),
            Section(title="What cannot be beaten", content=(_front(answer), *_alternatives(answer))),
            Section(title="What people trained", content=(*_known(answer), aspects_picture([chosen]))),
            Section(title="Training it", content=tuple(_training(answer))),
            Section(title="Where the parameters are", content=(parameters_picture(beside),)),
            Section(
                title="What its operations wait for", content=(roofline_picture(chosen, answer.on, answer.context),)
            ),
        ),
        notes=(*answer.advice, *answer.notes),
        sources=sources(answer.on),
        command=command,
    )


def _asked(answer: Design) -> str:
    devices = "" if answer.serve_devices == 1 else f"{answer.serve_devices} × "
    limits = ", ".join(each.words for each in answer.limits)
    return (
        f"The shape of lowest predicted loss that keeps to the limits: {limits}. "
        f"Trained on {units.count(answer.tokens, 1)} tokens, decoding on {devices}{answer.on} with "
        f"{answer.context:,} tokens in view, 16-bit weights. {answer.evaluated:,} shapes were evaluated."
    )


def _headline(answer: Design) -> str:
    best = answer.recommended
    return (
        f"{best['layers']} layers of {best['hidden']:,}, {best['heads']} heads ({best['kv_heads']} KV) and an FFN of "
        f"{best['ffn']:,}: predicted loss {best['loss']:.3f} nats ({best['low']:.3f} to {best['high']:.3f}), "
        f"{units.duration(best['decode_s'])} a token. It is {answer.reason}."
    )


def _limits(answer: Design) -> Table:
    """Each limit, whether it decides, and what a tenth more of it would buy."""
    return Table(
        columns=("limit", "used", "decides", "a tenth more saves", "with"),
        rows=tuple(
            (
                each.words,
                f"{each.share:.1%}",
                "yes" if each.binding else "no",
                f"{each.saves_nats:.3f} nats" if each.buys else "–",
                each.buys or "–",
            )
            for each in answer.limits
        ),
        caption="The limits, and what a tenth more of each would buy.",
        words=("with",),
    )


def _point(answer: Design, row: Mapping[str, Any], **more: Any) -> ShapePoint:
    spread = driven(accelerator(answer.on)).profile.spread["decode"]
    return row_point(row, answer.context, spread=spread, **more)


def _depth(answer: Design) -> Picture:
    """Each shape with what its loss has to differ by from the recommended one's."""
    best = answer.recommended["model"]
    own = _shape(answer, best)
    points = [
        _point(answer, row, loss_apart=loss_resolution_of(own, _shape(answer, row["model"]))) for row in answer.table
    ]
    figure = loss_and_latency(points, best)
    return Picture(name="depth", figure=figure, caption=DEPTH_CAPTION)


def _shape(answer: Design, model: str) -> Shape:
    return shape_of(find_model(model), None, tokens=answer.tokens, context=answer.context)


def _front(answer: Design) -> Picture:
    highest = answer.recommended["loss"] + SHOWN_NATS
    rows = [row for row in answer.front if "decode_s" in row["front_of"] and row["loss"] <= highest]
    points, best = [_point(answer, row) for row in rows], _point(answer, answer.recommended)
    known = [_known_point(each) for each in answer.known if each.loss is not None]
    return Picture(
        name="front",
        figure=pareto_front(points, best, known, tie=TIE),
        caption=f"{FRONT_CAPTION} Shapes more than {SHOWN_NATS} nats above the recommended one are left out. "
        "Open marks are published models, under the same law, tokens and hardware.",
    )


def _known_point(each: KnownModel) -> ShapePoint:
    return ShapePoint(
        model=each.model,
        name=each.model,
        layers=each.layers,
        hidden=each.hidden,
        parameters=each.parameters,
        loss=each.loss or 0.0,
        decode_s=each.decode_s,
    )


def _table(answer: Design) -> Table:
    marked = next((i for i, row in enumerate(answer.table) if row["model"] == answer.recommended["model"]), -1)
    return Table(
        columns=(*COLUMNS, *COSTS),
        rows=tuple(_cells(row, answer.recommended) for row in answer.table),
        caption="From deep to wide at equal parameters; the recommended shape in bold.",
        marked=marked,
    )


def _alternatives(answer: Design) -> list[Table]:
    rows = [(name.replace("_", " "), *_cells(row, answer.recommended)) for name, row in answer.alternatives.items()]
    caption = "Other choices among shapes of this size."
    return [Table(columns=("", *COLUMNS, *COSTS), rows=tuple(rows), caption=caption)] if rows else []


def _cells(row: Mapping[str, Any], best: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"{row['layers']:,}",
        f"{row['hidden']:,}",
        f"{row['heads']} ({row['kv_heads']})",
        f"{row['ffn']:,}",
        f"{row['aspect']:.1f}",
        f"{row['parameters']:,}",
        f"{row['loss']:.3f} ± {(row['high'] - row['low']) / 2:.3f}",
        f"{row['loss'] - best['loss']:+.3f}",
        units.duration(row["decode_s"]),
        units.size(row["weight_bytes"], 1),
        units.size(row["kv_cache_bytes_per_token"], 0),
    )


def _known(answer: Design) -> list[Table]:
    rows = [
        (
            each.model,
            f"{each.parameters:,}",
            f"{each.layers} × {each.hidden:,}",
            "–" if each.loss_less is None else f"{each.loss_less:+.3f} nats",
            f"{each.decode_less:+.0%}",
            each.why,
        )
        for each in answer.known
    ]
    return [
        Table(
            columns=("", "parameters", "layers × hidden", "loss saved", "time saved", "the recommended shape has"),
            rows=tuple(rows),
            caption="Published models under the same law, tokens and hardware, and what the recommended shape saves.",
            words=("the recommended shape has",),
        )
    ][: len(rows)]


def _training(answer: Design) -> list[Table]:
    """The step, the time and the bill of the recommended shape under the best plan, where a cluster was given."""
    told = answer.training
    if told is None:
        return []
    rows = tuple(
        (words, *(spelled(name, each.get(name)) for each in (told, told["low"], told["high"])))
        for name, words in TRAINING.items()
        if told.get(name) is not None
    )
    plan = f"{told['plan_words']} on {told['devices']} × {answer.on}, {told['runtime']}"
    return [
        Table(columns=("", "predicted", "low", "high"), rows=rows, caption=f"By the fastest plan that fits: {plan}.")
    ]
