"""Fits the shape law to published runs, and says how far it is off on shapes that it has not seen.

    python benchmarks/fit_loss.py [--data DIR] [--draws 200] [--write]

DIR holds gemstones*.csv, morph*.csv, gadre*.csv, olmo*.csv. For each set: errors in nats on the rows of the fit, with
each shape left out, with each group of shapes of like hidden/layers left out; for Gemstones and Morph the same of every
other law that can be fitted. --write puts the constants into src/deepwide/facts/shape_law*.toml, and those of the
Chinchilla form on the same rows, as the report's peer, into benchmarks/loss_peers.json.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from accuracy import DEFAULT
from loss_cases import Case, cases, runs

from deepwide.facts.shape_law import COUNTS, DRAWS_FILE, FILE, RECIPE
from deepwide.quality.fit import Fitted, Weight, fit_law, predicted
from deepwide.quality.forms import LAWS
from deepwide.quality.held_out import Errors, Refit, bootstrap, errors, held_out
from deepwide.quality.runs import Runs, by_aspect

PEERS_FILE = Path(__file__).with_name("loss_peers.json")
SHIPPED_DRAWS = 32  # of the fits on resampled shapes: their deviation is known to an eighth
PEERS = ("chinchilla", "chinchilla-body")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A published set: how its rows are weighed, where it comes from, and whether other laws are tried on it.

    35 checkpoints of a Gemstones run share one error. Morph states a smoothed training loss, the OLMo ladder a run
    again within 0.001: their rows scatter less than others. Gadre's shortest runs scatter more.
    """

    weight: Weight
    origin: str
    compared: bool = False


SOURCES = {
    "gemstones": Source(
        weight=Weight(alike=36),
        origin="Gemstones (arXiv:2502.06857, github.com/mcleish7/gemstone-scaling-laws), 16 of its 22 shapes",
        compared=True,
    ),
    "morph": Source(
        weight=Weight(noise=0.0025),
        origin="Morph (Bian et al. 2025, github.com/Waterpine/open-lm-morph)",
        compared=True,
    ),
    "gadre": Source(weight=Weight(noise=0.01), origin="Gadre et al. 2024 (github.com/mlfoundations/scaling)"),
    "olmo_ladder": Source(weight=Weight(noise=0.0025), origin="OLMo ladder (github.com/allenai/OLMo-ladder)"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(DEFAULT), help="the folder with the published runs")
    parser.add_argument("--draws", type=int, default=200, help="fits on resampled shapes")
    parser.add_argument("--write", action="store_true", help="write the constants to where the package reads them")
    given = parser.parse_args()
    started, laws, peers = time.perf_counter(), [], {}
    draws: list[Sequence[Fitted]] = []
    for name, source in SOURCES.items():
        found = [case for case in cases(given.data) if case.recipe.startswith(f"{name}/")]
        law = fit_law(LAWS["shape"], runs(found), weight=source.weight)
        laws += list(fitted(name, source, found, law))
        peers |= {peer: peers.get(peer, {}) | values for peer, values in peer_constants(runs(found), source)}
        if name == "gemstones":
            draws = bootstrap(refitted("shape", source, law), runs(found), given.draws)
            print_spread(draws)
    if given.write:
        FILE.write_text("\n".join([HEAD, *laws]), encoding="utf-8")
        DRAWS_FILE.write_text(draws_text(draws[:SHIPPED_DRAWS], given.draws), encoding="utf-8")
        PEERS_FILE.write_text(json.dumps(peers, indent=1) + "\n", encoding="utf-8")
    print(f"{time.perf_counter() - started:.0f} s")


def fitted(name: str, source: Source, found: list[Case], law: Sequence[Fitted]) -> Iterator[str]:
    """Prints the errors of a set, and gives the text of the constants of each of its recipes."""
    data = runs(found)
    refit = refitted("shape", source, law)
    by_shape = held_out(refit, data)
    by_group = held_out(refit, data, by_aspect(data))
    print(f"\n{name}: {len(data)} rows, {len(set(data.shapes))} shapes, {len(by_aspect(data))} groups of like aspect")
    for recipe in (*data.recipes, None):
        which = data.recipe == recipe if recipe else np.ones(len(data), dtype=bool)
        print(f"  {recipe or 'all'}")
        for label, losses in (
            ("rows of the fit", predicted(law, data)),
            ("shape left out", by_shape),
            ("group left out", by_group),
        ):
            print_errors(label, errors(data.chosen(which), losses[which]))
        if recipe:
            yield recipe_text(recipe, law, data.chosen(which), errors(data.chosen(which), by_shape[which]), source)
    for member, form in zip(law, LAWS["shape"], strict=True):
        alone = held_out(partial(fit_law, [form], weight=source.weight, start=[member]), data)
        print_errors(f"{form.name} alone, shape left out", errors(data, alone))
    for other in LAWS if source.compared else ():
        if other != "shape":
            print_errors(f"{other}, shape left out", errors(data, held_out(refitted(other, source), data)))


def refitted(law: str, source: Source, start: Sequence[Fitted] | None = None) -> Refit:
    """How a law is fitted to some rows of a set, from known constants where they are given."""
    return partial(fit_law, LAWS[law], weight=source.weight, start=start)


def print_errors(label: str, e: Errors) -> None:
    order = "" if e.order is None else f"   order {e.order:.1%} of {e.pairs} pairs"
    print(f"    {label:<40} MAE {e.mean:.4f}  p90 {e.p90:.4f}  sd {e.sd:.4f}{order}")


def peer_constants(data: Runs, source: Source) -> Iterator[tuple[str, dict[str, Any]]]:
    """The constants of the peers on the same rows, by recipe."""
    for peer in PEERS:
        (member,) = fit_law(LAWS[peer], data, weight=source.weight)
        yield peer, {recipe: dict(values) for recipe, values in member.values.items()}


HEAD = f"""# The shape law: constants of both members for every recipe (source/loss/schedule/corpus) of its fit.
# Written by `python benchmarks/fit_loss.py --write`; the form is in quality/shape.py. held_out_nats is the mean error
# on shapes left out of the fit one at a time, held_out_sd the deviation of the normal distribution that has the same
# 90th percentile. Where nothing else is said, {RECIPE} is meant.
"""


def recipe_text(recipe: str, law: Sequence[Fitted], data: Runs, off: Errors, source: Source) -> str:
    lines = [
        f'["{recipe}"]',
        f"rows = {len(data)}",
        f"shapes = {len(set(data.shapes))}",
        f"held_out_nats = {off.mean:.5f}",
        f"held_out_sd = {off.sd:.5f}",
        f'source = "fitted by this project (benchmarks/fit_loss.py) on {source.origin}"',
        f"checked = {date.today().isoformat()}",
    ]
    for counts, member in zip(COUNTS, law, strict=True):
        constants = ", ".join(f"{n} = {v:.6g}" for n, v in member.values[recipe].items())
        lines.append(f'"{counts}" = {{ {constants} }}')
    return "\n".join([*lines, ""])


def draws_text(draws: Sequence[Sequence[Fitted]], drawn: int) -> str:
    lines = [
        f"# The constants for {RECIPE}, fitted on whole shapes drawn with replacement:",
        f"# the first {len(draws)} of {drawn} fits. Written by `python benchmarks/fit_loss.py --write`.",
    ]
    for i, counts in enumerate(COUNTS):
        lines += ["", f'["{counts}"]']
        for name in draws[0][i].values[RECIPE]:
            lines.append(f"{name} = [{', '.join(f'{d[i].values[RECIPE][name]:.5g}' for d in draws)}]")
    return "\n".join([*lines, ""])


def print_spread(draws: Sequence[Sequence[Fitted]]) -> None:
    """The range of each constant over the fits on resampled shapes."""
    print(f"  constants over {len(draws)} fits on resampled shapes: 5%, median, 95%")
    for i, counts in enumerate(COUNTS):
        for name in draws[0][i].values[RECIPE]:
            low, middle, high = np.quantile([d[i].values[RECIPE][name] for d in draws], [0.05, 0.5, 0.95])
            print(f"    {counts:<14} {name:<16} {low:9.4f} {middle:9.4f} {high:9.4f}")


if __name__ == "__main__":
    main()
