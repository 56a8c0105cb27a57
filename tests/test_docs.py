"""What users read agrees with what they get."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

import whalescan
from whalescan.cli import main
from whalescan.tables.noaa.makara import MAKARA_EXAMPLE
from whalescan.tables.noaa.pars import PARS_EXAMPLE

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_and_option_is_in_the_readme(name: str) -> None:
    assert f"whalescan {name}" in README
    for parameter in main.commands[name].params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert f"`{max(parameter.opts, key=len)}" in README, parameter.opts
            assert parameter.help


def test_every_option_in_the_readme_exists() -> None:
    options = {name for command in main.commands.values() for p in command.params for name in p.opts}
    assert set(re.findall(r"`(--[a-z-]+)", README)) <= options | {"--help", "--version"}


def test_every_command_in_the_readme_exists() -> None:
    assert set(re.findall(r"(?:`|    |### )whalescan ([a-z-]+)", README)) == set(main.commands)


@pytest.mark.parametrize("example", [PARS_EXAMPLE, MAKARA_EXAMPLE])
def test_the_examples_for_reports_are_those_that_are_tested(example: str) -> None:
    assert f"```toml\n{example.strip()}\n```" in README


def test_links_within_the_project_lead_somewhere() -> None:
    for page in ("README.md", "CONTRIBUTING.md", "docs/cluster.md", "benchmarks/README.md", "whalescan/models/README.md"):
        for target in re.findall(r"\]\(([^)#:]+)[^):]*\)", (ROOT / page).read_text(encoding="utf-8")):
            assert ((ROOT / page).parent / target).exists(), (page, target)


def test_the_citation_names_this_version() -> None:
    found = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    assert found[1] == whalescan.__version__


def test_public_names_are_described_by_us() -> None:
    for name in set(whalescan.__all__) - {"__version__"}:
        assert not (getattr(whalescan, name).__doc__ or f"{name}(").startswith(f"{name}("), "a dataclass's own text"
