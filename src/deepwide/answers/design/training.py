"""What trains a design: the cluster with its best plans for usual shapes, and about how large the design will be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from deepwide.answers.design.wanted import OF_TRAINING, Wanted
from deepwide.answers.models import Model, find_model
from deepwide.answers.training.plan_verdict import recommended
from deepwide.answers.training.run import Run, Setting, setting
from deepwide.cost.bill import bill
from deepwide.cost.training.engine import peak_flops_per_s
from deepwide.cost.training.plan import Plan
from deepwide.cost.training.plans import search
from deepwide.design.pricing import DAY_S, Cluster
from deepwide.design.space import Space, spelled
from deepwide.design.usual import FFN_RATIO, HEAD_DIM, usual_aspect
from deepwide.errors import BadInput
from deepwide.facts.accelerators import Accelerator

TOKENS_PER_PARAMETER = 20  # the compute-optimal ratio of Hoffmann et al. 2022, arXiv:2203.15556
USUAL_EFFICIENCY = 0.4  # of the peak, where only an order of magnitude of the size is wanted
PLANNED_SIZES = (1.0, 0.25)  # of the expected size: shapes in between take the faster of the two plans
LONGEST_SEQUENCE = 8192


def expected_size(wanted: Wanted, device: Accelerator) -> float:
    """About how many parameters the answer will have: what a budget of FLOPs, time or money comes to at 20 tokens each.

    Only defaults follow from it: devices to serve on, and plans to train with.
    """
    if wanted.parameters is not None:
        return float(wanted.parameters)
    spent = [wanted.flops] if wanted.flops is not None else []
    if wanted.devices is not None and any(getattr(wanted, name) is not None for name in ("days", "usd", "kg_co2e")):
        rate = wanted.devices * peak_flops_per_s(device, "bf16") * USUAL_EFFICIENCY
        priced_s = bill(
            accelerator=device,
            devices=wanted.devices,
            seconds=1.0,
            usd_per_device_hour=wanted.usd_per_hour,
            grid=wanted.grid,
        )
        costs = {"days": 1 / DAY_S, "usd": priced_s.usd, "kg_co2e": priced_s.kg_co2e}
        for name, cost in costs.items():
            if (most := getattr(wanted, name)) is not None:
                if cost is None:
                    raise BadInput(f"{name}: nothing is known that would give it for {device.name}; see --usd-per-hour")
                spent.append(most / float(cost) * rate)
    if wanted.tokens is not None:
        return min(spent) / 6 / wanted.tokens
    return math.sqrt(min(spent) / 6 / TOKENS_PER_PARAMETER)


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
        if plan is None and found.nearest is not None and _limited(wanted) and not plans:
            plan = found.nearest.plan
        if plan is not None and plan not in plans:
            plans.append(plan)
    if first is None or not plans:
        notes.append(f"no training times: a model of this size does not train on {wanted.devices} × {device.name}")
        return None, None, space
    job, task = first.task.job, first.task
    rates = _rates(first)
    cluster = Cluster(
        devices=wanted.devices,
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


def _limited(wanted: Wanted) -> bool:
    return any(getattr(wanted, name) is not None for name in OF_TRAINING)


def _training(model: Model, device: Accelerator, wanted: Wanted) -> Setting:
    run = Run(
        devices=wanted.devices or 1,
        sequence=wanted.sequence or min(wanted.context, LONGEST_SEQUENCE),
        global_batch=wanted.global_batch,
        runtime=wanted.runtime,
        usd_per_hour=wanted.usd_per_hour,
        grid=wanted.grid,
    )
    return setting(model, device, run)


def _rates(asked: Setting) -> Mapping[str, float | None]:
    """Money and carbon of all devices for one second."""
    run = asked.run
    second = bill(
        accelerator=asked.device,
        devices=run.devices,
        seconds=1.0,
        usd_per_device_hour=run.usd_per_hour,
        pue=run.pue,
        grid=run.grid,
    )
    return {name: None if (v := getattr(second, name)) is None else float(v) for name in ("usd", "kg_co2e")}


def _usual_model(space: Space, parameters: float) -> str:
    """A usual shape of about so many parameters, as a MODEL: the one that plans are made for."""
    import numpy as np

    head_dim, step = int(HEAD_DIM), int(np.lcm(space.multiple, int(HEAD_DIM)))
    each = (2 + 2 * min(1.0, 8 / max(1, parameters**0.2))) + 3 * FFN_RATIO
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
