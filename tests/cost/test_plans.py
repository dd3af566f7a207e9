"""The search over plans: every valid one is priced, one alone equals its entry, and rules of thumb hold."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepwide.answers.models import find_model
from deepwide.cost.collectives import Wire
from deepwide.cost.training.engine import engine
from deepwide.cost.training.memory import peak_training_bytes
from deepwide.cost.training.memory_habits import FSDP, MEGATRON
from deepwide.cost.training.plan import RECOMPUTES, Job, Plan
from deepwide.cost.training.plans import ZEROS, Task, search
from deepwide.cost.training.plans_flops import hardware_flops, model_flops
from deepwide.cost.training.plans_space import divisors, interleaves, layouts, space, tensor_parts
from deepwide.cost.training.step import PARTS, effort, stage_time, step_time
from deepwide.facts.accelerators import accelerator
from deepwide.facts.device import memory_for_use_bytes
from deepwide.facts.training import training_profile

H100 = accelerator("h100")
LLAMA = find_model("llama-3-8b")
MOE = find_model("mixtral-8x7b")


def task(model=LLAMA, devices: int = 16, batch: int = 64, sequence: int = 4096, habits=MEGATRON, **changes) -> Task:
    constants = replace(training_profile("megatron-core", H100.name, "bf16").constants, **changes)
    job = Job(ledger=model.ledger, layers=model.architecture.main.layers, sequence=sequence, global_batch=batch)
    return Task(
        architecture=model.architecture,
        job=job,
        engine=engine(H100, constants),
        habits=habits,
        devices=devices,
        capacity_bytes=memory_for_use_bytes(H100),
    )


def step_s(asked: Task, plan: Plan) -> float:
    return float(step_time(asked.job, plan, asked.engine).step_s)


def total_bytes(asked: Task, plan: Plan) -> float:
    return float(peak_training_bytes(asked.architecture, asked.job, plan, asked.habits).total_bytes)


def every_plan(asked: Task) -> list[Plan]:
    """All valid plans, one by one, from the rules as they are worded."""
    bounds, job = space(asked.job, asked.devices), asked.job
    selective = asked.habits.selective == "products" or asked.engine.constants.score_passes > 0
    found = []
    for tp, pp, cp in layouts(bounds):
        dp = asked.devices // (tp * pp * cp)
        axes = product(divisors(job.global_batch // dp), divisors(bounds.experts), interleaves(bounds, pp))
        for (micro, ep, v), recompute, zero in product(list(axes), RECOMPUTES, ZEROS):
            count = job.global_batch // (dp * micro)
            runs = (tp * cp * dp) % ep == 0 and (v == 1 or count % pp == 0) and (recompute != "selective" or selective)
            shares = zero == 0 or (dp * cp > 1 and (zero == 1 or pp == 1 or asked.habits.accumulated_bytes > 0))
            if runs and shares:
                plan = Plan(
                    tp=tp, pp=pp, cp=cp, dp=dp, ep=ep, micro_batch=micro, interleave=v, sequence_parallel=tp > 1
                )
                found.append(replace(plan, recompute=recompute, zero=zero))
    return found


@pytest.mark.parametrize(
    "asked",
    [
        task(),
        task(devices=6, batch=24),
        task(MOE, devices=8, batch=16),
        task(habits=FSDP, devices=8),
        task(score_passes=6.0),
    ],
    ids=["dense", "six devices", "experts", "fsdp", "scores kept"],
)
def test_the_search_finds_what_looking_at_every_plan_one_by_one_finds(asked):
    plans = every_plan(asked)
    prices = [(step_s(asked, plan), total_bytes(asked, plan)) for plan in plans]
    fitting = [seconds for seconds, held in prices if held <= asked.room_bytes]
    found = search(asked)
    assert (len(plans), len(fitting)) == (found.valid, found.fitting)
    assert min(fitting, default=None) == (pytest.approx(found.best[0].value, rel=1e-12) if found.best else None)
    assert min(held for _, held in prices) == pytest.approx(found.nearest.value, rel=1e-12)


def test_one_plan_alone_equals_its_entry_in_the_search():
    for asked in (task(), task(MOE, devices=64, batch=256)):
        found = search(asked)
        assert found.best
        for entry in (*found.best, *found.too_large):
            assert entry.value == pytest.approx(step_s(asked, entry.plan), rel=1e-12)
        assert found.nearest.value == pytest.approx(total_bytes(asked, found.nearest.plan), rel=1e-12)


def test_the_best_plans_fit_and_come_in_order_and_differ_in_tp_or_pp():
    asked = task(devices=64, batch=256)
    found = search(asked)
    times = [entry.value for entry in found.best]
    assert sorted(times) == times
    assert len({(entry.plan.tp, entry.plan.pp) for entry in found.best}) == len(times)
    assert all(total_bytes(asked, entry.plan) <= asked.room_bytes for entry in found.best)
    assert all(
        entry.value < times[0] and total_bytes(asked, entry.plan) > asked.room_bytes for entry in found.too_large
    )


def test_every_plan_found_uses_all_devices_and_the_whole_batch():
    asked = task(MOE, devices=48, batch=96)
    for plan, _ in search(asked).best:
        assert plan.devices == 48
        assert 96 % (plan.dp * plan.micro_batch) == 0
        assert plan.pp <= 32
        assert 8 % plan.ep == 0
        assert isinstance(plan.tp, int)


def test_a_search_where_nothing_can_run_finds_nothing():
    found = search(task(devices=67, batch=64))
    assert (0, 0, None, ()) == (found.evaluated, found.valid, found.nearest, found.best)


def test_more_memory_never_makes_the_best_plan_slower():
    asked = task(devices=8, batch=32)
    times = [search(replace(asked, capacity_bytes=gib * 2**30)).best[0].value for gib in (48, 80, 141, 288)]
    assert sorted(times, reverse=True) == times


@settings(deadline=None, max_examples=30)
@given(
    tp=st.sampled_from([1, 2, 4, 8]),
    pp=st.sampled_from([1, 2, 4]),
    micro=st.sampled_from([1, 2, 4]),
    zero=st.sampled_from([0, 1]),
    faster=st.floats(1.0, 10.0),
)
def test_more_bandwidth_is_never_slower(tp, pp, micro, zero, faster):
    asked = task(devices=64, batch=256)
    plan = Plan(tp=tp, pp=pp, dp=64 // (tp * pp), micro_batch=micro, zero=zero, sequence_parallel=tp > 1)
    net = asked.engine.network
    quick = replace(
        net,
        near=Wire(bytes_per_s=net.near.bytes_per_s * faster, hop_s=net.near.hop_s),
        far=Wire(bytes_per_s=net.far.bytes_per_s * faster, hop_s=net.far.hop_s),
    )
    other = replace(asked, engine=replace(asked.engine, network=quick))
    assert step_s(other, plan) <= step_s(asked, plan) * (1 + 1e-12)


@settings(deadline=None, max_examples=30)
@given(pp=st.sampled_from([2, 4, 8]), v=st.sampled_from([1, 2, 4]), micro=st.sampled_from([1, 2]))
def test_the_bubble_of_a_balanced_stage_is_its_share_of_the_micro_batches(pp, v, micro):
    """Fill and drain take (pp - 1) / v of a stage, m micro-batches take m of it: arXiv:2104.04473, section 2.2."""
    asked = task(devices=8 * pp, batch=64 * pp)
    plan = Plan(tp=8, pp=pp, dp=1, micro_batch=micro, interleave=v, sequence_parallel=True)
    made = effort(asked.job, plan, asked.engine)
    stage_s = stage_time(asked.job, plan, asked.engine, made).middle_s
    count = plan.micro_batches(asked.job.global_batch)
    bubble_s = step_time(asked.job, plan, asked.engine).bubble_s
    assert bubble_s / (count * stage_s) == pytest.approx((pp - 1) / (count * v))


@settings(deadline=None, max_examples=20)
@given(
    tp=st.sampled_from([1, 2, 8]),
    pp=st.sampled_from([1, 2, 4]),
    cp=st.sampled_from([1, 2]),
    recompute=st.sampled_from(RECOMPUTES),
    zero=st.sampled_from(ZEROS),
)
def test_the_parts_of_a_step_add_up_and_none_is_negative(tp, pp, cp, recompute, zero):
    asked = task(devices=64, batch=256)
    plan = Plan(tp=tp, pp=pp, cp=cp, dp=64 // (tp * pp * cp), recompute=recompute, zero=zero)
    step = step_time(asked.job, plan, asked.engine)
    parts = [getattr(step, part) for part in PARTS]
    assert min(parts) >= 0
    assert sum(parts) == pytest.approx(step.step_s)


def test_columns_of_plans_equal_plans_one_by_one():
    asked = task(devices=64, batch=256)
    tps = np.array([1.0, 2.0, 4.0, 8.0])
    together = step_time(asked.job, Plan(tp=tps, dp=64 / tps, zero=1, sequence_parallel=True), asked.engine)
    for i, tp in enumerate((1, 2, 4, 8)):
        lone = step_time(asked.job, Plan(tp=tp, dp=64 // tp, zero=1, sequence_parallel=tp > 1), asked.engine)
        assert together.step_s[i] == pytest.approx(lone.step_s, rel=1e-12)


def test_tensor_parallelism_divides_heads_and_widths():
    assert [1, 2, 4, 8, 16, 32] == tensor_parts(space(task().job, 8))
    assert [1, 2, 3, 4, 6, 12] == tensor_parts(space(task(find_model("gpt2"), sequence=1024).job, 8))


def test_interleaves_part_the_layers_of_a_stage():
    bounds = space(task().job, 8)
    assert [1] == interleaves(bounds, 1)
    assert [1, 2, 4, 8] == interleaves(bounds, 4)
    assert [1] == interleaves(bounds, 32)


def test_a_step_of_a_dense_model_is_six_flops_per_parameter_and_token_and_attention():
    job = task().job
    tokens = job.global_batch * job.sequence
    matrices = sum(w.parameters for w in LLAMA.ledger.weights if w.part not in ("embedding", "norm"))
    pairs = job.global_batch * job.sequence * (job.sequence + 1) // 2
    attention = 3 * 2 * 2 * 4096 * pairs * 32
    assert 6 * matrices * tokens + attention == model_flops(job)


def test_recomputation_adds_hardware_flops_and_no_model_flops():
    job = task().job
    counted = [hardware_flops(job, recompute) for recompute in RECOMPUTES]
    assert model_flops(job) == counted[0] < counted[1] < counted[2] < model_flops(job) * 4 / 3


def test_frozen_weights_need_no_gradient_of_their_own():
    job = task().job
    assert 0.6 < model_flops(replace(job, trainable="lora")) / model_flops(job) < 0.8
