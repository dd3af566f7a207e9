"""The page in a real Chromium: what a person does there, at a desk and on a phone, with a mouse or with keys."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="browser tests need playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")]

DESK, PHONE = {"width": 1440, "height": 900}, {"width": 375, "height": 812}
INTERACTION_MS = 100
LANGUAGES = ("en", "zh")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Any]:
    """Opens the page and waits for its picture; what goes wrong in it fails the test."""
    contexts, wrong = [], []

    def opened(where: str = "", viewport: dict[str, int] = DESK, **more: Any) -> Any:
        context = browser.new_context(viewport=viewport, locale="en-US", **more)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on(
            "request",
            lambda asked: None if asked.url.startswith((address, "data:", "blob:")) else wrong.append(asked.url),
        )
        page.goto(f"{address}/{where}")
        page.wait_for_selector("#depth-table td:nth-child(6):not(:text-is('–'))", state="attached")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [] == [each for each in wrong if "status of 422" not in each]  # a refusal is an answer


def card(page: Any, title: str) -> str:
    return str(page.locator("#cards > div", has=page.get_by_text(title, exact=True)).inner_text())


def settled(page: Any, text: str) -> None:
    """Waits until the picture is that of a MODEL with this text in it."""
    page.wait_for_function("text => decodeURIComponent(location.hash).includes(text)", arg=text)
    page.wait_for_function("() => !document.body.classList.contains('busy')")


def test_the_first_view_answers_for_a_known_model(visit: Any) -> None:
    page = visit()
    assert "8.03B" in card(page, "Parameters")
    assert "fits in" in card(page, "Memory for each device")
    assert "2.303" in card(page, "Loss, nats per token")


def test_a_slider_moves_the_numbers_and_the_address(visit: Any) -> None:
    page = visit()
    page.locator("#size-layers").focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    settled(page, "layers=36")
    page.wait_for_function("() => document.querySelector('#cards .number').textContent === '8.90B'")


def test_an_interaction_is_answered_at_once(visit: Any) -> None:
    page = visit("#model=gpt2")
    spent = page.evaluate(
        """async () => {
            const slider = document.getElementById("size-layers");
            const shown = () => document.querySelector("#cards .number").textContent;
            const before = shown(), start = performance.now();
            slider.value = 30; slider.dispatchEvent(new Event("input"));
            while (shown() === before) await new Promise(requestAnimationFrame);
            return performance.now() - start;
        }"""
    )
    assert spent < 5 * INTERACTION_MS  # on a machine that other tests share; alone it is below the bound


def test_a_shape_of_the_picture_is_loaded_by_key(visit: Any) -> None:
    page = visit()
    page.locator("#depth .column").nth(2).focus()
    page.keyboard.press("Enter")
    settled(page, "hidden=8192")
    assert "8.09B" in card(page, "Parameters") or page.wait_for_function(
        "() => document.querySelector('#cards .number').textContent === '8.09B'"
    )


def test_each_number_opens_its_formula(visit: Any) -> None:
    page = visit()
    for name in ("Parameters", "Time of a token", "Loss, nats per token"):
        page.locator("#cards > div", has=page.get_by_text(name, exact=True)).locator(".number").click()
        assert page.locator("#formula").is_visible()
        page.keyboard.press("Escape")
    page.locator("#memory .number", has_text=re.compile("GiB")).first.click()
    page.wait_for_selector("#formula dd")
    assert "8,030,261,248 · 16 / 8 = 16,060,522,496" in page.locator("#formula").inner_text()


def test_a_second_model_stands_beside_the_first(visit: Any) -> None:
    page = visit()
    page.locator("#other").fill("llama-3-8b,layers=64,hidden=2880")
    page.locator("#other").press("Enter")
    page.wait_for_selector("#verdict tbody tr")
    assert 2 == page.locator("#cards > div").first.locator("dd").count()
    assert "decode time" in page.locator("#verdict").inner_text()


def test_a_design_is_found_and_a_point_of_its_front_loaded(visit: Any) -> None:
    page = visit("#budget=500M")
    page.get_by_role("button", name="Search").click()
    page.wait_for_selector("#found circle", timeout=30_000)
    page.locator("#found circle").first.press("Enter")
    settled(page, "like=llama")


def test_an_address_holds_the_whole_state(visit: Any) -> None:
    where = "#model=gpt2,layers=24&other=gpt2&on=a100-sxm-80gb&weights=int8&devices=2&batch=8&tokens=20B&lang=zh"
    page = visit(where)
    assert "gpt2,layers=24" == page.locator("#model").input_value()
    assert "a100-sxm-80gb" == page.locator("#on").input_value()
    assert "zh-CN" == page.locator("html").get_attribute("lang")
    assert "概要" in page.locator("#at-once").inner_text()


def test_a_config_is_taken_and_its_link_needs_no_file(visit: Any, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "n_layer": 6}')
    page = visit()
    page.locator("#config").set_input_files(tmp_path / "config.json")
    settled(page, "config-")
    page.wait_for_function("() => document.querySelector('#cards .number').textContent === '81.91M'")
    again = visit(page.evaluate("location.hash"))
    assert "81.91M" in card(again, "Parameters")


@pytest.mark.parametrize("kind", ["json", "csv", "config", "png"])
def test_what_is_seen_can_be_taken_along(visit: Any, tmp_path: Path, kind: str) -> None:
    page = visit()
    page.locator("#downloads summary").click()
    with page.expect_download() as waited:
        page.locator(f"[data-download={kind}]").click()
    waited.value.save_as(tmp_path / "file")
    content = (tmp_path / "file").read_bytes()
    if kind == "png":
        assert content.startswith(b"\x89PNG")
    elif kind == "csv":
        assert content.startswith(b"model,parameters,")
    else:
        told = json.loads(content)
        assert 32 == (told["num_hidden_layers"] if kind == "config" else told["models"][0]["count"]["sizes"]["layers"])


def test_a_model_that_is_not_known_is_refused_beside_its_field(visit: Any) -> None:
    page = visit()
    page.locator("#model").fill("lama-3-8b")
    page.locator("#model").press("Enter")
    page.wait_for_function("() => document.getElementById('model-error').textContent.includes('did you mean')")


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_nothing_is_wider_than_the_screen(visit: Any, viewport: dict[str, int]) -> None:
    page = visit("#other=gpt2", viewport=viewport)
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_everybody_can_use_it(visit: Any, scheme: str, language: str, viewport: dict[str, int]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe")
    page = visit(f"#lang={language}&other=gpt2", viewport=viewport, color_scheme=scheme)
    found = axe.Axe().run(page).response["violations"]
    assert [] == [
        (each["id"], [node["target"] for node in each["nodes"]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
