"""`deepwide calibrate` alone: the machine at hand becomes an accelerator called `this`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from deepwide.answers.inference import predict_inference
from deepwide.answers.training import predict_training
from deepwide.calibration.machine import serving_start, training_start
from deepwide.cli.main import main
from deepwide.errors import BadInput
from deepwide.facts.accelerators import accelerator
from deepwide.facts.device import Accelerator
from deepwide.facts.this_machine import Fit, calibrated, is_machine, machine, machine_path, write_machine

MODEL = "like=llama,layers=4,hidden=128,heads=4,vocab=256"
KERNELS = {"dtype": "fp32", "matmul": "default", "attention": "bmm", "compile": False, "threads": 1, "lanes": 2}


def device(**changes: Any) -> Accelerator:
    known: dict[str, Any] = {
        "name": "this",
        "memory_bytes": 2**34,
        "bandwidth_bytes_per_s": 1e10,
        "peak_flops_per_s": {"fp32": 2e11, "bf16": 1e11},
        "near_bytes_per_s": ((1e6, 5e10), (64e6, 1e10)),
        "source": "a test",
        "confidence": "measured",
    }
    return Accelerator(**{**known, **changes})


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    shown = capsys.readouterr()
    return int(ended.value.code or 0), shown.out, shown.err


def fits() -> tuple[Fit, Fit]:
    from dataclasses import asdict

    serving, training = serving_start(2e-6), training_start(2e-6, 4.0, fused=False, hop_s=1e-4)
    return (
        Fit(
            format="fp32",
            rows=48,
            error_share=0.05,
            spread={"decode": 1.2, "prefill": 1.2, "serving": 1.2},
            constants=asdict(serving),
        ),
        Fit(format="fp32", rows=16, error_share=0.05, spread={"step": 0.2}, constants=asdict(training)),
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEEPWIDE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def this(home: Path) -> Path:
    write_machine(machine_path(), device(), KERNELS, *fits())
    return machine_path()


def test_a_machine_that_was_not_calibrated_says_the_way_out(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, said = told(capsys, "predict", "inference", MODEL, "--on", "this")
    assert 2 == code
    assert "deepwide calibrate" in said
    assert 1 == len(said.strip().splitlines())


def test_what_is_written_is_read_again(this: Path) -> None:
    found = machine("this")
    serving, training = fits()
    assert serving.constants == pytest.approx(dict(found.inference.constants))
    assert training.constants["layer_s"] == pytest.approx(found.training.constants.layer_s)
    assert found.kernels == KERNELS
    assert found.accelerator.near_bytes_per_s == device().near_bytes_per_s


@pytest.mark.parametrize(
    "question",
    [
        ["predict", "inference", MODEL],
        ["predict", "training", MODEL, "--devices", "1"],
        ["memory", MODEL],
        ["compare", MODEL, f"{MODEL},layers=8"],
        ["design", "--parameters", "200M"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
@pytest.mark.slow
def test_every_predictor_takes_this_with_no_further_option(
    this: Path, question: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, shown, said = told(capsys, *question, "--on", "this", "--json")
    assert 0 == code, said
    assert "this" == json.loads(shown)["on"]


def test_its_usual_runtime_and_formats_are_those_that_were_measured(this: Path) -> None:
    written, trained = predict_inference(MODEL, on="this"), predict_training(MODEL, on="this", devices=1)
    assert ("this", "fp32", "fp32") == (written.runtime, written.service.weights, written.service.cache)
    assert ("this", "fp32") == (trained.runtime, trained.run.precision)
    assert written.decode_s_per_token * 1.2 == pytest.approx(written.high["decode_s_per_token"])
    assert trained.step_s * math.exp(0.2) == pytest.approx(trained.high["step_s"])


def test_the_path_of_a_profile_is_as_good_as_its_name(this: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(this.read_text())
    assert is_machine(other)
    named, given = (predict_inference(MODEL, on=on).decode_s_per_token for on in ("this", str(other)))
    assert named == pytest.approx(given)
    assert predict_training(MODEL, on=str(other), devices=1).runtime == str(other)


def test_its_runtime_is_for_itself_alone(this: Path) -> None:
    with pytest.raises(BadInput, match="calibrated on 'this' alone"):
        predict_inference(MODEL, on="h100", runtime="this")


def test_deeper_is_slower_at_equal_parameters(this: Path) -> None:
    wide = "like=llama,layers=1,hidden=256,heads=16,ffn=700,vocab=256"
    deep = "like=llama,layers=16,hidden=64,heads=4,ffn=175,vocab=256"
    assert predict_inference(wide, on="this").decode_s_per_token < predict_inference(deep, on="this").decode_s_per_token


def test_weights_that_no_cache_holds_stream_at_the_bandwidth(home: Path) -> None:
    model = "like=llama,layers=2,hidden=4096,heads=32,vocab=256"
    times = []
    for near in (device().near_bytes_per_s, ((1e6, 1e10),)):
        write_machine(machine_path(), device(near_bytes_per_s=near), KERNELS, *fits())
        times.append(predict_inference(model, on="this").decode_s_per_token)
    assert times[0] == pytest.approx(times[1])


def test_without_muon_nothing_is_made_orthogonal(this: Path) -> None:
    from deepwide.answers.models import find_model
    from deepwide.answers.train.predicted import expected
    from deepwide.lab.kernels import Kernels
    from deepwide.lab.machine import Speeds
    from deepwide.lab.training import Recipe

    speeds = Speeds(flops_per_s=2e11, bytes_per_s=1e10, call_s=1e-6)
    muon, adamw = (
        expected(find_model(MODEL), Recipe(steps=1, optimizer=name), Kernels(**KERNELS), speeds).step_s
        for name in ("muon", "adamw")
    )
    assert adamw < muon


def test_a_run_that_computes_otherwise_keeps_the_wide_range(this: Path) -> None:
    from deepwide.answers.models import find_model
    from deepwide.answers.train.predicted import SPREAD, expected
    from deepwide.lab.kernels import Kernels
    from deepwide.lab.machine import Speeds
    from deepwide.lab.training import Recipe

    speeds = Speeds(flops_per_s=2e11, bytes_per_s=1e10, call_s=1e-6)
    ways = Kernels(**KERNELS), Kernels(**{**KERNELS, "attention": "sdpa"})
    own, other = (expected(find_model(MODEL), Recipe(steps=1), way, speeds).spread for way in ways)
    assert (pytest.approx(math.exp(0.2)), SPREAD) == (own, other)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda text: text.replace("[kernels]", "[kernel]"), "no key called 'kernel'"),
        (lambda text: text.replace("launch_s = 6e-06", "launch_s = -1"), "launch_s"),
        (lambda text: text.replace("launch_s = 6e-06", "launch_s = nan"), "launch_s"),
        (lambda text: text.replace("rows = 48", "rows = 1e99"), "rows"),
        (lambda text: text.replace("lanes = 2", "lanes = 99999999"), "lanes"),
        (lambda text: text.replace('dtype = "fp32"', "dtype = [1]"), "dtype"),
        (lambda text: text.replace("[1e+06, 5e+10]", "[1e+06]"), "near_bytes_per_s"),
        (lambda text: text + "#" * 20_000, "bytes"),
        (lambda text: "[" * 5000, "not TOML"),
    ],
)
def test_a_hostile_profile_is_refused_in_one_line(this: Path, change: Any, expected: str) -> None:
    changed = change(this.read_text())
    assert changed != this.read_text()
    this.write_text(changed)
    with pytest.raises(BadInput, match=expected) as raised:
        accelerator("this")
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 1200


def test_a_failure_leaves_the_old_profile(this: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from deepwide.answers.calibrate import machine as calibrating
    from deepwide.lab import measure

    def interrupted(*given: Any) -> Any:
        raise KeyboardInterrupt

    before = this.read_bytes()
    monkeypatch.setattr(measure, "Bench", interrupted)
    with pytest.raises(KeyboardInterrupt):
        calibrating.calibrate_machine()
    assert before == this.read_bytes()


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, said = told(capsys, "calibrate", "--out", str(tmp_path / "mine.txt"))
    assert 2 == code
    assert "must end in .toml" in said


def test_more_threads_than_cores_are_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, said = told(capsys, "calibrate", "--threads", "100000")
    assert 2 == code
    assert "threads=100000" in said
    assert calibrated() is None


def test_prompts_are_read_in_pieces_of_the_size_that_the_lab_reads() -> None:
    from deepwide.facts.this_machine import CHUNK
    from deepwide.lab.generation.generating import READ_AT_ONCE

    assert READ_AT_ONCE == CHUNK
