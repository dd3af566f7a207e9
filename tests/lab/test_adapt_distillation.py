"""The loss of a student: its formula, who gets gradients, and what is kept beside it."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from deepwide.answers.models import find_model
from deepwide.errors import BadInput
from deepwide.lab.adapt import Distillation
from deepwide.lab.lanes import Lanes
from deepwide.lab.network import Transformer, build
from deepwide.lab.training import Alone, Batch, Learner, Recipe
from deepwide.lab.training.objective import IGNORED, summed_loss


def model(hidden: int, vocab: int = 32, like: str = "llama") -> Transformer:
    text = f"like={like},layers=2,hidden={hidden},heads=2,ffn=24,vocab={vocab},context=16"
    return build(find_model(text).described(), seed=hidden)


def batch() -> Batch:
    tokens = torch.arange(40).view(4, 10) % 32
    targets = (tokens + 1) % 32
    targets[0, :3] = IGNORED
    return Batch(tokens=tokens, targets=targets)


def loss(student: Transformer, teacher: Transformer, **told: float) -> Distillation:
    return Distillation(student, teacher, **{"temperature": 2.0, "weight": 0.5, "hidden": 0.0, **told}, seed=0)  # type: ignore[arg-type] # the seed is no float


def test_without_a_weight_it_is_the_cross_entropy() -> None:
    student = model(16)
    assert summed_loss(student, batch()).item() == pytest.approx(
        loss(student, model(24), weight=0)(student, batch()).item()
    )


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_soft_part_is_the_divergence_at_a_temperature_times_its_square(temperature: float) -> None:
    student, teacher, given = model(16), model(24), batch()
    counted = given.targets != IGNORED
    own, other = (functional.softmax(m(given.tokens)[counted] / temperature, -1) for m in (student, teacher))
    expected = temperature**2 * (other * (other / own).log()).sum().item()
    found = loss(student, teacher, weight=1, temperature=temperature)(student, given).item()
    assert expected == pytest.approx(found, rel=1e-4)


def test_a_student_that_is_its_teacher_has_nothing_to_learn_from_it() -> None:
    assert 0 == pytest.approx(loss(model(16), model(16), weight=1)(model(16), batch()).item(), abs=1e-5)


def test_matched_vectors_cost_their_squared_distance() -> None:
    student, teacher, given = model(16), model(24), batch()
    taught = loss(student, teacher, weight=0, hidden=2)
    vectors = []
    for each in (student, teacher):
        hook = each.head.register_forward_pre_hook(lambda _, args: vectors.append(args[0]))
        each(given.tokens)
        hook.remove()
    assert taught.projection is not None
    apart = (vectors[0] @ taught.projection.weight.T - vectors[1]).square().mean(-1)[given.targets != IGNORED].sum()
    assert taught(student, given).item() == pytest.approx((summed_loss(student, given) + 2 * apart).item(), rel=1e-5)


def test_the_teacher_gets_no_gradients_and_the_projection_does() -> None:
    student, teacher = model(16), model(24)
    taught = loss(student, teacher, hidden=1)
    before = [tensor.clone() for tensor in teacher.parameters()]
    learner = Learner(model=student, loss=taught, beside=taught, frozen=(teacher,))
    worker = Alone(learner, Recipe(steps=2, batch=4, context=10))
    worker.gradients(batch())
    worker.step(1.0)
    weights, states = worker.tensors()
    assert "beside.projection.weight" in states
    assert not any("projection" in name for name in weights)
    assert all(torch.equal(a, b) for a, b in zip(before, teacher.parameters(), strict=True))
    assert all(tensor.grad is None for tensor in teacher.parameters())
    assert sum(p.numel() for p in student.parameters()) + 16 * 24 == sum(p.numel() for p in worker.optimizer.parameters)


def test_lanes_give_the_gradients_of_one() -> None:
    found = []
    for lanes in (None, Lanes(2, 1)):
        student, teacher = model(16), model(24)
        taught = loss(student, teacher, hidden=1)
        worker = Alone(Learner(model=student, loss=taught, beside=taught), Recipe(steps=1, batch=4, context=10), lanes)
        value, _ = worker.gradients(batch())
        found.append([value, *(p.grad for p in worker.optimizer.parameters)])
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("teacher", "said"), [(("llama", 40), "the teacher has vocab=40"), (("bert", 32), "both have to be of one kind")]
)
def test_a_teacher_of_another_kind_is_refused(teacher: tuple[str, int], said: str) -> None:
    like, vocab = teacher
    with pytest.raises(BadInput, match=said):
        loss(model(16), model(24, vocab=vocab, like=like))
