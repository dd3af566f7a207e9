"""Peaks of training plans: published figures, one plan like many, and what every device count must keep."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deepwide.answers.models import find_model
from deepwide.architecture.ledger import Ledger
from deepwide.architecture.model import Architecture
from deepwide.cost.training.memory import TrainingMemory, peak_training_bytes, reserved_bytes, working_bytes
from deepwide.cost.training.memory_habits import FSDP, MEGATRON, MEMORY_HABITS, MemoryHabits, memory_habits
from deepwide.cost.training.plan import Job, Plan
from deepwide.errors import BadInput

GIB = 2**30
# Korthikanti et al. 2022 (arXiv:2205.05198): table 3's models, and figure 1 in GiB as calculon's validation.py
# (calculon-ai/calculon@2dd9c5c) types it: weights with optimiser states, activations with nothing recomputed, and with
# sequence parallelism and scores recomputed. Layers, hidden, heads; pipeline stages, interleave, micro-batch.
PAPER = MemoryHabits(name="paper", dropout=True, flash=False, gradient_bytes=4, source="arXiv:2205.05198")
FIGURE_1 = {
    "22B": ((48, 6144, 64), (1, 1, 4), (45.5625, 59.25, 9.5625)),
    "175B": ((96, 12288, 96), (8, 3, 1), (45.5625, 66.84375, 12.3515625)),
    "530B": ((105, 20480, 128), (35, 3, 1), (31.640625, 114.0234375, 23.076171875)),
    "1T": ((128, 25600, 160), (64, 1, 1), (32.958984375, 131.25, 26.5625)),
}


def parts(name: str) -> tuple[Architecture, Ledger]:
    model = find_model(name)
    return model.described(), model.ledger


def peak(
    name: str, plan: Plan, habits: MemoryHabits = MEGATRON, sequence: int = 4096, global_batch: int = 4096, **more: Any
) -> TrainingMemory:
    architecture, ledger = parts(name)
    layers = architecture.main.layers
    job = Job(ledger=ledger, layers=layers, sequence=sequence, global_batch=global_batch, **more)
    return peak_training_bytes(architecture, job, plan, habits)


def of_the_paper(name: str, **changes: Any) -> TrainingMemory:
    (layers, hidden, heads), (pp, interleave, micro_batch), _ = FIGURE_1[name]
    shorthand = f"like=gpt2,layers={layers},hidden={hidden},heads={heads},ffn={4 * hidden},vocab=51200"
    plan = Plan(tp=8, pp=pp, interleave=interleave, micro_batch=micro_batch, **changes)
    return peak(shorthand, plan, PAPER, sequence=2048)


@pytest.mark.parametrize("name", FIGURE_1)
def test_activations_of_figure_1_are_reproduced(name: str) -> None:
    _, kept, selective = FIGURE_1[name][2]
    assert kept == pytest.approx(of_the_paper(name).first.activations_bytes / GIB, rel=1e-9)
    cut = of_the_paper(name, recompute="selective", sequence_parallel=True)
    assert selective == pytest.approx(cut.first.activations_bytes / GIB, rel=1e-9)


@pytest.mark.parametrize("name", FIGURE_1)
def test_states_of_figure_1_are_those_of_the_layers(name: str) -> None:
    stage, hidden = of_the_paper(name).first, FIGURE_1[name][0][1]
    states = stage.weights_bytes + stage.gradients_bytes + stage.optimizer_bytes
    embedding = 51200 * hidden / 8 + 1024 * hidden  # and learned positions, which are not parted
    assert FIGURE_1[name][2][0] == pytest.approx((states - 18 * embedding) / GIB, rel=0.015)


@pytest.mark.parametrize(
    ("name", "plan", "gib"),
    [
        ("llama-3-70b,layers=12", Plan(dp=4, pp=2, zero=1, sequence_parallel=True), 66.55),
        ("llama-3-70b,layers=12", Plan(tp=8, zero=1, sequence_parallel=True), 28.29),
        ("llama-3.1-405b,layers=4", Plan(dp=2, tp=4, zero=1, sequence_parallel=True), 52.89),
    ],
)
def test_peaks_that_an_allocator_measured_are_met(name: str, plan: Plan, gib: float) -> None:
    # MooreThreads/SimuMax docs/b200/b200_release_v1.2_summary.md: torch.cuda.max_memory_allocated over all ranks.
    assert gib == pytest.approx(peak(name, plan).total_bytes / GIB, rel=0.011)


@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
@pytest.mark.parametrize("zero", [0, 1, 2, 3])
@pytest.mark.parametrize("habits", [MEGATRON, FSDP], ids=lambda h: h.name)
def test_many_plans_are_many_single_plans(recompute: Any, zero: Any, habits: MemoryHabits) -> None:
    tp, pp, dp, cp, ep, micro_batch, interleave = np.ix_(
        *map(np.array, ([1, 4], [1, 3], [2, 8], [1, 2], [1, 8], [1, 4], [1, 2]))
    )
    plan = Plan(tp=tp, pp=pp, dp=dp, cp=cp, ep=ep, micro_batch=micro_batch, interleave=interleave)
    plan = replace(plan, recompute=recompute, zero=zero, sequence_parallel=True)
    many = peak("deepseek-v3", plan, habits).total_bytes
    one = Plan(tp=4, pp=3, dp=8, cp=2, ep=8, micro_batch=4, interleave=2)
    alone = peak("deepseek-v3", replace(one, recompute=recompute, zero=zero, sequence_parallel=True), habits)
    assert alone.total_bytes == pytest.approx(many[1, 1, 1, 1, 1, 1, 1])
    least = peak("deepseek-v3", replace(Plan(dp=2), recompute=recompute, zero=zero, sequence_parallel=True), habits)
    assert least.total_bytes == pytest.approx(many[0, 0, 0, 0, 0, 0, 0])


def test_each_stage_of_sharing_needs_less_states() -> None:
    totals = [peak("llama-3-8b", Plan(dp=8, zero=zero)).first for zero in (0, 1, 2, 3)]  # type: ignore[arg-type]
    states = [stage.weights_bytes + stage.gradients_bytes + stage.optimizer_bytes for stage in totals]
    assert sorted(states, reverse=True) == states
    assert states[0] == pytest.approx(8 * states[3])


def test_sharing_among_fewer_devices_shares_less() -> None:
    everywhere = peak("llama-3-8b", Plan(dp=64, zero=1)).total_bytes
    among_eight = peak("llama-3-8b", Plan(dp=64, zero=1, shard=8)).total_bytes
    assert among_eight == peak("llama-3-8b", Plan(dp=8, zero=1)).total_bytes > everywhere


def test_states_in_host_memory_take_none_of_the_device() -> None:
    assert 0 == peak("llama-3-8b", Plan(dp=8, zero=1, offload=True)).first.optimizer_bytes


def test_the_more_is_recomputed_the_less_is_kept() -> None:
    kept = [peak("llama-3-8b", Plan(recompute=r), PAPER).last.activations_bytes for r in ("none", "selective", "full")]
    assert kept[0] > kept[1] > kept[2] == 32 * 4096 * 2 * 4096


def test_a_pipeline_keeps_no_more_micro_batches_than_there_are() -> None:
    full = peak("llama-3-8b", Plan(pp=4)).first.activations_bytes
    assert full == 4 * peak("llama-3-8b", Plan(pp=4), global_batch=1).first.activations_bytes


def test_a_tied_head_is_a_second_copy_on_another_stage() -> None:
    ends = [peak("gpt2", Plan(pp=pp)) for pp in (1, 2)]
    embedding = 50257 * 768
    layers = 6 * (12 * 768**2 + 13 * 768)
    assert ends[1].last.weights_bytes == pytest.approx(2 * (layers + embedding), rel=1e-3)
    assert ends[0].last.weights_bytes == pytest.approx(2 * (2 * layers + embedding), rel=1e-2)


def test_experts_are_parted_among_their_devices() -> None:
    alone = peak("mixtral-8x7b", Plan(dp=8)).first.weights_bytes
    parted = peak("mixtral-8x7b", Plan(dp=8, ep=8)).first.weights_bytes
    experts = 2 * 32 * 8 * 3 * 4096 * 14336
    assert alone - parted == pytest.approx(experts * 7 / 8)


def test_adapters_alone_have_gradients_and_states() -> None:
    architecture, ledger = parts("llama-3-8b")
    job = Job(ledger=ledger, layers=32, sequence=4096, global_batch=8, trainable="lora")
    stage = peak_training_bytes(architecture, job, Plan(), adapters=10**6).last
    assert (4 * 10**6, 12 * 10**6) == (stage.gradients_bytes, stage.optimizer_bytes)


def test_what_is_cached_shrinks_with_the_room_for_it() -> None:
    habits = memory_habits("megatron-deepspeed")
    memory = peak("llama-3-8b", Plan(recompute="full", zero=1), habits)
    held = [reserved_bytes(memory, capacity * 1e9, habits) for capacity in (1e6, 500, 300)]
    assert held[0] > held[1] > held[2] > memory.total_bytes
    assert memory.total_bytes == reserved_bytes(memory, 1.0, habits)


def test_gathered_weights_are_needed_only_where_they_were_taken_apart() -> None:
    architecture, ledger = parts("llama-3-8b")
    needs = [
        working_bytes(architecture, ledger, batch=1, tokens=512, plan=Plan(dp=8, zero=zero), habits=FSDP)
        for zero in (2, 3)  # type: ignore[arg-type]
    ]
    assert needs[1] - needs[0] > 3 * 2 * 218 * 10**6


def test_every_engine_names_its_source() -> None:
    assert all(habits.source for habits in MEMORY_HABITS)
    assert MEGATRON == memory_habits("megatron")


def test_a_misspelt_engine_gets_a_suggestion() -> None:
    with pytest.raises(BadInput, match="did you mean megatron"):
        memory_habits("megatronn")
