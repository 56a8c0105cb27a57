"""The review page in a real browser."""

from __future__ import annotations

import re
import shutil
import statistics
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

import pytest

import whalescan
from tests.browser import WIDTHS_PX, chromium, take_screenshot, watch  # noqa: F401 - the fixture is asked for by its name
from whalescan.review.page.app import ReviewDefaults
from whalescan.review.page.server import PageAddress, serve
from whalescan.review.page.session import ReviewSession
from whalescan.scores import validation_store
from whalescan.survey.finished_run import open_finished_run
from whalescan.training.simulation import SimulationOptions, write_recordings

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

READY = "#stage[data-ready=true]"
KEYS = {"y": "yes", "n": "no", "m": "maybe", "1": "yes", "2": "no", "3": "maybe"}
WAIT_FOR_NEXT = """key => new Promise((resolve, reject) => {
    const stage = document.querySelector("#stage");
    const before = stage.dataset.index;
    const began = performance.now();
    const check = () => {
        const isNext = stage.dataset.ready === "true" && stage.dataset.index !== before;
        const image = document.querySelector("#plot img");
        if (isNext && image && image.complete) resolve(performance.now() - began);
        else if (performance.now() > began + 10000) reject(new Error("no other detection"));
        else requestAnimationFrame(check);
    };
    document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    check();
})"""
"""Milliseconds from a key to the next spectrogram."""


@pytest.fixture(scope="module")
def finished_output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with simulated recordings of some thirty calls, and the output of their scan."""
    folder = tmp_path_factory.mktemp("survey")
    options = SimulationOptions(minutes=1, calls_per_hour=700, snr_db=(8, 12), ships=False, humpbacks=False, seed=3)
    list(write_recordings(folder / "simulated", 3, options))
    whalescan.scan(folder / "simulated", folder / "out", hop_s=1.0, threshold=0.3)
    return folder


@pytest.fixture
def out(finished_output: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished_output / "out", tmp_path / "out")
    return tmp_path / "out"


@dataclass(frozen=True)
class Served:
    """Server in this process."""

    session: ReviewSession
    url: str
    thread: threading.Thread

    def finish(self) -> None:
        request = Request(f"{self.url}finish", b"{}", {"Content-Type": "application/json"})
        urlopen(request, timeout=240).close()
        self.thread.join(240)


@contextmanager
def serving(out: Path, blind: bool = False) -> Iterator[Served]:
    session, addresses = ReviewSession(open_finished_run(out), blind), Queue[PageAddress]()
    thread = threading.Thread(target=serve, args=(session, ReviewDefaults(), 0, addresses.put), daemon=True)
    thread.start()
    served = Served(session, addresses.get(timeout=240).url, thread)
    try:
        yield served
    finally:
        if thread.is_alive():
            served.finish()


@contextmanager
def opened(browser: Browser, url: str, reviewer: str = "Anna", width_px: int = 1280, **options: str) -> Iterator[Page]:
    """Open the page of a reviewer who has chosen options; it must log no error and request nothing from elsewhere."""
    context = browser.new_context(viewport={"width": width_px, "height": WIDTHS_PX[width_px]}, has_touch=width_px < 500)
    context.set_default_timeout(240_000)
    page = context.new_page()
    log = watch(page)
    page.goto(url)
    page.wait_for_selector("#options[open]")
    page.fill("#reviewer", reviewer)
    for name, value in options.items():
        page.fill(f"#{name}", value) if name in (
            "sample_size",
            "recording",
            "lowest_score",
            "highest_score",
        ) else page.select_option(f"#{name}", value)
    page.click("#options button[type=submit]")
    page.wait_for_selector(f"{READY}, #end:not([hidden])", state="visible")
    yield page
    assert log.errors == []
    assert all(request.startswith((url, "blob:")) for request in log.requests)
    context.close()


@contextmanager
def opened_with_errors(browser: Browser, url: str) -> Iterator[Page]:
    """Open Anna's page, which may log errors: of a stopped server, or of spectrograms that cannot be made."""
    context = browser.new_context()
    context.set_default_timeout(240_000)
    page = context.new_page()
    page.goto(url)
    page.fill("#reviewer", "Anna")
    page.click("#options button[type=submit]")
    page.wait_for_selector(READY)
    yield page
    context.close()


def press(page: Page, key: str) -> None:
    """Press a key and wait until its effect is visible."""
    page.keyboard.press(key)
    page.wait_for_function(
        "() => document.querySelector('#status') && document.querySelector('#stage').dataset.ready === 'true'"
    )


def review(page: Page, key: str) -> float:
    """Review by a key, and return the milliseconds until the next spectrogram is visible."""
    took_ms: float = page.evaluate(WAIT_FOR_NEXT, key)
    return took_ms


def text(page: Page, selector: str) -> str:
    return page.inner_text(selector).strip()


def until(page: Page, selector: str, expected: str) -> None:
    page.wait_for_function(
        "([selector, text]) => document.querySelector(selector).textContent === text", arg=[selector, expected]
    )


def until_position(page: Page, position: int) -> None:
    page.wait_for_function(
        "position => document.querySelector('#position').textContent.startsWith(`${position} of`)", arg=position
    )


def properties(page: Page) -> dict[str, str]:
    terms, values = page.locator("#properties dt").all_inner_texts(), page.locator("#properties dd").all_inner_texts()
    return dict(zip(terms, values, strict=True))


def shown_index(page: Page) -> int:
    return int(page.get_attribute("#stage", "data-index") or -1)


def test_reviews_by_keys_are_stored(browser: Browser, out: Path, record_property: Callable[[str, object], None]) -> None:
    with serving(out) as served, opened(browser, served.url, order="time") as page:
        assert len(served.session.detections.detections) > 20
        pressed, took_ms = [], []
        for i in range(20):
            key = "ynm123"[i * 5 % 6]
            pressed.append((served.session.detections.detections[shown_index(page)].detection_id, KEYS[key], "Anna"))
            page.wait_for_timeout(120)  # time for the page to fetch the next detections
            took_ms.append(review(page, key))
        assert text(page, "#position").startswith("21 of ")
        assert "per minute" in text(page, "#pace")
    rows = [row.validation for row in validation_store.read_rows_after(out, 0)]
    assert [(one.detection_id, one.review, one.reviewer) for one in rows] == pressed
    record_property("key_to_picture_ms", f"median {statistics.median(took_ms):.0f}, most {max(took_ms):.0f}")
    assert statistics.median(took_ms) < 10_000, "60 ms where nothing else runs"


def test_undo_goes_back_one_detection_at_a_time(browser: Browser, out: Path) -> None:
    with serving(out) as served, opened(browser, served.url) as page:
        seen = []
        for key in "yny":
            seen.append(shown_index(page))
            review(page, key)
        for expected in reversed(seen):
            review(page, "u")
            assert shown_index(page) == expected
            assert page.get_attribute("[data-review=yes]", "aria-pressed") == "false"
        press(page, "u")
        page.wait_for_function("() => document.querySelector('#status').textContent.includes('Nothing to undo')")
        review(page, "m")
    reviews = {validation.review for validation in validation_store.read_validations(out).values()}
    assert reviews == {"unreviewed", "maybe"}


def test_two_reviewers_do_not_overwrite_each_other(browser: Browser, out: Path) -> None:
    with (
        serving(out) as served,
        opened(browser, served.url, "Anna", order="time", review_filter="all") as anna,
        opened(browser, served.url, "Ben", order="time", review_filter="all") as ben,
    ):
        first = served.session.detections.detections[shown_index(anna)].detection_id
        for _ in range(4):
            review(anna, "y")
            review(ben, "n")
        review(ben, "k")
        assert text(ben, "#reviews") == "You: ✗ No   Anna: ✓ Yes"
        press(ben, "u")
        until(ben, "#reviews", "")
        ben.wait_for_selector("[data-review=no][aria-pressed=false]")
        review(anna, "u")
        until(anna, "#reviews", "")
        with opened(browser, served.url, "Carl", review_filter="disagreed", order="time") as carl:
            assert text(carl, "#position") == "1 of 3"
            carl.wait_for_selector("[data-action=others]", state="visible")
            carl.keyboard.press("v")
            carl.wait_for_function("() => document.querySelector('#reviews').textContent.includes('Ben: ✗ No')")
    by_reviewer: dict[str, list[str]] = {}
    for row in validation_store.read_rows_after(out, 0):
        by_reviewer.setdefault(row.validation.reviewer, []).append(row.validation.review)
    assert by_reviewer["Anna"] == ["yes"] * 4 + ["yes", "unreviewed"], "a copy of her fourth follows Ben's undo"
    assert by_reviewer["Ben"][:4] == ["no"] * 4
    assert validation_store.read_validations(out)[first].reviewer == "Ben"


def test_playback_has_the_length_of_its_speed(browser: Browser, out: Path) -> None:
    decode = """async path => {
        const answer = await fetch(path);
        const sound = await new AudioContext().decodeAudioData(await answer.arrayBuffer());
        const samples = sound.getChannelData(0);
        return [sound.duration, sound.numberOfChannels, samples.reduce((most, one) => Math.max(most, Math.abs(one)), 0)];
    }"""
    cursor_x = "() => document.querySelector('#cursor').getBoundingClientRect().x"
    with serving(out) as served, opened(browser, served.url) as page:
        for speed in (1, 4, 10):
            path = f"detections/{shown_index(page)}/audio?begin=10&end=16&speed={speed}&low=30&high=350"
            seconds, n_channels, peak = page.evaluate(decode, path)
            assert seconds == pytest.approx(6 / speed, abs=0.002)
            assert (n_channels, peak) == (1, pytest.approx(0.9, abs=0.02))
        page.keyboard.press("Space")
        page.wait_for_selector("#cursor", state="visible")
        first_x = page.evaluate(cursor_x)
        page.wait_for_function(
            f"first => ({cursor_x})() > first + 20 || document.querySelector('#cursor').hidden", arg=first_x
        )
        page.keyboard.press("Space")
        page.wait_for_selector("#cursor", state="hidden")
        page.keyboard.press("]")
        assert page.input_value("#speed") == "8"


def test_view_keys_store_no_review(browser: Browser, out: Path) -> None:
    with serving(out) as served, opened(browser, served.url) as page:
        shown = shown_index(page)

        def span_s() -> list[float]:
            title = page.locator("#axes title").text_content() or ""
            times = re.findall(r"(\d+):(\d+):([\d.]+)", title)[:2]
            return [3600 * int(h) + 60 * int(m) + float(s) for h, m, s in times]

        middle_s = sum(span_s()) / 2
        assert span_s()[1] - span_s()[0] == pytest.approx(8, abs=0.11)
        press(page, "+")
        assert span_s()[1] - span_s()[0] == pytest.approx(6, abs=0.11)
        press(page, "-")
        press(page, "-")
        assert text(page, "#length") == "10 s"
        press(page, "ArrowRight")
        assert sum(span_s()) / 2 == pytest.approx(middle_s + 2.5, abs=0.11)
        assert page.locator("#axes rect.box").count() == 1
        press(page, "b")
        assert page.locator("#axes rect.box").count() == 0
        for key, band in (("7", "0 to 1000 Hz"), ("8", "0 to 500 Hz"), ("9", "30 to 350 Hz")):
            press(page, key)
            assert band in (page.locator("#axes title").text_content() or "")
        page.locator("#plot").hover()
        page.mouse.wheel(0, 200)
        page.wait_for_function("() => document.querySelector('#length').textContent === '15 s'")
        press(page, "0")
        assert text(page, "#length") == "8 s"
        page.keyboard.press("?")
        page.wait_for_selector("#keys[open]")
        page.keyboard.press("y")
        page.keyboard.press("Escape")
        assert shown_index(page) == shown
        review(page, "j")
        assert shown_index(page) != shown
        review(page, "k")
        assert shown_index(page) == shown
    assert not (out / validation_store.VALIDATIONS_FILE).exists()


def test_the_box_lies_on_the_detection(browser: Browser, out: Path) -> None:
    """Spectrogram and axes agree on the position of the box."""
    with serving(out) as served, opened(browser, served.url) as page:
        detection = served.session.detections.detections[shown_index(page)]
        box, image = page.locator("#axes rect.box").bounding_box(), page.locator("#plot img").bounding_box()
        assert box is not None
        assert image is not None
        middle_s = (detection.begin_s + detection.end_s) / 2
        per_s, per_hz = image["width"] / 8, image["height"] / 500
        assert box["x"] + box["width"] / 2 == pytest.approx(image["x"] + image["width"] / 2, abs=2)
        assert box["width"] == pytest.approx((detection.end_s - detection.begin_s) * per_s, abs=3)
        assert box["y"] == pytest.approx(image["y"] + (500 - detection.high_hz) * per_hz, abs=3)
        assert box["height"] == pytest.approx((detection.high_hz - detection.low_hz) * per_hz, abs=3)
        assert middle_s > 4


def test_a_blind_review_shows_the_score_after_the_review(browser: Browser, out: Path) -> None:
    with serving(out, blind=True) as served, opened(browser, served.url, order="sample", sample_size="4") as page:
        assert page.locator("#options [data-reveals]:visible").count() == 0
        assert properties(page)["Score"] == "hidden"
        detection = served.session.detections.detections[shown_index(page)]
        review(page, "y")
        assert detection.score is not None
        assert f"score {detection.score:.2f}" in text(page, "#status")
        review(page, "k")
        assert properties(page)["Score"] == f"{detection.score:.2f}"
        review(page, "j")
        review(page, "j")  # skips one
        review(page, "n")
        review(page, "y")
        assert text(page, "#position") == "2 of 4", "back to the skipped one"
        page.keyboard.press("n")
        page.wait_for_selector("#end", state="visible")
        assert "2\n" in text(page, "#end-counts") + "\n"
        assert "precision" in text(page, "#end-estimate")


@contextmanager
def delayed(page: Page, path: str) -> Iterator[list[Route]]:
    """Collect the page's requests to a path without answering them (Playwright accepts no list method as handler)."""
    held: list[Route] = []
    page.route(path, lambda route: held.append(route))  # noqa: PLW0108
    yield held
    page.unroute(path)


def only_request(page: Page, held: list[Route]) -> Route:
    """Wait for the delayed request, and return it; there must be only one."""
    page.wait_for_timeout(100)
    while not held:
        page.wait_for_timeout(20)
    (one,) = held
    return one


def stored_reviews(out: Path) -> list[str]:
    return [row.validation.review for row in validation_store.read_rows_after(out, 0)]


def test_keys_pressed_too_early_are_ignored_with_a_message(browser: Browser, out: Path) -> None:
    with serving(out) as served, opened(browser, served.url, order="time") as page:
        first = shown_index(page)
        with delayed(page, "**/reviews") as held:
            page.keyboard.press("y")
            page.keyboard.press("n")
            page.keyboard.press("u")
            only_request(page, held).continue_()
            page.wait_for_function("before => document.querySelector('#stage').dataset.index !== String(before)", arg=first)
            page.wait_for_function("() => document.querySelector('#status').textContent.includes('ignored')")
        assert text(page, "#status").startswith("Saved: ✓ Yes")
        assert stored_reviews(out) == ["yes"]
        review(page, "n")
        assert text(page, "#status") == "Saved: ✗ No"
    assert stored_reviews(out) == ["yes", "no"]


def test_a_held_key_and_a_double_click_review_one_detection(browser: Browser, out: Path) -> None:
    with serving(out) as served, opened(browser, served.url, order="time") as page:
        for _ in range(8):
            page.keyboard.down("y")  # all but the first are repeats
            page.wait_for_timeout(60)
        page.keyboard.up("y")
        until_position(page, 2)
        page.focus("[data-review=no]")
        for _ in range(8):
            page.keyboard.down("Enter")
            page.wait_for_timeout(60)
        page.keyboard.up("Enter")
        until_position(page, 3)
        page.click("[data-review=maybe]", click_count=2, delay=80)
        until_position(page, 4)
        page.wait_for_timeout(200)
        for key in ("Control+y", "Alt+n", "Meta+m"):
            page.keyboard.press(key)
        page.wait_for_timeout(200)
        assert text(page, "#position").startswith("4 of")
    assert stored_reviews(out) == ["yes", "no", "maybe"]


def test_a_detection_can_be_reviewed_while_another_view_loads(browser: Browser, out: Path) -> None:
    with serving(out) as served, opened(browser, served.url, order="time") as page:
        page.wait_for_load_state("networkidle")
        with delayed(page, "**/spectrogram?*") as pictures:
            page.keyboard.press("+")
            while not pictures:  # and, on a busy machine, of the next detections, which are loaded in advance
                page.wait_for_timeout(20)
            with page.expect_response("**/reviews"):
                page.keyboard.press("y")
            for picture in list(pictures):
                picture.continue_()
        until_position(page, 2)
        page.wait_for_selector(READY)
        assert "ignored" not in text(page, "#status")
    assert stored_reviews(out) == ["yes"]


def test_a_review_that_failed_is_never_stored_for_another_detection(browser: Browser, out: Path) -> None:
    with serving(out) as served, opened_with_errors(browser, served.url) as page:
        with delayed(page, "**/reviews") as held:
            page.keyboard.press("y")
            only_request(page, held).abort()
            page.wait_for_selector("#error", state="visible")
        page.keyboard.press("o")
        page.select_option("#order", "lowest")
        page.click("#options button[type=submit]")
        page.wait_for_selector("#options", state="hidden")
        page.wait_for_selector(READY)
        assert page.locator("#error:visible").count() == 0, "a retry would review another detection"
        review(page, "n")
    assert stored_reviews(out) == ["no"]


def test_a_stopped_server_is_reported_and_blocks_reviews(browser: Browser, out: Path) -> None:
    with serving(out) as served, opened_with_errors(browser, served.url) as page:
        page.wait_for_timeout(500)
        shown = shown_index(page)
        served.finish()
        page.keyboard.press("y")
        page.wait_for_selector("#error", state="visible")
        page.keyboard.press("n")
        page.wait_for_timeout(100)
        assert shown_index(page) == shown
        assert "does not answer" in text(page, "#error")
        assert "Try again" in text(page, "#error button")
    assert not (out / validation_store.VALIDATIONS_FILE).exists()


def test_a_detection_in_a_moved_recording_can_be_reviewed(
    browser: Browser, finished_output: Path, out: Path, tmp_path: Path
) -> None:
    (finished_output / "simulated").rename(tmp_path / "simulated")
    try:
        with serving(out) as served, opened_with_errors(browser, served.url) as page:
            assert "can still be reviewed" in text(page, "#note")
            page.keyboard.press("m")
            page.wait_for_function("() => document.querySelector('#position').textContent.startsWith('2 of')")
            take_screenshot(page, tmp_path, "review-moved")
    finally:
        (tmp_path / "simulated").rename(finished_output / "simulated")
    assert len(validation_store.read_validations(out)) == 1


def test_finish_ends_the_review_for_all_reviewers(browser: Browser, out: Path) -> None:
    with serving(out) as served, opened(browser, served.url) as page:
        page.wait_for_load_state("networkidle")  # requests ahead would fail after the end
        page.click("#open-finish")
        page.click("#finish-now")
        page.wait_for_selector("#end", state="visible")
        assert text(page, "#end-title") == "The review is finished"
        served.thread.join(20)
        assert not served.thread.is_alive()


def test_names_are_never_markup(browser: Browser, out: Path) -> None:
    name = "<img src=x onerror=alert(1)>&\"'"
    with serving(out) as served, opened(browser, served.url, name, review_filter="all", order="time") as page:
        review(page, "y")
        assert text(page, "#reviewer-name") == name
        with opened(browser, served.url, "Ben", review_filter="all", order="time") as ben:
            review(ben, "n")
            review(ben, "k")
            assert name in text(ben, "#reviews")


@pytest.mark.parametrize("width_px", WIDTHS_PX)
def test_the_page_fits(browser: Browser, out: Path, tmp_path: Path, width_px: int) -> None:
    with serving(out) as served, opened(browser, served.url, width_px=width_px) as page:
        review(page, "y")
        assert page.evaluate("document.documentElement.scrollWidth") <= width_px
        height_px = WIDTHS_PX[width_px]
        buttons = [page.locator(f"[data-review={answer}]").bounding_box() for answer in ("yes", "no", "maybe")]
        assert all(box and box["y"] + box["height"] <= height_px and box["height"] >= 40 for box in buttons)
        image = page.locator("#plot img").bounding_box()
        assert image is not None
        assert image["width"] > 0.8 * width_px
        assert image["height"] > (0.45 if width_px > 500 else 0.3) * height_px
        take_screenshot(page, tmp_path, f"review-{width_px}")
        page.keyboard.press("o")
        take_screenshot(page, tmp_path, f"review-options-{width_px}")
