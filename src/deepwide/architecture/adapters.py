"""Low-rank adapters (LoRA, Hu et al. 2021, arXiv:2106.09685): what is added to a matrix that itself stays as it is.

y = x W + alpha / rank * x A B        A [inputs, rank], B [rank, outputs]; A and B alone are trained
"""

from __future__ import annotations

from collections.abc import Iterable

from deepwide.architecture.flops import Convention, Pass, backward_flops, forward_flops, layer_flops
from deepwide.architecture.ledger import Ledger
from deepwide.architecture.rows import Op, Scores, Weight
from deepwide.errors import BadInput, did_you_mean
from deepwide.units import Num, Real

LORA_TARGETS = ("query", "key", "value", "output", "gate", "up", "down")
GROUPS = {"attention": LORA_TARGETS[:4], "ffn": LORA_TARGETS[4:], "all": LORA_TARGETS}
PARTS = ("attention", "ffn", "recurrent")  # whose matrices can be targets
OWN = "attention"  # how attention of a stack to its own tokens is called
FIRST = ("query", "key", "value")  # what reads the vectors of a stack's first layer, which ask for no gradient


def lora_targets(text: str) -> tuple[str, ...]:
    """The matrices that a text names: `query,value`, or a group of them.

    >>> lora_targets("ffn")
    ('gate', 'up', 'down')
    """
    words = [word.strip().lower() for word in text.split(",") if word.strip()]
    for word in words or [text]:
        if word not in (*LORA_TARGETS, *GROUPS):
            known = (*GROUPS, *LORA_TARGETS)
            raise BadInput(f"targets={word!r} is unknown{did_you_mean(word, known)}; known: {', '.join(known)}")
    named = {target for word in words for target in GROUPS.get(word, (word,))}
    return tuple(target for target in LORA_TARGETS if target in named)


def target_of(w: Weight) -> str:
    """The target that a matrix is: its role, shared experts and the others alike."""
    return w.role.removeprefix("expert_").removeprefix("shared_")


def lora_weights(ledger: Ledger, rank: int, targets: tuple[str, ...] = LORA_TARGETS) -> tuple[Weight, ...]:
    """The adapters' own matrices: [inputs, rank] and [rank, outputs] for each target matrix."""
    rows = [w for w in ledger.weights if w.part in PARTS and len(w.shape) == 2]
    chosen = [w for w in rows if target_of(w) in targets]
    if not chosen:
        known = ", ".join(sorted({w.role for w in rows}))
        raise BadInput(f"lora targets {', '.join(targets)} name no matrix of this model; it has {known}")
    return tuple(w._replace(shape=shape) for w in chosen for shape in ((w.shape[0], rank), (rank, w.shape[1])))


def lora_parameters(ledger: Ledger, rank: int, targets: tuple[str, ...] = LORA_TARGETS) -> Num:
    """Parameters of the adapters: rank (inputs + outputs) for each target matrix."""
    return sum(w.parameters for w in lora_weights(ledger, rank, targets))


def lora_flops(
    ledger: Ledger, rank: int, targets: tuple[str, ...], work: Pass, convention: Convention = "hardware"
) -> Real:
    """Matrix work of one training step, forward and backward, where the adapters alone are trained.

    A frozen matrix needs the gradient of its input and not its own: it is passed twice, where a trained one is passed
    three times. Before the first adapter of a stack nothing asks for a gradient at all. Where branches stand side by
    side, or what follows attends across to another stack, a little less is done than is counted here.
    """
    adapters = tuple(_adapter_ops(ledger, rank, targets))
    own = Ledger(weights=(), ops=adapters, caches=())
    whole = forward_flops(ledger, work, convention) + backward_flops(ledger, work, convention)
    whole = whole + forward_flops(own, work, convention) + backward_flops(own, work, convention)
    frozen = sum(layer_flops(op, work, convention) * op.repeat for op in ledger.ops if op.weight)
    across = {op.stream for op in ledger.ops if isinstance(op.how, Scores) and op.how.keys != op.stream}
    first = [op for op in _first_layers(ledger) if op.stream not in across or _body(op) == OWN]
    down = [op for op in adapters[::2] if op.name in {each.name for each in first}]
    needless: Real = sum(_needless(op, targets) * layer_flops(op, work, convention) for op in (*first, *down))
    return whole - frozen - needless


def _adapter_ops(ledger: Ledger, rank: int, targets: tuple[str, ...]) -> Iterable[Op]:
    """The products of the adapters: with A, and then with B."""
    adapted = {w.name for w in lora_weights(ledger, rank, targets)}
    for op in ledger.ops:
        if op.weight in adapted:
            yield op._replace(n=rank)
            yield op._replace(k=rank)


def _first_layers(ledger: Ledger) -> Iterable[Op]:
    """The operations of the lowest run of layers in each stack that attends to its own tokens."""
    lowest: dict[str, str] = {}
    for op in ledger.ops:
        stack, _, rest = op.name.partition(".")
        run = rest.rpartition(".")[0].rpartition(".")[0]
        if _body(op) == OWN:
            lowest.setdefault(stack, run)
        if lowest.get(stack) == run:
            yield op


def _body(op: Op) -> str:
    return op.name.split(".")[-2]


def _needless(op: Op, targets: tuple[str, ...]) -> float:
    """Products of the first layer's backward pass that nothing asks for, in forward passes of the operation.

    Scores have four: of the values, of the probabilities, of the queries and of the keys, each half a forward pass.
    """
    role = op.name.rpartition(".")[2]
    if op.kind == "attention" and _body(op) == OWN:
        needed = [target in targets for target in FIRST] + [bool({"query", "key"} & set(targets))]
        return (len(needed) - sum(needed)) / 2
    before = {"output": FIRST, "gate": GROUPS["attention"], "up": GROUPS["attention"], "down": LORA_TARGETS[:6]}
    if op.kind != "matmul" or _body(op) not in (OWN, "ffn") or role not in (*FIRST, *before):
        return 0
    return float(role in FIRST or not set(before[role]) & set(targets))
