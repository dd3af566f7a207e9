"""A model in the words of others: a trained run with its weights for Hugging Face, a shape for training engines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deepwide.answers.answer import Answer
from deepwide.answers.models import find_model
from deepwide.architecture.model import Architecture
from deepwide.architecture.parts import Positions
from deepwide.errors import BadInput, did_you_mean
from deepwide.facts.models import known
from deepwide.facts.own_files import write_whole
from deepwide.formats.constants import LLAMA_BASE, LLAMA_EPS, RotaryScaling, Said, said
from deepwide.formats.export import TARGETS, exported, known_target

HUGGINGFACE = "huggingface"
# Families whose computation is all in their shape, epsilons and rotary angles; others add what no tensor shows.
PLAIN = frozenset("llama mistral mixtral ministral qwen2 qwen3 qwen2_moe qwen3_moe gpt2 starcoder2 olmo2".split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Export(Answer):
    """What was written.

    source    "run" where weights and tokeniser went along, or "model"
    text      the config or the arguments
    files     what lies under `out` now; none where it was not asked for
    """

    model: str
    to: str
    source: str
    text: str
    out: str = ""
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values."""
        return {
            "model": self.model,
            "to": self.to,
            "source": self.source,
            "text": self.text,
            "out": self.out,
            "files": list(self.files),
            "notes": list(self.notes),
        }


def export(
    model: str, *, to: str, out: str | Path | None = None, root: str | Path | None = None, online: bool = False
) -> Export:
    """Writes a run of the lab, or the shape of a MODEL, in the form that `to` reads.

    to    huggingface: a run's weights, config and tokeniser in a new folder, or a MODEL's config.json;
          megatron: arguments of its launch; torchtitan, litgpt, nanotron: the part of a config that makes the model
    out   where to; only the text is made where it is left out

    >>> export("llama-2-7b", to="megatron").text.splitlines()[0]
    '--num-layers 32 \\\\'
    """
    from deepwide.lab.store.names import run_names

    known_target(to)
    runs = run_names(root)
    if model not in runs:
        try:
            return _written(_of_model(model, to, online), out)
        except BadInput as error:
            near = "" if known(model) or "=" in model else did_you_mean(model, runs)
            raise (BadInput(f"{error}; among the runs{near}") if near else error) from None
    answer = _of_run(model, out, root) if to == HUGGINGFACE else _written(_shape_of_run(model, to, root), out)
    both = (f"{model} is a run here, and a model of the catalogue: this is the run",) if known(model) else ()
    return replace(answer, notes=(*both, *answer.notes))


def _of_model(text: str, to: str, online: bool) -> Export:
    """The config of a MODEL, from its own where it has one."""
    found = find_model(text, online=online)
    architecture = replace(found.described(), name=found.name)
    stated = said(found.config, found.name) if found.config else Said(norm_eps=LLAMA_EPS, rotary_base=LLAMA_BASE)
    return Export(
        model=found.name,
        to=to,
        source="model",
        text=exported(architecture, to, stated, found.config),
        notes=(*found.notes, *_notes(architecture, stated, to)),
    )


def _shape_of_run(name: str, to: str, root: str | Path | None) -> Export:
    """The shape of a run, without its weights."""
    from deepwide.answers.trained import run_architecture
    from deepwide.lab.store import open_run

    manifest = open_run(root, name).manifest
    architecture, stated = replace(run_architecture(manifest), name=name), _stated(manifest)
    return Export(
        model=name,
        to=to,
        source="model",
        text=exported(architecture, to, stated),
        notes=(
            "this is the run's shape; its weights go along with --to huggingface",
            *_notes(architecture, stated, to),
        ),
    )


def _of_run(name: str, out: str | Path | None, root: str | Path | None) -> Export:
    """A run's weights, config and tokeniser, in a folder."""
    if out is None:
        raise BadInput(f"run {name} has weights, which need a place: add --out FOLDER")
    from deepwide.answers.trained import run_of, trained
    from deepwide.lab.huggingface import write

    run = run_of(name, root)
    if run is not None and run.manifest.get("quantized"):
        origin = run.manifest.get("start")
        raise BadInput(f"run {name} is quantised, which no config.json describes; export {origin}, which it was")
    found = trained(name, root)
    config = write(found.model, out, found.tokenizer)
    text = (Path(out) / TARGETS[HUGGINGFACE]).read_text("utf-8")
    untied = config["model_type"] == "t5" and not config["tie_word_embeddings"]
    said_of_t5 = "transformers 5 warns that it does not tie this T5's head and table; they are indeed two"
    return Export(
        model=name,
        to=HUGGINGFACE,
        source="run",
        text=text,
        out=str(out),
        files=tuple(sorted(file.name for file in Path(out).iterdir())),
        notes=(*found.notes, *((said_of_t5,) if untied else ())),
    )


def _stated(manifest: Mapping[str, Any]) -> Said:
    """The constants that a run computes with: those of its manifest, the lab's own otherwise."""
    table = manifest.get("numerics") or {}
    scaling = table.get("rotary_scaling")
    return Said(
        norm_eps=table.get("norm_eps", LLAMA_EPS),
        rotary_base=table.get("rotary_base", LLAMA_BASE),
        rotary_scaling=RotaryScaling(**scaling) if scaling else None,
    )


def _notes(architecture: Architecture, stated: Said, to: str) -> Iterator[str]:
    """What the shape leaves open."""
    turns = any(isinstance(part, Positions) and part.kind == "rotary" for part in architecture.embedding)
    silent = [word for word in stated.silent if turns or "rotary" not in word]
    if silent:
        whose = "those of the family's class hold" if to == HUGGINGFACE else "the engine's own hold until you set them"
        yield f"nothing here states {' or '.join(silent)}: {whose}"
    if to != HUGGINGFACE and architecture.family not in PLAIN:
        yield f"{architecture.family} may compute what no tensor shows (scales, caps, partial rotation): check for it"


def _written(answer: Export, out: str | Path | None) -> Export:
    """The answer, with its text in a file: in `out` itself, or in it under its usual name where it is a folder."""
    if out is None:
        return answer
    place, usual = Path(out), TARGETS[answer.to]
    try:
        as_folder = place.is_dir() or (answer.to == HUGGINGFACE and place.suffix != ".json")
        if as_folder and answer.to == HUGGINGFACE and place.is_dir() and any(place.iterdir()):
            raise BadInput(f"{out} is not empty; choose a new folder, or FILE.json to write the config alone")
        if as_folder:
            place.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        reason = error.strerror if isinstance(error, OSError) else error
        raise BadInput(f"{str(out)!r} cannot be written: {reason}; choose another place") from None
    file = place / usual if as_folder else place
    write_whole(file, answer.text)
    return replace(answer, out=str(out), files=(file.name,))
