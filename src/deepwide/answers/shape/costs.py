"""What a shape costs: its structure, which needs no hardware; its times on an accelerator; its training step."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from deepwide.answers.limits import MOST_DEVICES, whole
from deepwide.answers.load import Load
from deepwide.answers.memory import memory_parts
from deepwide.answers.models import Model
from deepwide.answers.training.plan_verdict import in_words, priced, recommended
from deepwide.answers.training.run import Run, default_batch, setting
from deepwide.architecture.flops import Pass, backward_flops, forward_flops
from deepwide.architecture.ledger import lower
from deepwide.architecture.model import Architecture
from deepwide.architecture.sizes import int_or_none, sizes
from deepwide.cost.inference.engine import Engine
from deepwide.cost.inference.launches import launches
from deepwide.cost.inference.passes import ELEMENT_BYTES, Work, forward
from deepwide.cost.inference.serving import Requests, prompt_passes, prompt_s
from deepwide.cost.training.plans import search
from deepwide.cost.training.traffic import tensor_sums
from deepwide.design.alignment import products, shared_by
from deepwide.errors import BadInput
from deepwide.facts.device import Accelerator

NODE_DEVICES = 8  # of one server: what tensor parallelism and a training plan are asked for where nothing is said


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What shapes are looked at for: tokens of training, tokens in view, devices that share each layer."""

    tokens: float
    context: int
    tp: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Where a training step is timed: so many devices, sequences of so many tokens."""

    device: Accelerator
    devices: int
    sequence: int


def together(devices: int | None, on: str) -> int:
    """The devices of a training step; BadInput for devices of nothing."""
    if devices is None:
        return NODE_DEVICES
    if not on:
        raise BadInput(f"devices={devices} says nothing without an accelerator; give --on, for instance --on h100")
    return whole("devices", devices, 1, MOST_DEVICES)


def shared_devices(models: list[Model], most: int = NODE_DEVICES) -> int:
    """The most devices of one node, a power of two, that can share the heads of every one of the models."""
    owns = [sizes(model.described()) for model in models]
    return min(shared_by(int_or_none(own.heads), int_or_none(own.kv_heads), most) for own in owns)


def structure(model: Model, terms: Terms) -> dict[str, Any]:
    """What follows from the shape alone."""
    ledger, architecture, context = model.ledger, model.described(), terms.context
    read = Pass(tokens=context)
    onward, back = (flops(ledger, read) / context for flops in (forward_flops, backward_flops))
    filled = products(ledger, context, terms.tp)
    return {
        "forward_flops_per_token": onward,
        "training_flops_per_token": onward + back,
        "layer_bytes": ELEMENT_BYTES * _largest_layer(architecture),
        "inference_bytes": sum(memory_parts(model, Load(context=context)).values()),
        "training_bytes": sum(memory_parts(model, Load(context=context, train=True)).values()),
        "sums": int(tensor_sums(ledger)),
        "kernels": int(launches(ledger, architecture.main.name)),
        "intensity": filled.intensity,
        "fill": filled.fill,
        "slower": filled.slower,
        "gradient_path": _branches(architecture),
        "parameters_per_token": int(ledger.parameters()) / terms.tokens,
    }


def _largest_layer(architecture: Architecture) -> int:
    """Parameters of the largest layer: each kind of layer lowered alone."""
    kinds = [(stack, run) for stack in architecture.stacks for run in stack.runs if run.layers]
    alone = []
    for stack, run in kinds:
        branches = tuple(replace(branch, owned=None) for branch in run.layer.branches)
        one = replace(run, layer=replace(run.layer, branches=branches), layers=1, shared=False)
        only = replace(stack, runs=(one,), before=(), after=(), order=())
        alone.append(int(lower(replace(architecture, stacks=(only,), embedding=(), head=())).parameters()))
    return max(alone, default=0)


def _branches(architecture: Architecture) -> int:
    """Residual branches on the longest way back from the loss; those side by side are one, an encoder is passed too."""
    runs = [run for stack in architecture.stacks for run in stack.runs]
    return int(sum(run.layers * (1 if run.layer.parallel else len(run.layer.branches)) for run in runs))


def decoding(model: Model, on: Engine, terms: Terms) -> dict[str, Any]:
    """A prompt and a token at batch 1 on one device, and what sums over `tp` devices would take of them."""
    if not model.described().main.causal:
        return {}
    stream, ledger = str(model.described().main.name), model.ledger
    token = forward(ledger, Work(past=terms.context), on, stream)
    asked = Requests(input=terms.context, output=1, chunk=on.profile.chunk)
    times = {"decode": float(token.total_s), "prefill": float(prompt_s(ledger, asked, on, stream))}
    found = {"launch_s": float(token.launch_s)}
    for phase, middle_s in times.items():
        spread = on.profile.spread[phase]
        found |= {f"{phase}_s": middle_s, f"{phase}_low_s": middle_s / spread, f"{phase}_high_s": middle_s * spread}
    if terms.tp > 1:
        shared, passes = prompt_passes(ledger, replace(asked, tp=terms.tp), on, stream)
        found["prefill_sums_s"] = float(shared.traffic_s * passes)
        found["decode_sums_s"] = float(forward(ledger, Work(past=terms.context, tp=terms.tp), on, stream).traffic_s)
    return found


def training(model: Model, runs: Runs) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A training step under the fastest plan that fits; nothing and the reason where there is none."""
    batch = default_batch(runs.devices, runs.sequence)
    try:
        asked = setting(model, runs.device, Run(devices=runs.devices, sequence=runs.sequence, global_batch=batch))
    except BadInput as error:
        return {}, (f"no training step: {error}",)
    plan = recommended(asked.task, search(asked.task))
    if plan is None:
        return {}, (f"no training step: no plan fits {runs.devices} × {runs.device.name}; give more --devices",)
    chosen, spread = priced(asked.task, plan), asked.profile.spread
    step_s = float(chosen.step.step_s)
    return {
        "step_s": step_s,
        "step_low_s": step_s * math.exp(-spread),
        "step_high_s": step_s * math.exp(spread),
        "plan": in_words(plan),
        "plan_bytes": chosen.total_bytes,
    }, ()
