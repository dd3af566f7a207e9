"""How training engines drive accelerators: the constants of a step, by engine, accelerator and number format.

The rows are in training.toml beside this file, written by `benchmarks/fit_training.py` from published measurements. A
row without an accelerator is fitted on all accelerators of its engine together, one without an engine on everything.
"""

from __future__ import annotations

import tomllib
from dataclasses import MISSING, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from deepwide.errors import BadInput, did_you_mean
from deepwide.facts.own_files import THIS

TABLE = Path(__file__).parent / "training.toml"
ANY = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConstants:
    """What an engine reaches on an accelerator. Efficiencies are shares of the accelerator's own rates.

    compute_efficiency     of the matrix rate in the format of the products, by large products in the layers
    head_efficiency        of the 16-bit matrix rate, by the output head
    attention_efficiency   of the 16-bit matrix rate, by attention
    expert_efficiency      of what products of that size reach, by those of routed experts
    memory_efficiency      of the memory bandwidth, by whatever streams
    elementwise_passes     how often elements between the products move, against once in and once out
    expert_passes          how often what goes to experts and comes back moves on the device itself, being sorted
    score_passes           how often the square of scores moves; 0 where a fused kernel keeps it on chip
    layer_launch_s         what the host needs to launch one layer forward; backward it needs twice that
    expert_launch_s        likewise the routing and the experts of one layer, on top
    micro_batch_s          what a micro-batch costs on a stage beside its layers
    step_s                 what a step costs beside its micro-batches
    optimizer_passes       how often the optimiser's own bytes move
    near_efficiency        of the link inside a node, by collectives; far_efficiency: of the network outside
    hop_s                  time before the first byte of a collective, for each member that it passes
    tensor_exposed         share of tensor-parallel traffic that no compute hides; likewise pipeline_exposed,
                           data_exposed, context_exposed, expert_exposed
    jitter_share           how much longer a step takes for each doubling of the devices that wait for each other
    gradient_bytes         of one gradient on the wire

    What most engines do without:

    element_bytes          of an activation, and of a weight as products read it
    odd_sizes              how much sizes that tiles do not fit count: 1 as on matrix units, 0 where there are no tiles
    layer_s                what a layer takes forward beside its work, which hides behind nothing; backward twice that
    rms_norm_s             likewise an RMS norm, and the turning of positions, made of several operations
    rms_passes             how often the elements of an RMS norm move besides, made of several operations
    loss_passes            how often logits move in the loss, against the least
    orthogonal_efficiency  of the matrix rate, by products that make the updates of matrices orthogonal (Muon); 0 where
                           the optimiser makes none
    """

    compute_efficiency: float
    head_efficiency: float
    attention_efficiency: float
    expert_efficiency: float
    memory_efficiency: float
    elementwise_passes: float
    expert_passes: float
    score_passes: float
    layer_launch_s: float
    expert_launch_s: float
    micro_batch_s: float
    step_s: float
    optimizer_passes: float
    near_efficiency: float
    far_efficiency: float
    hop_s: float
    tensor_exposed: float
    pipeline_exposed: float
    data_exposed: float
    context_exposed: float
    expert_exposed: float
    jitter_share: float
    gradient_bytes: float
    element_bytes: float = 2.0
    odd_sizes: float = 1.0
    layer_s: float = 0.0
    rms_norm_s: float = 0.0
    rms_passes: float = 0.0
    loss_passes: float = 1.0
    orthogonal_efficiency: float = 0.0


CONSTANTS = tuple(f.name for f in fields(TrainingConstants) if f.default is MISSING)
FURTHER = {f.name: f.default for f in fields(TrainingConstants) if f.default is not MISSING}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProfile:
    """Constants with their origin.

    rows           measurements they were fitted on
    error_share    mean absolute error of measurements left out of the fit
    spread         nine of ten of those lie within a factor of e^spread
    node_devices, network_bytes_per_s    of the machines they ran on, where those are not the usual ones
    """

    runtime: str
    accelerator: str
    format: str
    constants: TrainingConstants
    rows: int
    error_share: float
    spread: float
    source: str
    checked: str
    node_devices: int | None = None
    network_bytes_per_s: float | None = None

    @property
    def name(self) -> str:
        """The three words that it is found by."""
        return f"{self.runtime} / {self.accelerator} / {self.format}"


def training_profile(runtime: str, accelerator: str, format: str) -> TrainingProfile:
    """The row nearest to what is asked: its own, its engine's in another format, its engine's on any accelerator.

    `any` is an engine that nobody measured; the path of a .toml is a profile of the user's own.
    """
    if runtime == THIS or runtime.endswith(".toml"):
        from deepwide.facts.profiles_file import training_profile_in
        from deepwide.facts.this_machine import is_machine, machine

        if runtime == THIS or is_machine(runtime):
            return machine(runtime).training

        return training_profile_in(runtime, accelerator, format)
    if runtime not in (*training_runtimes(), ANY):
        known = ", ".join(training_runtimes())
        raise BadInput(f"runtime={runtime!r} is unknown{did_you_mean(runtime, training_runtimes())}; known: {known}")
    for wanted in ((accelerator, format), (accelerator, None), (ANY, format), (ANY, None)):
        for row in training_profiles():
            if row.runtime == runtime and row.accelerator == wanted[0] and wanted[1] in (None, row.format):
                return row
    return next(row for row in training_profiles() if row.runtime == ANY)


@cache
def training_runtimes() -> tuple[str, ...]:
    """Every engine that has a row."""
    return tuple(sorted({row.runtime for row in training_profiles()} - {ANY}))


@cache
def training_profiles() -> tuple[TrainingProfile, ...]:
    """Every row of the table."""
    return tuple(_profile(row) for row in tomllib.loads(TABLE.read_text("utf-8"))["profile"])


def _profile(row: dict[str, Any]) -> TrainingProfile:
    """A row of the table; every constant has to be there, and nothing else."""
    constants = {name: float(row.pop(name)) for name in (*CONSTANTS, *FURTHER) if name in row or name in CONSTANTS}
    return TrainingProfile(**{**row, "checked": str(row["checked"])}, constants=TrainingConstants(**constants))
