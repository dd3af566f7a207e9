"""A client of the API, and a server that a browser can visit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the page needs the extra `web`")

import uvicorn
from fastapi.testclient import TestClient
from pydantic import TypeAdapter

from deepwide.cli.serve import bound
from deepwide.web.answered import ANSWERS
from deepwide.web.app import application


@pytest.fixture(scope="session")
def client() -> Iterator[TestClient]:
    with TestClient(application()) as opened:
        yield opened


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Where a real server listens, on a port that was free; who comes before it is ready waits in the queue."""
    place = bound("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(application(), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{place.getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=10)


@pytest.fixture(scope="session")
def check() -> Callable[[str, bytes | str], None]:
    """Raises where the answer of a route is not what the OpenAPI schema shows of it, to the last key."""
    adapter = cache(lambda route: TypeAdapter[Any](ANSWERS[f"/api/{route}"]))
    return lambda route, answer: adapter(route).validate_json(answer, strict=True)
