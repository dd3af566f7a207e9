"""The fallback that builds with transformers: the same totals as the rules, and one line for what cannot be built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from deepwide.answers.count import count
from deepwide.answers.models import Model, find_model
from deepwide.architecture.ledger import lower
from deepwide.errors import BadInput
from deepwide.formats.huggingface import read_config
from deepwide.formats.weights import instantiate
from deepwide.formats.weights.instantiate import instantiated
from deepwide.formats.weights.tensors import parameters

SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 300,
}
GROUPED = {**SMALL, "num_key_value_heads": 2}


def refusal(config: Mapping[str, Any]) -> str:
    with pytest.raises(BadInput) as caught:
        instantiated(config, "config.json")
    message = str(caught.value)
    assert message.isprintable()
    return message


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "llama", "num_hidden_layers": 10**9},
        {"model_type": "llava", "text_config": {"num_hidden_layers": 10**9}},
        {"model_type": "mixtral", "num_local_experts": 10**9},
        {"model_type": "t5", "num_decoder_layers": 10**9},
    ],
)
def test_what_would_be_made_for_ever_is_refused_at_once(config: Mapping[str, Any]) -> None:
    assert "=1000000000 is over our limit of 20000" in refusal(config)


def test_a_model_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instantiate, "LONGEST_S", 0.001)
    assert "config.json: transformers did not build it within 0.001 s" == refusal({"model_type": "llama"})


def test_a_process_that_dies_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instantiate, "PROGRAM", "import sys; sys.exit('out of\\nmemory')")
    said = "config.json: building it with transformers ended with code 1 (out of memory)"
    assert said == refusal({"model_type": "llama"})


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "llama", **GROUPED},
        {"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 300},
        {"model_type": "mixtral", **GROUPED, "num_local_experts": 4},
        {"model_type": "t5", "d_model": 64, "d_ff": 96, "num_layers": 2, "num_heads": 4},
        {"model_type": "bert", **SMALL, "architectures": ["BertForMaskedLM"]},
    ],
    ids=lambda config: str(config["model_type"]),
)
def test_what_is_built_has_as_many_parameters_as_the_rules_say(config: Mapping[str, Any]) -> None:
    pytest.importorskip("transformers")
    assert lower(read_config(config)).parameters() == parameters(instantiated(config, "config.json"))


@pytest.mark.slow
def test_only_models_of_transformers_are_called() -> None:
    pytest.importorskip("transformers")
    named = ["Trainer", "pipeline", "__version__", 3, "LlamaForSequenceClassification"]
    built = instantiated({"model_type": "llama", **GROUPED, "architectures": named}, "config.json")
    assert "LlamaForSequenceClassification" == built.metadata["class"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({**GROUPED}, "model_type=None is none that transformers"),
        ({"model_type": "nonesuch"}, "model_type=nonesuch is none that transformers"),
        ({"model_type": "llama", "hidden_size": "x"}, "transformers refuses it"),
        ({"model_type": "llama", **GROUPED, "hidden_size": -64}, "transformers cannot build it"),
    ],
)
def test_a_config_that_makes_no_model_is_told_in_one_line(config: Mapping[str, Any], named: str) -> None:
    pytest.importorskip("transformers")
    assert named in refusal(config)


@pytest.mark.slow
def test_the_answer_says_how_it_was_found() -> None:
    pytest.importorskip("transformers")
    model: Model = find_model("gpt2", instantiate=True)
    assert 124_439_808 == count(model).total
    assert "built by transformers as GPT2LMHeadModel, not by rule" in model.notes
