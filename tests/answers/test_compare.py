"""Deep against wide: every criterion has a verdict, no verdict depends on the order, and ties are called ties."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import pytest

from deepwide.answers.compare import CRITERIA, Comparison, Verdict, compare
from deepwide.answers.inference import predict_inference
from deepwide.answers.memory import memory
from deepwide.answers.models import find_model
from deepwide.answers.shape import loss_resolution_of
from deepwide.answers.training import predict_training
from deepwide.architecture.flops import token_flops
from deepwide.cli.main import main
from deepwide.design.counterfactual import TIME_RESOLUTION
from deepwide.errors import BadInput
from deepwide.quality.shape import TIE

WIDE, DEEP = "llama-3-8b", "llama-3-8b,layers=58,hidden=3072,heads=24,ffn=10752"  # as many parameters within 0.5%
WITHOUT_HARDWARE = {c.name for c in CRITERIA if not c.field.endswith("_s")}


@pytest.fixture(scope="module")
def both() -> Comparison:
    return compare([WIDE, DEEP], on="h100")


def verdict(of: Comparison, criterion: str) -> Verdict:
    return next(v for v in of.verdict if v.criterion == criterion)


def test_every_criterion_gets_a_verdict(both: Comparison) -> None:
    assert [c.name for c in CRITERIA] == [v.criterion for v in both.verdict]


def test_without_hardware_all_that_needs_none_is_judged() -> None:
    alone = compare([WIDE, DEEP])
    assert {v.criterion for v in alone.verdict} == WITHOUT_HARDWARE
    assert all(s.decode_s is None and s.step_s is None for s in alone.models)


@pytest.mark.parametrize("models", [(WIDE, DEEP), ("gpt2", "gpt2-medium"), ("mixtral-8x7b", "llama-3-8b")])
def test_verdicts_do_not_ask_who_comes_first(models: tuple[str, str]) -> None:
    one, other = (compare(order, on="h100", tokens=10**11) for order in (models, models[::-1]))
    assert [(v.criterion, v.winner, v.loser, v.text) for v in one.verdict] == [
        (v.criterion, v.winner, v.loser, v.text) for v in other.verdict
    ]
    assert (one.overall.deep, one.overall.wide) == (other.overall.deep, other.overall.wide)
    assert one.overall.wins == other.overall.wins


def test_a_model_ties_with_itself_on_everything() -> None:
    alone = compare(["gpt2", "gpt2"], on="a100")
    assert len(CRITERIA) == len(alone.verdict)
    assert {(None, None, 0.0)} == {(v.winner, v.loser, v.difference) for v in alone.verdict}
    assert (None, None, {"gpt2": ()}) == (alone.overall.deep, alone.overall.wide, alone.overall.wins)


def test_the_deep_and_the_wide_win_what_the_documents_say_they_do(both: Comparison) -> None:
    assert (DEEP, WIDE) == (both.overall.deep, both.overall.wide)
    assert {"largest layer"} <= set(both.overall.wins[DEEP])
    assert {"decode time", "launches", "all-reduces", "gradient path", "intensity"} <= set(both.overall.wins[WIDE])
    assert {"loss", "weights"} <= set(both.overall.ties)
    assert both.overall.text.startswith("wide wins on ")
    assert "deep wins on largest layer" in both.overall.text


def test_what_depth_multiplies_is_multiplied(both: Comparison) -> None:
    wide, deep = both.models
    assert (64, 116) == (wide.sums, deep.sums) == (wide.gradient_path, deep.gradient_path)
    layer = (deep.kernels - wide.kernels) / (58 - 32)
    assert wide.kernels - 32 * layer == deep.kernels - 58 * layer


def test_a_layer_of_llama_takes_what_its_matrices_take(both: Comparison) -> None:
    matrices = 4096 * (2 * 4096 + 2 * 1024 + 3 * 14336) + 2 * 4096
    assert 2 * matrices == both.models[0].layer_bytes


def test_training_takes_three_times_the_work_of_reading(both: Comparison) -> None:
    for shape in both.models:
        assert pytest.approx(3 * shape.forward_flops_per_token) == shape.training_flops_per_token
        assert shape.forward_flops_per_token > token_flops(find_model(shape.model).ledger)  # attention is on top of it


def test_memory_and_training_are_those_of_their_own_questions(both: Comparison) -> None:
    wide = both.models[0]
    assert memory(WIDE, on="h100", context=4096).total_bytes == wide.inference_bytes
    assert memory(WIDE, on="h100", context=4096, train=True).total_bytes == wide.training_bytes
    trained = predict_training(WIDE, on="h100", devices=8, sequence=4096)
    assert (trained.step_s, trained.plan_words, trained.memory_bytes) == (wide.step_s, wide.plan, wide.plan_bytes)
    asked = predict_inference(WIDE, on="h100", input=4096, output=1)
    assert pytest.approx(asked.prefill_s) == wide.prefill_s
    assert pytest.approx(asked.decode_s_per_token) == wide.decode_s


def test_devices_are_those_of_the_training_step(both: Comparison) -> None:
    more = compare([WIDE, DEEP], on="h100", devices=64)
    assert (8, 64) == (both.devices, more.devices)
    assert all((a.step_s or 0) > (b.step_s or 0) for a, b in zip(both.models, more.models, strict=True))
    assert [s.decode_s for s in both.models] == [s.decode_s for s in more.models]


def test_what_cannot_be_trained_there_says_so_and_is_not_judged() -> None:
    large = compare(["llama-3-70b", "llama-3-8b"], on="t4")
    assert large.models[0].step_s is None
    assert any("no plan fits 8 × t4" in note for note in large.notes)
    assert "training step" not in {v.criterion for v in large.verdict}


def test_tensor_parallelism_is_what_all_heads_allow() -> None:
    assert 4 == compare(["qwen2.5-7b", "llama-3-8b"]).tp  # 28 heads are shared by 4
    assert 8 == compare(["llama-3-8b", "llama-3-70b"]).tp


def test_a_loss_inside_its_uncertainty_is_a_tie(both: Comparison) -> None:
    of = verdict(both, "loss")
    assert of.winner is None
    assert of.difference < of.resolution == loss_resolution_of(*both.models) >= TIE
    assert "nats apart" in of.text


def test_a_loss_beyond_its_uncertainty_is_won() -> None:
    of = verdict(compare(["gpt2", "gpt2-xl"], tokens=10**11), "loss")
    assert ("gpt2-xl", "gpt2") == (of.winner, of.loser)
    assert of.difference > of.resolution


def test_times_nearer_than_two_shapes_are_known_to_are_a_tie() -> None:
    near = compare(["llama-3-8b", "llama-3-8b,layers=33"], on="h100")
    of = verdict(near, "decode time")
    assert (None, TIME_RESOLUTION["decode"]) == (of.winner, of.resolution)
    assert "tie" in of.text
    assert "llama-3-8b" == verdict(near, "weights").winner


def test_experts_are_less_sure_against_a_dense_model_than_dense_models_are() -> None:
    mixture, dense, other = compare(["mixtral-8x7b", "llama-3-8b", "llama-2-7b"], tokens=10**12).models
    assert mixture.loss is not None
    assert loss_resolution_of(mixture, dense) > loss_resolution_of(dense, other)


def test_of_several_the_best_is_held_against_the_worst_and_who_ties_with_it_is_named() -> None:
    three = compare(["llama-3-8b", "mixtral-8x7b", "llama-3-8b,layers=64"])
    of = verdict(three, "all-reduces")
    assert ("llama-3-8b", "llama-3-8b,layers=64", ("mixtral-8x7b",)) == (of.winner, of.loser, of.tied)
    assert (None, None) == (three.overall.deep, three.overall.wide)


def test_a_model_that_is_known_to_be_worse_is_beaten_though_a_less_sure_one_is_last() -> None:
    of = verdict(compare(["mixtral-8x7b", "deepseek-v3", "mamba-2.8b"], tokens=10**10), "loss")
    assert ("deepseek-v3", "mixtral-8x7b", ("mamba-2.8b",)) == (of.winner, of.loser, of.tied)
    assert of.difference >= of.resolution


def test_whether_sizes_are_equal_is_said() -> None:
    assert not [n for n in compare([WIDE, DEEP]).notes if "sizes differ" in n]
    (said,) = [n for n in compare(["gpt2", "gpt2-medium"]).notes if "sizes differ" in n]
    assert "not an equal-parameter comparison" in said
    (said,) = [n for n in compare(["llama-3-8b", "llama-3-8b,tied"]).notes if "sizes differ" in n]
    assert "equal FLOPs" in said


@pytest.mark.parametrize("asked", [{"devices": 0, "on": "h100"}, {"devices": 10**400, "on": "h100"}, {"devices": 8}])
def test_devices_that_say_nothing_are_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"^devices="):
        compare(["gpt2", "gpt2-medium"], **asked)


def test_losses_of_different_vocabularies_are_said_not_to_compare_as_measured() -> None:
    (said,) = [n for n in compare(["llama-3-8b", "llama-2-7b"]).notes if "vocabularies differ" in n]
    assert "32,000 to 128,256" in said
    for like in (["llama-3-8b", "llama-3-8b,layers=40"], ["llama-3-8b", "bert-base"]):
        assert not [n for n in compare(like).notes if "vocabularies" in n]


def test_single_layers_compare_by_what_they_have() -> None:
    found = compare(["linear=768x3072", "linear=768x1024"], on="h100")
    assert "linear=768x1024" == verdict(found, "weights").winner
    assert {"loss", "training step"}.isdisjoint({v.criterion for v in found.verdict})
    assert any("no loss: a model without layers" in note for note in found.notes)


def test_json_has_the_keys_that_others_rely_on(both: Comparison) -> None:
    said = json.loads(json.dumps(both.to_dict(), allow_nan=False))
    assert {"models", "verdict", "overall", "tokens", "context", "on", "devices", "tp", "notes"} == set(said)
    assert {"parameters", "loss", "low", "high", "decode_s", "step_s", "plan", "aspect"} <= set(said["models"][0])
    assert {"criterion", "winner", "loser", "difference", "resolution", "text", "tied"} == set(said["verdict"][0])


def test_a_comparison_is_drawn_with_a_letter_for_each_model(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["compare", WIDE, DEEP, "--on", "h100"])
    drawn = capsys.readouterr().out
    assert f"  A  {WIDE}\n  B  {DEEP}\n" in drawn
    assert "  A wide  gradient path" in drawn
    assert "note: A: extrapolates" in drawn


def test_what_is_said_of_both_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["compare", "bert-base", "bert-large"])
    assert 1 == capsys.readouterr().out.count("note: A, B: no loss")


@pytest.mark.slow
def test_a_comparison_on_hardware_takes_under_a_second_and_a_half() -> None:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "deepwide", "compare", WIDE, DEEP, "--on", "h100"], check=True)
    assert time.perf_counter() - started < 1.5
