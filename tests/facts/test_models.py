"""The catalogue of models: sources on every row, and counts that meet what their makers state."""

from __future__ import annotations

import pytest

from deepwide.answers.models import find_model
from deepwide.errors import BadInput
from deepwide.facts.models import ModelFact, model_fact, model_facts, model_names

FACTS = model_facts()
DISCLOSED = [fact for fact in FACTS if fact.config is not None]
# Names that round a size more roughly than by 10%; the count is that of the published checkpoint all the same.
ROUGHLY_NAMED = {"codegen-2b": 0.4, "albert-xxlarge": 0.14}


@pytest.mark.parametrize("fact", DISCLOSED, ids=lambda fact: fact.name)
def test_published_parameters_are_reproduced(fact: ModelFact) -> None:
    counted = find_model(fact.name).ledger.parameters()
    if "parameters" in fact.published:
        assert fact.published["parameters"] == counted
    elif "nominal" in fact.published:
        assert fact.published["nominal"] == pytest.approx(counted, rel=ROUGHLY_NAMED.get(fact.name, 0.1))


def test_every_row_has_a_source_a_date_and_a_maker() -> None:
    assert all(fact.source and fact.checked and fact.maker and fact.year > 2016 for fact in FACTS)


def test_there_are_at_least_150_models_with_a_shape() -> None:
    assert len(DISCLOSED) >= 150


def test_the_models_that_the_documents_name_are_there() -> None:
    named = (
        "elmo bert-base bert-large gpt-2 gpt-3 gopher chinchilla llama-7b llama-2-70b mistral palm grok gemini claude"
    )
    assert all(model_fact(name) for name in [*named.split(), "gpt-4"])


def test_an_undisclosed_model_has_no_parameters_and_says_so() -> None:
    with pytest.raises(BadInput, match="undisclosed by OpenAI"):
        find_model("gpt-4")


def test_one_row_read_alone_is_the_row_read_with_all() -> None:
    assert list(FACTS) == [model_fact(name) for name in model_names()]


def test_hub_ids_and_capitals_find_the_same_model() -> None:
    assert model_fact("llama-2-7b") is model_fact("llama-2-7b")
    assert "llama-2-7b" == model_fact("meta-llama/Llama-2-7b-hf").name == model_fact("LLaMA-2-7B").name


def test_ids_are_sorted() -> None:
    assert sorted(model_names()) == list(model_names())
