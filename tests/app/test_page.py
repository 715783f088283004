"""The page in a real browser: fit, generate, slider, toggle, bad input, files, two tabs at once."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL_FIT, make_eraser, make_pipe
from moving import write_clip

from unseen.app.models import Models, Settings

pytest.importorskip("gradio", reason="the page needs gradio: pip install 'unseen[app]'")
playwright = pytest.importorskip("playwright.sync_api", reason="drives the browser: pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
).split()
CALL = {"height": 16, "width": 16, "num_frames": 5, "num_inference_steps": 2, "guidance_scale": 3.0,
        "max_sequence_length": 32, "output_type": "np"}  # fmt: skip
WAIT = 120_000  # milliseconds


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page on a tiny pipeline in a folder, with two saved erasers and a report."""
    from unseen.app.page import serve

    folder = tmp_path_factory.mktemp("app")
    pipe = make_pipe()
    pipe.save_pretrained(folder / "model")
    for word in ("zeppelin", "wolf"):
        make_eraser(pipe.tokenizer, pipe.text_encoder, word).save_pretrained(folder / "erasers" / word)
    (folder / "runs").mkdir()
    (folder / "runs" / "report.html").write_text("<h1>Zeppelins, erased</h1>", encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    models = Models(Settings(str(folder / "model"), config=SMALL_FIT, call=CALL))
    page = serve(models, folder / "erasers", folder / "runs", host="127.0.0.1", port=port, opens=False, waits=False)
    yield f"http://127.0.0.1:{port}"
    page.close(verbose=False)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield _opened(context, address)
    context.close()


def _opened(context: Any, address: str) -> Any:
    page = context.new_page()
    page.set_default_timeout(WAIT)
    page.goto(address)
    page.wait_for_selector("#fit")
    page.wait_for_function("document.querySelector('#draw-status')?.getAttribute('role') === 'status'")
    return page


def _take(page: Any, name: str) -> None:
    page.get_by_role("tab", name="Files").click()
    page.get_by_label("Erasers in").click()
    page.get_by_role("option", name=name).click()
    page.click("#take")
    page.wait_for_function(f"document.querySelector('#file-status').innerText.includes('under Erase: {name}')")
    page.get_by_role("tab", name="Erase").click()
    page.get_by_label(f"Erase {name}").wait_for()


def _draw(page: Any, prompt: str) -> tuple[list[str], str]:
    """The two pictures' sources, and what is said about the words."""
    page.evaluate("document.querySelector('#draw-status').dataset.old = '1'")
    page.fill("#prompt textarea", prompt)
    page.click("#draw")
    return _drawn(page, prompt)


def _drawn(page: Any, prompt: str) -> tuple[list[str], str]:
    page.wait_for_function(
        "p => document.querySelector('#draw-status').innerText.includes('Done')"
        " && document.querySelector('#pair img')?.alt.includes(p)",
        arg=prompt,
    )
    return page.eval_on_selector_all("#pair img", "all => all.map(one => one.src)"), page.inner_text("#words")


def _strength(page: Any, place: int, value: str, name: str) -> None:
    page.fill(f"#dial-{place} input[type=number]", value)
    page.wait_for_timeout(700)  # the tab's record is written by then


def test_a_fit_shows_its_progress_and_verdict_and_its_eraser_can_be_used(tab: Any) -> None:
    tab.fill("#concept input, #concept textarea", "zeppelin")
    tab.click("#fit")
    tab.wait_for_selector("#fit-found .unseen-layers")
    tab.wait_for_selector("#fit-found .unseen-verdict")
    assert "text encoder" in tab.inner_text("#fit-found .unseen-verdict")
    tab.get_by_label("Erase zeppelin").wait_for()
    (before, after), words = _draw(tab, "a zeppelin near the river")
    assert before != after and "zeppelin on zeppelin" in words


def test_strength_and_toggle_change_the_second_picture_alone(tab: Any) -> None:
    _take(tab, "zeppelin")
    prompt = "a zeppelin near the garden"
    (before, after), _ = _draw(tab, prompt)
    assert before != after
    _strength(tab, 0, "0", "zeppelin")
    tab.click("#draw")
    tab.wait_for_function("document.querySelector('#pair').innerText.includes('bit for bit')")
    (same, zero), _ = _drawn(tab, prompt)
    assert same == zero == before
    _strength(tab, 0, "1", "zeppelin")
    tab.click("#draw")
    tab.wait_for_function("!document.querySelector('#pair').innerText.includes('bit for bit')")
    assert _drawn(tab, prompt)[0] == [before, after]
    tab.get_by_label("Erase zeppelin").uncheck()
    tab.wait_for_function("document.querySelector('#use-status').innerText.includes('All are off')")
    tab.wait_for_function("document.querySelector('#draw-status').innerText.includes('No eraser is on')")


@pytest.mark.parametrize(
    ("selector", "value", "button", "status", "said"),
    [
        ("#concept input, #concept textarea", "", "#fit", "#fit-status", "Enter what to erase"),
        ("#concept input, #concept textarea", "a wolf", "#fit", "#fit-status", "without an article"),
        ("#synonyms input, #synonyms textarea", "French horn", "#fit", "#fit-status", "it is the name itself"),
        ("#prompt textarea", "", "#draw", "#draw-status", "Enter a prompt"),
        ("#seed input", "-3", "#draw", "#draw-status", "whole number"),
        ("#prompt textarea", "a dog", "#draw", "#draw-status", "Switch an eraser on"),
    ],
)
def test_bad_input_is_answered_in_place(
    tab: Any, selector: str, value: str, button: str, status: str, said: str
) -> None:
    tab.fill(selector, value)
    tab.wait_for_timeout(300)
    tab.click(button)
    tab.wait_for_function(f"document.querySelector('{status} .unseen-problem')?.innerText.includes('{said}')")


def test_two_tabs_at_once_keep_their_erasers_apart(browser: Any, address: str) -> None:
    contexts = [browser.new_context() for _ in range(2)]
    tabs = dict(zip(("zeppelin", "wolf"), (_opened(context, address) for context in contexts), strict=True))
    prompt = "a zeppelin and a wolf in the garden"
    for name, page in tabs.items():
        _take(page, name)
        page.fill("#prompt textarea", prompt)
    for page in tabs.values():  # both before either is waited for
        page.click("#draw")
    found = {name: _drawn(page, prompt) for name, page in tabs.items()}
    (one, first), said_first = found["zeppelin"]
    (other, second), said_second = found["wolf"]
    assert one == other and len({one, first, second}) == 3
    assert "zeppelin on zeppelin" in said_first and "wolf on" not in said_first
    assert "wolf on wolf" in said_second and "zeppelin on" not in said_second
    for context in contexts:
        context.close()


def test_stacked_erasers_act_together_and_go_down_and_up_as_files(tab: Any, tmp_path: Path) -> None:
    for name in ("zeppelin", "wolf"):
        _take(tab, name)
    _, words = _draw(tab, "a wolf near a zeppelin")
    assert "zeppelin on zeppelin" in words and "wolf on wolf" in words
    tab.get_by_role("tab", name="Files").click()
    tab.click("#pack")
    tab.wait_for_selector("#out a")
    with tab.expect_download() as started:
        tab.locator("#out a[download]").first.click()
    archive = tmp_path / "eraser.zip"
    started.value.save_as(archive)
    tab.set_input_files("#up input[type=file]", str(archive))
    tab.wait_for_function("document.querySelector('#file-status').innerText.includes('under Erase: ')")


def test_neighbours_and_reports_are_shown(tab: Any) -> None:
    _take(tab, "zeppelin")
    tab.get_by_role("tab", name="What stays").click()
    tab.click("#near-draw")
    tab.wait_for_function("document.querySelector('#near-status').innerText.includes('Done')")
    assert tab.locator("#gallery figure").count() >= 4
    tab.get_by_role("tab", name="Reports").click()
    tab.get_by_label("Report", exact=True).click()
    tab.get_by_role("option", name="report.html").click()
    assert tab.frame_locator("#report iframe").get_by_text("Zeppelins, erased").inner_text()


def test_a_folder_of_own_videos_is_scored_and_what_cannot_be_is_answered_in_place(tab: Any, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    (folder / "more").mkdir(parents=True)
    write_clip(folder / "still.mp4", speed=0)
    write_clip(folder / "more" / "moving.mp4", speed=4)
    (folder / "damaged.mp4").write_bytes(b"no video")
    (folder / "notes.txt").write_text("none either", encoding="utf-8")
    tab.get_by_role("tab", name="Own videos").click()
    tab.click("#own-score")
    tab.wait_for_function("document.querySelector('#own-status .unseen-problem')?.innerText.includes('nothing has')")
    tab.set_input_files("#own-folder input[type=file]", str(folder))
    tab.locator("#own-folder").get_by_text("moving").first.wait_for()
    for name in ("flicker", "motion"):
        tab.get_by_label(f"{name}:").uncheck()
    tab.click("#own-score")
    tab.wait_for_function("document.querySelector('#own-status .unseen-problem')?.innerText.includes('at least one')")
    tab.get_by_label("flicker:").check()
    tab.click("#own-score")
    tab.wait_for_function("document.querySelector('#own-status').innerText.includes('Done. 2 of 3 videos')")
    assert "other files, left alone: 1" in tab.inner_text("#own-status")
    cells = {line.split("\t")[0]: line.split("\t")[1:] for line in tab.inner_text("#own-table table").splitlines()}
    assert float(cells["moving.mp4"][1]) > 10 * float(cells["still.mp4"][1])
    assert cells["damaged.mp4"] == ["damaged"] and "cannot be read" in tab.inner_text("#own-summary")
    assert tab.locator("#own-out a[download]").count() == 2
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.wait_for_timeout(300)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_page_fits_a_phone_works_by_keyboard_and_asks_nobody_else(browser: Any, address: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    hosts: set[str] = set()
    context.on("request", lambda request: hosts.add(request.url.split("/")[2]) if "://" in request.url else None)
    page = _opened(context, address)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#prompt").bounding_box()["width"] > 200, "the columns stand side by side"
    assert page.evaluate(
        "[...document.querySelectorAll('input:not([type=file]), textarea, button')].filter(one => one.offsetParent)"
        ".every(one => one.labels?.length || one.ariaLabel || one.innerText.trim() || one.title)"
    ), "a control has no name for a screen reader"
    page.focus("#prompt textarea")
    page.keyboard.press("Shift+Enter")
    page.wait_for_selector("#draw-status .unseen-problem")
    assert hosts == {address.split("/")[2]}
    context.close()
