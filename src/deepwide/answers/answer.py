"""What every answer can do: show itself in a notebook and on a terminal, become a data frame, be drawn.

An answer says what it holds in `to_dict()`; all else is read off that, in `answers.shown`, which is imported only where
something is shown.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plotly.graph_objects import Figure
    from rich.console import Group


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The base of every answer; it adds no field."""

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values."""
        return asdict(self)

    def to_frame(self, library: str = "") -> Any:
        """The answer's table as a data frame of pandas or polars: of the first that is installed if `library` is empty.

        The table holds what there are several of: the rows of a count, the models of a comparison, the front of a
        design. Any other answer is one row.
        """
        from deepwide.answers.shown.frames import frame

        return frame(self, library)

    def plot(self, name: str = "") -> Figure:
        """The answer's figure, in plotly; `name` chooses one where there are several."""
        from deepwide.answers.shown.figures import chosen

        return chosen(self, name)

    def _repr_html_(self) -> str:
        """Tables, for a notebook."""
        from deepwide.answers.shown.tables import html

        return html(self)

    def __rich__(self) -> Group:
        """Tables, for `rich.print`."""
        from deepwide.answers.shown.tables import rich_tables

        return rich_tables(self)
