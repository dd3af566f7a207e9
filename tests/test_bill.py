"""Money, energy and carbon: published accounts are met, many are as one, and what is unknown stays unknown."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepwide.cost.bill import (
    FLOPS,
    LOAD_SHARES,
    Amounts,
    Bill,
    bill,
    device_hours,
    embodied_kg,
    kg_co2e,
    kwh,
    making_kg,
    power_w,
    total_kg_co2e,
    training_device_hours,
    usd,
)
from deepwide.errors import BadInput
from deepwide.facts.accelerators import accelerator
from deepwide.facts.bills import chip, grid, quote, server_parts

H100 = accelerator("h100")
DAY_S = 86_400
HOURS = st.floats(min_value=0, max_value=1e9)
POSITIVE = st.floats(min_value=1e-3, max_value=1e9)

# Patterson et al. 2021 as in LLMCarbon's database: N, D, peak, efficiency, W, PUE, grid, tonnes.
RUNS = {
    "run-t5": (11e9, 600e9, 123e12, 0.37, 310, 1.12, 46.7),
    "run-gpt-3": (175e9, 300e9, 125e12, 0.197, 330, 1.1, 552.1),
    "run-gshard": (2.3e9, 1e12, 123e12, 0.39, 288, 1.09, 4.3),
    "run-switch": (7.41e9, 2e12, 123e12, 0.28, 245, 1.1, 59.1),
    "run-xlm": (0.55e9, 7e12, 125e12, 0.212, 342, 1.1, 39.0),
}
# Meta's model cards: GPU hours of 700 W, tonnes.
CARDS = {
    "llama-3-8b": (1.3e6, 390, "meta-2024"),
    "llama-3-70b": (6.4e6, 1900, "meta-2024"),
    "llama-3.1-8b": (1.46e6, 420, "meta-2024"),
    "llama-3.1-70b": (7.0e6, 2040, "meta-2024"),
    "llama-3.1-405b": (30.84e6, 8930, "meta-2024"),
    "llama-4-scout": (5.0e6, 1354, "meta-2025"),
    "llama-4-maverick": (2.38e6, 645, "meta-2025"),
}


def made(**changes: object) -> Bill:
    settings = {"accelerator": H100, "devices": 8, "seconds": DAY_S, "grid": "france", **changes}
    return bill(**settings)  # type: ignore[arg-type]


# Published accounts.
def test_bloom_drew_its_published_energy_and_carbon() -> None:
    energy = kwh(1_082_990, power_w(400))
    assert energy == pytest.approx(433_195, rel=1e-5)
    assert kg_co2e(energy, grid("run-bloom").gco2e_per_kwh) == pytest.approx(24_700, rel=0.001)


@pytest.mark.parametrize("run", RUNS)
def test_published_runs_are_within_eight_percent(run: str) -> None:
    parameters, tokens, peak, efficiency, watts, pue, tonnes = RUNS[run]
    hours = training_device_hours(parameters, tokens, peak, efficiency)
    predicted = kg_co2e(kwh(hours, watts, pue), grid(run).gco2e_per_kwh)
    assert predicted == pytest.approx(1000 * tonnes, rel=0.08)


@pytest.mark.parametrize("card", CARDS)
def test_model_cards_are_within_four_percent(card: str) -> None:
    hours, tonnes, place = CARDS[card]
    predicted = kg_co2e(kwh(hours, power_w(700)), grid(place).gco2e_per_kwh)
    assert predicted == pytest.approx(1000 * tonnes, rel=0.04)


def test_making_the_hardware_of_xlm_comes_to_its_published_share() -> None:
    v100 = chip("v100-sxm-32gb")
    assert v100 is not None
    hours = device_hours(512, 20.4 * DAY_S)
    assert embodied_kg(making_kg(v100, server_parts()), hours) == pytest.approx(660, rel=0.02)


def test_the_load_share_holds_measured_runs() -> None:
    measured = [(37.3, 8 * 36, 300), (13_812, 256 * 192, 400), (237.6, 4 * 216, 300)]  # codecarbon: kWh, hours, TDP
    measured += [(watts / 1000, 1, tdp) for watts, tdp in [(310, 262), (288, 262), (245, 262), (330, 300), (342, 300)]]
    shares = sorted(1000 * energy / hours / tdp_w for energy, hours, tdp_w in measured)
    assert 7 == sum(LOAD_SHARES.low <= share <= LOAD_SHARES.high for share in shares)
    assert (shares[3] + shares[4]) / 2 == pytest.approx(LOAD_SHARES.middle, abs=0.03)


# One equals many.
def test_arrays_equal_their_numbers_one_by_one() -> None:
    devices, seconds = np.array([1.0, 8.0, 512.0]), np.array([1.0, 3600.0, 1e6])
    many = made(devices=devices, seconds=seconds)
    ones = [made(devices=d, seconds=s) for d, s in zip(devices.tolist(), seconds.tolist(), strict=True)]
    for name in ("device_hours", "usd", "kwh", "kg_co2e", "embodied_kg_co2e"):
        assert [getattr(one, name) for one in ones] == pytest.approx(getattr(many, name).tolist())
    assert [one.high.kg_co2e for one in ones] == pytest.approx(np.asarray(many.high.kg_co2e).tolist())


def test_rates_may_be_arrays_too() -> None:
    many = made(
        grid=np.array([50.0, 400.0]), power_w=np.array([300.0, 700.0]), usd_per_device_hour=np.array([1.0, 2.0])
    )
    ones = [made(grid=g, power_w=w, usd_per_device_hour=p) for g, w, p in [(50.0, 300.0, 1.0), (400.0, 700.0, 2.0)]]
    assert [one.kg_co2e for one in ones] == pytest.approx(np.asarray(many.kg_co2e).tolist())
    assert [one.usd for one in ones] == pytest.approx(np.asarray(many.usd).tolist())


def test_large_whole_arrays_do_not_overflow() -> None:
    hours = training_device_hours(np.array([10**12]), np.array([15 * 10**12]), 989e12, 0.4)
    assert np.asarray(hours).tolist() == [pytest.approx(FLOPS * 1e12 * 15e12 / (989e12 * 0.4) / 3600)]


# Properties.
@given(hours=HOURS, more=HOURS, rate=POSITIVE)
def test_money_and_energy_add_up(hours: float, more: float, rate: float) -> None:
    assert usd(hours, rate) + usd(more, rate) == pytest.approx(usd(hours + more, rate))
    assert kwh(hours, rate) + kwh(more, rate) == pytest.approx(kwh(hours + more, rate))
    assert embodied_kg(rate, hours) + embodied_kg(rate, more) == pytest.approx(embodied_kg(rate, hours + more))


@given(tdp_w=POSITIVE, busy=st.floats(0, 1), busier=st.floats(0, 1))
def test_a_busier_device_draws_no_less(tdp_w: float, busy: float, busier: float) -> None:
    less, more = sorted([busy, busier])
    assert 0 < power_w(tdp_w, less) <= power_w(tdp_w, more) <= tdp_w * (1 + 1e-12)


@given(devices=st.integers(1, 100_000), seconds=POSITIVE)
def test_low_and_high_hold_what_is_expected(devices: int, seconds: float) -> None:
    made_bill = made(devices=devices, seconds=seconds)
    for name in ("usd", "kwh", "kg_co2e", "embodied_kg_co2e"):
        assert getattr(made_bill.low, name) <= getattr(made_bill, name) <= getattr(made_bill.high, name)


def test_sharing_a_run_among_more_devices_keeps_its_bill() -> None:
    few, many = made(devices=8, seconds=64 * DAY_S), made(devices=512, seconds=DAY_S)
    assert (few.usd, few.kwh, few.embodied_kg_co2e) == (many.usd, many.kwh, many.embodied_kg_co2e)


def test_half_used_servers_owe_twice_the_embodied_carbon() -> None:
    assert 2 * embodied_kg(100.0, 50.0) == embodied_kg(100.0, 50.0, usage_share=0.5)


# What is given is exact, what is unknown stays unknown, what is wrong is said.
def test_given_rates_have_no_range() -> None:
    exact = made(usd_per_device_hour=2.0, power_w=700, pue=1.1, grid=57)
    assert (exact.usd, exact.kwh, exact.kg_co2e) == (exact.low.usd, exact.low.kwh, exact.low.kg_co2e)
    assert [exact.usd, exact.kwh] == pytest.approx([8 * 24 * 2.0, 8 * 24 * 0.7 * 1.1])


def test_an_unknown_price_is_none_and_not_nothing() -> None:
    unpriced = replace(H100, name="nobody-rents-this")
    answer = made(accelerator=unpriced)
    assert (None, None, None) == (answer.usd, answer.low.usd, answer.high.usd)
    assert answer.kwh is not None
    assert made(accelerator=unpriced, usd_per_device_hour=0).usd == 0


def test_without_a_tdp_energy_and_carbon_are_unknown_unless_power_is_given() -> None:
    untold = replace(H100, tdp_w=None)
    assert (None, None) == (made(accelerator=untold).kwh, made(accelerator=untold).kg_co2e)
    assert made(accelerator=untold, power_w=500).kwh is not None


def test_the_total_is_unknown_where_a_part_is() -> None:
    whole = made()
    assert total_kg_co2e(whole) == pytest.approx((whole.kg_co2e or 0) + (whole.embodied_kg_co2e or 0))
    assert total_kg_co2e(Amounts(usd=None, kwh=1.0, kg_co2e=1.0, embodied_kg_co2e=None)) is None
    assert made(accelerator=accelerator("mi300x")).embodied_kg_co2e is None


def test_an_unknown_place_widens_the_range_of_carbon() -> None:
    placed, unplaced = made(), made(grid="world")
    assert placed.kg_co2e is not None
    assert unplaced.kg_co2e is not None
    widths = [b.high.kg_co2e / b.low.kg_co2e for b in (placed, unplaced) if b.high.kg_co2e and b.low.kg_co2e]
    assert 3 * widths[0] < widths[1]


def test_the_catalogue_price_is_used_and_its_source_told() -> None:
    answer, listed = made(), quote("h100-sxm")
    assert listed is not None
    assert answer.usd == pytest.approx(8 * 24 * listed.usd_per_device_hour)
    assert all(any(price.source in source for source in answer.sources) for price in listed.prices)
    assert any(source.startswith("france: ") for source in answer.sources)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"pue": 0.9}, "pue=0.9 must be a finite number of at least 1"),
        ({"pue": float("inf")}, "pue=inf must be a finite number"),
        ({"usd_per_device_hour": -1.0}, "usd_per_device_hour=-1.0 must be"),
        ({"power_w": float("nan")}, "power_w=nan must be"),
        ({"grid": -5}, "grid=-5 must be"),
        ({"busy_share": 1.5}, "busy_share=1.5 must be a finite number from 0 to 1"),
        (
            {"grid": "frnace"},
            "grid='frnace' is neither a number of g CO2e per kWh nor a known place; did you mean franc",
        ),
    ],
)
def test_bad_rates_are_refused_in_one_line(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=re.escape(said)) as caught:
        made(**wrong)
    assert "\n" not in str(caught.value)
