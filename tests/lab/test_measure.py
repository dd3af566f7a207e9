"""Times on a machine that others share: the middle of many moments."""

from __future__ import annotations

import time
from collections.abc import Callable

from deepwide.answers.models import find_model
from deepwide.lab.kernels import Kernels
from deepwide.lab.measure import Reading, Stepping, in_turn, woven
from deepwide.lab.measure.clock import sample
from deepwide.lab.measure.models import TOKENS, TURNS
from deepwide.lab.network import Transformer, build


def model_of(text: str = "like=llama,layers=1,hidden=32,heads=2,ffn=48,vocab=64,context=128") -> Transformer:
    return build(find_model(text).described())


def test_a_time_is_the_median_and_busy_moments_show_in_the_spread() -> None:
    found = sample([2.0, 1.0, 90.0, 1.5, 8.0])
    assert (2.0, 8.0 / 1.5, 5) == (found.seconds, found.spread, found.count)
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
