"""How many parameters does a model have, where are they, and what does a token cost?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from deepwide.answers.answer import Answer
from deepwide.answers.limits import LONGEST_CONTEXT, whole
from deepwide.answers.models import Model, find_model
from deepwide.architecture.flops import Convention, Pass, backward_flops, context_flops, forward_flops, token_flops
from deepwide.architecture.ledger import lower
from deepwide.architecture.rows import Weight
from deepwide.errors import BadInput

PARTS = ("embedding", "position", "attention", "ffn", "router", "norm", "head", "recurrent", "other")
GROUPINGS = ("part", "role", "layer", "module")
CONVENTIONS: tuple[Convention, ...] = ("hardware", "counter")
FLOPS_CONVENTION = (
    "multiply-add = 2; every matrix a token passes, the output head included, embeddings and norms left out; "
    "attention over earlier tokens is beside it, per token of context"
)


class Row(NamedTuple):
    """One row of the ledger, with its formula where the architecture is known."""

    name: str
    part: str
    role: str
    shape: tuple[int, ...]
    repeat: int
    copies: int
    parameters: int
    active: int
    split: str
    tied: str = ""
    formula: str = ""
    numbers: str = ""
    grows: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count(Answer):
    """The parameters of a model by part, the work of a token, and every row."""

    model: str
    source: str
    total: int
    active: int
    parts: dict[str, int]
    forward_flops: int
    backward_flops: int
    attention_flops_per_context_token: int
    passes: dict[str, dict[str, int]]
    rows: tuple[Row, ...]
    by: str = "part"
    groups: dict[str, int]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values, under the keys that others rely on."""
        return {
            "model": self.model,
            "parameters": {"total": self.total, "active": self.active, **self.parts},
            "flops_per_token": {
                "forward": self.forward_flops,
                "backward": self.backward_flops,
                "attention_per_context_token": self.attention_flops_per_context_token,
                "convention": FLOPS_CONVENTION,
            },
            **({"flops": self.passes} if self.passes else {}),
            "by": {self.by: self.groups},
            "rows": [_row_dict(row) for row in self.rows],
            "source": self.source,
            "notes": list(self.notes),
        }


def count(
    model: str | Model, *, by: str = "part", explain: bool = False, context: int | None = None, **reading: Any
) -> Count:
    """Parameters and work of a model, exact to the last unit.

    `by` groups them by part, role, layer or module; `explain` adds each row's formula; `context` adds the FLOPs of a
    pass over so many tokens, by both conventions of `architecture.flops`. Other keywords are those of `find_model`.

    >>> count("llama-3-8b").total
    8030261248
    """
    if by not in GROUPINGS:
        raise BadInput(f"by={by!r} is not a grouping; choose one of {', '.join(GROUPINGS)}")
    found = find_model(model, **reading) if isinstance(model, str) else model
    ledger = found.ledger
    sums = ledger.parameters_by(lambda w: w.part)
    forward = int(token_flops(ledger))
    return Count(
        model=found.name,
        source=found.source,
        total=int(ledger.parameters()),
        active=int(ledger.active_parameters()),
        parts={part: int(sums.get(part, 0)) for part in PARTS},
        forward_flops=forward,
        backward_flops=2 * forward,
        attention_flops_per_context_token=int(context_flops(ledger)),
        passes={} if context is None else _passes(found, context),
        rows=_explained(found) if explain else tuple(_row(w) for w in ledger.weights),
        by=by,
        groups=_grouped(ledger.weights, by),
        notes=found.notes,
    )


def _passes(model: Model, context: int) -> dict[str, dict[str, int]]:
    """FLOPs of reading `context` tokens, of reading and learning from them, and of one token after them."""
    tokens = whole("context", context, 1, LONGEST_CONTEXT)
    prompt, step = Pass(tokens=tokens), Pass(tokens=1, past=tokens)
    passes: dict[str, dict[str, int]] = {}
    for convention in CONVENTIONS:
        forward = int(forward_flops(model.ledger, prompt, convention))
        backward = int(backward_flops(model.ledger, prompt, convention))
        decode = int(forward_flops(model.ledger, step, convention))
        passes[convention] = {"forward": forward, "forward_backward": forward + backward, "decode": decode}
    return passes


def _row(w: Weight) -> Row:
    return Row(
        name=w.name,
        part=w.part,
        role=w.role,
        shape=tuple(int(n) for n in w.shape),
        repeat=int(w.repeat),
        copies=int(w.copies),
        parameters=int(w.parameters),
        active=int(w.active_parameters),
        split=w.split,
        tied=w.tied,
    )


def _row_dict(row: Row) -> dict[str, Any]:
    return {name: list(v) if isinstance(v, tuple) else v for name, v in row._asdict().items() if v != ""}


def _explained(model: Model) -> tuple[Row, ...]:
    """Rows with their formulae in symbols and in numbers, and how each grows with the width and the depth."""
    if model.architecture is None or lower(model.architecture).weights != model.ledger.weights:
        return tuple(_row(w) for w in model.ledger.weights)  # rows of stored tensors follow from no formula
    from deepwide.architecture.symbols import symbolic
    from deepwide.architecture.walk import widened

    spelled = lower(symbolic(model.architecture)).weights
    wider = lower(widened(model.architecture)).weights
    return tuple(
        _row(w)._replace(
            formula=getattr(s.parameters, "text", ""),
            numbers=getattr(s.parameters, "numbers", ""),
            grows=_growth(w, d),
        )
        for w, s, d in zip(model.ledger.weights, spelled, wider, strict=True)
    )


def _growth(w: Weight, wider: Weight) -> str:
    """How a row grows: with the square of the width, with the width, or not; and with the layers."""
    ratio = wider.size / w.size if w.size else 1
    width = "hidden²" if ratio > 3 else "hidden" if ratio > 1.5 else ""
    layers = "layers" if w.repeat > 1 else ""
    return " · ".join(word for word in (width, layers) if word) or "constant"


def _grouped(weights: tuple[Weight, ...], by: str) -> dict[str, int]:
    """Parameters summed by part, role, module or layer."""
    keys: dict[str, Callable[[Weight], str]] = {
        "part": lambda w: w.part,
        "role": lambda w: w.role,
        "module": lambda w: w.name.rpartition(".")[0] or w.name,
        "layer": _layer_of,
    }
    sums: dict[str, int] = {}
    for w in weights:
        one = w.parameters if by != "layer" or w.repeat == 0 else w.parameters // w.repeat
        sums[keys[by](w)] = sums.get(keys[by](w), 0) + int(one)
    return {name: n for name, n in sums.items() if n}


def _layer_of(w: Weight) -> str:
    """The layer a row stands in, with how many there are: rows outside layers keep their own name."""
    stack = ".".join(w.name.split(".")[:-2]) if w.name.count(".") > 1 else w.name
    return f"{stack.split('.')[0]} layer (one of {w.repeat})" if w.repeat > 1 else stack
