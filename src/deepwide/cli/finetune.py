"""`deepwide finetune`: a trained model learns another text, by all of its weights or by adapters beside them."""

from __future__ import annotations

from typing import Any

import click

from deepwide.answers.finetune import finetune
from deepwide.cli.training import carry_out, needed, training_options


@click.command("finetune")
@click.argument("start", required=False)
@training_options(
    click.option("--lora", type=int, metavar="RANK", help="Train adapters of this rank, and nothing else."),
    click.option("--alpha", type=float, help="Adapters count alpha / rank.  [default: 2 rank]"),
    click.option(
        "--targets", default="all", show_default=True, help="Matrices with adapters: query,value, attention, ffn, all."
    ),
    click.option(
        "--layout", default="", help="With torchrun, all weights: how processes share the model, e.g. fsdp=2."
    ),
)
@click.pass_context
def command(
    ctx: click.Context, /, start: str | None, as_json: bool, resumed: str, root: str | None, **question: Any
) -> None:
    """Trains START, a run or a folder of Hugging Face's, further on other text; what comes of it is a run of its own.

    \b
    deepwide finetune lively-otter --data notes/ --tokens 300k
    deepwide finetune lively-otter --data notes/ --lora 8 --targets query,value
    deepwide finetune models/my-llama/ --data notes/ --lora 16
    """
    needed(resumed, START=start)
    question["start"] = start
    carry_out(ctx, finetune, resumed=resumed, as_json=as_json, root=root, question=question)
