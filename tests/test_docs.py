"""The documentation is true: every command and every Python block in it runs, and prints what the page shows."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import click
import pytest

import deepwide
from deepwide.cli.main import cli

ROOT = Path(__file__).parent.parent


def load(path: Path) -> ModuleType:
    spec = spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


outputs = load(ROOT / "docs/outputs.py")
NOTEBOOK = outputs.NOTEBOOK
PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in outputs.PAGES}


def commands(page: str) -> Iterator[str]:
    """Every `deepwide ...` of a page: in its blocks, and between backticks."""
    blocks = re.findall(r"^```(?:sh|console)\n(.*?)^```$", page, re.M | re.S)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    for line in lines + re.findall(r"`(deepwide [^`]+)`", re.sub(r"^```.*?^```$", "", page, flags=re.M | re.S)):
        if line.startswith("deepwide "):
            yield line.partition(" | ")[0].partition("  #")[0].strip()


def parsed(arguments: list[str]) -> None:
    """Reads a command to its last option without running it; a word that it does not know is an error."""
    context, command = click.Context(cli, info_name="deepwide"), cli
    while isinstance(command, click.Group) and arguments:
        name, found, arguments = command.resolve_command(context, arguments)
        assert name
        assert found
        if not isinstance(found, click.Group):
            if arguments:  # a mention in a sentence names the command alone
                found.make_context(name, arguments, parent=context)
            return
        context, command = click.Context(found, parent=context, info_name=name), found


def told() -> list[str]:
    return sorted({command for page in PAGES.values() for command in commands(page) if "MODEL" not in command})


def answering() -> Iterator[Any]:
    """The commands that give an answer; searches whose answer no page shows take their time at night."""
    seen = {each.command.partition(" | ")[0] for page in PAGES.values() for each in outputs.shown(page)}
    for command in told():
        if not outputs.works(command):
            slow = command.startswith("deepwide design") and command not in seen
            yield pytest.param(command, marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize("command", list(answering()))
def test_a_command_of_the_pages_answers(command: str) -> None:
    known_refusal = "heads=30" in command
    assert outputs.run(shlex.split(command)[1:]).code in ((2,) if known_refusal else (0, 1))


@pytest.mark.parametrize("command", [each for each in told() if outputs.works(each)])
def test_a_command_of_the_pages_that_works_for_long_is_understood(command: str, tmp_path: Path) -> None:
    parsed(shlex.split(command)[1:])


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_what_its_commands_print(page: str) -> None:
    assert outputs.rewritten(PAGES[page]) == PAGES[page]


def python(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGES[page], re.M | re.S)


@pytest.mark.parametrize("page", sorted(set(PAGES) - {"README.zh-CN.md"}))
def test_the_python_of_a_page_runs(page: str) -> None:
    names: dict[str, object] = {}
    for block in python(page):
        exec(compile(block, page, "exec"), names)


def test_both_readmes_show_the_same_commands_and_python() -> None:
    english, chinese = "README.md", "README.zh-CN.md"
    assert set(commands(PAGES[english])) == set(commands(PAGES[chinese]))
    assert python(english) == python(chinese)


def test_the_reference_names_every_question() -> None:
    named = re.findall(r"^\.\. autofunction:: deepwide\.(\w+)$", (ROOT / "docs/reference.md").read_text(), re.M)
    assert sorted(deepwide.__all__) == sorted(named)


class Cell(NamedTuple):
    source: str
    html: list[str]


def cells() -> list[Cell]:
    """The code of the notebook, and the tables that it holds as outputs."""
    book = json.loads(NOTEBOOK.read_text())
    return [
        Cell(
            "".join(cell["source"]),
            ["".join(shown["data"]["text/html"]) for shown in cell["outputs"] if "text/html" in shown.get("data", {})],
        )
        for cell in book["cells"]
        if cell["cell_type"] == "code"
    ]


@pytest.mark.slow
def test_the_notebook_shows_the_tables_that_its_cells_make_today() -> None:
    names: dict[str, Any] = {}
    for cell in cells():
        *first, last = ast.parse(cell.source).body
        exec(compile(ast.Module(first, []), str(NOTEBOOK), "exec"), names)
        if isinstance(last, ast.Expr):
            made = eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names)
            if cell.html:
                assert [made._repr_html_()] == cell.html
        else:
            exec(compile(ast.Module([last], []), str(NOTEBOOK), "exec"), names)


@pytest.mark.slow
def test_the_tour_leads_to_a_trained_model(tmp_path: Path) -> None:
    for command in commands(PAGES["docs/tour.md"]):
        if "--help" not in command and "serve" not in command:
            words = [sys.executable, "-m", *shlex.split(command)]
            subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)


@pytest.mark.slow
def test_the_site_is_built_without_a_broken_link(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--quiet", str(ROOT / "docs"), str(tmp_path)]
    ended = subprocess.run(build, capture_output=True, text=True, check=False)
    assert 0 == ended.returncode, ended.stderr
    pages = "".join(path.read_text() for path in tmp_path.glob("**/*.html"))
    assert [] == re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?://[^"]+"', pages)
