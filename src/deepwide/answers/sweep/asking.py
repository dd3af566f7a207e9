"""From what is asked of a sweep to its plan: the text, the shapes, one way to compute for all; kept in sweep.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from deepwide.answers.models import find_model
from deepwide.answers.places import printable
from deepwide.answers.sweep.plan import Plan, plan_from_dict
from deepwide.answers.sweep.shapes import (
    NATURAL_RATIO,
    Shape,
    Size,
    shapes_of_layers,
    shapes_of_models,
    shapes_of_ratios,
)
from deepwide.answers.train.setting import DATA
from deepwide.errors import BadInput, did_you_mean
from deepwide.lab.store.files import json_bytes, json_table, replace_whole, written
from deepwide.lab.store.names import safe_name

FILE = "sweep.json"
DEFAULT_LAYERS = (1, 2, 4, 8, 16, 32)
RATIO_LAYERS = (4,)
MOST_SHAPES, MOST_SEEDS = 99, 99
CHOSEN = ("dtype", "matmul", "attention", "compile")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A sweep as it is asked: shapes at equal size over layers or over FFN ratios, or models as they are.

    parameters, flops_per_token    the size: parameters of the body, or training FLOPs per token; one of the two
    layers, ffn_ratios             several of one and one of the other
    bracket_tokens                 of each short run for the learning rate; 0 brackets nothing
    kernels                        what is not to be chosen by a trial: dtype, matmul, attention, compile
    """

    models: tuple[str, ...] = ()
    parameters: int | None = None
    flops_per_token: float | None = None
    layers: tuple[int, ...] = ()
    ffn_ratios: tuple[float, ...] = ()
    head_dim: int = 16
    family: str = "llama"
    seeds: int = 4
    tokens: int = 1_000_000
    bracket_tokens: int = 150_000
    batch: int = 16
    context: int = 128
    optimizer: str = "adamw"
    learning_rate: float | None = None
    data: str = ""
    tokenizer: str = "bytes"
    kernels: Mapping[str, Any]

    def __post_init__(self) -> None:
        for name, most in (("seeds", MOST_SEEDS), ("tokens", 10**15), ("head_dim", 2**16)):
            if not 1 <= getattr(self, name) <= most:
                raise BadInput(f"{name}={getattr(self, name)} must be from 1 to {most}")
        if not 0 <= self.bracket_tokens < self.tokens:
            raise BadInput(f"bracket_tokens={self.bracket_tokens} must be from 0 to below tokens={self.tokens}")
        if self.models and (self.parameters or self.flops_per_token or self.layers or self.ffn_ratios):
            raise BadInput("models are taken as they are; leave parameters, flops_per_token, layers, ffn_ratios out")
        if len(self.layers) > 1 and len(self.ffn_ratios) > 1:
            raise BadInput("layers and ffn_ratios: vary one of the two, and give one value of the other")
        if max(len(self.models), len(self.layers), len(self.ffn_ratios)) > MOST_SHAPES:
            raise BadInput(f"over {MOST_SHAPES} shapes; ask for fewer")


def plan_of(asked: Asked, folder: Path) -> Plan:
    """The plan of a sweep; its text is prepared in the folder, and the way to compute is tried on the middle shape."""
    from deepwide.lab.data import prepare
    from deepwide.lab.training import recipe_from_dict

    recipe = {"batch": asked.batch, "context": asked.context, "optimizer": asked.optimizer}
    base = recipe_from_dict({**recipe, "tokens": asked.tokens, "learning_rate": asked.learning_rate}).base_rate
    _shapes(asked, 256)  # what is wrong with them is told before a text is prepared
    corpus = prepare(asked.data, folder=folder / DATA, tokenizer=asked.tokenizer)
    if corpus.kind != "text":
        raise BadInput(f"data={asked.data!r} is no running text, which a sweep's shapes are compared on")
    shapes = _shapes(asked, corpus.vocab)
    return Plan(
        shapes=shapes,
        seeds=asked.seeds,
        tokens=asked.tokens,
        bracket_tokens=asked.bracket_tokens,
        base_rate=base,
        recipe=recipe,
        data=asked.data,
        tokenizer=asked.tokenizer,
        kernels=_kernels(shapes[len(shapes) // 2], asked),
        equal="flops_per_token" if asked.flops_per_token else "" if asked.models else "parameters",
        bytes_per_token=1 / corpus.nats_per_byte(1.0),
        corpus={"source": corpus.source, "sha256": corpus.sha256, "vocab": corpus.vocab, "tokens": len(corpus.train)},
    )


def _shapes(asked: Asked, vocab: int) -> tuple[Shape, ...]:
    if asked.models:
        return shapes_of_models(asked.models, asked.context, vocab)
    size = Size(parameters=asked.parameters, flops_per_token=asked.flops_per_token, context=asked.context)
    how: dict[str, Any] = {"head_dim": asked.head_dim, "family": asked.family, "vocab": vocab}
    if len(asked.ffn_ratios) > 1:
        return shapes_of_ratios(size, asked.ffn_ratios, layers=(asked.layers or RATIO_LAYERS)[0], **how)
    ratio = asked.ffn_ratios[0] if asked.ffn_ratios else NATURAL_RATIO
    return shapes_of_layers(size, asked.layers or DEFAULT_LAYERS, ratio=ratio, **how)


def _kernels(shape: Shape, asked: Asked) -> dict[str, Any]:
    """One way to compute for all trials, of one thread each: the quickest for this shape."""
    from deepwide.lab.kernels import probed
    from deepwide.lab.network import build

    for name in asked.kernels:
        if name not in CHOSEN:
            raise BadInput(f"sweep has no option {name!r}{did_you_mean(name, CHOSEN)}; it takes {', '.join(CHOSEN)}")
    model = build(find_model(shape.model).described(), seed=0)
    steps = asked.tokens // (asked.batch * asked.context)
    return probed(model, asked.batch, asked.context, steps, **asked.kernels, threads=1, lanes=1).to_dict()


def new_folder(root: Path, name: str) -> Path:
    """Where the trials of a new sweep are kept."""
    folder = root / safe_name(name or _free(root))
    if (folder / FILE).exists():
        raise BadInput(f"there is a sweep called {printable(name)} already; resume it, or choose another name")
    return folder


def _free(root: Path) -> str:
    return next(name for n in range(1, 10_000) if not (root / (name := f"sweep-{n:04d}")).exists())


def keep(plan: Plan, folder: Path) -> None:
    """Writes down what was asked, whole or not at all."""
    with written(folder):
        folder.mkdir(parents=True, exist_ok=True)
        replace_whole(folder / FILE, json_bytes(plan.to_dict()))


def kept(root: Path, name: str) -> tuple[Plan, Path]:
    """A sweep that was begun, and its folder."""
    folder = root / safe_name(name)
    if not (folder / FILE).exists():
        known = [path.parent.name for path in root.glob(f"*/{FILE}")]
        raise BadInput(f"no sweep called {name!r} in {printable(str(root))}{did_you_mean(name, known)}")
    try:
        return plan_from_dict(json_table(folder / FILE)), folder
    except (KeyError, TypeError) as error:
        raise BadInput(f"{name}/{FILE} cannot be read ({error}); it is of another version") from None


def asked_from(models: tuple[str, ...], given: Mapping[str, Any], kernels: Mapping[str, Any]) -> Asked:
    """What is asked, by name; a name that is none gets the nearest."""
    known = [f.name for f in fields(Asked) if f.name not in ("models", "kernels")]
    for name in given:
        if name not in known:
            raise BadInput(f"sweep has no option {name!r}{did_you_mean(name, known)}; known: {', '.join(known)}")
    return Asked(models=models, kernels=kernels, **given)
