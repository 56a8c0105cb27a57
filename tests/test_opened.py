"""A finished run, opened: its calls as they stand now, and their sound."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import whalescan
from tests.conftest import recording_of, write_sound
from whalescan import TableError
from whalescan.core import Detection, Outcome, RecordingError, Status
from whalescan.detections.validations import VERDICTS, Judgement, added_id
from whalescan.scores import validation_store
from whalescan.survey import contact_sheets
from whalescan.survey.finished_run import open_run
from whalescan.survey.run import detect
from whalescan.tables.csvs import FileRow


@pytest.fixture(scope="module")
def scanned(sea: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scanned")
    recordings = shutil.copytree(sea, folder / "sea")
    whalescan.scan(recordings, folder / "out", hop=1.0, threshold=0.3)
    return folder


@pytest.fixture
def out(scanned: Path, tmp_path: Path) -> Path:
    shutil.copytree(scanned / "out", tmp_path / "out")
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


def judged_at_random(calls: tuple[Detection, ...], seed: int) -> list[Judgement]:
    """Verdicts, boxes that were moved, and calls that only people saw."""
    dice = random.Random(seed)
    said = [Judgement.of(call, dice.choice(VERDICTS), "review") for call in dice.sample(calls, len(calls) // 2)]
    moved = [replace(Judgement.of(call, "yes", "moved"), begin_s=call.begin_s + 0.1) for call in dice.sample(calls, 2)]
    seen = replace(calls[0], detection_id=added_id(calls[0].recording, 1, 39.0), begin_s=38.5, end_s=39.5, score=None)
    return [*said, *moved, Judgement.of(seen, "yes", "added")]


@pytest.mark.parametrize("seed", range(4))
def test_what_was_said_since_shows_as_it_will_in_the_tables(out: Path, seed: int) -> None:
    validation_store.append(out, judged_at_random(open_run(out).calls(), seed))
    before = open_run(out).calls()
    written = detect(out).detections
    assert list(map(as_printed, before)) == list(map(as_printed, written))
    assert list(map(as_printed, open_run(out).calls())) == list(map(as_printed, written))


def test_what_is_taken_back_is_gone_before_the_tables_are_written(out: Path) -> None:
    call = open_run(out).calls()[0]
    seen = replace(call, detection_id=added_id(call.recording, 1, 39.0), begin_s=38.5, end_s=39.5, score=None)
    validation_store.append(out, [Judgement.of(seen, "yes", "added")])
    detect(out)
    assert any(one.score is None for one in open_run(out).calls())
    validation_store.append(out, [Judgement.of(seen, "unreviewed", "added")])
    assert all(one.score is not None for one in open_run(out).calls())


def test_a_higher_threshold_holds_for_what_was_kept_by_a_verdict(out: Path) -> None:
    calls = open_run(out).calls()
    kept, taken_back = sorted(calls, key=lambda call: call.score or 0)[:2]
    validation_store.append(out, [Judgement.of(call, "yes", "review") for call in (kept, taken_back)])
    detect(out, threshold=max(call.score or 0 for call in (kept, taken_back)) + 0.01)
    validation_store.append(out, [Judgement.of(taken_back, "unreviewed", "review")])
    now = {call.detection_id for call in open_run(out).calls()}
    assert kept.detection_id in now
    assert taken_back.detection_id not in now


def test_sound_is_read_across_the_border_of_two_recordings(out: Path, tmp_path: Path) -> None:
    samples = (0.1 * np.random.default_rng(3).standard_normal(40_000)).astype(np.float32)
    outcome = Outcome(Status.DONE, 10.0, 0)
    files = []
    for name, part in (("SEA_20260401T000000Z", samples[:20_000]), ("SEA_20260401T000010Z", samples[20_000:])):
        recording = recording_of(write_sound(tmp_path / f"{name}.wav", part, subtype="FLOAT"))
        files.append(FileRow(name, recording.path, recording, outcome))
    opened = replace(open_run(out), files=tuple(files))
    assert np.array_equal(opened.sound(files[0].name, 1, 8.0, 13.0, 2000).samples, samples[16_000:26_000])
    assert np.array_equal(opened.sound(files[1].name, 1, 8.0, 13.0, 2000).samples, samples[36_000:])
    files[1].path.unlink()
    assert opened.sound(files[0].name, 1, 8.0, 13.0, 2000).end_s == 10.0  # what is there is shown


def test_recordings_that_were_moved_leave_notes_in_the_album(scanned: Path, out: Path) -> None:
    shown = contact_sheets.sheets(open_run(out), open_run(out).calls())
    assert all(exhibit.picture and exhibit.complexity and not exhibit.note for sheet in shown for exhibit in sheet.exhibits)
    (scanned / "sea").rename(scanned / "elsewhere")
    try:
        opened = open_run(out)
        with pytest.raises(RecordingError, match="is not there any more; bring it back"):
            opened.sound(opened.files[0].name, 1, 0.0, 1.0, 2000)
        for sheet in contact_sheets.sheets(opened, opened.calls()):
            for exhibit in sheet.exhibits:
                assert exhibit.picture is None
                assert exhibit.call.recording in exhibit.note
                assert exhibit.complexity is not None
    finally:
        (scanned / "elsewhere").rename(scanned / "sea")


def test_the_album_shows_each_call_once_and_by_its_rules(out: Path) -> None:
    calls = open_run(out).calls()
    rejected = max(calls, key=lambda call: call.score or 0)
    validation_store.append(out, [Judgement.of(rejected, "no", "review")])
    opened = open_run(out)
    sheets = {sheet.title: [one.call for one in sheet.exhibits] for sheet in contact_sheets.sheets(opened, opened.calls())}
    shown = [call.detection_id for ones in sheets.values() for call in ones]
    assert len(shown) == len(set(shown))
    highest = [call.score or 0 for call in sheets["Highest scores"]]
    assert highest == sorted(highest, reverse=True)
    assert rejected.detection_id not in {call.detection_id for call in sheets["Highest scores"]}
    assert rejected.detection_id in set(shown)


def test_at_the_threshold_are_no_calls_that_only_people_keep(out: Path) -> None:
    opened = open_run(out)
    kept = replace(opened.kept, rule=replace(opened.kept.rule, threshold=0.5))
    one = opened.calls()[0]
    calls = [replace(one, detection_id=f"{i}", score=0.5 + i / 100) for i in range(30)]
    confirmed = replace(one, detection_id="below", score=0.3, review="yes")
    sheets = contact_sheets.sheets(replace(opened, kept=kept), [*calls, confirmed])
    shown = {sheet.title: [exhibit.call for exhibit in sheet.exhibits] for sheet in sheets}
    assert shown["At the threshold"] == calls[:12]


def test_a_folder_of_another_kind_or_version_is_named(out: Path, tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no finished run there"):
        open_run(tmp_path)
    (out / "detections.csv").write_text("one,two\n1,2\n")
    with pytest.raises(TableError, match=r"detections\.csv.*whalescan detect"):
        open_run(out).calls()
    document = json.loads((out / "run.json").read_text())
    del document["options"]["position"]  # 0.4 did not know it
    (out / "run.json").write_text(json.dumps(document))
    assert open_run(out).kept.tables.position == ""
    del document["rule"]
    (out / "run.json").write_text(json.dumps(document))
    with pytest.raises(TableError, match="run again"):
        open_run(out)
