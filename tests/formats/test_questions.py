"""What the generic readers ask of a family stands in words on top of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import deepwide.formats.fields
from deepwide.formats.fields import SPELLINGS

FOLDER = Path(deepwide.formats.fields.__file__).parent / "readers"
# Those that read a whole rule, and what the asker or the config alone answers.
READERS = "layers decoder encoder encoder_decoder towers recurrent_mixers wrapped conformer".split()
NO_QUESTIONS = {"architecture", "task"}
ASKED = re.compile(
    r"""\b(?:c|side)(?:\.(?:number|maybe|flag|text|listed|rule\.get))?\("(\w+)\""""  # c("gated"), c.number("state")
    r"""|\b(?:c|side)\.rule\["(\w+)"\]|"(\w+)" in (?:c|side)\.rule"""
)


def halves(name: str) -> tuple[str, str]:
    """The text on top of a reader, and its code."""
    _, top, code = (FOLDER / f"{name}.py").read_text("utf-8").split('"""', 2)
    return top, code


@pytest.mark.parametrize("name", READERS)
def test_every_question_is_explained(name: str) -> None:
    explained = {word for reader in READERS for word in re.findall(r"\w+", halves(reader)[0])}
    asked = {next(filter(None, found)) for found in ASKED.findall(halves(name)[1])}
    assert set() == asked - explained - set(SPELLINGS) - NO_QUESTIONS
