"""The documentation: the site builds, a browser can read and search it, and its columns are those of the files."""

from __future__ import annotations

import csv
import importlib.util
import io
import re
import shlex
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import pytest

import whalescan
from tests import make_golden as golden
from tests.browser import chromium, take_screenshot, watch  # noqa: F401 - the fixture is asked for by its name
from whalescan.cli import main
from whalescan.core import Detection, GapKind, Status
from whalescan.core.files import csv_bytes
from whalescan.detections.presence import Presence
from whalescan.detections.validations import ORIGINS, REVIEWS, Validation
from whalescan.evaluation import evaluation_report
from whalescan.scores.score_file import read_scores, write_scores
from whalescan.scores.validation_store import append_validations
from whalescan.survey import check
from whalescan.tables import clip_tables, csvs
from whalescan.tables.run_json import read_run_json
from whalescan.training import clips
from whalescan.training.sounds import TrainingSounds
from whalescan.training.split import Split, split_csv

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FORMATS = (DOCS / "formats.md").read_text(encoding="utf-8")
DEFAULT, LOW, EVALUATION = (golden.EXPECTED / name for name in ("default", "low", "evaluation"))


# ---------------------------------------------------------------------------------------------- columns


def documented_columns() -> dict[str, list[str]]:
    """The first cells of the tables of columns in the page on formats, by the heading above."""
    tables: dict[str, list[str]] = {}
    heading = kind = ""
    for line in FORMATS.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        first = line.split("|")[1].strip() if line.startswith("|") else ""
        kind = first if first in ("column", "array", "key") else kind if first else ""
        if kind and first and first != kind and not first.startswith("-"):
            tables.setdefault(heading, []).extend(re.findall(r"[`*]([^`*]+)[`*]", first))
    return tables


DOCUMENTED = documented_columns()


def header(content: bytes, delimiter: str = ",") -> list[str]:
    return next(csv.reader(io.StringIO(content.decode()), delimiter=delimiter))


def golden_header(folder: Path, name: str, delimiter: str = ",") -> list[str]:
    return header((folder / name).read_bytes(), delimiter)


def columns_of_split() -> list[str]:
    nothing = TrainingSounds(("class",), 2000)
    return header(split_csv(nothing, Split(nothing, nothing)))


WRITTEN = {
    "Raven table": golden_header(DEFAULT, "deployment.whalescan.sound.selections.txt", "\t"),
    "detections.csv": golden_header(DEFAULT, "detections.csv"),
    "detections_compared.csv": list(csvs.COMPARED_COLUMNS),
    "hourly.csv and daily.csv": golden_header(DEFAULT, "hourly.csv"),
    "gaps.csv": golden_header(DEFAULT, "gaps.csv"),
    "files.csv": golden_header(DEFAULT, "files.csv"),
    "check.csv": header(csv_bytes(check.CHECK_COLUMNS, [])),
    "clips.csv": header(clip_tables.clips_csv([])),
    "train.csv": header(clip_tables.training_csv([])),
    "time_order.csv": list(clips.ORDER_COLUMNS),
    "split.csv": columns_of_split(),
    "curve.csv": golden_header(EVALUATION, "curve.csv"),
    "recordings.csv": golden_header(EVALUATION, "recordings.csv"),
    "events.csv": golden_header(EVALUATION, "events.csv"),
    "errors/recording.errors.selections.txt": list(evaluation_report.ERROR_COLUMNS),
    "clips.csv of an evaluation of clips": list(evaluation_report.CLIP_COLUMNS),
    "kaleidoscope.csv": golden_header(DEFAULT, "kaleidoscope.csv"),
    "detectiondata.csv": golden_header(LOW, "detectiondata.csv"),
    "makara/analyses.csv": golden_header(LOW, "makara/analyses.csv"),
}
"""Columns by the headings of the page; the golden files are compared with what the program writes."""


@pytest.mark.parametrize("name", list(WRITTEN))
def test_columns_of_tables(name: str) -> None:
    assert DOCUMENTED[name] == WRITTEN[name]


def test_columns_of_daily_tables() -> None:
    assert golden_header(DEFAULT, "daily.csv") == DOCUMENTED["hourly.csv and daily.csv"]
    local = DOCUMENTED["hourly.local.csv and daily.local.csv"] + DOCUMENTED["hourly.csv and daily.csv"]
    assert golden_header(DEFAULT, "hourly.local.csv") == golden_header(DEFAULT, "daily.local.csv") == local


def test_columns_of_makara_detections() -> None:
    """Their order is NOAA's; blank columns stand together in the page."""
    assert sorted(DOCUMENTED["makara/detections.csv"]) == sorted(golden_header(LOW, "makara/detections.csv"))


def test_arrays_of_scores(tmp_path: Path) -> None:
    scores = read_scores(golden.OUT / "scores" / "tape.npz")
    write_scores(tmp_path, scores)
    with np.load(tmp_path / "tape.npz", allow_pickle=False) as file:
        assert sorted(file.files) == sorted(DOCUMENTED["scores/recording.npz"])


def test_keys_of_run_json(finished_output: Path) -> None:
    """A key stands in the page itself, or the one that it belongs to does."""

    def check_keys(document: dict[str, Any], prefix: str) -> None:
        for name, value in document.items():
            key = f"{prefix}{name}"
            if key in keys:
                keys.remove(key)
            else:
                assert isinstance(value, dict), f"{key} is not documented"
                check_keys(value, f"{key}.")

    keys = set(DOCUMENTED["run.json keys"])
    check_keys(read_run_json(finished_output), "")
    assert not keys, "documented, and not written"


def test_columns_of_validations(tmp_path: Path) -> None:
    detection = Detection("a", 1, 1.0, 2.0, 100.0, 200.0, "NARW upcall", 0.9, "a-000001500")
    append_validations(tmp_path, [Validation.of_detection(detection, "yes", "review")])
    with sqlite3.connect(tmp_path / "judgements.sqlite") as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(judgements)")]
    connection.close()
    assert columns == DOCUMENTED["judgements.sqlite"]


def test_every_table_in_the_page_is_compared() -> None:
    others = {"hourly.local.csv and daily.local.csv", "makara/detections.csv"}
    others |= {"scores/recording.npz", "run.json keys", "judgements.sqlite"}
    assert DOCUMENTED.keys() == WRITTEN.keys() | others


@pytest.mark.parametrize("values", [GapKind, set(Status) - {Status.PENDING}, Presence, REVIEWS, ORIGINS, check.TIME_SOURCES])
def test_values_of_columns(values: Any) -> None:
    for value in values:
        assert f"`{value}`" in FORMATS


def test_every_file_of_a_run_is_in_the_page(finished_output: Path) -> None:
    section = FORMATS.partition("## Folder of a run")[2].partition("\n## ")[0]
    names = re.findall(r"`([^`]+)`", "\n".join(line.split("|")[1] for line in section.splitlines() if line.startswith("|")))
    patterns = [re.escape(name).replace("<recording>", ".+") for name in names]
    files = [
        path.relative_to(folder).as_posix() for folder in (finished_output, DEFAULT, LOW) for path in folder.rglob("*.*")
    ]
    assert files
    for name in files:
        assert any(re.fullmatch(pattern, name) for pattern in patterns), f"{name} is not in docs/formats.md"


# ---------------------------------------------------------------------------------------------- commands and Python


def load_script(name: str) -> ModuleType:
    """A module in ``scripts/``, which is no package."""
    specification = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def example(name: str) -> list[str]:
    """The words of the example in a command's help."""
    (found,) = re.findall(r"Example: (.+)", " ".join((main.commands[name].help or "").split()))
    return shlex.split(found)


@pytest.mark.parametrize("name", sorted(main.commands))
def test_help_has_an_example_that_is_valid(name: str) -> None:
    program, command, *words = example(name)
    assert (program, command) == ("whalescan", name)
    with main.commands[name].make_context(name, words) as context:
        assert context.params


@pytest.mark.parametrize("name", sorted(main.commands))
def test_help_states_every_default(name: str) -> None:
    command = main.commands[name]
    with click.Context(command) as context:
        for option in command.get_params(context):
            if isinstance(option, click.Option) and not option.is_flag and not option.hidden:
                is_required = option.required or "required" in (option.help or "")
                assert is_required or option.get_help_extra(context).get("default"), (name, option.opts)


def test_reference_of_commands() -> None:
    reference = load_script("docs_hooks").command_reference()
    for name, command in main.commands.items():
        (section,) = re.findall(rf"### whalescan {name}\n(.*?)(?=\n##|\Z)", reference, re.DOTALL)
        assert shlex.join(example(name)) in section.replace('"', "'")
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert all(re.search(rf"`{re.escape(spelling)}[ `]", section) for spelling in option.opts), option.opts


def test_reference_of_python_is_complete() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in (DOCS / "reference" / "python").glob("*.md"))
    assert sorted(re.findall(r"^::: whalescan\.(\w+)$", text, re.MULTILINE)) == sorted(
        set(whalescan.__all__) - {"__version__"}
    )


# ---------------------------------------------------------------------------------------------- the site


@pytest.fixture(scope="module", name="site")
def built_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `scripts/docs` builds it, which fails at broken links, anchors and docstrings."""
    pytest.importorskip("mkdocs", reason="needs the packages of .[docs]")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.mark.slow
def test_the_site_has_every_page(site: Path) -> None:
    sources = {path.relative_to(DOCS).with_suffix(".html") for path in DOCS.rglob("*.md")}
    assert sources == {path.relative_to(site) for path in site.rglob("*.html")} - {Path("404.html")}


@pytest.mark.slow
def test_pages_need_no_other_host(site: Path) -> None:
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|link|source|iframe)\b[^>]*(?:src|href)="?((?:https?:)?//[^" >]+)', text)
        assert not loaded, path


@pytest.mark.slow
def test_pages_fit_a_phone(site: Path, browser: Browser, tmp_path: Path) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 740}, reduced_motion="reduce")
    log = watch(page)
    for path in sorted(set(site.rglob("*.html")) - {site / "404.html"}):  # that page is for a server
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
    take_screenshot(page, tmp_path, "site-phone")
    assert not log.errors
    assert all(request.startswith(("file:", "data:", "blob:")) for request in log.requests)
    page.close()


@pytest.fixture(scope="module", name="search_page")
def page_with_search(site: Path, browser: Browser) -> Page:
    """The first page, opened from the disk, when its search is ready."""
    page = browser.new_page(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    page.goto((site / "index.html").as_uri())
    page.locator('[data-md-component="search-query"]').click()
    page.get_by_text("Type to start searching").wait_for()
    return page


QUESTIONS = {
    "time zone": "guides/check-and-clocks.html#which-time-zone",
    "false positives": "guides/evaluation.html",
    "effort": "index.html#what-is-a-day-without-effort",
    "NOAA": "guides/noaa.html",
    "how long": "index.html#how-long-does-it-take",
}
"""What people search for, and a place that answers it."""


@pytest.mark.slow
@pytest.mark.parametrize("words", list(QUESTIONS))
def test_search_answers(search_page: Page, words: str) -> None:
    query = search_page.locator('[data-md-component="search-query"]')
    query.fill("")
    search_page.get_by_text("Type to start searching").wait_for()
    query.press_sequentially(words)
    search_page.get_by_text(re.compile(r"matching document")).wait_for()
    found = search_page.locator(".md-search-result__link").evaluate_all("links => links.slice(0, 12).map(link => link.href)")
    places = [re.sub(r"\?[^#]*", "", address) for address in found]
    assert any(place.endswith(QUESTIONS[words]) for place in places), places
