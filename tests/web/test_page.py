"""The page's files: all from the package, light enough, nothing from elsewhere, every word in both languages."""

from __future__ import annotations

import gzip
import re
from html.parser import HTMLParser

import pytest
from fastapi.testclient import TestClient

from deepwide.web.files import FOLDER, served

PAGE = (FOLDER / "index.html").read_text("utf-8")
SCRIPTS = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.js")}


class Loaded(HTMLParser):
    """What a page loads, and the words that it shows by key."""

    def __init__(self) -> None:
        super().__init__()
        self.files: list[str] = []
        self.keys: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.files += [given[name] or "" for name in ("src", "href") if name in given and tag != "a"]
        self.keys += [given[name] or "" for name in ("data-t", "data-label") if name in given]


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    parser = Loaded()
    parser.feed(PAGE)
    return parser


def test_the_page_loads_nothing_from_elsewhere(loaded: Loaded) -> None:
    assert all(file.removeprefix("/page/") in served() for file in loaded.files)
    assert not [name for name, text in SCRIPTS.items() if re.search(r"https?://(?!www\.w3\.org/)", text)]


def test_the_first_load_is_light() -> None:
    assert sum(len(gzip.compress(file.content)) for file in served().values()) < 60_000


def test_every_word_is_there_in_both_languages(loaded: Loaded) -> None:
    words = dict(re.findall(r'(\w+): (\[\s*"[^"]*",\s*"[^"]*",?\s*\])', SCRIPTS["words.js"]))
    asked = {key for text in SCRIPTS.values() for key in re.findall(r'\bt\("(\w+)"', text)} | set(loaded.keys)
    assert set() == asked - set(words)


def test_the_page_forbids_everything_foreign(client: TestClient) -> None:
    assert client.get("/").headers["content-security-policy"].startswith("default-src 'self'")


def test_a_file_that_did_not_change_is_not_sent_again(client: TestClient) -> None:
    tag = client.get("/page/main.js").headers["etag"]
    assert 304 == client.get("/page/main.js", headers={"If-None-Match": tag}).status_code


@pytest.mark.parametrize(
    "path", ["/page/../app.py", "/page/..%2fapp.py", "/page/%2fetc%2fpasswd", "/page/app.py", "/x"]
)
def test_no_other_file_is_served(client: TestClient, path: str) -> None:
    assert 404 == client.get(path).status_code
