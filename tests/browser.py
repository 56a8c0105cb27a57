"""A browser for tests of pages: Debian's Chromium, without a screen."""

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
"""Of pages that are looked at, with their heights."""


@pytest.fixture(scope="module", name="browser")
def chromium() -> Iterator[Browser]:
    """Until the end of a module: as long as it runs, no other test of the process could start an event loop of its own."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=_ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Watched:
    """What a page asks for, and what it complains of."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def watch(page: Page) -> Watched:
    """Take down every request, message of the console and error of a page from now on."""
    watched = Watched()
    page.on("request", lambda request: watched.requests.append(request.url))
    page.on("console", lambda message: watched.complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: watched.complaints.append(str(error)))
    return watched


def take_screenshot(page: Page, folder: Path, name: str) -> None:
    """Keep a picture of the page, also in ``WHALESCAN_SCREENSHOTS`` where that is set."""
    path = folder / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    if kept := os.environ.get("WHALESCAN_SCREENSHOTS"):
        Path(kept).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, kept)
