"""The documentation site: `make docs` builds it into build/site, and fails where a link leads nowhere.

The pages are the Markdown of this folder. Nothing is fetched when it is built or read: the theme brings its own styles,
plotly its own program.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
from typing import Any

project = "deepwide"
author = "The deepwide authors"
release = importlib.metadata.version("deepwide")

extensions = ["myst_nb", "sphinx.ext.autodoc"]
exclude_patterns = ["lab/figures/*.md"]
html_theme = "furo"
html_title = f"deepwide {release}"
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_theme_options = {"light_css_variables": {"code-font-size": "0.72rem"}}  # 100 columns of a terminal in sight

myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
os.environ["PLOTLY_RENDERER"] = "notebook"  # the page carries plotly's program, so it needs no network

suppress_warnings = ["ref.python"]  # two answers are called Training: of a prediction, and of a run of the lab
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 88


MATHJAX = re.compile(r'<script src="https://cdnjs\.cloudflare\.com/ajax/libs/mathjax/[^>]*></script>')


def laid_out(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keeps the columns of a docstring: a paragraph that is set in columns, or indented, is shown as it stands."""
    paragraphs = "\n".join(lines).strip().split("\n\n")
    lines[:] = "\n\n".join(_literal(each) if _in_columns(each) else each for each in paragraphs).split("\n")


def _in_columns(paragraph: str) -> bool:
    return ">>>" not in paragraph and bool(re.search(r"^\s|\S {2,}\S", paragraph, re.M))


def _literal(paragraph: str) -> str:
    return "::\n\n" + "\n".join(f"    {line}" for line in paragraph.split("\n"))


def without_mathjax(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Takes out the one thing that plotly's figures would fetch, a setter of formulas; they have none."""
    context["body"] = MATHJAX.sub("", context.get("body", ""))


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("html-page-context", without_mathjax)
    app.connect("autodoc-process-docstring", laid_out)
