"""A pruned run is the model that was counted, of the size that was asked for."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from deepwide.answers.prune import prune
from deepwide.answers.train import train
from deepwide.answers.trained import trained
from deepwide.cli.prune import command
from deepwide.errors import BadInput

FAMILIES = {
    "llama": "like=llama,layers=3,hidden=64,heads=4,kv_heads=2,ffn=128",
    "gpt2": "like=gpt2,layers=2,hidden=64,heads=2,context=64",
    "bert": "like=bert,layers=2,hidden=64,heads=2",
    "t5": "like=t5,layers=2,hidden=64,heads=2",
    "mixtral": "like=mixtral,layers=1,hidden=64,heads=2,experts=4,active_experts=2,ffn=128",
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


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("llama", {"layers": 2}),
        ("llama", {"heads": 2}),
        ("llama", {"layers": 1, "heads": 2, "ffn": 50}),
        ("gpt2", {"heads": 1, "ffn": 50}),
        ("bert", {"layers": 1, "ffn": 50}),
        ("t5", {"ffn": 50}),
    ],
)
def test_what_is_built_is_what_was_counted(runs, name, asked):
    answer = prune(name, root=runs, **asked)
    assert answer.predicted == answer.measured
    assert {key: answer.changes[key] for key in asked} == asked
    assert sum(t.numel() for t in trained(answer.name, runs).model.parameters()) == answer.predicted["parameters"]


def test_depth_and_width_reach_the_same_count(runs):
    deep = prune("llama", layers=2, root=runs)
    wide = prune("llama", parameters=deep.measured["parameters"], by="width", root=runs)
    missing = deep.measured["parameters"] - wide.measured["parameters"]
    assert 0 <= missing < 3 * 3 * 64  # one channel of all layers
    assert "layers" not in wide.changes


def test_zeros_give_no_speed_and_the_answer_says_so(runs):
    answer = prune("llama", sparsity=0.5, root=runs)
    assert answer.sparsity == pytest.approx(0.5, abs=1e-4)
    assert "neither smaller nor quicker" in answer.notes[-1]


def test_recovery_is_a_run_that_begins_with_the_pruned_one(runs):
    answer = prune("llama", layers=2, recover=128, root=runs)
    assert answer.recovered_tokens >= 128
    assert answer.recovered_loss is not None


@pytest.mark.parametrize(
    ("name", "asked", "words"),
    [
        ("llama", {}, "one of"),
        ("llama", {"layers": 4}, "from 1 to the 3"),
        ("llama", {"layers": 3}, "nothing is pruned"),
        ("llama", {"heads": 3}, "multiple of 2"),
        ("llama", {"layers": 1, "sparsity": 0.5}, "one of"),
        ("llama", {"sparsity": 1.5}, "between 0 and 1"),
        ("llama", {"parameters": 90_000}, "goes with"),
        ("llama", {"parameters": 90_000, "by": "sideways"}, "depth, width, both"),
        ("llama", {"parameters": 10, "by": "width"}, "narrowest"),
        ("llama", {"parameters": 10**9, "by": "depth"}, "must be below"),
        ("t5", {"layers": 1}, "encoder-decoder"),
        ("t5", {"heads": 1}, "by their number"),
        ("mixtral", {"ffn": 64}, "experts"),
        ("nobody", {"layers": 1}, "nobody"),
    ],
)
def test_bad_input_is_one_line_with_the_way_out(runs, name, asked, words):
    with pytest.raises(BadInput) as refused:
        prune(name, root=runs, **asked)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_command_prints_one_json_object(runs):
    result = CliRunner().invoke(command, ["gpt2", "--layers", "1", "--json", "--root", str(runs)])
    assert json.loads(result.stdout)["changes"] == {"layers": 1}
