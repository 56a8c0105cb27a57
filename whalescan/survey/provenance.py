"""``run.json``: options, model, machine and results of a run. As ``--config`` it repeats the run."""

from __future__ import annotations

import json
import os
import platform
import time
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from whalescan._version import __version__
from whalescan.audio.start_times import ClockOptions
from whalescan.core import TableError
from whalescan.core.files import write_atomically
from whalescan.detections.detection_rule import DetectionRule
from whalescan.detections.presence import PresenceRule
from whalescan.detector.model_spec import DEFAULT_MODEL, Validation, validation_from_json
from whalescan.options import ScoreOptions, TableOptions
from whalescan.survey.operating_point import ThresholdOrigin
from whalescan.survey.outputs import Survey
from whalescan.survey.settings import OutputSettings, ScoringMethod, SurveyJob
from whalescan.tables.run_json import RUN_JSON, read_run_json

_PACKAGES = ("torch", "timm", "numpy", "scipy", "soundfile", "soxr", "dask", "distributed")


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Facts about a run with which its tables can be made again.

    Attributes:
        rule: how log-odds became detections.
        threshold_origin: what the rule's threshold was chosen by.
        detector: name and version of the detector.
        model_name: name of the model.
        classes: of the model.
        validation: operating points of the model's classes; empty where they were not measured.
        rate_hz: sampling rate at which the model scored.
        band_hz: lowest and highest frequency that the model used.
    """

    scores: ScoreOptions
    tables: TableOptions
    rule: DetectionRule
    threshold_origin: ThresholdOrigin
    detector: str
    model_name: str
    classes: tuple[str, ...]
    validation: tuple[Validation, ...]
    rate_hz: int
    band_hz: tuple[float, float]

    @property
    def clock_options(self) -> ClockOptions:
        """Options with which start times were read."""
        return ClockOptions(self.tables.timezone, self.tables.time_format)


def write_run_record(
    job: SurveyJob, method: ScoringMethod, survey: Survey, started_utc: datetime, started_monotonic_s: float
) -> None:
    """Write ``run.json``.

    Args:
        job: what was asked for.
        method: what followed from it.
        survey: the results.
        started_utc: when the run started.
        started_monotonic_s: the same by the monotonic clock.
    """
    scores, tables, work = job.scores, job.tables, job.work
    elapsed_s = time.monotonic() - started_monotonic_s
    document = {
        "whalescan": __version__,
        "detector": method.detector,
        "recordings": [str(Path(text).absolute()) for text in job.inputs],
        "options": {
            "model": "" if method.model.path == DEFAULT_MODEL else str(method.model.path.absolute()),
            "hop": scores.hop_s,
            "channel": scores.channel,
            **_table_options(tables),
            "device": work.device,
            "batch_size": work.batch_size,
            "workers": work.workers,
            "scheduler": work.scheduler,
            "jobqueue": work.jobqueue,
            "any_class": work.any_class,
        },
        "model": {
            "name": method.model.name,
            "sha256": method.model.sha256,
            "architecture": method.model.spec.architecture,
            "classes": list(method.model.spec.classes),
            "band_hz": list(method.model.spec.front_end.band_hz),
            "validation": [asdict(measured) for measured in method.model.spec.validation],
        },
        "windows": asdict(method.grid),
        "columns": asdict(method.model.spec.columns),
        "rule": asdict(method.rule),
        "threshold_origin": method.threshold_origin,
        "presence": PresenceRule(tables.min_validated).description,
        "results": _results(survey),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES},
        "machine": {
            "system": platform.platform(),
            "processor": platform.processor(),
            "cores": os.cpu_count(),
            "batch_size": method.batch_size,
        },
        "started_utc": started_utc.isoformat(timespec="seconds"),
        "finished_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "elapsed_s": round(elapsed_s, 1),
    }
    _write(job.output, document)


def read_run_record(output: Path) -> RunRecord:
    """Read how a run was made.

    Raises:
        TableError: when there is no ``run.json``, or it is of another version and lacks what this one needs.
    """
    document = read_run_json(output)
    if "columns" not in document:
        raise TableError(f"{output / RUN_JSON}: made by whalescan 0.7 or older; run the same command again to score it")
    try:
        options = document["options"]
        return RunRecord(
            scores=ScoreOptions(options["model"], options["hop"], options["channel"]),
            tables=TableOptions(
                **{name: options[name] for name in TableOptions.__dataclass_fields__ if name in options}
                | {"formats": tuple(options["formats"])}
            ),
            rule=DetectionRule.from_dict(document["rule"]),
            threshold_origin=ThresholdOrigin(document["threshold_origin"]),
            detector=document["detector"],
            model_name=document["model"]["name"],
            classes=tuple(document["model"]["classes"]),
            validation=tuple(map(validation_from_json, document["model"]["validation"])),
            rate_hz=document["windows"]["rate_hz"],
            band_hz=tuple(document["model"]["band_hz"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise TableError(f"{output / RUN_JSON}: not written by this version of whalescan ({error}); run again") from error


def update_run_record(output: Path, settings: OutputSettings, survey: Survey) -> None:
    """Write the settings and results of tables that were made again. The facts about the run itself stay."""
    document = read_run_json(output)
    document["options"] |= _table_options(settings.options)
    document |= {
        "rule": asdict(settings.rule),
        "threshold_origin": settings.threshold_origin,
        "presence": settings.presence_rule.description,
        "results": _results(survey),
    }
    _write(output, document)


def _table_options(options: TableOptions) -> dict[str, Any]:
    """Return options as ``--config`` reads them, with paths that are valid from any folder."""
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
    write_atomically(output / RUN_JSON, (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode())
