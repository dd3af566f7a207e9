"""What the parts of a model other than attention keep for the backward pass, as the classes of transformers run them.

Every function runs one part on a tape: it takes the part and its input, and gives the output. The operations are
those of `activation_tape`, in the order in which the class calls them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from deepwide.architecture.experts import Experts
from deepwide.architecture.ffn import FeedForward
from deepwide.architecture.model import Body
from deepwide.architecture.parts import Norm
from deepwide.architecture.rows import Chunks, Op, Scores
from deepwide.architecture.site import LOWER, Site
from deepwide.cost.activations.habits import Dropout, Habit
from deepwide.cost.activations.tape import (
    FLOAT32_BYTES,
    Tape,
    Tensor,
    activated,
    cast,
    dropped,
    gathered,
    layer_norm,
    like,
    linear,
    multiplied,
    rms_norm,
    softmax,
    view,
)
from deepwide.units import Num

# A scan without its fused kernel keeps, for each channel and each number of its state, the decay, the input and the
# state itself, in float32, and so many tensors as wide as its output (counted in modeling_mamba.py). One that goes by
# chunks keeps a state per chunk, and more of those tensors (counted in modeling_qwen3_next.py).
STATES_BY_SCAN, WIDTHS_BY_SCAN = 3, 8
WIDTHS_BY_CHUNKS = 12


@dataclass(slots=True, kw_only=True)
class Forward:
    """One forward pass over one stack: `batch` sequences of `tokens`, and what its layers share.

    `other` is the output of the stack that is attended across to. `angles` are the cosines and sines of rotary
    positions; `biased` says that scores get a learned bias, `cross_bias` is what stands for it across stacks.
    """

    tape: Tape
    habit: Habit
    dropout: Dropout
    batch: Num
    tokens: Num
    attention: str
    recompute: str = "none"
    causal: bool = True
    other: Tensor | None = None
    other_tokens: Num = 0
    angles: tuple[Tensor, ...] = ()
    biased: bool = False
    cross_bias: Tensor | None = None

    @property
    def alone(self) -> bool:
        """Whether the batch is one sequence, so that heads and sequences fold into one axis without a copy."""
        return isinstance(self.batch, int) and self.batch == 1


def normed(r: Forward, n: Norm, x: Tensor) -> Tensor:
    """A norm of the family's kind."""
    if n.kind == "layer":
        return layer_norm(r.tape, x, r.habit.layer_norm)
    return rms_norm(r.tape, x, r.habit.rms_norm)


def feed_forward(r: Forward, f: FeedForward, x: Tensor) -> Tensor:
    """down(act(up(x))), or down(act(gate(x)) * up(x))."""
    activation = r.habit.gated_gelu if f.gated and f.activation == "gelu" else f.activation
    inner = activated(r.tape, linear(r.tape, x, f.ffn), activation)
    if f.gated:
        inner = multiplied(r.tape, inner, linear(r.tape, x, f.ffn))
    inner = dropped(r.tape, inner, r.dropout.inner)
    return linear(r.tape, inner, x.width if f.outputs is None else f.outputs)


def experts(r: Forward, e: Experts, x: Tensor) -> Tensor:
    """A router, and its choices on copies of the tokens sorted by expert (transformers/integrations/moe.py)."""
    t, active = r.tape, e.experts if r.habit.every_expert else e.active_experts
    rows = x.rows * active
    shares = _shares(t, _chances(r, e, x), active)
    inner = linear(t, gathered(t, x, rows), e.ffn * (2 if e.gated else 1))
    out = linear(t, _expert_activated(r, e, inner), x.width if e.width is None else e.width)
    gathered(t, multiplied(t, out, shares), rows)
    t.keep(t.tensor(e.experts, 1, 4))  # where each expert's tokens end, as int32
    if e.shared:
        _shared(r, e, e.shared, x)
    return like(x)


def _chances(r: Forward, e: Experts, x: Tensor) -> Tensor:
    """The router's softmax, or sigmoid, in float32."""
    read = cast(x, FLOAT32_BYTES) if r.habit.float32_router else x
    logits = linear(r.tape, read, e.experts if e.router_outputs is None else e.router_outputs)
    return softmax(r.tape, cast(logits, FLOAT32_BYTES), FLOAT32_BYTES)


def _shares(t: Tape, chances: Tensor, active: Num) -> Tensor:
    """The weights of the chosen experts: their indices, their sum, the quotient, and their order by expert."""
    top = like(chances, active)
    t.keep(t.indices(chances.rows, active), like(chances, 1), top)
    return gathered(t, like(chances, 1), chances.rows * active)


def _expert_activated(r: Forward, e: Experts, inner: Tensor) -> Tensor:
    """act(gate) * up, the two being views of one tensor."""
    if not e.gated:
        return activated(r.tape, inner, e.activation)
    for _ in range(r.habit.gate_steps):
        r.tape.keep(like(inner, e.ffn))
    return multiplied(r.tape, activated(r.tape, view(inner, e.ffn), e.activation), view(inner, e.ffn))


def _shared(r: Forward, e: Experts, shared: FeedForward, x: Tensor) -> None:
    """The network that every token passes, and its gate."""
    y = feed_forward(r, replace(shared, ffn=shared.ffn * e.shared_copies), x)
    if e.shared_gate:
        multiplied(r.tape, y, activated(r.tape, linear(r.tape, x, 1), "sigmoid"))


def by_rows(r: Forward, body: Body, x: Tensor) -> Tensor:
    """Any other part, by its operations: each matrix keeps its input, scores their weights, a scan its states.

    Projections that follow one another with inputs of one width are taken to read the same input.
    """
    site = Site(weights=[], ops=[], caches=[], prefix="", hidden=x.width)
    LOWER[type(body)](site, body)
    width: Num | None = None
    for op in site.ops:
        if op.kind != "matmul" or width is None or _differs(op.k, width):
            _kept_by(r, op, x)
        width = op.k if op.kind == "matmul" else width
    return like(x)


def _differs(a: Num, b: Num) -> bool:
    return not (isinstance(a, int) and isinstance(b, int) and a == b)


def _kept_by(r: Forward, op: Op, x: Tensor) -> None:
    """What one operation of the ledger keeps, on the tokens of the stream."""
    t, rows = r.tape, x.rows if op.rows is None else op.rows
    match op.kind:
        case "matmul":
            t.keep(t.tensor(rows, op.k * op.active))
        case "conv" | "activation":
            t.keep(t.tensor(rows, op.n * op.active))
        case "norm":
            normed(r, Norm(), t.tensor(rows, op.n))
        case "scan":
            _scanned(r, op, rows)
        case "attention":
            t.keep(t.tensor(rows, 2 * op.k + op.n))
            if isinstance(op.how, Scores) and r.attention == "eager" and r.recompute != "selective":
                keys = r.tokens if op.how.key_rows is None else op.how.key_rows
                softmax(t, t.tensor(rows * op.how.heads, keys), FLOAT32_BYTES)


def _scanned(r: Forward, op: Op, rows: Num) -> None:
    """A scan: every state, one state per chunk, or with a fused kernel (`flash`) none, as it runs the scan again."""
    t = r.tape
    if r.attention == "flash":
        t.keep(t.tensor(rows, op.n))
    elif isinstance(op.how, Chunks):
        chunks = r.batch * -(-r.tokens // op.how.tokens)
        t.keep(t.tensor(chunks, op.k * op.n, FLOAT32_BYTES))
        t.keep(t.tensor(chunks * op.how.tokens, WIDTHS_BY_CHUNKS * op.n, FLOAT32_BYTES))
    else:
        t.keep(t.tensor(rows, (STATES_BY_SCAN * op.k + WIDTHS_BY_SCAN) * op.n, FLOAT32_BYTES))
