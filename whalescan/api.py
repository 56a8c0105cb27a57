"""What a Python program calls: the options of `whalescan run`, under the same names."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from whalescan.detector.model_spec import Model, find_model
from whalescan.options import ScoreOptions, TableOptions, WorkOptions
from whalescan.survey.outputs import Survey


def scan(
    recordings: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str] | None = None,
    *,
    model: str | os.PathLike[str] = "",
    hop: float = ScoreOptions.hop_s,
    channel: int | str = 1,
    exact: bool = False,
    threshold: float | None = None,
    timezone: str = "",
    time_format: str = "",
    raven_root: str | os.PathLike[str] = "",
    summary_timezone: str = "",
    min_validated: int = TableOptions.min_validated,
    formats: Sequence[str] = (),
    pars: str | os.PathLike[str] = "",
    makara: str | os.PathLike[str] = "",
    position: str = "",
    device: str = "auto",
    batch_size: int | None = None,
    workers: int = 0,
    scheduler: str = "",
    jobqueue: str = "",
    any_class: bool = False,
    restart: bool = False,
    quiet: bool = True,
) -> Survey:
    """Find the calls in recordings.

    Args:
        recordings: a folder, file or pattern, or several of them.
        output: folder for tables and scores; nothing is kept where this is None.
        model: path of a model file; empty for the default one.
        hop: seconds between windows.
        channel: 1-based, or ``"all"``.
        exact: look at every window, also where the model's first glance sees nothing; up to four times slower.
        threshold: score at which a detection opens; None for the model's own.
        timezone: zone of recorder clocks whose file names do not state one.
        time_format: ``strptime`` format of the times in file names.
        raven_root: folder of the recordings as the reviewer's computer sees it.
        summary_timezone: zone of a second set of hourly and daily tables.
        min_validated: confirmed calls in an hour or a day that make it ``DETECTED``.
        formats: names of further formats: ``audacity``, ``kaleidoscope``, ``parquet``.
        pars: TOML file with what only you know of a report to NOAA's PARS; empty for none.
        makara: the same for Makara.
        position: ``42.3,-70.2``, degrees north and east of the recorder; the report then tells day from night.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        batch_size: windows scored at a time; None for as many as suit the device.
        workers: chunks scored beside each other; 0 for one a core.
        scheduler: address or scheduler file of a Dask cluster; empty for this machine.
        jobqueue: batch system that starts ``workers``: ``slurm``, ``pbs``, ``sge`` or ``lsf``.
        any_class: take a model that does not know upcalls, too.
        restart: score again what was scored before.
        quiet: no progress bar.

    Returns:
        Every recording with its outcome, and the calls; a recording that cannot be read is an outcome, not an error.

    Raises:
        UsageError, ModelError: before anything is started.
        OutputError, ClusterError: when results cannot be written, or a cluster is gone; what was finished is kept.
    """
    from whalescan.survey.job import Job
    from whalescan.survey.run import run  # Dask takes its time to import

    inputs = [recordings] if isinstance(recordings, str | os.PathLike) else recordings
    with tempfile.TemporaryDirectory(prefix="whalescan-") as nowhere:
        return run(
            Job(
                inputs=tuple(os.fspath(text) for text in inputs),
                output=Path(nowhere if output is None else output),
                scores=ScoreOptions(os.fspath(model), float(hop), str(channel), exact),
                tables=TableOptions(
                    None if threshold is None else float(threshold),
                    timezone,
                    time_format,
                    os.fspath(raven_root),
                    summary_timezone,
                    min_validated,
                    tuple(formats),
                    os.fspath(pars),
                    os.fspath(makara),
                    position,
                ),
                work=WorkOptions(
                    device=device,
                    batch_size=batch_size,
                    workers=workers,
                    scheduler=scheduler,
                    jobqueue=jobqueue,
                    any_class=any_class,
                    restart=restart,
                    quiet=quiet,
                ),
            )
        )


def load_model(name_or_path: str | os.PathLike[str] | None = None) -> Model:
    """What a model is: the default one, or that of a file.

    Raises:
        ModelError: when the file is absent, is no whalescan model, or is damaged.
    """
    return find_model(None if name_or_path is None else os.fspath(name_or_path))
