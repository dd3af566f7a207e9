"""The report of `explain`: other shapes at equal parameters, what a little more of each size does, where it waits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deepwide.answers.explain import Explanation
from deepwide.answers.explain.shapes import WIDTHS
from deepwide.answers.figures.depth import loss_and_latency
from deepwide.answers.figures.points import known_points
from deepwide.answers.models import find_model
from deepwide.answers.report import Picture, Report, Section, Table
from deepwide.answers.report.parts import (
    DEPTH_CAPTION,
    asked_of,
    aspects_picture,
    parameters_picture,
    roofline_picture,
    shape_row,
    sources,
)

AS_IT_IS = "as it is"


def explain_report(answer: Explanation, command: str = "", **reading: Any) -> Report:
    """The report; `command` is what repeats it, the other keywords are those of `find_model`."""
    model = find_model(answer.model, **reading)
    others = {c.label: c for c in answer.counterfactuals}
    widths = {label: find_model(others[label].shape.model, **reading) for label in WIDTHS if label in others}
    timed, judged = answer.shape.decode_s is not None, answer.shape.loss is not None
    return Report(
        title=f"Why {answer.model} has the shape it has",
        question=f"What width and depth buy and cost: {asked_of(answer)}",
        headline=" ".join(answer.verdict),
        sections=(
            Section(title="Deeper or wider, at equal parameters", content=(*_depth(answer), _others(answer))),
            Section(title="A tenth more of each size", content=(_tenths(answer),)),
            Section(title="Where the parameters are", content=(parameters_picture({answer.model: model, **widths}),)),
            Section(
                title="What its operations wait for",
                content=(roofline_picture(model, answer.on, answer.context),) if timed else (),
            ),
            Section(title="Beside published models", content=(aspects_picture([model]),) if judged else ()),
        ),
        notes=answer.notes,
        sources=sources(answer.on),
        command=command,
    )


def _depth(answer: Explanation) -> Iterator[Picture]:
    """Loss and decode time of the widths, the model's own among them."""
    shapes = {AS_IT_IS: answer.shape, **{c.label: c.shape for c in answer.counterfactuals if c.label in WIDTHS}}
    points = known_points(shapes, answer.context, answer.shape)
    if len(points) > 1:
        figure = loss_and_latency(points, answer.shape.model, mark=AS_IT_IS)
        yield Picture(name="depth", figure=figure, caption=DEPTH_CAPTION)


def _others(answer: Explanation) -> Table:
    """The shapes, and by what share each quantity is more than the model's own."""
    names = list(dict.fromkeys(name for c in answer.counterfactuals for name in c.changes))
    own = shape_row(answer.shape)
    rows = [(AS_IT_IS, *own.values(), "", *("" for _ in names))]
    for c in answer.counterfactuals:
        change = "–" if c.loss_change is None else f"{c.loss_change:+.3f}{' (tie)' if c.tie else ''}"
        rows.append((c.label, *shape_row(c.shape).values(), change, *(_share(c.changes.get(n)) for n in names)))
    return Table(
        columns=("", *own, "Δ loss", *(f"Δ {name.replace('_', ' ')}" for name in names)),
        rows=tuple(rows),
        caption="Layers are solved for, so that the parameters come out equal; Δ is the change.",
        marked=0,
    )


def _tenths(answer: Explanation) -> Table:
    names = list(dict.fromkeys(name for s in answer.sensitivities for name in s.changes))
    rows = [
        (
            s.size,
            f"{s.before:,} → {s.after:,}",
            "–" if s.loss is None else f"{s.loss:+.4f}",
            *(_share(s.changes.get(name), 1) for name in names),
        )
        for s in answer.sensitivities
    ]
    return Table(
        columns=("+10% of", "by a step", "loss, nats", *(name.replace("_", " ") for name in names)),
        rows=tuple(rows),
        caption="What +10% changes, from a step that whole heads, layers and tiles allow.",
    )


def _share(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:+.{digits}%}"
