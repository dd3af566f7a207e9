"""Profiles of a user's own: a TOML file with the constants of one engine or runtime, corrected by measurements.

`deepwide calibrate` writes such a file, and wherever a runtime is asked for, the path of one will do. It comes from
outside, so it is read strictly: a believable size, every key known, every number positive and finite.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

from deepwide.errors import BadInput, did_you_mean
from deepwide.facts import runtimes, training
from deepwide.facts.own_files import (
    ENDING,
    number_of,
    numbers_of,
    shown_path,
    tables_of,
    text_of,
    whole_of,
    write_whole,
)
from deepwide.facts.runtimes import PHASES, Profile, ServingConstants, profile, weight_format
from deepwide.facts.training import TrainingConstants, TrainingProfile

WIDEST = {"training": 5.0, "inference": 150.0}  # a spread beyond a factor of e^5 says nothing
Kind = Literal["training", "inference"]
WORDS = ("kind", "runtime", "accelerator", "format", "source")
MAY_BE_LEFT_OUT = {"training": tuple(training.FURTHER), "inference": tuple(runtimes.FURTHER)}
MAY_BE_ZERO = ("score_passes", *training.FURTHER, *runtimes.FURTHER)  # score_passes: a fused kernel keeps them on chip
KEYS: dict[str, tuple[str, ...]] = {
    "training": (
        "rows",
        "error_share",
        "checked",
        "spread",
        "spread_elsewhere",
        "constants",
        "node_devices",
        "network_bytes_per_s",
    ),
    "inference": ("rows", "error_share", "checked", "spread", "spread_elsewhere", "constants"),
}
OPTIONAL = ("node_devices", "network_bytes_per_s")
HEAD = """# {runtime} on {accelerator}, corrected by {rows} measurements. Written by `deepwide calibrate {kind}`; with
# --runtime THIS-FILE `deepwide predict {kind}` uses it. `error_share` is the mean error of measurements left out of the
# fit, one at a time; nine of ten lie within `spread`.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileFile:
    """What such a file holds.

    runtime        the shipped runtime that was corrected
    format         the precision of products (training), or of weights (inference)
    rows           measurements; error_share: mean error of each when it was left out
    spread         as the shipped tables have it: training the logarithm within which nine of ten lie, inference the
                   factor, by phase; spread_elsewhere the same on another accelerator or in another format
    node_devices, network_bytes_per_s    of the machine that was measured, where they are not the usual ones
    """

    kind: Kind
    runtime: str
    accelerator: str
    format: str
    rows: int
    error_share: float
    spread: Mapping[str, float]
    spread_elsewhere: Mapping[str, float]
    constants: Mapping[str, float]
    source: str
    checked: str
    node_devices: int | None = None
    network_bytes_per_s: float | None = None


def is_profile_file(runtime: str) -> bool:
    """Whether a runtime is given as the path of a file."""
    return runtime.strip().endswith(ENDING)


def training_profile_in(path: str, accelerator: str, format: str) -> TrainingProfile:
    """The profile in a file; on another accelerator or in another format its range is wider."""
    found = profile_file(path, "training")
    at_home = (found.accelerator, found.format) == (accelerator, format)
    return TrainingProfile(
        runtime=found.runtime,
        accelerator=found.accelerator,
        format=found.format,
        constants=TrainingConstants(**found.constants),
        rows=found.rows,
        error_share=found.error_share,
        spread=(found.spread if at_home else found.spread_elsewhere)["step"],
        source=f"{Path(path).name}: {found.source}",
        checked=found.checked,
        node_devices=found.node_devices,
        network_bytes_per_s=found.network_bytes_per_s,
    )


def serving_profile_in(path: str, accelerator: str, weights: str) -> Profile:
    """The profile in a file; elsewhere, what it says times what the shipped tables make of the difference.

    constants = those of the file * shipped(asked) / shipped(measured)
    """
    found = profile_file(path, "inference")
    shipped, measured = (
        profile(found.runtime, accelerator, weights),
        profile(found.runtime, found.accelerator, found.format),
    )
    asked, there = asdict(shipped.constants), asdict(measured.constants)
    constants = {n: v * asked[n] / there[n] if n in runtimes.CONSTANTS else v for n, v in found.constants.items()}
    at_home = found.accelerator == accelerator and weight_format(found.format) == weight_format(weights)
    elsewhere = "" if at_home else f"; measured on {found.accelerator} with {found.format} weights, carried over"
    return replace(
        shipped,
        runtime=found.runtime,
        constants=ServingConstants(**constants),
        basis=f"{Path(path).name}: {found.source}{elsewhere}",
        spread=found.spread if at_home else found.spread_elsewhere,
        measured=at_home,
    )


def profile_file(path: str | Path, kind: Kind) -> ProfileFile:
    """The checked contents of a file; one line says what is wrong with it."""
    where = shown_path(path)
    given = tables_of(path, "runtime")
    known = (*WORDS, *KEYS[kind])
    if given.get("kind") != kind:
        raise BadInput(
            f"{where}: kind={given.get('kind')!r} must be {kind!r}; `deepwide calibrate {kind}` writes such a file"
        )
    for key in given:
        if key not in known:
            raise BadInput(
                f"{where}: no key called {key[:40]!r}{did_you_mean(key, known)}; known are {', '.join(known)}"
            )
    if missing := [key for key in known if key not in given and key not in OPTIONAL]:
        raise BadInput(f"{where}: {', '.join(missing)} missing; `deepwide calibrate {kind}` writes them all")
    return _checked(given, kind, where)


def _checked(given: Mapping[str, Any], kind: Kind, where: str) -> ProfileFile:
    names = training.CONSTANTS if kind == "training" else runtimes.CONSTANTS
    words = {word: text_of(f"{where}: {word}", given[word]) for word in WORDS if word != "kind"}
    if not isinstance(given["checked"], date):
        raise BadInput(f"{where}: checked={given['checked']!r} must be a date without quotes, such as 2026-11-22")
    devices, network = (given.get(name) for name in OPTIONAL)
    return ProfileFile(
        kind=kind,
        **words,
        rows=whole_of(f"{where}: rows", given["rows"]),
        error_share=number_of(f"{where}: error_share", given["error_share"], may_be_least=True),
        spread=_spread(f"{where}: spread", given["spread"], kind),
        spread_elsewhere=_spread(f"{where}: spread_elsewhere", given["spread_elsewhere"], kind),
        constants=numbers_of(
            f"{where}: constants", given["constants"], names, further=MAY_BE_LEFT_OUT[kind], zero=MAY_BE_ZERO
        ),
        checked=str(given["checked"]),
        node_devices=None if devices is None else whole_of(f"{where}: node_devices", devices),
        network_bytes_per_s=None if network is None else number_of(f"{where}: network_bytes_per_s", network),
    )


def _spread(label: str, given: Any, kind: Kind) -> dict[str, float]:
    """A logarithm for the step of a training engine, factors for the phases of a runtime."""
    if kind == "training":
        return numbers_of(label, given, ("step",), most=WIDEST[kind])
    return numbers_of(label, given, PHASES, least=1.0, most=WIDEST[kind])


def write_profile(path: Path, held: ProfileFile) -> None:
    """Writes a profile file whole or not at all."""
    if not is_profile_file(str(path)):
        raise BadInput(f"out={str(path)!r} must end in {ENDING}, by which a runtime is known to be a file")
    write_whole(path, written(held))


def written(held: ProfileFile) -> str:
    """The file as text.

    Texts are escaped as JSON does it, which TOML understands: both have basic strings.
    """
    import json

    shown: Callable[[float], str] = "{:.6g}".format
    values = {f.name: getattr(held, f.name) for f in fields(ProfileFile)}
    lines = [HEAD.format(**values)]
    lines += [f"{word} = {json.dumps(values[word], ensure_ascii=False)}" for word in WORDS]
    lines += [f"rows = {held.rows}", f"error_share = {shown(held.error_share)}", f"checked = {held.checked}"]
    lines += [f"{name} = {values[name]:g}" for name in OPTIONAL if values[name] is not None]
    for name in ("spread", "spread_elsewhere", "constants"):
        lines += ["", f"[{name}]", *(f"{key} = {shown(value)}" for key, value in values[name].items())]
    return "\n".join([*lines, ""])
