"""How well is the ratio of two models' times known, on the same devices, engine and load?

    python benchmarks/accuracy.py --data DIR --json | python benchmarks/pairs.py

Reads the rows of the accuracy report, pairs those that differ in the model alone, and prints how far the predicted
ratio of each pair is from the measured one: what `deepwide.design.counterfactual.TIME_RESOLUTION` states.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations
from typing import Any, NamedTuple

ALIKE = 1.5  # sizes of two models, layers times hidden squared, for training steps: that is what shapes are compared at
QUANTILES = (0.5, 0.68, 0.9)


class Row(NamedTuple):
    kind: str
    conditions: tuple[str, str]
    model: str
    size: float | None
    error: float


def rows(report: dict[str, Any]) -> Iterator[Row]:
    """Every row that was predicted: its kind, all but the model, and the logarithm of predicted over published."""
    for section in ("training", "inference"):
        for row in report["sections"].get(section, {"rows": []})["rows"]:
            if not row["excluded"]:
                model, _, rest = row["id"].partition(" ")
                error = math.log(row["predicted"] / row["published"])
                shape = re.match(r"(\d+)x(\d+) ", rest)
                size = int(shape[1]) * int(shape[2]) ** 2 if shape else None
                rest = rest[shape.end() :] if shape else rest
                yield Row(kind(section, rest), (row["source"], rest), f"{model} {shape and shape[0]}", size, error)


def kind(section: str, conditions: str) -> str:
    if section == "training":
        return "training step"
    if "prefill+decode" in conditions or "serving" in conditions:
        return "both"
    return "prompt" if "prefill" in conditions or "ttft" in conditions else "decode"


def pairs(of: list[Row]) -> Iterator[float]:
    for one, other in combinations(of, 2):
        near = one.size is None or other.size is None or 1 / ALIKE < one.size / other.size < ALIKE
        if one.model != other.model and near:
            yield abs(one.error - other.error)


def main() -> None:
    alike: dict[tuple[str, tuple[str, str]], list[Row]] = defaultdict(list)
    for row in rows(json.load(sys.stdin)):
        alike[row.kind, row.conditions].append(row)
    found: dict[str, list[float]] = defaultdict(list)
    for (name, _), group in alike.items():
        found[name] += pairs(group)
    print(f"{'kind':<16}{'pairs':>8}" + "".join(f"{q:>10.0%}" for q in QUANTILES))
    for name, errors in sorted(found.items()):
        errors.sort()
        if errors:
            cells = "".join(f"{math.expm1(errors[int(q * (len(errors) - 1))]):>10.1%}" for q in QUANTILES)
            print(f"{name:<16}{len(errors):>8}{cells}")


if __name__ == "__main__":
    main()
