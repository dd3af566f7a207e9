"""The page's files: read once from the package, so that no request ever names a path."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from fastapi import APIRouter, HTTPException, Request, Response

from deepwide.answers.report.style import page_style

FOLDER = Path(__file__).parent / "page"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
AGAIN = "no-cache"  # the browser keeps a file, and asks whether it is still the same
page = APIRouter(include_in_schema=False)


class Served(NamedTuple):
    """A file as it is sent."""

    content: bytes
    type: str
    tag: str


@cache
def served() -> dict[str, Served]:
    """Every file of the page by its name."""
    files = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.suffix in TYPES}
    files["style.css"] = page_style().encode()
    return {name: Served(text, TYPES[Path(name).suffix], _tag(text)) for name, text in files.items()}


def _tag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:16]}"'


@page.get("/")
async def home(request: Request) -> Response:
    """The page itself."""
    return _answer(request, "index.html")


@page.get("/page/{name}")
async def file(request: Request, name: str) -> Response:
    """One of its files."""
    return _answer(request, name)


def _answer(request: Request, name: str) -> Response:
    found = served().get(name)
    if found is None:
        raise HTTPException(404, "the page has no such file")
    headers = {"ETag": found.tag, "Cache-Control": AGAIN}
    if request.headers.get("if-none-match") == found.tag:
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type=found.type, headers=headers)
