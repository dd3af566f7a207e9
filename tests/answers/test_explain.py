"""Why is hidden so large? Other shapes at equal parameters, what +10% changes, heads, and alignment."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deepwide.answers.compare import compare
from deepwide.answers.count import count
from deepwide.answers.explain import Explanation, explain
from deepwide.answers.explain.shapes import EQUAL_SHARE, Counterfactual
from deepwide.answers.models import find_model
from deepwide.answers.shape import loss_resolution_of
from deepwide.cli.main import main
from deepwide.errors import BadInput

KINDS = ["llama-3-8b", "gpt2", "mixtral-8x7b", "deepseek-v3", "gemma-3-4b", "like=llama,layers=24,hidden=1024"]


@pytest.fixture(scope="module")
def llama() -> Explanation:
    return explain("llama-3-8b", on="h100")


def other(of: Explanation, label: str) -> Counterfactual:
    return next(c for c in of.counterfactuals if c.label == label)


def test_the_shares_that_grow_with_width_and_with_depth_are_those_of_the_rows(llama: Explanation) -> None:
    wide, deep = count("llama-3-8b,hidden=8192,heads=64,kv_heads=16"), count("llama-3-8b,layers=64")
    own = llama.shape.parameters
    assert pytest.approx(wide.total / own) == llama.growth["if_hidden_doubles"]
    assert pytest.approx(deep.total / own) == llama.growth["if_layers_double"]


def test_halved_and_doubled_width_and_ffn_stand_beside_the_model(llama: Explanation) -> None:
    labels = [c.label for c in llama.counterfactuals]
    assert ["width × 1/2", "width × 2/3", "width × 3/2", "width × 2", "ffn × 1/2", "ffn × 2"] == labels
    assert [2048, 8192] == [other(llama, f"width × {r}").shape.hidden for r in ("1/2", "2")]
    assert [7168, 28672] == [other(llama, f"ffn × {r}").shape.ffn for r in ("1/2", "2")]


@pytest.mark.parametrize("model", KINDS)
def test_other_shapes_have_the_parameters_of_the_model_or_say_by_how_much_not(model: str) -> None:
    found = explain(model)
    assert found.counterfactuals
    for c in found.counterfactuals:
        said = [note for note in found.notes if note.startswith(f"{c.label} misses")]
        assert pytest.approx(c.shape.parameters / found.shape.parameters - 1) == c.parameters_off
        assert bool(said) == (abs(c.parameters_off) > EQUAL_SHARE)
        layer = (c.shape.layer_bytes / 2) / found.shape.parameters
        assert abs(c.parameters_off) < 0.75 * layer + 0.001  # one layer more or less would be no nearer


def test_an_other_shape_is_a_model_that_any_command_takes(llama: Explanation) -> None:
    for c in llama.counterfactuals:
        assert count(c.shape.model).total == c.shape.parameters


def test_what_a_name_says_is_not_said_twice() -> None:
    found = explain("like=llama,layers=24,hidden=1024,vocab=50k")
    assert all(c.shape.model.count("layers=") == 1 for c in found.counterfactuals)


@pytest.mark.parametrize("model", KINDS)
def test_heads_of_other_shapes_stay_whole_and_as_wide(model: str) -> None:
    found = explain(model)
    for c in found.counterfactuals:
        assert c.shape.head_dim == found.shape.head_dim
        assert c.shape.heads
        assert c.shape.kv_heads is None or c.shape.heads % c.shape.kv_heads == 0


def test_what_is_said_of_another_shape_is_what_compare_says(llama: Explanation) -> None:
    wide = other(llama, "width × 2")
    own, same = compare(["llama-3-8b", wide.shape.model], on="h100").models
    assert wide.shape.decode_s == same.decode_s
    assert pytest.approx((same.decode_s or 0) / (own.decode_s or 1) - 1) == wide.changes["decode"]
    assert (same.loss or 0) - (own.loss or 0) == wide.loss_change
    assert loss_resolution_of(same, own) == wide.loss_resolution


def test_width_saves_time_and_depth_costs_it(llama: Explanation) -> None:
    decode = [c.changes["decode"] for c in llama.counterfactuals if c.label.startswith("width")]
    assert decode == sorted(decode, reverse=True)
    assert decode[0] > 0 > decode[-1]


def test_a_loss_that_hardly_moves_is_called_a_tie() -> None:
    found = explain("like=llama,layers=48,hidden=1536,heads=24,vocab=50k", tokens=10**11)
    narrow = other(found, "width × 2/3")
    assert narrow.tie
    assert abs(narrow.loss_change or 0) < (narrow.loss_resolution or 0)
    assert "0.667 times" in found.verdict[0]
    assert "with it, at most" in found.verdict[0]


def test_a_loss_that_moves_is_told_with_what_it_is_known_to() -> None:
    found = explain("gpt2", tokens=10**11)
    wide = other(found, "width × 2")
    assert not wide.tie
    assert f"costs {wide.loss_change:.3f} nats (known to {wide.loss_resolution:.3f})" in found.verdict[0]


def test_a_tenth_more_layers_is_a_tenth_of_what_they_hold(llama: Explanation) -> None:
    layers = next(s for s in llama.sensitivities if s.size == "layers")
    assert pytest.approx(0.1) == layers.changes["kv_cache"]
    assert pytest.approx(0.1 * llama.growth["layers"], rel=1e-9) == layers.changes["weights"]
    assert layers.loss is not None
    assert layers.loss < 0


def test_every_size_of_a_model_is_moved_alone(llama: Explanation) -> None:
    assert ["layers", "hidden", "ffn", "kv_heads"] == [s.size for s in llama.sensitivities]
    ffn, kv_heads = llama.sensitivities[2:]
    assert 0.0 == ffn.changes["kv_cache"]
    assert pytest.approx(0.1) == kv_heads.changes["kv_cache"]


def test_heads_say_what_becomes_of_them() -> None:
    heads = explain("gpt2").heads
    assert heads is not None
    assert (12, 64, 768) == (heads.heads, heads.head_dim, heads.width)
    assert {"twice the heads": 32, "half the heads": 128, "twice the hidden size": 128, "half of it": 32} == {
        s.change: s.head_dim for s in heads.splits
    }
    assert ["below 64", "", "", "below 64"] == [s.warning for s in heads.splits]


def test_heads_that_cannot_be_formed_are_said_to_be_so() -> None:
    heads = explain("gpt2-xl").heads  # 25 heads
    assert heads is not None
    half = next(s for s in heads.splits if s.change == "half the heads")
    assert (None, "cannot be formed: 1600 is no multiple of 12") == (half.head_dim, half.warning)


def test_heads_of_their_own_width_do_not_follow_the_hidden_size() -> None:
    heads = explain("deepseek-v3").heads
    assert heads is not None
    assert () == heads.splits


def test_a_narrow_head_is_warned_of() -> None:
    found = explain("like=llama,layers=4,hidden=512,heads=16,vocab=1000")
    assert any("head_dim=32 is below 64" in note for note in found.notes)


def test_a_shape_that_misses_tiles_gets_a_better_one_of_equal_parameters() -> None:
    bad = "like=gpt2,layers=80,hidden=14400,heads=80,ffn=57600,vocab=250880"
    advice = explain(bad, tp=8).alignment
    assert {"head_dim", "hidden", "ffn"} == {m["name"] for m in advice.misfits}
    assert advice.better_parameters is not None
    assert abs(advice.better_parameters / count(bad).total - 1) < 0.01
    assert [] == [m for m in explain(advice.better, tp=8).alignment.misfits if m["name"] != "vocab"]


@pytest.mark.parametrize(("model", "tp"), [("pythia-14m", 4), ("qwen3-30b-a3b", 8), ("deepseek-v2-lite", 8)])
def test_a_better_shape_has_the_parameters_of_the_model_and_fills_its_tiles_or_is_not_given(
    model: str, tp: int
) -> None:
    advice = explain(model, tp=tp).alignment
    if advice.better:
        assert abs((advice.better_parameters or 0) / count(model).total - 1) <= EQUAL_SHARE
        assert [] == [m for m in explain(advice.better, tp=tp).alignment.misfits if m["name"] != "vocab"]


def test_heads_that_fit_are_left_alone_where_only_the_network_misses_tiles() -> None:
    assert "deepseek-v2-lite,ffn=10752,layers=27" == explain("deepseek-v2-lite", tp=8).alignment.better


@pytest.mark.parametrize("model", ["qwen3-30b-a3b", "deepseek-v3", "deepseek-v4-flash", "mixtral-8x7b", "gpt-oss-20b"])
def test_the_network_of_a_mixture_is_halved_and_doubled_with_its_experts(model: str) -> None:
    found = explain(model)
    for label, longer in (("ffn × 1/2", True), ("ffn × 2", False)):
        c = other(found, label)
        assert (c.shape.layers > found.shape.layers) == longer
        assert c.shape.layers != found.shape.layers


def test_a_size_that_the_family_does_not_take_is_left_out(tmp_path: Any) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"model_type": "blt"}), encoding="utf-8")
    found = explain(str(file))
    assert not found.counterfactuals
    assert any(note.startswith("left out: ") and "stays" in note for note in found.notes)


def test_layers_that_stand_for_two_stacks_of_unlike_depth_are_not_moved() -> None:
    assert "layers" not in {s.size for s in explain("byt5-small").sensitivities}
    assert "layers" in {s.size for s in explain("t5-base").sensitivities}


def test_a_step_of_the_hidden_size_alone_keeps_the_experts() -> None:
    step = next(s for s in explain("deepseek-v2-lite").sensitivities if s.size == "hidden")
    assert 0.08 < step.changes["weights"] < 0.11


def test_the_verdict_says_which_shapes_miss_the_parameters() -> None:
    far = other(explain("pythia-14m"), "width × 2").parameters_off
    assert far > EQUAL_SHARE
    assert f"twice the width ({far:+.0%} parameters)" in explain("pythia-14m").verdict[0]


def test_a_shape_that_fills_its_tiles_is_left_alone(llama: Explanation) -> None:
    assert ("", None, 32) == (llama.alignment.better, llama.alignment.better_parameters, llama.alignment.fits_up_to)


def test_without_hardware_nothing_is_said_of_times() -> None:
    found = explain("llama-3-8b")
    assert found.shape.decode_s is None
    assert all("decode" not in c.changes and "sums" in c.changes for c in found.counterfactuals)
    assert not any("decode" in sentence for sentence in found.verdict)


@pytest.mark.parametrize("model", ["bert-base", "t5-base", "mamba-2.8b", "mixtral-8x7b", "qwen3-next-80b-a3b"])
def test_every_kind_of_model_is_explained(model: str) -> None:
    found = explain(model, on="a100")
    assert found.sensitivities
    json.dumps(found.to_dict(), allow_nan=False)


def test_shared_layers_make_up_for_no_width_and_that_is_said_once() -> None:
    found = explain("albert-base")
    assert () == found.counterfactuals
    assert 1 == len([note for note in found.notes if "layers share their weights" in note])


def test_json_has_every_part(llama: Explanation) -> None:
    said = json.loads(json.dumps(llama.to_dict(), allow_nan=False))
    assert {"model", "shape", "growth", "counterfactuals", "sensitivities", "heads", "alignment", "verdict"} <= set(
        said
    )
    row = said["counterfactuals"][0]
    assert {"model", "label", "shape", "parameters_off", "loss_change", "loss_resolution", "tie", "changes"} <= set(row)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("linear=768x3072",), "has no layers"),
        (("gpt2", "--tokens", "0"), "tokens=0"),
        (("gpt2", "--context", "0"), "context=0"),
        (("gpt2", "--tp", "0"), "tp=0"),
        (("gpt2", "--devices", "8"), "--on"),
        (("gpt2", "--on", "h10"), "h10"),
        (("gtp2",), "did you mean gpt2"),
        (("llama-3-8b,heads=30",), "30"),
        (("claude",), "undisclosed"),
    ],
)
def test_bad_input_gets_one_line_and_exit_2(
    asked: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["explain", *asked])
    out, err = capsys.readouterr()
    assert (2, "", 1) == (ended.value.code, out, len(err.strip().splitlines()))
    assert said in err


@pytest.mark.parametrize("asked", [{"tokens": 10**400}, {"context": 1.5}, {"tp": 10**6}, {"devices": -1, "on": "h100"}])
def test_what_cannot_be_asked_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        explain("gpt2", **asked)


def test_a_file_is_explained_like_a_name(tmp_path: Any) -> None:
    place = tmp_path / "config.json"
    place.write_text(json.dumps(dict(find_model("llama-3-8b").config or {})))
    assert [c.parameters_off for c in explain("llama-3-8b").counterfactuals] == [
        c.parameters_off for c in explain(str(place)).counterfactuals
    ]


def test_an_explanation_is_drawn_on_about_one_screen(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "110")
    with pytest.raises(SystemExit):
        main(["explain", "llama-3-8b", "--on", "h100"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 60
    assert max(map(len, lines)) <= 110
