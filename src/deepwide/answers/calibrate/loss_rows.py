"""A user's own training runs as rows: which shape, how many tokens, which loss.

A shape is a MODEL, or its layers and hidden size with what else is known of it. The headings of published tables
(d_model, n_layers, params_nonemb, ...) do as well, and what such a table says beyond is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from deepwide.answers.calibrate.rows import Columns, Row, Rows, measured_rows, told
from deepwide.answers.limits import MOST_TOKENS, whole
from deepwide.answers.loss import unsayable
from deepwide.answers.models import find_model
from deepwide.errors import BadInput
from deepwide.quality.law_file import RECIPE
from deepwide.quality.runs import Runs, runs_of
from deepwide.quality.trained import trained

# As published tables call them -> as they are called here.
OTHER_NAMES = {
    "d_model": "hidden",
    "n_layers": "layers",
    "n_heads": "heads",
    "n_kv_heads": "kv_heads",
    "d_ff": "ffn",
    "params_nonemb": "body",
    "params_total": "parameters",
    "run_id": "run",
}
SHAPE = ("layers", "hidden", "heads", "kv_heads", "ffn", "vocab")
RECIPE_WORDS = ("recipe", "loss_kind", "lr_schedule", "dataset")
PASSED_OVER = ("source", "shape_id", "ffn_kind", "head_dim", "tied", "seq_len", "tokenizer")
COLUMNS = Columns(
    words=("model", "run", *RECIPE_WORDS, *PASSED_OVER, "run_id"),
    counts=(*SHAPE, "body", "parameters", "tokens", *(n for n in OTHER_NAMES if n != "run_id")),
    measures=("loss",),
    needed=("tokens", "loss"),
    most=5000,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRuns:
    """The runs as columns, where each stands, what each is, and how many rows belong to one run."""

    runs: Runs
    where: tuple[str, ...]
    named: tuple[str, ...]
    alike: float


def own_runs(rows: Rows) -> OwnRuns:
    """Every loss of a file, or of a sequence of mappings; all by one recipe."""
    found = [_renamed(row) for row in measured_rows(rows, COLUMNS)]
    recipes = {tuple(str(row.asked.get(word, "")) for word in RECIPE_WORDS): row.where for row in found}
    if len(recipes) > 1:
        first, second = (", ".join(filter(None, words)) for words in list(recipes)[:2])
        raise BadInput(
            f"{list(recipes.values())[1]}: losses by {len(recipes)} recipes ({first[:60]!r}, {second[:60]!r}, ...) "
            "are not of one level; keep the rows of one"
        )
    columns = [told(row, _run) for row in found]
    labels = {str(row.asked["run"]) for row in found if "run" in row.asked}
    return OwnRuns(
        runs=runs_of(columns),
        where=tuple(row.where for row in found),
        named=tuple(_name(row, column) for row, column in zip(found, columns, strict=True)),
        alike=len(found) / len(labels) if labels else 1.0,
    )


def _renamed(row: Row) -> Row:
    """The row under our own names; a thing said under both is refused."""
    asked: dict[str, Any] = {}
    for name, value in row.asked.items():
        own = OTHER_NAMES.get(name, name)
        if own in asked:
            raise BadInput(f"{row.where}: {own} and another name for it say the same twice; keep one")
        asked[own] = value
    return Row(where=row.where, asked=asked, measured=row.measured)


def _run(row: Row) -> dict[str, Any]:
    """The columns of one run."""
    asked = row.asked
    for name in ("tokens", *SHAPE, "body", "parameters"):
        if name in asked and not asked[name] > 0:
            raise BadInput(f"{name}={asked[name]} must be positive")
    for name in ("tokens", "body", "parameters"):
        whole(name, asked.get(name, 1), 1, MOST_TOKENS)
    size = _stated(asked) if "body" in asked and "model" not in asked else _counted(_spec(asked))
    return {**size, "tokens": asked["tokens"], "loss": row.measured["loss"], "recipe": RECIPE}


def _stated(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes of a shape whose body the table states; its head is vocab * hidden."""
    for name in ("layers", "hidden", "vocab"):
        if name not in asked:
            raise BadInput(f"{name} is missing; a run whose parameters are stated needs layers, hidden, vocab too")
    head = asked["vocab"] * asked["hidden"]
    total = asked.get("parameters", asked["body"] + 2 * head)
    return {n: asked[n] for n in ("body", "layers", "hidden")} | {"head": head, "total": total}


def _spec(asked: Mapping[str, Any]) -> str:
    """The MODEL of a row."""
    if "model" in asked:
        return str(asked["model"])
    if "layers" not in asked or "hidden" not in asked:
        raise BadInput("no shape; give a model, or its layers and hidden")
    return ",".join(f"{name}={asked[name]}" for name in SHAPE if name in asked)


@cache
def _counted(spec: str) -> dict[str, Any]:
    """Sizes of a MODEL, from its ledger."""
    model = find_model(spec)
    if reasons := unsayable(model):
        raise BadInput(f"{spec}: {reasons[0]}")
    of = trained(model.described(), model.ledger, 1.0)
    return {"body": of.active, "head": of.head, "total": of.total, "layers": of.layers, "hidden": of.hidden}


def _name(row: Row, column: Mapping[str, Any]) -> str:
    return str(row.asked.get("run") or row.asked.get("model") or f"{column['hidden']:.0f} x {column['layers']:.0f}")


def shapes_in(runs: Runs) -> Sequence[str]:
    """The shapes, each once."""
    return sorted(set(runs.shapes.tolist()))
