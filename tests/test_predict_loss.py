"""How good a model will be: the answer's keys, what is refused, and that doubt widens the interval and says why."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import deepwide as dw
from deepwide.answers.loss import Loss, predict_loss, predicted
from deepwide.answers.models import find_model
from deepwide.cli.predict_loss import command
from deepwide.errors import BadInput
from deepwide.quality.laws import laws
from deepwide.quality.shape import TIE

KEYS = (
    "loss low high law extrapolates reasons model tokens source fitted_range shape_effect best_aspect "
    "tokens_per_parameter doubled_tokens doubled_body compute_optimal other_laws units outside notes"
).split()
SMALL = "like=llama,layers=16,hidden=1024,vocab=50304"  # inside every range of the shape law


def asked(model: str = SMALL, tokens: int = 50 * 10**9, **changes) -> Loss:
    return predict_loss(model, tokens, **changes)


def run(*arguments: str):
    return CliRunner().invoke(command, arguments, catch_exceptions=False)


def test_the_package_offers_the_question() -> None:
    assert dw.predict_loss is predict_loss


@pytest.mark.parametrize("law", list(laws()))
def test_the_answer_has_the_keys_that_others_rely_on(law: str) -> None:
    model = "mixtral-8x7b" if law == "krajewski-2024" else SMALL
    values = json.loads(json.dumps(asked(model, law=law, serve_tokens=10**12).to_dict(), allow_nan=False))
    assert set(KEYS) <= set(values)
    assert law == values["law"]


def test_the_interval_holds_the_loss_and_a_small_model_lies_inside_the_fitted_range() -> None:
    answer = asked()
    assert answer.low < answer.loss < answer.high
    assert (False, {}) == (answer.extrapolates, answer.outside)


def test_a_large_model_extrapolates_says_where_and_is_less_sure() -> None:
    small, large = asked(), asked("llama-3-70b", 15 * 10**12)
    assert large.extrapolates
    assert {"active", "tokens"} == set(large.outside)
    assert 2 == sum(reason.startswith("extrapolates: ") for reason in large.reasons)
    assert large.high - large.low > small.high - small.low


def test_an_ordinary_shape_is_called_a_tie_and_an_extreme_one_is_not() -> None:
    plain, flat = asked("gpt2"), asked("like=llama,layers=2,hidden=8192,vocab=50304")
    assert plain.shape_effect < TIE < flat.shape_effect
    assert (True, True) == (
        "a tie" in " ".join(plain.reasons),
        "deeper and narrower is better" in " ".join(flat.reasons),
    )


def test_the_ties_hold_the_best_aspect() -> None:
    answer = asked()
    assert answer.tie_aspects[0] < answer.best_aspect < answer.tie_aspects[1]


def test_repeated_tokens_cost_and_say_so() -> None:
    fresh, repeated = asked(), asked(unique_tokens=10**9)
    assert fresh.loss < repeated.loss
    assert repeated.fresh_tokens < 17 * 10**9
    assert any(reason.startswith("repeated data: 50.0 epochs") for reason in repeated.reasons)
    assert repeated.high - repeated.low > fresh.high - fresh.low


def test_more_unique_tokens_than_are_read_change_nothing() -> None:
    assert asked().loss == asked(unique_tokens=10**15).loss


def test_the_law_of_repetition_itself_is_given_the_tokens_as_they_are() -> None:
    once, repeated = (asked(law="muennighoff-2023", unique_tokens=u).loss for u in (None, 10**9))
    assert once < repeated


def test_a_mixture_lies_between_a_dense_model_of_what_a_token_meets_and_one_of_its_total() -> None:
    mixture, reasons = predicted(find_model("mixtral-8x7b"), 10**12)
    active, total = (predicted(find_model(f"llama-2-13b{more}"), 10**12)[0] for more in ("", ",layers=150"))
    assert total.loss < mixture.loss < active.loss
    assert any(reason.startswith("experts: ") for reason in reasons)
    assert mixture.high - mixture.low > active.high - active.low


@pytest.mark.parametrize("law", ["shape", "besiroglu-2024", "muennighoff-2023"])
def test_tokens_that_are_worth_less_than_any_law_has_seen_extrapolate_and_say_so(law: str) -> None:
    answer = asked(unique_tokens=1000, law=law)
    assert answer.extrapolates
    assert {"tokens"} == set(answer.outside)
    assert 1 == sum(reason.startswith("extrapolates: ") for reason in answer.reasons)
    assert answer.outside["tokens"] > 5


def test_what_is_said_of_repeated_data_agrees_with_the_loss() -> None:
    answer = asked("like=llama,layers=2,hidden=8192,vocab=50304", 10**12, unique_tokens=10**9)
    assert any(f"costs {answer.shape_effect:.3f} nats" in reason for reason in answer.reasons)


@pytest.mark.parametrize("law", ["shape", "besiroglu-2024"])
@pytest.mark.parametrize("tokens", [1, 1000])
def test_no_loss_is_thought_to_lie_below_nothing(tokens: int, law: str) -> None:
    answer = asked(tokens=10**12, unique_tokens=tokens, law=law)
    assert 0 <= answer.low < answer.loss < answer.high
    assert any("guessing" in reason for reason in answer.reasons)


def test_the_best_vocabulary_is_told_with_its_source() -> None:
    (said,) = [r for r in asked("llama-2-7b", 2 * 10**12).reasons if r.startswith("vocabulary")]
    assert all(word in said for word in ("Tao et al. 2024", "58.38k", "112.08k"))


def test_an_ordinary_loss_is_below_that_of_guessing() -> None:
    assert not any("guessing" in reason for reason in asked().reasons)


@pytest.mark.parametrize("model", ["bert-base", "t5-base", "linear=768x3072", "embedding=50000x768"])
def test_what_no_law_speaks_of_gets_no_number_and_a_reason(model: str) -> None:
    answer = asked(model)
    assert (None, None, None) == (answer.loss, answer.low, answer.high)
    assert answer.reasons
    assert 1 == run(model, "--tokens", "1B").exit_code


def test_a_recurrent_model_is_marked() -> None:
    assert any("recurrent" in reason for reason in asked("mamba-2.8b").reasons)


def test_other_laws_stand_beside_and_the_asked_one_is_not_among_them() -> None:
    names = [each.law for each in asked(law="besiroglu-2024").other_laws]
    assert ("shape" in names, "besiroglu-2024" in names, "krajewski-2024" in names) == (True, False, False)


def test_a_published_law_is_as_unsure_as_corpora_differ() -> None:
    answer = asked(law="besiroglu-2024")
    assert answer.high - answer.low > 0.7
    assert any("0.2 nats" in reason for reason in answer.reasons)


def test_a_relative_law_has_no_interval() -> None:
    answer = asked(law="bian-yu-2025")
    assert ("relative", None, None) == (answer.units, answer.low, answer.doubled_tokens)


def test_the_optimum_of_the_same_compute_is_no_worse() -> None:
    answer = asked()
    assert answer.compute_optimal.loss <= answer.loss
    assert answer.compute_optimal.flops == pytest.approx(answer.flops)


@given(st.integers(1, 10**18))
def test_any_number_of_tokens_gets_a_loss_inside_its_interval(tokens: int) -> None:
    prediction, _ = predicted(find_model("gpt2"), tokens)
    assert prediction.low <= prediction.loss <= prediction.high


@given(st.integers(10**9, 10**15), st.integers(10**6, 10**15))
def test_more_tokens_never_raise_the_predicted_loss(tokens: int, more: int) -> None:
    losses = [predicted(find_model("gpt2"), t)[0].loss for t in (tokens, tokens + more)]
    assert losses[1] <= losses[0]


@pytest.mark.parametrize(
    "asked_for",
    [
        {"tokens": 0},
        {"tokens": -1},
        {"tokens": 10**400},
        {"tokens": 1.5},
        {"tokens": None},
        {"unique_tokens": 0},
        {"unique_tokens": "1B"},
        {"serve_tokens": -5},
        {"law": "chinchila-2022"},
        {"law": ""},
        {"law": None},
        {"law": "krajewski-2024"},
        {"model": "mixtral-8x7b", "law": "besiroglu-2024"},
        {"model": "mamba-2.8b", "law": "bian-yu-2025"},
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(asked_for: dict) -> None:
    with pytest.raises(BadInput) as refused:
        asked(**asked_for)
    assert "\n" not in str(refused.value)
    assert "=" in str(refused.value)


def test_the_command_prints_one_json_object_or_what_a_person_reads() -> None:
    printed = run("gpt2", "--tokens", "100B", "--unique-tokens", "10B", "--json")
    shown = run("gpt2", "--tokens", "100B", "--serve-tokens", "1T")
    assert json.loads(printed.output)["tokens"] == 10**11
    assert [0, 0] == [printed.exit_code, shown.exit_code]
    assert all(word in shown.output for word in ("nats per token", "hidden/layers", "besiroglu-2024", "a tie"))


def test_bad_input_on_the_command_line_is_one_line_and_exit_two() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "deepwide", "predict", "loss", "gpt2", "--tokens", "1B", "--law", "kaplan"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (2, "", 1) == (ended.returncode, ended.stdout, ended.stderr.count("\n"))
