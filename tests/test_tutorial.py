"""The tutorial does what it says: its code blocks run in their order, and print what it shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TUTORIAL = ROOT / "docs" / "tutorial.md"
SECONDS = 600


def blocks(page: str) -> list[tuple[str, str, str]]:
    """Return language, code and shown output of each block that is run; ``sh`` blocks, which wait for a person, are not."""
    fenced = re.findall(r"^```(\w+)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    following = [*fenced[1:], ("", "")]
    return [
        (language, code, after if next_language == "text" else "")
        for (language, code), (next_language, after) in zip(fenced, following, strict=True)
        if language in ("bash", "python")
    ]


def run(language: str, code: str, folder: Path) -> str:
    """Run a block as a user would who has activated this environment; return what it prints."""
    programs = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        [*programs[language], code],
        cwd=folder,
        env={**os.environ, "PATH": path, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode == 0, (code, ended.stdout, ended.stderr)
    return ended.stdout


def assert_shows(printed: str, shown: str) -> None:
    """Assert that the shown lines were printed in this order; ``...`` stands for anything, alone for any lines."""
    lines = printed.splitlines()
    for text in filter(lambda line: line.strip() != "...", shown.splitlines()):
        pattern = re.compile(".*".join(map(re.escape, text.rstrip().split("..."))))
        found = next((i for i, line in enumerate(lines) if pattern.fullmatch(line.rstrip())), None)
        assert found is not None, (text, printed)
        del lines[: found + 1]


@pytest.mark.slow
def test_the_blocks_of_the_tutorial_run_and_print_what_it_shows(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "sample_data", tmp_path / "sample_data")
    to_run = blocks(TUTORIAL.read_text(encoding="utf-8"))
    assert {language for language, _, _ in to_run} == {"bash", "python"}
    for language, code, shown in to_run:
        assert_shows(run(language, code, tmp_path), shown)
    assert [path.name for path in tmp_path.iterdir()] == ["sample_data"], "it cleans up"


def test_shown_output_is_compared_line_by_line() -> None:
    assert_shows("a 1\nb 2.345 s\nc\n", "a 1\n...\nb ... s\n")
    with pytest.raises(AssertionError, match="d"):
        assert_shows("a 1\n", "d\n")
    with pytest.raises(AssertionError, match="a"):
        assert_shows("b\na\n", "a\nb\n")
