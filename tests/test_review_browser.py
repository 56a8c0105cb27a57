"""The page on which calls are judged, in a real browser."""

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
from whalescan.review.page.app import Wishes
from whalescan.review.page.server import Address, serve
from whalescan.review.page.session import Desk
from whalescan.scores import validation_store
from whalescan.survey.finished_run import open_run
from whalescan.training.simulation import SeaOptions, write_recordings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

READY = "#stage[data-ready=true]"
KEYS = {"y": "yes", "n": "no", "m": "maybe", "1": "yes", "2": "no", "3": "maybe"}
WAIT_FOR_NEXT = """key => new Promise((resolve, reject) => {
    const stage = document.querySelector("#stage");
    const before = stage.dataset.call;
    const began = performance.now();
    const look = () => {
        const isThere = stage.dataset.ready === "true" && stage.dataset.call !== before;
        const image = document.querySelector("#plot img");
        if (isThere && image && image.complete) resolve(performance.now() - began);
        else if (performance.now() > began + 10000) reject(new Error("no other picture"));
        else requestAnimationFrame(look);
    };
    document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    look();
})"""
"""From a key to the next picture, in milliseconds."""


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a sea with some thirty calls, beside its recordings."""
    folder = tmp_path_factory.mktemp("survey")
    options = SeaOptions(minutes=1, calls_per_hour=700, snr_db=(8, 12), ships=False, humpbacks=False, seed=3)
    list(write_recordings(folder / "sea", 3, options))
    whalescan.scan(folder / "sea", folder / "out", hop=1.0, threshold=0.3)
    return folder


@pytest.fixture
def out(scanned: Path, tmp_path: Path) -> Path:
    shutil.copytree(scanned / "out", tmp_path / "out")
    return tmp_path / "out"


@dataclass(frozen=True)
class Served:
    """A server in this process."""

    desk: Desk
    url: str
    thread: threading.Thread

    def finish(self) -> None:
        asked = Request(f"{self.url}finish", b"{}", {"Content-Type": "application/json"})
        urlopen(asked, timeout=20).close()
        self.thread.join(20)


@contextmanager
def serving(out: Path, blind: bool = False) -> Iterator[Served]:
    desk, addresses = Desk(open_run(out), blind), Queue[Address]()
    thread = threading.Thread(target=serve, args=(desk, Wishes(), 0, addresses.put), daemon=True)
    thread.start()
    served = Served(desk, addresses.get(timeout=20).url, thread)
    try:
        yield served
    finally:
        if thread.is_alive():
            served.finish()


@contextmanager
def opened(browser: Browser, url: str, reviewer: str = "Anna", width_px: int = 1280, **options: str) -> Iterator[Page]:
    """The page of somebody who has chosen what to judge; it must complain of nothing and ask nobody else for anything."""
    context = browser.new_context(viewport={"width": width_px, "height": WIDTHS_PX[width_px]}, has_touch=width_px < 500)
    context.set_default_timeout(15_000)
    page = context.new_page()
    watched = watch(page)
    page.goto(url)
    page.wait_for_selector("#options[open]")
    page.fill("#reviewer", reviewer)
    for name, value in options.items():
        page.fill(f"#{name}", value) if name in ("sample", "recording", "low", "high") else page.select_option(
            f"#{name}", value
        )
    page.click("#options button[type=submit]")
    page.wait_for_selector(f"{READY}, #end:not([hidden])", state="visible")
    yield page
    assert watched.complaints == []
    assert all(request.startswith((url, "blob:")) for request in watched.requests)
    context.close()


@contextmanager
def begun(browser: Browser, url: str) -> Iterator[Page]:
    """Anna's page, which may complain: of a server that is gone, or of pictures that cannot be had."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(url)
    page.fill("#reviewer", "Anna")
    page.click("#options button[type=submit]")
    page.wait_for_selector(READY)
    yield page
    context.close()


def press(page: Page, key: str) -> None:
    """Press a key and wait until what it does is done."""
    page.keyboard.press(key)
    page.wait_for_function(
        "() => document.querySelector('#said') && document.querySelector('#stage').dataset.ready === 'true'"
    )


def judge(page: Page, key: str) -> float:
    """Judge by a key; milliseconds until the next picture is there."""
    took_ms: float = page.evaluate(WAIT_FOR_NEXT, key)
    return took_ms


def text(page: Page, selector: str) -> str:
    return page.inner_text(selector).strip()


def until(page: Page, selector: str, expected: str) -> None:
    page.wait_for_function(
        "([selector, text]) => document.querySelector(selector).textContent === text", arg=[selector, expected]
    )


def until_place(page: Page, place: int) -> None:
    page.wait_for_function("place => document.querySelector('#place').textContent.startsWith(`${place} of`)", arg=place)


def facts(page: Page) -> dict[str, str]:
    terms, values = page.locator("#facts dt").all_inner_texts(), page.locator("#facts dd").all_inner_texts()
    return dict(zip(terms, values, strict=True))


def number(page: Page) -> int:
    return int(page.get_attribute("#stage", "data-call") or -1)


def test_twenty_calls_judged_by_keys_are_on_disk_as_they_were_judged(
    browser: Browser, out: Path, record_property: Callable[[str, object], None]
) -> None:
    with serving(out) as served, opened(browser, served.url, order="time") as page:
        assert len(served.desk.catalog.calls) > 20
        pressed, took_ms = [], []
        for i in range(20):
            key = "ynm123"[i * 5 % 6]
            pressed.append((served.desk.catalog.calls[number(page)].detection_id, KEYS[key], "Anna"))
            page.wait_for_timeout(120)  # somebody looks; what comes next is fetched meanwhile
            took_ms.append(judge(page, key))
        assert text(page, "#place").startswith("21 of ")
        assert "a minute" in text(page, "#pace")
    rows = [row.judgement for row in validation_store.since(out, 0)]
    assert [(one.detection_id, one.verdict, one.reviewer) for one in rows] == pressed
    record_property("key_to_picture_ms", f"median {statistics.median(took_ms):.0f}, most {max(took_ms):.0f}")
    assert statistics.median(took_ms) < 100


def test_undo_goes_back_call_by_call_and_takes_back_on_disk(browser: Browser, out: Path) -> None:
    with serving(out) as served, opened(browser, served.url) as page:
        seen = []
        for key in "yny":
            seen.append(number(page))
            judge(page, key)
        for expected in reversed(seen):
            judge(page, "u")
            assert number(page) == expected
            assert page.get_attribute("[data-verdict=yes]", "aria-pressed") == "false"
        press(page, "u")
        page.wait_for_function("() => document.querySelector('#said').textContent.includes('nothing of yours')")
        judge(page, "m")
    verdicts = {one.verdict for one in validation_store.read(out).values()}
    assert verdicts == {"unreviewed", "maybe"}


def test_two_reviewers_do_not_overwrite_each_other(browser: Browser, out: Path) -> None:
    with (
        serving(out) as served,
        opened(browser, served.url, "Anna", order="time", show="all") as anna,
        opened(browser, served.url, "Ben", order="time", show="all") as ben,
    ):
        first = served.desk.catalog.calls[number(anna)].detection_id
        for _ in range(4):
            judge(anna, "y")
            judge(ben, "n")
        judge(ben, "k")
        assert text(ben, "#opinions") == "You: ✗ no   Anna: ✓ yes"
        press(ben, "u")
        until(ben, "#opinions", "")
        ben.wait_for_selector("[data-verdict=no][aria-pressed=false]")
        judge(anna, "u")
        until(anna, "#opinions", "")
        with opened(browser, served.url, "Carl", show="disagreed", order="time") as carl:
            assert text(carl, "#place") == "1 of 3"
            carl.wait_for_selector("[data-do=others]", state="visible")
            carl.keyboard.press("v")
            carl.wait_for_function("() => document.querySelector('#opinions').textContent.includes('Ben: ✗ no')")
    said: dict[str, list[str]] = {}
    for row in validation_store.since(out, 0):
        said.setdefault(row.judgement.reviewer, []).append(row.judgement.verdict)
    assert said["Anna"] == ["yes"] * 4 + ["yes", "unreviewed"], "her fourth stands once more when Ben takes his back"
    assert said["Ben"][:4] == ["no"] * 4
    assert validation_store.read(out)[first].reviewer == "Ben"


def test_sound_can_be_decoded_and_is_as_long_as_its_speed_makes_it(browser: Browser, out: Path) -> None:
    decode = """async path => {
        const answer = await fetch(path);
        const sound = await new AudioContext().decodeAudioData(await answer.arrayBuffer());
        const samples = sound.getChannelData(0);
        return [sound.duration, sound.numberOfChannels, samples.reduce((most, one) => Math.max(most, Math.abs(one)), 0)];
    }"""
    with serving(out) as served, opened(browser, served.url) as page:
        for speed in (1, 4, 10):
            path = f"calls/{number(page)}/sound?begin=10&end=16&speed={speed}&low=30&high=350"
            seconds, n_channels, peak = page.evaluate(decode, path)
            assert seconds == pytest.approx(6 / speed, abs=0.002)
            assert (n_channels, peak) == (1, pytest.approx(0.9, abs=0.02))
        page.keyboard.press("Space")
        page.wait_for_selector("#cursor", state="visible")
        page.wait_for_timeout(200)
        first = page.locator("#cursor").bounding_box()
        page.wait_for_timeout(300)
        second = page.locator("#cursor").bounding_box()
        assert first is not None
        assert second is not None
        assert second["x"] > first["x"] + 20, "four times as fast as the sea"
        page.keyboard.press("Space")
        page.wait_for_selector("#cursor", state="hidden")
        page.keyboard.press("]")
        assert page.input_value("#speed") == "8"


def test_keys_change_what_is_seen_and_judge_nothing(browser: Browser, out: Path) -> None:
    with serving(out) as served, opened(browser, served.url) as page:
        shown = number(page)

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
        assert text(page, "#context") == "10 s"
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
        page.wait_for_function("() => document.querySelector('#context').textContent === '15 s'")
        press(page, "0")
        assert text(page, "#context") == "8 s"
        page.keyboard.press("?")
        page.wait_for_selector("#keys[open]")
        page.keyboard.press("y")
        page.keyboard.press("Escape")
        assert number(page) == shown
        judge(page, "j")
        assert number(page) != shown
        judge(page, "k")
        assert number(page) == shown
    assert not (out / validation_store.JUDGEMENTS).exists()


def test_the_box_lies_on_the_call(browser: Browser, out: Path) -> None:
    """The picture and the axes over it agree: the box is where the axes say the call is."""
    with serving(out) as served, opened(browser, served.url) as page:
        card = served.desk.catalog.calls[number(page)]
        box, image = page.locator("#axes rect.box").bounding_box(), page.locator("#plot img").bounding_box()
        assert box is not None
        assert image is not None
        middle_s = (card.begin_s + card.end_s) / 2
        per_s, per_hz = image["width"] / 8, image["height"] / 500
        assert box["x"] + box["width"] / 2 == pytest.approx(image["x"] + image["width"] / 2, abs=2)
        assert box["width"] == pytest.approx((card.end_s - card.begin_s) * per_s, abs=3)
        assert box["y"] == pytest.approx(image["y"] + (500 - card.high_hz) * per_hz, abs=3)
        assert box["height"] == pytest.approx((card.high_hz - card.low_hz) * per_hz, abs=3)
        assert middle_s > 4


def test_who_is_blind_sees_the_score_only_after_judging(browser: Browser, out: Path) -> None:
    with serving(out, blind=True) as served, opened(browser, served.url, order="sample", sample="4") as page:
        assert page.locator("#options [data-telling]:visible").count() == 0
        assert facts(page)["Score"] == "hidden"
        call = served.desk.catalog.calls[number(page)]
        judge(page, "y")
        assert call.score is not None
        assert f"score {call.score:.2f}" in text(page, "#said")
        judge(page, "k")
        assert facts(page)["Score"] == f"{call.score:.2f}"
        judge(page, "j")
        judge(page, "j")  # passes one over
        judge(page, "n")
        judge(page, "y")
        assert text(page, "#place") == "2 of 4", "back to the one that was passed over"
        page.keyboard.press("n")
        page.wait_for_selector("#end", state="visible")
        assert "2\n" in text(page, "#end-counts") + "\n"
        assert "precision" in text(page, "#end-estimate")


@contextmanager
def held_back(page: Page, path: str) -> Iterator[list[Route]]:
    """What the page asks for, none of it answered yet; Playwright takes no method of a list for a handler."""
    held: list[Route] = []
    page.route(path, lambda route: held.append(route))  # noqa: PLW0108
    yield held
    page.unroute(path)


def arrived(page: Page, held: list[Route]) -> Route:
    """The only thing that is held back; waits for it, and for what might come after it."""
    page.wait_for_timeout(100)
    while not held:
        page.wait_for_timeout(20)
    (one,) = held
    return one


def rows(out: Path) -> list[str]:
    return [row.judgement.verdict for row in validation_store.since(out, 0)]


def test_a_key_pressed_too_early_judges_nothing_and_the_page_says_so(browser: Browser, out: Path) -> None:
    with serving(out) as served, opened(browser, served.url, order="time") as page:
        first = number(page)
        with held_back(page, "**/judge") as held:
            page.keyboard.press("y")
            page.keyboard.press("n")
            page.keyboard.press("u")
            arrived(page, held).continue_()
            page.wait_for_function("before => document.querySelector('#stage').dataset.call !== String(before)", arg=first)
            page.wait_for_function("() => document.querySelector('#said').textContent.includes('did nothing')")
        assert text(page, "#said").startswith("Saved: yes")
        assert rows(out) == ["yes"]
        judge(page, "n")
        assert text(page, "#said") == "Saved: no"
    assert rows(out) == ["yes", "no"]


def test_a_key_that_is_held_and_a_double_click_judge_one_call(browser: Browser, out: Path) -> None:
    with serving(out) as served, opened(browser, served.url, order="time") as page:
        for _ in range(8):
            page.keyboard.down("y")  # all but the first are repeats
            page.wait_for_timeout(60)
        page.keyboard.up("y")
        until_place(page, 2)
        page.focus("[data-verdict=no]")
        for _ in range(8):
            page.keyboard.down("Enter")
            page.wait_for_timeout(60)
        page.keyboard.up("Enter")
        until_place(page, 3)
        page.click("[data-verdict=maybe]", click_count=2, delay=80)
        until_place(page, 4)
        page.wait_for_timeout(200)
        for key in ("Control+y", "Alt+n", "Meta+m"):
            page.keyboard.press(key)
        page.wait_for_timeout(200)
        assert text(page, "#place").startswith("4 of")
    assert rows(out) == ["yes", "no", "maybe"]


def test_a_call_can_be_judged_while_another_view_of_it_is_on_its_way(browser: Browser, out: Path) -> None:
    with serving(out) as served, opened(browser, served.url, order="time") as page:
        page.wait_for_load_state("networkidle")
        with held_back(page, "**/picture?*") as pictures:
            page.keyboard.press("+")
            arrived(page, pictures)
            with page.expect_response("**/judge"):
                page.keyboard.press("y")
            for picture in list(pictures):
                picture.continue_()
        until_place(page, 2)
        page.wait_for_selector(READY)
        assert "did nothing" not in text(page, "#said")
    assert rows(out) == ["yes"]


def test_what_could_not_be_saved_is_never_said_of_another_call(browser: Browser, out: Path) -> None:
    with serving(out) as served, begun(browser, served.url) as page:
        with held_back(page, "**/judge") as held:
            page.keyboard.press("y")
            arrived(page, held).abort()
            page.wait_for_selector("#alarm", state="visible")
        page.keyboard.press("o")
        page.select_option("#order", "lowest")
        page.click("#options button[type=submit]")
        page.wait_for_selector("#options", state="hidden")
        page.wait_for_selector(READY)
        assert page.locator("#alarm:visible").count() == 0, "trying again would judge a call that nobody spoke of"
        judge(page, "n")
    assert rows(out) == ["no"]


def test_a_server_that_is_gone_is_said_and_nothing_goes_on(browser: Browser, out: Path) -> None:
    with serving(out) as served, begun(browser, served.url) as page:
        page.wait_for_timeout(500)
        shown = number(page)
        served.finish()
        page.keyboard.press("y")
        page.wait_for_selector("#alarm", state="visible")
        page.keyboard.press("n")
        page.wait_for_timeout(100)
        assert number(page) == shown
        assert "does not answer" in text(page, "#alarm")
        assert "Try again" in text(page, "#alarm button")
    assert not (out / validation_store.JUDGEMENTS).exists()


def test_a_recording_that_was_moved_leaves_a_note_and_the_call_can_be_judged(
    browser: Browser, scanned: Path, out: Path, tmp_path: Path
) -> None:
    (scanned / "sea").rename(tmp_path / "sea")
    try:
        with serving(out) as served, begun(browser, served.url) as page:
            assert "can be judged all the same" in text(page, "#note")
            page.keyboard.press("m")
            page.wait_for_function("() => document.querySelector('#place').textContent.startsWith('2 of')")
            take_screenshot(page, tmp_path, "review-moved")
    finally:
        (tmp_path / "sea").rename(scanned / "sea")
    assert len(validation_store.read(out)) == 1


def test_finish_ends_the_review_for_everybody(browser: Browser, out: Path) -> None:
    with serving(out) as served, opened(browser, served.url) as page:
        page.wait_for_load_state("networkidle")  # what it fetches ahead would ask in vain
        page.click("#open-finish")
        page.click("#finish-now")
        page.wait_for_selector("#end", state="visible")
        assert text(page, "#end-title") == "The review is finished"
        served.thread.join(20)
        assert not served.thread.is_alive()


def test_names_are_never_markup(browser: Browser, out: Path) -> None:
    name = "<img src=x onerror=alert(1)>&\"'"
    with serving(out) as served, opened(browser, served.url, name, show="all", order="time") as page:
        judge(page, "y")
        assert text(page, "#who") == name
        with opened(browser, served.url, "Ben", show="all", order="time") as ben:
            judge(ben, "n")
            judge(ben, "k")
            assert name in text(ben, "#opinions")


@pytest.mark.parametrize("width_px", WIDTHS_PX)
def test_the_page_fits(browser: Browser, out: Path, tmp_path: Path, width_px: int) -> None:
    with serving(out) as served, opened(browser, served.url, width_px=width_px) as page:
        judge(page, "y")
        assert page.evaluate("document.documentElement.scrollWidth") <= width_px
        height_px = WIDTHS_PX[width_px]
        buttons = [page.locator(f"[data-verdict={verdict}]").bounding_box() for verdict in ("yes", "no", "maybe")]
        assert all(box and box["y"] + box["height"] <= height_px and box["height"] >= 40 for box in buttons)
        image = page.locator("#plot img").bounding_box()
        assert image is not None
        assert image["width"] > 0.8 * width_px
        assert image["height"] > (0.45 if width_px > 500 else 0.3) * height_px
        take_screenshot(page, tmp_path, f"review-{width_px}")
        page.keyboard.press("o")
        take_screenshot(page, tmp_path, f"review-options-{width_px}")
