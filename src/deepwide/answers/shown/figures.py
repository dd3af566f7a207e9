"""The figures of an answer: those that its report shows, by name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from deepwide.errors import BadInput, did_you_mean

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from deepwide.answers.answer import Answer
    from deepwide.answers.count import Count

# Kind of answer -> the module of `answers.report` that makes its report, and the function.
REPORTS = {
    "Comparison": ("compare", "compare_report"),
    "Design": ("design", "design_report"),
    "Explanation": ("explain", "explain_report"),
}
# Kind of answer -> the module of `answers.figures` that draws its one figure, and the function.
FIGURES = {
    "Attention": ("probe_attention", "attention_squares"),
    "Gradients": ("probe_gradients", "gradient_flow"),
    "Memories": ("probe_memories", "memory_agreement"),
    "Rank": ("probe_rank", "rank_collapse"),
    "Sweep": ("sweep", "shapes_compared"),
    "TangentKernel": ("probe_ntk", "kernel_drift"),
}


def chosen(answer: Answer, name: str = "") -> Figure:
    """The figure of that name, or the first."""
    figures = drawn(answer)
    if name and name not in figures:
        raise BadInput(f"no figure called {name!r}{did_you_mean(name, figures)}; there are {', '.join(figures)}")
    return figures[name] if name else next(iter(figures.values()))


def drawn(answer: Answer) -> dict[str, Figure]:
    """Every figure of the answer, by name."""
    kind = type(answer).__name__
    if kind == "Count":
        return {"parameters": _parameters(cast("Count", answer))}
    if kind in REPORTS:
        pictures = _function("report", *REPORTS[kind])(answer).pictures()
        return {picture.name: picture.figure for picture in pictures}
    if kind in FIGURES:
        return {FIGURES[kind][0]: _function("figures", *FIGURES[kind])(answer)}
    raise BadInput(f"{kind} has no figure; these have: {', '.join(sorted(['Count', *REPORTS, *FIGURES]))}")


def _function(room: str, module: str, name: str) -> Any:
    return getattr(import_module(f"deepwide.answers.{room}.{module}"), name)


def _parameters(answer: Count) -> Figure:
    """One bar: where the counted parameters are."""
    from deepwide.answers.figures.parameters import ModelParts, parameter_parts

    parts = tuple((part, number) for part, number in answer.parts.items() if number)
    return parameter_parts([ModelParts(model=answer.model, parts=parts)])
