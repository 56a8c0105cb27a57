"""The door itself: the group of commands, its errors and exit codes, and options from a file."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from whalescan._version import __version__
from whalescan.core import ModelError, TableError, UsageError, WhalescanError

_SECTIONS = {
    "Recordings to tables": ("check", "run", "detect", "import-review"),
    "Models": ("model", "train", "evaluate"),
    "Sound with known calls": ("simulate",),
}
_INTERRUPTED = 130


class _Door(click.Group):
    """Groups the commands in ``--help``, and turns our errors into messages and exit codes."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click calls it
        """The commands under their sections."""
        for title, names in _SECTIONS.items():
            commands = {name: self.commands[name] for name in names}
            with formatter.section(title):
                formatter.write_dl([(name, command.get_short_help_str(80)) for name, command in commands.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error of ours is a message and an exit code."""
        try:
            return super().invoke(ctx)
        except WhalescanError as error:
            click.echo(f"whalescan: {error}", err=True)
            sys.exit(2 if isinstance(error, UsageError | ModelError | TableError) else 1)
        except OSError as error:
            click.echo(f"whalescan: {error}", err=True)
            sys.exit(1)
        except KeyboardInterrupt:
            click.echo("whalescan: interrupted; give the same command again to go on", err=True)
            sys.exit(_INTERRUPTED)


def read_config(context: click.Context, _parameter: click.Parameter, path: Path | None) -> None:
    """Options from a TOML file, or from the run.json of an earlier run; the command line wins over both."""
    if path is None:
        return
    try:
        text = path.read_text(encoding="utf-8-sig")
        document = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise UsageError(f"--config {path}: cannot be read as TOML or run.json ({error})") from error
    if not isinstance(document, dict):
        raise UsageError(f"--config {path}: holds no options")
    options = document
    if "options" in document:  # a run.json
        options = {**document["options"], "recordings": document.get("recordings", [])}
    known = {spelling: option.name for option in context.command.params for spelling in (option.name, *option.opts)}
    defaults = {}
    for name, value in options.items():
        key = known.get(name.replace("-", "_"), known.get(f"--{name.replace('_', '-')}"))
        if key is None or key == "config":
            raise UsageError(f"--config {path}: there is no option {name!r}; see `whalescan run --help`")
        defaults[key] = value if value != "" else None
    context.default_map = defaults


def together(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several options as one decorator, in the order in which ``--help`` shows them."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@click.group(cls=_Door, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, message="whalescan %(version)s")
def main() -> None:
    """Find right whale calls in hydrophone recordings, and write them down for Raven Pro and for reports."""
