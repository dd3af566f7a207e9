"""What the commands in the pages print: run in one process, compared with the pages, written into them.

    python docs/outputs.py            # say which pages show something else than the commands print today
    python docs/outputs.py --write    # write what they print into the pages
    python docs/outputs.py --notebook # execute the notebook, and keep what its cells show

A fenced block marked `console` holds commands after `$ ` and what they print; what is behind a pipe is the shell's.
Commands that build or train something write files and take their time: they are run with `--slow` alone, in a folder
that is thrown away.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    ROOT / "README.md",
    ROOT / "README.zh-CN.md",
    ROOT / "docs/tour.md",
    *sorted((ROOT / "docs/questions").glob("*.md")),
)
NOTEBOOK = ROOT / "docs/notebook.ipynb"
WORKING = (  # the first words of commands that train, measure, or need what another command left behind
    *("train", "finetune", "distill", "sweep", "calibrate", "generate", "quantize", "prune", "probe", "runs"),
    *("export", "serve", "claims"),
)
FILES = (".csv", ".html", ".toml")  # that a reader has and the repository has not, or that would be written
WIDTH = "100"  # columns of the terminal that the pages show
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)
PASSING = re.compile(r"\bin \d+(?:\.\d+)? (?:ms|s|min)\b")  # how long a search took, which is never the same twice


class Shown(NamedTuple):
    """One command of a page, and what the page says that it prints."""

    command: str
    output: str


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    printed: str  # on stdout
    shown: str  # on the terminal, where errors and progress stand between


def shown(page: str) -> Iterator[Shown]:
    """The commands of a page's console blocks, each with the lines below it."""
    for block in BLOCK.findall(page):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, output = part.partition("\n")
            yield Shown(command, output.rstrip())


def works(command: str) -> bool:
    """Whether a command trains, measures, writes, or reads what another left behind."""
    words = shlex.split(command)
    if words[:3] == ["deepwide", "claims", "show"]:
        return False
    return words[0] != "deepwide" or words[1] in WORKING or any(Path(word).suffix in FILES for word in words)


def rewritten(page: str, slow: bool = False) -> str:
    """The page with what its commands print today."""

    def block(match: re.Match[str]) -> str:
        parts = [
            f"$ {each.command}\n" + (f"{text}\n" if (text := _text(each, slow)) else "") for each in shown(match[0])
        ]
        return "```console\n" + "\n".join(parts) + "```"

    return BLOCK.sub(block, page)


def _text(each: Shown, slow: bool) -> str:
    """What to show below a command: what it prints, or what stands there if that differs in passing times alone."""
    if works(each.command) and not slow:
        return each.output
    printed = output(each.command)
    return each.output if steady(printed) == steady(each.output) else printed


def steady(text: str) -> str:
    """The text without the seconds that a search happened to take."""
    return PASSING.sub("in …", text)


@cache
def output(command: str) -> str:
    """What a command shows on a terminal, without spaces at the ends of lines; a pipe behind it is the shell's."""
    first, _, rest = command.partition(" | ")
    ended = run(shlex.split(first)[1:])
    shown = ended.shown
    if rest:
        filtered = subprocess.run(
            ["bash", "-c", rest], input=ended.printed, capture_output=True, text=True, check=False
        )
        shown = filtered.stdout
    return "\n".join(line.rstrip() for line in shown.splitlines()).strip("\n")


class Seen(io.StringIO):
    """A stream whose text is seen on a terminal, too."""

    def __init__(self, terminal: io.StringIO) -> None:
        super().__init__()
        self.terminal = terminal

    def write(self, text: str) -> int:
        """Writes it in both places."""
        self.terminal.write(text)
        return super().write(text)


@cache
def _run(arguments: tuple[str, ...]) -> Ended:
    from deepwide.cli.main import main

    os.environ["COLUMNS"] = WIDTH
    terminal = io.StringIO()
    printed = Seen(terminal)
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(terminal):
        try:
            main(list(arguments))
        except SystemExit as end:
            return Ended(int(end.code or 0), printed.getvalue(), terminal.getvalue())
    raise AssertionError("the command line ends with a code")


def run(arguments: list[str]) -> Ended:
    """Exit code, output and errors of a command, in this process; asked again, it is not run again."""
    return _run(tuple(arguments))


def execute_notebook() -> None:
    """Runs the notebook from top to bottom and writes it with its outputs; figures as data that Jupyter draws."""
    import nbformat
    from nbclient import NotebookClient

    os.environ["PLOTLY_RENDERER"] = "plotly_mimetype"
    book = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(book, record_timing=False).execute()
    nbformat.write(book, NOTEBOOK)


def refreshed() -> int:
    """Compares the pages with what the commands print, or writes them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--slow", action="store_true")
    parser.add_argument("--notebook", action="store_true")
    parser.add_argument("pages", nargs="*", type=Path, default=PAGES)
    given = parser.parse_args()
    if given.notebook:
        execute_notebook()
        return 0
    pages = {path.resolve(): path.read_text() for path in given.pages}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        now = {path: rewritten(page, given.slow) for path, page in pages.items()}
    stale = [path for path, page in pages.items() if now[path] != page]
    for path in stale:
        print(f"{path.relative_to(ROOT)}: {'written' if given.write else 'is out of date'}")
        if given.write:
            path.write_text(now[path])
    return int(bool(stale) and not given.write)


if __name__ == "__main__":
    sys.exit(refreshed())
