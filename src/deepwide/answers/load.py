"""What is asked of a memory: how a model is stored, how much it reads at once, whether it trains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from deepwide.answers.limits import whole
from deepwide.architecture.adapters import lora_targets
from deepwide.cost.memory import OPTIMIZERS, PREFILL_CHUNK
from deepwide.cost.precision import cache_bits, precision
from deepwide.errors import BadInput, did_you_mean

DEFAULT_CONTEXT = 4096
SEARCHED_CONTEXT = 2**27  # where the search for the largest context ends, for models that state none
LARGEST_BATCH = 2**20
LARGEST_RANK = 2**20
RECOMPUTE = ("none", "selective", "full")
ATTENTION = ("flash", "sdpa", "eager")
COUNTS = ("context", "batch", "devices", "chunk")
WORDS: dict[str, tuple[str, ...]] = {
    "weights": (),
    "cache": (),
    "optimizer": tuple(OPTIMIZERS),
    "recompute": RECOMPUTE,
    "attention": ATTENTION,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked of the memory: how the model is stored, how long and how many sequences, and whether it trains.

    `devices` hold the model together: tensor parallel when serving, ZeRO stage `zero` over data parallel ranks when
    training. `batch` is per device when training. `lora` trains adapters of that rank beside the matrices that
    `targets` names, and freezes the rest; giving it means training.
    A prompt is read `chunk` tokens at once, by `fused` kernels or by eager ones.
    """

    weights: str = "bf16"
    cache: str = "bf16"
    context: int = DEFAULT_CONTEXT
    batch: int = 1
    devices: int = 1
    train: bool = False
    lora: int | None = None
    targets: str = "all"
    optimizer: str = "adamw"
    recompute: str = "none"
    attention: str = "flash"
    chunk: int = PREFILL_CHUNK
    fused: bool = True
    zero: int = 0


def checked(asked: Load) -> Load:
    """The load as it can be counted; BadInput where it cannot."""
    values: dict[str, Any] = {name: _word(name, getattr(asked, name)) for name in WORDS}
    values |= {name: whole(name, getattr(asked, name), 1, SEARCHED_CONTEXT) for name in COUNTS}
    values["zero"] = whole("zero", asked.zero, 0, 3)
    if asked.lora is not None:
        values |= {"lora": whole("lora", asked.lora, 1, LARGEST_RANK), "train": True}
    lora_targets(asked.targets)
    load = replace(asked, **values)
    precision(load.weights)
    cache_bits(load.cache)
    if load.train and load.lora is None and load.weights not in ("fp32", "tf32", "bf16", "fp16"):
        raise BadInput(f"weights={load.weights!r} cannot be trained; train adapters on top of it with --lora RANK")
    return load


def _word(name: str, value: Any) -> str:
    """A choice in lower case, if it is one of those known; precisions are looked up where they are listed."""
    word, known = str(value).lower(), WORDS[name]
    if known and word not in known:
        raise BadInput(f"{name}={value!r} is unknown{did_you_mean(word, known)}; choose one of {', '.join(known)}")
    return word
