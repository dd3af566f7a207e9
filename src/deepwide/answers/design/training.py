"""What trains a design: the cluster with its best plans for usual shapes, and about how large the design will be."""

from __future__ import annotations

import math
from dataclasses import replace

from deepwide.answers.design.wanted import OF_TRAINING, Wanted
from deepwide.answers.models import Model, find_model
from deepwide.answers.shape import TOKENS_PER_PARAMETER
from deepwide.answers.training.plan_verdict import recommended
from deepwide.answers.training.run import LONGEST_DEFAULT, Run, Setting, setting
from deepwide.cost.bill import DAY_S, bill
from deepwide.cost.training.engine import peak_flops_per_s
from deepwide.cost.training.plan import Plan
from deepwide.cost.training.plans import search
from deepwide.design.pricing import Cluster
from deepwide.design.space import Space, spelled
from deepwide.design.usual import FFN_RATIO, HEAD_DIM, usual_aspect
from deepwide.errors import BadInput
from deepwide.facts.device import Accelerator
from deepwide.quality.trained import FLOPS_PER_PARAMETER

USUAL_EFFICIENCY = 0.4  # of the peak, where only an order of magnitude of the size is wanted
PLANNED_SIZES = (1.0, 0.25)  # of the expected size: shapes in between take the faster of the two plans


def expected_size(wanted: Wanted, device: Accelerator) -> float:
    """About how many parameters the answer will have: what a budget of FLOPs, time or money comes to at 20 tokens each.

    Only defaults follow from it: devices to serve on, and plans to train with.
    """
    if wanted.parameters is not None:
        return float(wanted.parameters)
    spent = [wanted.flops] if wanted.flops is not None else []
    if wanted.devices is not None and wanted.gives(*OF_TRAINING):
        flops_per_s = wanted.devices * peak_flops_per_s(device, "bf16") * USUAL_EFFICIENCY
        for name, each_s in _rates(wanted, device).items():
            if (most := getattr(wanted, name)) is not None:
                if each_s is None:
                    raise BadInput(f"{name}: nothing is known that would give it for {device.name}; see --usd-per-hour")
                spent.append(most / each_s * flops_per_s)
    if wanted.tokens is not None:
        return min(spent) / FLOPS_PER_PARAMETER / wanted.tokens
    return math.sqrt(min(spent) / FLOPS_PER_PARAMETER / TOKENS_PER_PARAMETER)


def cluster_of(
    wanted: Wanted, device: Accelerator, space: Space, expected: float, notes: list[str]
) -> tuple[Setting | None, Cluster | None, Space]:
    """What trains it, with the best plans for shapes of about the expected size; None where nothing is asked of it."""
    if wanted.devices is None:
        return None, None, space
    plans: list[Plan] = []
    first: Setting | None = None
    for share in PLANNED_SIZES:
        asked = _training(find_model(_usual_model(space, share * expected)), device, wanted)
        first = first or asked
        found = search(asked.task)
        plan = recommended(asked.task, found)
        if plan is None and found.nearest is not None and wanted.gives(*OF_TRAINING) and not plans:
            plan = found.nearest.plan
        if plan is not None and plan not in plans:
            plans.append(plan)
    if first is None or not plans:
        notes.append(f"no training times: a model of this size does not train on {wanted.devices} × {device.name}")
        return None, None, space
    job, task = first.task.job, first.task
    rates = _rates(wanted, device)
    cluster = Cluster(
        plans=tuple(plans),
        engine=task.engine,
        habits=task.habits,
        sequence=int(job.sequence),
        global_batch=int(job.global_batch),
        room_bytes=task.room_bytes,
        usd_per_s=rates["usd"],
        kg_per_s=rates["kg_co2e"],
    )
    return first, cluster, replace(space, tp=max(space.tp, max(int(plan.tp) for plan in plans)))


def _training(model: Model, device: Accelerator, wanted: Wanted) -> Setting:
    run = Run(
        devices=wanted.devices or 1,
        sequence=wanted.sequence or min(wanted.context, LONGEST_DEFAULT),
        global_batch=wanted.global_batch,
        runtime=wanted.runtime,
        usd_per_hour=wanted.usd_per_hour,
        grid=wanted.grid,
    )
    return setting(model, device, run)


def _rates(wanted: Wanted, device: Accelerator) -> dict[str, float | None]:
    """What one second of all devices takes of the limits on training; None where nothing is known."""
    second = bill(
        accelerator=device,
        devices=wanted.devices or 1,
        seconds=1.0,
        usd_per_device_hour=wanted.usd_per_hour,
        grid=wanted.grid,
    )
    billed = {name: None if (v := getattr(second, name)) is None else float(v) for name in ("usd", "kg_co2e")}
    return {"days": 1 / DAY_S, **billed}


def _usual_model(space: Space, parameters: float) -> str:
    """A usual shape of about so many parameters, as a MODEL: the one that plans are made for."""
    import numpy as np

    head_dim, step = int(HEAD_DIM), int(np.lcm(space.multiple, int(HEAD_DIM)))
    kv_share = min(1.0, 8 / max(1, parameters**0.2))  # KV width over hidden, about: it falls as models grow
    each = 2 + 2 * kv_share + 3 * FFN_RATIO  # parameters of a layer over hidden^2
    aspect = float(usual_aspect(parameters))
    hidden = max(step, round((parameters * aspect / each) ** (1 / 3) / step) * step)
    heads = hidden // head_dim
    kv_heads = heads if max(space.sharing) == 1 else math.gcd(heads, 8)
    row = {
        "layers": max(1, round(hidden / aspect)),
        "hidden": hidden,
        "heads": heads,
        "kv_heads": kv_heads,
        "head_dim": head_dim,
        "ffn": round(FFN_RATIO * hidden / space.multiple) * space.multiple,
        "vocab": space.vocabs[0],
        "experts": 1,
        "active_experts": 1,
    }
    mixture = space.mixtures[0]
    if not mixture.dense:
        ffn = max(1, round(row["ffn"] / mixture.active / space.multiple)) * space.multiple
        row |= {"experts": mixture.experts, "active_experts": mixture.active, "ffn": ffn}
    return spelled(space, row)
