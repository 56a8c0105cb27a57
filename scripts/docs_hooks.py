"""Hooks of `mkdocs.yml`: pages that are made from the program, and pages that stand elsewhere in the repository.

- ``<!-- commands -->`` in a page becomes the reference of all commands, made from click.
- ``<!-- include: PATH -->`` becomes the Markdown file at a path of the repository, with its links and pictures made valid.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from whalescan.cli import main
from whalescan.cli.group import _SECTIONS as SECTIONS

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY = "https://github.com/whalescan/whalescan/blob/main"
"""Address of files that are no part of the site."""

PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "performance.md",
    "whalescan/models/README.md": "model-card.md",
}
"""Pages by the files that they include, or stand for."""
PICTURES = {"whalescan/models/failures.png": "pictures/failures.png"}
"""Places in the site of pictures that lie elsewhere in the repository."""

_INCLUDE = re.compile(r"^<!-- include: (\S+) -->$", re.MULTILINE)
_COMMANDS = "<!-- commands -->"
_LINK = re.compile(r"(?P<before>\]\()(?P<target>[^)#:\s]+)(?P<anchor>#[^)\s]*)?(?=\))")
_EXAMPLE = "Example: "


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pictures that lie outside of ``docs/``."""
    for source, place in PICTURES.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - mkdocs calls it
    """Replace the marks in a page."""
    markdown = _INCLUDE.sub(lambda found: included(found[1], page.file.src_uri), markdown)
    return markdown.replace(_COMMANDS, command_reference())


def included(source: str, page: str) -> str:
    """Return a Markdown file of the repository with links that are valid in a page.

    Args:
        source: path of the file, from the root of the repository.
        page: path of the page, from ``docs/``.
    """

    def in_page(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), found["target"]))
        anchor = found["anchor"] or ""
        place = PAGES.get(target) or PICTURES.get(target) or (target[5:] if target.startswith("docs/") else None)
        if place is None:
            if not (ROOT / target).exists():
                raise FileNotFoundError(f"{source}: links to {target}, which does not exist")
            return f"{found['before']}{REPOSITORY}/{target}{anchor}"
        return f"{found['before']}{posixpath.relpath(place, posixpath.dirname(page) or '.')}{anchor}"

    return _LINK.sub(in_page, (ROOT / source).read_text(encoding="utf-8"))


def command_reference() -> str:
    """Return the help of all commands as Markdown, a section for each."""
    parts = []
    for title, names in SECTIONS.items():
        parts.append(f"## {title}")
        parts += (part for name in names for part in _command(name, main.commands[name]))
    return "\n\n".join(parts)


def _command(name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=f"whalescan {name}")
    text, _, example = (command.help or "").partition(_EXAMPLE)
    yield f"### whalescan {name}"
    yield from map(_plain, text.strip().split("\n\n"))
    yield '```text title="Usage"\n' + " ".join([context.command_path, *command.collect_usage_pieces(context)]) + "\n```"
    if example:
        yield '```bash title="Example"\n' + " ".join(example.split()) + "\n```"
    for parameter in command.get_params(context):
        if isinstance(parameter, click.Option) and not parameter.hidden:
            yield _option(name, parameter, context)


def _option(command: str, option: click.Option, context: click.Context) -> str:
    names = sorted(option.opts, key=len)
    flag = names[-1].lstrip("-")
    value = "" if option.is_flag else " " + option.make_metavar(context)
    term = ", ".join(f"`{name}`" for name in names[:-1]) + (", " if names[:-1] else "") + f"`{names[-1]}{value}`"
    default = f" *{text}.*" if (text := _default(option, context)) else ""
    return f'{term}<span id="{command}--{flag}"></span>\n:   {_plain(option.help or "")}{default}'


def _default(option: click.Option, context: click.Context) -> str:
    """Return what holds without the option, as ``--help`` states it."""
    if option.required:
        return "Required"
    if option.is_flag:
        return ""
    default = option.get_help_extra(context).get("default", "")
    plain = default[1:-1] if default.startswith("(") and default.endswith(")") else default
    return f"Default: {_plain(plain)}" if plain else ""


def _plain(text: str) -> str:
    """Return text as Markdown that shows it as it is; code in backticks stays code."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(part if part.startswith("`") else re.sub(r"([*_<\[\]])", r"\\\1", part) for part in parts)
