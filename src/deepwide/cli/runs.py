"""`deepwide runs`: what was trained, how each run went beside its prediction, and runs side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from deepwide import units
from deepwide.cli.curves import Curve, Points, print_curves
from deepwide.cli.output import notes, print_json, title, wrapped
from deepwide.lab.store.metrics import number

if TYPE_CHECKING:
    from deepwide.answers.runs import LossAt, Measure, RunComparison, RunDetail
    from deepwide.lab.store.summary import RunSummary

ROOT = "The folder of all runs.  [default: $DEEPWIDE_RUNS, or runs]"
JSON = "One JSON object on stdout and nothing else."
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LONGEST_MODEL, LONGEST_VALUE = 36, 48
HASH, HASHES = 12, (40, 64)  # characters that are shown, of so many
LARGEST = 1e15  # no loss comes near
STYLES = {"running": "bold cyan", "finished": "green", "interrupted": "yellow", "unreadable": "red"}
COLOURS = ("blue", "yellow", "green", "magenta", "cyan", "red")


class RunName(click.ParamType[str]):
    """The NAME of a run; a shell completes those there are."""

    name = "run"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it is: the question says whether there is such a run."""
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The runs whose names begin so."""
        from deepwide.lab.store.names import run_names

        return [CompletionItem(name) for name in run_names(ctx.params.get("root")) if name.startswith(incomplete)]


def _shared(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command here; on the group they hold for what follows."""
    for option in (
        click.option("--json", "as_json", is_flag=True, callback=_inherited, help=JSON),
        click.option("--root", metavar="FOLDER", callback=_inherited, help=ROOT),
    ):
        function = option(function)
    return function


def _inherited(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """The option as it is given here, or else as it was to the group."""
    of_the_group = ctx.parent.params.get(param.name or "") if ctx.parent else None
    return value or of_the_group or value


@click.group(invoke_without_command=True)
@_shared
@click.pass_context
def command(ctx: click.Context, root: str | None, as_json: bool) -> None:
    """What was trained: every run in a folder, the newest first.

    \b
    deepwide runs
    deepwide runs show llama-4x128-0001
    deepwide runs compare llama-4x128-0001 llama-8x96-0001
    deepwide runs export --to csv --out runs.csv
    """
    if ctx.invoked_subcommand is not None:
        return
    from deepwide.answers.runs import runs

    answer = runs(root)
    if as_json:
        print_json(answer.to_dict())
        return
    if answer.runs:
        _list(answer.runs)
    notes(answer.notes)


@command.command()
@click.argument("name", type=RunName())
@_shared
def show(name: str, root: str | None, as_json: bool) -> None:
    """One run: its loss as a curve, prediction beside measurement, and what it was made with."""
    from deepwide.answers.runs import run

    answer = run(name, root)
    if as_json:
        print_json(answer.to_dict())
    else:
        _show(answer)


@command.command()
@click.argument("names", nargs=-1, required=True, type=RunName(), metavar="NAME NAME...")
@_shared
def compare(names: tuple[str, ...], root: str | None, as_json: bool) -> None:
    """Runs side by side: where they differ, and their losses after equal tokens and equal seconds."""
    from deepwide.answers.runs import compare_runs

    answer = compare_runs(names, root)
    if as_json:
        print_json(answer.to_dict())
    else:
        _compare(answer)


@command.command()
@click.argument("names", nargs=-1, type=RunName(), metavar="[NAME...]")
@click.option("--to", type=click.Choice(["csv", "parquet"]), default=None, help="[default: by the ending of FILE]")
@click.option("--out", required=True, metavar="FILE", help="The file to write; one that is there is replaced.")
@_shared
def export(names: tuple[str, ...], to: Any, out: str, root: str | None, as_json: bool) -> None:
    """Writes every logged row of these runs, or of all, as one table."""
    from deepwide.answers.runs import export_runs

    answer = export_runs(names, root, out=out, to=to)
    if as_json:
        print_json(answer.to_dict())
    else:
        click.echo(f"wrote {answer.rows:,} rows of {answer.runs} runs to {answer.out}")


def _list(found: Iterable[RunSummary]) -> None:
    from rich.text import Text

    heads = ("run", "model", "params", "step", "tokens", "val loss", "tokens/s", "status", "when")
    rows = []
    for each in found:
        numbers = (each.parameters, each.step, each.tokens)
        cells = [each.name, _short(each.model, LONGEST_MODEL), *(_count(number) for number in numbers)]
        state = Text(each.status, style=STYLES[each.status])
        rows.append((*cells, _loss(each.validation_loss), _count(each.tokens_per_s), state, _ago(each.created)))
    _table(heads, rows, words=("model", "status"))


def _show(answer: RunDetail) -> None:
    of = answer.summary
    size = f" · {units.count(of.parameters)} parameters" if of.parameters else ""
    title(of.name, f"{of.model}{size} · {click.style(of.status, fg=STYLES[of.status].split()[-1])}")
    trained, validated = (_curve(answer.metrics, key) for key in ("loss", "validation_loss"))
    _losses([("loss", trained, "blue"), ("validation loss", validated, "yellow")])
    if answer.measures:
        rows = [_measure(each) for each in answer.measures]
        _table(("", "predicted", "range", "measured", "off by"), rows)
    for name, words in _facts(answer):
        _fact(name, words)
    click.echo()


def _compare(answer: RunComparison) -> None:
    letters = dict(zip((each.name for each in answer.runs), LETTERS, strict=False))
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(letters)}
    for each in answer.runs:
        letter = click.style(letters[each.name], bold=True, fg=colours[each.name])
        click.echo(f"  {letter}  {each.name}  {click.style(each.model, dim=True)}")
    click.echo()
    validated = all(_curve(rows, "validation_loss") for rows in answer.curves)
    key = "validation_loss" if validated else "loss"
    named = zip(letters.values(), answer.curves, colours.values(), strict=True)
    _losses([(letter, _curve(rows, key), colour) for letter, rows, colour in named])
    rows = [
        (key, *(_short(_value(v), LONGEST_VALUE) for v in values), "")
        for key, values in answer.different.items()
        if key != "model"
    ]
    rows += [_at(each, f"at {units.count(round(each.at))} tokens", letters) for each in answer.at_tokens]
    rows += [_at(each, f"at {units.duration(each.at)}", letters) for each in answer.at_seconds]
    _table(("", *letters.values(), "best"), rows, words=("best",))
    click.echo("  The same in all:" if answer.same else "  Nothing is the same in all.")
    for name, words in _alike(answer.same):
        _fact(name, words)
    click.echo()
    notes(wrapped(note, len("note: ")) for note in answer.notes)


def _at(each: LossAt, where: str, letters: dict[str, str]) -> tuple[str, ...]:
    """A line of losses: by validation where all have it."""
    judged = each.validation_loss if None not in each.validation_loss else each.loss
    kind = "validation loss" if judged is each.validation_loss else "loss"
    return (f"{kind} {where}", *map(_loss, judged), letters[each.best] if each.best else "")


def _measure(each: Measure) -> tuple[str, ...]:
    spelled = _speller(each.name)
    ranged = "" if each.low is None or each.high is None else f"{spelled(each.low)} to {spelled(each.high)}"
    off = "" if each.measured is None or not each.predicted else f"{each.measured / each.predicted - 1:+.1%}"
    name = each.name.replace("_per_s", "/s").removesuffix("_bytes").replace("_", " ")
    return name, spelled(each.predicted), ranged, "–" if each.measured is None else spelled(each.measured), off


def _facts(answer: RunDetail) -> Iterator[tuple[str, str]]:
    """What the run was made with, a line each."""
    of = answer.summary
    if of.step is not None:
        yield (
            "reached",
            f"step {of.step:,}, {_count(of.tokens)} tokens, {units.duration(of.seconds or 0)}, loss {_loss(of.loss)}",
        )
    for name, values in answer.settings.items():
        words = _said(values if isinstance(values, dict) else {"": values})
        if words:
            yield name, words
    yield "seed", _value(of.seed)
    yield "begun", of.created or "unknown"
    for again in answer.resumed:
        yield "resumed", f"{_value(again.get('at'))} from step {_value(again.get('step'))}"
    if of.finished:
        yield "finished", of.finished


def _fact(name: str, words: str) -> None:
    click.echo(f"  {click.style(f'{name:<14}', bold=True)}{wrapped(words, 16)}")


def _alike(same: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Settings that runs share, a line for each of their tables."""
    groups: dict[str, dict[str, Any]] = {}
    for key, value in same.items():
        table, _, name = key.partition(".")
        groups.setdefault(table, {})[name] = value
    yield from ((table, words) for table, values in groups.items() if (words := _said(values)))


def _said(values: Mapping[str, Any]) -> str:
    """Names and values in a line."""
    told = ((name, value) for name, value in values.items() if value is not None and value != [])
    return ", ".join(f"{_value(name)} {_short(_value(value), LONGEST_VALUE)}".strip() for name, value in told)


def _losses(curves: Sequence[Curve]) -> None:
    print_curves(curves, lambda tokens: f"{units.count(round(tokens))} tokens", lambda loss: f"{loss:.3f}")


def _curve(rows: Iterable[Mapping[str, Any]], key: str) -> Points:
    """What was logged of a loss, over tokens; where it was not finite there is nothing to draw."""
    pairs = ((number(row, "tokens"), number(row, key)) for row in rows)
    return sorted((x, y) for x, y in pairs if x is not None and y is not None and abs(y) < LARGEST)


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]], words: Sequence[str] = ()) -> None:
    """A table whose cells may be coloured; it is as wide as its cells need."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for i, head in enumerate(heads):
        table.add_column(head, justify="left" if i == 0 or head in words else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False, markup=False, emoji=False)
    console.width = max(console.width, console.measure(table, options=console.options.update(max_width=400)).maximum)
    console.print(table)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _value(value: Any) -> str:
    """A setting as it reads; a hash by its beginning, a text from outside on one line."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    text = "–" if value is None else str(value)
    text = text[:HASH] if len(text) in HASHES and text.isalnum() else text
    return text if text.isprintable() else ascii(text)[1:-1]


def _speller(name: str) -> Callable[[float], str]:
    """How a measure is spelled, by the end of its name."""
    if name.endswith(("_per_s", "tokens", "parameters", "steps")):
        return units.count
    if name.endswith("_bytes"):
        return units.size
    if name.endswith("_s") or name == "seconds":
        return units.duration
    if name in ("mfu", "efficiency") or name.endswith("_share"):
        return lambda value: f"{value:.1%}"
    return lambda value: f"{value:.4g}"


def _count(value: float | None) -> str:
    return "–" if value is None else units.count(value)


def _loss(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _ago(created: str) -> str:
    """How long ago that was; the text itself where it is no time."""
    try:
        passed_s = (datetime.now(UTC) - datetime.fromisoformat(created)).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return _short(created, 20)
    return "just now" if passed_s < 1 else f"{units.duration(round(passed_s))} ago"
