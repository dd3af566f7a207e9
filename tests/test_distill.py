"""`deepwide distill`: a student of another shape learns from a run, is gone on with, and refused in one line."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from deepwide.answers.distill import distill
from deepwide.answers.train import resume, train
from deepwide.answers.train.outcome import Moment, Started, Training
from deepwide.answers.trained import trained
from deepwide.cli.main import main
from deepwide.errors import BadInput
from deepwide.lab import machine
from deepwide.lab.store import open_run, run_names

TEACHER = "like={},layers=2,hidden=24,heads=2,ffn=24,context=16"
STUDENT = "like={},layers=1,hidden=16,heads=2,ffn=24,context=16"
KERNELS = {"threads": 1, "lanes": 1, "dtype": "fp32", "matmul": "default", "attention": "bmm"}
SHORT = {"steps": 10, "batch": 2, "context": 8, "evaluate_every": 5, "sample": False}
CLOCK = ("seconds", "tokens_per_s", "mfu")
EXACT = ("trainable_parameters", "weights_bytes", "gradients_bytes", "optimizer_bytes", "flops_per_token")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    for number in range(20):
        (folder / f"{number}.txt").write_text("".join(f"{number}: line {line} of many\n" for line in range(30)))
    return folder


@pytest.fixture(autouse=True)
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "TRIES_S", 0.0)
    monkeypatch.setattr(machine, "MOVED_BYTES", 2**16)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def teach(root: Path, texts: Path, like: str = "llama", name: str = "teacher", **more: object) -> None:
    asked = {**SHORT, **KERNELS, **more}
    train(TEACHER.format(like), data=str(texts), root=root, name=name, **asked)  # type: ignore[arg-type] # of several types


def taught(
    root: Path, texts: Path, like: str = "llama", name: str = "mine", model: str = "", **more: object
) -> Training:
    asked = {**SHORT, **KERNELS, **more}
    return distill("teacher", model or STUDENT.format(like), data=str(texts), root=root, name=name, **asked)  # type: ignore[arg-type] # of several types


def rows(root: Path, name: str = "mine") -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k not in CLOCK} for row in open_run(root, name).metrics()]


def stopping(step: int) -> Callable[[Started | Moment], None]:
    """Asks for a stop when that step is told."""

    def watch(moment: Started | Moment) -> None:
        if isinstance(moment, Moment) and moment.row["step"] == step and "loss" in moment.row:
            signal.raise_signal(signal.SIGINT)

    return watch


@pytest.mark.parametrize("like", ["llama", "bert", "t5"])
@pytest.mark.parametrize("hidden", [0.0, 1.0])
def test_what_a_step_holds_and_computes_is_what_was_counted(root: Path, texts: Path, like: str, hidden: float) -> None:
    teach(root, texts, like)
    answer = taught(root, texts, like, hidden=hidden)
    assert answer.predicted.keys() == answer.measured.keys()
    assert {name: answer.predicted[name] for name in EXACT} == {name: answer.measured[name] for name in EXACT}
    assert answer.predicted["activations_bytes"] == pytest.approx(answer.measured["activations_bytes"], rel=0.4)
    assert "teacher" == open_run(root, "mine").manifest["teacher"]["name"]


def test_the_projection_is_trained_and_is_no_part_of_the_student(root: Path, texts: Path) -> None:
    teach(root, texts)
    with_it = taught(root, texts, hidden=1.0)
    without = taught(root, texts, name="plain")
    assert with_it.measured["trainable_parameters"] == without.measured["trainable_parameters"] + 16 * 24
    assert with_it.parameters == sum(tensor.numel() for tensor in trained("mine", root).model.parameters())


def test_a_teachers_whole_weight_changes_what_is_learned_and_none_changes_nothing(root: Path, texts: Path) -> None:
    teach(root, texts)
    train(STUDENT.format("llama"), data=str(texts), root=root, name="alone", **SHORT, **KERNELS)  # type: ignore[arg-type] # of several types
    taught(root, texts, name="deaf", weight=0.0)
    taught(root, texts, name="all ears".replace(" ", "-"), weight=1.0)
    ends = {name: rows(root, name)[-1]["validation_loss"] for name in ("alone", "deaf", "all-ears")}
    assert ends["alone"] == pytest.approx(ends["deaf"], abs=1e-5)
    assert ends["alone"] != pytest.approx(ends["all-ears"], abs=1e-5)


@pytest.mark.parametrize("hidden", [0.0, 1.0])
def test_stopped_and_resumed_it_is_the_run_that_was_not(root: Path, texts: Path, hidden: float) -> None:
    teach(root, texts)
    taught(root, texts, name="whole", hidden=hidden)
    assert "interrupted" == taught(root, texts, hidden=hidden, watch=stopping(6)).status
    assert "done" == resume("mine", root=root, sample=False).status
    assert rows(root, "whole") == rows(root, "mine")
    first, second = (trained(name, root).model for name in ("whole", "mine"))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_a_run_may_be_the_student_and_goes_on_with_its_weights(root: Path, texts: Path) -> None:
    teach(root, texts)
    train(STUDENT.format("llama"), data=str(texts), root=root, name="student", **SHORT, **KERNELS)  # type: ignore[arg-type] # of several types
    answer = taught(root, texts, model="student")
    assert rows(root, "student")[-1]["validation_loss"] == pytest.approx(answer.start_validation_loss)
    assert ("student", "teacher") == (answer.start, (answer.teacher or {})["name"])


def test_a_teacher_that_has_changed_is_refused_where_the_run_is_resumed(root: Path, texts: Path) -> None:
    teach(root, texts)
    taught(root, texts, watch=stopping(6))
    teach(root, texts, name="other", seed=1)
    kept = root / "teacher" / "checkpoints"
    for path in kept.iterdir():
        path.write_bytes((root / "other" / "checkpoints" / path.name).read_bytes())
    with pytest.raises(BadInput, match="teacher no longer has the weights"):
        resume("mine", root=root, sample=False)


BAD = [
    (("teacher", STUDENT.format("llama") + ",vocab=300"), "the teacher has vocab=256, the student 300"),
    (("teacher", STUDENT.format("bert")), "the teacher is decoder, the student encoder"),
    (("teacher", "pieces"), "tokenizer='bpe:300' of pieces is not 'bytes' of the teacher teacher"),
    (("teacher", "--weight", "2"), "weight=2.0 must be a number from 0 to 1"),
    (("teacher", "--temperature", "0"), "temperature=0.0 must be a number from 0.01"),
    (("teacher", "--hidden", "-1"), "hidden=-1.0 must be a number from 0"),
    (("teacher", "--hidden", "nan"), "hidden=nan must be a number from 0"),
    (("teecher",), "no run called 'teecher'"),
    ((), "TEACHER is missing"),
]


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory, texts: Path) -> Path:
    folder = tmp_path_factory.mktemp("school")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "TRIES_S", 0.0)
        teach(folder, texts)
        teach(folder, texts, name="pieces", tokenizer="bpe:300")
    return folder


@pytest.mark.parametrize(("words", "said"), BAD, ids=[" ".join(case[0]) for case in BAD])
def test_a_bad_question_is_refused_in_one_line(
    school: Path, texts: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    fixed = [text for name, value in KERNELS.items() for text in (f"--{name}", str(value))]
    more = ("--steps", "4", "--batch", "2", "--context", "8", "--data", str(texts), *fixed, "--root", str(school))
    with pytest.raises(SystemExit) as end:
        main(["distill", *words, *more])
    told = capsys.readouterr()
    assert (2, "", 1) == (end.value.code, told.out, len(told.err.strip().splitlines()))
    assert said in told.err
    assert ["pieces", "teacher"] == sorted(run_names(school))


def test_the_command_answers_in_one_json_object(school: Path, texts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fixed = [text for name, value in KERNELS.items() for text in (f"--{name}", str(value))]
    more = ("--steps", "4", "--batch", "2", "--context", "8", "--data", str(texts), *fixed, "--root", str(school))
    with pytest.raises(SystemExit) as end:
        main(["distill", "teacher", STUDENT.format("llama"), "--name", "json", "--json", *more])
    told = json.loads(capsys.readouterr().out)
    assert (0, "done", 1.0) == (end.value.code, told["status"], told["teacher"]["temperature"])
