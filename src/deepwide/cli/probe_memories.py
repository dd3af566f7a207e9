"""`deepwide probe memories`: what the networks of a trained model remember."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from deepwide.cli.options import Number
from deepwide.cli.probe_answer import answer_options, model_argument, refuse_unwritable, show

if TYPE_CHECKING:
    from deepwide.answers.probe.memories import Memories

SOURCE = "Geva, Schuster, Berant and Levy 2021, https://arxiv.org/abs/2012.14913"


@click.command()
@model_argument("RUN")
@click.option("--layer", type=int, help="Look at this layer alone.")
@click.option("--windows", type=Number(), default=256, show_default=True, help="Sequences of validation text.")
@click.option("--triggers", type=int, default=10, show_default=True, help="Triggers of each key.")
@click.option("--shown", type=int, default=3, show_default=True, help="Memories of each layer that are told.")
@click.option("--data", default="", help="Text files or a folder; default: the run's own validation text.")
@answer_options
def command(model: str, as_json: bool, html: str | None, **question: Any) -> None:
    """Networks as key-value memories: the texts that trigger a key, and what its value makes the model say.

    \b
    deepwide probe memories llama-4x128-0001
    deepwide probe memories llama-4x128-0001 --layer 4 --shown 10
    """
    from deepwide.answers.figures.probe_memories import memory_agreement
    from deepwide.answers.probe.memories import probe_memories
    from deepwide.answers.report.probe import memories_table, probe_report

    refuse_unwritable(html)
    answer = probe_memories(model, **question)
    show(
        answer,
        answer.model,
        f"memories on {answer.tokens:,} tokens",
        as_json=as_json,
        html=html,
        page=lambda repeat: probe_report(
            "memories",
            answer.model,
            answer.says,
            memory_agreement(answer),
            source=SOURCE,
            tables=(memories_table(answer),),
            notes=answer.notes,
            command=repeat,
        ),
        draw=lambda: _draw(answer),
    )


def _draw(answer: Memories) -> None:
    """Agreement by layer, then the clearest memories."""
    from deepwide.answers.report.probe import memories_table
    from deepwide.cli.tables import print_table

    rows = [
        (str(x.layer), f"{x.keys:,}", f"{x.agreement:.1%}", f"{x.chance:.1%}", f"{x.alike:.0%}") for x in answer.layers
    ]
    print_table(("layer", "keys", "value promotes what follows", "by chance", "triggers alike"), rows)
    table = memories_table(answer)
    print_table(table.columns, table.rows, words=table.words)
