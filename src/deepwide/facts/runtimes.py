"""How runtimes drive accelerators: the constants of a forward pass, by accelerator, runtime and format of the weights.

Three tables lie beside this file. kernels.toml says what kernels alone reach on an accelerator, runtimes.toml what a
runtime makes of them and what it adds, and corrections in it what differs on one accelerator or for one format. A
constant is the product of what every row that applies says of it: shares of the accelerator's own rates, and seconds.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from deepwide.errors import BadInput, did_you_mean
from deepwide.facts.own_files import THIS

FOLDER = Path(__file__).parent
FORMATS = {  # the formats of weights that kernels tell apart, and the precisions that each stands for
    "fp8": ("fp8",),
    "int8": ("int8",),
    "int4": ("int4", "nf4", "gptq"),
    "awq": ("awq",),
    "fp4": ("mxfp4", "nvfp4"),
}
GGUF_BITS = {"8": "int8", "6": "int8"}  # GGUF mixes by their leading digit; all others are near four bits
PHASES = ("decode", "prefill", "serving")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingConstants:
    """What one runtime reaches on one accelerator with one format of weights. All are positive.

    compute_efficiency     of the matrix rate, by large products
    memory_efficiency      of the bandwidth, by weights
    scores_efficiency      of the matrix rate, by attention
    cache_efficiency       of the bandwidth, by the cache
    bytes_per_cycle        that one multiprocessor gets through, which bounds what kernels draw from a fast memory
    sharpness              of the corner between computing and moving
    launch_s               one matrix kernel; attention_launch_s one of attention, small_s one of the others
    layer_s, step_s        what a layer and a step add on the device; expert_s, each expert of a layer
    sequence_s             what each sequence adds to a step
    request_s              what a request waits beside its passes
    stage_s                what handing over to the next stage of a pipeline adds to the message itself
    reread_share           of the query heads that share a key head, those that read it again
    host_layer_s           what the host needs to launch a layer, beside the device
    all_reduce_s           the start of a sum over devices
    link_efficiency        of the link, by such sums
    interference           the share of others' prompts that a sequence being written waits for

    What most runtimes do without:

    odd_sizes              how much sizes that tiles do not fit count: 1 as on matrix units, 0 where there are no tiles
    rms_norm_s             what an RMS norm and the turning of positions take more, made of several operations
    elementwise_passes     how often elements between the products move, against the least
    packing_passes         how often a prompt moves weights besides: products lay them out anew for many rows
    context_s              what each token in view adds to a step, beside the layers that read it
    """

    compute_efficiency: float
    memory_efficiency: float
    scores_efficiency: float
    cache_efficiency: float
    bytes_per_cycle: float
    sharpness: float
    launch_s: float
    attention_launch_s: float
    small_s: float
    layer_s: float
    step_s: float
    sequence_s: float
    request_s: float
    stage_s: float
    reread_share: float
    host_layer_s: float
    expert_s: float
    all_reduce_s: float
    link_efficiency: float
    interference: float
    odd_sizes: float = 1.0
    rms_norm_s: float = 0.0
    elementwise_passes: float = 1.0
    packing_passes: float = 0.0
    context_s: float = 0.0


CONSTANTS = tuple(f.name for f in fields(ServingConstants) if f.default is MISSING)
FURTHER = {f.name: f.default for f in fields(ServingConstants) if f.default is not MISSING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernels:
    """What kernels reach on an accelerator and `also` on others of its architecture.

    Fitted on `kernels` measured ones, with a mean absolute error of `error_share`.
    """

    name: str
    constants: Mapping[str, float]
    kernels: int
    error_share: float
    source: str
    checked: str
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A runtime, or (with `runtime` set) a correction of it on one `accelerator` or for one format of `weights`.

    variants      by vendor, the runtime that this one is there
    spread        by phase, the factor that 9 of 10 measurements lie within, where the accelerator was fitted
    spread_elsewhere   the same on accelerators that were not
    measurements  how many the constants were fitted on
    chunk         tokens of a prompt that it reads at once, unless told otherwise
    captured_context   the longest context whose decode steps run as a captured graph; 0 where none does
    narrow_sums   whether it sums products in 16 bits or less, which some accelerators do at twice the rate
    own_kernels   whether the constants are whole, so that the table of kernels plays no part
    """

    name: str
    constants: Mapping[str, float]
    source: str
    checked: str
    runtime: str = ""
    accelerator: str = ""
    weights: str = ""
    aliases: tuple[str, ...] = ()
    variants: Mapping[str, str]
    spread: Mapping[str, float]
    spread_elsewhere: Mapping[str, float]
    measurements: int = 0
    own_kernels: bool = False
    chunk: int = 8192
    captured_context: int = 2**40
    narrow_sums: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The constants of a question, where they come from, and by which factor each phase may be off (9 times of 10)."""

    runtime: str
    constants: ServingConstants
    basis: str
    spread: Mapping[str, float]
    measured: bool
    chunk: int
    captured_context: int
    narrow_sums: bool


def profile(runtime: str, accelerator: str, weights: str = "bf16") -> Profile:
    """The constants of a runtime on an accelerator with a format of weights; what is not known falls back.

    >>> profile("vllm", "h100-sxm").measured
    True
    """
    if runtime.endswith(".toml") and not find_runtime(runtime).own_kernels:
        from deepwide.facts.profiles_file import serving_profile_in

        return serving_profile_in(runtime, accelerator, weights)
    base = find_runtime(runtime)
    if base.accelerator and base.accelerator != accelerator:
        raise BadInput(
            f"runtime={base.name!r} was calibrated on {base.accelerator!r} alone; give --on {base.accelerator}"
        )
    kernels = _kernels()
    fitted = kernels.get(accelerator, kernels["default"])
    kind = weight_format(weights)
    chosen = [row for row in _corrections() if _applies(row, base.name, accelerator, kind)]
    constants = dict.fromkeys(CONSTANTS, 1.0)
    for table in (*(() if base.own_kernels else (fitted.constants,)), base.constants, *(r.constants for r in chosen)):
        constants = {name: value * table.get(name, 1.0) for name, value in constants.items()}
    known = any(row.accelerator for row in chosen) and (not kind or any(row.weights for row in chosen))
    measured = base.own_kernels or known
    return Profile(
        runtime=base.name,
        constants=ServingConstants(**constants, **{n: base.constants[n] for n in FURTHER if n in base.constants}),
        basis=_basis(base, fitted, chosen, accelerator),
        spread=base.spread if measured else base.spread_elsewhere,
        measured=measured,
        chunk=base.chunk,
        captured_context=base.captured_context,
        narrow_sums=base.narrow_sums,
    )


def find_runtime(name: str) -> Runtime:
    """The runtime of that name or alias; of a file, the one that it corrects, under the path of the file."""
    if name.strip().endswith(".toml"):
        from deepwide.facts.profiles_file import profile_file
        from deepwide.facts.this_machine import is_machine, machine

        if is_machine(name):
            return machine(name).inference
        return replace(find_runtime(profile_file(name.strip(), "inference").runtime), name=name.strip(), variants={})
    if name.strip() == THIS:
        from deepwide.facts.this_machine import machine

        return machine(THIS).inference
    known = {word: row for row in _runtimes().values() for word in (row.name, *row.aliases)}
    word = name.strip().lower().replace("_", "-").replace(" ", "-")
    if word not in known:
        names = ", ".join(_runtimes())
        raise BadInput(f"runtime={name!r} is unknown{did_you_mean(word, known)}; choose one of {names}")
    return known[word]


def kernel_constants(accelerator: str) -> Mapping[str, float]:
    """What kernels reach on an accelerator, or on a middling one where none were measured."""
    kernels = _kernels()
    return kernels.get(accelerator, kernels["default"]).constants


def kernels_measured_on(accelerator: str) -> bool:
    """Whether kernels were measured on that very accelerator."""
    found = _kernels().get(accelerator)
    return found is not None and found.name == accelerator and found.kernels > 0


def runtimes() -> tuple[Runtime, ...]:
    """Every runtime that has constants."""
    return tuple(_runtimes().values())


def weight_format(weights: str) -> str:
    """The kind of kernel that a precision takes: "" for plain 16 bits."""
    word = weights.lower()
    for kind, names in FORMATS.items():
        if word in names:
            return kind
    if word.startswith(("q", "iq")):
        return GGUF_BITS.get(word.lstrip("iq")[:1], "int4")
    return ""


def _applies(row: Runtime, runtime: str, accelerator: str, weights: str) -> bool:
    return row.runtime == runtime and row.accelerator in ("", accelerator) and row.weights in ("", weights)


def _basis(base: Runtime, fitted: Kernels, chosen: list[Runtime], accelerator: str) -> str:
    """In words: which tables were used."""
    if base.own_kernels:
        return f"{base.name}: {base.source}"
    where = {row.accelerator for row in chosen if row.accelerator}
    kinds = sorted({row.weights for row in chosen if row.weights})
    said = (
        f"{base.name}, fitted on {base.measurements} measurements" if base.measurements else f"{base.name}, not fitted"
    )
    said += f" ({', '.join(kinds)} kernels among them)" if kinds else ""
    said += f", on {accelerator} among others" if where else f", none of them on {accelerator}"
    kernels = f"kernels measured on {fitted.name}" if fitted.kernels else "kernels of a middling accelerator"
    return f"{said}; {kernels}"


@cache
def _kernels() -> Mapping[str, Kernels]:
    rows = tomllib.loads((FOLDER / "kernels.toml").read_text("utf-8"))
    found = [Kernels(**_checked("kernels.toml", name, row, Kernels)) for name, row in rows.items()]
    return {name: row for row in found for name in (row.name, *row.also)}


@cache
def _tables() -> tuple[Runtime, ...]:
    rows = tomllib.loads((FOLDER / "runtimes.toml").read_text("utf-8"))
    blank: dict[str, Any] = {"variants": {}, "spread": {}, "spread_elsewhere": {}}
    return tuple(Runtime(**_checked("runtimes.toml", name, {**blank, **row}, Runtime)) for name, row in rows.items())


@cache
def _runtimes() -> Mapping[str, Runtime]:
    """The runtimes; each states every constant that the table of kernels does not."""
    found = {row.name: row for row in _tables() if not row.runtime}
    stated = set(_kernels()["default"].constants)
    for row in found.values():
        if missing := set(CONSTANTS) - set(row.constants) - (set() if row.own_kernels else stated):
            raise ValueError(f"runtimes.toml: [{row.name}] says nothing of {sorted(missing)}")
    return found


@cache
def _corrections() -> tuple[Runtime, ...]:
    return tuple(row for row in _tables() if row.runtime)


def _checked(file: str, name: str, row: Mapping[str, Any], kind: type[Kernels] | type[Runtime]) -> dict[str, Any]:
    known = {f.name for f in fields(kind)}
    if unknown := (set(row) - known) | (set(row["constants"]) - {*CONSTANTS, *FURTHER}):
        raise ValueError(f"{file}: [{name}] has unknown keys {sorted(unknown)}; known are {sorted(known)}, {CONSTANTS}")
    if wrong := [key for key, value in row["constants"].items() if not value > 0]:
        raise ValueError(f"{file}: [{name}] {', '.join(wrong)} must be positive")
    values = {**row, "name": name, "checked": str(row["checked"])}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
