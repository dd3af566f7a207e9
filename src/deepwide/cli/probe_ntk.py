"""`deepwide probe ntk`: the tangent kernel over widths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from deepwide.cli.options import Several
from deepwide.cli.output import bar
from deepwide.cli.probe_answer import answer_options, model_argument, refuse_unwritable, show, watch
from deepwide.units import parse_bytes, parse_count

if TYPE_CHECKING:
    from deepwide.answers.probe.ntk import TangentKernel

SOURCE = "Jacot, Gabriel and Hongler 2018, https://arxiv.org/abs/1806.07572"


@click.command()
@model_argument("MODEL")
@click.option("--widths", type=Several(parse_count), default="32,64,128,256", show_default=True, help="Hidden sizes.")
@click.option("--seeds", type=int, default=3, show_default=True, help="Models of each width.")
@click.option("--fall", type=float, default=0.5, show_default=True, help="Nats by which the loss is to fall.")
@click.option("--memory", default="1 GiB", show_default=True, help="Of the Jacobian; it is cut into blocks of rows.")
@click.option("--data", default="", help="Text files or a folder; default: Python's standard library.")
@answer_options
def command(model: str, memory: str, as_json: bool, html: str | None, **question: Any) -> None:
    """The empirical neural tangent kernel at several widths, and how far a short training moves it.

    Heads keep their width and networks their proportion. Killed, it goes on: each width and seed is kept.

    \b
    deepwide probe ntk like=llama,layers=2,hidden=64,heads=4
    deepwide probe ntk like=gpt2,layers=2,hidden=64,heads=4 --widths 32,64,128 --seeds 5
    """
    from deepwide.answers.figures.probe_ntk import kernel_drift
    from deepwide.answers.probe.ntk import probe_ntk
    from deepwide.answers.report.probe import probe_report

    refuse_unwritable(html)
    answer = probe_ntk(model, memory_bytes=int(parse_bytes(memory, "memory")), watch=watch, **question)
    show(
        answer,
        answer.model,
        f"tangent kernel at {len(answer.widths)} widths",
        as_json=as_json,
        html=html,
        page=lambda repeat: probe_report(
            "ntk", answer.model, answer.says, kernel_drift(answer), source=SOURCE, notes=answer.notes, command=repeat
        ),
        draw=lambda: _draw(answer),
    )


def _draw(answer: TangentKernel) -> None:
    """A row for each width, means over its seeds."""
    from deepwide.cli.tables import print_table

    rows = []
    for width in answer.widths:
        own = [d for d in answer.drifts if d.width == width]
        aligned = sum(d.alignment for d in own) / len(own)
        spread = f"{min(d.drift for d in own):.3f} to {max(d.drift for d in own):.3f}"
        mean = answer.mean(width)
        steps = f"{min(d.steps for d in own)} to {max(d.steps for d in own)}"
        rows.append(
            (str(width), f"{own[0].parameters:,}", f"{mean:.3f} {bar(mean, 16):<16}", spread, f"{aligned:.3f}", steps)
        )
    print_table(("width", "parameters", "drift", "over seeds", "alignment", "steps"), rows, words=("drift",))
