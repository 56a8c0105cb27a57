"""Headless Chromium for tests of pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = Path("/usr/bin/chromium")
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--autoplay-policy=no-user-gesture-required",
]
WIDTHS_PX = {360: 740, 1280: 800, 2560: 1440}
"""Widths of tested pages, with their heights."""


@pytest.fixture(scope="module", name="browser")
def chromium() -> Iterator[Browser]:
    """Start a browser for one module: while it runs, no other test of the process can start an event loop."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=_ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class PageLog:
    """Requests of a page, and its messages and errors."""

    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def watch(page: Page) -> PageLog:
    """Record every request, console message and error of a page from now on."""
    log = PageLog()
    page.on("request", lambda request: log.requests.append(request.url))
    page.on("console", lambda message: log.errors.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: log.errors.append(str(error)))
    return log


def take_screenshot(page: Page, folder: Path, name: str) -> None:
    """Save a screenshot of the page, also in ``WHALESCAN_SCREENSHOTS`` where that is set."""
    path = folder / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    if kept := os.environ.get("WHALESCAN_SCREENSHOTS"):
        Path(kept).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, kept)
