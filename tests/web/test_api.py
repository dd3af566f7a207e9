"""Every route gives the answer of the function behind it; bad input is one line; no path of the server is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import deepwide as dw

ROUTES = {
    "count": {"model": "gpt2", "explain": True},
    "memory": {"model": "gpt2", "on": "h100"},
    "formulas": {"model": "gpt2", "context": 1024},
    "predict/inference": {"model": "gpt2", "on": "h100"},
    "predict/training": {"model": "gpt2", "on": "h100", "devices": 8, "tokens": "10B"},
    "predict/loss": {"model": "gpt2", "tokens": "10B"},
    "compare": {"models": "gpt2;gpt2,layers=24", "on": "h100"},
    "explain": {"model": "gpt2"},
    "deep-or-wide": {"model": "gpt2", "on": "h100", "training": False},
    "export": {"model": "llama-3-8b,layers=48", "to": "huggingface"},
    "models": {"search": "gpt2"},
    "accelerators": {"search": "h100"},
}
REFUSED = {
    "count": [
        {},
        {"model": ""},
        {"model": "gpt-9"},
        {"model": "gpt2", "by": "colour"},
        {"model": "gpt2", "context": "many"},
        {"model": "gpt2", "unknown": 1},
        {"model": "gpt2,layers=99999999999"},
        {"model": "x" * 5000},
    ],
    "memory": [{"model": "gpt2"}, {"model": "gpt2", "on": "h101"}, {"model": "gpt2", "on": "h100", "devices": 0}],
    "predict/training": [{"model": "gpt2", "on": "h100", "devices": 2**30}],
    "compare": [{"models": "gpt2"}, {"models": ";".join(["gpt2"] * 9)}],
    "deep-or-wide": [{"model": "bert-base", "on": "h100"}],
    "design": [{"on": "h100"}, {"on": "h100", "parameters": "1B", "vocab": [8000] * 100}],
}


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_answers_with_one_object(client: TestClient, route: str) -> None:
    answer = client.get(f"/api/{route}", params=ROUTES[route])
    assert 200 == answer.status_code, answer.text
    assert isinstance(answer.json(), dict)


@pytest.mark.parametrize(("route", "question"), [(route, each) for route, many in REFUSED.items() for each in many])
def test_what_makes_no_sense_is_refused_in_one_line(client: TestClient, route: str, question: dict[str, Any]) -> None:
    answer = client.get(f"/api/{route}", params=question)
    assert 422 == answer.status_code, answer.text
    assert ["error"] == list(answer.json())
    assert "\n" not in answer.json()["error"]


def test_a_route_says_what_the_function_says(client: TestClient) -> None:
    told = client.get("/api/memory", params={"model": "llama-2-13b", "on": "rtx-3060-12gb", "weights": "int4"}).json()
    expected = dw.memory("llama-2-13b", on="rtx-3060-12gb", weights="int4").to_dict()
    assert json.loads(json.dumps(expected)) == told


def test_numbers_may_be_written_as_people_write_them(client: TestClient) -> None:
    short, long = (client.get("/api/predict/loss", params={"model": "gpt2", "tokens": n}) for n in ("10B", 10**10))
    assert short.json() == long.json()


def test_a_second_asking_gives_the_same_bytes(client: TestClient) -> None:
    first, second = (client.get("/api/count", params={"model": "gpt2,layers=7"}).content for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    "model", ["/etc/passwd", "../x", "~/x", "./config.json", "{there}", "C:\\x", "file:///etc/passwd"]
)
@pytest.mark.parametrize("route", ["count", "memory", "explain", "compare"])
def test_a_path_is_no_model(client: TestClient, tmp_path: Path, model: str, route: str) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    named = model.format(there=tmp_path)
    question = {"models": f"{named};gpt2"} if route == "compare" else {"model": named, "on": "h100"}
    if route == "count":
        del question["on"]
    answer = client.get(f"/api/{route}", params=question)
    assert 422 == answer.status_code
    assert "root:" not in answer.text


def test_a_folder_beside_the_server_is_no_model(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text('{"model_type": "gpt2"}')
    monkeypatch.chdir(tmp_path)
    assert 422 == client.get("/api/count", params={"model": "mine"}).status_code


@pytest.mark.parametrize("name", ["mine.toml", "/tmp/mine.toml", "this", "a/b"])
@pytest.mark.parametrize("field", ["on", "runtime"])
def test_no_profile_of_the_server_is_read(client: TestClient, name: str, field: str) -> None:
    question = {"model": "gpt2", "on": "h100", field: name}
    answer = client.get("/api/predict/inference", params=question)
    assert 422 == answer.status_code
    assert name in answer.json()["error"]


def test_no_law_of_the_server_is_read(client: TestClient) -> None:
    assert 422 == client.get("/api/predict/loss", params={"model": "gpt2", "tokens": 9, "law": "a.toml"}).status_code


def test_the_schema_names_every_route(client: TestClient) -> None:
    told = client.get("/openapi.json").json()["paths"]
    assert {f"/api/{route}" for route in (*ROUTES, "claims", "design", "configs")} == set(told)


def test_the_schema_tells_bounds_in_words_that_clients_know(client: TestClient) -> None:
    asked = client.get("/openapi.json").json()["paths"]["/api/predict/training"]["get"]["parameters"]
    devices = next(each["schema"] for each in asked if each["name"] == "devices")
    assert (1, 2**17) == (devices["minimum"], devices["maximum"])
