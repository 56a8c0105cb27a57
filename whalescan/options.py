"""The options of a run, each declared once: name, type, default, help text, and what it changes.

The command line is made from this declaration, and `whalescan.scan` is tested against it. Other groups of options, such as
those of training, may be declared with the same helper.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from datetime import timedelta, timezone, tzinfo
from enum import StrEnum
from functools import partial
from numbers import Integral, Real
from typing import Any

from whalescan.core import Position, UsageError, invalid

ALL_CHANNELS = "all"
QUEUES = ("slurm", "pbs", "sge", "lsf")
"""Batch systems that can start workers."""


class Changes(StrEnum):
    """What an option changes."""

    SCORES = "scores"
    """Options that change scores, and so all results; they enter the fingerprint of stored scores."""
    TABLES = "tables"
    """Options that change tables and the report, which can be made again from stored scores."""
    NEITHER = "neither"
    """Options that change only how the work is done."""


@dataclass(frozen=True, slots=True)
class Option:
    """The declaration of an option, beside the name, type and default of its field.

    Attributes:
        help: one sentence, for ``--help`` and for documentation.
        changes: what the option changes.
        flag: how the command line spells it; empty for the field's name with ``-`` for ``_``.
        letter: its short form, such as ``-q``; empty for none.
        default_text: what the default amounts to, where the value itself does not say it.
        metavar: what stands for the value in ``--help``; empty for its type.
    """

    help: str
    changes: Changes
    flag: str = ""
    letter: str = ""
    default_text: str = ""
    metavar: str = ""


_KEY = "option"


def option(default: Any, help: str, *, changes: Changes, **declared: str) -> Any:  # noqa: A002 - what click calls it
    """Return a dataclass field that is an option.

    Args:
        default: of the field.
        help: as in `Option`.
        changes: as in `Option`.
        declared: further attributes of `Option`.
    """
    return field(default=default, metadata={_KEY: Option(help, changes, **declared)})


def options_of(declaration: type) -> dict[str, Option]:
    """Return the options that a dataclass declares, by the names of their fields, in their order."""
    named = {one.name: one.metadata[_KEY] for one in fields(declaration) if _KEY in one.metadata}
    return {name: _with_flag(name, declared) for name, declared in named.items()}


def default_of(declaration: type, name: str) -> Any:
    """Return the default of a field of a dataclass."""
    (found,) = (one.default for one in fields(declaration) if one.name == name)
    assert found is not MISSING
    return found


def _with_flag(name: str, declared: Option) -> Option:
    return replace(declared, flag=declared.flag or f"--{name.replace('_', '-')}")


def number(parameter: str, value: object) -> float:
    """Return a number as float.

    Raises:
        UsageError: where the value is not a number, or is not finite.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise invalid(parameter, value, "a finite number")
    return float(value)


def _check_whole(parameter: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise invalid(parameter, value, f"a whole number from {least}")


def name_list(parameter: str, value: object) -> tuple[str, ...]:
    """Return names without repetitions and empty ones; a text is one name.

    Raises:
        UsageError: where it is neither text nor several.
    """
    several = (value,) if isinstance(value, str) else value
    if not isinstance(several, Iterable):
        raise invalid(parameter, value, "a name, or a list of names")
    return tuple(dict.fromkeys(str(one) for one in several if one))


def path_text(parameter: str, value: str | os.PathLike[str] | None) -> str:
    """Return a path as text; empty for None.

    Raises:
        UsageError: where it is neither text nor a path.
    """
    if value is None:
        return ""
    if not isinstance(value, str | os.PathLike):
        raise invalid(parameter, value, "a path")
    return os.fspath(value)


def zone_text(parameter: str, value: str | tzinfo | None) -> str:
    """Return the name of a time zone, or its offset from UTC; empty for None.

    Raises:
        UsageError: where it is neither text, a ``ZoneInfo`` nor a fixed offset.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    name = getattr(value, "key", None)
    offset = value.utcoffset(None) if isinstance(value, tzinfo) else None
    if not isinstance(name, str) and offset is None:
        raise invalid(parameter, value, "a time zone, such as 'UTC-5' or ZoneInfo('America/New_York')")
    return name if isinstance(name, str) else str(timezone(offset or timedelta()))


def position_text(value: str | Sequence[float] | Position | None) -> str:
    """Return a position as ``LATITUDE,LONGITUDE``; empty for None.

    Raises:
        UsageError: where it is neither text, a `Position` nor a pair of numbers.
    """
    if value is None or isinstance(value, str):
        return value or ""
    pair = (value.latitude, value.longitude) if isinstance(value, Position) else value
    if not isinstance(pair, Sequence) or len(pair) != 2:
        raise invalid("position", value, "a pair of decimal degrees, such as (42.3, -70.2)")
    return ",".join(repr(number("position", degrees)) for degrees in pair)


_score_option = partial(option, changes=Changes.SCORES)
_table_option = partial(option, changes=Changes.TABLES)
_work_option = partial(option, changes=Changes.NEITHER)


@dataclass(frozen=True)
class ScoreOptions:
    """What determines scores, beside the recording itself. All of it enters the fingerprint of stored scores.

    Attributes:
        model: path of a model file; empty for the default model.
        hop_s: seconds between the beginnings of windows; ``benchmarks/README.md`` lists what a shorter one finds and costs.
        channel: a 1-based number, or ``all``.
    """

    model: str = _score_option("", "Model file.", default_text="the one in the package", metavar="FILE")
    hop_s: float = _score_option(0.25, "Seconds between the beginnings of windows.", flag="--hop", metavar="SECONDS")
    channel: str = _score_option("1", "Channel to analyse: 1, 2, ... or all.", metavar="N|all")

    def channels(self, available: int) -> tuple[int, ...]:
        """Return the channels to score of a recording that has ``available``; empty where it lacks the chosen one."""
        if self.channel == ALL_CHANNELS:
            return tuple(range(1, available + 1))
        return (int(self.channel),) if int(self.channel) <= available else ()

    def __post_init__(self) -> None:
        number("hop_s", self.hop_s)
        if self.channel != ALL_CHANNELS and not (self.channel.isdecimal() and int(self.channel) >= 1):
            raise invalid("channel", self.channel, "a number from 1, or 'all'")


@dataclass(frozen=True)
class TableOptions:
    """What changes the tables that are made of the scores.

    Attributes:
        threshold: minimum score of a detection; None for the model's own.
        false_positives_per_hour: choose the threshold by the operating points of the model; None for another threshold.
        timezone: time zone of clock times in file names that state none; empty where it is not known.
        time_format: ``strptime`` format of the times in file names; empty for the formats of known recorders.
        raven_root: folder of the recordings as seen on the reviewer's computer; empty for as on this one.
        summary_timezone: time zone of a second set of hourly and daily tables; empty for none.
        min_validated: confirmed detections in an hour or a day that make it ``DETECTED``.
        formats: names of further formats, from `tables.formats`.
        pars, makara: TOML files with the metadata of a report to NOAA; empty for no such report.
        position: of the recorder, ``LATITUDE,LONGITUDE`` in degrees north and east; empty where it is not known.
    """

    threshold: float | None = _table_option(
        None, "Minimum score of a detection, above 0 and at most 1.", default_text="the model's own", metavar="SCORE"
    )
    false_positives_per_hour: float | None = _table_option(
        None,
        "Choose the lowest threshold with at most N false positives per hour on the model's validation sound.",
        default_text="no such choice",
        metavar="N",
    )
    timezone: str = _table_option(
        "",
        "Time zone of clock times in file names that state none: UTC, UTC-5 or America/New_York.",
        default_text="not known",
        metavar="ZONE",
    )
    time_format: str = _table_option(
        "",
        "strptime format of the clock times in file names.",
        default_text="the formats of known recorders",
        metavar="FORMAT",
    )
    raven_root: str = _table_option(
        "",
        "Folder of the recordings as seen on the reviewer's computer.",
        default_text="as on this computer",
        metavar="FOLDER",
    )
    summary_timezone: str = _table_option(
        "", "Time zone of additional hourly and daily tables in local time.", default_text="no such tables", metavar="ZONE"
    )
    min_validated: int = _table_option(3, "Confirmed detections in an hour or a day that make it DETECTED.", metavar="N")
    formats: tuple[str, ...] = _table_option(
        (),
        "Further output format: audacity, kaleidoscope or parquet; may be given several times.",
        flag="--format",
        default_text="none",
        metavar="NAME",
    )
    pars: str = _table_option(
        "",
        "TOML file with the metadata of a report to NOAA's PARS; the report is written, too.",
        default_text="no such report",
        metavar="FILE.toml",
    )
    makara: str = _table_option(
        "",
        "TOML file with the metadata of a report to NOAA's Makara; the report is written, too.",
        default_text="no such report",
        metavar="FILE.toml",
    )
    position: str = _table_option(
        "",
        "Position of the recorder in decimal degrees, with which the report tells day from night.",
        default_text="not known",
        metavar="LAT,LON",
    )

    def __post_init__(self) -> None:
        if self.threshold is not None:
            number("threshold", self.threshold)
        if self.false_positives_per_hour is not None:
            number("false_positives_per_hour", self.false_positives_per_hour)
            if self.threshold is not None:
                raise UsageError(
                    "`threshold` and `false_positives_per_hour` exclude each other; leave one of them out",
                    parameter="false_positives_per_hour",
                )
        _check_whole("min_validated", self.min_validated, 1)
        object.__setattr__(self, "formats", name_list("formats", self.formats))  # frozen: not by assignment


@dataclass(frozen=True)
class WorkOptions:
    """How the work is done. The batch size may move a score by less than 0.01, the others not at all.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        batch_size: windows scored at a time; None for a number that suits the device.
        workers: chunks scored in parallel on this computer, or workers that a batch system is asked for; 0 for one per core.
        scheduler: address or scheduler file of a Dask cluster; empty for this computer.
        jobqueue: batch system that starts the workers, one of `QUEUES`; empty for none.
        in_processes: run a long survey's workers on this computer as processes, so that a broken recording cannot end the
            run. Not from a script: Python would start it again in each of them.
        owns_process: whether the run may change settings of its process: handlers of SIGINT and SIGTERM, the memory
            allocator, ``CUBLAS_WORKSPACE_CONFIG`` and the log levels of Dask. The command line says so; a Python program
            keeps its own settings.
        client: `distributed.Client` whose workers score; it stays open. None for workers that the run starts itself.
        performance_report: HTML file for Dask's report on its workers; empty for none.
        profile: time every stage, and write ``profile.json``, a trace in Chrome's format.
        any_class: accept a model that does not know upcalls.
        restart: ignore the results of an earlier run.
        quiet: show no progress and no summary.
        verbose: name each recording when it is finished.
    """

    device: str = _work_option("auto", "Device that scores: auto, cpu, cuda or cuda:N.", metavar="NAME")
    batch_size: int | None = _work_option(
        None, "Windows scored at a time.", default_text="what suits the device", metavar="N"
    )
    workers: int = _work_option(
        0, "Chunks scored in parallel, or workers of a batch system.", default_text="one per core", metavar="N"
    )
    scheduler: str = _work_option(
        "", "Dask cluster that scores: its address or scheduler file.", default_text="this computer", metavar="ADDRESS"
    )
    jobqueue: str = _work_option(
        "", "Batch system that starts the workers: slurm, pbs, sge or lsf.", default_text="none", metavar="NAME"
    )
    performance_report: str = _work_option(
        "", "HTML file for Dask's report on its workers.", default_text="none", metavar="FILE.html"
    )
    profile: bool = _work_option(False, "Print where the time went, and write the trace OUT/profile.json.")
    any_class: bool = _work_option(False, "Accept a model that does not know upcalls.")
    restart: bool = _work_option(False, "Ignore the results of an earlier run in the output folder, and start over.")
    quiet: bool = _work_option(False, "Show no progress and no summary.", letter="-q")
    verbose: bool = _work_option(False, "Name each recording when it is finished.", letter="-v")
    in_processes: bool = False
    owns_process: bool = False
    client: Any = None

    def __post_init__(self) -> None:
        if self.batch_size is not None:
            _check_whole("batch_size", self.batch_size, 1)
        _check_whole("workers", self.workers, 0)
        if self.jobqueue and self.jobqueue not in QUEUES:
            raise invalid("jobqueue", self.jobqueue, f"one of {', '.join(QUEUES)}")
        if self.jobqueue and self.scheduler:
            raise UsageError("`jobqueue` and `scheduler` exclude each other; leave one of them out", parameter="jobqueue")
        if self.client is not None and (self.scheduler or self.jobqueue):
            raise UsageError("`client` has a scheduler: leave out `scheduler` and `jobqueue`", parameter="client")
        if self.jobqueue and not self.workers:
            raise UsageError("`jobqueue` needs the number of jobs to start: give `workers`", parameter="workers")
