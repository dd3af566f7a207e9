"""What the OpenAPI schema says of answers is what is answered: every key and no other, each of its type, described."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from deepwide.web.answered import ANSWERS
from deepwide.web.answered.words import meanings

Check = Callable[[str, bytes | str], None]
Told = Callable[[str, dict[str, Any]], Any]
# A dense decoder, one with shared KV heads, experts, an encoder with a decoder, an encoder, states instead of caches.
MODELS = "gpt2 llama-3.1-8b mixtral-8x7b t5-small bert-base mamba-2.8b".split()
DECODERS = [model for model in MODELS if model not in ("bert-base", "t5-small")]
OF_ONE: dict[str, list[dict[str, Any]]] = {
    "count": [{}, {"explain": True, "by": "layer", "context": 4096}, {"by": "module"}],
    "memory": [
        {"on": "rtx-3060-12gb", "devices": 2},
        {"on": "h100", "train": True, "zero": 3, "devices": 8},
        {"on": "a100", "lora": 16, "weights": "nf4"},
    ],
    "formulas": [{}, {"weights": "q4_k_m", "devices": 2}],
    "predict/loss": [{"tokens": "300B"}, {"tokens": "1T", "unique_tokens": "10B", "serve_tokens": "1T"}],
    "explain": [{}, {"on": "h100", "tokens": "300B"}],
    "export": [{"to": "huggingface"}],
}
OF_A_DECODER: dict[str, list[dict[str, Any]]] = {
    "predict/inference": [
        {"on": "h100"},
        {"on": "rtx-3060-12gb", "input": 100_000, "chunk": 512},
        {"on": "h100", "concurrency": 32, "acceptance": 0.7, "weights": "fp8"},
    ],
    "predict/training": [
        {"on": "h100", "devices": 64},
        {"on": "a100", "devices": 8, "tokens": "1T", "usd_per_hour": 2.5, "grid": "france", "pue": 1.1},
        {"on": "rtx-3060-12gb", "devices": 1, "plan": "micro_batch=1", "tokens": "1B"},
    ],
    "deep-or-wide": [{"on": "h100", "training": False}],
}
NARROW = {"layers": [8, 16], "hidden": [512, 1024]}  # a search that takes no time
OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("predict/loss", {"model": "gpt2", "tokens": "10B", "law": "gadre-2024-c4"}),
    ("deep-or-wide", {"model": "gpt2", "on": "h100", "devices": 16, "tokens": "10B"}),
    ("compare", {"models": ";".join(MODELS)}),
    ("compare", {"models": "gpt2;gpt2,layers=24", "on": "h100", "tokens": "10B"}),
    ("models", {}),
    ("accelerators", {}),
    ("claims", {"document": "003"}),
    ("design", {"on": "h100", "parameters": "300M", **NARROW}),
    ("design", {"on": "a100", "parameters": "300M", "devices": 8, "days": 10, "usd": 10_000, "kg_co2e": 1e4, **NARROW}),
    ("design", {"on": "h100", "like": "gpt2", "ttft_s": 1, "tokens": "10B", "serve_devices": 2, **NARROW}),
]
NO_DESIGN: tuple[str, dict[str, Any]] = ("design", {"on": "h100", "parameters": "100M", **NARROW})
ANSWERED = [
    *((route, {"model": model, **more}) for route, rest in OF_ONE.items() for more in rest for model in MODELS),
    *((route, {"model": model, **more}) for route, rest in OF_A_DECODER.items() for more in rest for model in DECODERS),
    *OTHERS,
]
ASKED = [*ANSWERED, NO_DESIGN]
ONE_EACH = [*{route: (route, question) for route, question in ANSWERED}.values(), NO_DESIGN]
MAY_BE_MISSING = {"kv_cache_bytes", "flops"}  # of the outermost objects


@pytest.fixture(scope="module")
def told(client: TestClient) -> Callable[[str, dict[str, Any]], Any]:
    """Asks, each question once."""
    known: dict[str, Any] = {}

    def answer(route: str, question: dict[str, Any]) -> Any:
        key = spelled({"route": route, **question})
        if key not in known:
            answered = client.get(f"/api/{route}", params=question)
            assert 200 == answered.status_code, answered.text
            known[key] = answered.json()
        return known[key]

    return answer


def spelled(value: Any) -> str:
    return value if isinstance(value, str) else " ".join(f"{key}={each}" for key, each in value.items())


@pytest.mark.parametrize(("route", "question"), ASKED, ids=spelled)
def test_an_answer_is_what_the_schema_shows(told: Told, check: Check, route: str, question: dict[str, Any]) -> None:
    check(route, json.dumps(told(route, question)))


@pytest.mark.slow
def test_every_claim_is_what_the_schema_shows(told: Told, check: Check) -> None:
    check("claims", json.dumps(told("claims", {})))


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in an answer; of a list the first alone."""
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value[:1] if isinstance(value, list) else ():
        yield from objects(each)


@pytest.mark.parametrize(("route", "question"), ONE_EACH, ids=spelled)
def test_a_key_that_the_schema_does_not_know_is_seen(
    told: Told, check: Check, route: str, question: dict[str, Any]
) -> None:
    own = told(route, question)
    for at in range(len(list(objects(own)))):
        longer = deepcopy(own)
        list(objects(longer))[at]["unheard_of"] = None
        with pytest.raises(ValidationError):
            check(route, json.dumps(longer))


@pytest.mark.parametrize(("route", "question"), ONE_EACH, ids=spelled)
def test_a_key_that_is_missing_is_seen(told: Told, check: Check, route: str, question: dict[str, Any]) -> None:
    own = told(route, question)
    for key in own.keys() - MAY_BE_MISSING:
        with pytest.raises(ValidationError):
            check(route, json.dumps({name: value for name, value in own.items() if name != key}))


@pytest.fixture(scope="module")
def schema(client: TestClient) -> Any:
    return client.get("/openapi.json").json()


def test_every_route_has_a_typed_answer(schema: Any) -> None:
    routes = {route: said["get"]["responses"]["200"] for route, said in schema["paths"].items() if "get" in said}
    assert routes.keys() == ANSWERS.keys()
    for said in routes.values():
        assert {"$ref", "anyOf"} & said["content"]["application/json"]["schema"].keys()


def test_every_key_is_described_and_no_description_is_left_over(schema: Any) -> None:
    own = {name: said.get("properties", {}) for name, said in schema["components"]["schemas"].items()}
    keys = {(name, key) for name, properties in own.items() for key in properties if name not in ("Kept", "Refusal")}
    assert all(own[name][key]["description"] for name, key in keys)
    written = {(name, key) for name, lines in meanings().items() for key in lines}
    assert written == {(name, key) if (name, key) in written else ("any", key) for name, key in keys}


def test_a_unit_is_told_with_the_name_that_ends_in_it(schema: Any) -> None:
    shape = schema["components"]["schemas"]["Shape"]["properties"]
    assert "[seconds]" in shape["decode_s"]["description"]
    assert "[bytes]" in shape["kv_cache_bytes_per_token"]["description"]
    assert {"number", "null"} == {each["type"] for each in shape["decode_s"]["anyOf"]}


def test_models_of_answers_have_plain_names_and_may_grow(schema: Any) -> None:
    for name, said in schema["components"]["schemas"].items():
        assert name.isalpha()
        assert said.get("additionalProperties") is not False


def test_the_server_starts_without_the_models_of_answers() -> None:
    code = "import sys; from deepwide.web.app import application; application(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "deepwide.web.app" in loaded
    assert "deepwide.web.answered" not in loaded
