"""`deepwide memory`: does it fit, and what would make it fit."""

from __future__ import annotations

from typing import Any

import click

from deepwide import units
from deepwide.answers.load import SEARCHED_CONTEXT
from deepwide.answers.memory import PARTS, Memory, memory
from deepwide.answers.models import find_model
from deepwide.cli.options import AcceleratorName, ModelName, Number, reading_options
from deepwide.cli.output import bar, json_option, notes, print_fitting, title


@click.command()
@click.argument("model", type=ModelName())
@click.option(
    "--on",
    required=True,
    type=AcceleratorName(),
    metavar="ACCELERATOR",
    help="The accelerator; `deepwide accelerators` lists them.",
)
@click.option("--devices", default=1, show_default=True, help="How many hold the model (tensor parallel, or ZeRO).")
@click.option("--weights", default="bf16", show_default=True, help="bf16, fp8, int8, int4, nf4, q4_k_m, ...")
@click.option("--cache", default="bf16", show_default=True, help="Precision of the KV cache: bf16, fp8, int8, int4.")
@click.option("--context", type=Number(), default=4096, show_default=True, help="Tokens of each sequence.")
@click.option("--batch", default=1, show_default=True, help="Sequences at once; per device when training.")
@click.option(
    "--chunk", type=Number(), default=2048, show_default=True, help="Tokens of a prompt that are read at once."
)
@click.option("--eager", is_flag=True, help="Plain kernels, as in transformers, instead of an engine's fused ones.")
@click.option("--train", is_flag=True, help="Training instead of inference.")
@click.option("--lora", type=int, default=None, metavar="RANK", help="Train adapters of this rank.")
@click.option("--targets", default="all", show_default=True, help="Of the adapters: query,value, attention, ffn, all.")
@click.option("--optimizer", default="adamw", show_default=True, help="adamw, adamw-8bit, adafactor, sgd, muon.")
@click.option("--recompute", default="none", show_default=True, help="none, selective, full.")
@click.option("--attention", default="flash", show_default=True, help="Attention kernel: flash, sdpa, eager.")
@click.option("--zero", default=0, show_default=True, help="ZeRO stage over the devices, when training.")
@reading_options
@json_option()
def command(
    model: str, as_json: bool, like: str, instantiate: bool, online: bool, eager: bool, **question: Any
) -> None:
    """Does MODEL fit? Yes (exit 0) or no (exit 1), the bytes, and the largest context and batch that fit.

    \b
    deepwide memory llama-2-13b --on rtx-3060-12gb --weights int4
    deepwide memory llama-3-8b --on a100-sxm-80gb --train --recompute full
    """
    answer = memory(find_model(model, like, instantiate, online), fused=not eager, **question)
    print_fitting(answer, as_json, _draw)


def _draw(answer: Memory) -> None:
    load = answer.load
    what = f"training{f' rank-{load.lora} adapters' if load.lora else ''}" if load.train else "inference"
    each = f"{load.devices} × {answer.on}" if load.devices > 1 else answer.on
    title(answer.model, f"{what} on {each} · {load.weights} · {load.batch} × {load.context:,} tokens")
    verdict = (
        click.style("Yes, it fits", fg="green", bold=True) if answer.fits else click.style("No", fg="red", bold=True)
    )
    used, there = units.size(answer.total_bytes), units.size(answer.capacity_bytes)
    click.echo(f"  {verdict}: {used} of {there} ({answer.total_bytes / answer.capacity_bytes:.0%})\n")
    for part in PARTS:
        size_bytes = getattr(answer, f"{part}_bytes")
        if size_bytes:
            drawn = click.style(bar(size_bytes / max(answer.total_bytes, answer.capacity_bytes)), fg="blue")
            click.echo(f"  {part.replace('_', ' '):<12}{units.size(size_bytes):>12}  {drawn}")
    click.echo()
    _limits(answer)
    for remedy in answer.remedies:
        click.echo(f"  would fit:  {remedy}")
    if answer.remedies:
        click.echo()
    notes(answer.notes)


def _limits(answer: Memory) -> None:
    load = answer.load
    beyond = answer.memory_context > answer.max_context
    held = "any length" if answer.memory_context == SEARCHED_CONTEXT else f"{answer.memory_context:,}"
    more = f" (all the model states; memory would hold {held})" if beyond else ""
    endless = " or more" if answer.max_context == SEARCHED_CONTEXT else ""
    click.echo(f"  longest context at batch {load.batch:,}: {answer.max_context:,} tokens{endless}{more}")
    click.echo(f"  largest batch at {load.context:,} tokens: {answer.max_batch:,}\n")
