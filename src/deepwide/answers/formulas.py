"""By which formula? What a model weighs and leaves behind, spelled in symbols and with its numbers in them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from deepwide.answers.load import Load, checked
from deepwide.answers.memory import memory_parts
from deepwide.answers.models import Model, find_model
from deepwide.architecture.flops import token_flops
from deepwide.architecture.ledger import Ledger, lower
from deepwide.architecture.symbols import symbolic
from deepwide.cost.memory import cached_elements_per_token
from deepwide.cost.precision import cache_bits

SHARED = " / devices"


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """One number: in symbols, with the numbers in it, what comes out, and what the formula leaves aside."""

    symbols: str
    numbers: str
    value: float
    aside: str = ""


def formulas(model: str | Model, **load: Any) -> dict[str, Formula]:
    """The formula of the weights' and the cache's bytes and of a token's FLOPs; the keywords are those of `memory`.

    >>> formulas("gpt2", context=1024)["kv_cache_bytes"].symbols
    'layers · kv_heads · (head_dim + head_dim) · context · batch · bits / 8'
    """
    found = find_model(model) if isinstance(model, str) else model
    asked = checked(Load(**load))
    parts = memory_parts(found, asked)
    told = {"weights_bytes": _weights(found, asked, parts["weights"]), "flops_per_token": _flops(found.ledger)}
    if found.ledger.caches and found.architecture is not None:
        told["kv_cache_bytes"] = _cache(found, asked, parts["kv_cache"])
    return told


def formula_rows(told: dict[str, Formula]) -> dict[str, Any]:
    """The formulae as plain values."""
    return {name: asdict(formula) for name, formula in told.items()}


def _weights(found: Model, asked: Load, weight_bytes: int) -> Formula:
    """Bits are those that come out: scales of groups, and what stays in 16 bits, count among them."""
    parameters = int(found.ledger.parameters())
    bits = 8 * weight_bytes * asked.devices / max(1, parameters)
    plain = bits == int(bits)
    return Formula(
        symbols=f"parameters · bits / 8{_shared(asked)[0]}",
        numbers=f"{parameters:,} · {f'{bits:.0f}' if plain else f'{bits:.3f}'} / 8{_shared(asked)[1]}",
        value=weight_bytes,
        aside="" if plain else "bits on average: scales of groups, and what is stored wider or on every device",
    )


def _cache(found: Model, asked: Load, cache_bytes: int) -> Formula:
    """Elements that a token leaves behind, times tokens; windows and fixed states keep less."""
    elements = cached_elements_per_token(lower(symbolic(found.described())))
    bits = Fraction(cache_bits(asked.cache))
    plain = int(cached_elements_per_token(found.ledger)) * asked.context * asked.batch * bits / 8 / asked.devices
    symbols, numbers = getattr(elements, "text", str(elements)), getattr(elements, "numbers", str(elements))
    return Formula(
        symbols=f"{symbols} · context · batch · bits / 8{_shared(asked)[0]}",
        numbers=f"{numbers} · {asked.context:,} · {asked.batch:,} · {float(bits):g} / 8{_shared(asked)[1]}",
        value=cache_bytes,
        aside="" if plain == cache_bytes else "windows, fixed states and whole heads on each device change it",
    )


def _flops(ledger: Ledger) -> Formula:
    flops = int(token_flops(ledger))
    return Formula(
        symbols="2 · parameters of the matrices that a token passes",
        numbers=f"2 · {flops // 2:,}",
        value=flops,
        aside="attention over earlier tokens comes on top",
    )


def _shared(asked: Load) -> tuple[str, str]:
    """What is shared over devices, in symbols and in numbers."""
    return (SHARED, f" / {asked.devices}") if asked.devices > 1 and not asked.train else ("", "")
