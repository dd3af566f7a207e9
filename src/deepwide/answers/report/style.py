"""One look for reports and the page: colours as variables, named once here, and the style sheet that both share.

Figures take their colours from `figures.theme`, and so do the variables. A report is read on white paper; the page
follows the reader's system into the dark.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deepwide.answers.figures.theme import (
    BLUE,
    FONT,
    GREEN,
    GRID,
    INK,
    MARK,
    ORANGE,
    PAPER,
    PART_COLOURS,
    PURPLE,
    QUIET,
)

SHARED = Path(__file__).parent / "shared.css"
LIGHT = {
    "ink": INK,
    "quiet": QUIET,
    "grid": GRID,
    "paper": PAPER,
    "mark": MARK,
    "soft": "#f6f8fa",
    "chosen": "#fff1e8",
    "link": "#0550ae",
    "edge": "#8b949e",
    "good": "#116329",
    "bad": "#a40e26",
    "loss": BLUE,
    "decode": GREEN,
    "training": ORANGE,
    "sums": PURPLE,
    **{f"part-{name}": colour for name, colour in PART_COLOURS.items()},
}
DARK = {
    "ink": "#e6edf3",
    "quiet": "#a3adb8",
    "grid": "#30363d",
    "paper": "#0d1117",
    "mark": "#ff8f5e",
    "soft": "#161b22",
    "chosen": "#3a2318",
    "link": "#79c0ff",
    "edge": "#6e7681",
    "good": "#56d364",
    "bad": "#ff9492",
    "loss": "#58a6ff",
    "decode": "#2fc49a",
    "part-router": "#e6edf3",
    "part-other": "#6e7681",
}


def report_style() -> str:
    """The style of a report: light, as paper is."""
    return f"{_rule(':root', LIGHT, 'light')}\n{shared()}"


def page_style() -> str:
    """The style that the page begins with: light or dark as the system has it, or as the reader chose."""
    dark = _rule(':root:not([data-theme="light"])', DARK, "dark")
    chosen = _rule(':root[data-theme="dark"]', DARK, "dark")
    light = _rule(":root", LIGHT, "light")
    return f"{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}\n{chosen}\n{shared()}"


def shared() -> str:
    """What both have in common: type, tables, figures, notes."""
    return SHARED.read_text("utf-8")


def _rule(selector: str, colours: Mapping[str, str], scheme: str) -> str:
    named = " ".join(f"--{name}: {colour};" for name, colour in colours.items())
    return f"{selector} {{ color-scheme: {scheme}; --font: {FONT}; {named} }}"
