"""Loss: of training runs whose shape is known, in nats per token, by the shape law with the constants of their recipe.

The laws' constants were fitted on rows of these same tables (benchmarks/fit_loss.py), the sixteen public Gemstones
shapes among them; rows of other shapes are held out. A group is a recipe: a source, what was measured on, the
schedule, the corpus; levels belong to a recipe, never to a row or a shape. Peer: the Chinchilla form on all parameters,
and on the body alone, fitted on the same rows. Baseline: one loss for all rows of a recipe, their median. The
interval holds 95% of the losses of a shape that the fit has not seen.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accuracy_rows import Row
from loss_cases import Case, Unreadable, readings, runs

from deepwide.facts.shape_law import recipes
from deepwide.quality.fit import Fitted
from deepwide.quality.forms import LAWS
from deepwide.quality.held_out import errors
from deepwide.quality.shape import shape_loss

PEERS_FILE = Path(__file__).with_name("loss_peers.json")
PEERS = {"chinchilla": "Chinchilla, all parameters", "chinchilla-body": "Chinchilla, body"}
OWN = "the shape law"
UNREADABLE = "rows that are no run"
COLUMNS = ("body", "head", "layers", "hidden", "tokens")


def rows(folder: Path) -> Iterator[Row]:
    """One row per published loss."""
    by_recipe: dict[str, list[Case]] = {}
    for read in readings(folder):
        if isinstance(read, Unreadable):
            yield Row(id=read.id, source=UNREADABLE, excluded=read.why)
        else:
            by_recipe.setdefault(read.recipe, []).append(read)
    for recipe, found in by_recipe.items():
        yield from _rows(recipe, found)


def _rows(recipe: str, found: list[Case]) -> Iterator[Row]:
    known = recipes().get(recipe)
    if known is None:
        for case in found:
            yield Row(
                id=case.id, source=case.source, excluded="no runs of this recipe were fitted: its level is unknown"
            )
        return
    columns = [np.array([getattr(case, name) for case in found]) for name in COLUMNS]
    said = shape_loss(*columns, trained=recipe, recipe="same")
    peers = {peer: _peer(peer, recipe, found) for peer in PEERS}
    baseline = statistics.median(case.loss for case in found)
    for i, case in enumerate(found):
        yield Row(
            id=case.id,
            source=case.source,
            published=case.loss,
            predicted=float(said.loss[i]),
            low=float(said.low[i]),
            high=float(said.high[i]),
            baseline=baseline,
            more={"body": case.body, "tokens": case.tokens, **{p: float(losses[i]) for p, losses in peers.items()}},
        )


def _peer(peer: str, recipe: str, found: list[Case]) -> Any:
    constants = json.loads(PEERS_FILE.read_text("utf-8"))[peer]
    return Fitted(form=LAWS[peer][0], values=constants).loss(runs(found))


def figures(found: Sequence[Row]) -> dict[str, Any]:
    """Of one group, errors in nats and the order of shapes of like size, beside those of the peers."""
    used = [row for row in found if not row.excluded]
    if not used:
        return {}
    said: dict[str, Any] = {}
    for name in (OWN, *PEERS):
        off = errors(_as_runs(used), np.array([_predicted(row, name) for row in used]))
        key = "" if name == OWN else f"{name.replace('-', '_')}_"
        said |= {f"{key}mae": off.mean, f"{key}p90_nats": off.p90, f"{key}order_share": off.order}
        said["pairs"] = off.pairs
    return said


def _predicted(row: Row, law: str) -> float:
    return row.predicted if law == OWN else row.more[law]


def _as_runs(used: Sequence[Row]) -> Any:
    """The rows as far as errors and the order of shapes ask for them."""
    from deepwide.quality.runs import runs_of

    blank = dict.fromkeys(("head", "total", "layers", "hidden"), 0.0)
    return runs_of(
        {**blank, "body": r.more["body"], "tokens": r.more["tokens"], "loss": r.published, "recipe": r.source}
        for r in used
    )


def notes(found: Sequence[Row]) -> Iterator[str]:
    """The same errors in nats, beside the peers', and what the fit makes of shapes that it has not seen."""
    yield "In nats, with the share of shapes of like body (within a fifth) that are in the right order where losses"
    yield "differ by 0.01, and the mean error of fits without the shape in question (for rows that the fit has seen):\n"
    yield "| recipe | rows | MAE | p90 | pairs | order | left out | Chinchilla, all: MAE | order | body: MAE | order |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    groups: dict[str, list[Row]] = {}
    for row in found:
        groups.setdefault(row.source, []).append(row)
    left_out = {r.replace("/", ", "): law[0].held_out_nats for r, law in recipes().items()}
    for source, group in groups.items():
        f = figures(group)
        if f:
            cells = [_nats(f["mae"]), _nats(f["p90_nats"]), str(f["pairs"]), _share(f["order_share"])]
            cells.append(_nats(left_out[source]))
            for peer in PEERS:
                key = peer.replace("-", "_")
                cells += [_nats(f[f"{key}_mae"]), _share(f[f"{key}_order_share"])]
            yield f"| {source} | {len(group)} | {' | '.join(cells)} |"


def _nats(value: float) -> str:
    return f"{value:.4f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"
