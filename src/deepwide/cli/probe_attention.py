"""`deepwide probe attention`: where the heads of a model look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from deepwide.cli.options import Number
from deepwide.cli.probe_answer import answer_options, model_argument, refuse_unwritable, show, text_options, watch

if TYPE_CHECKING:
    from deepwide.answers.probe.attention import Attention

SOURCE = "Separate queries, keys and values: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.2"


@click.command()
@model_argument()
@click.option("--text", help="What the model reads while it is looked at.  [default: a few lines of Python]")
@click.option("--steps", type=Number(), help="Train both so long, and look again.  [default: 100; a run: none]")
@text_options
@answer_options
def command(model: str, text: str | None, as_json: bool, html: str | None, **question: Any) -> None:
    """Attention maps by layer and head, with separate and with shared queries, keys and values (shared_qkv).

    A MODEL is trained both ways for a moment; a run is shown as it is.

    \b
    deepwide probe attention like=llama,layers=2,hidden=64,heads=4
    deepwide probe attention llama-4x128-0001 --text "import os, sys" --html attention.html
    """
    from deepwide.answers.figures.probe_attention import attention_squares
    from deepwide.answers.probe.attention import TEXT, probe_attention
    from deepwide.answers.report.probe import probe_report

    refuse_unwritable(html)
    answer = probe_attention(model, text=TEXT if text is None else text, watch=watch, **question)
    show(
        answer,
        answer.model,
        f"attention on {len(answer.tokens)} tokens",
        as_json=as_json,
        html=html,
        page=lambda repeat: probe_report(
            "attention",
            answer.model,
            answer.says,
            attention_squares(answer),
            source=SOURCE,
            notes=answer.notes,
            command=repeat,
        ),
        draw=lambda: _draw(answer),
    )


def _draw(answer: Attention) -> None:
    """A row for each look and layer, means over its heads."""
    from deepwide.cli.tables import print_table

    rows = []
    for look in answer.looks:
        for layer in range(1, look.layers + 1):
            numbers = (f"{look.mean(name, layer):.2f}" for name in ("symmetry", "entropy", "diagonal"))
            loss = "" if look.validation_loss is None or layer < look.layers else f"{look.validation_loss:.3f}"
            rows.append((look.label, str(layer), *numbers, loss))
    heads = ("mean over heads", "layer", "symmetry", "entropy", "on itself", "validation loss")
    print_table(heads, rows)
