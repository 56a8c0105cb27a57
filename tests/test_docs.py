"""What users read agrees with what they get."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import whalescan
from whalescan.cli import main
from whalescan.tables.noaa.makara import MAKARA_EXAMPLE
from whalescan.tables.noaa.pars import PARS_EXAMPLE

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ("README.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")))
TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}
DOCUMENTATION = "\n".join(TEXTS.values())
REPOSITORY = "https://github.com/whalescan/whalescan/blob/main/"
PICTURES = "https://raw.githubusercontent.com/whalescan/whalescan/main/"
NOT_OURS = {"--memory-limit", "--index-url", "--resources"}
"""Options of other programs that pages mention."""


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_and_option_is_documented(name: str) -> None:
    assert f"whalescan {name}" in DOCUMENTATION
    for parameter in main.commands[name].params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert f"`{max(parameter.opts, key=len)}" in DOCUMENTATION, parameter.opts
            assert parameter.help


@pytest.mark.parametrize("name", sorted(set(main.commands) - {"detect", "import-review", "check", "model"}))
def test_every_option_of_a_command_is_in_its_table(name: str) -> None:
    (table,) = re.findall(rf"^\| option of `whalescan {name}` .*?\n\n", DOCUMENTATION, re.DOTALL | re.MULTILINE)
    options = {max(p.opts, key=len) for p in main.commands[name].params if isinstance(p, click.Option) and not p.hidden}
    first_cells = " ".join(re.findall(r"^\|(.*?)\|", table, re.MULTILINE))
    assert set(re.findall(r"`(--[a-z-]+)", first_cells)) == options


def test_every_documented_option_exists() -> None:
    options = {name for command in main.commands.values() for p in command.params for name in p.opts}
    assert set(re.findall(r"`(--[a-z-]+)", DOCUMENTATION)) <= options | {"--help", "--version"} | NOT_OURS


def test_every_documented_command_exists() -> None:
    named = re.findall(r"(?:`|^ {4}|^\$ |^|&& )whalescan ([a-z][a-z-]+)", DOCUMENTATION, re.MULTILINE)
    assert set(named) == set(main.commands)


def test_the_two_commands_of_the_readme_are_as_they_are_run() -> None:
    assert "    python -m pip install -e . && whalescan run sample_data/ -o out\n" in README
    assert '    python -m pip install -e ".[test]" && python -m pytest\n' in README
    assert len(README.splitlines()) < 150


def test_every_file_that_a_run_leaves_is_documented(finished_output: Path) -> None:
    for path in finished_output.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            name = path.relative_to(finished_output).as_posix().replace(path.name.partition(".")[0], "<recording>", 1)
            assert f"`{path.name}`" in DOCUMENTATION or f"`{name}`" in DOCUMENTATION, path


@pytest.mark.parametrize("example", [PARS_EXAMPLE, MAKARA_EXAMPLE])
def test_the_examples_for_reports_are_those_that_are_tested(example: str) -> None:
    assert f"```toml\n{example.strip()}\n```" in DOCUMENTATION


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "benchmarks/README.md", "whalescan/models/README.md"])
def test_links_within_the_project_lead_somewhere(page: str) -> None:
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)#:]+)[^):]*\)", text):
        assert ((ROOT / page).parent / target).exists(), (page, target)


def test_links_and_pictures_of_the_readme_work_on_a_package_index() -> None:
    targets = re.findall(r"\]\(([^)]+)\)", README)
    assert targets
    for target in targets:
        assert target.startswith((REPOSITORY, PICTURES)), target
        path = target.removeprefix(REPOSITORY).removeprefix(PICTURES).partition("#")[0]
        assert (ROOT / path).exists(), target


def test_messages_in_the_troubleshooting_page_are_those_of_the_program() -> None:
    sources = {text for path in (ROOT / "whalescan").rglob("*.py") for text in texts(path)}
    messages = re.findall(r"^```text\n(.*?)\n```$", TEXTS["docs/troubleshooting.md"], re.DOTALL | re.MULTILINE)
    assert len(messages) > 60
    for message in messages:
        fixed_words = re.split(r"…|--[a-z-]+", message)
        pattern = re.compile(".*".join(re.escape(words.strip()) for words in fixed_words), re.DOTALL)
        assert any(pattern.search(text) for text in sources), message


def texts(path: Path) -> Iterator[str]:
    """Yield each text of a Python file; the values in an f-string are replaced by a null character."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_python_in_the_documentation_is_valid() -> None:
    for code in re.findall(r"^```python\n(.*?)^```$", DOCUMENTATION, re.DOTALL | re.MULTILINE):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "whalescan":
                assert hasattr(whalescan, node.attr), node.attr


def test_the_citation_names_this_version() -> None:
    found = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    assert found[1] == whalescan.__version__


def test_public_names_are_described_by_us() -> None:
    for name in set(whalescan.__all__) - {"__version__"}:
        assert not (getattr(whalescan, name).__doc__ or f"{name}(").startswith(f"{name}("), "a dataclass's own text"
