"""The group of commands: its help, its messages and exit codes, and options from a file."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import click

from whalescan._version import __version__
from whalescan.cli.options import flag_of, names_of
from whalescan.core import ModelError, TableError, UsageError, WhalescanError

_SECTIONS = {
    "Recordings to tables": ("check", "run", "detect", "report"),
    "Review of detections": ("review", "import-review", "clips"),
    "Models": ("model", "train", "evaluate"),
    "Sound with known calls": ("simulate",),
}
_INTERRUPTED = 130


class _Group(click.Group):
    """Groups the commands in ``--help``, and turns errors into messages and exit codes."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click calls it
        """Write the commands under their sections."""
        for title, names in _SECTIONS.items():
            commands = {name: self.commands[name] for name in names}
            with formatter.section(title):
                formatter.write_dl([(name, command.get_short_help_str(80)) for name, command in commands.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error of the library becomes a message and an exit code."""
        with _log_on_screen(ctx):
            try:
                return super().invoke(ctx)
            except WhalescanError as error:
                parameter = error.parameter if isinstance(error, UsageError) else None
                click.echo(f"whalescan: {with_flags(str(error), _command(ctx), parameter)}", err=True)
                sys.exit(2 if isinstance(error, UsageError | ModelError | TableError) else 1)
            except OSError as error:
                click.echo(f"whalescan: {error}", err=True)
                sys.exit(1)
            except KeyboardInterrupt:
                click.echo("whalescan: interrupted; give the same command again to resume", err=True)
                _leave()


def _command(context: click.Context) -> click.Command:
    """Return the command that is running."""
    return main.commands.get(context.invoked_subcommand or "", main)


def with_flags(text: str, command: click.Command, parameter: str | None = None) -> str:
    """Return a message of the library with the command's options in place of the parameters of Python.

    Args:
        text: the message. A parameter is recognised by its backticks, by its underscore (``hop_s``), or by the word
            *invalid* before it.
        command: the command whose options are named.
        parameter: the one that the message is about, where it is known; its first mention is recognised, too.
    """
    for option in command.params:
        if isinstance(option, click.Option):
            for name in names_of(option):
                text = re.sub(f"`{name}`|(?<=invalid ){name}(?= )", flag_of(option), text)
                if "_" in name or name == parameter:
                    alone = rf"(?<![\w./\\-]){name}(?![\w./\\=-])"
                    text = re.sub(alone, flag_of(option), text, count=0 if "_" in name else 1)
    return text


def echo_problem(line: str) -> None:
    """Print a problem that the library reports to stderr, with the options of the command in it."""
    of_command = with_flags(line, click.get_current_context().command)
    click.echo(with_flags(of_command, main.commands["run"]), err=True)  # the problem may be one of the run


class _Screen(logging.Handler):
    """Writes the library's log to stderr, above a progress bar where there is one."""

    def __init__(self, context: click.Context) -> None:
        super().__init__()
        self._context = context

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; a warning bears the program's name."""
        text = with_flags(record.getMessage(), _command(self._context))
        line = f"whalescan: {text}" if record.levelno >= logging.WARNING else text
        if bars := sys.modules.get("tqdm"):
            bars.tqdm.write(line, file=sys.stderr)
        else:
            click.echo(line, err=True)


@contextmanager
def _log_on_screen(context: click.Context) -> Iterator[None]:
    """Show the library's log on stderr while a command runs; ``--quiet`` leaves only warnings."""
    logger = logging.getLogger("whalescan")
    level, screen = logger.level, _Screen(context)
    logger.setLevel(logging.INFO)
    logger.addHandler(screen)
    try:
        yield
    finally:
        logger.removeHandler(screen)
        logger.setLevel(level)


def _leave() -> NoReturn:
    """End after an interruption, without waiting for threads that still score: they would abort an orderly end."""
    if any("Dask-Default-Threads" in thread.name for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_INTERRUPTED)
    sys.exit(_INTERRUPTED)


def _read_config(context: click.Context, _parameter: click.Parameter, path: Path | None) -> None:
    """Take options from a TOML file, or from the run.json of an earlier run; the command line wins over both.

    Options of `run` that this command lacks are ignored, so that one file serves both.
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
    """Return names and values as they stand in a TOML file or a run.json."""
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
    """Return the parameters that may stand in a file, by each of their names, with ``-`` for ``_``."""
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
    show_default="none",
    help="File with options: TOML, or the run.json of an earlier run.",
)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, message="whalescan %(version)s")
def main() -> None:
    """Find right whale calls in hydrophone recordings, and write tables for Raven Pro and for reports.

    Example: whalescan run recordings/ -o out/
    """
