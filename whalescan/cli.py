"""The door: parse, call one function, print, exit."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whalescan._version import __version__
from whalescan.config import ScoreOptions, TableOptions, WorkOptions
from whalescan.core import ModelError, TableError, UsageError, WhalescanError

if TYPE_CHECKING:
    from whalescan.survey.outputs import Survey

_SECTIONS = {
    "Recordings to tables": ("run", "detect"),
    "Models": ("model", "train"),
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


def _read_config(context: click.Context, _parameter: click.Parameter, path: Path | None) -> None:
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
    known = {option.name: option for option in context.command.params if option.name}
    defaults = {}
    for name, value in options.items():
        key = name.replace("-", "_")
        if key not in known or key == "config":
            raise UsageError(f"--config {path}: there is no option {name!r}; see `whalescan run --help`")
        defaults[key] = value if value != "" else None
    context.default_map = defaults


def _together(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_score_options = _together(
    click.option("--model", help="A model file. Default: the one inside the package."),
    click.option("--hop", type=float, default=ScoreOptions.hop_s, show_default=True, help="Seconds between windows."),
    click.option("--channel", default=ScoreOptions.channel, show_default=True, help="Which channel: 1, 2, ... or all."),
)
_table_options = _together(
    click.option("--threshold", type=float, help="Score at which a detection opens. Default: the model's."),
    click.option("--timezone", default="", help="Zone of the clocks in file names that state none: UTC, UTC-5, a name."),
    click.option("--time-format", default="", help="strptime format of the times in file names."),
    click.option("--raven-root", default="", help="Folder of the recordings as the reviewer's computer sees it."),
)
_work_options = _together(
    click.option("--device", default=WorkOptions.device, show_default=True, help="auto, cpu, cuda or cuda:N."),
    click.option("--batch-size", type=int, default=WorkOptions.batch_size, show_default=True, help="Windows at a time."),
    click.option("--workers", type=int, default=0, help="Chunks scored beside each other. Default: one a core."),
    click.option("--scheduler", default="", help="A Dask cluster: its address or scheduler file. Default: this machine."),
    click.option("--restart", is_flag=True, help="Use nothing of an earlier run in OUT."),
    click.option("--quiet", "-q", is_flag=True, help="No progress bar and no summary."),
    click.option("--verbose", "-v", is_flag=True, help="Name each recording as it is finished."),
)


@click.group(cls=_Door, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, message="whalescan %(version)s")
def main() -> None:
    """Find right whale calls in hydrophone recordings, and write them down for Raven Pro and for reports."""


@main.command()
@click.argument("recordings", nargs=-1)
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder for the results.")
@_score_options
@_table_options
@_work_options
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    callback=_read_config,
    is_eager=True,
    expose_value=False,
    help="Options from a TOML file, or from a run.json.",
)
def run(
    recordings: tuple[str, ...],
    output: Path | None,
    model: str | None,
    hop: float,
    channel: str,
    threshold: float | None,
    timezone: str,
    time_format: str,
    raven_root: str,
    device: str,
    batch_size: int,
    workers: int,
    scheduler: str,
    restart: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Score RECORDINGS (folders, files or patterns) and write every table.

    A run that was interrupted goes on when the same command is given again.
    """
    from whalescan.survey.job import Job
    from whalescan.survey.run import run as run_job

    if output is None:
        raise UsageError("say where the results go: --output FOLDER")
    survey = run_job(
        Job(
            inputs=recordings,
            output=output,
            scores=ScoreOptions(model or "", hop, str(channel)),
            tables=TableOptions(threshold, timezone or "", time_format or "", raven_root or ""),
            work=WorkOptions(device, batch_size, workers, scheduler or "", restart, quiet, verbose),
        )
    )
    _report(survey, output, quiet)


def _report(survey: Survey, output: Path, quiet: bool) -> None:
    """Say what came of it, and exit as the contract has it."""
    from whalescan.survey.summary import problems, summary

    if not quiet:
        click.echo(summary(survey, output))
    for line in problems(survey):
        click.echo(line, err=True)
    sys.exit(survey.exit_code)


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--threshold", type=float, help="Score at which a detection opens. Default: the one used last.")
def detect(out: Path, threshold: float | None) -> None:
    """Find calls anew in the scores that a run left in OUT; needs neither sound nor model."""
    from whalescan.survey.run import detect as detect_again

    _report(detect_again(out, threshold), out, quiet=False)


@main.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="The model file to write.")
@click.option("--without-calls", multiple=True, help="Recordings in which nothing is a call; may be given several times.")
@click.option("--weights", type=click.Path(path_type=Path), help="ImageNet weights. Default: timm fetches its own.")
@click.option("--epochs", type=int, default=9, show_default=True, help="Passes over the clips.")
@click.option("--seed", type=int, default=20090328, show_default=True, help="Of everything that is drawn.")
@click.option("--threshold", type=float, default=0.5, show_default=True, help="The score that opens a detection.")
@click.option("--quiet", "-q", is_flag=True, help="No progress bar.")
def train(
    data: Path,
    output: Path,
    without_calls: tuple[str, ...],
    weights: Path | None,
    epochs: int,
    seed: int,
    threshold: float,
    quiet: bool,
) -> None:
    """Teach a network on the clips in DATA (train.csv and train/, the layout of the Kaggle whale challenge)."""
    from whalescan.detector.spec import ModelSpec
    from whalescan.learn.training import TrainData, TrainOptions
    from whalescan.learn.training import train as train_model

    spec = ModelSpec(thresholds=(threshold,), whalescan_version=__version__)
    learnt_from = TrainData(data, without_calls, weights)
    metrics = train_model(learnt_from, output, TrainOptions(epochs=epochs, seed=seed), spec, quiet)
    click.echo(f"{output}: on {metrics.n_clips} held-out clips AUC {metrics.auc:.4f}, accuracy {metrics.accuracy:.4f}")


@main.command()
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="Folder for the recordings.")
@click.option("--recordings", type=click.IntRange(1), default=3, show_default=True, help="How many.")
@click.option("--minutes", type=click.FloatRange(0.2), default=5.0, show_default=True, help="Length of each.")
@click.option(
    "--calls-per-hour", type=click.FloatRange(0, 1000), default=54.0, show_default=True, help="Mean rate of upcalls."
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed makes the same sound.")
def simulate(output: Path, recordings: int, minutes: float, calls_per_hour: float, seed: int) -> None:
    """Make recordings of an imagined sea, with the true calls as Raven tables beside them."""
    from whalescan.learn.simulation import SeaOptions, write_recordings

    options = SeaOptions(minutes=minutes, calls_per_hour=calls_per_hour, seed=seed)
    for path, n_calls in write_recordings(output, recordings, options):
        click.echo(f"{path}: {n_calls} calls")


@main.command()
@click.argument("model", required=False)
def model(model: str | None) -> None:
    """Say what a MODEL is: network, front end, classes, training, metrics, hash. Default: the one inside the package."""
    from whalescan.detector.spec import describe, find_model

    click.echo(describe(find_model(model)))
