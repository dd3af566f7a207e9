"""An answer as a data frame: what there are several of, a row for each; or the whole answer as one row."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from deepwide.errors import BadInput

if TYPE_CHECKING:
    from deepwide.answers.answer import Answer

LIBRARIES = ("pandas", "polars")
# Kind of answer -> the key of its `to_dict()` under which its table lies.
ROWS = {
    "Count": "rows",
    "Comparison": "models",
    "Explanation": "counterfactuals",
    "Design": "front",
    "Calibration": "points",
    "LossCalibration": "points",
    "MachineCalibration": "checks",
    "RunList": "runs",
    "Sweep": "shapes",
}


def rows_key(answer: Answer) -> str:
    """The key of the answer's table; empty where the answer is one row."""
    return ROWS.get(type(answer).__name__, "")


def records(answer: Answer) -> list[dict[str, Any]]:
    """The rows of the answer's table."""
    values, key = answer.to_dict(), rows_key(answer)
    return list(values[key]) if key else [values]


def frame(answer: Answer, library: str = "") -> Any:
    """The table as a frame; what lies deeper gets columns with dotted names, as `low.tokens_per_s`."""
    names = (library,) if library else LIBRARIES
    if library not in ("", *LIBRARIES):
        raise BadInput(f"library={library!r} makes no frames here; choose one of {', '.join(LIBRARIES)}")
    found = next((name for name in names if find_spec(name)), None)
    if found is None:
        raise BadInput(f"a frame needs {' or '.join(names)}: pip install {names[0]}")
    rows, how = [_flat(row) for row in records(answer)], {"infer_schema_length": None} if found == "polars" else {}
    return import_module(found).DataFrame(rows, **how)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values under dotted names.

    >>> _flat({"a": 1, "b": {"c": 2}})
    {'a': 1, 'b.c': 2}
    """
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat
