"""Runs from recordings to tables."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import whalescan
from tests.builders import LOW_THRESHOLD, read_recording, run_command, write_sound
from whalescan import ModelError, OutputError, Status, Survey, UsageError, load_model
from whalescan.core.files import write_atomically
from whalescan.detector import batching
from whalescan.detector.model_file import rewrite_model
from whalescan.engine import chunking, cluster, dispatch, worker
from whalescan.options import ScoreOptions, TableOptions, WorkOptions
from whalescan.survey.run import detect, run
from whalescan.survey.settings import SurveyJob, scoring_method

TABLES = ("detections.csv", "files.csv", "deployment.whalescan.sound.selections.txt", "deployment.listfile.txt")


@pytest.fixture(scope="module")
def out(simulated_recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run, with windows every half second."""
    folder = tmp_path_factory.mktemp("out")
    whalescan.scan(simulated_recordings, folder, hop_s=0.5)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every table below a folder."""
    files = [p for p in folder.rglob("*") if p.suffix in (".txt", ".csv")]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def test_run_writes_all_tables(out: Path, simulated_recordings: Path) -> None:
    names = sorted(p.stem for p in simulated_recordings.iterdir() if p.suffix != ".txt")
    assert all((out / name).is_file() for name in (*TABLES, "run.json"))
    assert sorted(p.name for p in (out / "selections").iterdir()) == [f"{n}.whalescan.selections.txt" for n in names]
    assert sorted(p.name for p in (out / "scores").iterdir()) == [f"{n}.npz" for n in names]
    assert not list(out.rglob("*.partial"))


def test_simulated_calls_are_detected(out: Path, simulated_recordings: Path) -> None:
    found = pd.read_csv(out / "detections.csv")
    n_calls, n_detected = 0, 0
    for path in simulated_recordings.glob("*.selections.txt"):
        name = path.name.removesuffix(".selections.txt")
        middles = found.loc[found["recording"] == name, ["begin_s", "end_s"]].mean(axis=1)
        for call in whalescan.read_selections(path):
            n_calls += 1
            n_detected += bool((abs(middles - (call.begin_s + call.end_s) / 2) < 0.5).any())
    assert n_calls >= 5
    assert n_detected >= 0.7 * n_calls


def test_both_time_axes_of_the_deployment_table_agree(out: Path) -> None:
    table = pd.read_csv(out / "deployment.whalescan.sound.selections.txt", sep="\t")
    paths = (out / "deployment.listfile.txt").read_text().splitlines()
    durations_s = [soundfile.info(path).frames / soundfile.info(path).samplerate for path in paths]
    begins_s = dict(zip(paths, np.cumsum([0, *durations_s[:-1]]), strict=True))
    assert len(table) > 0
    for _, row in table.iterrows():
        offset_s = row["Begin Time (s)"] - begins_s[row["Begin Path"]]
        assert offset_s == pytest.approx(row["File Offset (s)"], abs=1e-5)


def test_start_times_from_names(out: Path) -> None:
    files = pd.read_csv(out / "files.csv")
    assert files["start_utc"].tolist() == [f"2026-04-01T00:0{m}:{s:02d}.000Z" for m, s in ((0, 0), (0, 40), (1, 20))]
    assert (files["status"] == "done").all()
    assert files["analysed_s"].tolist() == files["duration_s"].tolist() == [40, 40, 40]
    assert files["sequence_offset_s"].tolist() == [0, 40, 80]


@pytest.fixture(scope="module")
def difficult(simulated_recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A recording of 70 s that is resampled, a damaged one, and the folder of a run."""
    folder, out = tmp_path_factory.mktemp("difficult"), tmp_path_factory.mktemp("difficult-out")
    samples, rate = soundfile.read(next(simulated_recordings.glob("*.flac")))
    write_sound(folder / "long.wav", np.tile(samples, 2)[: 70 * rate], rate)
    flac = next(simulated_recordings.glob("*.flac")).read_bytes()
    (folder / "damaged.flac").write_bytes(flac[: len(flac) // 2] + bytes(3000) + flac[len(flac) // 2 + 3000 :])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching, "BLOCK_S", _BLOCK_S)
        whalescan.scan(folder, out, hop_s=0.5, batch_size=4)
    return folder, out


_BLOCK_S = 8
"""Length of blocks where a recording of 70 s shall have several."""


@pytest.mark.slow
@pytest.mark.parametrize(("chunk_s", "workers"), [(2, 1), (16, 3), (24, 2)])
def test_chunk_size_and_workers_change_no_byte(
    difficult: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_s: float, workers: int
) -> None:
    monkeypatch.setattr(batching, "BLOCK_S", _BLOCK_S)
    monkeypatch.setattr(chunking, "CHUNK_S", chunk_s)
    folder, out = difficult
    whalescan.scan(folder, tmp_path, hop_s=0.5, batch_size=4, workers=workers)
    for path in (out / "scores").iterdir():
        assert path.read_bytes() == (tmp_path / "scores" / path.name).read_bytes()
    assert contents(tmp_path) == contents(out)


@pytest.mark.slow
def test_a_call_across_two_recordings_is_scored_as_in_one(simulated_recordings: Path, tmp_path: Path) -> None:
    samples, rate_hz = soundfile.read(next(simulated_recordings.glob("*.wav")))
    write_sound(tmp_path / "all.wav", samples, rate_hz)
    found = whalescan.scan(tmp_path / "all.wav", threshold=LOW_THRESHOLD).detections
    call = max((one for one in found if 5 < one.begin_s < 33), key=lambda one: one.score or 0)
    middle_s = (call.begin_s + call.end_s) / 2
    cut_s = int(middle_s)
    shifted = samples[round((middle_s - cut_s) * rate_hz) :]  # its middle is at a whole second, which names can hold
    whole = whalescan.scan(write_sound(tmp_path / "whole.wav", shifted, rate_hz), threshold=LOW_THRESHOLD).detections
    for begin_s, part in ((0, shifted[: cut_s * rate_hz]), (cut_s, shifted[cut_s * rate_hz :])):
        write_sound(tmp_path / "cut" / f"x_20260401T0000{begin_s:02d}Z.wav", part, rate_hz)
    survey = whalescan.scan(tmp_path / "cut", threshold=LOW_THRESHOLD)
    starts_s = {file.name: file.sequence_offset_s for file in survey.files}
    of_parts = [(starts_s[one.recording] + one.begin_s, one.score) for one in survey.detections]
    of_whole = [(one.begin_s, one.score) for one in whole]
    # the first recording's columns reach one window beyond the border
    near, near_in_whole = ([one for one in several if abs(one[0] - cut_s) < 1] for several in (of_parts, of_whole))
    assert [score for _, score in near] == [score for _, score in near_in_whole]
    assert [begin_s for begin_s, _ in near] == pytest.approx([begin_s for begin_s, _ in near_in_whole])
    assert near


@pytest.mark.slow
def test_detect_equals_a_run_with_the_same_threshold(simulated_recordings: Path, out: Path, tmp_path: Path) -> None:
    shutil.copytree(out, tmp_path / "out")
    detect(tmp_path / "out", LOW_THRESHOLD)
    whalescan.scan(simulated_recordings, tmp_path / "new", hop_s=0.5, threshold=LOW_THRESHOLD)
    assert contents(tmp_path / "out") == contents(tmp_path / "new")
    ids = set(pd.read_csv(out / "detections.csv")["detection_id"])
    assert ids <= set(pd.read_csv(tmp_path / "new" / "detections.csv")["detection_id"]), "the same detection keeps its ID"


@pytest.mark.slow
def test_restart_keeps_foreign_files(simulated_recordings: Path, out: Path, tmp_path: Path) -> None:
    shutil.copytree(out, tmp_path / "out")
    stale = tmp_path / "out" / "selections" / "gone.whalescan.selections.txt"
    stale.write_text("of a recording that no longer exists")
    (tmp_path / "out" / "notes.md").write_text("the analyst's own")
    whalescan.scan(simulated_recordings, tmp_path / "out", hop_s=0.5, restart=True)
    aside = stale.with_name("gone.whalescan.reviewed-1.selections.txt")
    assert aside.read_text() == "of a recording that no longer exists", (
        "a table that the program did not write is moved aside"
    )
    aside.unlink()
    assert contents(tmp_path / "out") == contents(out)
    assert (tmp_path / "out" / "notes.md").exists()


def test_detect_needs_a_run(tmp_path: Path) -> None:
    with pytest.raises(whalescan.TableError, match=r"run\.json"):
        detect(tmp_path)


@pytest.mark.slow
def test_stored_scores_are_reused(
    simulated_recordings: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(out, tmp_path / "out")
    (tmp_path / "out" / "scores" / "SIM_20260401T000040Z.npz").unlink()
    scored = []

    class WatchedDispatcher(dispatch.ChunkDispatcher):
        def __iter__(self) -> Iterator[worker.ScoredChunk]:
            for chunk in super().__iter__():
                scored.append(chunk.chunk.recording.name)
                yield chunk

    monkeypatch.setattr("whalescan.survey.scoring.ChunkDispatcher", WatchedDispatcher)
    whalescan.scan(simulated_recordings, tmp_path / "out", hop_s=0.5)
    assert scored == ["SIM_20260401T000040Z"]
    assert contents(tmp_path / "out") == contents(out)
    scored.clear()
    whalescan.scan(simulated_recordings, tmp_path / "out", hop_s=1.0)
    assert not scored, "for another hop, the windows are pooled again"
    whalescan.scan(simulated_recordings, tmp_path / "new", hop_s=1.0)
    assert contents(tmp_path / "out") == contents(tmp_path / "new")
    for path in (tmp_path / "new" / "scores").iterdir():
        assert path.read_bytes() == (tmp_path / "out" / "scores" / path.name).read_bytes()


# ---------------------------------------------------------------------------------------------- bad input


def _status(survey: Survey) -> dict[str, tuple[Status, str]]:
    return {row.name: (row.outcome.status, row.outcome.problem) for row in survey.files}


@pytest.mark.slow
def test_bad_recordings_do_not_affect_the_others(simulated_recordings: Path, tmp_path: Path) -> None:
    """With damage of every kind, the intact recordings have the detections of a run without damage."""
    folder = tmp_path / "in"
    shutil.copytree(simulated_recordings, folder)
    good = next(folder.glob("*.wav")).read_bytes()
    (folder / "a_empty.wav").write_bytes(b"")
    (folder / "b_text.flac").write_bytes(b"no sound")
    (folder / "c_cut.wav").write_bytes(good[:60_000])
    at = good.index(b"data") + 4
    (folder / "d_died.wav").write_bytes(good[:at] + struct.pack("<I", 0) + good[at + 4 :])
    flac = next(folder.glob("*.flac")).read_bytes()
    (folder / "e_damaged.flac").write_bytes(flac[: len(flac) // 2] + bytes(3000) + flac[len(flac) // 2 + 3000 :])
    write_sound(folder / "f_slow.wav", np.zeros(1000), 400)
    write_sound(folder / "g_short.wav", 0.1 * np.random.default_rng(1).standard_normal(100))
    write_sound(folder / "h_nan.wav", np.full(8000, np.nan), subtype="FLOAT")
    survey = whalescan.scan(folder, tmp_path / "out", hop_s=1.0)
    status = _status(survey)
    failed = {name for name, (state, _) in status.items() if state is Status.FAILED}
    partial = {name for name, (state, _) in status.items() if state is Status.PARTIAL}
    assert failed == {"a_empty", "b_text", "f_slow", "g_short", "h_nan"}
    assert partial == {"c_cut", "d_died", "e_damaged"}
    assert survey.exit_code == 3
    assert all(problem for state, problem in status.values() if state is not Status.DONE)
    clean = whalescan.scan(simulated_recordings, hop_s=1.0)
    own = {row.name for row in clean.files}
    assert [call for call in survey.detections if call.recording in own] == list(clean.detections)
    files = pd.read_csv(tmp_path / "out" / "files.csv").set_index("recording")
    assert files.loc["d_died", "analysed_s"] == 40
    assert 30 < files.loc["e_damaged", "analysed_s"] < 40
    assert files.loc["g_short", "problem"] == "0.05 s in segments shorter than 0.5 s were not scored"


def test_results_have_start_time_source_and_size(simulated_recordings: Path, tmp_path: Path) -> None:
    wav = next(simulated_recordings.glob("*.wav"))
    shutil.copy(wav, tmp_path / wav.name)
    (tmp_path / "x_20260402T000000Z.wav").write_bytes(b"")
    (tmp_path / "y.wav").write_bytes(b"")
    survey = whalescan.scan(tmp_path, hop_s=2.0)
    assert [(file.name, file.start_utc, file.time_source, file.size_bytes) for file in survey.files] == [
        (wav.stem, survey.files[0].readable_recording().start_utc, "name", wav.stat().st_size),
        ("x_20260402T000000Z", datetime(2026, 4, 2, tzinfo=UTC), "name", 0),
        ("y", None, "none", 0),
    ]
    assert survey.files[0].start_utc is not None
    with pytest.raises(ValueError, match="y"):
        survey.files[2].readable_recording()


@pytest.mark.slow
def test_unreadable_recordings_have_no_length_in_the_sequence(simulated_recordings: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    shutil.copytree(simulated_recordings, folder)
    (folder / "SIM_20260401T000039Z.wav").write_bytes(b"broken")
    whalescan.scan(folder, tmp_path / "out", hop_s=1.0)
    files = pd.read_csv(tmp_path / "out" / "files.csv")
    assert files["sequence_offset_s"].tolist() == [0, 40, 40, 80]
    assert len((tmp_path / "out" / "deployment.listfile.txt").read_text().splitlines()) == 3


def test_vanished_recording_fails(simulated_recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "in"
    shutil.copytree(simulated_recordings, folder)

    class DeletingDispatcher(dispatch.ChunkDispatcher):
        def __iter__(self) -> Iterator[worker.ScoredChunk]:
            next(folder.glob("*.wav")).unlink()
            return super().__iter__()

    monkeypatch.setattr("whalescan.survey.scoring.ChunkDispatcher", DeletingDispatcher)
    survey = whalescan.scan(folder, tmp_path / "out", hop_s=1.0)
    assert [row.outcome.status for row in survey.files] == [Status.FAILED, Status.DONE, Status.DONE]
    assert "no longer exists" in survey.files[0].outcome.problem


def test_reviewed_table_is_moved_aside(out: Path, tmp_path: Path) -> None:
    shutil.copytree(out, tmp_path / "out")
    table = next(p for p in (tmp_path / "out" / "selections").iterdir() if "unreviewed" in p.read_text())
    reviewed = table.read_text().replace("unreviewed", "yes")
    table.write_text(reviewed)
    detect(tmp_path / "out", 0.9)
    aside = table.with_name(table.name.replace(".selections.txt", ".reviewed-1.selections.txt"))
    assert aside.read_text() == reviewed
    assert "yes" not in table.read_text()


@pytest.mark.slow
def test_table_of_a_recording_that_became_unreadable_is_removed(simulated_recordings: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    shutil.copytree(simulated_recordings, folder)
    whalescan.scan(folder, tmp_path / "out", hop_s=1.0)
    (folder / "SIM_20260401T000000Z.wav").write_bytes(b"broken")
    whalescan.scan(folder, tmp_path / "out", hop_s=1.0)
    assert len(list((tmp_path / "out" / "selections").iterdir())) == 2


def test_changed_recording_is_scored_again(simulated_recordings: Path, tmp_path: Path) -> None:
    path = tmp_path / "in" / "x.wav"
    path.parent.mkdir()
    shutil.copy(next(simulated_recordings.glob("*.wav")), path)
    first = whalescan.scan(path, tmp_path / "out", hop_s=1.0)
    times = path.stat()
    content = path.read_bytes()
    path.write_bytes(content[:44] + bytes(len(content) - 44))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert len(first.detections) > 0
    assert len(whalescan.scan(path, tmp_path / "out", hop_s=1.0).detections) == 0


def test_unreadable_channel_makes_a_recording_partial(simulated_recordings: Path, tmp_path: Path) -> None:
    samples, rate = soundfile.read(next(simulated_recordings.glob("*.wav")))
    path = write_sound(tmp_path / "x.wav", np.stack([np.full_like(samples, np.nan), samples], axis=1), rate, subtype="FLOAT")
    (row,) = whalescan.scan(path, hop_s=1.0, channel="all").files
    assert row.outcome.status is Status.PARTIAL
    assert "channel 1" in row.outcome.problem


def test_absent_channel(simulated_recordings: Path, tmp_path: Path) -> None:
    survey = whalescan.scan(simulated_recordings, tmp_path, hop_s=2.0, channel=2)
    assert survey.exit_code == 3
    assert all("no channel 2" in problem for _, problem in _status(survey).values())
    assert pd.read_csv(tmp_path / "files.csv")["sequence_offset_s"].tolist() == [0, 40, 80]


def test_all_channels(simulated_recordings: Path, tmp_path: Path) -> None:
    samples, rate = soundfile.read(next(simulated_recordings.glob("*.wav")))
    write_sound(tmp_path / "in" / "x.wav", np.stack([0 * samples, samples], axis=1), rate)
    survey = whalescan.scan(tmp_path / "in", tmp_path / "out", hop_s=1.0, channel="all")
    assert {call.channel for call in survey.detections} == {2}, "the first channel is silent; channels count from 1"
    assert len({call.detection_id for call in survey.detections}) == len(survey.detections) > 0


@pytest.mark.slow
def test_boxes_lie_below_half_the_sampling_rate(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "x.wav", 0.1 * np.random.default_rng(1).standard_normal(60 * 600), 600)
    calls = whalescan.scan(path, hop_s=0.5, threshold=0.001).detections
    assert len(calls) > 0
    assert all(0 <= call.low_hz < call.high_hz <= 300 for call in calls)


@pytest.mark.slow
def test_names_with_special_characters(simulated_recordings: Path, tmp_path: Path) -> None:
    names = ["a b", "tab\there", 'quo"te', "Größe", "=1+1"]
    (tmp_path / "in").mkdir()
    for name in names:
        shutil.copy(next(simulated_recordings.glob("*.wav")), tmp_path / "in" / f"{name}.wav")
    survey = whalescan.scan(tmp_path / "in", tmp_path / "out", hop_s=1.0)
    assert sorted(pd.read_csv(tmp_path / "out" / "files.csv")["recording"]) == sorted(names)
    table = pd.read_csv(tmp_path / "out" / "deployment.whalescan.sound.selections.txt", sep="\t", quoting=3)
    assert len(table) == len(survey.detections)
    assert len(set(table["Detection ID"])) == len(table)


def test_output_folder_cannot_be_written(simulated_recordings: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="file"):
        whalescan.scan(simulated_recordings, tmp_path / "file", hop_s=2.0)


@pytest.mark.slow
def test_full_disk_keeps_finished_scores(
    simulated_recordings: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def full(path: Path, content: bytes) -> None:
        if len(written) == 2:
            raise OutputError(f"{path}: No space left on device")
        written.append(path)
        write_atomically(path, content)

    monkeypatch.setattr("whalescan.scores.score_file.write_atomically", full)
    with pytest.raises(OutputError, match="No space left"):
        whalescan.scan(simulated_recordings, tmp_path, hop_s=0.5)
    assert len(list((tmp_path / "scores").iterdir())) == 2
    monkeypatch.undo()
    whalescan.scan(simulated_recordings, tmp_path, hop_s=0.5)
    assert contents(tmp_path) == contents(out)


@pytest.mark.slow
def test_failed_chunk_is_scored_again_by_the_next_run(
    simulated_recordings: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = worker.score_chunk

    def failing(chunk: chunking.Chunk, task: worker.ScoringTask) -> worker.ScoredChunk:
        if chunk.recording.name.endswith("0040Z"):
            raise MemoryError("out of memory")
        return score(chunk, task)

    monkeypatch.setattr(worker, "score_chunk", failing)
    survey = whalescan.scan(simulated_recordings, tmp_path, hop_s=0.5)
    assert _status(survey)["SIM_20260401T000040Z"] == (Status.FAILED, "MemoryError: out of memory")
    assert survey.exit_code == 3
    monkeypatch.undo()
    assert whalescan.scan(simulated_recordings, tmp_path, hop_s=0.5).exit_code == 0
    assert contents(tmp_path) == contents(out)


@pytest.mark.slow
def test_absent_scheduler(simulated_recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_TIMEOUT_S", 1)
    with pytest.raises(UsageError, match=r"127\.0\.0\.1:1"):
        whalescan.scan(simulated_recordings, tmp_path, scheduler="tcp://127.0.0.1:1")


def test_invalid_options() -> None:
    with pytest.raises(UsageError, match="channel"):
        ScoreOptions(channel="0")
    with pytest.raises(UsageError, match="batch_size"):
        WorkOptions(batch_size=0)


def test_scan_without_output_folder(simulated_recordings: Path, out: Path) -> None:
    survey = whalescan.scan(next(simulated_recordings.glob("*.wav")), hop_s=0.5)
    assert [call.begin_s for call in survey.detections] == [
        begin
        for name, begin in pd.read_csv(out / "detections.csv")[["recording", "begin_s"]].to_numpy()
        if name == survey.files[0].name
    ]


def test_chunks_cover_every_sample_in_whole_batches(simulated_recordings: Path) -> None:
    recording = replace(read_recording(next(simulated_recordings.glob("*.wav"))), n_frames=1_234_567)
    spec = load_model().spec
    chunks = list(chunking.split_channel(chunking.whole_channel(recording, 1, (), spec), 7 * 32))
    spans = [chunk.scored_span(spec.columns) for chunk in chunks]
    assert [begin for begin, _ in spans[1:]] == [end for _, end in spans[:-1]]
    assert (spans[0][0], spans[-1][1]) == (0, 1_234_567)
    assert all(chunk.n_columns % 32 == 0 for chunk in chunks[:-1])
    assert sum(chunk.n_columns for chunk in chunks) == spec.columns.n_columns(1_234_567)


def test_model_without_upcalls_needs_any_class(tmp_path: Path) -> None:
    model = load_model()
    path = tmp_path / "moans.safetensors"
    rewrite_model(path, model, replace(model.spec, classes=("moan",)))
    job = SurveyJob(("nowhere",), tmp_path, ScoreOptions(str(path)))
    with pytest.raises(ModelError, match="any_class"):
        scoring_method(job)
    assert scoring_method(replace(job, work=WorkOptions(any_class=True))).model.spec.classes == ("moan",)


def test_model_with_several_thresholds_needs_one(tmp_path: Path) -> None:
    model = load_model()
    path = tmp_path / "two.safetensors"
    rewrite_model(path, model, replace(model.spec, classes=("NARW upcall", "moan"), thresholds=(0.6, 0.7)))
    job = SurveyJob(("nowhere",), tmp_path, ScoreOptions(str(path)))
    with pytest.raises(UsageError, match=r"NARW upcall 0\.6, moan 0\.7"):
        scoring_method(job)
    assert scoring_method(replace(job, tables=TableOptions(threshold=0.4))).rule.threshold == 0.4


def test_exact_is_accepted_and_does_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError), pytest.warns(DeprecationWarning, match="exact does nothing"):
        whalescan.scan(tmp_path / "nowhere", exact=True)
    with pytest.raises(UsageError), pytest.warns(DeprecationWarning, match="exact does nothing"):
        whalescan.check(tmp_path / "nowhere", exact=False)
    assert "--exact does nothing" in run_command("run", "nowhere", "-o", tmp_path, "--exact").stderr
    assert "--exact" not in run_command("run", "--help").stdout
    config = tmp_path / "run.json"
    config.write_text('{"recordings": ["nowhere"], "options": {"exact": true}}')  # as 0.7 wrote it
    result = run_command("run", "--config", config, "-o", tmp_path)
    assert "--exact does nothing" in result.stderr
    assert "nowhere" in result.stderr


def test_absent_input(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        run(SurveyJob(("nowhere",), tmp_path))
