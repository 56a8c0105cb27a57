"""``run.json``: what was done, with what, on which machine; given back as ``--config`` it repeats the run."""

from __future__ import annotations

import json
import os
import platform
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from whalescan._version import __version__
from whalescan.core import TableError
from whalescan.core.files import write_whole
from whalescan.detections.detection_rule import DetectionRule
from whalescan.detections.presence import PresenceRule
from whalescan.detector.model_spec import DEFAULT_MODEL
from whalescan.options import ScoreOptions, TableOptions
from whalescan.survey.job import Job, Method
from whalescan.survey.output_settings import Views
from whalescan.survey.outputs import PROVENANCE, Survey

_PACKAGES = ("torch", "timm", "numpy", "scipy", "soundfile", "soxr", "dask", "distributed")


@dataclass(frozen=True, slots=True)
class Kept:
    """What `detect` needs to know of the run whose scores it reads."""

    scores: ScoreOptions
    tables: TableOptions
    rule: DetectionRule
    detector: str
    classes: tuple[str, ...]
    rate_hz: int
    band_hz: tuple[float, float]


def write(job: Job, how: Method, survey: Survey, started_utc: datetime, started_monotonic_s: float) -> None:
    """Write ``run.json``."""
    scores, tables, work = job.scores, job.tables, job.work
    elapsed_s = time.monotonic() - started_monotonic_s
    document = {
        "whalescan": __version__,
        "detector": how.detector,
        "recordings": [str(Path(text).absolute()) for text in job.inputs],
        "options": {
            "model": "" if how.model.path == DEFAULT_MODEL else str(how.model.path.absolute()),
            "hop": scores.hop_s,
            "channel": scores.channel,
            "exact": scores.exact,
            **_table_options(tables),
            "device": work.device,
            "batch_size": work.batch_size,
            "workers": work.workers,
            "scheduler": work.scheduler,
            "jobqueue": work.jobqueue,
            "any_class": work.any_class,
        },
        "model": {
            "name": how.model.name,
            "sha256": how.model.sha256,
            "architecture": how.model.spec.architecture,
            "classes": list(how.model.spec.classes),
            "band_hz": list(how.model.spec.front_end.band_hz),
        },
        "windows": asdict(how.grid),
        "rule": asdict(how.rule),
        "presence": PresenceRule(tables.min_validated).sentence,
        "results": _results(survey),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES},
        "machine": {
            "system": platform.platform(),
            "processor": platform.processor(),
            "cores": os.cpu_count(),
            "batch_size": how.batch_size,
        },
        "started_utc": started_utc.isoformat(timespec="seconds"),
        "finished_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "elapsed_s": round(elapsed_s, 1),
    }
    _write(job.output, document)


def read(output: Path) -> Kept:
    """What a run was.

    Raises:
        TableError: when there is no ``run.json``, or one that is not ours.
    """
    document = read_document(output)
    try:
        options = document["options"]
        return Kept(
            scores=ScoreOptions(options["model"], options["hop"], options["channel"], options.get("exact", True)),
            tables=TableOptions(
                **{name: options[name] for name in TableOptions.__dataclass_fields__ if name in options}
                | {"formats": tuple(options["formats"])}
            ),
            rule=DetectionRule.from_dict(document["rule"]),
            detector=document["detector"],
            classes=tuple(document["model"]["classes"]),
            rate_hz=document["windows"]["rate_hz"],
            band_hz=tuple(document["model"]["band_hz"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise TableError(f"{output / 'run.json'}: not written by this version of whalescan ({error}); run again") from error


def update(output: Path, views: Views, survey: Survey) -> None:
    """Note what tables are now, and their results; what was run, and when, stays."""
    document = read_document(output)
    document["options"] |= _table_options(replace(views.options, threshold=views.rule.threshold))
    document |= {"rule": asdict(views.rule), "presence": views.presence.sentence, "results": _results(survey)}
    _write(output, document)


def _table_options(options: TableOptions) -> dict[str, Any]:
    """As `--config` reads them on any working folder of this machine."""
    files = {name: str(Path(path).absolute()) for name in ("pars", "makara") if (path := getattr(options, name))}
    return asdict(options) | {"formats": list(options.formats)} | files


def _results(survey: Survey) -> dict[str, Any]:
    return {
        "recordings": dict(sorted(Counter(row.outcome.status for row in survey.files).items())),
        "recorded_s": round(sum(row.recording.duration_s for row in survey.files if row.recording), 3),
        "analysed_s": round(survey.analysed_s, 3),
        "n_detections": len(survey.detections),
    }


def _write(output: Path, document: dict[str, Any]) -> None:
    write_whole(output / PROVENANCE, (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode())


def read_document(output: Path) -> dict[str, Any]:
    """All that ``run.json`` says.

    Raises:
        TableError: when there is none, or one that is not ours.
    """
    path = output / PROVENANCE
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise TableError(f"{path}: no finished run there ({error}); give the folder that `run` wrote") from error
    if not isinstance(document, dict):
        raise TableError(f"{path}: not a run.json of whalescan")
    return document
