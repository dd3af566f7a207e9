"""The page of a probe: what it found in a sentence, its picture, and the command that repeats it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deepwide.answers.report import Picture, Report, Section, Table

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from deepwide.answers.probe.memories import Memories


def probe_report(
    name: str,
    model: str,
    says: str,
    figure: Figure,
    *,
    source: str,
    tables: Sequence[Table] = (),
    notes: Sequence[str] = (),
    command: str = "",
) -> Report:
    """One probe of one model as a page."""
    return Report(
        title=f"A look inside: {name}",
        question=model,
        headline=says,
        sections=(Section(title="What was measured", content=(Picture(name=name, figure=figure), *tables)),),
        notes=tuple(notes),
        sources=(source,),
        command=command,
    )


def memories_table(answer: Memories) -> Table:
    """The clearest memories, a row for each."""
    rows = tuple(
        (
            f"{each.layer}.{each.key}",
            " · ".join(repr(context.text[-16:])[1:-1] for context in each.contexts[:3]),
            " ".join(repr(token) for token in each.promotes),
            f"{each.agrees:.0%}",
        )
        for each in answer.clearest
    )
    return Table(
        columns=("layer.key", "its strongest triggers end with", "its value promotes", "followed by it"),
        rows=rows,
        caption="The clearest memories of each layer.",
        words=("its strongest triggers end with", "its value promotes"),
    )
