"""The options: those that change scores, those that change tables, and those that only change how the work is done."""

from __future__ import annotations

from dataclasses import dataclass

from whalescan.core import UsageError

ALL_CHANNELS = "all"
QUEUES = ("slurm", "pbs", "sge", "lsf")
"""Batch systems that can be asked for workers."""


@dataclass(frozen=True)
class ScoreOptions:
    """What determines scores, beside the recording itself. All of it enters the fingerprint of stored scores.

    Attributes:
        model: path of a model file; empty for the default model.
        hop_s: distance between windows; ``benchmarks/README.md`` says what a shorter one finds and costs.
        channel: a 1-based number, or ``all``.
        exact: look at every window, also where the model's glance sees nothing.
    """

    model: str = ""
    hop_s: float = 0.25
    channel: str = "1"
    exact: bool = False

    def channels(self, available: int) -> tuple[int, ...]:
        """The channels to score of a recording that has ``available``; empty where the one asked for is not there."""
        if self.channel == ALL_CHANNELS:
            return tuple(range(1, available + 1))
        return (int(self.channel),) if int(self.channel) <= available else ()

    def __post_init__(self) -> None:
        if self.channel != ALL_CHANNELS and not (self.channel.isdecimal() and int(self.channel) >= 1):
            raise UsageError(f"--channel {self.channel!r} is none; give a number from 1, or 'all'")


@dataclass(frozen=True)
class TableOptions:
    """What changes the tables that are made of the scores.

    Attributes:
        threshold: score at which a detection opens; None for the model's own.
        timezone: zone of recorder clocks whose file names do not state one.
        time_format: ``strptime`` format of the times in file names; empty for the known recorders.
        raven_root: folder of the recordings as the reviewer's computer sees it.
        summary_timezone: zone of a second set of hourly and daily tables; empty for none.
        min_validated: confirmed calls in an hour or a day that make it ``DETECTED``.
        formats: names of further formats, from `tables.formats`.
        pars, makara: TOML files with what only the user knows of a report to NOAA; empty for no such report.
        position: where the recorder was, ``LATITUDE,LONGITUDE`` in degrees north and east, which tells day from night;
            empty where that is not said.
    """

    threshold: float | None = None
    timezone: str = ""
    time_format: str = ""
    raven_root: str = ""
    summary_timezone: str = ""
    min_validated: int = 3
    formats: tuple[str, ...] = ()
    pars: str = ""
    makara: str = ""
    position: str = ""


@dataclass(frozen=True)
class WorkOptions:
    """How the work is done. The batch size may move a score by less than 0.01, the others not at all.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        batch_size: windows scored at a time; None for as many as suit the device.
        workers: chunks scored beside each other on this machine, or workers that a batch system is asked for; 0 for as many
            as suit this machine.
        scheduler: address or scheduler file of a Dask cluster; empty for this machine.
        jobqueue: batch system that is asked for workers, one of `QUEUES`; empty for none.
        in_processes: whether a survey's workers on this machine are processes of their own, which a broken recording may
            kill without harm. Not from a script: Python would start it again in each of them.
        performance_report: HTML file for Dask's report of who worked when; empty for none.
        profile: time every stage, and leave ``profile.json``, a trace in Chrome's format.
        any_class: take a model that does not know upcalls, too.
        restart: use nothing of an earlier run.
        quiet: no progress bar and no summary.
        verbose: name each recording as it is finished.
    """

    device: str = "auto"
    batch_size: int | None = None
    workers: int = 0
    scheduler: str = ""
    jobqueue: str = ""
    in_processes: bool = False
    performance_report: str = ""
    profile: bool = False
    any_class: bool = False
    restart: bool = False
    quiet: bool = False
    verbose: bool = False

    def __post_init__(self) -> None:
        if (self.batch_size is not None and self.batch_size < 1) or self.workers < 0:
            raise UsageError("--batch-size must be at least 1 and --workers at least 0")
        if self.jobqueue and self.jobqueue not in QUEUES:
            raise UsageError(f"--jobqueue {self.jobqueue!r} is not known; choose one of {', '.join(QUEUES)}")
        if self.jobqueue and self.scheduler:
            raise UsageError("--jobqueue starts a scheduler of its own; leave out --scheduler")
        if self.jobqueue and not self.workers:
            raise UsageError("say how many workers --jobqueue shall ask for: --workers N")
