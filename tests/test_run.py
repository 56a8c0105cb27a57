"""The main job, from files to tables."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import whalescan
from tests.conftest import recording_of, write_sound
from whalescan import ModelError, OutputError, Status, Survey, UsageError, load_model
from whalescan.core.files import write_whole
from whalescan.detector.model_file import rewrite_model
from whalescan.engine import chunking, cluster, dispatch, worker
from whalescan.options import ScoreOptions, TableOptions, WorkOptions
from whalescan.survey.job import Job, method
from whalescan.survey.run import detect, run

TABLES = ("detections.csv", "files.csv", "deployment.whalescan.sound.selections.txt", "deployment.listfile.txt")


@pytest.fixture(scope="module")
def out(sea: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run leaves, with windows every half second."""
    folder = tmp_path_factory.mktemp("out")
    whalescan.scan(sea, folder, hop=0.5)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every table below a folder."""
    files = [p for p in folder.rglob("*") if p.suffix in (".txt", ".csv")]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def test_everything_of_the_contract_is_there(out: Path, sea: Path) -> None:
    names = sorted(p.stem for p in sea.iterdir() if p.suffix != ".txt")
    assert all((out / name).is_file() for name in (*TABLES, "run.json"))
    assert sorted(p.name for p in (out / "selections").iterdir()) == [f"{n}.whalescan.selections.txt" for n in names]
    assert sorted(p.name for p in (out / "scores").iterdir()) == [f"{n}.npz" for n in names]
    assert not list(out.rglob("*.partial"))


def test_the_calls_that_were_put_in_are_found(out: Path, sea: Path) -> None:
    found = pd.read_csv(out / "detections.csv")
    true_calls, hits = 0, 0
    for path in sea.glob("*.selections.txt"):
        name = path.name.removesuffix(".selections.txt")
        middles = found.loc[found["recording"] == name, ["begin_s", "end_s"]].mean(axis=1)
        for call in whalescan.read_selections(path):
            true_calls += 1
            hits += bool((abs(middles - (call.begin_s + call.end_s) / 2) < 0.5).any())
    assert true_calls >= 5
    assert hits >= 0.7 * true_calls


def test_either_way_of_opening_the_deployments_table_lands_on_the_call(out: Path) -> None:
    table = pd.read_csv(out / "deployment.whalescan.sound.selections.txt", sep="\t")
    paths = (out / "deployment.listfile.txt").read_text().splitlines()
    durations_s = [soundfile.info(path).frames / soundfile.info(path).samplerate for path in paths]
    begins_s = dict(zip(paths, np.cumsum([0, *durations_s[:-1]]), strict=True))
    assert len(table) > 0
    for _, row in table.iterrows():
        offset_s = row["Begin Time (s)"] - begins_s[row["Begin Path"]]
        assert offset_s == pytest.approx(row["File Offset (s)"], abs=1e-5)


def test_clock_times_follow_from_the_names(out: Path) -> None:
    files = pd.read_csv(out / "files.csv")
    assert files["start_utc"].tolist() == [f"2026-04-01T00:0{m}:{s:02d}.000Z" for m, s in ((0, 0), (0, 40), (1, 20))]
    assert (files["status"] == "done").all()
    assert files["analysed_s"].tolist() == files["duration_s"].tolist() == [40, 40, 40]
    assert files["sequence_offset_s"].tolist() == [0, 40, 80]


@pytest.fixture(scope="module")
def hard(sea: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Recordings with borders of every kind - a resampled one of 70 s, and a damaged one - and what a run makes of them."""
    folder, out = tmp_path_factory.mktemp("hard"), tmp_path_factory.mktemp("hard-out")
    samples, rate = soundfile.read(next(sea.glob("*.flac")))
    write_sound(folder / "long.wav", np.tile(samples, 2)[: 70 * rate], rate)
    flac = next(sea.glob("*.flac")).read_bytes()
    (folder / "damaged.flac").write_bytes(flac[: len(flac) // 2] + bytes(3000) + flac[len(flac) // 2 + 3000 :])
    whalescan.scan(folder, out, hop=0.5, batch_size=4)
    return folder, out


@pytest.mark.parametrize(("chunk_s", "workers"), [(2, 1), (6, 3), (14, 2), (1000, 1)])
def test_chunks_and_workers_do_not_show(
    hard: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_s: float, workers: int
) -> None:
    monkeypatch.setattr(chunking, "CHUNK_S", chunk_s)
    folder, out = hard
    whalescan.scan(folder, tmp_path, hop=0.5, batch_size=4, workers=workers)
    for name in ("scores", "boxes", "complexity", "losses", "loss_kinds"):
        for path in (out / "scores").iterdir():
            with np.load(path) as one, np.load(tmp_path / "scores" / path.name) as other:
                np.testing.assert_array_equal(one[name], other[name])
    assert contents(tmp_path) == contents(out)


def test_detect_gives_what_run_would_have_given(sea: Path, out: Path, tmp_path: Path) -> None:
    shutil.copytree(out, tmp_path / "out")
    detect(tmp_path / "out", 0.05)
    whalescan.scan(sea, tmp_path / "new", hop=0.5, threshold=0.05)
    assert contents(tmp_path / "out") == contents(tmp_path / "new")
    ids = set(pd.read_csv(out / "detections.csv")["detection_id"])
    assert ids <= set(pd.read_csv(tmp_path / "new" / "detections.csv")["detection_id"]), "the same call keeps its id"


def test_restart_throws_the_old_results_away_and_nothing_else(sea: Path, out: Path, tmp_path: Path) -> None:
    shutil.copytree(out, tmp_path / "out")
    stale = tmp_path / "out" / "selections" / "gone.whalescan.selections.txt"
    stale.write_text("of a recording that is there no more")
    (tmp_path / "out" / "notes.md").write_text("the analyst's own")
    whalescan.scan(sea, tmp_path / "out", hop=0.5, restart=True)
    aside = stale.with_name("gone.whalescan.reviewed-1.selections.txt")
    assert aside.read_text() == "of a recording that is there no more", "no table of ours: somebody may want it"
    aside.unlink()
    assert contents(tmp_path / "out") == contents(out)
    assert (tmp_path / "out" / "notes.md").exists()


def test_detect_needs_a_run(tmp_path: Path) -> None:
    with pytest.raises(whalescan.TableError, match=r"run\.json"):
        detect(tmp_path)


def test_a_second_run_scores_nothing_again(sea: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(out, tmp_path / "out")
    (tmp_path / "out" / "scores" / "SIM_20260401T000040Z.npz").unlink()
    scored = []

    class Spy(dispatch.Dispatch):
        def __iter__(self) -> Iterator[worker.ScoredChunk]:
            for chunk in super().__iter__():
                scored.append(chunk.chunk.recording.name)
                yield chunk

    monkeypatch.setattr("whalescan.survey.scoring.Dispatch", Spy)
    whalescan.scan(sea, tmp_path / "out", hop=0.5)
    assert scored == ["SIM_20260401T000040Z"]
    assert contents(tmp_path / "out") == contents(out)
    scored.clear()
    whalescan.scan(sea, tmp_path / "out", hop=1.0)
    assert len(scored) == 3, "another hop, other scores"


# ---------------------------------------------------------------------------------------------- bad input


def _status(survey: Survey) -> dict[str, tuple[Status, str]]:
    return {row.name: (row.outcome.status, row.outcome.problem) for row in survey.files}


def test_one_bad_recording_never_stops_the_others(sea: Path, tmp_path: Path) -> None:
    """Every kind of damage at once, and the good recordings' calls are those of a run without it."""
    folder = tmp_path / "in"
    shutil.copytree(sea, folder)
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
    survey = whalescan.scan(folder, tmp_path / "out", hop=1.0)
    status = _status(survey)
    failed = {name for name, (state, _) in status.items() if state is Status.FAILED}
    partial = {name for name, (state, _) in status.items() if state is Status.PARTIAL}
    assert failed == {"a_empty", "b_text", "f_slow", "h_nan"}
    assert partial == {"c_cut", "d_died", "e_damaged"}
    assert survey.exit_code == 3
    assert all(problem for state, problem in status.values() if state is not Status.DONE)
    clean = whalescan.scan(sea, hop=1.0)
    own = {row.name for row in clean.files}
    assert [call for call in survey.detections if call.recording in own] == list(clean.detections)
    files = pd.read_csv(tmp_path / "out" / "files.csv").set_index("recording")
    assert files.loc["d_died", "analysed_s"] == 40
    assert 30 < files.loc["e_damaged", "analysed_s"] < 40
    assert files.loc["g_short", "analysed_s"] == 0.05


def test_failed_recordings_take_no_time_in_the_deployment(sea: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    shutil.copytree(sea, folder)
    (folder / "SIM_20260401T000039Z.wav").write_bytes(b"broken")
    whalescan.scan(folder, tmp_path / "out", hop=1.0)
    files = pd.read_csv(tmp_path / "out" / "files.csv")
    assert files["sequence_offset_s"].tolist() == [0, 40, 40, 80]
    assert len((tmp_path / "out" / "deployment.listfile.txt").read_text().splitlines()) == 3


def test_a_recording_that_vanishes_is_named(sea: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "in"
    shutil.copytree(sea, folder)

    class Vanish(dispatch.Dispatch):
        def __iter__(self) -> Iterator[worker.ScoredChunk]:
            next(folder.glob("*.wav")).unlink()
            return super().__iter__()

    monkeypatch.setattr("whalescan.survey.scoring.Dispatch", Vanish)
    survey = whalescan.scan(folder, tmp_path / "out", hop=1.0)
    assert [row.outcome.status for row in survey.files] == [Status.FAILED, Status.DONE, Status.DONE]
    assert "not there any more" in survey.files[0].outcome.problem


def test_a_table_in_which_calls_were_judged_is_kept(out: Path, tmp_path: Path) -> None:
    shutil.copytree(out, tmp_path / "out")
    table = next(p for p in (tmp_path / "out" / "selections").iterdir() if "unreviewed" in p.read_text())
    judged = table.read_text().replace("unreviewed", "yes")
    table.write_text(judged)
    detect(tmp_path / "out", 0.9)
    kept = table.with_name(table.name.replace(".selections.txt", ".reviewed-1.selections.txt"))
    assert kept.read_text() == judged
    assert "yes" not in table.read_text()


def test_the_table_of_a_recording_that_broke_does_not_stay(sea: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    shutil.copytree(sea, folder)
    whalescan.scan(folder, tmp_path / "out", hop=1.0)
    (folder / "SIM_20260401T000000Z.wav").write_bytes(b"broken")
    whalescan.scan(folder, tmp_path / "out", hop=1.0)
    assert len(list((tmp_path / "out" / "selections").iterdir())) == 2


def test_a_changed_recording_is_scored_again(sea: Path, tmp_path: Path) -> None:
    path = tmp_path / "in" / "x.wav"
    path.parent.mkdir()
    shutil.copy(next(sea.glob("*.wav")), path)
    first = whalescan.scan(path, tmp_path / "out", hop=1.0)
    times = path.stat()
    content = path.read_bytes()
    path.write_bytes(content[:44] + bytes(len(content) - 44))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert len(first.detections) > 0
    assert len(whalescan.scan(path, tmp_path / "out", hop=1.0).detections) == 0


def test_one_dead_channel_is_not_a_failed_recording(sea: Path, tmp_path: Path) -> None:
    samples, rate = soundfile.read(next(sea.glob("*.wav")))
    path = write_sound(tmp_path / "x.wav", np.stack([np.full_like(samples, np.nan), samples], axis=1), rate, subtype="FLOAT")
    (row,) = whalescan.scan(path, hop=1.0, channel="all").files
    assert row.outcome.status is Status.PARTIAL
    assert "channel 1" in row.outcome.problem


def test_a_channel_that_does_not_exist(sea: Path, tmp_path: Path) -> None:
    survey = whalescan.scan(sea, tmp_path, hop=2.0, channel=2)
    assert survey.exit_code == 3
    assert all("no channel 2" in problem for _, problem in _status(survey).values())
    assert pd.read_csv(tmp_path / "files.csv")["sequence_offset_s"].tolist() == [0, 40, 80]


def test_all_channels(sea: Path, tmp_path: Path) -> None:
    samples, rate = soundfile.read(next(sea.glob("*.wav")))
    write_sound(tmp_path / "in" / "x.wav", np.stack([0 * samples, samples], axis=1), rate)
    survey = whalescan.scan(tmp_path / "in", tmp_path / "out", hop=1.0, channel="all")
    assert {call.channel for call in survey.detections} == {2}, "the first channel is silent, and Raven counts from 1"
    assert len({call.detection_id for call in survey.detections}) == len(survey.detections) > 0


def test_boxes_lie_within_what_a_slow_recording_holds(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "x.wav", 0.1 * np.random.default_rng(1).standard_normal(60 * 600), 600)
    calls = whalescan.scan(path, hop=0.5, threshold=0.001).detections
    assert len(calls) > 0
    assert all(0 <= call.low_hz < call.high_hz <= 300 for call in calls)


def test_names_that_are_hard_on_tables(sea: Path, tmp_path: Path) -> None:
    names = ["a b", "tab\there", 'quo"te', "Größe", "=1+1"]
    (tmp_path / "in").mkdir()
    for name in names:
        shutil.copy(next(sea.glob("*.wav")), tmp_path / "in" / f"{name}.wav")
    survey = whalescan.scan(tmp_path / "in", tmp_path / "out", hop=1.0)
    assert sorted(pd.read_csv(tmp_path / "out" / "files.csv")["recording"]) == sorted(names)
    table = pd.read_csv(tmp_path / "out" / "deployment.whalescan.sound.selections.txt", sep="\t", quoting=3)
    assert len(table) == len(survey.detections)
    assert len(set(table["Detection ID"])) == len(table)


def test_an_output_that_cannot_be_written(sea: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="file"):
        whalescan.scan(sea, tmp_path / "file", hop=2.0)


def test_a_disk_that_fills_up_keeps_what_was_finished(
    sea: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def full(path: Path, content: bytes) -> None:
        if len(written) == 2:
            raise OutputError(f"{path}: No space left on device")
        written.append(path)
        write_whole(path, content)

    monkeypatch.setattr("whalescan.scores.score_file.write_whole", full)
    with pytest.raises(OutputError, match="No space left"):
        whalescan.scan(sea, tmp_path, hop=0.5)
    assert len(list((tmp_path / "scores").iterdir())) == 2
    monkeypatch.undo()
    whalescan.scan(sea, tmp_path, hop=0.5)
    assert contents(tmp_path) == contents(out)


def test_a_chunk_whose_scoring_breaks_is_named_and_tried_again(
    sea: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = worker.score_chunk

    def breaks(chunk: chunking.Chunk, task: worker.Task) -> worker.ScoredChunk:
        if chunk.recording.name.endswith("0040Z"):
            raise MemoryError("out of memory")
        return score(chunk, task)

    monkeypatch.setattr(worker, "score_chunk", breaks)
    survey = whalescan.scan(sea, tmp_path, hop=0.5)
    assert _status(survey)["SIM_20260401T000040Z"] == (Status.FAILED, "MemoryError: out of memory")
    assert survey.exit_code == 3
    monkeypatch.undo()
    assert whalescan.scan(sea, tmp_path, hop=0.5).exit_code == 0
    assert contents(tmp_path) == contents(out)


def test_a_scheduler_that_is_not_there(sea: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "ANSWER_S", 1)
    with pytest.raises(UsageError, match=r"127\.0\.0\.1:1"):
        whalescan.scan(sea, tmp_path, scheduler="tcp://127.0.0.1:1")


def test_options_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="channel"):
        ScoreOptions(channel="0")
    with pytest.raises(UsageError, match="batch-size"):
        WorkOptions(batch_size=0)


def test_without_an_output_nothing_is_left(sea: Path, out: Path) -> None:
    survey = whalescan.scan(next(sea.glob("*.wav")), hop=0.5)
    assert [call.begin_s for call in survey.detections] == [
        begin
        for name, begin in pd.read_csv(out / "detections.csv")[["recording", "begin_s"]].to_numpy()
        if name == survey.files[0].name
    ]


def test_chunks_share_every_sample_and_whole_batches(sea: Path) -> None:
    recording = replace(recording_of(next(sea.glob("*.wav"))), n_frames=1_234_567)
    grid = whalescan.WindowGrid(2000, 4000, 500)
    chunks = list(chunking.chunks(recording, 1, grid, 7 * 32))
    assert [c.own_samples(grid)[0] for c in chunks[1:]] == [c.own_samples(grid)[1] for c in chunks[:-1]]
    assert (chunks[0].own_samples(grid)[0], chunks[-1].own_samples(grid)[1]) == (0, 1_234_567)
    assert all(c.n_windows % 32 == 0 for c in chunks[:-1])
    assert sum(c.n_windows for c in chunks) == grid.n_windows(1_234_567)


def test_a_model_of_other_calls_is_refused_unless_it_is_wanted(tmp_path: Path) -> None:
    model = load_model()
    path = tmp_path / "moans.safetensors"
    rewrite_model(path, model, replace(model.spec, classes=("moan",)))
    job = Job(("nowhere",), tmp_path, ScoreOptions(str(path)))
    with pytest.raises(ModelError, match="knows moan, not NARW upcall; say --any-class"):
        method(job)
    assert method(replace(job, work=WorkOptions(any_class=True))).model.spec.classes == ("moan",)


def test_a_threshold_for_each_class_is_not_silently_one_for_all(tmp_path: Path) -> None:
    model = load_model()
    path = tmp_path / "two.safetensors"
    rewrite_model(path, model, replace(model.spec, classes=("NARW upcall", "moan"), thresholds=(0.6, 0.7)))
    job = Job(("nowhere",), tmp_path, ScoreOptions(str(path)))
    with pytest.raises(UsageError, match=r"NARW upcall 0\.6, moan 0\.7"):
        method(job)
    assert method(replace(job, tables=TableOptions(threshold=0.4))).rule.threshold == 0.4


def test_a_job_is_what_the_user_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        run(Job(("nowhere",), tmp_path))
