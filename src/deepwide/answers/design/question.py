"""What is asked of a design, made ready for the search: the space, the hardware, the limits, and all defaults."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from deepwide.answers.design.space import as_large, model_to_be_like, space_of, unlike
from deepwide.answers.design.training import cluster_of, expected_size
from deepwide.answers.design.wanted import BUDGETS, OTHER_BUDGETS, Wanted, checked
from deepwide.answers.models import Model
from deepwide.answers.shape import TOKENS_PER_PARAMETER
from deepwide.answers.training.run import Setting
from deepwide.architecture.ledger import lower
from deepwide.cost.inference.engine import driven
from deepwide.design.pricing import Limit, Purpose, Serving, decode_s
from deepwide.design.space import Block, Kind, Mixture, Space, template
from deepwide.design.usual import FFN_RATIO, HEAD_DIM, Usual, usual
from deepwide.facts.accelerators import accelerator
from deepwide.facts.device import Accelerator, memory_for_use_bytes

MOST_SERVING = 64  # devices over which layers are cut to serve: eight nodes
USUAL_KV_HEADS = 8  # of Llama 3 from 8B to 405B, Mistral 7B, Qwen2.5 from 14B to 72B
FILLED_SHARE = 0.9  # of the parameters asked for: what is smaller is another model
SHARED_BY = 2  # devices that can share a new shape at least: heads come in pairs
RESERVE = 1.1  # weights and what stands beside them, when devices to serve are counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The question as the search takes it, with what was assumed."""

    wanted: Wanted
    device: Accelerator
    purpose: Purpose
    like: Model | None
    training: Setting | None
    notes: tuple[str, ...] = ()


def question(on: str, wanted: Wanted) -> Question:
    """The question with its defaults; BadInput where it makes no sense."""
    device = accelerator(on)
    wanted = checked(wanted)
    like = model_to_be_like(wanted)
    wanted = wanted if like is None else as_large(wanted, like)
    space = space_of(wanted, like)
    notes: list[str] = []
    if like and (kept := unlike(space, like)):
        notes.append(kept)
    expected = expected_size(wanted, device)
    tp = wanted.serve_devices or _fewest(expected, wanted, device)
    serving = Serving(engine=driven(device, devices=tp), tp=tp, batch=wanted.batch, context=wanted.context)
    space = replace(space, tp=tp if like else max(tp, SHARED_BY))
    table = _usual(space, serving)
    training, cluster, space = cluster_of(wanted, device, space, expected, notes)
    trained = [] if cluster is None else [Limit("train_memory_bytes", cluster.room_bytes)]
    purpose = Purpose(
        space=space,
        serving=serving,
        limits=(*_limits(wanted, device), *_speed(wanted, like, serving), *trained),
        tokens=_tokens(wanted, expected, notes),
        unique_tokens=wanted.unique_tokens,
        serve_tokens=float(wanted.serve_tokens),
        cluster=cluster,
        usual=table,
        filled=_filled(wanted),
    )
    return Question(
        wanted=wanted,
        device=device,
        purpose=purpose,
        like=like,
        training=training,
        notes=tuple(notes),
    )


def _limits(wanted: Wanted, device: Accelerator) -> list[Limit]:
    """What was asked, and the memory of the device."""
    room_bytes = memory_for_use_bytes(device)
    memory = Limit("memory_bytes", float(min(wanted.memory_bytes or room_bytes, room_bytes)))
    return [memory, *(Limit(n, float(most)) for n in BUDGETS if (most := getattr(wanted, n)) is not None)]


def _filled(wanted: Wanted) -> float | None:
    """What a budget of parameters alone asks for: a model of about that size, not any that is smaller."""
    if wanted.parameters is None or wanted.gives(*OTHER_BUDGETS):
        return None
    return FILLED_SHARE * wanted.parameters


def _fewest(expected: float, wanted: Wanted, device: Accelerator) -> int:
    """The fewest devices of a node, a power of two, that hold a model of the expected size."""
    most = min(MOST_SERVING, wanted.devices or MOST_SERVING)
    tp = 1
    while 2 * tp <= most and RESERVE * 2 * expected / tp > memory_for_use_bytes(device):
        tp *= 2
    return tp


def _usual(space: Space, serving: Serving) -> Usual:
    """Decode times of usual shapes of this family and vocabulary."""
    import numpy as np

    alone = max(space.sharing) == 1 and not space.kv_heads  # every query head has keys of its own
    usually = min(space.kv_heads, key=lambda n: abs(n - USUAL_KV_HEADS), default=USUAL_KV_HEADS)

    def measure(layers: Any, hidden: Any) -> tuple[Any, Any]:
        heads = hidden / HEAD_DIM
        kv_heads = heads if alone else np.minimum(heads, usually)
        kind = Kind(int(HEAD_DIM), 1, None, space.vocabs[0], Mixture())
        block = Block(kind, np.zeros_like(hidden), layers, hidden, heads, kv_heads, FFN_RATIO * hidden)
        ledger = lower(template(space, block))
        return ledger.parameters(), decode_s(ledger, serving)

    return usual(measure)


def _speed(wanted: Wanted, like: Model | None, serving: Serving) -> list[Limit]:
    """Limits on time: what was asked; else as fast as the model to be like, or as the usual shape of the size."""
    given = [Limit(name, float(v)) for name in ("decode_s", "ttft_s") if (v := getattr(wanted, name)) is not None]
    if wanted.any_speed or wanted.decode_s is not None:
        return given
    if like is None:
        return [*given, Limit("slowness", 1.0)]
    return [*given, Limit("decode_s", float(decode_s(like.ledger, serving, like.described().main.name)))]


def _tokens(wanted: Wanted, expected: float, notes: list[str]) -> float | None:
    """Tokens to train on, where the limits do not decide them."""
    if wanted.tokens is not None:
        return float(wanted.tokens)
    if wanted.gives(*OTHER_BUDGETS):
        return None
    tokens = float(round(TOKENS_PER_PARAMETER * expected))
    notes.append(f"tokens={tokens:.3g} assumed: {TOKENS_PER_PARAMETER} per parameter of the budget; see --tokens")
    return tokens
