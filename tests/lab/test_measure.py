"""Times on a machine that others share: the middle of many moments."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch

from deepwide.answers.models import find_model
from deepwide.lab.kernels import Kernels
from deepwide.lab.measure import Bench, Reading, Sample, Stepping, in_turn, kernels, woven
from deepwide.lab.measure.clock import sample
from deepwide.lab.measure.models import TOKENS, TURNS
from deepwide.lab.network import Transformer, build


def model_of(text: str = "like=llama,layers=1,hidden=32,heads=2,ffn=48,vocab=64,context=128") -> Transformer:
    return build(find_model(text).described())


def test_a_time_is_the_mean_without_either_end_and_busy_moments_show_in_the_spread() -> None:
    found = sample([2.0, 4.0] * 4 + [90.0, 0.1])
    assert (3.0, 2.0, 10) == (found.seconds, found.spread, found.count)
    assert (3.0, 1.0, 1) == (sample([3.0]).seconds, sample([3.0]).spread, sample([3.0]).count)


def test_turns_end_with_the_time_but_not_before_each_had_its_own() -> None:
    turns: list[int] = []

    def a_hundredth_of_a_second(number: int) -> Callable[[], dict[str, list[float]]]:
        def turn() -> dict[str, list[float]]:
            turns.append(number)
            time.sleep(0.01)
            return {"it": [0.01]}

        return turn

    tasks, heard = [a_hundredth_of_a_second(i) for i in range(4)], []
    in_turn(tasks, budget_s=1e-6)
    assert [0, 1, 2, 3] == turns
    turns.clear()
    in_turn(tasks[:2], budget_s=0.1, told=heard.append)
    assert 2 <= len(turns) <= 10
    assert [i % 2 for i in range(len(turns))] == turns
    assert heard == sorted(heard)
    assert 1.0 == heard[-1]


def test_what_stands_several_times_in_a_round_has_as_many_turns() -> None:
    turns: list[str] = []

    def task(name: str) -> Callable[[], dict[str, list[float]]]:
        def turn() -> dict[str, list[float]]:
            turns.append(name)
            return {"it": [float(len(turns))]}

        return turn

    tasks = [task(name) for name in ("quick", "slow", "last")]
    taken = in_turn(woven(tasks[:1], tasks[1:], 2), budget_s=1e-6)
    assert ["quick", "slow", "quick", "last"] == turns
    assert [(2, 2.0), (1, 2.0), (1, 4.0)] == [(taken[t]["it"].count, taken[t]["it"].seconds) for t in tasks]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    small = kernels.Sizes(squares=(8, 16), width=16, streamed=(1, 8, 2**15))
    monkeypatch.setattr(kernels, "PROCESSOR", small)
    return Bench(1, torch.device("cpu"))


def test_kernels_take_turns_among_other_tasks(bench: Bench) -> None:
    taken = in_turn(bench.tasks, budget_s=1e-6)
    assert {kernels.PASSES} == {samples["pass"].count for samples in taken.values()}
    found = bench.rates(taken)
    assert {"fp32", "bf16"} == set(found.peak_flops_per_s)
    assert 0 < found.call_s < 1e-3
    assert all(rate > 0 for _, rate in found.near_bytes_per_s)


def test_rates_are_what_a_pass_did_over_its_time(bench: Bench) -> None:
    a_second = {task: {"pass": Sample(seconds=1.0, spread=1.0, count=1)} for task in bench.tasks}
    found = bench.rates(a_second)
    assert {"fp32": 2 * 16**3, "bf16": 2 * 16**3} == found.peak_flops_per_s
    assert 1 / kernels.SMALL_CALLS == found.call_s
    # What is small is read until 16 MiB have come; what is large, once. More bytes never come faster.
    assert ((2.0**10, 2.0**25), (2.0**25, 2.0**25)) == found.near_bytes_per_s


def test_a_reader_goes_on_from_turn_to_turn_and_begins_anew_after_a_few() -> None:
    reading = Reading(model_of(), context=8, threads=1)
    found = [reading() for _ in range(2 * TURNS)]
    assert [turn for turn, times in enumerate(found) if "prefill" in times] == [0, TURNS]
    assert all(len(times["decode"]) == TOKENS and min(times["decode"]) > 0 for times in found)


def test_steps_are_timed_without_the_first() -> None:
    stepping = Stepping(model_of(), 2, 16, Kernels())
    taken = in_turn([stepping], budget_s=1e-6)[stepping]["step"]
    assert taken.count == 2
    assert 0 < taken.seconds < 10
