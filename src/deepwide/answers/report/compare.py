"""The report of `compare`: the shapes, a verdict for each criterion, what each is made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from deepwide.answers.compare import CRITERIA, Comparison
from deepwide.answers.figures.depth import loss_and_latency
from deepwide.answers.figures.front import pareto_front
from deepwide.answers.figures.points import ShapePoint, known_points
from deepwide.answers.models import Model, find_model
from deepwide.answers.report import Picture, Report, Section, Table
from deepwide.answers.report.parts import (
    DEPTH_CAPTION,
    asked_of,
    aspects_picture,
    parameters_picture,
    shape_row,
    sources,
    spelled,
)
from deepwide.quality.shape import TIE

EQUAL_SHARE = 0.05  # of the parameters: sizes further apart are no choice between deep and wide


def compare_report(answer: Comparison, command: str = "", **reading: Any) -> Report:
    """The report; `command` is what repeats it, the other keywords are those of `find_model`."""
    names = [chr(ord("A") + number) for number in range(len(answer.models))]
    models = [find_model(shape.model, **reading) for shape in answer.models]
    points = known_points(dict(zip(names, answer.models, strict=True)), answer.context, answer.models[0])
    return Report(
        title=f"{len(models)} shapes side by side",
        question=f"{', '.join(m.model for m in answer.models)}: {asked_of(answer)}",
        headline=_sentence(answer.overall.text or "nothing tells them apart"),
        sections=(
            Section(title="The shapes", content=(_shapes(answer, names),)),
            Section(title="Which is better at what", content=(_verdict(answer, names),)),
            Section(title="Quality and speed", content=tuple(_pictures(points))),
            Section(title="What they are made of", content=tuple(_made_of(names, models))),
        ),
        notes=answer.notes,
        sources=sources(answer.on),
        command=command,
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _shapes(answer: Comparison, names: Sequence[str]) -> Table:
    rows = [shape_row(shape) for shape in answer.models]
    columns = ("", *rows[0], "MODEL")
    return Table(
        columns=columns,
        rows=tuple(
            (name, *row.values(), shape.model) for name, row, shape in zip(names, rows, answer.models, strict=True)
        ),
        caption="Sizes are exact; the loss is predicted, with the interval that holds 95%.",
        words=("MODEL",),
    )


def _verdict(answer: Comparison, names: Sequence[str]) -> Table:
    by_model = dict(zip([m.model for m in answer.models], names, strict=True))
    fields = {criterion.name: criterion.field for criterion in CRITERIA}
    rows = []
    for v in answer.verdict:
        values = [spelled(fields[v.criterion], getattr(shape, fields[v.criterion])) for shape in answer.models]
        ahead = f"{by_model[v.winner]} over {by_model[v.loser]}: " if v.winner and v.loser else ""
        rows.append((v.criterion, *values, f"{ahead}{v.text}"))
    return Table(
        columns=("", *names, "verdict"),
        rows=tuple(rows),
        caption="A difference that is smaller than what is known of it is a tie.",
        words=("verdict",),
    )


def _pictures(points: Sequence[ShapePoint]) -> Iterator[Picture]:
    """Loss against decode time where both are known; against depth where several are of one size."""
    if len(points) > 1 and all(point.decode_s is not None for point in points):
        yield Picture(
            name="quality-and-speed",
            figure=pareto_front((), None, points, tie=TIE, title="Loss against decode time"),
            caption=f"Down and to the left is better. Inside the grey band, {TIE:g} nats, losses tie.",
        )
    sizes = [point.parameters for point in points]
    if len(points) > 2 and max(sizes) <= min(sizes) * (1 + EQUAL_SHARE):
        yield Picture(
            name="depth", figure=loss_and_latency(points, points[0].model, mark=points[0].name), caption=DEPTH_CAPTION
        )


def _made_of(names: Sequence[str], models: Sequence[Model]) -> Iterator[Picture]:
    yield parameters_picture({f"{name}  {model.name}": model for name, model in zip(names, models, strict=True)})
    if all(model.described().main.causal for model in models):
        yield aspects_picture(models)
