"""`deepwide export`: a run with its weights for Hugging Face, or a model's shape for training engines."""

from __future__ import annotations

from typing import Any

import click

from deepwide.cli.options import ModelName
from deepwide.cli.output import json_option, print_json
from deepwide.cli.runs import ROOT
from deepwide.formats.export import TARGETS


@click.command()
@click.argument("model", type=ModelName(), metavar="MODEL_OR_RUN")
@click.option("--to", required=True, metavar="TARGET", help=f"One of {', '.join(TARGETS)}.")
@click.option("--out", metavar="FOLDER|FILE", help="Where to.  [default: a config is printed]")
@click.option("--root", metavar="FOLDER", help=ROOT)
@click.option("--online", is_flag=True, help="Allow Hub ids (owner/name): fetch their config.json.")
@json_option()
def command(model: str, as_json: bool, **question: Any) -> None:
    """Writes a trained run for Hugging Face, or a MODEL's shape for a training engine.

    \b
    A run gives a folder that transformers loads: config.json, model.safetensors, tokenizer.json.
    A MODEL gives its config.json, or what makes the same shape in Megatron-LM, torchtitan, LitGPT, nanotron.

    \b
    deepwide export llama-4x128-0001 --to huggingface --out my-llama
    deepwide export llama-3-8b,layers=48 --to megatron
    """
    from deepwide.answers.export import export

    answer = export(model, **question)
    if as_json:
        print_json(answer.to_dict())
        return
    if answer.files:
        click.echo(f"{answer.model} is written to {answer.out}: {', '.join(answer.files)}")
    else:
        click.echo(answer.text, nl=False)
    for note in answer.notes:  # beside the text, which may go on into a file
        click.secho(f"note: {note}", fg="yellow", err=True)
