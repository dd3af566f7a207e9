"""Constants of the computation between a config and a model: read as they are stated, written as the format has them.

A format fixes what T5 and others multiply scores and logits by. A model that was trained with another factor says the
same with other weights: its factor goes into the query matrices, and into the norm before the head.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from torch import nn

from deepwide.formats.constants import Constants
from deepwide.lab.huggingface.tables import is_tied
from deepwide.lab.network.attention import Attention
from deepwide.lab.network.numerics import Numerics
from deepwide.lab.network.transformer import Transformer


def numerics(stated: Constants) -> Numerics:
    """The constants as the network takes them."""
    return Numerics(**{f.name: getattr(stated, f.name) for f in fields(Constants)})


def stated(used: Numerics) -> Constants:
    """The constants as a config states them."""
    return Constants(**{f.name: getattr(used, f.name) for f in fields(Constants)})


def factors(model: Transformer, family: str) -> dict[str, float]:
    """What tensors are multiplied by so that the format's own factors give the same scores and logits."""
    found = dict(_of_scores(model, family))
    wanted = model.architecture.main.hidden**-0.5 if family == "t5" and is_tied(model.architecture) else 1.0
    if model.numerics.logit_scale != wanted:
        found |= dict.fromkeys(_before_head(model), float(model.numerics.logit_scale / wanted))
    return found


def _of_scores(model: Transformer, family: str) -> Iterator[tuple[str, float]]:
    for path, module in model.named_modules():
        if isinstance(module, Attention):
            wanted = 1.0 if family == "t5" else module.head_dim**-0.5
            if module.scale != wanted:
                last = "query" if module.query_norm is None else "query_norm"
                yield from ((name, module.scale / wanted) for name in _tensors(module.get_submodule(last), path, last))


def _before_head(model: Transformer) -> Iterator[str]:
    """The tensors that set the size of what the head reads: the last norm, or the matrix of BERT's transform."""
    stack = model.stack_names[-1]
    norm = getattr(model.stack(stack), "final_norm", None)
    return iter(("head.transform.weight",)) if norm is None else _tensors(norm, stack, "final_norm")


def _tensors(module: nn.Module, *path: str) -> Iterator[str]:
    return (".".join((*path, name)) for name, _ in module.named_parameters(recurse=False))
