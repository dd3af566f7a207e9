"""Grids, prices and the making of hardware: every row is sourced and plausible, and a misspelt place is helped."""

from __future__ import annotations

import re
from datetime import date

import pytest

from deepwide.errors import BadInput
from deepwide.facts import bills
from deepwide.facts.accelerators import accelerators
from deepwide.facts.bills import (
    CONFIDENCES,
    KINDS,
    Grid,
    Part,
    Price,
    chip,
    grid,
    grids,
    parts,
    prices,
    quote,
    server_parts,
)

CATALOGUE = {device.name for device in accelerators()}
ROWS: list[Grid | Price | Part] = [*grids(), *prices(), *parts()]


def test_every_row_says_where_it_is_from_when_and_how_sure() -> None:
    assert [] == [row for row in ROWS if len(row.source) < 20]
    assert [] == [row for row in ROWS if type(row.checked) is not date or row.confidence not in CONFIDENCES]


def test_grids_are_plausible_and_sorted() -> None:
    names = [each.name for each in grids()]
    assert sorted(names) == names
    assert [] == [each.name for each in grids() if each.kind not in KINDS or not 10 <= each.gco2e_per_kwh <= 1000]
    assert [] == [name for name in names if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)]


def test_no_name_or_alias_stands_for_two_grids() -> None:
    names = [name for each in grids() for name in (each.name, *each.aliases)]
    assert len(names) == len(set(names))


def test_the_range_of_the_world_holds_nine_countries_in_ten() -> None:
    world, countries = grid("world"), [each.gco2e_per_kwh for each in grids() if each.kind == "country"]
    assert world.low_gco2e_per_kwh is not None
    assert world.high_gco2e_per_kwh is not None
    inside = sum(world.low_gco2e_per_kwh <= each <= world.high_gco2e_per_kwh for each in countries)
    assert inside / len(countries) == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("name", ["France", "united states", "United_States", "US", "aws-eu-north-1", "run-bloom"])
def test_a_place_is_found_however_it_is_written(name: str) -> None:
    assert grid(name) in grids()


@pytest.mark.parametrize(
    ("name", "said"), [("frnace", "did you mean france?"), ("the moon", "known are us-california")]
)
def test_an_unknown_place_is_told_the_way_out(name: str, said: str) -> None:
    with pytest.raises(BadInput, match=re.escape(said)) as caught:
        grid(name)
    assert "\n" not in str(caught.value)


def test_published_intensities_are_there() -> None:
    published = {"world": 475, "run-bloom": 57, "run-t5": 545, "run-gpt-3": 429, "meta-2024": 415, "meta-2025": 387}
    assert published == {name: grid(name).gco2e_per_kwh for name in published}


def test_every_priced_accelerator_is_in_the_catalogue() -> None:
    assert set() == {price.accelerator for price in prices()} - CATALOGUE
    assert set() == {name for part in parts() for name in part.accelerators} - CATALOGUE


def test_prices_are_appended_in_the_order_of_time() -> None:
    days = [price.checked for price in prices()]
    assert sorted(days) == days
    assert [] == [price for price in prices() if not 0.05 < price.usd_per_device_hour < 100]


def test_a_quote_is_the_median_of_the_latest_price_of_each_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    def row(provider: str, rate: float) -> Price:
        return Price(
            accelerator="h100-sxm",
            provider=provider,
            usd_per_device_hour=rate,
            source="a test",
            checked=date(2026, 11, 22),
            confidence="checked",
        )

    listed = (row("a", 9.0), row("b", 4.0), row("a", 2.0), row("c", 3.0))
    monkeypatch.setattr(bills, "prices", lambda: listed)
    found = quote.__wrapped__("h100-sxm")
    assert found is not None
    assert (2.0, 3.0, 4.0) == (
        found.low_usd_per_device_hour,
        found.usd_per_device_hour,
        found.high_usd_per_device_hour,
    )
    assert listed[1:] == tuple(sorted(found.prices, key=listed.index))


def test_a_device_nobody_rents_has_no_quote() -> None:
    assert quote("apple-m1-7c") is None


def test_the_published_chips_come_to_their_published_carbon() -> None:
    made = {name: found.amount * found.kg_per_unit for name in ("v100-sxm-32gb", "h100-sxm") if (found := chip(name))}
    assert made == {"v100-sxm-32gb": pytest.approx(9.78), "h100-sxm": pytest.approx(14.652)}
    assert {"cpu", "dram", "ssd", "other"} == {part.name for part in server_parts()}
    assert chip("rtx-4090") is None


def test_a_row_with_a_wrong_key_is_refused() -> None:
    with pytest.raises(ValueError, match="colour") as caught:
        bills._row(Part, "embodied.toml: x", {"name": "x", "colour": "red"})
    assert "kg_per_unit" in str(caught.value)
