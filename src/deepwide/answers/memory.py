"""Does it fit? Bytes on each device, the largest context and batch that still fit, and what would make it fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, cast

from deepwide.answers.answer import Answer
from deepwide.answers.load import LARGEST_BATCH, SEARCHED_CONTEXT, Load, checked
from deepwide.answers.models import Model, find_model
from deepwide.architecture.adapters import lora_parameters, lora_targets, lora_weights
from deepwide.architecture.ledger import Ledger
from deepwide.architecture.rows import Scores
from deepwide.cost.activations.saved import saved_activation_bytes
from deepwide.cost.memory import (
    ADAPTER_BYTES,
    inference_activation_bytes,
    kv_cache_bytes,
    optimizer_bytes,
    overhead_bytes,
    weights_bytes,
)
from deepwide.cost.precision import cache_bits, precision
from deepwide.cost.training.memory import working_bytes
from deepwide.cost.training.memory_habits import PYTORCH
from deepwide.cost.training.plan import Plan, Recompute
from deepwide.facts.accelerators import accelerator
from deepwide.facts.device import Accelerator, memory_for_use_bytes

PARTS = ("weights", "kv_cache", "activation", "gradient", "optimizer", "overhead")


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory(Answer):
    """The answer, per device. `max_context` holds at the asked batch, `max_batch` at the asked context.

    `max_context` is no longer than the model's own; `memory_context` is what memory alone would hold.
    """

    model: str
    on: str
    fits: bool
    total_bytes: int
    capacity_bytes: int
    weights_bytes: int
    kv_cache_bytes: int
    activation_bytes: int
    gradient_bytes: int
    optimizer_bytes: int
    overhead_bytes: int
    max_context: int
    max_batch: int
    memory_context: int
    trainable: int
    load: Load
    remedies: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values, under the keys that others rely on."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "load"}
        load = {f.name: getattr(self.load, f.name) for f in fields(Load)}
        return {**values, **load, "remedies": list(self.remedies), "notes": list(self.notes)}


def memory(model: str | Model, *, on: str, **load: Any) -> Memory:
    """Whether a model fits on an accelerator, for inference or (with `train`) for training.

    The keywords are the fields of `Load`; a model that needs more than its name is found with `find_model`.

    >>> memory("llama-2-13b", on="rtx-3060-12gb", weights="int4").fits
    True
    """
    found = find_model(model) if isinstance(model, str) else model
    device = accelerator(on)
    asked = checked(Load(**load))
    capacity_bytes = memory_for_use_bytes(device)
    parts = memory_parts(found, asked)
    total_bytes = sum(parts.values())
    fits = total_bytes <= capacity_bytes
    longest = _largest(lambda n: replace(asked, context=n), found, capacity_bytes, SEARCHED_CONTEXT)
    return Memory(
        model=found.name,
        on=device.name,
        fits=fits,
        total_bytes=total_bytes,
        capacity_bytes=capacity_bytes,
        **{f"{name}_bytes": parts[name] for name in PARTS},
        max_context=min(longest, _context_limit(found)),
        memory_context=longest,
        max_batch=_largest(lambda n: replace(asked, batch=n), found, capacity_bytes, LARGEST_BATCH),
        trainable=_trainable(found, asked),
        load=asked,
        remedies=() if fits else tuple(_remedies(found, asked, capacity_bytes, device)),
        notes=(*found.notes, *_notes(found, asked)),
    )


def memory_parts(model: Model, load: Load) -> dict[str, int]:
    """Bytes of each part on one device."""
    ledger = model.ledger
    if load.train:
        return _training_parts(model, load)
    cache = kv_cache_bytes(ledger, context=load.context, batch=load.batch, bits=cache_bits(load.cache), tp=load.devices)
    return {
        "weights": int(weights_bytes(ledger, precision(load.weights), load.devices)),
        "kv_cache": int(cache),
        "activation": _prefill_bytes(model, load),
        "gradient": 0,
        "optimizer": 0,
        "overhead": overhead_bytes(load.devices),
    }


def _prefill_bytes(model: Model, load: Load) -> int:
    """The working set of reading a prompt: a chunk at a time, or all of it where a token sees those after it."""
    at_once = load.context if _sees_ahead(model.ledger) else min(load.context, load.chunk)
    working_set = inference_activation_bytes(
        model.ledger, batch=load.batch, tokens=at_once, fused=load.fused, tp=load.devices
    )
    return int(working_set)


def _sees_ahead(ledger: Ledger) -> bool:
    """Whether a prompt has to be read whole, as by an encoder."""
    scored = ((op.stream, op.how) for op in ledger.ops if op.rows is None)
    return any(isinstance(how, Scores) and not how.causal and how.keys == stream for stream, how in scored)


def _training_parts(model: Model, load: Load) -> dict[str, int]:
    """Training in 16 bits with fp32 optimiser states: ZeRO 1 shares the states, 2 the gradients, 3 the weights too."""
    ledger, ranks = model.ledger, load.devices
    weights = int(weights_bytes(ledger, precision(load.weights)))
    if load.lora is not None:
        rows = Ledger(weights=lora_weights(ledger, load.lora, lora_targets(load.targets)), ops=(), caches=())
        adapters = ADAPTER_BYTES * int(rows.parameters())
        states = int(optimizer_bytes(rows, load.optimizer, master=False))
        weights, gradients = weights + adapters, adapters
    else:
        sixteen = load.weights in ("bf16", "fp16")
        gradients = (2 if sixteen else 4) * int(ledger.parameters())
        states = int(optimizer_bytes(ledger, load.optimizer, master=sixteen))
    share = [ranks if load.zero >= stage else 1 for stage in (1, 2, 3)]
    return {
        "weights": -(-weights // share[2]),
        "kv_cache": 0,
        "activation": _training_activation_bytes(model, load),
        "gradient": -(-gradients // share[1]),
        "optimizer": -(-states // share[0]),
        "overhead": overhead_bytes(load.devices),
    }


def _training_activation_bytes(model: Model, load: Load) -> int:
    """What is kept for the backward pass, and what its widest moment needs beside: logits, gathered weights."""
    architecture = model.described()
    saved = saved_activation_bytes(
        architecture,
        batch=load.batch,
        tokens=load.context,
        attention=load.attention,
        dtype="bf16",
        recompute=load.recompute,
    )
    working = working_bytes(
        architecture,
        model.ledger,
        batch=load.batch,
        tokens=load.context,
        plan=Plan(dp=load.devices, zero=cast(Any, load.zero), recompute=cast(Recompute, load.recompute)),
        habits=replace(PYTORCH, flash=load.attention != "eager"),
    )
    return int(saved) + int(working)


def _trainable(model: Model, load: Load) -> int:
    if not load.train:
        return 0
    if load.lora is None:
        return int(model.ledger.parameters())
    return int(lora_parameters(model.ledger, load.lora, lora_targets(load.targets)))


def _context_limit(model: Model) -> int:
    """The longest context worth asking for: what the model states, or far beyond any use."""
    stated = model.architecture.context if model.architecture else None
    return int(stated) if stated else SEARCHED_CONTEXT


def _largest(change: Callable[[int], Load], model: Model, capacity_bytes: int, limit: int) -> int:
    """The largest value of one field of the load that still fits; 0 when not even 1 does. Bytes grow with it."""

    def fits(value: int) -> bool:
        return sum(memory_parts(model, change(value)).values()) <= capacity_bytes

    low, high = 0, limit
    while low < high:
        middle = -(-(low + high) // 2)
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _remedies(model: Model, load: Load, capacity_bytes: int, device: Accelerator) -> Iterator[str]:
    """Changes that would make it fit, each tried alone, the cheapest for quality first."""
    for words, changed in _changes(model, load):
        total_bytes = sum(memory_parts(model, changed).values())
        if total_bytes <= capacity_bytes:
            yield f"{words} ({total_bytes / 2**30:.1f} of {capacity_bytes / 2**30:.1f} GiB)"
    more = _enough_devices(model, load, capacity_bytes)
    if more:
        sharing = " --zero 3 --recompute full" if load.train else ""
        yield f"{more} × {device.name}: --devices {more}{sharing}"


def _changes(model: Model, load: Load) -> Iterator[tuple[str, Load]]:
    if load.train:
        if load.recompute != "full":
            yield "recompute activations: --recompute full", replace(load, recompute="full")
        if load.devices > 1 and load.zero < 3:
            yield "share all states over the devices: --zero 3 --recompute full", _shared(load)
        if load.optimizer == "adamw" and load.lora is None:
            yield "8-bit optimiser states: --optimizer adamw-8bit", replace(load, optimizer="adamw-8bit")
        if load.lora is None:
            yield "train adapters only: --lora 16 --recompute full", replace(load, lora=16, recompute="full")
        rank = load.lora or 16
        words = f"QLoRA: --weights nf4 --lora {rank} --recompute full"
        yield words, replace(load, weights="nf4", lora=rank, recompute="full")
    else:
        for name in ("int8", "int4"):
            yield f"weights in {name}: --weights {name}", replace(load, weights=name)
        if load.cache in ("bf16", "fp16"):
            yield "cache in 8 bits: --cache int8", replace(load, cache="int8")
    if load.batch > 1:
        yield "one sequence at a time: --batch 1", replace(load, batch=1)
    if load.context > 1:
        yield f"half the context: --context {load.context // 2}", replace(load, context=load.context // 2)


def _shared(load: Load) -> Load:
    """The same training with everything shared over its devices, and activations recomputed."""
    return replace(load, zero=3, recompute="full")


def _enough_devices(model: Model, load: Load, capacity_bytes: int) -> int | None:
    """The smallest power of two of devices that suffices, up to 1024."""
    count = load.devices * 2
    while count <= 1024:
        wider = _shared(replace(load, devices=count)) if load.train else replace(load, devices=count)
        if sum(memory_parts(model, wider).values()) <= capacity_bytes:
            return count
        count *= 2
    return None


def _notes(model: Model, load: Load) -> tuple[str, ...]:
    said = []
    stated = model.architecture.context if model.architecture else None
    if stated and load.context > stated:
        said.append(f"context={load.context} is longer than the {stated} tokens the model states")
    if load.devices > 1 and not load.train:
        said.append(f"tensor parallel over {load.devices} devices; bytes are per device")
    if load.zero and not load.train:
        said.append(f"zero={load.zero} shares the states of training: it plays no part without --train")
    return tuple(said)
