"""What is asked of a training: the model, the text, the recipe; and what was left out, by stated defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepwide.answers.models import Model, find_model
from deepwide.architecture.model import Architecture
from deepwide.errors import BadInput, did_you_mean

if TYPE_CHECKING:
    from deepwide.lab.data import Corpus, Tokenizer
    from deepwide.lab.feed import Feed
    from deepwide.lab.training import Recipe

DEFAULT_MODEL = "like=llama,layers=4,hidden=128,heads=4"
DEFAULT_TOKENS = 1_000_000  # about a minute of the default model on two quiet cores
# What models of these stacks learn, the usual first. An encoder would see the next token, and copy it.
OBJECTIVES = {
    ("decoder",): ("next", "masked"),
    ("encoder",): ("masked",),
    ("encoder", "decoder"): ("sequence",),
}
DATA = ".data"  # prepared tokens lie there, beside the runs that share them


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A training with all its defaults filled in.

    data, tokenizer   as they were asked for; no tokeniser where it is that of another model
    """

    model: Model
    corpus: Corpus
    recipe: Recipe
    feed: Feed
    data: str
    tokenizer: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What had to be assumed about the model and the text."""
        return (*self.model.notes, *self.corpus.notes)


def setting(model: str, data: str, tokenizer: str, root: Path, asked: Mapping[str, Any]) -> Setting:
    """The model, the corpus and the recipe; the model's vocabulary is the tokeniser's unless it states one."""
    from deepwide.lab.data import prepare

    text = model or DEFAULT_MODEL
    objective_of(find_model(with_vocab(text, 256)).described(), asked.get("objective"))
    corpus = prepare(data, folder=root / DATA, tokenizer=tokenizer)
    found = find_model(with_vocab(text, corpus.vocab))
    if found.described().vocab < corpus.vocab:
        raise BadInput(
            f"vocab={found.described().vocab} is less than the {corpus.vocab} tokens of tokenizer={tokenizer!r}; leave "
            f"vocab out, or give vocab={corpus.vocab}"
        )
    return _setting(found, corpus, data, tokenizer, asked)


def setting_of(found: Model, data: str, tokenizer: Tokenizer, root: Path, asked: Mapping[str, Any]) -> Setting:
    """The corpus and the recipe for a model that there is, and for its own tokeniser."""
    from deepwide.lab.data import prepare

    objective_of(found.described(), asked.get("objective"))
    named = "bytes" if tokenizer.name == "bytes" else tokenizer
    return _setting(found, prepare(data, folder=root / DATA, tokenizer=named), data, "", asked)


def _setting(found: Model, corpus: Corpus, data: str, tokenizer: str, asked: Mapping[str, Any]) -> Setting:
    objective = objective_of(found.described(), asked.get("objective"))
    recipe = _recipe({**asked, "objective": objective}, corpus)
    fed = _tried(corpus, recipe)
    return Setting(model=found, corpus=corpus, recipe=recipe, feed=fed, data=data, tokenizer=tokenizer)


def with_vocab(text: str, vocab: int) -> str:
    """The model's text with a vocabulary, where it states none: `gpt2` is trained on the tokens there are."""
    words = text.replace(" ", "")
    return text if "vocab=" in words or words.startswith(("linear=", "embedding=")) else f"{text},vocab={vocab}"


def objective_of(architecture: Architecture, asked: str | None = None) -> str:
    """What a model of these stacks learns: the next token, hidden tokens, or a sequence from another."""
    stacks = tuple(stack.name for stack in architecture.stacks)
    if stacks not in OBJECTIVES:
        raise BadInput(f"stacks {', '.join(stacks)} cannot be trained; the lab trains encoders and decoders of text")
    known = OBJECTIVES[stacks]
    if asked and asked not in known:
        near = did_you_mean(asked, known)
        raise BadInput(
            f"objective={asked!r} is not for a model of {' and '.join(stacks)}{near}; give {' or '.join(known)}"
        )
    return asked or known[0]


def _tried(corpus: Corpus, recipe: Recipe) -> Feed:
    """The batches; the first are read, so that a text too short for the recipe is refused before there is a run."""
    from deepwide.lab.feed import feed

    fed = feed(corpus, recipe)
    fed.batches(0)
    next(iter(fed.validation()))
    return fed


def _recipe(asked: Mapping[str, Any], corpus: Corpus) -> Recipe:
    from deepwide.lab.feed import pair_context
    from deepwide.lab.training import recipe_from_dict

    given = {name: value for name, value in asked.items() if value is not None}
    if given.get("steps") is None and given.get("tokens") is None:
        given["tokens"] = DEFAULT_TOKENS
    if corpus.kind == "pairs":
        given["context"] = pair_context(corpus)
    return recipe_from_dict(given)
