"""A design over HTTP: the answer of the command, none, or one line; it ends with its time or with its client."""

from __future__ import annotations

import asyncio
import time

import pytest
from fastapi import HTTPException
from fastapi.testclient import TestClient

from deepwide.errors import BadInput
from deepwide.web import search
from deepwide.web.searching import found

SLOW = {"question": {"on": "h100", "parameters": 10**11}, "configs": {}}


class Client:
    """Somebody who waits, or has left."""

    def __init__(self, left: bool) -> None:
        self.left = left

    async def is_disconnected(self) -> bool:
        return self.left


def test_a_design_is_found(client: TestClient) -> None:
    told = client.get("/api/design", params={"on": "h100", "parameters": "100M"}).json()
    assert told["recommended"]["parameters"] <= 10**8


def test_ranges_and_choices_bound_a_design() -> None:
    question = {"on": "h100", "parameters": 10**9, "layers": [10, 30], "kv_heads": [4], "any_speed": True}
    told = found({"question": question, "configs": {}})["answer"]["recommended"]
    assert 10 <= told["layers"] <= 30
    assert 4 == told["kv_heads"]


def test_no_design_is_an_answer() -> None:
    told = found({"question": {"on": "rtx-3060-12gb", "parameters": 10**11, "serve_devices": 1}, "configs": {}})
    assert told["answer"]["recommended"] is None


def test_a_bad_question_is_one_line() -> None:
    assert "budget" in found({"question": {"on": "h100"}, "configs": {}})["error"]


def test_a_search_ends_when_its_client_leaves() -> None:
    started = time.perf_counter()
    with pytest.raises(HTTPException):
        asyncio.run(search.searched(SLOW, Client(left=True)))
    assert time.perf_counter() - started < 2
    assert not search.running


def test_a_search_ends_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "LIMIT_S", 0.3)
    with pytest.raises(BadInput, match="took more than"):
        asyncio.run(search.searched(SLOW, Client(left=False)))
    assert not search.running


def test_more_searches_than_allowed_are_told_to_wait(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "AT_ONCE", 0)
    answer = client.get("/api/design", params={"on": "h100", "parameters": "100M"})
    assert 429 == answer.status_code
    assert "ask again" in answer.json()["error"]
