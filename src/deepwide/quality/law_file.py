"""A law of the loss fitted to a user's own runs, as a file: `deepwide calibrate loss` writes it, --law takes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepwide.errors import BadInput, did_you_mean
from deepwide.facts.loss_laws import LossLaw
from deepwide.facts.own_files import (
    ENDING,
    LARGEST,
    number_of,
    shown_path,
    tables_of,
    text_of,
    whole_of,
    write_whole,
)
from deepwide.quality.fit import Fitted
from deepwide.quality.forms import Form, forms
from deepwide.quality.laws import NATS, Law

if TYPE_CHECKING:
    from deepwide.quality.forms import Sized
    from deepwide.units import Real

KIND, RECIPE = "loss", "own"
RANGES = ("aspect", "body", "tokens")
WORDS = ("law", "fitted", "source")
KEYS = ("kind", *WORDS, "checked", "rows", "shapes", "held_out_nats", "held_out_sd", *RANGES, "members")
MOST_NATS = 100.0
LARGEST_SIZE = 1e18  # of a run: as many tokens as may be asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLaw:
    """A fitted law, and what is known of it.

    fitted    what of it was fitted: all constants, or the level
    held_out_nats, held_out_sd    error on shapes left out, and the deviation to expect of one more run
    ranges    hidden / layers, body parameters and tokens of the runs: lowest and highest
    """

    law: str
    fitted: str
    members: tuple[Fitted, ...]
    rows: int
    shapes: int
    held_out_nats: float
    held_out_sd: float
    ranges: Mapping[str, tuple[float, float]]
    source: str
    checked: str

    def loss(self, of: Sized) -> Real:
        """The loss of a model, or of many, trained by the recipe of the runs: the mean of the members.

        Infinite where the constants, which may be anything, give no number.
        """
        import numpy as np

        with np.errstate(all="ignore"):
            each = [member.form.loss(member.values[RECIPE], of) for member in self.members]
            mean: Real = sum(each[1:], start=each[0]) / len(each)
        known: Real = np.where(np.isnan(mean), np.inf, mean)
        return known


def law_of(path: str) -> Law:
    """The law in a file, as others are: at the parameters that a token meets, and silent about experts."""
    held = own_law(path)
    fact = LossLaw(
        name=path,
        form=held.law,
        counts="active",
        units=NATS,
        constants={},
        fitted={"active" if name == "body" else name: limits for name, limits in held.ranges.items()},
        data=f"{held.rows} losses of {held.shapes} shapes of your own",
        source=held.source,
        checked=held.checked,
        models="any",
        rmse=held.held_out_sd,
    )
    return Law(name=path, fact=fact, loss=lambda of: held.loss(replace(of, body=of.active)))


def is_law_file(law: str) -> bool:
    """Whether a law is given as the path of a file."""
    return law.strip().endswith(ENDING)


def own_law(path: str | Path) -> OwnLaw:
    """The checked contents of a file; one line says what is wrong with it."""
    where, given = shown_path(path), tables_of(path, "law")
    if given.get("kind") != KIND:
        raise BadInput(
            f"{where}: kind={given.get('kind')!r} must be {KIND!r}; `deepwide calibrate loss` writes such a file"
        )
    _all_known(where, given, KEYS)
    if not isinstance(given["checked"], date):
        raise BadInput(f"{where}: checked={given['checked']!r} must be a date without quotes, such as 2026-11-22")
    words = {word: text_of(f"{where}: {word}", given[word]) for word in WORDS}
    members = given["members"] if isinstance(given["members"], dict) else {}
    law = forms(words["law"])
    _all_known(f"{where}: members", members, [form.name for form in law])
    return OwnLaw(
        **words,
        members=tuple(_member(f"{where}: {form.name}", form, members[form.name]) for form in law),
        rows=whole_of(f"{where}: rows", given["rows"]),
        shapes=whole_of(f"{where}: shapes", given["shapes"]),
        held_out_nats=number_of(f"{where}: held_out_nats", given["held_out_nats"], most=MOST_NATS, may_be_least=True),
        held_out_sd=number_of(f"{where}: held_out_sd", given["held_out_sd"], most=MOST_NATS, may_be_least=True),
        ranges={name: _range(f"{where}: {name}", given[name]) for name in RANGES},
        checked=str(given["checked"]),
    )


def _all_known(where: str, given: Mapping[str, Any], known: tuple[str, ...] | list[str]) -> None:
    for key in given:
        if key not in known:
            raise BadInput(
                f"{where}: no key called {key[:40]!r}{did_you_mean(key, known)}; known are {', '.join(known)}"
            )
    if missing := [key for key in known if key not in given]:
        raise BadInput(f"{where}: {', '.join(missing)} missing; `deepwide calibrate loss` writes them all")


def _member(where: str, form: Form, given: Any) -> Fitted:
    """One member with its constants: positive where they must be."""
    values = given if isinstance(given, dict) else {}
    _all_known(where, values, [c.name for c in form.constants])
    checked = {
        c.name: number_of(f"{where}: {c.name}", values[c.name], least=0.0 if c.positive else -LARGEST)
        for c in form.constants
    }
    return Fitted(form=form, values={RECIPE: checked})


def _range(label: str, given: Any) -> tuple[float, float]:
    wrong = BadInput(f"{label}={str(given)[:40]} must be two numbers, the lowest and the highest")
    if not isinstance(given, list) or len(given) != 2:
        raise wrong
    low, high = (number_of(label, value, most=LARGEST_SIZE) for value in given)
    if low > high:
        raise wrong
    return low, high


def write_law(path: Path, held: OwnLaw) -> None:
    """Writes a law file whole or not at all."""
    if not is_law_file(str(path)):
        raise BadInput(f"out={str(path)!r} must end in {ENDING}, by which a law is known to be a file")
    write_whole(path, written(held))


def written(held: OwnLaw) -> str:
    """The file as text. Texts are escaped as JSON does it, which TOML understands: both have basic strings."""
    words = {"law": held.law, "fitted": held.fitted, "source": held.source}
    lines = [
        f"# A law of the loss, its {held.fitted} fitted to {held.rows} losses of {held.shapes} shapes. Written by",
        "# `deepwide calibrate loss`; with --law THIS-FILE `deepwide predict loss` uses it.",
        f'kind = "{KIND}"',
        *(f"{word} = {json.dumps(text, ensure_ascii=False)}" for word, text in words.items()),
        f"checked = {held.checked}",
        f"rows = {held.rows}",
        f"shapes = {held.shapes}",
        f"held_out_nats = {held.held_out_nats:.5g}",
        f"held_out_sd = {held.held_out_sd:.5g}",
        *(f"{name} = [{held.ranges[name][0]:.6g}, {held.ranges[name][1]:.6g}]" for name in RANGES),
    ]
    for member in held.members:
        lines += ["", f'[members."{member.form.name}"]']
        lines += [f"{name} = {value:.8g}" for name, value in member.values[RECIPE].items()]
    return "\n".join([*lines, ""])
