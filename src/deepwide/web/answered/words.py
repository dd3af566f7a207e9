"""What a key of an answer means, in one line: from keys.toml, with the unit that its name ends in."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

EVERYWHERE = "any"
ABSENT = r"(; (?:null|missing) .*)"  # when there is no value
# The end of a name -> the unit; of several the longest counts.
UNITS = {
    "bytes": "bytes",
    "bytes_per_s": "bytes/s",
    "bytes_per_token": "bytes",
    "days": "days",
    "flops": "FLOPs",
    "flops_per_s": "FLOP/s",
    "flops_per_step": "FLOPs",
    "flops_per_token": "FLOPs",
    "hz": "Hz",
    "kg_co2e": "kg CO2e",
    "kwh": "kWh",
    "nats": "nats",
    "requests_per_s": "requests/s",
    "s": "seconds",
    "s_per_token": "seconds",
    "tokens_per_s": "tokens/s",
    "tokens_per_s_per_device": "tokens/s",
    "usd": "US dollars",
    "usd_per_hour": "US dollars/hour",
    "w": "watts",
}


@cache
def meanings() -> dict[str, dict[str, str]]:
    """The lines of keys.toml."""
    return tomllib.loads((Path(__file__).parent / "keys.toml").read_text("utf-8"))


def meaning(model: str, key: str, always: bool = False) -> str:
    """What a key of a model means, with its unit; without when it is null or missing, where it `always` has a value.

    >>> meaning("Shape", "decode_s")
    'To write one token [seconds]; null where no accelerator is asked for'
    >>> meaning("Priced", "decode_s", always=True)
    'To write one token [seconds]'
    """
    said = meanings().get(model, {}).get(key) or meanings()[EVERYWHERE].get(key)
    if said is None:
        raise KeyError(f"keys.toml does not say what {key} of {model} means")
    what, *absent = re.split(ABSENT, said, maxsplit=1)
    return "".join([what, unit(key), *([] if always else absent)])


def unit(key: str) -> str:
    """The unit that a name ends in, in brackets; empty for a plain count or a word.

    >>> unit("peak_flops_per_s")
    ' [FLOP/s]'
    """
    words = key.split("_")
    ends = ("_".join(words[at:]) for at in range(len(words)))
    found = next((UNITS[end] for end in ends if end in UNITS), "")
    return f" [{found}]" if found else ""
