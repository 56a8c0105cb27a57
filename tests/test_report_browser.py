"""The report in a real browser: complete, without errors, and readable at any width."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import whalescan
from tests.browser import WIDTHS_PX, chromium, take_screenshot, watch
from tests.builders import simulated_report_data
from whalescan.core import Position
from whalescan.report.report_html import report_html

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["chromium"]  # a fixture
SECTIONS = ["overview", "presence", "hours", "effort", "scoring", "validations", "sheets", "problems", "provenance"]


@pytest.fixture(scope="module")
def report(simulated_recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a real run, with spectrograms and with night and day."""
    folder = tmp_path_factory.mktemp("scanned")
    whalescan.scan(
        simulated_recordings, folder, hop_s=1.0, threshold=0.3, position="41.1,-71.0", summary_timezone="America/New_York"
    )
    return folder / "report.html"


@contextmanager
def open_page(browser: Browser, path: Path, width_px: int = 1280) -> Iterator[Page]:
    """The page, which must request nothing and log no errors."""
    page = browser.new_page(viewport={"width": width_px, "height": WIDTHS_PX[width_px]})
    watched = watch(page)
    page.goto(path.as_uri())
    yield page
    assert watched.requests == [path.as_uri()]
    assert watched.errors == []
    page.close()


@pytest.mark.parametrize("width_px", WIDTHS_PX)
def test_every_section_is_visible_and_fits(browser: Browser, report: Path, tmp_path: Path, width_px: int) -> None:
    with open_page(browser, report, width_px) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width_px
        for name in SECTIONS:
            assert page.locator(f"section#{name}").is_visible(), name
        figures = page.locator("figure svg")
        assert figures.count() >= 6 + 10
        for i in range(figures.count()):
            box = figures.nth(i).bounding_box()
            assert box is not None
            assert min(box["width"], box["height"]) > 20
        take_screenshot(page, tmp_path, f"report-{width_px}")


def test_every_image_is_drawn(browser: Browser, report: Path) -> None:
    with open_page(browser, report) as page:
        sources = page.evaluate("[...document.querySelectorAll('svg image')].map((one) => one.getAttribute('href'))")
        assert len(sources) >= 10
        widths_px = page.evaluate(
            """async (sources) => Promise.all(sources.map(async (source) => {
                const image = new Image(); image.src = source; await image.decode(); return image.naturalWidth;
            }))""",
            sources,
        )
        assert min(widths_px) > 100


def test_smallest_text_is_readable_on_a_phone(browser: Browser, report: Path) -> None:
    with open_page(browser, report, 360) as page:
        smallest_px = page.evaluate(
            """Math.min(...[...document.querySelectorAll('svg text')].filter((text) => text.getClientRects().length).map(
                (text) => parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a))"""
        )
        assert smallest_px >= 9


def test_keyboard_reaches_everything_that_opens_or_scrolls(browser: Browser, report: Path) -> None:
    with open_page(browser, report, 360) as page:
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        wanted = page.evaluate(
            """[...document.querySelectorAll('*')].filter((one) => one.matches('summary, a[href]')
                || one.scrollWidth > one.clientWidth && /auto|scroll/.test(getComputedStyle(one).overflowX)).length"""
        )
        reached = set()
        for _ in range(wanted + 5):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("[...document.querySelectorAll('*')].indexOf(document.activeElement)"))
        assert len(reached - {-1}) >= wanted


def test_report_of_a_year_opens_at_once(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_bytes(
        report_html(simulated_report_data(17_520, 23.0, n_gaps=100_000, zone="America/New_York", position=Position(41, -71)))
    )
    assert path.stat().st_size < 15e6
    with open_page(browser, path) as page:
        assert page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") < 60_000, (
            "1 s where nothing else runs"
        )
        assert page.evaluate("document.querySelectorAll('*').length") < 30_000
