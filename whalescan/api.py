"""What a Python program calls: scan recordings, check them first, open a finished run, load a model."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

from whalescan.core import Position, invalid
from whalescan.options import (
    ScoreOptions,
    TableOptions,
    WorkOptions,
    default_of,
    name_list,
    number,
    path_text,
    position_text,
    zone_text,
)

if TYPE_CHECKING:
    from distributed import Client

    from whalescan.detector.model_spec import Model
    from whalescan.survey.check import CheckReport
    from whalescan.survey.finished_run import Run
    from whalescan.survey.outputs import Survey

_PathLike = str | os.PathLike[str]


def scan(
    recordings: _PathLike | Iterable[_PathLike],
    output: _PathLike | None = None,
    *,
    model: _PathLike | None = None,
    hop_s: float = default_of(ScoreOptions, "hop_s"),
    channel: int | str = 1,
    threshold: float | None = None,
    false_positives_per_hour: float | None = None,
    timezone: str | tzinfo | None = None,
    time_format: str | None = None,
    raven_root: _PathLike | None = None,
    summary_timezone: str | tzinfo | None = None,
    min_validated: int = default_of(TableOptions, "min_validated"),
    formats: str | Sequence[str] = (),
    pars: _PathLike | None = None,
    makara: _PathLike | None = None,
    position: str | tuple[float, float] | Position | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    workers: int | None = None,
    scheduler: _PathLike | None = None,
    jobqueue: str | None = None,
    client: Client | None = None,
    any_class: bool = False,
    restart: bool = False,
    quiet: bool = True,
    hop: float | None = None,
    exact: bool | None = None,
) -> Survey:
    """Detect calls in recordings, and write the tables of a survey.

    A scan that was interrupted resumes when it is called again with the same output. What a user should know meanwhile goes
    to the log ``whalescan``. Signal handlers, environment variables and the memory allocator stay as they are.

    Args:
        recordings: A folder, file or pattern, or several of them.
        output: Folder for tables and stored scores; with None nothing is kept.
        model: Model file. None is the one in the package.
        hop_s: Seconds between the beginnings of windows.
        channel: Channel to analyse: 1, 2, ... or all.
        threshold: Minimum score of a detection, above 0 and at most 1. None is the model's own.
        false_positives_per_hour: Choose the lowest threshold with at most N false positives per hour on the model's
            validation sound. None is no such choice.
        timezone: Time zone of clock times in file names that state none: UTC, UTC-5 or America/New_York. A ``ZoneInfo`` will
            do, too.
        time_format: strptime format of the clock times in file names. None is for the formats of known recorders.
        raven_root: Folder of the recordings as seen on the reviewer's computer.
        summary_timezone: Time zone of additional hourly and daily tables in local time.
        min_validated: Confirmed detections in an hour or a day that make it DETECTED.
        formats: Further output format: audacity, kaleidoscope or parquet; may be given several times. One name or several.
        pars: TOML file with the metadata of a report to NOAA's PARS; the report is written, too.
        makara: TOML file with the metadata of a report to NOAA's Makara; the report is written, too.
        position: Position of the recorder in decimal degrees, with which the report tells day from night. A pair of latitude
            and longitude, west negative.
        device: Device that scores: auto, cpu, cuda or cuda:N.
        batch_size: Windows scored at a time. None is a number that suits the device.
        workers: Chunks scored in parallel, or workers of a batch system. None is one per core.
        scheduler: Dask cluster that scores: its address or scheduler file. None is this computer.
        jobqueue: Batch system that starts the workers: slurm, pbs, sge or lsf.
        client: ``distributed.Client`` whose workers score; it stays open.
        any_class: Accept a model that does not know upcalls.
        restart: Ignore the results of an earlier run in the output folder, and start over.
        quiet: Show no progress and no summary.
        hop: The former name of ``hop_s``.
        exact: Does nothing any more.

    Returns:
        Every recording with its outcome, and the detections. A recording that cannot be read is an outcome, not an error.

    Raises:
        UsageError, ModelError: before anything is started.
        OutputError, ClusterError: when results cannot be written, or a cluster is lost; finished results are kept.
    """
    from whalescan.survey.run import run  # importing Dask is slow
    from whalescan.survey.settings import SurveyJob

    if hop is not None:
        warnings.warn("scan(hop=...) is now scan(hop_s=...)", DeprecationWarning, stacklevel=2)
        hop_s = hop
    _warn_of_exact(exact)
    tables = TableOptions(
        threshold=None if threshold is None else number("threshold", threshold),
        false_positives_per_hour=_rate(false_positives_per_hour),
        timezone=zone_text("timezone", timezone),
        time_format=time_format or "",
        raven_root=path_text("raven_root", raven_root),
        summary_timezone=zone_text("summary_timezone", summary_timezone),
        min_validated=min_validated,
        formats=name_list("formats", formats),
        pars=path_text("pars", pars),
        makara=path_text("makara", makara),
        position=position_text(position),
    )
    work = WorkOptions(
        device=device,
        batch_size=batch_size,
        workers=workers or 0,
        scheduler=path_text("scheduler", scheduler),
        jobqueue=jobqueue or "",
        client=client,
        any_class=any_class,
        restart=restart,
        quiet=quiet,
    )
    scores = _score_options(model, hop_s, channel)
    with tempfile.TemporaryDirectory(prefix="whalescan-") as temporary:
        folder = Path(temporary if output is None else path_text("output", output))
        return run(SurveyJob(_inputs(recordings), folder, scores, tables, work))


def check(
    recordings: _PathLike | Iterable[_PathLike],
    *,
    timezone: str | tzinfo | None = None,
    time_format: str | None = None,
    threshold: float | None = None,
    false_positives_per_hour: float | None = None,
    model: _PathLike | None = None,
    hop_s: float = default_of(ScoreOptions, "hop_s"),
    channel: int | str = 1,
    device: str = "auto",
    workers: int | None = None,
    exact: bool | None = None,
) -> CheckReport:
    """Check recordings before a scan: headers, clocks, gaps, duplicates and damage; a few minutes are scored to time it.

    Args:
        recordings: A folder, file or pattern, or several of them.
        timezone: As for `scan`.
        time_format: As for `scan`.
        threshold: As for `scan`.
        false_positives_per_hour: As for `scan`.
        model: As for `scan`.
        hop_s: As for `scan`.
        channel: As for `scan`.
        device: As for `scan`.
        workers: As for `scan`.
        exact: As for `scan`.

    Returns:
        Every recording with its problems, and the duration to expect of a scan.

    Raises:
        UsageError, ModelError: for invalid options.
    """
    from whalescan.survey.check import check as check_job  # importing Dask is slow
    from whalescan.survey.settings import SurveyJob

    _warn_of_exact(exact)
    tables = TableOptions(
        threshold=None if threshold is None else number("threshold", threshold),
        false_positives_per_hour=_rate(false_positives_per_hour),
        timezone=zone_text("timezone", timezone),
        time_format=time_format or "",
    )
    scores, work = _score_options(model, hop_s, channel), WorkOptions(device=device, workers=workers or 0)
    return check_job(SurveyJob(_inputs(recordings), Path(), scores, tables, work))


def open_run(output: _PathLike) -> Run:
    """Open the folder of a finished run.

    Args:
        output: The folder that `scan` or ``whalescan run`` wrote.

    Raises:
        TableError: when it holds no finished run.
    """
    from whalescan.survey.finished_run import Run  # importing scipy is slow

    return Run(Path(path_text("output", output)))


def load_model(name_or_path: _PathLike | None = None) -> Model:
    """Read the description of a model; its weights are loaded when it scores.

    Args:
        name_or_path: A model file. None is the one in the package.

    Raises:
        ModelError: when the file is absent, is not a whalescan model, or is damaged.
    """
    from whalescan.detector.model_spec import find_model

    return find_model(path_text("name_or_path", name_or_path) or None)


def _inputs(recordings: _PathLike | Iterable[_PathLike]) -> tuple[str, ...]:
    several = [recordings] if isinstance(recordings, str | os.PathLike) else recordings
    if not isinstance(several, Iterable):
        raise invalid("recordings", recordings, "a path or a list of paths")
    return tuple(path_text("recordings", one) for one in several)


def _score_options(model: _PathLike | None, hop_s: float, channel: int | str) -> ScoreOptions:
    return ScoreOptions(path_text("model", model), number("hop_s", hop_s), str(channel))


def _rate(false_positives_per_hour: float | None) -> float | None:
    return None if false_positives_per_hour is None else number("false_positives_per_hour", false_positives_per_hour)


def _warn_of_exact(exact: bool | None) -> None:
    if exact is not None:
        warnings.warn("exact does nothing any more; leave it out", DeprecationWarning, stacklevel=3)
