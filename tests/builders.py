"""Builders of what several test modules need: sound files, recordings, detections, tables."""

from __future__ import annotations

import csv
import io
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import soundfile
from click.testing import CliRunner, Result

from whalescan.audio.recordings import AudioFile, read_header
from whalescan.audio.start_times import ClockOptions
from whalescan.cli import main
from whalescan.core import Detection, Gap, GapKind, IntArray, Outcome, Position, Recording, RecordingResult, Status, to_ns
from whalescan.core.intervals import subtract, union
from whalescan.detections.presence import CountedDetection, PresenceBin, PresenceRule, bin_edges, presence_bins
from whalescan.report.report_data import ReportData
from whalescan.tables.noaa.days import NoaaAnalysis

SHARED = Path(__file__).parents[2] / "shared"
LOW_THRESHOLD = 0.05
"""At so low a threshold, any model finds the simulated calls."""


def write_sound(path: Path, samples: np.ndarray, rate_hz: int = 2000, **options: str) -> Path:
    """Write a sound file, and create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate_hz, **options)
    return path


def read_recording(path: Path, timezone: str = "", time_format: str = "") -> Recording:
    """Return a file on its own as a recording."""
    return read_header(AudioFile(path.stem, path, path.name), ClockOptions(timezone, time_format))


def make_recording(
    name: str = "a", duration_s: float = 100.0, channels: int = 1, start_utc: datetime | None = None, folder: str = "/survey"
) -> Recording:
    """Return a recording at 2 kHz of a file that need not exist."""
    source = "name" if start_utc else "none"
    path = Path(folder, f"{name}.wav")
    return Recording(name, path, f"{name}.wav", 2000, round(2000 * duration_s), channels, 44, start_utc, source)


def detection_at(
    middle_ms: int = 5000, score: float | None = 0.8, recording: str = "a", channel: int = 1, label: str = "upcall"
) -> Detection:
    """Return a detection of one second with the identifier that a run would give it; no score if a person added it."""
    middle_s = middle_ms / 1000
    begin = recording if channel == 1 else f"{recording}.ch{channel}"
    identity = f"{begin}-{'' if score is not None else 'human-'}{middle_ms:09d}"
    return Detection(recording, channel, middle_s - 0.5, middle_s + 0.5, 90.0, 200.0, label, score, identity)


START = datetime(2026, 3, 1, tzinfo=UTC)


def recording_at(begin_s: float, length_s: float, folder: str = "a", recorder: str = "R_", rate_hz: int = 2000) -> Recording:
    """Return a recording that begins so many seconds after `START`."""
    name = f"{folder}/{recorder}{begin_s:g}"
    return Recording(
        name=name,
        path=Path("/survey") / f"{name}.wav",
        relative_path=f"{name}.wav",
        rate_hz=rate_hz,
        n_frames=round(length_s * rate_hz),
        channels=1,
        size_bytes=1,
        start_utc=START + timedelta(seconds=begin_s),
        time_source="name",
        recorder=recorder,
    )


DAY_NS = 86400 * 10**9


NOAA_ANALYSIS = NoaaAnalysis(2000, 15.625, 515.625, "whalescan 0.2.0 narw-xception-2", n_reviewed=0, n_unreviewed=0)


CsvRows = list[dict[str, str]]


def presence_day(number: int, n_detections: int = 0, n_validated: int = 0, effort_s: float = 86400.0) -> PresenceBin:
    """Return day ``number`` of 2019, with the result of the default presence rule."""
    begin = to_ns(datetime(2019, 1, 1, tzinfo=UTC)) + number * DAY_NS
    effort = round(effort_s * 10**9)
    result = PresenceRule().result(n_validated, n_detections, effort)
    return PresenceBin(begin, begin + DAY_NS, effort, effort, n_detections, n_validated, None, result)


def csv_rows(content: bytes) -> CsvRows:
    """Return the rows of a CSV table by column."""
    return list(csv.DictReader(io.StringIO(content.decode())))


def csv_bytes(rows: CsvRows, header: list[str] | None = None) -> bytes:
    """Return rows as a CSV table; ``header`` for other columns than those of the first row."""
    text = io.StringIO()
    writer = csv.DictWriter(text, header or list(rows[0]), lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@dataclass
class XwavRawFile:
    """A raw file of an XWAV: its start, its length, and what shall be wrong with it."""

    start: datetime
    n_frames: int
    shift_bytes: int = 0
    rate_hz: int = 2000
    month: int | None = None


def write_xwav(
    path: Path,
    raws: Sequence[XwavRawFile],
    version: int = 1,
    channels: int = 1,
    cut: int = 0,
    n_frames: int | None = None,
    samples: bytes = b"",
) -> Path:
    """Write an XWAV as Triton does: RIFF with the chunks fmt, harp and data."""
    is_v2 = version in (2, ord("2"))
    more = 4 * channels if is_v2 else 0
    block = 2 * channels
    n_frames = sum(raw.n_frames for raw in raws) if n_frames is None else n_frames
    begin = 12 + 24 + 8 + 56 + more + len(raws) * (32 + more) - cut + 8
    harp = struct.pack(
        "<B10s4s4s8sB8sHiih",
        version,
        b"V2.01A",
        b"DL37",
        b"CINM",
        b"SOCAL",
        1,
        b"12345678",
        len(raws),
        -11712345,
        3212345,
        900,
    )
    harp += struct.pack(f"<{channels}f", *[0.5] * channels) if is_v2 else b""
    harp += bytes(8)
    position = begin
    for raw in raws:
        t, n_bytes = raw.start, raw.n_frames * block
        clock = (t.year % 100, raw.month or t.month, t.day, t.hour, t.minute, t.second, t.microsecond // 1000)
        harp += struct.pack("<6BH4IB7x", *clock, position + raw.shift_bytes, n_bytes, 60_000, raw.rate_hz, 1)
        harp += struct.pack(f"<{channels}f", *[1e9] * channels) if is_v2 else b""
        position += n_bytes
    harp = harp[: len(harp) - cut]
    fmt = struct.pack("<HHIIHH", 1, channels, 2000, 2000 * block, block, 16)
    data = samples or bytes(range(1, 251)) * (n_frames * block // 250 + 1)
    chunks = b"".join(
        name + struct.pack("<I", len(body)) + body
        for name, body in ((b"fmt ", fmt), (b"harp", harp), (b"data", data[: n_frames * block]))
    )
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
    return path


HOUR_NS = 3600 * 10**9


SURVEY_BEGIN = datetime(2023, 11, 5, tzinfo=UTC)


PRESENCE_RULE = PresenceRule()


def recorded_spans(recordings: Sequence[Recording]) -> IntArray:
    """Return ``[begin, end)`` of the recordings with a start, in ns since 1970."""
    clocked = [(to_ns(one.start_utc), round(1e9 * one.duration_s)) for one in recordings if one.start_utc]
    return np.array([(begin, begin + length) for begin, length in clocked], np.int64).reshape(-1, 2)


def detection_in(recording: Recording, begin_s: float, score: float | None = 0.9, review: str = "unreviewed") -> Detection:
    """Return a detection of 0.9 s in a recording."""
    identity = f"{recording.name}-{round(1000 * begin_s):09d}"
    return Detection(recording.name, 1, begin_s, begin_s + 0.9, 90.0, 210.0, "NARW upcall", score, identity, review)


def simulated_report_data(
    n_files: int,
    detections_per_hour: float = 5.0,
    seed: int = 1,
    n_gaps: int = 0,
    zone: str = "",
    position: Position | None = None,
    has_clock: bool = True,
    reviews: Sequence[str] = ("unreviewed",),
    name: str = "rec",
) -> ReportData:
    """Return a report's data for half-hour recordings, from a Sunday on which New York sets its clocks back."""
    random = np.random.default_rng(seed)
    starts = [SURVEY_BEGIN + timedelta(minutes=30 * i) if has_clock else None for i in range(n_files)]
    recordings = [
        Recording(
            f"{name}-{i:05d}", Path(f"/survey/{name}-{i:05d}.wav"), f"{i}.wav", 2000, 3_600_000, 1, 7_200_044, start, "name"
        )
        for i, start in enumerate(starts)
    ]
    recorded = union(recorded_spans(recordings))
    lost = np.zeros((0, 2), np.int64)
    if n_gaps:
        begins = np.sort(random.integers(0, n_files * HOUR_NS // 2, n_gaps)) + to_ns(SURVEY_BEGIN)
        lost = np.stack([begins, begins + random.integers(10**9, 10**11, n_gaps)], axis=1)
    kinds = list(GapKind)
    gaps = tuple(Gap(begin, end, kinds[i % 5]) for i, (begin, end) in enumerate(lost.tolist()))
    analysed = subtract(recorded, lost)
    where = np.sort(random.uniform(0, n_files * 1799, random.poisson(detections_per_hour * n_files / 2)))
    scores = random.beta(6, 1.5, len(where)).round(4)
    calls = tuple(
        detection_in(recordings[int(at // 1799)], float(at % 1799), max(float(score), 0.5), reviews[i % len(reviews)])
        for i, (at, score) in enumerate(zip(where, scores, strict=True))
    )
    files = tuple(RecordingResult.of(one, Outcome(Status.DONE, one.duration_s, 0)) for one in recordings)
    by_name = {one.name: one for one in recordings}
    heard = [
        CountedDetection(to_ns(begin_utc), 1, call.score, call.review)
        for call in calls
        if (begin_utc := by_name[call.recording].utc(call.begin_s)) is not None
    ]
    ends = (int(recorded[0, 0]), int(recorded[-1, 1])) if len(recorded) else (0, 0)
    effort = recorded, analysed, heard, PRESENCE_RULE
    local = ZoneInfo(zone) if zone else None
    return ReportData(
        title="Deployment 7",
        files=files,
        detections=calls,
        is_counted=np.ones(len(calls), np.bool_),
        recorded=recorded,
        analysed=analysed,
        gaps=gaps,
        hourly=tuple(presence_bins(bin_edges(*ends, 1), *effort)),
        daily=tuple(presence_bins(bin_edges(*ends, 24), *effort)),
        summary_timezone=local,
        local_hourly=tuple(presence_bins(bin_edges(*ends, 1, local), *effort)) if local else (),
        position=position,
        threshold=0.5,
        threshold_text="0.5, the model's own.",
        window_counts=random.integers(0, 1000, 200),
        presence_rule=PRESENCE_RULE.description,
        sheets=(),
        provenance={
            "detector": "whalescan 0.5.0 narw",
            "recordings": ["/survey/of recordings"],
            "options": {"hop": 0.5, "any_class": True, "formats": ["audacity", "parquet"], "threshold": None, "workers": 0},
            "model": {"sha256": "0d333ae4"},
        },
        written_utc=datetime(2024, 5, 1, 12, tzinfo=UTC),
    )


_ABOUT_THE_RUN = {"run.json", "report.html", "run.log", ".lock", ".lock-holder"}


def run_outputs(out: Path) -> dict[str, bytes]:
    """Return every file of a folder of results, by its path; without those that describe the run itself.

    The manifest of tables counts how often they were written; that count is left out.
    """
    paths = [path for path in out.rglob("*") if path.is_file() and path.name not in _ABOUT_THE_RUN]
    files = {path.relative_to(out).as_posix(): path.read_bytes() for path in paths}
    manifest = json.loads(files[".tables.json"])
    manifest["recordings"] = sorted(manifest["recordings"])
    del manifest["writes"]
    files[".tables.json"] = json.dumps(manifest, sort_keys=True).encode()
    return files


def run_command(*words: object) -> Result:
    """Run a command of the program in this process."""
    return CliRunner().invoke(main, [str(word) for word in words])
