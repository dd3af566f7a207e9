"""The machine at hand, as `deepwide calibrate` measured it: an accelerator and the constants of the lab on it.

One TOML file holds all of it, and `this` (or the path of such a file) then stands for an accelerator and for the
runtime that drives it, wherever one is asked for. It lies in $DEEPWIDE_HOME, else in the user's configuration. It comes
from outside like any file, so it is read strictly.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from deepwide.errors import BadInput, did_you_mean
from deepwide.facts import runtimes, training
from deepwide.facts.device import Accelerator, Usual, device_of
from deepwide.facts.own_files import (
    ENDING,
    THIS,
    number_of,
    numbers_of,
    shown_path,
    tables_of,
    text_of,
    whole_of,
    write_whole,
)
from deepwide.facts.profiles_file import WIDEST
from deepwide.facts.runtimes import PHASES, Runtime
from deepwide.facts.training import TrainingConstants, TrainingProfile

HOME_VARIABLE = "DEEPWIDE_HOME"
FILE = f"{THIS}{ENDING}"
WAY_OUT = "`deepwide calibrate` measures this machine in a minute"
TABLES = ("accelerator", "kernels", "inference", "training")
KERNELS: dict[str, type] = {
    "dtype": str,
    "matmul": str,
    "attention": str,
    "compile": bool,
    "threads": int,
    "lanes": int,
}
OF_FIT = ("format", "rows", "error_share", "spread", "constants")
LONGEST_PATH = 4096
CHUNK = 512  # tokens of a prompt that the lab reads at once (lab/generation/generating.py)
WITHOUT_END = 2**40  # no context is so long
HEAD = """# This machine, measured and fitted by `deepwide calibrate`. Predictions take it as --on {name}.
# accelerator: what it is and reaches. kernels: how the lab trains on it. inference, training: the constants of the lab
# on it, with the measurements they were fitted on, the mean error of those left out, and the range that nine of ten lie
# in (a factor for inference, a logarithm for training).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Constants with what they were fitted on: number format, measurements, the error of those left out, a range."""

    format: str
    rows: int
    error_share: float
    spread: Mapping[str, float]
    constants: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the file holds, as the predictors take it; `kernels` is how the lab trains on it."""

    accelerator: Accelerator
    kernels: Mapping[str, Any]
    inference: Runtime
    training: TrainingProfile


def machine_path() -> Path:
    """Where the profile of this machine lies: $DEEPWIDE_HOME, else deepwide in the user's configuration."""
    home = os.environ.get(HOME_VARIABLE)
    if home:
        return Path(home) / FILE
    configuration = os.environ.get("XDG_CONFIG_HOME")
    return (Path(configuration) if configuration else Path("~/.config").expanduser()) / "deepwide" / FILE


def calibrated() -> Machine | None:
    """This machine, where it has been calibrated."""
    return machine(THIS) if machine_path().is_file() else None


def is_machine(name: str | Path) -> bool:
    """Whether a path is that of such a file, rather than of a device or of a runtime alone."""
    path = Path(str(name).strip()[:LONGEST_PATH])
    try:
        return path.suffix == ENDING and path.is_file() and set(TABLES) <= set(tables_of(path, "accelerator"))
    except (BadInput, OSError, ValueError):
        return False


def machine(name: str | Path) -> Machine:
    """The machine of that name: `this`, or the path of a file."""
    path = machine_path() if str(name) == THIS else Path(str(name).strip())
    if str(name) == THIS and not path.is_file():
        raise BadInput(f"on='this': this machine is not calibrated; {WAY_OUT}")
    given = tables_of(path, "accelerator")
    where = shown_path(path)
    _known(where, given, TABLES)
    accelerator = device_of(str(name), _table(where, given, "accelerator"), f"{where}: accelerator")
    serving, stepping = (
        _fit(f"{where}: {kind}", _table(where, given, kind), kind) for kind in ("inference", "training")
    )
    checked = str(accelerator.checked or "")
    return Machine(
        accelerator=replace(
            accelerator, usual=Usual(runtime=str(name), weights=serving.format, products=stepping.format)
        ),
        kernels=_kernels(f"{where}: kernels", _table(where, given, "kernels")),
        inference=_runtime(str(name), serving, accelerator.source, checked),
        training=_profile(str(name), stepping, accelerator.source, checked),
    )


def _runtime(name: str, fit: Fit, source: str, checked: str) -> Runtime:
    return Runtime(
        name=name,
        accelerator=name,
        constants=fit.constants,
        source=f"the lab on this machine, fitted on {fit.rows} measurements; {source}",
        checked=checked,
        variants={},
        spread=fit.spread,
        spread_elsewhere=fit.spread,
        measurements=fit.rows,
        own_kernels=True,
        chunk=CHUNK,
        captured_context=WITHOUT_END,
    )


def _profile(name: str, fit: Fit, source: str, checked: str) -> TrainingProfile:
    return TrainingProfile(
        runtime=name,
        accelerator=name,
        format=fit.format,
        constants=TrainingConstants(**fit.constants),
        rows=fit.rows,
        error_share=fit.error_share,
        spread=fit.spread["step"],
        source=source,
        checked=checked,
    )


def _table(where: str, given: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = given.get(name)
    if not isinstance(value, dict):
        raise BadInput(f"{where}: no table [{name}]; {WAY_OUT}")
    return value


def _known(where: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in given:
        if key not in known:
            raise BadInput(f"{where}: no key called {key[:40]!r}{did_you_mean(key, known)}; known: {', '.join(known)}")
    if missing := [key for key in known if key not in given]:
        raise BadInput(f"{where}: {', '.join(missing)} missing; {WAY_OUT}")


def _fit(where: str, given: Mapping[str, Any], kind: str) -> Fit:
    _known(where, given, OF_FIT)
    of = training if kind == "training" else runtimes
    most, least = WIDEST[kind], (0.0 if kind == "training" else 1.0)
    phases = ("step",) if kind == "training" else PHASES
    return Fit(
        format=text_of(f"{where}: format", given["format"]),
        rows=whole_of(f"{where}: rows", given["rows"]),
        error_share=number_of(f"{where}: error_share", given["error_share"], may_be_least=True),
        spread=numbers_of(f"{where}: spread", given["spread"], phases, least=least, most=most),
        constants=numbers_of(
            f"{where}: constants",
            given["constants"],
            of.CONSTANTS,
            further=of.FURTHER,
            zero=("score_passes", "jitter_share", "layer_launch_s", *of.FURTHER),
        ),
    )


def _kernels(where: str, given: Mapping[str, Any]) -> dict[str, Any]:
    _known(where, given, tuple(KERNELS))
    for key, kind in KERNELS.items():
        if type(given[key]) is not kind or (kind is int and not 0 < given[key] < 2**16):
            raise BadInput(
                f"{where}: {key}={str(given[key])[:40]} must be {'a number' if kind is int else kind.__name__}"
            )
    return {key: text_of(f"{where}: {key}", v) if isinstance(v, str) else v for key, v in given.items()}


def write_machine(
    path: Path, device: Accelerator, kernels: Mapping[str, Any], inference: Fit, training_fit: Fit
) -> None:
    """Writes the file whole or not at all."""
    checked_path(path)
    write_whole(path, written(path, device, kernels, inference, training_fit))


def checked_path(path: Path) -> None:
    """Makes the folder that a profile is to lie in; BadInput where nothing can be written there."""
    if path.suffix != ENDING:
        raise BadInput(f"out={shown_path(path)!r} must end in {ENDING}, by which a profile is known")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{shown_path(path.parent)!r} cannot be made: {error.strerror or error}") from None
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise BadInput(f"out={shown_path(path)!r} cannot be written; give another place with --out")


def written(path: Path, device: Accelerator, kernels: Mapping[str, Any], inference: Fit, training_fit: Fit) -> str:
    """The file as text."""
    row: dict[str, Any] = {
        "memory_bytes": device.memory_bytes,
        "bandwidth_bytes_per_s": device.bandwidth_bytes_per_s,
        "peak_flops_per_s": dict(device.peak_flops_per_s),
        "near_bytes_per_s": [list(pair) for pair in device.near_bytes_per_s],
        "link": device.link and {"kind": device.link.kind, "bytes_per_s": device.link.bytes_per_s},
        "notes": device.notes,
        "source": device.source,
        "confidence": "measured",
        "checked": device.checked or date.today(),
    }
    lines = [HEAD.format(name=THIS if path == machine_path() else path.name), *_lines("accelerator", row)]
    lines += _lines("kernels", kernels)
    for name, fit in (("inference", inference), ("training", training_fit)):
        lines += _lines(name, {key: getattr(fit, key) for key in OF_FIT})
    return "\n".join(lines)


def _lines(name: str, values: Mapping[str, Any]) -> list[str]:
    told = [f"{key} = {_toml(value)}" for key, value in values.items() if value not in (None, "", [])]
    return [f"[{name}]", *told, ""]


def _toml(value: Any) -> str:
    """A value as TOML; texts are escaped as JSON does it, which TOML understands."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
