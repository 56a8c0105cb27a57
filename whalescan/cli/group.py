"""The door itself: the group of commands, its errors and exit codes, and options from a file."""

from __future__ import annotations

import json
import os
import sys
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

from whalescan._version import __version__
from whalescan.core import ModelError, TableError, UsageError, WhalescanError

_SECTIONS = {
    "Recordings to tables": ("check", "run", "detect", "report"),
    "People look and judge": ("review", "import-review", "clips"),
    "Models": ("model", "train", "train-glance", "evaluate"),
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
            _leave()


def _leave() -> NoReturn:
    """End after an interruption. Threads that score on would abort an orderly end; what they score is not waited for."""
    if any("Dask-Default-Threads" in thread.name for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_INTERRUPTED)
    sys.exit(_INTERRUPTED)


def _read_config(context: click.Context, _parameter: click.Parameter, path: Path | None) -> None:
    """Options from a TOML file, or from the run.json of an earlier run; the command line wins over both.

    What `run` knows and this command lacks is passed over, so that one file serves both.
    """
    if path is None:
        return
    own, of_run = _by_spelling(context.command), _by_spelling(main.commands["run"])
    defaults: dict[str, Any] = {}
    for name, value in _options_in(path).items():
        spelling = name.replace("_", "-")
        option = own.get(spelling)
        if option is None and spelling not in of_run:
            raise UsageError(f"--config {path}: there is no option {name!r}; see `{context.command_path} --help`")
        if option is not None and value not in ("", None):
            takes_several = isinstance(option, click.Argument) or option.multiple
            defaults[option.name or ""] = [value] if takes_several and isinstance(value, str) else value
    context.default_map = defaults


def _options_in(path: Path) -> dict[str, Any]:
    """Names and values, as they stand in a TOML file or a run.json."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        document = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise UsageError(f"--config {path}: cannot be read as TOML or run.json ({error})") from error
    options = document.get("options", document) if isinstance(document, dict) else None
    if not isinstance(options, dict):
        raise UsageError(f"--config {path}: holds no options")
    return options if options is document else {**options, "recordings": document.get("recordings", [])}


def _by_spelling(command: click.Command) -> dict[str, click.Option | click.Argument]:
    """What may stand in a file: parameters by each of their names, with ``-`` for ``_``; not the file itself."""
    return {
        spelling.removeprefix("--").replace("_", "-"): parameter
        for parameter in command.params
        for spelling in (parameter.name or "", *parameter.opts)
        if isinstance(parameter, click.Option | click.Argument) and parameter.name != "config"
    }


config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    callback=_read_config,
    is_eager=True,
    expose_value=False,
    help="Options from a TOML file, or from a run.json.",
)


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
