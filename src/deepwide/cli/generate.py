"""`deepwide generate`: a trained model writes, and shows what happens to a token inside it."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

import click

from deepwide.cli.options import Number
from deepwide.cli.output import json_option, notes, print_json, wrapped
from deepwide.cli.runs import ROOT, RunName

if TYPE_CHECKING:
    from deepwide.answers.generate import Generation, TokenTrace
    from deepwide.lab.generation import Change


@click.command()
@click.argument("model", type=RunName(), metavar="RUN_OR_FOLDER")
@click.option("--prompt", metavar="TEXT", help="What the text begins with.  [default: the beginning of a new text]")
@click.option("--tokens", type=Number(), default=200, show_default=True, help="How many are written at most.")
@click.option("--temperature", default=0.8, show_default=True, help="0 always takes the best token.")
@click.option("--top-k", type=int, help="Draw from the k best tokens only.")
@click.option("--top-p", type=float, help="Draw from the likeliest that together reach this probability.")
@click.option("--seed", default=0, show_default=True, help="The same seed, the same text.")
@click.option("--trace", is_flag=True, help="Follow a token that comes twice through the layers.")
@click.option("--root", metavar="FOLDER", help=ROOT)
@json_option()
def command(model: str, as_json: bool, **question: Any) -> None:
    """A trained model writes: a run of the lab, or a folder of Hugging Face's (config.json, model.safetensors).

    A masked model fills in every [MASK] of the prompt.

    \b
    deepwide generate llama-4x128-0001 --prompt "def "
    deepwide generate llama-4x128-0001 --prompt "import os, os" --temperature 0 --trace
    """
    from deepwide.answers.generate import generate

    if as_json:
        print_json(generate(model, **question).to_dict())
        return
    try:
        answer = generate(model, write=_show, **question)
    except KeyboardInterrupt:
        click.echo()  # what was written stays on lines of its own
        raise
    click.echo("\n")
    _say_speed(answer)
    if answer.trace is not None:
        _draw(answer.trace)
    notes(wrapped(note, len("note: ")) for note in answer.notes)


def _show(text: str, new: bool) -> None:
    """A piece of text as soon as it is known: the prompt in bold, what the model adds as it is."""
    click.echo(click.style(_visible(text), bold=not new) if text else "", nl=False)


def _visible(text: str) -> str:
    """The text without what would steer the terminal."""
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" and c not in "\n\t" else c for c in text)


def _say_speed(answer: Generation) -> None:
    speed = "" if answer.tokens_per_s is None else f" · {answer.tokens_per_s:,.0f} tokens/s"
    if answer.tokens_per_s is not None and answer.predicted_s:
        speed += f" (predicted {1 / answer.predicted_s:,.0f})"
    few = "token" if answer.tokens == 1 else "tokens"
    said = f"{answer.model} · {answer.tokens} {few} after {answer.prompt_tokens}{speed} · seed {answer.seed}"
    click.secho(f"  {said}\n", dim=True)


def _draw(seen: TokenTrace) -> None:
    """Two comparisons at each height of the model, and what they show."""
    from deepwide.cli.tables import print_table

    first, last = seen.trace.places
    name = click.style(repr(seen.text), bold=True)
    click.echo(f"  {name} at place {last}, set beside itself at another place, and after another text\n")
    heads = ("", f"at place {first}", "cosine", "after another text", "cosine")
    print_table(heads, [(each.name, *_cells(each.place), *_cells(each.context)) for each in seen.trace.levels])
    click.echo(f"  {wrapped(seen.says, 2)}\n")
    same = "the same as before" if seen.weights_after == seen.weights_before else "NOT those of before"
    click.secho(f"  weights after writing: sha256 {seen.weights_after[:12]}, {same}\n", dim=True)


def _cells(change: Change) -> tuple[str, str]:
    return ("same" if change.distance == 0 else f"{change.distance:.3f} away"), f"{change.cosine:.3f}"
