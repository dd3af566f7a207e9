"""`deepwide probe gradients`: the gradient of a loss, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from deepwide.cli.options import Number
from deepwide.cli.probe_answer import answer_options, model_argument, refuse_unwritable, show, text_options, watch

if TYPE_CHECKING:
    from deepwide.answers.probe.gradients import Gradients

SOURCE = "Residual connections: He et al. 2015, https://arxiv.org/abs/1512.03385; pre- and post-norm: Xiong et al. 2020, https://arxiv.org/abs/2002.04745"  # noqa: E501  # addresses are not cut


@click.command()
@model_argument()
@click.option("--steps", type=Number(), help="Train each way so long, and look again.  [default: 20; a run: none]")
@text_options
@answer_options
def command(model: str, as_json: bool, html: str | None, **question: Any) -> None:
    """Gradient norm by layer at initialisation and in training, with and without residual connections and norms.

    Killed, it goes on where it was: each way that was trained is kept.

    \b
    deepwide probe gradients like=llama,layers=24,hidden=64,heads=4
    deepwide probe gradients llama-4x128-0001 --html gradients.html
    """
    from deepwide.answers.figures.probe_gradients import gradient_flow
    from deepwide.answers.probe.gradients import probe_gradients
    from deepwide.answers.report.probe import probe_report

    refuse_unwritable(html)
    answer = probe_gradients(model, watch=watch, **question)
    show(
        answer,
        answer.model,
        f"gradients of {answer.layers} layers",
        as_json=as_json,
        html=html,
        page=lambda repeat: probe_report(
            "gradients",
            answer.model,
            answer.says,
            gradient_flow(answer),
            source=SOURCE,
            notes=answer.notes,
            command=repeat,
        ),
        draw=lambda: _draw(answer),
    )


def _draw(answer: Gradients) -> None:
    """A row for each way and moment: the norm at the first, the middle and the last layer, and first over last."""
    from deepwide.cli.tables import print_table

    rows = []
    for flow in answer.flows:
        for moment in flow.moments:
            layers = moment.layers
            some = (layers[0], layers[len(layers) // 2], layers[-1])
            when = "trained" if moment.step is None else f"{moment.step:,}"
            ratio = "-" if moment.ratio is None else f"{moment.ratio:,.3g}"
            rows.append((flow.label, when, f"{moment.loss:.3f}", *(f"{x.weights:.2e}" for x in some), ratio))
        if flow.diverged:
            rows.append((flow.label, "diverged", "", "", "", "", ""))
    heads = (
        "weights' gradient",
        "step",
        "loss",
        "layer 1",
        f"layer {answer.layers // 2 + 1}",
        f"layer {answer.layers}",
    )
    print_table((*heads, "first / last"), rows)
