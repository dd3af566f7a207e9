"""What may be asked of a design, and what makes no sense to ask."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from deepwide.answers.limits import LARGEST_VOCAB, LONGEST_CONTEXT, MOST_DEVICES, MOST_TOKENS, whole
from deepwide.design.space import Mixture
from deepwide.errors import BadInput

SMALLEST_BUDGET, LARGEST_BUDGET = 10**6, 10**13
WIDEST, DEEPEST = 2**17, 4096
LEAST_SPENT, MOST_SPENT = 1e-12, 1e60  # of seconds, days, dollars, kilograms, FLOPs: shares of them stay finite
OF_TRAINING = ("days", "usd", "kg_co2e")
OTHER_BUDGETS = ("flops", *OF_TRAINING)
BUDGETS = ("parameters", *OTHER_BUDGETS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked. Limits are the most of a thing; None leaves it free, or to the stated default.

    parameters, flops, days, usd, kg_co2e    of the model; of training and serving it; of the training run
    memory_bytes         of a device that serves; None for all that it has
    decode_s, ttft_s     of a token, and until the first one, with `context` tokens in view
    any_speed            lifts the default that a shape decodes no slower than the usual one of its size
    tokens               to train on; None for 20 per parameter, or for as many as flops, days, usd or kg_co2e leave
    unique_tokens        that there are; more tokens repeat them
    serve_tokens         that the model will generate: their FLOPs count against `flops`
    devices              that train it; serve_devices: that share its layers when it serves
    like                 a model whose family, vocabulary, tying and KV heads are kept, and whose size and decode time
                         are the limits where none are given; or the name of a family
    layers, hidden       the least and the most; head_dims, kv_heads, ffn_ratios, vocab, experts: what may be chosen
    """

    parameters: int | None = None
    flops: float | None = None
    days: float | None = None
    usd: float | None = None
    kg_co2e: float | None = None
    memory_bytes: int | None = None
    decode_s: float | None = None
    ttft_s: float | None = None
    any_speed: bool = False
    tokens: int | None = None
    unique_tokens: int | None = None
    serve_tokens: int = 0
    context: int = 4096
    batch: int = 1
    devices: int | None = None
    serve_devices: int | None = None
    like: str = ""
    layers: tuple[int, int] | None = None
    hidden: tuple[int, int] | None = None
    head_dims: Sequence[int] = ()
    kv_heads: Sequence[int] = ()
    ffn_ratios: Sequence[float] = ()
    vocab: Sequence[int] = ()
    tied: bool | None = None
    experts: Sequence[tuple[int, int]] = ()
    sequence: int | None = None
    global_batch: int | None = None
    runtime: str = ""
    usd_per_hour: float | None = None
    grid: str | float = "world"

    def gives(self, *names: str) -> bool:
        """Whether any of these is given."""
        return any(getattr(self, name) is not None for name in names)


def checked(wanted: Wanted) -> Wanted:
    """Numbers within bounds, ranges the right way round."""
    bounds = {
        "parameters": (SMALLEST_BUDGET, LARGEST_BUDGET),
        "tokens": (1, MOST_TOKENS),
        "unique_tokens": (1, MOST_TOKENS),
        "serve_tokens": (0, MOST_TOKENS),
        "context": (1, LONGEST_CONTEXT),
        "batch": (1, 2**20),
        "devices": (1, MOST_DEVICES),
        "serve_devices": (1, 64),
    }
    for name, (low, high) in bounds.items():
        if getattr(wanted, name) is not None:
            whole(name, getattr(wanted, name), low, high)
    for name in (*OTHER_BUDGETS, "memory_bytes", "decode_s", "ttft_s"):
        value = getattr(wanted, name)
        if value is not None and not (isinstance(value, int | float) and LEAST_SPENT <= value <= MOST_SPENT):
            shown = "a number of more than 60 digits" if isinstance(value, int) and value > MOST_SPENT else repr(value)
            raise BadInput(f"{name}={shown} must be a number above 0, {LEAST_SPENT} to {MOST_SPENT}: the most to spend")
    for name, most in (("layers", DEEPEST), ("hidden", WIDEST)):
        _range(name, getattr(wanted, name), most)
    lists = {"head_dims": 1024, "kv_heads": 4096, "vocab": LARGEST_VOCAB}
    for name, most in lists.items():
        for value in _several(name, getattr(wanted, name)):
            whole(name, value, 1, most)
    for ratio in _several("ffn_ratios", wanted.ffn_ratios):
        if not (isinstance(ratio, int | float) and 0.25 <= ratio <= 64):
            raise BadInput(f"ffn_ratios={ratio} must lie between 0.25 and 64: FFN width over hidden size")
    for each in _several("experts", wanted.experts):
        mixture(each)
    if not wanted.gives(*BUDGETS) and not wanted.like:
        raise BadInput(
            "parameters: give a budget: --parameters 10B, --flops 1e22, --days 30 with --devices, or --like MODEL"
        )
    for name in OF_TRAINING:
        if getattr(wanted, name) is not None and wanted.devices is None:
            raise BadInput(f"{name} is a limit on training: say on how many devices, for instance --devices 64")
    return wanted


def _range(name: str, asked: tuple[int, int] | None, most: int) -> None:
    if asked is None:
        return
    if len(_several(name, asked)) != 2:
        raise BadInput(f"{name}={asked!r} must be the least and the most, for instance {name}=(8, 64)")
    low, high = (whole(name, each, 1, most) for each in asked)
    if low > high:
        raise BadInput(f"{name}={low}-{high} is empty: the least comes first, for instance {name}={high}-{low}")


def _several(name: str, values: Any) -> tuple[Any, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise BadInput(f"{name}={values!r} must be a list of numbers, even where there is one")
    return tuple(values)


def mixture(each: tuple[int, int]) -> Mixture:
    """Experts, and how many of them a token meets."""
    if len(_several("experts", each)) != 2:
        raise BadInput(f"experts={each!r} must be pairs of experts and active ones, for instance (64, 8)")
    experts, active = each
    whole("experts", experts, 1, 4096)
    whole("active experts", active, 1, experts)
    return Mixture(experts, active)
