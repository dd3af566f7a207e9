"""An accelerator and its network as a training engine drives them: peaks times what the engine reaches of them."""

from __future__ import annotations

from dataclasses import dataclass

from deepwide.cost.collectives import Network, Wire
from deepwide.cost.roofline import Roof
from deepwide.errors import BadInput, did_you_mean
from deepwide.facts.device import SLOWEST_SLOT_BYTES_PER_S, Accelerator, link_bytes_per_s, pcie_bytes_per_s
from deepwide.facts.networks import node
from deepwide.facts.training import TrainingConstants
from deepwide.units import Real

SHARPNESS = 2.0  # of the corner between computing and moving: fits of 1.2 to 3 do equally well on training steps
# Number formats of the products, and the rates that an accelerator may list them under, the first known one counts.
FORMATS = {
    "bf16": ("bf16", "fp16", "tf32", "fp32"),
    "fp16": ("fp16", "bf16", "tf32", "fp32"),
    "tf32": ("tf32", "fp32"),
    "fp32": ("fp32",),
    "fp8": ("fp8",),
    "fp8-rowwise": ("fp8",),
    "mxfp8": ("fp8",),
    "nvfp4": ("fp4",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What a training engine gets out of an accelerator and its network.

    products    matrix products in the layers, in the format they are computed in
    head        the output head, in 16 bits
    attention_flops_per_s, host_bytes_per_s    attention in 16 bits; the way to host memory
    """

    products: Roof
    head: Roof
    attention_flops_per_s: Real
    host_bytes_per_s: Real
    network: Network
    constants: TrainingConstants


def engine(
    device: Accelerator,
    constants: TrainingConstants,
    format: str = "bf16",
    *,
    node_devices: int | None = None,
    network_bytes_per_s: float | None = None,
) -> Engine:
    """The accelerator under these constants; the network is the usual one unless figures are given."""
    usual, c = node(device.name), constants
    memory = device.bandwidth_bytes_per_s * c.memory_efficiency
    sixteen = peak_flops_per_s(device, "bf16")
    near = (link_bytes_per_s(device) or SLOWEST_SLOT_BYTES_PER_S) * c.near_efficiency
    far = (network_bytes_per_s or usual.bytes_per_s) * c.far_efficiency
    return Engine(
        products=Roof(
            flops_per_s=peak_flops_per_s(device, format) * c.compute_efficiency, bytes_per_s=memory, sharpness=SHARPNESS
        ),
        head=Roof(flops_per_s=sixteen * c.head_efficiency, bytes_per_s=memory, sharpness=SHARPNESS),
        attention_flops_per_s=sixteen * c.attention_efficiency,
        host_bytes_per_s=pcie_bytes_per_s(device) or SLOWEST_SLOT_BYTES_PER_S,
        network=Network(
            near=Wire(bytes_per_s=near, hop_s=c.hop_s),
            far=Wire(bytes_per_s=far, hop_s=c.hop_s),
            node_devices=node_devices or usual.node_devices,
        ),
        constants=c,
    )


def peak_flops_per_s(device: Accelerator, format: str) -> float:
    """The dense matrix rate of a number format."""
    if format not in FORMATS:
        raise BadInput(f"precision={format!r} is unknown{did_you_mean(format, FORMATS)}; known: {', '.join(FORMATS)}")
    rates = [rate for name in FORMATS[format] if (rate := device.peak_flops_per_s.get(name))]
    if not rates:
        has = ", ".join(device.peak_flops_per_s)
        raise BadInput(f"{device.name} has no known rate for {format}: peak_flops_per_s lists {has or 'nothing'}")
    return rates[0]
