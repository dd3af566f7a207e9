"""What a shape costs and how good it will be: everything a search decides on, for a whole block in one pass.

The formulas are those that price one model alone (cost/, quality/). Where the tokens are not given, a shape is trained
on as many as the limits on FLOPs, days, money or carbon leave it: a small shape sees more of them than a large one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from deepwide.architecture.flops import context_flops, token_flops
from deepwide.architecture.ledger import Ledger, lower
from deepwide.arithmetic import largest, least, repeated
from deepwide.cost.bill import DAY_S
from deepwide.cost.inference.engine import Engine
from deepwide.cost.inference.passes import Work, forward
from deepwide.cost.memory import (
    PREFILL_CHUNK,
    cached_elements_per_token,
    inference_activation_bytes,
    overhead_bytes,
    shards,
)
from deepwide.cost.training.engine import Engine as TrainingEngine
from deepwide.cost.training.memory import peak_training_bytes
from deepwide.cost.training.memory_habits import MemoryHabits
from deepwide.cost.training.plan import Job, Plan
from deepwide.cost.training.step import step_time
from deepwide.design.space import Block, Space, template
from deepwide.design.usual import Usual, slowness
from deepwide.quality.data import effective
from deepwide.quality.laws import SHAPE, law
from deepwide.quality.trained import trained
from deepwide.quality.vocabulary import vocabulary_effect
from deepwide.units import Real

if TYPE_CHECKING:
    from deepwide.architecture.model import Architecture

PASSES = 3  # over the model for each token trained on: one forward, and twice its work backward
MOST_EPOCHS = 40.0  # the data-constrained law was fitted up to 44 epochs (arXiv:2305.16264)


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How a shape is to be served: the engine, devices that share its layers, sequences at once, tokens in view."""

    engine: Engine
    tp: int = 1
    batch: int = 1
    context: int = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What it is trained on. Of the `plans` a shape takes the fastest that fits in `room_bytes`.

    usd_per_s, kg_per_s   of all devices together, None where unknown
    """

    plans: tuple[Plan, ...]
    engine: TrainingEngine
    habits: MemoryHabits
    sequence: int
    global_batch: int
    room_bytes: float
    usd_per_s: float | None
    kg_per_s: float | None


class Limit(NamedTuple):
    """The most of one column that a shape may need."""

    column: str
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose:
    """What shapes are for, and what they are held to.

    tokens          trained on; None for as many as the limits leave
    unique_tokens   that there are: beyond them tokens repeat
    serve_tokens    generated over the model's life; their FLOPs count against `flops`
    filled          parameters that a shape is meant to have: whether any such keeps to the limits is told apart
    """

    space: Space
    serving: Serving
    limits: tuple[Limit, ...]
    tokens: float | None
    unique_tokens: float | None = None
    serve_tokens: float = 0.0
    cluster: Cluster | None = None
    usual: Usual | None = None
    filled: float | None = None

    def most(self, column: str) -> float | None:
        """The limit of a column, if there is one."""
        return next((limit.most for limit in self.limits if limit.column == column), None)


def priced(purpose: Purpose, block: Block) -> dict[str, Any]:
    """A block's columns, each as narrow as what it depends on. Sizes are those of the whole model, times in seconds.

    parameters, tokens, loss, decode_s, memory_bytes [on one device], kv_cache_bytes_per_token, flops [training and
    serving]; with a cluster step_s, days, usd, kg_co2e, train_memory_bytes; with a `usual` shape to compare with,
    slowness; ttft_s where it is limited.
    """
    architecture = template(purpose.space, block)
    ledger = lower(architecture)
    serving, on = purpose.serving, purpose.serving.engine
    columns: dict[str, Any] = {
        "parameters": ledger.parameters(),
        "memory_bytes": serving_bytes(ledger, serving),
        "kv_cache_bytes_per_token": cached_elements_per_token(ledger) * on.cache_bytes,
        "decode_s": decode_s(ledger, serving),
    }
    if purpose.most("ttft_s") is not None:
        reading = Work(tokens=serving.context, batch=serving.batch, tp=serving.tp, prompt=True)
        columns["ttft_s"] = forward(ledger, reading, on).total_s
    if purpose.usual is not None:
        columns["slowness"] = slowness(purpose.usual, columns["parameters"], columns["decode_s"])
    columns |= _trained(purpose, architecture, ledger)
    return {**columns, "loss": _loss(purpose, architecture, ledger, columns["tokens"])}


def decode_s(ledger: Ledger, serving: Serving, stream: str = "decoder") -> Real:
    """A token of every sequence, all tokens in view."""
    return forward(
        ledger, Work(past=serving.context, batch=serving.batch, tp=serving.tp), serving.engine, stream
    ).total_s


def _loss(purpose: Purpose, architecture: Architecture, ledger: Ledger, tokens: Real) -> Real:
    """Nats per token of the first vocabulary of the space, without the interval.

    No public runs vary shape, experts and vocabulary together: the shape law speaks for the dense model that a token
    meets, and published laws say what experts and another vocabulary change in it.
    """
    of = trained(architecture, ledger, tokens, purpose.unique_tokens)
    if purpose.unique_tokens is not None:
        of = effective(of)
    loss, base = law(SHAPE).loss(of), purpose.space.vocabs[0]
    if of.vocab == base:
        return loss
    return loss + vocabulary_effect(of.active, of.hidden, of.vocab, base, of.tokens)


def serving_bytes(ledger: Ledger, serving: Serving) -> Real:
    """Bytes on one device: weights, cache, the working set of a prompt's chunk, and what the runtime takes."""
    on, tp = serving.engine, serving.tp
    weights = repeated((w.repeat, w.layer_parameters * (on.weight_bytes(w) / shards(w, tp))) for w in ledger.weights)
    cached = serving.context * serving.batch * on.cache_bytes
    spread = repeated((c.repeat, c.elements * -(-c.heads // tp) / c.heads) for c in ledger.caches if not c.fixed)
    chunk = min(serving.context, PREFILL_CHUNK)
    working = inference_activation_bytes(ledger, batch=serving.batch, tokens=chunk, tp=tp)
    total: Real = weights + spread * cached + (working + overhead_bytes(tp))
    return total


def _trained(purpose: Purpose, architecture: Architecture, ledger: Ledger) -> dict[str, Any]:
    """Tokens, and what training on them takes."""
    cluster = purpose.cluster
    each, seen, context = token_flops(ledger), context_flops(ledger), purpose.serving.context
    sequence = cluster.sequence if cluster else context
    per_token: dict[str, Real] = {"flops": PASSES * (each + seen * (sequence / 2))}
    fixed = {"flops": (each + seen * (context / 2)) * purpose.serve_tokens} if purpose.serve_tokens else {}
    made: dict[str, Any] = {}
    if cluster is not None:
        made = _stepped(architecture, ledger, cluster)
        together = cluster.global_batch * cluster.sequence
        rates = {"days": 1 / DAY_S, "usd": cluster.usd_per_s, "kg_co2e": cluster.kg_per_s}
        per_token |= {name: made["step_s"] * (rate / together) for name, rate in rates.items() if rate is not None}
    tokens = purpose.tokens if purpose.tokens is not None else _most_tokens(purpose, per_token, fixed)
    spent = {name: value * tokens for name, value in per_token.items()}
    served = {name: spent[name] + more for name, more in fixed.items()}
    return {**made, **spent, **served, "tokens": tokens}


def _most_tokens(purpose: Purpose, per_token: dict[str, Real], fixed: dict[str, Real]) -> Real:
    """As many whole tokens as the limits leave, one at least; of unique ones, as many epochs as the law has seen."""
    tokens: Real = float("inf") if purpose.unique_tokens is None else purpose.unique_tokens * MOST_EPOCHS
    for name, value in per_token.items():
        most = purpose.most(name)
        if most is not None:
            tokens = least(tokens, (most - fixed.get(name, 0.0)) / value)
    left: Real = largest(tokens // 1, 1.0)
    return left


def _stepped(architecture: Architecture, ledger: Ledger, cluster: Cluster) -> dict[str, Any]:
    """The step under the fastest of the plans that fit; where none does, under the one that needs least memory."""
    layers = architecture.main.layers
    job = Job(ledger=ledger, layers=layers, sequence=cluster.sequence, global_batch=cluster.global_batch)
    options = [_under(plan, architecture, job, cluster) for plan in cluster.plans]
    best_s, best_bytes = options[0]
    if len(options) == 1:
        return {"step_s": best_s, "train_memory_bytes": best_bytes}
    import numpy as np

    for step_s, needed in options[1:]:
        fits, had_fit = needed <= cluster.room_bytes, best_bytes <= cluster.room_bytes
        better = np.where(fits & had_fit, step_s < best_s, np.where(fits | had_fit, fits, needed < best_bytes))
        best_s, best_bytes = np.where(better, step_s, best_s), np.where(better, needed, best_bytes)
    return {"step_s": best_s, "train_memory_bytes": best_bytes}


def _under(plan: Plan, architecture: Architecture, job: Job, cluster: Cluster) -> tuple[Real, Real]:
    """Seconds of a step, bytes on the fullest device."""
    step_s = step_time(job, plan, cluster.engine).step_s
    return step_s, peak_training_bytes(architecture, job, plan, cluster.habits).total_bytes


def within(limits: Sequence[Limit], columns: dict[str, Any], relaxed: float = 1.0) -> Any:
    """The worst of the limits as a share: at most 1 where a shape keeps to all of them."""
    worst: Any = 0.0
    for limit in limits:
        worst = largest(worst, columns[limit.column] / (limit.most * relaxed))
    return worst
