"""How far predictions are from what others measured or built: error by source, beside a one-constant baseline.

    python benchmarks/accuracy.py --data DIR [--json] [--only counts|flops|memory|training|inference|loss|carbon]

DIR holds files named and shaped like zoo*.jsonl, arch*.jsonl, flops*.csv, activations*.csv with their
activations*.json, training_cases*.csv, inference_cases*.csv, gemstones*.csv, morph*.csv, gadre*.csv, olmo*.csv,
carbon*.md. Nothing is fitted here: every row is predicted with the shipped rules and constants. A row that cannot be
predicted is excluded, with its reason.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import accuracy_carbon
import accuracy_counts
import accuracy_flops
import accuracy_inference
import accuracy_loss
import accuracy_memory
import accuracy_training
from accuracy_rows import Row

# Each offers `rows(folder)`, says in its first lines what is predicted and what the baseline's one constant is, and may
# add `figures(rows)` to what is said of a group, and `notes(rows)` to the text.
SECTIONS = {
    "counts": accuracy_counts,
    "flops": accuracy_flops,
    "memory": accuracy_memory,
    "training": accuracy_training,
    "inference": accuracy_inference,
    "loss": accuracy_loss,
    "carbon": accuracy_carbon,
}
EVERYTHING = "all of them"
WORST = 12  # rows outside their interval that a section names
HEAD = """# Accuracy

Written by `python benchmarks/accuracy.py`. Each row of a table is one source of measurements; "exact" counts the rows
that are right to the last unit, "one constant" is the mean error of a baseline with a single constant on the same rows,
"in interval" is the share of rows inside the predicted interval. Constants of time and of serving memory were fitted on
rows of these same tables; what such a fit makes of rows that it has not seen stands beside the constants
(src/deepwide/facts/training.toml, runtimes.toml).
"""
DEFAULT = os.environ.get("DEEPWIDE_REFERENCE", str(Path(__file__).parents[2] / "shared" / "reference"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(DEFAULT), help="the folder with the measurements")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument("--only", choices=[*SECTIONS], help="one section")
    given = parser.parse_args()
    if not given.data.is_dir():
        sys.exit(f"no folder called {given.data}; name one with --data or DEEPWIDE_REFERENCE")
    sections = {name: list(kind.rows(given.data)) for name, kind in SECTIONS.items() if given.only in (None, name)}
    if given.json:
        report = {
            name: {"groups": groups(name, rows), "rows": [r.to_dict() for r in rows]} for name, rows in sections.items()
        }
        print(json.dumps({"sections": report}))
    else:
        print(HEAD)
        print("\n".join(line for name, rows in sections.items() for line in markdown(name, rows)).rstrip())


def groups(section: str, rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Error by source: errors as shares, coverage of the interval, and the same for the one-constant baseline."""
    figures = getattr(SECTIONS[section], "figures", lambda rows: {})
    by_source: dict[str, list[Row]] = {}
    for row in rows:
        by_source.setdefault(row.source, []).append(row)
    return [{**_group(source, found), **figures(found)} for source, found in by_source.items()]


def _group(source: str, rows: list[Row]) -> dict[str, Any]:
    used = [row for row in rows if not row.excluded]
    errors = sorted(abs(row.predicted / row.published - 1) for row in used)
    baseline = [abs(row.baseline / row.published - 1) for row in used if row.baseline is not None]
    inside = [row.low <= row.published <= row.high for row in used]
    return {
        "source": source,
        "n": len(used),
        "excluded": len(rows) - len(used),
        "exact": sum(row.predicted == row.published for row in used),
        "mape": statistics.fmean(errors) if errors else None,
        "median": statistics.median(errors) if errors else None,
        "p90": errors[min(len(errors) - 1, int(0.9 * len(errors)))] if errors else None,
        "worst": errors[-1] if errors else None,
        "baseline_mape": statistics.fmean(baseline) if baseline else None,
        "coverage": statistics.fmean(inside) if inside else None,
    }


def markdown(section: str, rows: list[Row]) -> Iterator[str]:
    """A table of the section's groups, the rows outside their interval, and why rows were excluded."""
    yield f"## {section}\n"
    yield f"{(SECTIONS[section].__doc__ or '').strip()}\n"
    if not rows:
        yield "No file of this section is in the folder.\n"
        return
    yield "| source | rows | exact | excluded | mean error | median | p90 | worst | one constant | in interval |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    for g in [*groups(section, rows), _group(EVERYTHING, rows)]:
        errors = " | ".join(_share(g[k]) for k in ("mape", "median", "p90", "worst", "baseline_mape", "coverage"))
        yield f"| {g['source']} | {g['n']} | {g['exact']} | {g['excluded']} | {errors} |"
    yield ""
    yield from _worst(rows)
    yield from _exclusions(rows)
    yield ""
    if hasattr(SECTIONS[section], "notes"):
        yield from SECTIONS[section].notes(rows)
        yield ""


def _worst(rows: list[Row]) -> Iterator[str]:
    """The rows furthest outside their interval, so that nobody has to look for them."""
    outside = [row for row in rows if not row.excluded and not row.low <= row.published <= row.high]
    outside.sort(key=lambda row: -max(row.low / row.published, row.published / row.high))
    for row in outside[:WORST]:
        yield f"- off: {row.id}: published {_figure(row.published)}, predicted {_figure(row.predicted)}"
    if len(outside) > WORST:
        yield f"- and {len(outside) - WORST} more outside their interval"


def _exclusions(rows: list[Row]) -> Iterator[str]:
    """Each reason once, with how many rows it took and the first of them."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row.excluded:
            reasons.setdefault(row.excluded, []).append(row.id)
    for reason, ids in reasons.items():
        more = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
        yield f"- excluded: {ids[0]}{more}: {reason}"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _share(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3%}" if 0 < value < 0.01 else f"{value:.1%}"


if __name__ == "__main__":
    main()
