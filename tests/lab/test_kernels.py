"""The kernel policy: what is asked for is kept, the rest is the quickest that was tried, nothing is left changed."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters
from torch.nn.functional import cross_entropy

from deepwide.answers.models import find_model
from deepwide.errors import BadInput
from deepwide.lab import kernels as policy
from deepwide.lab.kernels import Kernels, apply, checked, computing, probed
from deepwide.lab.machine import speeds
from deepwide.lab.network import Transformer, build
from deepwide.lab.network.attend import KERNELS
from deepwide.lab.store.environment import cores

TINY = "layers=2,hidden=32,heads=4,ffn=48,vocab=64,context=32"
ALONE = {"threads": 1, "lanes": 1}
WHILE_COMPILING = pytest.mark.filterwarnings("ignore")  # PyTorch warns of what it does itself


def model_of(text: str = "like=llama") -> Transformer:
    return build(find_model(f"{text},{TINY}").described())


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"dtype": "fp16"}, "dtype='fp16' is unknown; did you mean"),
        ({"dtype": "bfloat"}, "known: fp32, bf16"),
        ({"matmul": "onednm"}, "matmul='onednm' is unknown; did you mean onednn?"),
        ({"attention": "flash"}, "attention='flash' is unknown; known: sdpa, bmm"),
        ({"threads": 0}, "threads=0 must be from 1 to 4096"),
        ({"threads": 10**9}, "threads=1000000000 must be from 1 to 4096"),
        ({"lanes": 0}, "lanes=0 must be from 1 to 4096"),
    ],
)
def test_a_way_that_does_not_exist_is_refused_in_one_line(asked: dict[str, Any], said: str) -> None:
    for refuse in (lambda: checked(Kernels(**asked)), lambda: probed(model_of(), 2, 8, **asked)):
        with pytest.raises(BadInput) as refusal:
            refuse()
        assert said in str(refusal.value)
        assert "\n" not in str(refusal.value)


def test_what_is_asked_for_is_kept() -> None:
    asked = {"dtype": "bf16", "matmul": "default", "attention": "bmm", "compile": True, **ALONE}
    assert Kernels(**asked) == probed(model_of(), 2, 8, **asked)
    assert "bmm" == probed(model_of(), 2, 8, attention="bmm", **ALONE).attention
    assert {"fp32", 1} == {
        v for k, v in probed(model_of(), 2, 8, dtype="fp32", **ALONE).to_dict().items() if k in ("dtype", "threads")
    }


def test_the_quickest_way_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    def seconds(self: object, way: Kernels) -> float:
        return 1.0 if (way.dtype, way.attention) == ("bf16", "bmm") else 2.0

    monkeypatch.setattr(policy._Layer, "_seconds", seconds)
    monkeypatch.setattr(policy, "PROBE_S", 0.0)
    found = probed(model_of(), 2, 8, **ALONE)
    assert ("bf16", "bmm", False) == (found.dtype, found.attention, found.compile)


@pytest.mark.parametrize(("alone_s", "used"), [(0.9, 2), (0.7, 1)])
def test_cores_are_left_idle_only_where_that_is_much_quicker(
    monkeypatch: pytest.MonkeyPatch, alone_s: float, used: int
) -> None:
    monkeypatch.setattr(policy, "cores", lambda: 2)
    monkeypatch.setattr(policy, "PROBE_S", 0.0)
    monkeypatch.setattr(policy._Layer, "_seconds", lambda self, way: alone_s if way.threads * way.lanes == 1 else 1.0)
    found = probed(model_of(), 2, 8)
    assert used == found.threads * found.lanes


def test_a_hopeless_way_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Kernels] = []

    def seconds(self: object, way: Kernels) -> float:
        tried.append(way)
        time.sleep(0.001)
        return 50.0 if way.dtype == "bf16" else 1.0

    monkeypatch.setattr(policy._Layer, "_seconds", seconds)
    monkeypatch.setattr(policy, "PROBE_S", 0.02)
    assert "fp32" == probed(model_of(), 2, 8, **ALONE).dtype
    assert [1, 1] == [sum(way.dtype == "bf16" and way.attention == name for way in tried) for name in KERNELS]
    assert sum(way.dtype == "fp32" for way in tried) > 4


@pytest.mark.parametrize(
    ("steps", "compiled_s", "asked", "compiled"),
    [
        (1000, 0.5, {}, True),
        (10, 0.5, {}, False),
        (1000, 1.5, {}, False),
        (1000, None, {}, False),
        (1000, 0.5, {"compile": False}, False),
        (1, 1.5, {"compile": True}, True),
    ],
    ids=["long", "short", "no quicker", "no compiler", "refused", "asked for"],
)
def test_compiled_layers_are_tried_for_long_runs(
    monkeypatch: pytest.MonkeyPatch, steps: int, compiled_s: float | None, asked: dict[str, bool], compiled: bool
) -> None:
    def seconds(self: object, way: Kernels) -> float:
        if way.compile and compiled_s is None:
            raise RuntimeError("no C++ compiler")
        return (compiled_s or 0.0) if way.compile else 1.0

    monkeypatch.setattr(policy._Layer, "_seconds", seconds)
    monkeypatch.setattr(policy, "PROBE_S", 0.0)
    assert compiled == probed(model_of(), 2, 8, steps, **ALONE, **asked).compile


@pytest.mark.slow
@WHILE_COMPILING
def test_what_the_trial_compiled_the_run_does_not_compile_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "LONG_RUN_S", 0.0)
    torch.compiler.reset()
    counters.clear()
    model = model_of()
    kernels = replace(probed(model, 2, 12, 1, **ALONE, dtype="fp32", attention="sdpa"), compile=True)
    apply(kernels, model)
    tried = counters["stats"]["unique_graphs"]
    with computing(kernels):
        gradients(model)
    assert 1 <= tried == counters["stats"]["unique_graphs"]


@pytest.mark.parametrize(
    "text",
    [
        "like=llama",
        "like=t5",
        "like=bert",
        "like=bloom",
        "like=mixtral,experts=4",
        "like=albert",
        "like=mistral,window=4",
    ],
)
def test_every_kind_of_model_is_tried_in_a_moment_and_left_as_it_was(text: str) -> None:
    model = model_of(text)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_num_threads(), torch.get_float32_matmul_precision(), torch.get_rng_state()
    began = time.process_time()
    found = probed(model, 4, 16, **ALONE)
    assert time.process_time() - began < 3.0
    assert found == checked(found)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert state[:2] == (torch.get_num_threads(), torch.get_float32_matmul_precision())
    assert torch.equal(state[2], torch.get_rng_state())


def test_a_wide_model_is_tried_on_few_rows() -> None:
    model = build(find_model("like=llama,layers=1,hidden=512,heads=4,vocab=64").described())
    layer = policy._Layer(model, 1024, 512)
    assert 1 <= layer.tokens.shape[0] < 16
    assert 512 == layer.tokens.shape[1]


def test_a_model_computes_as_its_policy_says() -> None:
    model = model_of()
    apply(Kernels(dtype="bf16", attention="bmm"), model)
    assert (torch.bfloat16, KERNELS["bmm"]) == (model.compute_dtype, model.attend)
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert model(torch.zeros(1, 4, dtype=torch.long)).dtype == torch.float32


def test_the_process_is_as_it_was_afterwards_even_after_an_error() -> None:
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    with computing(Kernels(matmul="onednn", threads=2)):
        assert (2, "medium") == (torch.get_num_threads(), torch.get_float32_matmul_precision())
    assert before == (torch.get_num_threads(), torch.get_float32_matmul_precision())
    with pytest.raises(BadInput), computing(Kernels(matmul="onednn", threads=2)):
        raise BadInput("")
    assert before == (torch.get_num_threads(), torch.get_float32_matmul_precision())


def test_the_cores_are_those_this_process_may_use() -> None:
    assert cores() >= 1


def test_the_speeds_of_a_machine_make_sense() -> None:
    found = speeds(Kernels())
    assert 1e8 < found.flops_per_s < 1e16
    assert 1e8 < found.bytes_per_s < 1e14
    assert 1e-8 < found.call_s < 1e-2


def gradients(model: Transformer) -> dict[str, torch.Tensor]:
    """Of the loss of a short text, by the names of the weights."""
    text = torch.arange(26).reshape(2, 13)
    given = {"sources_BS": text[:, :-1]} if len(model.stack_names) > 1 else {}
    cross_entropy(model(text[:, :-1], **given).flatten(0, 1), text[:, 1:].flatten()).backward()
    found = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    return found


@pytest.mark.slow
@WHILE_COMPILING
@pytest.mark.parametrize("family", ["like=llama", "like=gpt2", "like=mixtral,experts=4,active_experts=2", "like=t5"])
def test_compiled_layers_learn_the_same(family: str) -> None:
    model = model_of(family)
    expected = gradients(model)
    apply(Kernels(compile=True), model)
    torch.compiler.reset()
    counters.clear()
    found = gradients(model)
    assert counters["stats"]["unique_graphs"] >= 1
    assert expected.keys() == found.keys()
    for name, gradient in expected.items():
        assert torch.allclose(gradient, found[name], atol=1e-5, rtol=1e-4), name


@pytest.mark.slow
@WHILE_COMPILING
def test_layers_alike_are_compiled_once() -> None:
    graphs = []
    for layers in (2, 12):
        torch.compiler.reset()
        counters.clear()
        model = build(find_model(f"like=llama,{TINY.replace('layers=2', f'layers={layers}')}").described())
        apply(Kernels(compile=True), model)
        gradients(model)
        graphs.append(counters["stats"]["unique_graphs"])
    assert graphs[0] == graphs[1]
