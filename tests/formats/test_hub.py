"""The Hub: one file, only when asked for, and nothing but a table of fields."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from deepwide.answers.models import find_model
from deepwide.errors import BadInput
from deepwide.formats.hub import is_repository

CONFIG = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100}
PAGES = {
    "/me/good/raw/main/config.json": json.dumps(CONFIG).encode(),
    "/me/bad/raw/main/config.json": b"<html>",
    "/me/list/raw/main/config.json": b"[]",
}


class Hub(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        page = PAGES.get(self.path)
        self.send_response(200 if page else 404)
        self.end_headers()
        self.wfile.write(page or b"")

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with HTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield
        server.shutdown()


@pytest.mark.usefixtures("hub")
def test_a_hub_id_is_fetched_when_asked_for() -> None:
    assert 64 == find_model("me/good", online=True).described().main.hidden


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", ["me/absent", "me/bad", "me/list"])
def test_what_comes_back_wrong_gets_one_line(name: str) -> None:
    with pytest.raises(BadInput, match=name) as error:
        find_model(name, online=True)
    assert "\n" not in str(error.value)


def test_without_online_nothing_is_fetched_and_the_way_is_named() -> None:
    with pytest.raises(BadInput, match="--online"):
        find_model("me/good")


@pytest.mark.parametrize(
    ("text", "is_one"), [("a/b", True), ("a/b/c", False), ("../b", False), ("a/..", False), ("a", False)]
)
def test_a_hub_id_is_an_owner_and_a_name(text: str, is_one: bool) -> None:
    assert is_one == is_repository(text)
