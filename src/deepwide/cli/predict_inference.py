"""`deepwide predict inference`: time to the first token, of each further one, and what it is spent on."""

from __future__ import annotations

from typing import Any

import click

from deepwide import units
from deepwide.answers.inference import Inference, predict_inference
from deepwide.answers.models import find_model
from deepwide.cli.options import AcceleratorName, ModelName, Number, reading_options
from deepwide.cli.output import bar, json_option, notes, print_fitting, title

# Part of a pass -> what it is called on a terminal.
PARTS = {
    "weights_s": "weights",
    "cache_s": "KV cache",
    "compute_s": "compute",
    "launch_s": "launches",
    "traffic_s": "all-reduce",
    "overhead_s": "overhead",
    "other_prompts_s": "other prompts",
}
BAR = 16


@click.command()
@click.argument("model", type=ModelName())
@click.option("--on", required=True, type=AcceleratorName(), metavar="ACCELERATOR", help="The accelerator.")
@click.option("--tp", default=1, show_default=True, help="Devices that share each layer (tensor parallel).")
@click.option("--pp", default=1, show_default=True, help="Stages of layers, one after the other (pipeline parallel).")
@click.option("--batch", default=1, show_default=True, help="Sequences that start together.")
@click.option("--concurrency", type=int, default=None, help="Sequences that a server keeps busy with, without end.")
@click.option("--input", type=Number(), default=1024, show_default=True, help="Tokens of a prompt.")
@click.option("--output", type=Number(), default=256, show_default=True, help="Tokens of an answer.")
@click.option("--weights", default="", help="bf16, fp8, int8, int4, awq, nf4, q4_k_m, ...  [default: bf16]")
@click.option("--cache", default="", help="Precision of the KV cache: bf16, fp8, int8, int4, fp32.  [default: bf16]")
@click.option(
    "--runtime", default="", help="vllm, sglang, tensorrt-llm, huggingface, llama.cpp, ideal, ...  [default: vllm]"
)
@click.option("--chunk", type=Number(), default=None, help="Tokens of a prompt that are read at once.")
@click.option("--acceptance", type=float, default=None, help="What speculation would bring: share of drafts accepted.")
@click.option("--draft", default=4, show_default=True, help="Tokens of a draft.")
@click.option("--draft-cost", default=0.1, show_default=True, help="Cost of a drafted token, in decode steps.")
@reading_options
@json_option()
def command(model: str, as_json: bool, like: str, instantiate: bool, online: bool, **question: Any) -> None:
    """How fast does MODEL answer? Exit 1 where it does not fit.

    \b
    deepwide predict inference llama-3.1-8b --on h100 --batch 8 --input 2048 --output 256
    deepwide predict inference llama-3-70b --on a100-sxm-80gb --tp 4 --concurrency 32
    """
    answer = predict_inference(find_model(model, like, instantiate, online), **question)
    print_fitting(answer, as_json, _draw)


def _draw(answer: Inference) -> None:
    asked = answer.service
    each = f"{answer.devices} × {answer.on}" if answer.devices > 1 else answer.on
    load = f"{asked.concurrency} served at once" if asked.concurrency else f"{asked.batch} at once"
    what = f"{answer.runtime} · {asked.weights} · {load} · {asked.input:,} + {asked.output:,} tokens"
    title(answer.model, f"inference on {each} · {what}")
    _verdict(answer)
    _measures(answer)
    _spent(answer)
    click.echo(f"  by {answer.basis}\n")
    notes(answer.notes)


def _verdict(answer: Inference) -> None:
    used, there = units.size(answer.memory_bytes), units.size(answer.capacity_bytes)
    if answer.fits:
        click.echo(f"  {click.style('It fits', fg='green', bold=True)}: {used} of {there}\n")
        return
    on_each = " on each device" if answer.devices > 1 else ""
    click.echo(f"  {click.style('It does not fit', fg='red', bold=True)}: {used} of {there}{on_each}")
    click.echo(f"  would fit:  {' | '.join(answer.remedies) or 'nothing short of a smaller model'}\n")


def _measures(answer: Inference) -> None:
    times = [("first token", "ttft_s"), ("each further token", "decode_s_per_token")]
    for name, field in times:
        low, high = units.duration(answer.low[field]), units.duration(answer.high[field])
        click.echo(f"  {name:<20}{units.duration(getattr(answer, field)):>12}   {low} to {high}")
    low_rate, high_rate = answer.low["tokens_per_s"], answer.high["tokens_per_s"]
    spoken = f"{answer.tokens_per_s:,.0f} tokens/s"
    click.echo(f"  {'written in all':<20}{spoken:>12}   {low_rate:,.0f} to {high_rate:,.0f}\n")
    if answer.speculation:
        s = answer.speculation
        gained = f"{units.duration(s.decode_s_per_token)} a token, {s.speed_up:.2f} times as fast"
        click.echo(
            f"  with drafts of {s.draft}, {s.acceptance:.0%} right: {s.tokens_per_pass:.2f} tokens a pass, {gained}\n"
        )


def _spent(answer: Inference) -> None:
    """What the prompt and a token are spent on, side by side."""
    from deepwide.cli.tables import print_table

    reading, writing = answer.breakdown["prefill"], answer.breakdown["decode"]
    totals = sum(reading.values()), sum(writing.values())
    rows = []
    for part, name in PARTS.items():
        spent = reading.get(part, 0.0), writing.get(part, 0.0)
        if any(spent):
            shares = [value / total for value, total in zip(spent, totals, strict=True)]
            cells = [(units.duration(v) if v else "–", bar(s, BAR)) for v, s in zip(spent, shares, strict=True)]
            rows.append((name, *cells[0], *cells[1]))
    print_table(("spent on", "prompt", " ", "token", "  "), rows, words=(" ", "  "))
