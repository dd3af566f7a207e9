"""An accelerator as a runtime drives it, ready for passes: rates that kernels really reach, and bytes per element."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from deepwide.architecture.rows import Weight
from deepwide.arithmetic import largest, least, log2
from deepwide.cost.collectives import Network, Wire
from deepwide.cost.precision import GgufMix, Precision, cache_bits, precision, quantised, stored_bytes
from deepwide.cost.roofline import Roof
from deepwide.errors import BadInput
from deepwide.facts.device import SLOWEST_SLOT_BYTES_PER_S, Accelerator, pcie_bytes_per_s
from deepwide.facts.networks import node
from deepwide.facts.runtimes import Profile, ServingConstants, profile
from deepwide.units import Num, Real

MATRIX_RATES = ("bf16", "fp16", "tf32", "fp32")  # the first that a device has is what 16-bit products run at
# Formats whose products run at a rate of their own, and the bytes of the activations they read.
COMPUTED_IN = {"fp8": ("fp8", 1.0), "nvfp4": ("fp4", 0.5), "fp32": ("fp32", 4.0), "tf32": ("tf32", 4.0)}
STORED_AS = {"awq": "int4", "gptq": "int4"}  # names of kernels for weights that take as many bytes
DEFAULT_RUNTIME = "vllm"
NODE_HOP_S, FAR_HOP_S = 2e-6, 10e-6  # a further member: inside a node, and between nodes (aiconfigurator p2p latency)
# Slots of one host share its root complex: measured all-reduces of four L40S reach 0.12 of a slot's rate and of eight
# 0.06, against 0.6 between two (kernel tables of ai-dynamo/aiconfigurator).
SHARED_SLOTS = 0.48 / 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Rates that kernels reach, and how weights and cache are stored.

    products     matrices in the format of the weights           sixteen    those that stay in 16 bits
    attention    scores, and reading the cache                   network    what joins the devices
    how          the format of the weights; `element_bytes` that of the activations their products read
    near_bytes_per_s    rates of what caches hold, and the bandwidth beyond them (facts/accelerators.py)
    """

    name: str
    products: Roof
    sixteen: Roof
    attention: Roof
    network: Network
    how: Precision | GgufMix
    element_bytes: float
    cache_bytes: float
    profile: Profile
    near_bytes_per_s: tuple[tuple[float, float], ...] = ()
    bandwidth_bytes_per_s: float = 0.0

    @property
    def constants(self) -> ServingConstants:
        """The constants of the runtime on this accelerator."""
        return self.profile.constants

    def weight_bytes(self, weight: Weight | None) -> Real:
        """Bytes of one element of a weight, its scales included; of a product without one, 16 bits."""
        if weight is None:
            return 2.0
        if isinstance(self.how, Precision) and (self.how.group == 0 or not self.narrow(weight)):
            return self.how.bits / 8 if self.how.group == 0 else 2.0
        own = weight._replace(tied="", repeat=1, copies=1) if not isinstance(self.how, GgufMix) else weight
        count: Num = own.size * own.copies * own.repeat
        return float(stored_bytes(own._replace(tied=""), self.how)) / count

    def narrow(self, weight: Weight | None) -> bool:
        """Whether a weight is stored in the format asked for, rather than left in 16 bits."""
        if weight is None:
            return False
        return isinstance(self.how, GgufMix) or not self.how.linear_only or quantised(weight)


def driven(accelerator: Accelerator, runtime: str = "", *, weights: str = "", **rest: Any) -> Engine:
    """The accelerator as a runtime drives it, or its usual one, with the constants that are known of the two."""
    runtime, weights = runtime or usual_runtime(accelerator), weights or usual_weights(accelerator)
    return engine(accelerator, profile(runtime, accelerator.name, weights), weights=weights, **rest)


def usual_runtime(accelerator: Accelerator) -> str:
    """What a model is served with on it, unless told otherwise."""
    return accelerator.usual.runtime if accelerator.usual else DEFAULT_RUNTIME


def usual_weights(accelerator: Accelerator) -> str:
    """How weights are stored on it, unless told otherwise."""
    return accelerator.usual.weights if accelerator.usual else "bf16"


def usual_cache(accelerator: Accelerator) -> str:
    """How keys and values are kept on it, unless told otherwise: in 16 bits; by the lab, as its weights are."""
    return accelerator.usual.weights if accelerator.usual else "bf16"


def engine(
    accelerator: Accelerator,
    by: Profile,
    *,
    weights: str | Precision | GgufMix = "bf16",
    cache: str = "",
    devices: int = 1,
) -> Engine:
    """The accelerator as a profile says that it is driven; `devices` of them share the work of one model."""
    constants = by.constants
    how = precision(STORED_AS.get(weights, weights)) if isinstance(weights, str) else weights
    rate, element_bytes = COMPUTED_IN.get(how.name, ("", 2.0))
    own_rate = accelerator.peak_flops_per_s.get(rate)
    sixteen = _peak(accelerator, by.narrow_sums)
    return Engine(
        name=accelerator.name,
        products=_roof((own_rate or sixteen) * constants.compute_efficiency, accelerator, constants),
        sixteen=_roof(sixteen * constants.compute_efficiency, accelerator, constants),
        attention=Roof(
            flops_per_s=sixteen * constants.scores_efficiency,
            bytes_per_s=accelerator.bandwidth_bytes_per_s * constants.cache_efficiency,
            sharpness=constants.sharpness,
        ),
        network=network(accelerator, constants, devices),
        how=how,
        element_bytes=element_bytes if own_rate else 2.0,
        cache_bytes=float(cache_bits(cache or usual_cache(accelerator))) / 8,
        profile=by,
        near_bytes_per_s=accelerator.near_bytes_per_s,
        bandwidth_bytes_per_s=accelerator.bandwidth_bytes_per_s,
    )


def streaming(on: Engine, working_bytes: Real) -> Engine:
    """The engine with the rates that so many bytes, read in every pass, come at: faster where caches hold them."""
    times = near_bytes_per_s(working_bytes, on.near_bytes_per_s) / on.bandwidth_bytes_per_s
    roofs = {name: getattr(on, name) for name in ("products", "sixteen", "attention")}
    return replace(on, **{name: replace(roof, bytes_per_s=roof.bytes_per_s * times) for name, roof in roofs.items()})


def near_bytes_per_s(working_bytes: Real, rates: Sequence[tuple[float, float]]) -> Real:
    """The rate of so many bytes, between those measured: straight lines in the logarithm of the bytes.

    >>> near_bytes_per_s(2e6, [(1e6, 50e9), (4e6, 30e9)])
    40000000000.0
    """
    rate: Real = rates[0][1]
    for (small, before), (large, after) in pairwise(rates):
        share = largest(least(log2(working_bytes / small) / log2(large / small), 1.0), 0.0)
        rate = rate + share * (after - before)
    return rate


def network(accelerator: Accelerator, constants: ServingConstants, devices: int) -> Network:
    """What joins devices: their own link if it reaches all of them, else the slots of one host."""
    link, around = accelerator.link, node(accelerator.name)
    if link and (devices <= 2 or "pairs" not in link.kind):
        near = link.bytes_per_s * constants.link_efficiency
    else:
        slot = pcie_bytes_per_s(accelerator) or SLOWEST_SLOT_BYTES_PER_S
        near = slot * constants.link_efficiency * (SHARED_SLOTS / devices if devices > 2 else 1)
    return Network(
        near=Wire(bytes_per_s=near, hop_s=NODE_HOP_S),
        far=Wire(bytes_per_s=around.bytes_per_s * constants.link_efficiency, hop_s=FAR_HOP_S),
        node_devices=around.node_devices,
    )


def _roof(flops_per_s: float, accelerator: Accelerator, constants: ServingConstants) -> Roof:
    moved = 1 / (
        1 / (accelerator.bandwidth_bytes_per_s * constants.memory_efficiency) + _drawing(accelerator, constants)
    )
    return Roof(flops_per_s=flops_per_s, bytes_per_s=moved, sharpness=constants.sharpness)


def _drawing(accelerator: Accelerator, constants: ServingConstants) -> float:
    """Seconds for which all multiprocessors together are busy with one byte; none where their number is not known."""
    units, clock_hz = accelerator.sm_count, accelerator.boost_clock_hz
    return 1 / (units * clock_hz * constants.bytes_per_cycle) if units and clock_hz else 0.0


def _peak(accelerator: Accelerator, narrow_sums: bool) -> float:
    """The rate of 16-bit products; where sums may be narrow it is half that of 8-bit integers, if that is more."""
    rates = [rate for name in MATRIX_RATES if (rate := accelerator.peak_flops_per_s.get(name))]
    if not rates:
        raise BadInput(f"{accelerator.name}: peak_flops_per_s needs one of {', '.join(MATRIX_RATES)} to predict a time")
    return max(rates[0], accelerator.peak_flops_per_s.get("int8", 0) / 2) if narrow_sums else rates[0]
