"""Finished runs: detections with current validations, excerpts of the recordings, and contact sheets."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import whalescan
from tests.builders import LOW_THRESHOLD, read_recording, write_sound
from whalescan import TableError
from whalescan.core import Detection, Outcome, RecordingError, RecordingResult, Status
from whalescan.detections.validations import REVIEWS, Validation, added_id
from whalescan.scores import validation_store
from whalescan.survey.finished_run import open_finished_run
from whalescan.survey.report import contact_sheets
from whalescan.survey.run import detect


@pytest.fixture(scope="module")
def finished_output(simulated_recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scanned")
    recordings = shutil.copytree(simulated_recordings, folder / "simulated")
    whalescan.scan(recordings, folder / "out", hop_s=1.0, threshold=LOW_THRESHOLD)
    return folder


@pytest.fixture
def out(finished_output: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished_output / "out", tmp_path / "out")
    return tmp_path / "out"


def as_printed(call: Detection) -> tuple[object, ...]:
    box = f"{call.begin_s:.3f}", f"{call.end_s:.3f}", f"{call.low_hz:.1f}", f"{call.high_hz:.1f}"
    return (
        call.detection_id,
        call.review,
        call.label,
        call.channel,
        *box,
        None if call.score is None else round(call.score, 4),
    )


def random_validations(calls: tuple[Detection, ...], seed: int) -> list[Validation]:
    """Return reviews, moved boxes, and an added call."""
    rng = random.Random(seed)
    reviewed = [Validation.of_detection(call, rng.choice(REVIEWS), "review") for call in rng.sample(calls, len(calls) // 2)]
    moved = [
        replace(Validation.of_detection(call, "yes", "moved"), begin_s=call.begin_s + 0.1) for call in rng.sample(calls, 2)
    ]
    added = replace(calls[0], detection_id=added_id(calls[0].recording, 1, 39.0), begin_s=38.5, end_s=39.5, score=None)
    return [*reviewed, *moved, Validation.of_detection(added, "yes", "added")]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_validations_since_the_tables_were_written_are_included(out: Path, seed: int) -> None:
    validation_store.append_validations(out, random_validations(open_finished_run(out).read_detections(), seed))
    before = open_finished_run(out).read_detections()
    written = detect(out).detections
    assert list(map(as_printed, before)) == list(map(as_printed, written))
    assert list(map(as_printed, open_finished_run(out).read_detections())) == list(map(as_printed, written))


def test_withdrawn_additions_are_not_included(out: Path) -> None:
    call = open_finished_run(out).read_detections()[0]
    added = replace(call, detection_id=added_id(call.recording, 1, 39.0), begin_s=38.5, end_s=39.5, score=None)
    validation_store.append_validations(out, [Validation.of_detection(added, "yes", "added")])
    detect(out)
    assert any(one.score is None for one in open_finished_run(out).read_detections())
    validation_store.append_validations(out, [Validation.of_detection(added, "unreviewed", "added")])
    assert all(one.score is not None for one in open_finished_run(out).read_detections())


def test_higher_threshold_keeps_only_confirmed_detections(out: Path) -> None:
    calls = open_finished_run(out).read_detections()
    kept, withdrawn = sorted(calls, key=lambda call: call.score or 0)[:2]
    validation_store.append_validations(out, [Validation.of_detection(call, "yes", "review") for call in (kept, withdrawn)])
    detect(out, threshold=max(call.score or 0 for call in (kept, withdrawn)) + 0.01)
    validation_store.append_validations(out, [Validation.of_detection(withdrawn, "unreviewed", "review")])
    now = {call.detection_id for call in open_finished_run(out).read_detections()}
    assert kept.detection_id in now
    assert withdrawn.detection_id not in now


def test_excerpt_across_the_border_of_two_recordings(out: Path, tmp_path: Path) -> None:
    samples = (0.1 * np.random.default_rng(3).standard_normal(40_000)).astype(np.float32)
    outcome = Outcome(Status.DONE, 10.0, 0)
    files = []
    for name, part in (("SEA_20260401T000000Z", samples[:20_000]), ("SEA_20260401T000010Z", samples[20_000:])):
        recording = read_recording(write_sound(tmp_path / f"{name}.wav", part, subtype="FLOAT"))
        files.append(RecordingResult.of(recording, outcome))
    run = replace(open_finished_run(out), files=tuple(files))
    assert np.array_equal(run.read_excerpt(files[0].name, 1, 8.0, 13.0, 2000).samples, samples[16_000:26_000])
    assert np.array_equal(run.read_excerpt(files[1].name, 1, 8.0, 13.0, 2000).samples, samples[36_000:])
    files[1].path.unlink()
    assert run.read_excerpt(files[0].name, 1, 8.0, 13.0, 2000).end_s == 10.0  # up to the border


def test_contact_sheets_note_absent_recordings(finished_output: Path, out: Path) -> None:
    shown = contact_sheets(open_finished_run(out), open_finished_run(out).read_detections())
    assert all(entry.image and entry.complexity and not entry.note for sheet in shown for entry in sheet.entries)
    (finished_output / "simulated").rename(finished_output / "elsewhere")
    try:
        run = open_finished_run(out)
        with pytest.raises(RecordingError, match="no longer exists"):
            run.read_excerpt(run.files[0].name, 1, 0.0, 1.0, 2000)
        for sheet in contact_sheets(run, run.read_detections()):
            for entry in sheet.entries:
                assert entry.image is None
                assert entry.detection.recording in entry.note
                assert entry.complexity is not None
    finally:
        (finished_output / "elsewhere").rename(finished_output / "simulated")


def test_contact_sheets_show_each_detection_once(out: Path) -> None:
    calls = open_finished_run(out).read_detections()
    rejected = max(calls, key=lambda call: call.score or 0)
    validation_store.append_validations(out, [Validation.of_detection(rejected, "no", "review")])
    run = open_finished_run(out)
    sheets = {sheet.title: [one.detection for one in sheet.entries] for sheet in contact_sheets(run, run.read_detections())}
    shown = [call.detection_id for ones in sheets.values() for call in ones]
    assert len(shown) == len(set(shown))
    highest = [call.score or 0 for call in sheets["Highest scores"]]
    assert highest == sorted(highest, reverse=True)
    assert rejected.detection_id not in {call.detection_id for call in sheets["Highest scores"]}
    assert rejected.detection_id in set(shown)


def test_sheet_at_the_threshold_has_no_confirmed_detections_below_it(out: Path) -> None:
    run = open_finished_run(out)
    record = replace(run.record, rule=replace(run.record.rule, threshold=0.5))
    one = run.read_detections()[0]
    calls = [replace(one, detection_id=f"{i}", score=0.5 + i / 100) for i in range(30)]
    confirmed = replace(one, detection_id="below", score=0.3, review="yes")
    sheets = contact_sheets(replace(run, record=record), [*calls, confirmed])
    shown = {sheet.title: [entry.detection for entry in sheet.entries] for sheet in sheets}
    assert shown["At the threshold"] == calls[:12]


def test_folders_of_another_kind_or_version(out: Path, tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no finished run there"):
        open_finished_run(tmp_path)
    (out / "detections.csv").write_text("one,two\n1,2\n")
    with pytest.raises(TableError, match=r"detections\.csv.*whalescan detect"):
        open_finished_run(out).read_detections()
    document = json.loads((out / "run.json").read_text())
    del document["options"]["position"]  # as in a version that does not know an option
    (out / "run.json").write_text(json.dumps(document))
    assert open_finished_run(out).record.tables.position == ""
    del document["rule"]
    (out / "run.json").write_text(json.dumps(document))
    with pytest.raises(TableError, match="run again"):
        open_finished_run(out)
    del document["columns"]
    (out / "run.json").write_text(json.dumps(document))
    with pytest.raises(TableError, match=r"made by whalescan 0\.7 or older; run the same command again"):
        open_finished_run(out)
