"""How long one forward pass takes: a fold over the ledger's operations, on one of the devices that share a model.

kernels   matrix products + attention + elementwise kernels + their launches + sums over devices
device    kernels + what each layer adds
pass      the longer of the device and of the host that launches its layers, and a little more where they are alike,
          and what a step and each of its sequences add
In a captured graph the host hardly shows; where it launches every kernel anew, depth alone decides.
"""

from __future__ import annotations

from dataclasses import dataclass

from deepwide.architecture.flops import Pass, layer_flops
from deepwide.architecture.ledger import Ledger
from deepwide.architecture.rows import Cache, Op, Scores, Weight, is_rms
from deepwide.arithmetic import least, longer, pieces, repeated, rounded_up
from deepwide.cost.collectives import Network, group, send_s
from deepwide.cost.inference.engine import Engine, streaming
from deepwide.cost.memory import cached_elements
from deepwide.cost.roofline import roofline_s
from deepwide.units import Num, Real

# Projections of the same input that every engine runs as one kernel: they share a launch.
FUSED = frozenset({"key", "value", "up", "expert_up", "shared_up"})
BRANCHES = ("attention", "ffn", "recurrent")  # a layer is two of them
HOST_SHARPNESS = 6.0  # device and host hardly disturb each other: the longer one decides
ELEMENT_BYTES = 2  # activations between products
NORM_PASSES = 4  # a norm reads and writes its input and the residual stream
# Matrix units work on whole tiles: a width that is no multiple of 64 elements is computed as the next one
# (Anthony et al. 2024, "The Case for Co-Designing Model Architectures with Hardware", arXiv:2401.14489). Only prompts
# feel it: decode steps wait for memory.
TILE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One pass: `tokens` new ones in each of `batch` sequences, after `past` cached ones, over tp times pp devices.

    Of the tokens of each sequence, `logits` go through the output head: the last one, or none in an encoder.
    A `prompt` is of any length, so that no captured graph holds its kernels.
    """

    tokens: Num = 1
    batch: Num = 1
    past: Num = 0
    tp: int = 1
    pp: int = 1
    logits: int = 1
    prompt: bool = False

    @property
    def rows(self) -> Num:
        """New tokens of all sequences."""
        return self.tokens * self.batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Seconds:
    """Where the time of a pass goes; the parts add up to `total_s`."""

    weights_s: Real = 0.0
    cache_s: Real = 0.0
    compute_s: Real = 0.0
    launch_s: Real = 0.0
    traffic_s: Real = 0.0
    overhead_s: Real = 0.0

    @property
    def total_s(self) -> Real:
        """The whole pass."""
        narrow = self.launch_s + self.traffic_s
        total: Real = self.weights_s + self.cache_s + self.compute_s + narrow + self.overhead_s
        return total


def forward(ledger: Ledger, work: Work, on: Engine, stream: str = "decoder") -> Seconds:
    """One pass of a stack, the stages of a pipeline one after the other. Other stacks have run already."""
    weights = {w.name: w for w in ledger.weights}
    on = _near(ledger, work, on)
    running = [op for op in ledger.ops if op.stream == stream and op.rows is None and _runs(op, work)]
    products = [_product_s(op, weights.get(op.weight), work, on) for op in running if op.kind == "matmul"]
    weights_s = repeated((n, reading) for n, reading, _ in products)
    cache_s, scores_s = _attention_s(ledger, running, work, on)
    between = ((op.repeat, _streamed_s(op, work, on)) for op in running)
    compute_s = repeated([*((n, rest) for n, _, rest in products), *between]) + scores_s
    launch_s = repeated((op.repeat, _launch_s(op, on)) for op in running)
    traffic_s = _traffic_s(running, weights, work, on)
    kernels_s = weights_s + cache_s + compute_s + (launch_s + traffic_s)
    return Seconds(
        weights_s=weights_s,
        cache_s=cache_s,
        compute_s=compute_s,
        launch_s=launch_s,
        traffic_s=traffic_s,
        overhead_s=_pass_s(kernels_s, running, weights, work, on) - kernels_s,
    )


def _near(ledger: Ledger, work: Work, on: Engine) -> Engine:
    """The engine with the rates at which all that a pass reads comes from caches, where those are known."""
    if not on.near_bytes_per_s:
        return on
    held_bytes = repeated((w.repeat, w.layer_parameters * on.weight_bytes(w)) for w in ledger.weights)
    kept = repeated((c.repeat, cached_elements(c, work.past + work.tokens)) for c in ledger.caches)
    return streaming(on, (held_bytes + kept * work.batch * on.cache_bytes) / (work.tp * work.pp))


def _runs(op: Op, work: Work) -> bool:
    return op.kind != "gather" and (work.logits > 0 or op.part != "head")


def _product_s(op: Op, weight: Weight | None, work: Work, on: Engine) -> tuple[Num, Real, Real]:
    """In how many layers a matrix product stands; of one: reading its weights, and what computing adds to that."""
    k, n = op.k, op.n
    split = weight.split if weight else "replicated"
    if work.tp > 1 and split in ("column", "vocabulary"):
        n = pieces(n, work.tp)
    elif work.tp > 1 and split == "row":
        k = pieces(k, work.tp)
    rows = work.batch * work.logits if op.part == "head" else work.rows
    narrow = on.narrow(weight)
    under = on.products if narrow else on.sixteen
    held_bytes = _touched(op, weight, rows) * k * n * on.weight_bytes(weight)
    passing_bytes = rows * op.active * (k + n) * (on.element_bytes if narrow else ELEMENT_BYTES)
    tiled = work.prompt and on.constants.odd_sizes > 0
    whole = rounded_up(k, TILE) * rounded_up(n, TILE) if tiled else k * n
    flops = 2 * rows * op.active * whole
    reading: Real = held_bytes / under.bytes_per_s
    packing = on.constants.packing_passes * reading if work.prompt else 0.0
    return op.repeat, reading, roofline_s(flops, held_bytes + passing_bytes, under) + packing - reading


def _touched(op: Op, weight: Weight | None, rows: Num) -> Real:
    """How many of the experts' matrices `rows` tokens read, if they choose evenly: E (1 - (1 - active / E)^rows)."""
    if weight is None or (isinstance(weight.copies, int) and weight.copies == op.active):
        return op.active
    sleeping: Real = (1 - op.active / weight.copies) ** rows
    return weight.copies * (1 - sleeping)


def _attention_s(ledger: Ledger, running: list[Op], work: Work, on: Engine) -> tuple[Real, Real]:
    """All layers of attention and recurrence: reading the cache, and what computing adds to that."""
    context = work.past + work.tokens
    heads = {
        op.name.rpartition(".")[0]: op.how.heads for op in running if isinstance(op.how, Scores) and not op.how.latent
    }
    passed = Pass(tokens=work.tokens, batch=work.batch, past=work.past)
    read_bytes = repeated(
        (c.repeat, cached_elements(c, context) * _read_again(c, heads, work, on)) for c in ledger.caches
    )
    scoring = (op for op in running if op.kind in ("attention", "scan", "conv"))
    flops = repeated((op.repeat, layer_flops(op, passed, "hardware")) for op in scoring)
    reading = read_bytes * (work.batch * on.cache_bytes / on.attention.bytes_per_s)
    computing = flops / (work.tp * on.attention.flops_per_s)
    return reading, longer(reading, computing, on.attention.sharpness) - reading


def _read_again(cache: Cache, heads: dict[str, Num], work: Work, on: Engine) -> Real:
    """How often a cached element is read on a device: by the query heads that share it, if it has its head."""
    sharing = heads.get(cache.name.rpartition(".")[0], cache.heads) / cache.heads
    again: Real = 1 + on.constants.reread_share * (sharing - 1)
    return again * (pieces(cache.heads, work.tp) / cache.heads if work.tp > 1 else 1)


def _streamed_s(op: Op, work: Work, on: Engine) -> Real:
    """A kernel between products, which moves its elements."""
    if op.kind not in ("norm", "activation"):
        return 0.0
    rows = work.batch * work.logits if op.part == "head" else work.rows
    passes = NORM_PASSES if op.kind == "norm" else (op.k + 1) / work.tp
    moved_bytes = rows * op.active * op.n * passes * on.constants.elementwise_passes * ELEMENT_BYTES
    time: Real = moved_bytes / on.sixteen.bytes_per_s
    return time


def _launch_s(op: Op, on: Engine) -> Real:
    """What a kernel takes before it moves or computes anything."""
    c = on.constants
    if op.kind == "matmul":
        return 0.0 if op.name.rpartition(".")[2] in FUSED else c.launch_s
    if op.kind == "attention":
        return c.attention_launch_s + c.small_s  # positions are turned and keys stored before it
    return c.small_s + c.rms_norm_s if is_rms(op) else c.small_s


def _traffic_s(running: list[Op], weights: dict[str, Weight], work: Work, on: Engine) -> Real:
    """Sums over the devices that share each layer, one for each branch, and hand-overs between stages."""
    if work.tp == 1 and work.pp == 1:
        return 0.0
    hidden = next((op.n for op in reversed(running) if op.kind == "norm"), 0)
    message_bytes = work.rows * hidden * ELEMENT_BYTES
    cut = {op.name.rpartition(".")[0]: op.repeat for op in running if _split(op, weights) == "row"}
    sums = sum(cut.values()) * all_reduce_s(message_bytes, on, work.tp) if work.tp > 1 else 0.0
    handing_over = on.constants.stage_s + send_s(message_bytes / work.tp, on.network, work.tp)
    return sums + (work.pp - 1) * handing_over


def _split(op: Op, weights: dict[str, Weight]) -> str:
    return weights[op.weight].split if op.weight in weights else "replicated"


def all_reduce_s(message_bytes: Real, on: Engine, devices: int) -> Real:
    """A sum over devices as engines do it: one kernel that reads the parts of all others at once.

    t = start + 2 M / W      inside a node; between nodes the parts are summed as a ring does it, over the far wire
    """
    net: Network = on.network
    among = group(net, devices)
    near = 2 * message_bytes / net.near.bytes_per_s * least(among.near - 1, 1)
    far = 2 * (among.nodes - 1) * (message_bytes / among.near / among.nodes / net.far.bytes_per_s + net.far.hop_s)
    time: Real = on.constants.all_reduce_s + near + far
    return time


def _pass_s(kernels_s: Real, running: list[Op], weights: dict[str, Weight], work: Work, on: Engine) -> Real:
    """The pass as a user sees it: kernels, what layers add, the host beside them, and what a step adds."""
    c = on.constants
    branches = {op.name.rpartition(".")[0]: op.repeat for op in running if op.part in BRANCHES}
    layers = sum(branches.values()) / 2
    downs = (op for op in running if op.name.endswith("expert_down") and op.weight in weights)
    experts = repeated((op.repeat, weights[op.weight].copies) for op in downs)
    device_s = kernels_s + (layers * c.layer_s + experts * c.expert_s)
    launched = _launched(work, on)
    if not (isinstance(launched, int) and launched == 0):
        device_s = longer(device_s, layers * c.host_layer_s * launched, HOST_SHARPNESS)
    time: Real = device_s + (c.step_s + work.batch * c.sequence_s + (work.past + work.tokens) * c.context_s)
    return time


def _launched(work: Work, on: Engine) -> Num:
    """1 where the host launches every kernel of a pass, 0 where a captured graph holds them: in decode steps."""
    if work.prompt:
        return 1
    beyond: Num = least(work.past // (on.profile.captured_context + 1), 1)
    return beyond
