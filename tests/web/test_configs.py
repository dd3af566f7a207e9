"""A config.json that was sent is a MODEL in every question; what is no config is refused, and nothing piles up."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from deepwide.errors import BadInput
from deepwide.web.shelf import LARGEST_CONFIG_BYTES, MOST_CONFIGS, Shelf

SMALL = b'{"model_type": "gpt2", "n_layer": 6}'


def sent(client: TestClient, text: bytes = SMALL) -> str:
    return str(client.post("/api/configs", content=text).json()["model"])


def test_a_config_is_counted_by_its_name(client: TestClient) -> None:
    told = client.get("/api/count", params={"model": sent(client)}).json()
    assert 81_912_576 == told["parameters"]["total"]


def test_its_sizes_can_be_changed(client: TestClient) -> None:
    told = client.get("/api/count", params={"model": f"{sent(client)},layers=12"}).json()
    assert 124_439_808 == told["parameters"]["total"]


def test_it_stands_beside_others(client: TestClient) -> None:
    told = client.get("/api/compare", params={"models": f"{sent(client)};gpt2"}).json()
    assert 2 == len(told["models"])


def test_the_same_file_has_the_same_name(client: TestClient) -> None:
    assert sent(client) == sent(client)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (422, b""),
        (422, b"[]"),
        (422, b"{"),
        (422, b"\xff\xfe"),
        (422, b'{"model_type": "nothing-like-it"}'),
        (422, b'{"a":' * 30 + b"1" + b"}" * 30),
        (422, b"[" * 100_000),
        (413, b" " * (LARGEST_CONFIG_BYTES + 1)),
    ],
    ids=["empty", "list", "cut off", "no text", "unknown", "deep", "very deep", "long"],
)
def test_what_is_no_config_is_refused_in_one_line(client: TestClient, status: int, text: bytes) -> None:
    answer = client.post("/api/configs", content=text)
    assert status == answer.status_code
    assert "\n" not in answer.json()["error"]


def test_a_name_that_was_forgotten_says_so(client: TestClient) -> None:
    answer = client.get("/api/count", params={"model": "config-000000000000"})
    assert 422 == answer.status_code
    assert "send its config.json again" in answer.json()["error"]


def test_the_oldest_is_forgotten_first() -> None:
    shelf = Shelf()
    names = [shelf.put(b'{"model_type": "gpt2", "n_layer": %d}' % n) for n in range(MOST_CONFIGS + 1)]
    assert [names[-1]] == list(shelf.configs(names[-1]))
    with pytest.raises(BadInput):
        shelf.configs(names[0])
