"""Make the golden files of ``tests/test_golden.py`` anew.

    python -m tests.make_golden             # expected tables, from the stored scores
    python -m tests.make_golden --scores    # the stored scores, reviews and annotations, too

Make them anew only when a change shall change tables, calls or scores, and say so in the changelog. A change that renames,
moves or simplifies code must pass with the files as they are. Look at ``git diff tests/golden/expected`` afterwards: every
line there is a change that users see.

With ``--scores``, the script needs a processor with bfloat16, and it makes the folder ``/survey``, since that path stands in
the tables. It removes the folder at the end. No sound is kept.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tests.builders import run_command

GOLDEN = Path(__file__).with_name("golden")
OUT = GOLDEN / "out"
"""What ``detect`` needs of the folder of a run."""
ANNOTATIONS = GOLDEN / "annotations"
"""The true calls of the recordings of that run."""
REVIEWED = GOLDEN / "reviewed" / "deployment.whalescan.sound.selections.txt"
"""A table of that run as a reviewer saved it."""
MODEL_SCORES = GOLDEN / "model_scores.npz"
"""``scores`` (in bfloat16), ``scores_float32`` and ``complexity`` of `MODEL_SOUND`, as `MODEL_RUN` finds them."""
EXPECTED = GOLDEN / "expected"
"""Files that the commands below write, a folder for each."""

_ALL_TABLES = ("--summary-timezone", "America/New_York", "--format", "audacity", "--format", "kaleidoscope")
_REPORTS = ("--pars", str(GOLDEN / "pars.toml"), "--makara", str(GOLDEN / "makara.toml"))
DETECT: dict[str, tuple[str, ...]] = {
    "default": _ALL_TABLES,
    "low": ("--threshold", "0.02", "--raven-root", "D:\\survey", "--min-validated", "1", *_ALL_TABLES, *_REPORTS),
}
EVALUATE = ("--bootstrap", "50", "--seed", "3", "--false-positives-per-hour", "20", "--precision", "0.9")
EVALUATION_TABLES = ("curve.csv", "recordings.csv", "events.csv")
MODEL_SOUND = ("--recordings", "1", "--minutes", "1", "--calls-per-hour", "600", "--seed", "7")
THRESHOLD = "0.1"
"""So low that any model has detections, and some of them are false."""
MODEL_RUN = ("--hop", "0.5", "--device", "cpu", "--quiet")

_SOUND = ("--recordings", "5", "--minutes", "1", "--calls-per-hour", "500", "--seed", "11")
_WITHOUT_BFLOAT16 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
_SURVEY = Path("/survey")
_RECORDINGS = _SURVEY / "recordings"
_MIDNIGHT = datetime(2026, 4, 1, tzinfo=UTC)
_NOT_TABLES = frozenset({"run.json", "run.log", "report.html", "judgements.sqlite", ".tables.json", ".lock"})
Row = dict[str, str]


def tables(out: Path) -> dict[str, bytes]:
    """The tables that a run, ``detect`` or ``import-review`` wrote, by their paths below the folder."""
    paths = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
    return {
        name: path.read_bytes()
        for name, path in sorted(paths.items())
        if name not in _NOT_TABLES and not name.startswith("scores/")
    }


def read_table(content: bytes) -> list[Row]:
    """The rows of a Raven table."""
    return list(csv.DictReader(io.StringIO(content.decode()), delimiter="\t", quoting=csv.QUOTE_NONE))


def table_bytes(columns: Iterable[str], rows: Iterable[Row]) -> bytes:
    """Rows as a Raven table."""
    columns = list(columns)
    return "".join("\t".join(cells) + "\n" for cells in (columns, *([row[c] for c in columns] for row in rows))).encode()


def numbers(evaluation: Path) -> dict[str, float]:
    """The numbers of an ``evaluation.json``, each by the keys that lead to it; texts and the user's options are left out."""
    document = json.loads(evaluation.read_bytes())
    del document["given"]
    return dict(_numbers_below(document, ""))


def _numbers_below(value: Any, keys: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, dict | list):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _numbers_below(below, f"{keys}/{key}")
    elif isinstance(value, int | float):
        yield keys, value


def _must(code: int, *words: object) -> None:
    result = run_command(*words)
    if result.exit_code != code:
        sys.exit(f"{' '.join(map(str, words))}: exit code {result.exit_code}, not {code}\n{result.output}")


def _name(moment: datetime) -> str:
    return f"NS_{moment:%Y%m%dT%H%M%SZ}"


def _write_survey(simulated_recordings: Path) -> None:
    """The recordings, made of simulated ones, and the tables of their true calls."""
    sounds = sorted(path for path in simulated_recordings.iterdir() if path.suffix in (".wav", ".flac", ".aiff"))
    truths = [path.with_suffix(".selections.txt").read_bytes() for path in sounds]
    (pair, pair_hz), (gappy, gappy_hz), (tape, tape_hz), (two, two_hz), (cut, cut_hz) = map(soundfile.read, sounds)

    # Two recordings of one stretch of sound: the border lies at midnight, in the middle of a call.
    rows = read_table(truths[0])
    begins_s, ends_s = (np.array([float(row[column]) for row in rows]) for column in ("Begin Time (s)", "End Time (s)"))
    border_s = min((begins_s + ends_s) / 2, key=lambda middle_s: abs(middle_s - 30))
    border = round(border_s * pair_hz)
    first, second = _name(_MIDNIGHT - timedelta(seconds=round(border_s))), _name(_MIDNIGHT)
    later = [
        row | {name: f"{float(row[name]) - border / pair_hz:.6f}" for name in ("Begin Time (s)", "End Time (s)")}
        for row, begin_s in zip(rows, begins_s, strict=True)
        if begin_s >= border_s
    ]
    earlier = [
        row | {"End Time (s)": f"{min(end_s, border / pair_hz):.6f}"}
        for row, begin_s, end_s in zip(rows, begins_s, ends_s, strict=True)
        if begin_s < border_s
    ]
    _write(first, ".wav", pair[:border], pair_hz, table_bytes(rows[0], earlier))
    _write(second, ".wav", pair[border:], pair_hz, table_bytes(rows[0], later))

    gappy[20 * gappy_hz : 26 * gappy_hz] = 0  # a drop-out
    _write(_name(_MIDNIGHT + timedelta(minutes=10)), ".flac", gappy, gappy_hz, truths[1])
    _write("tape", ".aiff", tape, tape_hz, truths[2])  # a name without a clock time
    (_RECORDINGS / f"{_name(_MIDNIGHT + timedelta(hours=2))}.wav").write_bytes(b"This is no sound.\n")
    far = 0.5 * np.roll(two, round(0.3 * two_hz))
    _write(_name(_MIDNIGHT + timedelta(hours=4, minutes=10)), ".wav", np.stack([two, far], axis=1), two_hz, truths[3])
    path = _write(_name(_MIDNIGHT + timedelta(hours=4, minutes=12)), ".flac", cut, cut_hz, truths[4])
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])  # the copy to disk was cut short


def _write(name: str, suffix: str, samples: np.ndarray, rate_hz: int, truth: bytes) -> Path:
    path = _RECORDINGS / f"{name}{suffix}"
    soundfile.write(path, samples, rate_hz, subtype="PCM_16")
    (ANNOTATIONS / f"{name}.selections.txt").write_bytes(truth)
    return path


def _reviewed(content: bytes, verdicts: Iterable[str]) -> bytes:
    """A deployment table after review. Each verdict goes to a call that nobody has reviewed; one call is added.

    ``deleted`` removes the row, and ``moved`` draws the box anew.
    """
    rows = read_table(content)
    columns = list(rows[0])
    unreviewed = [row for row in rows if row["Review"] == "unreviewed"]
    for row, verdict in zip(unreviewed[::2], verdicts, strict=False):
        if verdict == "deleted":
            rows.remove(row)
        elif verdict == "moved":
            row["Begin Time (s)"] = f"{float(row['Begin Time (s)']) - 0.25:.6f}"
            row["File Offset (s)"] = f"{float(row['File Offset (s)']) - 0.25:.6f}"
            row["High Freq (Hz)"] = f"{float(row['High Freq (Hz)']) + 20:.1f}"
        else:
            row["Review"] = verdict
    silent = [
        (float(after["Begin Time (s)"]) - float(before["End Time (s)"]), before)
        for before, after in pairwise(rows)
        if before["Begin Path"] == after["Begin Path"]
    ]
    longest_s, before = max(silent, key=lambda one: one[0])
    later_s = longest_s / 2 + float(before["End Time (s)"]) - float(before["Begin Time (s)"])
    begin_s, offset_s = (float(before[name]) + later_s for name in ("Begin Time (s)", "File Offset (s)"))
    added = before | dict.fromkeys(("Score", "Detection ID", "Detector"), "")
    added |= {"Selection": str(len(rows) + 1), "Review": "yes", "Low Freq (Hz)": "95.0", "High Freq (Hz)": "205.0"}
    added |= {
        "Begin Time (s)": f"{begin_s:.6f}",
        "End Time (s)": f"{begin_s + 0.9:.6f}",
        "File Offset (s)": f"{offset_s:.6f}",
    }
    return table_bytes(columns, [*rows, added])


def _store(files: dict[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _make_scores(work: Path) -> None:
    """Replace what is made of sound, and the reviewed table."""
    for folder in (OUT, ANNOTATIONS, REVIEWED.parent):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    _must(0, "simulate", "-o", work / "simulated", *_SOUND)
    out = work / "out"
    try:
        _RECORDINGS.mkdir(parents=True)
        _write_survey(work / "simulated")
        # exit code 3: broken recordings are among them
        _must(3, "run", _RECORDINGS, "-o", out, "--channel", "all", "--threshold", THRESHOLD, *MODEL_RUN)
    finally:
        shutil.rmtree(_SURVEY)
    saved = work / REVIEWED.name
    saved.write_bytes(_reviewed((out / saved.name).read_bytes(), ("yes", "no", "maybe", "moved")))
    _must(0, "import-review", out, saved, "--reviewer", "Ada")
    for name in ("run.json", "files.csv", "judgements.sqlite"):
        shutil.copy(out / name, OUT / name)
    shutil.copytree(out / "scores", OUT / "scores")
    REVIEWED.write_bytes(_reviewed((out / saved.name).read_bytes(), ("no", "deleted", "yes", "moved", "maybe")))

    _must(0, "simulate", "-o", work / "sound", *MODEL_SOUND)
    _must(0, "run", work / "sound", "-o", work / "scored", *MODEL_RUN)
    command = [sys.executable, "-m", "whalescan", "run", str(work / "sound"), "-o", str(work / "float32"), *MODEL_RUN]
    subprocess.run(command, check=True, env=os.environ | _WITHOUT_BFLOAT16)
    (scores,), (float32,) = ((work / name / "scores").glob("*.npz") for name in ("scored", "float32"))
    with np.load(scores, allow_pickle=False) as file, np.load(float32, allow_pickle=False) as other:
        arrays = {"scores": file["scores"], "scores_float32": other["scores"], "complexity": file["complexity"]}
    np.savez_compressed(MODEL_SCORES, **arrays)


def _make_expected(work: Path) -> None:
    """Replace what commands make of the stored scores."""
    shutil.rmtree(EXPECTED, ignore_errors=True)
    for name, options in DETECT.items():
        again = shutil.copytree(OUT, work / name)
        _must(3, "detect", again, *options)
        _store(tables(again), EXPECTED / name)
    _must(0, "import-review", work / "default", REVIEWED, "--reviewer", "Ben")
    _store(tables(work / "default"), EXPECTED / "reviewed")
    evaluation = work / "evaluation"
    _must(0, "evaluate", OUT, ANNOTATIONS, "-o", evaluation, *EVALUATE)
    _store({name: (evaluation / name).read_bytes() for name in EVALUATION_TABLES}, EXPECTED / "evaluation")
    found = json.dumps(numbers(evaluation / "evaluation.json"), indent=1) + "\n"
    (EXPECTED / "evaluation" / "numbers.json").write_text(found, encoding="utf-8", newline="\n")


def main() -> None:
    """Replace golden files."""
    if sys.argv[1:] not in ([], ["--scores"]):
        sys.exit("usage: python -m tests.make_golden [--scores]")
    with tempfile.TemporaryDirectory() as work:
        if sys.argv[1:]:
            if _SURVEY.exists():
                sys.exit(f"{_SURVEY} is there already; move it away first")
            _make_scores(Path(work))
        _make_expected(Path(work))


if __name__ == "__main__":
    main()
