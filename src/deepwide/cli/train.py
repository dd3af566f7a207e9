"""`deepwide train`: builds the model that is counted, trains it on text, and says whether the prediction held."""

from __future__ import annotations

from typing import Any

import click

from deepwide.answers.train import train
from deepwide.answers.train.setting import DEFAULT_MODEL
from deepwide.cli.options import ModelName
from deepwide.cli.training import Screen, carry_out, training_options

__all__ = ["Screen", "command"]


@click.command("train")
@click.argument("model", type=ModelName(), default=DEFAULT_MODEL, metavar="[MODEL]")
@training_options(
    click.option("--tokenizer", default="bytes", show_default=True, help="bytes, bpe:4096, or a tokenizer.json."),
    click.option(
        "--compile/--no-compile",
        "compile_",
        default=None,
        help="Compile layers: ten seconds, then quicker steps.  [default: tried for runs of minutes]",
    ),
    click.option("--layout", default="", help="With torchrun: how processes share the model, e.g. fsdp=2, tp=2, pp=2."),
)
@click.pass_context
def command(
    ctx: click.Context, /, as_json: bool, resumed: str, root: str | None, compile_: bool | None, **question: Any
) -> None:
    """Trains MODEL, and measures what was predicted. Ctrl-C saves; --resume goes on to the same losses.

    \b
    deepwide train
    deepwide train like=gpt2,layers=6,hidden=192,heads=6,context=128 --data notes/ --tokens 5M
    deepwide train like=bert,layers=2,hidden=128,heads=4 --tokens 1M
    deepwide train like=t5,layers=2,hidden=128,heads=4 --data reverse --steps 1500
    """
    question["compile"] = compile_
    carry_out(ctx, train, resumed=resumed, as_json=as_json, root=root, question=question)
