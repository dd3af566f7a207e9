"""Which rows of a ledger are quantised, and the bytes of the file that this makes, as a fold over the rows.

The rule is that of `memory --weights`: the matrices inside layers, those of experts too. Embeddings, positions, norms,
biases and routers stay in 16 bits, and so does the head unless it is asked for; a tied head is the embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from deepwide.architecture.ledger import Ledger
from deepwide.architecture.rows import Weight
from deepwide.cost.precision import Precision, precision, quantised, stored_bytes
from deepwide.errors import BadInput, did_you_mean

KEEP = ("head", "embedding")  # what stays in 16 bits unless something else is asked for
NONE = "none"
GROUPS = (128, 64, 32)  # the largest that divides all rows is taken where none is asked for


def kept_words(keep: str, ledger: Ledger) -> tuple[str, ...]:
    """What is to stay: "head", "embedding", roles of matrices such as "down", or "none"."""
    words = tuple(word.strip() for word in keep.split(",") if word.strip())
    known = (NONE, *KEEP, *dict.fromkeys(_role(w) for w in ledger.weights if quantised(w)))
    for word in words:
        if word not in known:
            raise BadInput(f"keep={word!r} names nothing here{did_you_mean(word, known)}; known: {', '.join(known)}")
    return tuple(word for word in words if word != NONE)


def chosen_by(keep: Collection[str]) -> Callable[[Weight], bool]:
    """Whether a row is quantised."""

    def chosen(w: Weight) -> bool:
        if w.part == "head":
            return w.role == "output" and len(w.shape) == 2 and not w.tied and "head" not in keep
        return quantised(w) and _role(w) not in keep

    return chosen


def group_for(to: str, group: int | None, rows: Collection[Weight]) -> int:
    """The group that was asked for, if it divides the inputs of all these rows; the largest that does otherwise."""
    if to == "int8":
        return group or 0
    if not rows:
        raise BadInput("keep names every matrix: nothing is left to be quantised; name fewer")
    odd = {each: next((w for w in rows if int(w.shape[0]) % each), None) for each in GROUPS}
    found = next((each for each in GROUPS if odd[each] is None), None)
    asked = group or found
    if asked is None or odd.get(asked) is not None:
        w = odd[asked or GROUPS[-1]]
        assert w is not None
        way = f"give group={found}" if found else f"add --keep {','.join((*KEEP, _role(w)))}, or take int8"
        raise BadInput(f"group={asked or GROUPS[-1]} does not divide the {w.shape[0]} inputs of {w.name}; {way}")
    return asked


def way_of(to: str, group: int) -> Precision:
    """The precision, with its group."""
    found = precision(to)
    assert isinstance(found, Precision)
    return found if to == "int8" else replace(found, group=group)


def file_bytes(ledger: Ledger, how: Precision, chosen: Callable[[Weight], bool]) -> int:
    """Bytes of all tensors: codes, scales and zero points of the chosen rows, 16 bits for each other weight."""
    return int(sum(stored_bytes(w, how, chosen) for w in ledger.weights))


def _role(w: Weight) -> str:
    return w.role.removeprefix("expert_").removeprefix("shared_")
