"""The shape that people build: how wide it is, and how slow others are beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deepwide.answers.models import find_model
from deepwide.design.usual import FFN_RATIO, Usual, slowness, usual, usual_aspect


def measured(layers: Any, hidden: Any) -> tuple[Any, Any]:
    """A plain decoder: 12 hidden^2 a layer, and a microsecond for each of ten layers and each million parameters."""
    parameters = 12 * layers * hidden**2
    return parameters, 1e-6 * (10 * layers + parameters / 1e6)


@pytest.fixture(scope="module")
def table() -> Usual:
    return usual(measured)


@pytest.mark.parametrize(
    ("name", "aspect"), [("llama-3-8b", 128), ("llama-2-13b", 128), ("llama-3-70b", 102), ("olmo-1b", 128)]
)
def test_published_decoders_are_within_a_factor_2_of_the_usual_aspect(name: str, aspect: int) -> None:
    parameters = int(find_model(name).ledger.parameters())
    assert 0.5 < aspect / float(usual_aspect(parameters)) < 2


def test_the_usual_aspect_grows_with_the_fourth_root_of_size_up_to_128() -> None:
    assert [32.0, 64.0, 128.0, 128.0] == pytest.approx([float(usual_aspect(6e9 / n)) for n in (256, 16, 1, 0.01)])


def test_the_table_rises_in_size_and_in_time(table: Usual) -> None:
    assert (np.diff(table.log_parameters) > 0).all()
    assert (np.diff(table.log_decode_s) >= 0).all()


@pytest.mark.parametrize("hidden", [512.0, 1000.0, 4096.0, 20_000.0])
def test_a_usual_shape_is_as_slow_as_the_usual_shape(table: Usual, hidden: float) -> None:
    parameters = 1e9
    for _ in range(100):
        parameters, decode_s = measured(hidden / float(usual_aspect(parameters)), hidden)
    assert float(slowness(table, parameters, decode_s)) == pytest.approx(1.0, rel=1e-3)


def test_a_deeper_shape_of_the_same_size_is_slower_and_a_wider_one_faster(table: Usual) -> None:
    size = 12 * 32 * 4096**2
    slow = [float(slowness(table, *measured(layers, (size / 12 / layers) ** 0.5))) for layers in (16, 32, 64, 128)]
    assert sorted(slow) == slow
    assert slow[0] < 1 < slow[-1]


def test_one_shape_and_many_get_the_same_slowness(table: Usual) -> None:
    parameters, decode_s = measured(np.arange(2.0, 90.0), 2048.0)
    many = slowness(table, parameters, decode_s)
    alone = [float(slowness(table, p, s)) for p, s in zip(parameters, decode_s, strict=True)]
    assert alone == list(np.asarray(many))


def test_the_usual_network_is_llama_3_s() -> None:
    assert 14_336 == FFN_RATIO * 4096
