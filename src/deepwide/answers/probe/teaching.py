"""A short training inside a probe, by the lab's own loop; what it made is kept, so that asking again goes on.

Checkpoints lie under ROOT/.probes, in a folder named after all that decides the weights. They may be removed.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepwide.answers.train.setting import Setting
from deepwide.errors import BadInput

if TYPE_CHECKING:
    from deepwide.lab.network import Transformer

KEPT = ".probes"
KEY_LETTERS = 20
EVERY_S = 3.0  # between two lines of progress
VERSION = 2  # of what is kept: raised where the same question would be answered otherwise
Watch = Callable[[str], object]


def unwatched(_: str) -> None:
    """Nobody looks on."""


def key_of(question: Mapping[str, Any]) -> str:
    """The name of what a question makes."""
    text = json.dumps({"version": VERSION, **question}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LETTERS]


def taught(model: Transformer, one: Setting, root: Path, watch: Watch, label: str) -> float:
    """Trains a fresh model in place for the steps of its setting, or takes up what was; its validation loss in nats.

    BadInput where the training diverges.
    """
    from deepwide.lab.training import mean_loss, newest, train, write

    folder = root / KEPT / key_of(_identity(one))
    found = newest(folder)
    outcome = train(
        model,
        one.recipe,
        batches=one.feed.batches,
        report=_Progress(watch, label, one.recipe.total_steps),
        save=partial(write, folder, keep=1),
        start=found.checkpoint if found else None,
    )
    if outcome.status != "done":
        raise KeyboardInterrupt
    return mean_loss(model, one.feed.validation(), next(model.parameters()).device)


def _identity(one: Setting) -> dict[str, Any]:
    """All that decides the weights of a short training."""
    corpus = one.corpus
    return {
        "model": one.model.name,
        "parameters": int(one.model.ledger.parameters()),
        "recipe": one.recipe.sha256,
        "corpus": corpus.sha256,
        "tokenizer": hashlib.sha256(corpus.tokenizer.engine.to_str().encode()).hexdigest(),
    }


class _Progress:
    """Says every few seconds how far a training is."""

    def __init__(self, watch: Watch, label: str, steps: int) -> None:
        self.watch, self.label, self.steps, self.said = watch, label, steps, time.monotonic()

    def __call__(self, row: Mapping[str, float | int]) -> None:
        """Takes a row of the loop."""
        if time.monotonic() - self.said >= EVERY_S and "loss" in row:
            self.said = time.monotonic()
            self.watch(f"{self.label}: step {row['step']:,} of {self.steps:,}, loss {row['loss']:.3f}")


def kept_part(root: Path, question: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """A part of an answer that was worked out before; None where it was not, or cannot be read."""
    from deepwide.lab.store.files import json_table

    try:
        part = json_table(_file(root, question)).get(name)
    except BadInput:
        return None
    return part if isinstance(part, dict) else None


def keep_part(root: Path, question: Mapping[str, Any], name: str, part: Mapping[str, Any]) -> None:
    """Keeps a part of an answer beside those that are there, the file being the old one or the new."""
    from deepwide.lab.store.files import json_bytes, json_table, replace_whole, written

    path = _file(root, question)
    try:
        there = json_table(path)
    except BadInput:
        there = {"question": dict(question)}
    with written(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_whole(path, json_bytes({**there, name: dict(part)}))


def _file(root: Path, question: Mapping[str, Any]) -> Path:
    return root / KEPT / f"{key_of(question)}.json"
