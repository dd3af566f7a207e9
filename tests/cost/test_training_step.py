"""One training step: its work, its traffic, its schedule."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from deepwide.answers.models import find_model
from deepwide.architecture.flops import Pass, forward_flops
from deepwide.calibration.training import TYPICAL, UNFUSED
from deepwide.cost.training.engine import engine, peak_flops_per_s
from deepwide.cost.training.plan import Job, Plan
from deepwide.cost.training.step import PARTS, step_time
from deepwide.cost.training.traffic import stage_parameters, traffic
from deepwide.cost.training.work import micro_batch_work
from deepwide.errors import BadInput
from deepwide.facts.accelerators import accelerator
from deepwide.facts.training import ANY, training_profile, training_profiles, training_runtimes

A100 = engine(accelerator("a100-sxm-80gb"), TYPICAL)
GPT3 = Job(ledger=find_model("gpt-3-175b,vocab=51200").ledger, layers=96, sequence=2048, global_batch=1536)
MIXTRAL = Job(ledger=find_model("mixtral-8x7b").ledger, layers=32, sequence=4096, global_batch=256)
PLAN = Plan(dp=8, tp=8, pp=8, micro_batch=1, recompute="full")


def step_s(job: Job = GPT3, drives: Any = A100, **changes: Any) -> Any:
    return step_time(job, replace(PLAN, **changes), drives).step_s


def test_the_parts_of_a_step_add_up() -> None:
    step = step_time(GPT3, PLAN, A100)
    parts = [getattr(step, part) for part in PARTS]
    assert sum(parts) == pytest.approx(step.step_s)


def test_one_plan_alone_equals_its_entry_among_many() -> None:
    dp, tp, pp, micro = (
        np.array([8, 16, 4, 64]),
        np.array([8, 4, 8, 1]),
        np.array([8, 8, 16, 8]),
        np.array([1, 2, 4, 8]),
    )
    many = step_time(GPT3, replace(PLAN, dp=dp, tp=tp, pp=pp, micro_batch=micro), A100).step_s
    alone = [
        step_s(dp=int(a), tp=int(b), pp=int(c), micro_batch=int(d))
        for a, b, c, d in zip(dp, tp, pp, micro, strict=True)
    ]
    assert alone == pytest.approx(list(many))


def test_no_step_beats_the_accelerators_own_rate() -> None:
    flops = 3 * forward_flops(GPT3.ledger, Pass(tokens=2048, batch=1536))
    peak = peak_flops_per_s(accelerator("a100-sxm-80gb"), "bf16")
    assert step_s() > flops / (512 * peak)


def test_a_pipeline_waits_for_its_filling() -> None:
    step = step_time(GPT3, PLAN, A100)
    stage = (step.step_s - step.bubble_s) / 192  # a few parts happen once: the share is near (pp - 1) / micro-batches
    assert step.bubble_s == pytest.approx(7 * stage, rel=0.1)


def test_an_interleaved_pipeline_waits_less_and_sends_more() -> None:
    plain, interleaved = (step_time(GPT3, replace(PLAN, interleave=v), A100) for v in (1, 3))
    assert interleaved.bubble_s < plain.bubble_s / 2
    assert interleaved.pipeline_s == pytest.approx(3 * plain.pipeline_s)


def test_recomputing_a_layer_costs_about_a_third_and_scores_alone_little() -> None:
    drives = engine(accelerator("a100-sxm-80gb"), UNFUSED)
    none, selective, full = (
        step_time(GPT3, replace(PLAN, recompute=r), drives).compute_s for r in ("none", "selective", "full")
    )
    assert 1.0 < selective / none < 1.1
    assert 1.25 < full / none < 1.34


@pytest.mark.parametrize("name", ["bandwidth_bytes_per_s", "link"])
def test_a_faster_machine_never_takes_longer(name: str) -> None:
    device = accelerator("a100-sxm-80gb")
    assert device.link
    faster = {"bandwidth_bytes_per_s": 3e12, "link": replace(device.link, bytes_per_s=900e9)}[name]
    assert step_s(drives=engine(replace(device, **{name: faster}), TYPICAL)) < step_s()


def test_a_faster_network_shortens_what_data_parallelism_adds() -> None:
    slow, fast = (engine(accelerator("a100-sxm-80gb"), TYPICAL, network_bytes_per_s=w) for w in (5e9, 50e9))
    assert step_time(GPT3, PLAN, fast).data_s < step_time(GPT3, PLAN, slow).data_s / 5


def test_tensor_parallelism_across_nodes_is_slower_than_within() -> None:
    within, across = (step_time(GPT3, replace(PLAN, tp=t, pp=64 // t), A100).tensor_s for t in (8, 16))
    assert across > 2 * within


def test_small_layers_wait_for_the_host() -> None:
    tiny = Job(ledger=find_model("gpt2").ledger, layers=12, sequence=1024, global_batch=8)
    step = step_time(tiny, Plan(), A100)
    assert step.launch_s > step.compute_s
    assert step_time(GPT3, PLAN, A100).launch_s < 0.05 * step_time(GPT3, PLAN, A100).compute_s


def test_deeper_is_slower_than_wider_at_the_same_parameters() -> None:
    shapes = {24: 2048, 96: 1024}
    times = []
    for layers, hidden in shapes.items():
        ledger = find_model(f"like=gpt2,layers={layers},hidden={hidden},heads={hidden // 64},ffn={4 * hidden}").ledger
        times.append(step_s(Job(ledger=ledger, layers=layers, sequence=2048, global_batch=32), dp=8, tp=1, pp=1))
    assert times[1] > 1.3 * times[0]


def test_a_hidden_size_that_tiles_do_not_fit_costs_a_fifth_or_more() -> None:
    """14,400 instead of 13,824 on Jean Zay: 94.4 TFLOP/s instead of 120.1 (bigscience-workshop, tr11 chronicles)."""
    rates = []
    for hidden in (14400, 13824):
        ledger = find_model(f"like=gpt2,layers=80,hidden={hidden},heads=64,ffn={4 * hidden},vocab=250880").ledger
        job = Job(ledger=ledger, layers=80, sequence=2048, global_batch=2048)
        rates.append(ledger.parameters() / step_s(job, dp=4, tp=8, pp=10))
    assert rates[1] > 1.2 * rates[0]


def test_frozen_weights_save_a_third_of_the_products() -> None:
    every, adapters = (
        step_time(replace(GPT3, trainable=t), replace(PLAN, recompute="none"), A100) for t in ("all", "lora")
    )
    assert 0.6 < adapters.compute_s / every.compute_s < 0.75


def test_sharing_weights_gathers_them_for_every_micro_batch() -> None:
    job = Job(ledger=find_model("llama-2-7b").ledger, layers=32, sequence=4096, global_batch=256)
    once, often = (step_time(job, Plan(dp=64, micro_batch=m, zero=3), A100).data_s for m in (4, 1))
    assert often > 2 * once


def test_offloaded_states_cost_the_way_to_the_host_and_back() -> None:
    job = Job(ledger=find_model("llama-2-7b").ledger, layers=32, sequence=4096, global_batch=8)
    kept, offloaded = (step_time(job, Plan(dp=8, zero=1, offload=o), A100).optimizer_s for o in (False, True))
    assert offloaded > 5 * kept


def test_experts_cost_what_a_token_meets_and_the_way_to_them() -> None:
    plan = Plan(dp=64, ep=8)
    dense = find_model("mixtral-8x7b,experts=2,active_experts=2").ledger
    sparse, same_work = (step_time(replace(MIXTRAL, ledger=led), plan, A100) for led in (MIXTRAL.ledger, dense))
    assert sparse.compute_s == pytest.approx(same_work.compute_s, rel=0.1)
    assert sparse.expert_s > 0


def test_a_stage_holds_its_layers_and_an_end() -> None:
    whole = stage_parameters(GPT3.ledger, Plan())
    assert whole == GPT3.ledger.parameters()
    halves = stage_parameters(GPT3.ledger, Plan(pp=2))
    assert whole / 2 <= halves < 0.52 * whole


def test_context_parallelism_sends_keys_and_not_queries() -> None:
    few = Job(ledger=find_model("llama-3-8b").ledger, layers=32, sequence=65536, global_batch=8)
    many = replace(few, ledger=find_model("llama-3-8b,kv_heads=32").ledger)
    sent = [traffic(j, Plan(cp=8), A100.network, gradient_bytes=2, weight_bytes=2).context_s for j in (few, many)]
    assert sent[1] > 3 * sent[0]


def test_a_fused_kernel_skips_what_the_mask_hides() -> None:
    fused = micro_batch_work(GPT3, PLAN, A100).attention_s
    square = micro_batch_work(GPT3, PLAN, engine(accelerator("a100-sxm-80gb"), UNFUSED)).attention_s
    assert square > 2 * fused


def test_the_formats_a_device_lacks_are_named() -> None:
    with pytest.raises(BadInput, match="a100-sxm-80gb has no known rate for fp8"):
        engine(accelerator("a100-sxm-80gb"), TYPICAL, "fp8")
    with pytest.raises(BadInput, match="precision='bf61' is unknown; did you mean bf16"):
        engine(accelerator("a100-sxm-80gb"), TYPICAL, "bf61")


def test_every_accelerator_with_matrix_rates_can_be_driven() -> None:
    for row in training_profiles():
        assert all(getattr(row.constants, f.name) >= 0 for f in fields(row.constants))
        assert row.source
        assert 0 < row.spread < 1


def test_the_nearest_profile_is_found() -> None:
    runtime = training_runtimes()[0]
    assert training_profile(runtime, "no-such-device", "bf16").accelerator == ANY
    with pytest.raises(BadInput, match="runtime='megatorn' is unknown; did you mean megatron"):
        training_profile("megatorn", "h100-sxm", "bf16")


def test_sharing_within_a_node_gathers_over_the_near_wire_alone() -> None:
    job = Job(ledger=find_model("llama-2-7b").ledger, layers=32, sequence=4096, global_batch=256)
    whole, hybrid = (
        traffic(job, Plan(dp=64, zero=3, shard=s), A100.network, gradient_bytes=2, weight_bytes=2) for s in (None, 8)
    )
    assert hybrid.gather_s < whole.gather_s
    assert hybrid.copies_s > whole.copies_s == 0
