"""What a job costs beside its time: money, energy, and the carbon of running and of making the devices.

kWh = device hours * W * PUE / 1000                     W: a device on average, with its share of the host
kg CO2e = kWh * g per kWh / 1000                        location based: the grid that the devices draw from
kg embodied = kg of making * device hours / (5 years * share of them in use)
Patterson et al. 2021 (arXiv:2104.10350), LLMCarbon (arXiv:2309.14393), Luccioni et al. 2022 (arXiv:2211.02001).
Left out: the network, storage outside the servers, idle servers of a reserved cluster, failed and repeated runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from deepwide.errors import BadInput
from deepwide.facts.bills import Part, chip, grid, quote, server_parts
from deepwide.facts.device import Accelerator
from deepwide.units import Num, Real

HOUR_S = 3600
DAY_S = 24 * HOUR_S
LIFETIME_H = 5 * 365 * 24  # of a server: LLMCarbon, embodied.py
SERVER_DEVICES = 8  # accelerators in the server of embodied.toml: XLM had 512 V100 in 64
FLOPS = 6  # of training, for each active parameter and token: 2 forward, 4 backward


class Span(NamedTuple):
    """What is expected, and the range that holds it about nine times in ten."""

    low: Real
    middle: Real
    high: Real


# Average power of a busy device with its share of the host, over its TDP. Eight measured runs: .43 .70 .92 (BERT on
# V100, 6B on A100, ViT on V100: codecarbon), .94 1.10 1.18 (Switch, GShard, T5 on TPU v3) and 1.10 1.14 (GPT-3, XLM on
# V100: LLMCarbon's database). Their median is 1.02, and Meta's cards and BLOOM take 1. Seven of the eight lie inside.
# The share does not follow the efficiency of the run (.20 to .39), so that does not enter. The TDP is the catalogue's:
# 262 W for TPU v3, where LLMCarbon has 450 and would give .54 to .69.
LOAD_SHARES = Span(0.7, 1.0, 1.2)
# Power of an idle GPU over its TDP: 46 of 400 W (A100), 35 of 300 W (V100), Davy 2021, "Building an AWS EC2 Carbon
# Emissions Dataset". Between idle and busy the line is below those measurements (at half load by a quarter).
IDLE_SHARE = 0.12
PUES = Span(
    1.09, 1.1, 1.2
)  # LLMCarbon's five runs: 1.09 to 1.12, median 1.1; Jean Zay 1.2. Old server rooms: about 1.6
# One grid by two accounts (direct emissions 2020, life cycle 2021): 14 of 22 European countries agree this closely.
GRID_SHARES = Span(0.7, 1.0, 1.3)
PRICE_SHARES = Span(0.6, 1.0, 1.4)  # where one provider is known; as others differ from their median, V100 apart
# BLOOM's own account (11.2 t, servers of 2.5 t) is 3.9 times ours; SSDs are 71% of the server, others have fewer.
EMBODIED_SHARES = Span(0.5, 1.0, 4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """Money, energy, carbon of running and of making; None is unknown, never nothing."""

    usd: Real | None
    kwh: Real | None
    kg_co2e: Real | None
    embodied_kg_co2e: Real | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """The amounts of a job, their low and high end, and where its rates come from."""

    device_hours: Real
    usd: Real | None
    kwh: Real | None
    kg_co2e: Real | None
    embodied_kg_co2e: Real | None
    low: Amounts
    high: Amounts
    sources: tuple[str, ...]


def device_hours(devices: Num, seconds: Real) -> Real:
    """Hours of all devices together."""
    return devices * seconds / HOUR_S


def training_device_hours(
    active_parameters: Real, tokens: Real, peak_flops_per_s: Real, efficiency: Real = 1.0
) -> Real:
    """Hours of all devices together for a training run, however many devices share them.

    t = 6 N D / (P e)          N active parameters, D tokens, P e what one device achieves
    """
    return FLOPS * 1.0 * active_parameters * tokens / (peak_flops_per_s * efficiency) / HOUR_S


def usd(hours: Real, usd_per_device_hour: Real) -> Real:
    """Rent of the devices."""
    return hours * usd_per_device_hour


def power_w(tdp_w: Real, busy_share: Real = 1.0, load_share: Real = LOAD_SHARES.middle) -> Real:
    """Average power of one device with its share of the host.

    W = TDP * load * (idle + (1 - idle) * busy)          busy: share of the time that it works
    """
    return tdp_w * load_share * (IDLE_SHARE + (1 - IDLE_SHARE) * busy_share)


def kwh(hours: Real, average_w: Real, pue: Real = 1.0) -> Real:
    """Energy that the building draws; PUE is its energy over that of the servers in it."""
    return hours * average_w * pue / 1000


def kg_co2e(energy_kwh: Real, gco2e_per_kwh: Real) -> Real:
    """Carbon of making the electricity."""
    return energy_kwh * gco2e_per_kwh / 1000


def making_kg(accelerator_chip: Part, server: Iterable[Part]) -> float:
    """Carbon of making one accelerator with its share of the server."""
    shared = sum(part.amount * part.kg_per_unit for part in server)
    return accelerator_chip.amount * accelerator_chip.kg_per_unit + shared / SERVER_DEVICES


def embodied_kg(kg_per_device: Real, hours: Real, *, lifetime_h: Real = LIFETIME_H, usage_share: Real = 1.0) -> Real:
    """The part of making the devices that falls on a job: its hours over the hours that they will be used."""
    return kg_per_device * hours / (lifetime_h * usage_share)


def total_kg_co2e(amounts: Amounts | Bill) -> Real | None:
    """Carbon of running and of making; unknown where one of them is."""
    if amounts.kg_co2e is None or amounts.embodied_kg_co2e is None:
        return None
    return amounts.kg_co2e + amounts.embodied_kg_co2e


def bill(
    *,
    accelerator: Accelerator,
    devices: Num,
    seconds: Real,
    usd_per_device_hour: Real | None = None,
    pue: Real | None = None,
    grid: str | Real = "world",
    power_w: Real | None = None,
    busy_share: Real = 1.0,
) -> Bill:
    """The bill of a job. What is given is taken as exact; what is left out is looked up, and has a low and a high.

    Each end takes all rates at their end, so it is wider than nine in ten. Unknown are: money without a price,
    energy and carbon without a TDP, embodied carbon of a chip whose making nobody published.
    """
    _check(usd_per_device_hour=usd_per_device_hour, pue=pue, grid=grid, power_w=power_w, busy_share=busy_share)
    hours = device_hours(devices, seconds)
    price, price_sources = _price(accelerator.name, usd_per_device_hour)
    grams, grid_sources = _grams(grid)
    making, making_sources = _making(accelerator.name)
    rates = (price, _watts(accelerator.tdp_w, power_w, busy_share), PUES if pue is None else _exact(pue), grams, making)
    low, middle, high = (_amounts(hours, *(_end(rate, end) for rate in rates)) for end in range(3))
    return Bill(
        device_hours=hours,
        usd=middle.usd,
        kwh=middle.kwh,
        kg_co2e=middle.kg_co2e,
        embodied_kg_co2e=middle.embodied_kg_co2e,
        low=low,
        high=high,
        sources=(*price_sources, *grid_sources, *making_sources),
    )


def _amounts(
    hours: Real, price: Real | None, watts: Real | None, pue: Real | None, grams: Real | None, making: Real | None
) -> Amounts:
    """What the hours come to at these rates; what lacks a rate is unknown."""
    energy = None if watts is None or pue is None else kwh(hours, watts, pue)
    return Amounts(
        usd=None if price is None else usd(hours, price),
        kwh=energy,
        kg_co2e=None if energy is None or grams is None else kg_co2e(energy, grams),
        embodied_kg_co2e=None if making is None else embodied_kg(making, hours),
    )


def _watts(tdp_w: float | None, given_w: Real | None, busy_share: Real) -> Span | None:
    if given_w is not None:
        return _exact(given_w)
    return None if tdp_w is None else Span(*(power_w(tdp_w, busy_share, share) for share in LOAD_SHARES))


def _price(name: str, given: Real | None) -> tuple[Span | None, tuple[str, ...]]:
    if given is not None:
        return _exact(given), ()
    found = quote(name)
    if found is None:
        return None, ()
    sources = tuple(f"{each.provider}: {each.source} ({each.checked})" for each in found.prices)
    if len(found.prices) == 1:
        return _spread(found.usd_per_device_hour, PRICE_SHARES), sources
    low, high = found.low_usd_per_device_hour, found.high_usd_per_device_hour
    return Span(low, found.usd_per_device_hour, high), sources


def _grams(given: str | Real) -> tuple[Span, tuple[str, ...]]:
    if not isinstance(given, str):
        return _exact(given), ()
    found = grid(given)
    low, middle, high = _spread(found.gco2e_per_kwh, GRID_SHARES)
    span = Span(found.low_gco2e_per_kwh or low, middle, found.high_gco2e_per_kwh or high)
    return span, (f"{found.name}: {found.source} ({found.checked})",)


def _making(name: str) -> tuple[Span | None, tuple[str, ...]]:
    found = chip(name)
    if found is None:
        return None, ()
    return _spread(making_kg(found, server_parts()), EMBODIED_SHARES), (f"{found.name}: {found.source}",)


def _exact(value: Real) -> Span:
    return Span(value, value, value)


def _spread(value: Real, shares: Span) -> Span:
    return Span(*(value * share for share in shares))


def _end(rate: Span | None, end: int) -> Real | None:
    return None if rate is None else rate[end]


def _check(**given: str | Real | None) -> None:
    """Numbers, one by one, are finite and not below what makes sense; arrays are the caller's."""
    for name, value in given.items():
        least, most = 1 if name == "pue" else 0, 1 if name == "busy_share" else math.inf
        if isinstance(value, int | float) and not (least <= value <= most and math.isfinite(value)):
            bound = f"from {least} to {most}" if name == "busy_share" else f"of at least {least}"
            raise BadInput(f"{name}={value} must be a finite number {bound}; leave it out for the default")
