"""Detections as sound files: their samples, names and tables, and the layout that `train` reads."""

from __future__ import annotations

import csv
import io
import math
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

import whalescan
from tests.builders import LOW_THRESHOLD, write_sound
from whalescan.audio.excerpts import lossless_wav
from whalescan.cli import main
from whalescan.core import Detection, UsageError
from whalescan.detections.sampling import Selection, SelectionOrder, select, stratum_of
from whalescan.detections.validations import Validation, added_id
from whalescan.detector.model_spec import FrontEndOptions
from whalescan.scores import validation_store
from whalescan.survey.clip_export import ClipExtent
from whalescan.survey.finished_run import open_finished_run
from whalescan.tables.clip_tables import clip_name
from whalescan.tables.selections import read_selections
from whalescan.training.datasets import read_training_sounds
from whalescan.training.training_options import TrainData

TABLE = "clips.whalescan.sound.selections.txt"


@pytest.fixture(scope="module")
def finished_output(simulated_recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on simulated recordings and on one of 24 bit with calls in its second channel."""
    folder = tmp_path_factory.mktemp("scanned")
    recordings = shutil.copytree(simulated_recordings, folder / "simulated")
    (wav,) = recordings.glob("*.wav")
    sound, rate_hz = soundfile.read(wav, dtype="float32")
    noise = 0.001 * np.random.default_rng(1).standard_normal(len(sound))
    both = np.column_stack([noise, sound + noise])
    write_sound(recordings / "site ü" / "deep_20260402T000000Z.wav", both, rate_hz, subtype="PCM_24")
    whalescan.scan(recordings, folder / "out", hop_s=1.0, threshold=LOW_THRESHOLD, channel="all")
    return folder


@pytest.fixture
def out(finished_output: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished_output / "out", tmp_path / "out")


def clips(out: Path, folder: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["clips", str(out), "-o", str(folder), *options])


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "clips.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# -- audio ---------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_clips_have_the_samples_of_the_recordings(out: Path, tmp_path: Path) -> None:
    assert clips(out, tmp_path / "clips").exit_code == 0
    run = open_finished_run(out)
    calls = run.read_detections()
    assert [row["detection_id"] for row in rows(tmp_path / "clips")] == [call.detection_id for call in calls]
    assert {(call.channel, call.recording[:4]) for call in calls} >= {(1, "SIM_"), (2, "site")}
    for row, call in zip(rows(tmp_path / "clips"), calls, strict=True):
        recording = run.recordings_by_name[call.recording]
        begin = max(math.floor((call.begin_s - 1) * recording.rate_hz + 1e-4), 0)
        end = min(math.ceil((call.end_s + 1) * recording.rate_hz - 1e-4), recording.n_frames)
        clip = tmp_path / "clips" / row["clip_name"]
        whole, _ = soundfile.read(recording.path, dtype="int32", always_2d=True)
        cut, rate_hz = soundfile.read(clip, dtype="int32")
        assert rate_hz == recording.rate_hz
        assert np.array_equal(cut, whole[begin:end, call.channel - 1])
        assert float(row["clip_begin_s"]) == pytest.approx(begin / rate_hz, abs=1e-6)
        assert soundfile.info(clip).subtype == ("PCM_24" if "deep" in call.recording else "PCM_16")


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--length", "4"), ("--length", "4", "--rate", "1000"), ("--length", "0.5")])
def test_clips_of_fixed_length(out: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    run = open_finished_run(out)
    (first, *_) = run.read_detections()
    edges = [
        replace(first, detection_id=added_id(first.recording, 1, at_s + 0.2), begin_s=at_s, end_s=at_s + 0.4, score=None)
        for at_s in (0.0, 39.6)
    ]
    validation_store.append_validations(out, [Validation.of_detection(edge, "yes", "added") for edge in edges])
    assert clips(out, tmp_path / "clips", *options).exit_code == 0
    length_s = float(options[1])
    for row, call in zip(rows(tmp_path / "clips"), run.read_detections(), strict=True):
        info = soundfile.info(tmp_path / "clips" / row["clip_name"])
        assert info.samplerate == (1000 if "--rate" in options else run.recordings_by_name[call.recording].rate_hz)
        assert info.frames == round(length_s * info.samplerate)
        begin_s, middle_s = float(row["clip_begin_s"]), (call.begin_s + call.end_s) / 2
        if length_s / 2 < middle_s < 40 - length_s / 2:
            assert begin_s + length_s / 2 == pytest.approx(middle_s, abs=1.5 / info.samplerate)
        assert 0 <= begin_s <= 40 - length_s
        assert 0 <= float(row["begin_s"]) < float(row["end_s"]) <= length_s


@given(st.lists(st.integers(-(2**15), 2**15 - 1), max_size=9))
def test_16_bit_samples_are_unchanged(samples: list[int]) -> None:
    content = io.BytesIO(lossless_wav((np.array(samples, np.float64) / 2**15).astype(np.float32), 2000))
    assert soundfile.info(content).subtype == "PCM_16"
    content.seek(0)
    assert soundfile.read(content, dtype="int16")[0].tolist() == samples


@given(st.lists(st.integers(-(2**23), 2**23 - 1), min_size=1, max_size=9))
def test_24_bit_samples_are_unchanged(samples: list[int]) -> None:
    content = io.BytesIO(lossless_wav((np.array(samples, np.float64) / 2**23).astype(np.float32), 96_000))
    assert (soundfile.read(content, dtype="int32")[0] >> 8).tolist() == samples


def test_samples_beyond_full_scale_are_not_clipped() -> None:
    samples = np.array([0.25, -3.5, 1.0], np.float32)
    content = io.BytesIO(lossless_wav(samples, 2000))
    assert soundfile.info(content).subtype == "FLOAT"
    content.seek(0)
    assert np.array_equal(soundfile.read(content, dtype="float32")[0], samples)
    assert soundfile.info(io.BytesIO(lossless_wav(np.zeros(0, np.float32), 2000))).frames == 0


# -- names and tables ----------------------------------------------------------------------------------------------------


def test_names_of_clips() -> None:
    ids = [
        "NOPP6_EST_20090328_003000-000056614",
        "a/b-000000001",
        "a_b-000000001",
        "a b-000000001",
        "größe:?*-000000001",
        "../x-000000001",
        ".x-1",
        "x" * 300 + "/y-000000001",
        "x" * 300 + "/z-000000001",
        "r.ch2-gunshot-000000001",
        "nodash",
    ]
    names = [clip_name(one) for one in ids]
    assert names[0] == f"{ids[0]}.wav"
    assert len({name.casefold() for name in names}) == len(ids)
    for name in names:
        assert name.isascii()
        assert len(name) < 120
        assert not set(name) & set('/\\:*?"<>| ')
        assert not name.startswith((".", "-"))
    times = [clip_name(f"site ü/{'long' * 40}-{ms:09d}") for ms in (5, 70, 1200, 999_999_999)]
    assert times == sorted(times)


def test_both_time_axes_of_the_raven_table_agree(out: Path, tmp_path: Path) -> None:
    assert clips(out, tmp_path / "clips").exit_code == 0
    selections = read_selections(tmp_path / "clips" / TABLE)
    listed = (tmp_path / "clips" / "clips.listfile.txt").read_text(encoding="utf-8").splitlines()
    calls, offset_s = open_finished_run(out).read_detections(), 0.0
    for selection, path, call in zip(selections, listed, calls, strict=True):
        assert selection.sound == path
        assert selection.file_offset_s is not None
        assert selection.begin_s == pytest.approx(offset_s + selection.file_offset_s, abs=2e-6)
        assert selection.end_s - selection.begin_s == pytest.approx(call.end_s - call.begin_s, abs=2e-3)
        assert (selection.detection_id, selection.review, selection.channel) == (call.detection_id, call.review, 1)
        offset_s += soundfile.info(path).duration
    with (out / "detections.csv").open(encoding="utf-8", newline="") as file:
        starts = [row["start_utc"] for row in csv.DictReader(file)]
    table = csv.DictReader((tmp_path / "clips" / TABLE).read_text(encoding="utf-8").splitlines(), delimiter="\t")
    assert [row["Begin Date Time (UTC)"] for row in table] == starts


# -- the folder ----------------------------------------------------------------------------------------------------------


def test_repeated_and_changed_commands(out: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    assert clips(out, folder).exit_code == 0
    before = contents(folder)
    assert clips(out, folder).exit_code == 0
    assert contents(folder) == before
    assert clips(out, folder, "--choose", "highest", "--count", "2").exit_code == 0
    assert len(list(folder.glob("*.wav"))) == len(rows(folder)) == 2
    assert clips(out, folder, "--threshold", "1").exit_code == 0
    assert rows(folder) == []
    assert list(folder.glob("*.wav")) == []


def test_folder_with_other_files_is_refused(out: Path, tmp_path: Path) -> None:
    for folder in (out, tmp_path / "mine"):
        folder.mkdir(exist_ok=True)
        (folder / "my.wav").write_bytes(b"mine")
        before = contents(folder)
        result = clips(out, folder)
        assert result.exit_code == 2
        assert "choose an empty or a new folder" in result.stderr
        assert contents(folder) == before
    assert clips(out, tmp_path / "mine" / "my.wav").exit_code == 2


def test_killed_command_can_be_repeated(out: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    assert clips(out, folder).exit_code == 0
    whole = contents(folder)
    for path in (folder / "clips.csv", folder / TABLE, *list(folder.glob("*.wav"))[3:]):
        path.unlink()
    (folder / ".123.partial").write_bytes(b"half")
    assert clips(out, folder).exit_code == 0
    assert contents(folder) == whole


def test_absent_recording_affects_only_its_own_clips(finished_output: Path, tmp_path: Path) -> None:
    shutil.copytree(finished_output / "simulated", tmp_path / "simulated")
    out = tmp_path / "out"
    shutil.copytree(finished_output / "out", out)
    table = out / "files.csv"
    moved = table.read_text(encoding="utf-8").replace(str(finished_output / "simulated"), str(tmp_path / "simulated"))
    table.write_text(moved, encoding="utf-8")
    (flac,) = (tmp_path / "simulated").glob("*.flac")
    calls = open_finished_run(out).read_detections()
    n_gone = sum(call.recording == flac.stem for call in calls)
    assert clips(out, tmp_path / "clips").exit_code == 0
    flac.unlink()
    result = clips(out, tmp_path / "clips", "--context", "0.5")
    assert result.exit_code == 3
    assert f"{n_gone} detections without a clip" in result.stderr
    assert flac.name in result.stderr
    assert Counter(row["recording"] for row in rows(tmp_path / "clips")) == Counter(
        call.recording for call in calls if call.recording != flac.stem
    )
    assert len(list((tmp_path / "clips").glob("*.wav"))) == len(calls)  # clips of an earlier command stay


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--count", "3"), "--count"),
        (("--choose", "random"), "--count"),
        (("--context", "1", "--length", "2"), "leave one"),
        (("--context", "-1"), "--context"),
        (("--length", "0"), "--length"),
        (("--rate", "0"), "--rate"),
        (("--rate", "400000000"), "--rate"),
        (("--threshold", "nan"), "--threshold"),
        (("--for-training", "--length", "2"), "leave out"),
    ],
)
def test_invalid_options(out: Path, tmp_path: Path, options: tuple[str, ...], word: str) -> None:
    result = clips(out, tmp_path / "clips", *options)
    assert result.exit_code == 2
    assert word in result.stderr
    assert not (tmp_path / "clips").exists()


def test_invalid_extents() -> None:
    with pytest.raises(UsageError):
        ClipExtent(context_s=math.nan)
    with pytest.raises(UsageError):
        ClipExtent(length_s=math.inf)


# -- selection ---------------------------------------------------------------------------------------------------------

CALLS = st.lists(
    st.tuples(st.one_of(st.none(), st.sampled_from([0.2, 0.55, 0.91, 0.99])), st.sampled_from(["yes", "no", "unreviewed"])),
    max_size=40,
).map(
    lambda facts: [
        Detection("a", 1, i, i + 1, 90, 200, "upcall", fact[0], f"a-{i:09d}", fact[1]) for i, fact in enumerate(facts)
    ]
)


@given(
    CALLS,
    st.sampled_from([by for by in SelectionOrder if by is not SelectionOrder.ALL]),
    st.integers(1, 12),
    st.integers(0, 3),
)
def test_selection_by_order_and_count(calls: list[Detection], by: SelectionOrder, n: int, seed: int) -> None:
    found = select(calls, Selection(by, n, reviews=("yes", "unreviewed"), seed=seed))
    fit = [one for one in calls if one.review != "no"]
    scored = [one for one in fit if one.score is not None]
    assert [one for one in calls if one in found] == list(found)
    assert len(found) == min(n, len(fit if by is SelectionOrder.RANDOM else scored))
    assert set(found) <= set(fit if by is SelectionOrder.RANDOM else scored)
    scores = [one.score for one in found if one.score is not None]
    left = [one.score for one in scored if one not in found and one.score is not None]
    if by is SelectionOrder.HIGHEST:
        assert min(scores, default=1) >= max(left, default=0)
    elif by is SelectionOrder.LOWEST:
        assert max(scores, default=0) <= min(left, default=1)
    elif by is SelectionOrder.BALANCED:
        taken = Counter(map(stratum_of, scores))
        assert all(taken[stratum_of(score)] >= max(taken.values()) - 1 for score in left)


@given(CALLS, st.floats(0, 1))
def test_selection_by_threshold(calls: list[Detection], threshold: float) -> None:
    found = select(calls, Selection(threshold=threshold))
    assert list(found) == [one for one in calls if one.score is not None and one.score >= threshold]
    assert list(select(calls, Selection())) == calls


def test_selection_by_seed() -> None:
    calls = [Detection("a", 1, i, i + 1, 90, 200, "upcall", 0.5, f"a-{i:09d}") for i in range(200)]
    picks = [select(calls, Selection(SelectionOrder.RANDOM, 20, seed=seed)) for seed in (1, 1, 2)]
    assert picks[0] == picks[1] != picks[2]
    fewer = [one for one in calls if one not in picks[0][:1]]
    assert len(set(picks[0]) & set(select(fewer, Selection(SelectionOrder.RANDOM, 20)))) == 19


# -- for training --------------------------------------------------------------------------------------------------------


def test_training_clips_can_be_read_by_train(out: Path, tmp_path: Path) -> None:
    calls = open_finished_run(out).read_detections()
    reviews = [("yes", "no", "maybe", "unreviewed")[i % 4] for i in range(len(calls))]
    reviewed = [Validation.of_detection(call, review, "review") for call, review in zip(calls, reviews, strict=True)]
    added = replace(calls[0], detection_id=added_id(calls[0].recording, 1, 39.7), begin_s=39.4, end_s=40.0, score=None)
    moved = replace(reviewed[0], origin="moved", begin_s=calls[0].begin_s + 0.1)
    validation_store.append_validations(out, [*reviewed, moved, Validation.of_detection(added, "yes", "added")])
    result = clips(out, tmp_path / "clips", "--for-training")
    assert result.exit_code == 0
    found = rows(tmp_path / "clips")
    by_id = {row["detection_id"]: row for row in found}
    assert {row["review"] for row in found} == {"yes", "no"}
    assert {call.detection_id for call in open_finished_run(out).read_detections() if call.review == "yes"} <= set(by_id)
    with (tmp_path / "clips" / "train.csv").open(encoding="utf-8", newline="") as file:
        labels = {row["clip_name"]: row["label"] for row in csv.DictReader(file)}
    assert labels == {row["clip_name"]: row["label"] if row["review"] == "yes" else "0" for row in found}
    assert f"whalescan train {tmp_path / 'clips'}" in result.stdout

    gathered = read_training_sounds(TrainData((tmp_path / "clips",)), FrontEndOptions(), quiet=True)
    assert gathered.problems == ()
    assert (gathered.n_clips, gathered.n_skipped, gathered.n_uncertain) == (len(found), 0, 0)
    assert gathered.sounds.n_calls == sum(row["review"] == "yes" for row in found)
    run = open_finished_run(out)
    excerpt = run.read_excerpt(added.recording, 1, 38.0 + 1e-4, 40.0 - 1e-4, 2000).samples
    days = {row["clip_name"]: row["day"] for row in found}
    assert {clip.name: clip.group for clip in gathered.sounds.clips} == days  # held out together
    assert len(set(days.values())) == 2
    (place,) = (clip for clip in gathered.sounds.clips if clip.name == by_id[added.detection_id]["clip_name"])
    level = np.abs(excerpt).max() / np.abs(place.samples).max()
    assert np.abs(level * place.samples - excerpt).max() < 1e-6


def test_rejected_detection_beside_a_call_is_left_out(out: Path, tmp_path: Path) -> None:
    first, *_ = open_finished_run(out).read_detections()
    beside = replace(
        first,
        detection_id=added_id(first.recording, 1, first.end_s + 0.5),
        begin_s=first.end_s + 0.3,
        end_s=first.end_s + 0.7,
        score=None,
    )
    validation_store.append_validations(
        out, [Validation.of_detection(first, "no", "review"), Validation.of_detection(beside, "yes", "added")]
    )
    result = clips(out, tmp_path / "clips", "--for-training")
    assert [row["detection_id"] for row in rows(tmp_path / "clips")] == [beside.detection_id]
    assert "1 rejected detection left out" in result.stdout


def test_folder_of_clips_becomes_one_for_training(out: Path, tmp_path: Path) -> None:
    validation_store.append_validations(
        out, [Validation.of_detection(call, "yes", "review") for call in open_finished_run(out).read_detections()]
    )
    assert clips(out, tmp_path / "clips").exit_code == 0
    assert clips(out, tmp_path / "clips", "--for-training", "--quiet").stdout == ""
    assert list((tmp_path / "clips").glob("*.wav")) == []
    assert len(list((tmp_path / "clips" / "train").glob("*.wav"))) == len(rows(tmp_path / "clips"))
