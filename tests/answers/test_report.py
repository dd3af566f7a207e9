"""A report is one file that needs nothing else, whatever its texts contain."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from deepwide.answers.figures.parameters import ModelParts, parameter_parts
from deepwide.answers.report import Picture, Report, Section, Table, html, write_figures, write_report
from deepwide.errors import BadInput

HOSTILE = "</script><img src=https://example.org/x onerror=alert(1)>"
VOID = {"meta", "link", "br", "img"}


def picture(model: str = "gpt2") -> Picture:
    figure = parameter_parts([ModelParts(model=model, parts=(("ffn", 3), ("norm", 1)))])
    return Picture(name="parameters", figure=figure, caption=model)


def report(text: str = "plain", *, figures: bool = True) -> Report:
    table = Table(columns=("model", "loss"), rows=((text, "2.4"), ("b", "2.5")), caption=text, marked=1)
    return Report(
        title=text,
        question=text,
        headline=text,
        sections=(Section(title=text, content=(text, table, *((picture(text),) if figures else ()))),),
        notes=(text,),
        sources=(text, "see https://example.org/a?b=1&c=2, table 3"),
        command=f"deepwide count {text}",
    )


def without_programs(page: str) -> str:
    """The page without what its scripts say."""
    return re.sub(r"(<script[^>]*>).*?</script>", r"\1</script>", page, flags=re.DOTALL)


class Outline(HTMLParser):
    """The tags of a page: whether each is closed, and what it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attrs)
        self.loaded += [value or "" for name, value in attrs if name == "src" or (name == "href" and tag != "a")]
        self.ids += [found["id"] or ""] if "id" in found else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()


def outline(page: str) -> Outline:
    found = Outline()
    found.feed(page)
    return found


def test_a_page_loads_nothing_and_forbids_it():
    page = html(report())
    assert ["data:,"] == outline(page).loaded
    assert "default-src 'none'" in page


def test_every_tag_is_closed_and_every_id_is_its_own():
    found = outline(html(report(HOSTILE)))
    assert not found.open
    assert len(set(found.ids)) == len(found.ids)


def test_hostile_text_stays_text():
    page = html(report(HOSTILE))
    assert "img" not in outline(page).tags
    assert "<img src=https" not in page
    assert "&lt;/script&gt;&lt;img" in without_programs(page)


def test_plotly_is_put_in_once_and_only_for_figures():
    page = html(report())
    assert 1 == len(re.findall(r"\* plotly\.js v", page))
    assert 20_000 > len(html(report(figures=False)))


def test_no_button_sends_a_figure_to_a_server():
    page = html(report())
    assert '"showSendToCloud": false' in page


def test_only_web_addresses_become_links():
    page = html(report("javascript:alert(1)", figures=False))
    assert ["https://example.org/a?b=1&amp;c=2"] == re.findall(r'<a href="([^"]*)"', page)


def test_the_marked_row_and_the_command_are_shown():
    page = html(report(figures=False))
    assert '<tr class=marked><th scope="row" class=left>b</th><td>2.5</td></tr>' in page
    assert "<pre>deepwide count plain</pre>" in page


def test_the_same_report_is_the_same_file():
    assert html(report()) == html(report())


def test_making_a_page_leaves_the_figure_as_it_was():
    shown = report()
    html(shown)
    assert "Where the parameters are" == shown.pictures()[0].figure.layout.title.text


def test_a_report_is_written_whole(tmp_path: Path):
    path = write_report(report(), tmp_path / "r.html")
    assert html(report()) == path.read_text("utf-8")
    assert [path] == list(tmp_path.iterdir())


def test_each_figure_is_a_page_of_its_own(tmp_path: Path):
    assert (tmp_path / "parameters.html",) == write_figures(report(), tmp_path)
    assert ["data:,"] == outline((tmp_path / "parameters.html").read_text("utf-8")).loaded


def test_a_failure_leaves_the_old_file_and_no_half_of_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "r.html"
    path.write_text("old")

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(BadInput, match="No space left"):
        write_report(report(figures=False), path)
    assert [path] == list(tmp_path.iterdir())
    assert "old" == path.read_text()


@pytest.mark.parametrize("failing", [{"title": None}, {"sections": (None,)}])
def test_a_report_that_cannot_be_made_writes_nothing(tmp_path: Path, failing: dict[str, object]):
    with pytest.raises((AttributeError, TypeError)):
        write_report(replace(report(), **failing), tmp_path / "r.html")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(BadInput, match=r"there is no folder .*nowhere; make it first$"):
        write_report(report(), tmp_path / "nowhere" / "r.html")


def test_a_folder_is_no_file(tmp_path: Path):
    with pytest.raises(BadInput, match="is a folder or a device"):
        write_report(report(), tmp_path)


def test_without_plotly_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch):
    shown = report()
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(BadInput, match=r"^figures need plotly: pip install 'deepwide\[plots\]'$"):
        html(shown)
