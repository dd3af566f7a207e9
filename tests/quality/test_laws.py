"""The registry of laws: every law has its origin, speaks of one model and of many alike, and falls where it must."""

from __future__ import annotations

import dataclasses
import math
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepwide.answers.models import find_model
from deepwide.errors import BadInput
from deepwide.facts.loss_laws import loss_law, loss_laws
from deepwide.facts.tables import rows
from deepwide.quality.laws import FORMS, NATS, RELATIVE, law, laws
from deepwide.quality.trained import Trained, resized, trained

NAMES = list(laws())


def model(name: str = "llama-3-8b", tokens: float = 10**11) -> Trained:
    found = find_model(name)
    return trained(found.described(), found.ledger, tokens)


def of_shape(layers: float, hidden: float, tokens: float, experts: float = 1.0) -> Trained:
    attention, ffn, head = 4 * layers * hidden**2, 8 * layers * hidden**2, 50_304 * hidden
    body = attention + ffn * experts
    return Trained(
        total=body + 2 * head,
        body=body,
        active=attention + ffn,
        head=head,
        layers=layers,
        hidden=hidden,
        attention=attention,
        ffn=ffn * experts,
        vocab=50_304,
        tokens=tokens,
        unique_tokens=tokens,
        experts=experts,
        active_experts=1,
        expansion=experts,
    )


@pytest.mark.parametrize("name", list(loss_laws()))
def test_every_row_states_its_origin_its_data_and_its_range(name: str) -> None:
    row = loss_law(name)
    assert all((row.source, row.data, row.fitted, row.counts, row.units))
    assert date.fromisoformat(row.checked)
    assert all(low < high for low, high in row.fitted.values())


def test_every_form_is_used_and_every_row_that_gives_a_loss_is_a_law() -> None:
    assert set(FORMS) <= {row.form for row in loss_laws().values()}
    assert {"levine-2020", "tao-2024-optimum", "tao-2024-tokens"} == set(loss_laws()) - set(laws())


def test_an_unknown_key_in_the_table_is_an_error() -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Narrower:
        name: str
        form: str

    with pytest.raises(ValueError, match="unknown keys"):
        rows("loss_laws.toml", Narrower)


def test_a_misspelt_law_gets_a_suggestion() -> None:
    with pytest.raises(BadInput, match="did you mean besiroglu-2024"):
        law("besirolu-2024")


@pytest.mark.parametrize("name", NAMES)
@given(
    shapes=st.lists(
        st.tuples(st.integers(2, 120), st.integers(128, 16_384), st.floats(9, 13), st.sampled_from([1.0, 8.0])),
        min_size=1,
        max_size=5,
    )
)
def test_many_models_at_once_equal_each_alone(name: str, shapes: list[tuple[int, int, float, float]]) -> None:
    made = [(float(layers), float(hidden), 10**log, experts) for layers, hidden, log, experts in shapes]
    at_once = law(name).loss(of_shape(*(np.array(column) for column in zip(*made, strict=True))))
    alone = [float(law(name).loss(of_shape(*each))) for each in made]
    assert alone == pytest.approx(np.broadcast_to(at_once, len(made)).tolist(), rel=1e-11)


@pytest.mark.parametrize("name", [n for n in NAMES if law(n).fact.units != RELATIVE])
@given(layers=st.integers(4, 100), hidden=st.integers(256, 12_288), log=st.floats(9, 13), more=st.floats(1.01, 10))
def test_more_tokens_never_raise_a_loss(name: str, layers: int, hidden: int, log: float, more: float) -> None:
    experts = 16.0 if name == "shape" else 1.0
    few, many = (of_shape(layers, hidden, 10**log * times, experts) for times in (1, more))
    assert law(name).loss(many) <= law(name).loss(few)


@pytest.mark.parametrize("name", [n for n in NAMES if law(n).fact.units != RELATIVE and n != "shape"])
@given(layers=st.integers(4, 100), hidden=st.integers(256, 12_288), log=st.floats(9, 13), larger=st.floats(1.01, 4))
def test_growing_a_shape_never_raises_a_published_loss(
    name: str, layers: int, hidden: int, log: float, larger: float
) -> None:
    small = of_shape(layers, hidden, 10**log)
    assert law(name).loss(resized(small, larger)) <= law(name).loss(small)


def test_a_law_says_by_how_many_factors_of_e_a_model_lies_outside() -> None:
    outside = law("chinchilla-2022").outside(of_shape(32, 4096, 500e9 * np.e))
    assert {"total": 0, "tokens": pytest.approx(1)} == outside


def test_a_dense_model_is_met_whole_and_a_mixture_in_part() -> None:
    dense, mixture = model(), model("mixtral-8x7b")
    assert (dense.body, 1.0) == (dense.active, dense.expansion)
    assert (mixture.active < mixture.body / 3, 4.0) == (True, mixture.expansion)
    assert 2 * mixture.head + mixture.active == find_model("mixtral-8x7b").ledger.active_parameters()


def test_the_sizes_of_a_model_are_those_of_its_ledger() -> None:
    llama = model()
    ledger = find_model("llama-3-8b").ledger
    assert (ledger.parameters(), ledger.body_parameters(), 128_256 * 4096) == (llama.total, llama.body, llama.head)
    assert 4.2 == pytest.approx(llama.mlp_ratio)


def test_a_resized_shape_keeps_its_aspect_and_vocabulary() -> None:
    small = of_shape(10.0, 1000.0, 1e10)
    twice = resized(small, 2.0)
    assert (small.aspect, 8 * small.body, 2 * small.hidden * 50_304) == (twice.aspect, twice.body, twice.head)


def test_the_losses_of_nats_lie_in_the_usual_range_for_a_usual_model() -> None:
    dense = [name for name in NAMES if law(name).fact.units == NATS and law(name).fact.models != "experts"]
    usual = of_shape(24, 2048, 1e11)
    assert not [name for name in dense if not 1.5 < law(name).loss(usual) < 4]


# A model of 16 layers, 2,048 wide, with 1.0738e9 parameters in its body and 1.2799e9 in all, after 1e11 tokens: each
# law from its published constants and formula alone.
N, ALL, D, WIDE, DEEP, HEAD = 1_073_809_408, 1_279_854_592, 1e11, 2048, 16, 50_304 * 2048
X, RATIO = WIDE / N**0.5, 3.0
COUNTED = 2.0732  # experts that count where there is one: E' of the joint law
BY_HAND = {
    "kaplan-2020": ((6.4e13 / N) ** (0.076 / 0.103) + 1.8e13 / D) ** 0.103,
    "kaplan-2020-size": (8.8e13 / N) ** 0.076,
    "kaplan-2020-data": (5.4e13 / D) ** 0.095,
    "chinchilla-2022": 1.69 + 406.4 / ALL**0.34 + 410.7 / D**0.28,
    "chinchilla-2022-unrounded": 1.69 + 406.4 / ALL**0.3392 + 410.7 / D**0.2849,
    "besiroglu-2024": 1.8172 + 482.01 / ALL**0.3478 + 2085.43 / D**0.3658,
    "muennighoff-2023": math.exp(0.6254804)
    + (math.exp(6.255414) / ALL**0.3526596 + math.exp(7.3049974) / D**0.3526596),
    "gemstones-2025": 1.5345 + 2.951 / WIDE**0.2196 + 0.8036 / DEEP**0.4759 + 441.5 / ALL**0.3636 + 35314 / D**0.4935,
    "gemstones-2025-100b": 1.4806
    + (4.272 / WIDE**0.2447 + 0.9249 / DEEP**0.3872 + 2893 / ALL**0.5001 + 23375 / D**0.4761),
    "gemstones-2025-cooled": 1.5212
    + (5.143 / WIDE**0.3015 + 0.9748 / DEEP**0.3655 + 2605 / ALL**0.5055 + 21673 / D**0.4670),
    "gemstones-2025-two-term": 1.9455 + 131.1 / ALL**0.2576 + 327227 / D**0.5909,
    "liu-2026": 1.7442 + 301.0 / WIDE**0.960 + 413.7 / (100 * DEEP) ** 1.066 + 8.486 / (D / 1e6) ** 0.2989,
    "krajewski-2024-dense": 0.47 + 16.3 / N**0.126 + 26.7 / D**0.127,
    "ludziejewski-2025": 1.3637
    + 35.91 * COUNTED**-0.2285 * (N + 2 * HEAD) ** (-0.1889 + 0.0098 * math.log(COUNTED))
    + 35.98 * COUNTED**0.5529 * D ** (-0.1775 - 0.0259 * math.log(COUNTED)),
    "bian-yu-2025": (2.697 + 0.0974 * math.log(X) + 0.0078 / X)
    / (2.697 + 0.0974 * math.log(0.0078 / 0.0974) + 0.0974)
    * (0.3870 + 0.0063 * math.log(RATIO) + 0.0065 / RATIO)
    / (0.3870 + 0.0063 * math.log(0.0065 / 0.0063) + 0.0063),
    "bian-yu-2025-1b": (2.319 + 0.238 * math.log(X) + 0.0176 / X)
    / (2.319 + 0.238 * math.log(0.0176 / 0.238) + 0.238)
    * (0.5104 + 0.0051 * math.log(RATIO) + 0.0062 / RATIO)
    / (0.5104 + 0.0051 * math.log(0.0062 / 0.0051) + 0.0051),
    "tao-2024": -5.533 + 1.831 / (N / 1e6) ** 0.447 + 0.196 / (HEAD / 1e6) ** 0.671 + 2.124 / (D / 1e9) ** 0.447,
}
FITTED_HERE = {"shape", "bian-2025", "gadre-2024-c4", "gadre-2024-redpajama", "gadre-2024-refinedweb"}
OF_EXPERTS = {"krajewski-2024"}


@pytest.mark.parametrize("name", list(BY_HAND))
def test_a_law_is_its_published_formula_with_its_published_constants(name: str) -> None:
    plain = model("like=llama,layers=16,hidden=2048,heads=16,ffn=8192,vocab=50304", D)
    assert (N, ALL) == (plain.body, plain.total)
    assert BY_HAND[name] == pytest.approx(float(law(name).loss(plain)), rel=2e-4)


def test_every_published_law_is_computed_by_hand() -> None:
    assert set(NAMES) - FITTED_HERE - OF_EXPERTS == set(BY_HAND)
