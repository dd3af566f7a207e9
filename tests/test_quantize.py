"""A quantised run: its bytes are those that were predicted, it is whole, and it writes."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from deepwide.answers.export import export
from deepwide.answers.generate import generate
from deepwide.answers.models import find_model
from deepwide.answers.quantize import quantize
from deepwide.answers.train import train
from deepwide.answers.trained import trained
from deepwide.cli.quantize import command
from deepwide.cost.memory import weights_bytes
from deepwide.cost.precision import precision
from deepwide.errors import BadInput
from deepwide.lab.compress.layers import Packed

FAMILIES = {
    "llama": "like=llama,layers=2,hidden=128,heads=4,kv_heads=2,ffn=128",
    "gpt2": "like=gpt2,layers=1,hidden=64,heads=2,context=64",
    "bert": "like=bert,layers=1,hidden=64,heads=2",
    "t5": "like=t5,layers=1,hidden=64,heads=2",
    "mixtral": "like=mixtral,layers=1,hidden=64,heads=2,experts=4,active_experts=2,ffn=128",
    "odd": "like=llama,layers=1,hidden=64,heads=2,ffn=40",
}
QUICK = {"steps": 2, "batch": 2, "context": 32, "threads": 1, "lanes": 1, "dtype": "fp32", "matmul": "default"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    text = root / "text"
    text.mkdir()
    for number in range(20):
        (text / f"{number}.txt").write_text("to be or not to be, that is the question. " * 60)
    for name, model in FAMILIES.items():
        train(model, data=str(text), root=root, name=name, sample=False, attention="sdpa", optimizer="adamw", **QUICK)
    return root


@pytest.mark.parametrize("to", ["int8", "int4"])
@pytest.mark.parametrize("name", ["llama", "gpt2", "bert", "t5", "mixtral"])
def test_the_file_has_the_bytes_that_were_predicted(runs, name, to):
    answer = quantize(name, to=to, root=runs)
    assert answer.tensor_bytes == answer.predicted_bytes
    assert abs(answer.cost) < 0.1


def test_nf4_has_the_bytes_that_were_predicted(runs):
    pytest.importorskip("bitsandbytes")
    answer = quantize("llama", to="nf4", root=runs)
    assert answer.tensor_bytes == answer.predicted_bytes
    assert "no kernel" in answer.notes[-1]


@pytest.mark.parametrize(("to", "group"), [("int8", None), ("int4", 128)])
def test_memory_counts_the_same_bytes(runs, to, group):
    answer = quantize("llama", to=to, group=group, root=runs)
    ledger = find_model(f"{FAMILIES['llama']},vocab=256").ledger
    assert weights_bytes(ledger, precision(to)) == answer.tensor_bytes


def test_a_quantised_run_comes_back_packed_and_writes(runs):
    answer = quantize("llama", to="int4", name="packed", root=runs)
    assert any(isinstance(module, Packed) for module in trained("packed", runs).model.modules())
    assert generate("packed", "to be", tokens=4, root=runs).tokens == 4
    assert answer.before.stored_bytes > 4 * answer.tensor_bytes


def test_the_head_is_packed_where_nothing_is_kept(runs):
    assert "head.output" in quantize("llama", to="int8", keep="none", root=runs).rows


@pytest.mark.parametrize(
    ("name", "asked", "words"),
    [
        ("llama", {"to": "int5"}, "int5"),
        ("llama", {"to": "int8", "group": 64}, "leave it out"),
        ("llama", {"to": "int4", "group": 48}, "32, 64, 128"),
        ("odd", {"to": "int4"}, "decoder.ffn.down"),
        ("gpt2", {"to": "int4", "group": 128}, "give group=64"),
        ("llama", {"to": "int4", "keep": "hed"}, "did you mean"),
        ("nobody", {"to": "int4"}, "nobody"),
    ],
)
def test_bad_input_is_one_line_with_the_way_out(runs, name, asked, words):
    with pytest.raises(BadInput) as refused:
        quantize(name, root=runs, **asked)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_quantised_run_is_not_quantised_again(runs):
    quantize("gpt2", to="int8", name="once", root=runs)
    with pytest.raises(BadInput, match="quantised already"):
        quantize("once", to="int4", root=runs)


def test_a_quantised_run_is_not_exported(runs, tmp_path):
    quantize("gpt2", to="int8", name="kept", root=runs)
    with pytest.raises(BadInput, match="export gpt2"):
        export("kept", to="huggingface", out=tmp_path / "there", root=runs)


def test_nf4_without_bitsandbytes_says_how_to_get_it(runs, monkeypatch):
    monkeypatch.setattr("deepwide.lab.compress.codes.find_spec", lambda name: None)
    with pytest.raises(BadInput, match="pip install bitsandbytes"):
        quantize("llama", to="nf4", root=runs)


def test_a_failure_leaves_no_folder_behind(runs, monkeypatch):
    def failing(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("deepwide.answers.quantize.write_packed", failing)
    before = sorted(runs.iterdir())
    with pytest.raises(BadInput, match="No space"):
        quantize("gpt2", to="int8", name="half", root=runs)
    assert sorted(runs.iterdir()) == before


def test_a_spoilt_file_is_refused_in_one_line(runs):
    answer = quantize("gpt2", to="int8", name="spoilt", root=runs)
    file = runs / answer.name / "quantized.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(BadInput, match="quantise again"):
        trained("spoilt", runs)


def test_the_command_prints_one_json_object(runs):
    result = CliRunner().invoke(command, ["gpt2", "--to", "int8", "--json", "--root", str(runs)])
    assert json.loads(result.stdout)["to"] == "int8"
