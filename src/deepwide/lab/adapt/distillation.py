"""Distillation: a student learns the text, and what a teacher makes of it (Hinton et al. 2015, arXiv:1503.02531).

    loss = w T² KL(teacher ‖ student, both at temperature T) + (1 - w) cross entropy + h mean((P s - t)²)

The factor T² keeps the gradients of the soft part as large as those of the hard one, whatever the temperature. s and t
are the vectors that the two heads read, P a matrix that is trained beside the student and is no part of it.

Shapes: B batch, T tokens, N tokens that count, D hidden of the student, E hidden of the teacher, V vocabulary.
"""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from deepwide.errors import BadInput
from deepwide.lab.network import Transformer
from deepwide.lab.network.layers import Linear
from deepwide.lab.training.objective import IGNORED, Batch


class Distillation(nn.Module):
    """The loss. Of its own it trains the projection, where hidden states are matched; the teacher stays as it is."""

    def __init__(
        self, student: Transformer, teacher: Transformer, *, temperature: float, weight: float, hidden: float, seed: int
    ) -> None:
        super().__init__()
        refuse_other_kind(student, teacher)
        self.temperature, self.weight, self.hidden = temperature, weight, hidden
        self.models = (teacher.eval().requires_grad_(False),)  # in a tuple, so that it is no part of this module
        self.seen = threading.local()  # lanes compute side by side
        self.projection: Linear | None = None
        if hidden:
            own, other = int(student.architecture.main.hidden), int(teacher.architecture.main.hidden)
            self.projection = Linear(own, other).to(next(student.parameters()).device)
            drawn = torch.Generator().manual_seed(seed)
            first = torch.randn(other, own, generator=drawn) * own**-0.5
            self.projection.weight.data.copy_(first)
            for model in (student, teacher):
                model.head.register_forward_pre_hook(self._note)

    @property
    def teacher(self) -> Transformer:
        """Who is learned from."""
        return self.models[0]

    def _note(self, head: nn.Module, given: tuple[Tensor, ...]) -> None:
        self.seen.vectors = given[0]

    def forward(self, student: nn.Module, batch: Batch) -> Tensor:
        """The loss in nats, summed over the targets that count."""
        given = read_by(batch)
        with torch.no_grad():
            soft_BTV = self.teacher(batch.tokens, **given)
            wanted_BTE = self._vectors()
        scores_BTV = student(batch.tokens, **given)
        counted_BT = batch.targets != IGNORED
        scores_NV, soft_NV = scores_BTV[counted_BT], soft_BTV[counted_BT]
        loss = (1 - self.weight) * functional.cross_entropy(scores_NV, batch.targets[counted_BT], reduction="sum")
        if self.weight:
            loss = loss + self.weight * self._soft(scores_NV, soft_NV)
        if self.projection is not None and wanted_BTE is not None:
            projected = self.projection(self._vectors())[counted_BT]
            loss = loss + self.hidden * (projected.float() - wanted_BTE[counted_BT].float()).square().mean(-1).sum()
        return loss

    def _soft(self, scores_NV: Tensor, soft_NV: Tensor) -> Tensor:
        """T² KL(teacher ‖ student), summed over tokens."""
        T = self.temperature
        own, other = functional.log_softmax(scores_NV / T, -1), functional.log_softmax(soft_NV / T, -1)
        return T * T * functional.kl_div(own, other, reduction="sum", log_target=True)

    def _vectors(self) -> Any:
        """What the head of the model that ran last in this thread read."""
        return self.seen.vectors if self.projection is not None else None


def read_by(batch: Batch) -> dict[str, Tensor]:
    """What a model reads of a batch beside its tokens."""
    given = {"kept_BT": batch.kept, "sources_BS": batch.sources, "source_kept_BS": batch.source_kept}
    return {name: x for name, x in given.items() if x is not None}


def refuse_other_kind(student: Transformer, teacher: Transformer) -> None:
    """Refuses a teacher whose scores do not stand for the same tokens at the same places."""
    own, other = student.architecture, teacher.architecture
    if own.vocab != other.vocab:
        raise BadInput(
            f"the teacher has vocab={other.vocab}, the student {own.vocab}: leave vocab out, and it is the teacher's"
        )
    if student.stack_names != teacher.stack_names:
        raise BadInput(
            f"the teacher is {' and '.join(teacher.stack_names)}, the student {' and '.join(student.stack_names)}; "
            "both have to be of one kind"
        )
