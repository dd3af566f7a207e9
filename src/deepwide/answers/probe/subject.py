"""What a probe looks at: a MODEL with fresh weights, or a trained run or folder; and the text that it reads.

Everything is computed in fp32 by one thread, so that a number depends on the seed alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepwide.answers.train.setting import Setting, setting, with_vocab
from deepwide.answers.trained import CONFIG, Trained, folder_of, trained
from deepwide.errors import BadInput
from deepwide.lab.needs import need_lab
from deepwide.units import size

if TYPE_CHECKING:
    from deepwide.lab.data import Tokenizer
    from deepwide.lab.network import Transformer

BATCH, CONTEXT = 8, 64  # of the text that a probe reads, where nothing else is asked
MOST_STEPS = 100_000
BYTES_PER_PARAMETER = 16  # fp32: weights, gradients, and what an optimiser keeps
WEIGHTS = "*.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A model, ready to compute, with its text.

    text       the MODEL that it was built from; changes may be added behind a comma
    setting    the text as tokens, in batches
    data, tokenizer_text    how its text and its tokeniser are asked for
    trained    whether its weights are trained ones, and after how many `steps`, where that is known
    """

    name: str
    text: str
    model: Transformer
    tokenizer: Tokenizer
    setting: Setting
    trained: bool
    data: str
    tokenizer_text: str
    steps: int | None = None
    notes: tuple[str, ...] = ()


def subject(name: str, *, root: Path, data: str = "", tokenizer: str = "", seed: int = 0, **asked: Any) -> Subject:
    """The model of that name: a run, a folder with weights, or else a MODEL that is built afresh.

    `asked` are fields of a recipe: batch, context, steps.
    """
    need_lab()
    if not name.strip():
        raise BadInput("model is empty; give a MODEL such as like=llama,layers=4,hidden=128, or a run")
    folder = _trained_folder(name, root)
    if folder is None:
        return _fresh(name, root, data, tokenizer or "bytes", seed, asked)
    if tokenizer:
        raise BadInput(f"tokenizer={tokenizer!r}: {name} is trained and reads by its own tokeniser; leave it out")
    return _ready(trained(name, root), folder, root, data, seed, asked)


def built(chosen: Setting, seed: int = 0) -> Transformer:
    """The model of a setting with fresh weights."""
    from deepwide.lab.device import usual_device
    from deepwide.lab.network import build

    _refuse_what_does_not_fit(chosen)
    return build(chosen.model.described(), seed=seed, device=usual_device())


def _refuse_what_does_not_fit(one: Setting) -> None:
    """Refuses a model that this machine could not hold with its gradients, before a tensor is made."""
    import torch

    from deepwide.lab.device import memory_bytes

    parameters = int(one.model.ledger.parameters())
    there_bytes = memory_bytes(torch.device("cpu"))
    needs_bytes = BYTES_PER_PARAMETER * parameters
    if needs_bytes > there_bytes / 2:
        raise BadInput(
            f"{one.model.name} has {parameters:,} parameters, which take {size(needs_bytes)} with gradients, more than "
            f"half of this machine's {size(there_bytes)}; give a smaller MODEL"
        )


def chosen(text: str, root: Path, data: str, tokenizer: str, seed: int, asked: Mapping[str, Any]) -> Setting:
    """The setting of a MODEL on a text, with what a probe takes where nothing is asked."""
    given = {name: value for name, value in asked.items() if value is not None}
    if not 0 <= int(given.get("steps", 1)) <= MOST_STEPS:
        raise BadInput(f"steps={given['steps']} must be from 0 to {MOST_STEPS:,}; train a run for more, and probe that")
    recipe = {"batch": BATCH, "context": CONTEXT, **given, "seed": seed, "steps": max(1, int(given.get("steps", 1)))}
    return setting(text, data, tokenizer, root, recipe)


def refuse_steps(found: Subject, steps: int | None) -> int:
    """How many steps are to be taken; none of a model that is trained already, for which none may be asked."""
    if found.trained and steps:
        raise BadInput(
            f"steps={steps}: {found.name} is trained already; leave steps out, or give the MODEL it was made of"
        )
    return 0 if found.trained or not steps else steps


def tokens_of(found: Subject, text: str, most: int) -> list[int]:
    """The tokens of a text that is to be looked at whole, if the model can read so many."""
    from deepwide.answers.generate.prompt import prompt_tokens

    begins = found.tokenizer.specials.get("start")
    asked = Trained(name=found.name, model=found.model, tokenizer=found.tokenizer, before=begins)
    read = prompt_tokens(asked, text)
    context = found.setting.recipe.context if found.trained else None
    longest = min(each for each in (most, found.model.longest, context) if each)
    if not 1 < len(read) <= longest:
        raise BadInput(f"text has {len(read)} tokens; {found.name} can be shown 2 to {longest}: give another text")
    return read


def _fresh(name: str, root: Path, data: str, tokenizer: str, seed: int, asked: Mapping[str, Any]) -> Subject:
    one = chosen(name, root, data, tokenizer, seed, asked)
    return Subject(
        name=name,
        text=with_vocab(name, one.corpus.vocab),
        model=built(one, seed),
        tokenizer=one.corpus.tokenizer,
        setting=one,
        trained=False,
        data=data,
        tokenizer_text=tokenizer,
        steps=0,
        notes=one.notes,
    )


def _ready(found: Trained, folder: Path, root: Path, data: str, seed: int, asked: Mapping[str, Any]) -> Subject:
    from deepwide.lab.store import open_run
    from deepwide.lab.store.names import MANIFEST
    from deepwide.lab.training import newest

    is_run = (folder / MANIFEST).exists()
    run = open_run(folder.parent, folder.name) if is_run else None
    manifest: Mapping[str, Any] = run.manifest if run else {}
    kept, recipe = manifest.get("corpus") or {}, manifest.get("recipe") or {}
    text = str(manifest.get("model") or folder)
    own = "bytes" if found.tokenizer.name == "bytes" else str(folder / "tokenizer.json")
    told = {"context": found.context and min(found.context, CONTEXT), "objective": recipe.get("objective")}
    given = {name: value for name, value in asked.items() if value is not None and name != "steps"}
    data = data or str(kept.get("asked") or "")
    one = chosen(text, root, data, own, seed, {**told, **given})
    checkpoint = newest(run.checkpoints) if run else None
    return Subject(
        name=found.name,
        text=text,
        model=found.model,
        tokenizer=found.tokenizer,
        setting=one,
        trained=True,
        data=data,
        tokenizer_text=own,
        steps=checkpoint.checkpoint.step if checkpoint else None,
        notes=found.notes,
    )


def _trained_folder(name: str, root: Path) -> Path | None:
    """The folder of a run, or of a model with its weights; None where a MODEL is meant."""
    from deepwide.lab.store import run_names
    from deepwide.lab.store.names import MANIFEST

    if name in run_names(root):
        return root / name
    folder = folder_of(name)
    with suppress(OSError):  # one that cannot be looked into
        if folder and ((folder / MANIFEST).exists() or ((folder / CONFIG).exists() and any(folder.glob(WEIGHTS)))):
            return folder
    return None


def changed(found: Subject, text: str, root: Path, seed: int, steps: int) -> Setting:
    """The setting of another MODEL on the very text of a subject."""
    recipe = found.setting.recipe
    asked = {"batch": recipe.batch, "context": recipe.context, "objective": recipe.objective, "steps": steps}
    return chosen(text, root, found.data, found.tokenizer_text, seed, asked)
