"""A sweep as it is handed on: the cells of its table, Markdown, a CSV for `calibrate loss`, a page with the picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deepwide import units
from deepwide.answers.sweep.law import loss_rows
from deepwide.answers.sweep.ranking import TIED, WORSE, Ranked
from deepwide.facts.own_files import write_whole

if TYPE_CHECKING:
    from deepwide.answers.sweep import Sweep

COLUMNS = (
    "shape",
    "ffn",
    "ratio",
    "size off",
    "rate",
    "loss",
    "± 95%",
    "sd",
    "after equal tokens",
    "tokens/CPU-s",
    "in equal time",
    "loss then",
    "after equal time",
    "law",
)
NONE = "–"


def cells(answer: Sweep, row: Ranked) -> tuple[str, ...]:
    """The row of a shape, under COLUMNS."""
    shape, bracket = row.shape, row.bracket
    rate = NONE if bracket is None else f"{bracket.rate:.2g}{'' if bracket.bracketed else ' ?'}"
    offset = answer.law.offset if answer.law else None
    expected = None if row.predicted is None or offset is None else row.predicted + offset
    reach = answer.spread.mean_reach if answer.spread and row.mean is not None else None
    return (
        f"{shape.layers} × {shape.hidden}",
        NONE if shape.ffn is None else f"{shape.ffn}",
        NONE if shape.ratio is None else f"{shape.ratio:.2f}",
        f"{shape.off_share:+.2%}",
        rate,
        _loss(row.mean),
        _loss(reach),
        _loss(row.sd),
        _said(row.verdict, row.difference, answer),
        NONE if row.tokens_per_cpu_s is None else f"{row.tokens_per_cpu_s:,.0f}",
        NONE if row.equal_time_tokens is None else units.count(round(row.equal_time_tokens)),
        _loss(row.equal_time_loss),
        row.equal_time_verdict,
        _loss(expected),
    )


def _loss(value: float | None) -> str:
    return NONE if value is None else f"{value:.4f}"


def _said(verdict: str, difference: float | None, answer: Sweep) -> str:
    """The verdict, with the difference to the best and its interval."""
    if difference is None or answer.spread is None or verdict not in (TIED, WORSE):
        return verdict
    return f"{verdict}: +{difference:.4f} ± {answer.spread.difference_reach:.4f}"


def write_markdown(answer: Sweep, path: str) -> None:
    """The tables and the sentences in Markdown."""
    write_whole(Path(path), markdown(answer))


def markdown(answer: Sweep) -> str:
    """What came of a sweep: how the shapes did, run by run, how each rate was found, and what it says."""
    plan = answer.plan
    size = {"parameters": "equal body parameters", "flops_per_token": "equal FLOPs per token", "": "as given"}
    how = f"{plan.recipe['optimizer']}, batch {plan.recipe['batch']} × {plan.recipe['context']}, {_ways(answer)}"
    seeds = tuple(f"seed {seed}" for seed in range(plan.seeds))
    runs = [(_name(row), *map(_loss, row.losses)) for row in answer.shapes]
    rates = [
        (_name(row), _tried(row), "yes" if row.bracket and row.bracket.bracketed else "no") for row in answer.shapes
    ]
    return "\n".join(
        [
            f"{len(plan.shapes)} shapes, {size[answer.equal]}; {plan.seeds} seeds of {plan.tokens:,} tokens; {how}.",
            f"Text: {plan.corpus['source']}, {plan.corpus['sha256'][:12]}. Losses in nats a byte of held-out text. "
            f"Training took {units.duration(answer.cpu_s)} of one core.",
            "",
            _markdown_table(COLUMNS, [cells(answer, row) for row in answer.shapes]),
            "",
            _markdown_table(("shape", *seeds), runs),
            "",
            _markdown_table(("shape", "rate: loss after a short run", "bracketed"), rates),
            "",
            *(f"- {line}" for line in answer.says),
            *(f"- {problem}" for row in answer.shapes for problem in row.problems),
            "",
        ]
    )


def _ways(answer: Sweep) -> str:
    kernels = answer.plan.kernels
    return f"{kernels['dtype']}, {kernels['matmul']} products, {kernels['attention']} attention, one thread a run"


def _name(row: Ranked) -> str:
    return f"{row.shape.layers} × {row.shape.hidden} ({row.shape.ffn})"


def _yes(row: Ranked) -> str:
    return "yes" if row.bracket and row.bracket.bracketed else "no"


def _tried(row: Ranked) -> str:
    tried = row.bracket.tried if row.bracket else ()
    return ", ".join(f"{rate:.2g}: {'diverged' if loss is None else f'{loss:.4f}'}" for rate, loss in tried) or NONE


def _markdown_table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [columns, ("---", *("---:" for _ in columns[1:])), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_losses(answer: Sweep, path: str) -> None:
    """Every finished run as a line that `deepwide calibrate loss` reads."""
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, ["run", "model", "tokens", "loss"], lineterminator="\n")
    table.writeheader()
    table.writerows(loss_rows(answer.shapes, answer.plan))
    write_whole(Path(path), text.getvalue())


def write_page(answer: Sweep, path: str) -> None:
    """One page with the sentences, the picture and the tables, which needs nothing but itself."""
    from deepwide.answers.figures.sweep import shapes_compared
    from deepwide.answers.report import Picture, Report, Section, Table, write_report

    rows = tuple(cells(answer, row) for row in answer.shapes)
    table = Table(
        columns=COLUMNS, rows=rows, caption="Losses in nats a byte", words=("after equal tokens", "after equal time")
    )
    picture = Picture(name="sweep", figure=shapes_compared(answer), caption=answer.says[0] if answer.says else "")
    report = Report(
        title=f"Sweep {answer.name}",
        question=f"{len(rows)} shapes, {answer.plan.seeds} seeds each, {units.count(answer.plan.tokens)} tokens a run",
        headline=answer.says[0] if answer.says else "not finished",
        sections=(Section(title="Shapes", content=(picture, table, *answer.says[1:])),),
    )
    write_report(report, path)
