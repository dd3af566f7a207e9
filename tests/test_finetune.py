"""`deepwide finetune`: all weights or adapters, kept as a run, gone on with after any stop, refused in one line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from deepwide.answers.finetune import finetune
from deepwide.answers.train import resume, train
from deepwide.answers.train.outcome import Moment, Started, Training
from deepwide.answers.trained import trained
from deepwide.cli.main import main
from deepwide.errors import BadInput
from deepwide.lab import machine
from deepwide.lab.adapt.lora import quiet_peft
from deepwide.lab.store import open_run, run_names

SHAPE = "layers=2,hidden=16,heads=2,ffn=24,context=16"
KERNELS = {"threads": 1, "lanes": 1, "dtype": "fp32", "matmul": "default", "attention": "bmm"}
SHORT = {"steps": 10, "batch": 2, "context": 8, "evaluate_every": 5, "sample": False}
CLOCK = ("seconds", "tokens_per_s", "mfu")
COUNTED = ("trainable_parameters", "weights_bytes", "gradients_bytes", "optimizer_bytes")
LORA = {"lora": 2, "targets": "query,value"}


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
def root(tmp_path: Path, texts: Path) -> Path:
    """A folder of runs with one that is trained, called base."""
    folder = tmp_path / "runs"
    train(f"like=llama,{SHAPE}", data=str(texts), root=folder, name="base", **SHORT, **KERNELS)
    return folder


def tuned(root: Path, texts: Path, name: str = "mine", start: str = "base", **more: object) -> Training:
    asked = {**SHORT, **KERNELS, **more}
    return finetune(start, data=str(texts), root=root, name=name, **asked)  # type: ignore[arg-type] # of several types


def rows(root: Path, name: str = "mine") -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k not in CLOCK} for row in open_run(root, name).metrics()]


def stopping(step: int) -> Callable[[Started | Moment], None]:
    """Asks for a stop when that step is told."""

    def watch(moment: Started | Moment) -> None:
        if isinstance(moment, Moment) and moment.row["step"] == step and "loss" in moment.row:
            signal.raise_signal(signal.SIGINT)

    return watch


@pytest.mark.parametrize("more", [{}, LORA], ids=["all weights", "adapters"])
def test_it_begins_where_the_other_run_ended_and_tells_what_was_counted(
    root: Path, texts: Path, more: dict[str, object]
) -> None:
    answer = tuned(root, texts, **more)
    assert "done" == answer.status
    assert open_run(root, "base").metrics()[-1]["validation_loss"] == pytest.approx(answer.start_validation_loss)
    assert answer.predicted.keys() == answer.measured.keys()
    assert [answer.predicted[name] for name in COUNTED] == [answer.measured[name] for name in COUNTED]
    assert answer.predicted["flops_per_token"] == answer.measured["flops_per_token"]
    assert answer.predicted["activations_bytes"] == pytest.approx(answer.measured["activations_bytes"], rel=0.4)
    json.dumps(answer.to_dict(), allow_nan=False)


def test_the_manifest_says_where_it_began(root: Path, texts: Path) -> None:
    tuned(root, texts, **LORA)
    kept = open_run(root, "mine").manifest
    assert ("base", {"rank": 2, "alpha": 4.0, "targets": ["query", "value"]}) == (kept["start"], kept["adapter"])
    assert open_run(root, "base").manifest["corpus"]["tokenizer"] == kept["corpus"]["tokenizer"]


def test_only_adapters_are_trained_and_kept_and_the_merged_model_is_what_was_trained(root: Path, texts: Path) -> None:
    answer = tuned(root, texts, learning_rate=0.05, **LORA)
    base, merged = trained("base", root).model, trained("mine", root).model
    changed = {
        n for (n, a), b in zip(base.named_parameters(), merged.parameters(), strict=True) if not torch.equal(a, b)
    }
    assert {name.split(".")[-2] for name in changed} == {"query", "value"}
    again = tuned(root, texts, name="next", start="mine")
    assert answer.validation_loss == pytest.approx(again.start_validation_loss, abs=1e-5)


def test_the_adapter_in_the_runs_folder_loads_by_peft_on_the_base(root: Path, texts: Path) -> None:
    answer = tuned(root, texts, learning_rate=0.05, **LORA)
    folder = Path(answer.folder) / "adapter"
    assert answer.adapter_bytes == (folder / "adapter_model.safetensors").stat().st_size
    tokens = torch.arange(12)[None]
    with quiet_peft() as peft, torch.no_grad():
        loaded = peft.PeftModel.from_pretrained(trained("base", root).model, str(folder))
        torch.testing.assert_close(loaded(tokens), trained("mine", root).model(tokens), rtol=0, atol=1e-5)


@pytest.mark.parametrize("more", [{}, LORA], ids=["all weights", "adapters"])
@pytest.mark.parametrize("step", [1, 6])
def test_stopped_and_resumed_it_is_the_run_that_was_not(
    root: Path, texts: Path, more: dict[str, object], step: int
) -> None:
    tuned(root, texts, name="whole", **more)
    assert "interrupted" == tuned(root, texts, watch=stopping(step), **more).status
    assert "done" == resume("mine", root=root, sample=False).status
    assert rows(root, "whole") == rows(root, "mine")
    first, second = (trained(name, root).model for name in ("whole", "mine"))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize("more", [{}, LORA], ids=["all weights", "adapters"])
def test_a_run_that_was_killed_before_its_first_checkpoint_begins_anew(
    root: Path, texts: Path, more: dict[str, object]
) -> None:
    tuned(root, texts, name="whole", **more)
    tuned(root, texts, watch=stopping(3), **more)
    for path in (root / "mine" / "checkpoints").iterdir():
        path.unlink()
    assert "done" == resume("mine", root=root, sample=False).status
    assert rows(root, "whole") == rows(root, "mine")


def test_adapters_refuse_a_base_that_has_changed(root: Path, texts: Path) -> None:
    tuned(root, texts, watch=stopping(3), **LORA)
    tuned(root, texts, name="other")
    for path in (root / "base" / "checkpoints").iterdir():
        path.unlink()
    newest = next((root / "other" / "checkpoints").iterdir())
    (root / "base" / "checkpoints" / newest.name).write_bytes(newest.read_bytes())
    with pytest.raises(BadInput, match="base no longer has the weights"):
        resume("mine", root=root, sample=False)


def test_pieces_of_words_stay_those_of_the_start(root: Path, texts: Path, tmp_path: Path) -> None:
    train(f"like=gpt2,{SHAPE}", data=str(texts), tokenizer="bpe:300", root=root, name="pieces", **SHORT, **KERNELS)
    other = tmp_path / "other"
    other.mkdir()
    for number in range(20):
        (other / f"{number}.md").write_text(f"quite another text {number}, " * 20)
    answer = tuned(root, other, start="pieces", watch=stopping(4), **LORA)
    assert "interrupted" == answer.status
    assert "done" == resume("mine", root=root, sample=False).status
    one, two = (trained(name, root).tokenizer for name in ("pieces", "mine"))
    assert one.encode("line 3 of many") == two.encode("line 3 of many")
    assert "bpe:300" == open_run(root, "mine").manifest["corpus"]["tokenizer"]


@pytest.mark.slow
def test_a_folder_of_hugging_faces_is_adapted_and_the_adapter_loads_in_transformers(
    root: Path, texts: Path, tmp_path: Path
) -> None:
    from transformers import LlamaForCausalLM

    from deepwide.lab.huggingface import write

    start = trained("base", root)
    write(start.model, tmp_path / "llama", start.tokenizer)
    answer = tuned(root, texts, start=str(tmp_path / "llama"), learning_rate=0.05, lora=2)
    tokens = torch.arange(12)[None]
    with quiet_peft() as peft, torch.no_grad():
        base = LlamaForCausalLM.from_pretrained(tmp_path / "llama")
        loaded = peft.PeftModel.from_pretrained(base, str(Path(answer.folder) / "adapter-huggingface"))
        expected = trained("mine", root).model(tokens)
        torch.testing.assert_close(loaded(tokens).logits, expected, rtol=0, atol=1e-5)
    assert (expected - start.model(tokens)).abs().max() > 1e-3


def test_all_weights_of_a_folder_are_trained_and_the_folder_is_not_needed_again(
    root: Path, texts: Path, tmp_path: Path
) -> None:
    from deepwide.lab.huggingface import write

    start = trained("base", root)
    write(start.model, tmp_path / "llama", start.tokenizer)
    tuned(root, texts, name="whole", start=str(tmp_path / "llama"))
    tuned(root, texts, start=str(tmp_path / "llama"), watch=stopping(6))
    (tmp_path / "llama").rename(tmp_path / "gone")
    assert "done" == resume("mine", root=root, sample=False).status
    assert rows(root, "whole") == rows(root, "mine")


BAD = [
    (("base", "--lora", "0"), "lora=0 must lie between 1 and"),
    (("base", "--lora", "2", "--targets", "qery"), "did you mean query?"),
    (("base", "--alpha", "8"), "alpha=8.0 is of adapters"),
    (("base", "--lora", "2", "--alpha", "-1"), "alpha=-1.0 must be above 0"),
    (("bose",), "no run called 'bose'"),
    (("/nowhere/at/all",), "no folder called /nowhere/at/all"),
    ((), "START is missing"),
    (("gpt2", "--context", "99"), "context=99 exceeds the 16 tokens"),
    (
        ("quantised",),
        "run quantised is quantised, and whole numbers cannot be trained; `base` is what it was made from",
    ),
    (("base", "--name", "base"), "there is a run called base"),
]


@pytest.mark.parametrize(("words", "said"), BAD, ids=[" ".join(case[0]) for case in BAD])
def test_a_bad_question_is_refused_in_one_line(
    root: Path, texts: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    train(f"like=gpt2,{SHAPE}", data=str(texts), root=root, name="gpt2", **SHORT, **KERNELS)
    (root / "quantised").mkdir()
    told = {**open_run(root, "base").manifest, "quantized": {"bits": 8}, "start": "base"}
    (root / "quantised" / "manifest.json").write_text(json.dumps(told))
    before = run_names(root)
    fixed = [text for name, value in KERNELS.items() for text in (f"--{name}", str(value))]
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main(["finetune", *words, "--steps", "4", "--batch", "2", "--data", str(texts), *fixed, "--root", str(root)])
    told_there = capsys.readouterr()
    assert (2, "", 1) == (end.value.code, told_there.out, len(told_there.err.strip().splitlines()))
    assert said in told_there.err
    assert before == run_names(root)


def test_the_command_answers_in_one_json_object_and_train_resumes_it(
    root: Path, texts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tuned(root, texts, watch=stopping(3), **LORA)
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main(["train", "--resume", "mine", "--root", str(root), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (0, "done", "base") == (end.value.code, told["status"], told["start"])
    assert LORA["lora"] == told["adapter"]["rank"]


KILLED = """
import json, os, signal, sys
from deepwide.answers.finetune import finetune

def watch(moment):
    if getattr(moment, "row", {}).get("step") == 7 and "loss" in moment.row:
        os.kill(os.getpid(), signal.SIGKILL)

told = json.loads(sys.argv[3])
finetune("base", data=sys.argv[1], root=sys.argv[2], name="mine", watch=watch, checkpoint_every_s=0.0, **told)
"""


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, LORA], ids=["all weights", "adapters"])
def test_killed_without_a_warning_it_goes_on_to_the_same_losses(
    root: Path, texts: Path, more: dict[str, object]
) -> None:
    told = {**SHORT, **KERNELS, **more}
    ended = subprocess.run([sys.executable, "-c", KILLED, str(texts), str(root), json.dumps(told)], check=False)
    assert -signal.SIGKILL == ended.returncode
    assert "done" == resume("mine", root=root, sample=False).status
    tuned(root, texts, name="whole", **more)
    assert rows(root, "whole") == rows(root, "mine")
