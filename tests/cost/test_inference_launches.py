"""How many kernels a pass launches, held against the pass that times them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepwide.answers.models import find_model
from deepwide.cost.inference.engine import driven
from deepwide.cost.inference.launches import launches
from deepwide.cost.inference.passes import Work, forward
from deepwide.facts.accelerators import accelerator


@pytest.mark.parametrize("model", ["llama-3-8b", "gpt2", "mixtral-8x7b", "deepseek-v3", "t5-base", "mamba-2.8b"])
def test_where_each_launch_takes_a_second_a_pass_takes_as_many(model: str) -> None:
    on = driven(accelerator("h100"))
    each = replace(on.profile.constants, launch_s=1.0, attention_launch_s=1.0, small_s=1.0)
    found = find_model(model)
    spent = forward(found.ledger, Work(past=10), replace(on, profile=replace(on.profile, constants=each)))
    assert pytest.approx(float(spent.launch_s)) == launches(found.ledger, found.described().main.name)


def test_twice_the_layers_launch_twice_the_kernels_but_for_the_ends() -> None:
    one, two, three = (launches(find_model(f"gpt2,layers={n}").ledger) for n in (1, 2, 3))
    assert two - one == three - two > one - (two - one)
