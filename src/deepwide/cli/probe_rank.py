"""`deepwide probe rank`: how alike tokens become, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from deepwide.cli.output import bar
from deepwide.cli.probe_answer import answer_options, model_argument, refuse_unwritable, show, text_options

if TYPE_CHECKING:
    from deepwide.answers.probe.rank import Rank

SOURCE = "Dong, Cordonnier and Loukas 2021, https://arxiv.org/abs/2103.03404"
MOST_ROWS = 13


@click.command()
@model_argument()
@text_options
@answer_options
def command(model: str, as_json: bool, html: str | None, **question: Any) -> None:
    """Mean cosine, effective rank and distance to rank one of the tokens by layer, with and without skips and FFNs.

    The same weights are read four ways: attention alone and with its networks, without and with skip connections.

    \b
    deepwide probe rank like=llama,layers=24,hidden=64,heads=4
    deepwide probe rank llama-4x128-0001
    """
    from deepwide.answers.figures.probe_rank import rank_collapse
    from deepwide.answers.probe.rank import probe_rank
    from deepwide.answers.report.probe import probe_report

    refuse_unwritable(html)
    answer = probe_rank(model, **question)
    show(
        answer,
        answer.model,
        f"{answer.tokens:,} tokens, {'trained' if answer.trained else 'fresh'} weights",
        as_json=as_json,
        html=html,
        page=lambda repeat: probe_report(
            "rank", answer.model, answer.says, rank_collapse(answer), source=SOURCE, notes=answer.notes, command=repeat
        ),
        draw=lambda: _draw(answer),
    )


def _draw(answer: Rank) -> None:
    """Distance to rank one by layer for each way; bars of the effective rank of the model itself."""
    from deepwide.cli.tables import print_table

    depth = len(answer.ways[0].layers)
    every = max(1, -(-depth // MOST_ROWS))
    whole = answer.ways[-1].layers
    most = max((x.effective_rank or 0.0) for x in whole) or 1.0
    rows = [
        (
            str(i),
            *("0" if (d := way.layers[i].distance) is None else f"{d:.1e}" for way in answer.ways),
            f"{whole[i].cosine or 0.0:.2f}",
            f"{whole[i].effective_rank or 0.0:.1f} {bar((whole[i].effective_rank or 0.0) / most, 12):<12}",
        )
        for i in sorted({*range(0, depth, every), depth - 1})
    ]
    print_table(
        ("layer", *(way.label for way in answer.ways), "cosine", "effective rank"), rows, words=("effective rank",)
    )
