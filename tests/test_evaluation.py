"""Detections against annotations, from files to files."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from click.testing import CliRunner, Result

import whalescan
from tests.conftest import recording_of, write_sound
from whalescan import Recording, TableError, UsageError, load_model, read_selections
from whalescan.cli import main
from whalescan.core import WindowGrid
from whalescan.detector.model_spec import DEFAULT_MODEL
from whalescan.evaluation import clips, outputs, plots
from whalescan.evaluation.annotations import TruthOptions, read_truth
from whalescan.evaluation.bootstrap import Draws
from whalescan.evaluation.evaluate import EvaluateOptions, Evaluation, evaluate
from whalescan.evaluation.matching import Verdict
from whalescan.evaluation.scored_sources import Source, SourceOptions, read_source
from whalescan.evaluation.summary import summary
from whalescan.training.simulation import upcall

FEW = Draws(20)


def call(*words: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, words)])


def write_table(path: Path, *rows: tuple[float, str, str], column: str = "Score") -> Path:
    """Selections of 1 s as their middle, their label, and one more column."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(("Selection", "Channel", "Begin Time (s)", "End Time (s)", "Annotation", column))]
    lines += [f"{n}\t1\t{at - 0.5}\t{at + 0.5}\t{label}\t{cell}" for n, (at, label, cell) in enumerate(rows, 1)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def wavs(tmp_path: Path) -> Path:
    """Two silent recordings of 72 s: 0.02 hours each."""
    for name in "ab":
        write_sound(tmp_path / "sound" / f"{name}.wav", np.zeros(144_000))
    return tmp_path / "sound"


@pytest.fixture
def recordings(wavs: Path) -> list[Recording]:
    return [recording_of(wavs / f"{name}.wav") for name in "ab"]


def judge(
    tmp_path: Path, wavs: Path, truth: TruthOptions | None = None, options: EvaluateOptions | None = None
) -> Evaluation:
    source = read_source(tmp_path / "found", SourceOptions(recordings=(str(wavs),)))
    known = read_truth(tmp_path / "known", [heard.recording for heard in source.heard], truth or TruthOptions())
    return evaluate(source, known, options or EvaluateOptions(draws=FEW))


# ---------------------------------------------------------------------------------------------- recordings


def test_two_recordings_by_hand(tmp_path: Path, wavs: Path) -> None:
    write_table(tmp_path / "found" / "a.txt", (10, "x", "0.9"), (20, "x", "0.8"), (40, "x", "0.6"), (50, "x", "0.4"))
    write_table(tmp_path / "known" / "a.txt", (10.5, "call", ""), (30, "call", ""), (40, "call?", ""), (50, "call", ""))
    write_table(tmp_path / "known" / "b.txt")  # annotated, and silent
    found = judge(tmp_path, wavs)
    # hits at 0.9 and 0.4, false at 0.8, aside at 0.6; the call at 30 s is missed; 2 x 72 s = 0.04 h
    assert found.curve.hours == pytest.approx(0.04)
    assert found.curve.thresholds.tolist() == [0.9, 0.8, 0.4]
    assert found.n_aside == 1
    assert found.curve.average_precision() == pytest.approx((1 / 1 + 2 / 3) / 3)
    assert (found.point.threshold, found.point.hits, found.point.misses) == (0.5, 1, 2)
    assert found.point.false_positives_per_hour == pytest.approx(1 / 0.04)
    one, other = found.recordings
    assert [event.verdict.value for event in one.events] == ["hit", "false", "missed", "aside", "hit"]
    assert (other.n_calls, other.average_precision, other.events) == (0, None, ())
    # at 0.5 the hit of 0.4 is none, so its call, at 50 s, is missed as well
    errors = [(event.verdict, event.selection.begin_s) for event in one.errors()]
    assert errors == [(Verdict.FALSE, 19.5), (Verdict.MISSED, 29.5), (Verdict.MISSED, 49.5)]


def test_recordings_that_no_table_speaks_of_are_named_or_empty(tmp_path: Path, wavs: Path) -> None:
    write_table(tmp_path / "found" / "b.txt", (10, "x", "0.9"))
    write_table(tmp_path / "known" / "a.txt", (30, "call", ""))
    left_out = judge(tmp_path, wavs)
    assert [one.recording.name for one in left_out.recordings] == ["a"]
    assert any("no table speaks of them: b (" in note for note in left_out.notes)
    assert left_out.curve.hours == pytest.approx(0.02)
    empty = judge(tmp_path, wavs, TruthOptions(silent_are_empty=True))
    assert empty.curve.hours == pytest.approx(0.04)
    assert empty.point.false_positives == 1
    assert any("taken to hold no calls" in note for note in empty.notes)


def test_without_any_calls_false_alarms_are_still_counted(tmp_path: Path, wavs: Path) -> None:
    write_table(tmp_path / "found" / "b.txt", (10, "x", "0.9"))
    write_table(tmp_path / "known" / "a.txt")
    found = judge(tmp_path, wavs, TruthOptions(silent_are_empty=True), EvaluateOptions(per_hour=(20, 30)))
    assert (found.curve.average_precision(), found.point.recall) == (None, None)
    assert [one.point is None for one in found.advice] == [True, False]
    assert "not defined" in summary(found)
    outputs.write(tmp_path / "out", found, {})
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["average_precision"]["value"] is None


def test_a_silent_detector(tmp_path: Path, wavs: Path) -> None:
    write_table(tmp_path / "found" / "a.txt")
    write_table(tmp_path / "known" / "a.txt", (30, "call", ""))
    found = judge(tmp_path, wavs, options=EvaluateOptions(per_hour=(1,), precision=(0.9,), draws=FEW))
    assert found.curve.average_precision() == 0
    assert all("no detections" in one.why for one in found.advice)
    outputs.write(tmp_path / "out", found, {})
    assert (tmp_path / "out" / "precision_recall.png").is_file()


@pytest.mark.parametrize(
    ("options", "n_calls", "n_aside"),
    [
        (TruthOptions(), 3, 2),  # call, Call, song; call? and Maybe count neither way
        (TruthOptions(labels=("CALL",)), 2, 2),
        (TruthOptions(labels=("call", "call?")), 3, 1),
        (TruthOptions(uncertain=("song",)), 2, 3),
    ],
)
def test_which_labels_are_calls(
    tmp_path: Path, recordings: list[Recording], options: TruthOptions, n_calls: int, n_aside: int
) -> None:
    labels = ("call", "Call", "song", "call?", "Maybe")
    table = write_table(tmp_path / "a.txt", *((10.0 * n, label, "") for n, label in enumerate(labels, 1)))
    truth = read_truth(table, recordings, options)
    assert (len(truth.calls["a"]), len(truth.aside["a"])) == (n_calls, n_aside)


def test_what_reviewers_said_goes_before_labels(tmp_path: Path, recordings: list[Recording]) -> None:
    words = ("yes", "no", "maybe", "unreviewed", "")
    rows = [(10.0 * n, "call", word) for n, word in enumerate(words, 1)]
    truth = read_truth(write_table(tmp_path / "a.txt", *rows, column="Review"), recordings, TruthOptions(labels=("call",)))
    assert [one.review for one in truth.calls["a"]] == ["yes", ""]
    assert [one.review for one in truth.aside["a"]] == ["maybe", "unreviewed"]


def test_a_detectors_tables_are_no_annotations_unless_judged(tmp_path: Path, recordings: list[Recording]) -> None:
    folder = tmp_path / "known"
    own = write_table(folder / "a.whalescan.selections.txt", (10, "call", "whalescan"), column="Detector")
    with pytest.raises(UsageError, match="only tables of a detector"):
        read_truth(folder, recordings, TruthOptions())
    write_table(folder / "b.txt", (10, "call", ""))
    truth = read_truth(folder, recordings, TruthOptions())
    assert list(truth.calls) == ["b"]
    assert any("passed over" in note and own.name in note for note in truth.notes)
    assert list(read_truth(own, recordings, TruthOptions()).calls) == ["a"], "a table that is named is read"
    own.write_text("Begin Time (s)\tEnd Time (s)\tDetector\tReview\n1\t2\twhalescan\tyes\n")
    assert list(read_truth(folder, recordings, TruthOptions()).calls) == ["a", "b"]


def test_selections_in_two_tables_count_once(tmp_path: Path, recordings: list[Recording]) -> None:
    for name in ("a.txt", "a.Table.1.selections.txt"):
        write_table(tmp_path / "known" / name, (10, "call", ""), (12, "call", ""))
    assert len(read_truth(tmp_path / "known", recordings, TruthOptions()).calls["a"]) == 2


def test_other_channels_are_left_out_and_named(tmp_path: Path, recordings: list[Recording]) -> None:
    table = tmp_path / "a.txt"
    table.write_text("Begin Time (s)\tEnd Time (s)\tChannel\n1\t2\t1\n1\t2\t2\n")
    truth = read_truth(table, recordings, TruthOptions(channel=2))
    assert [one.channel for one in truth.calls["a"]] == [2]
    assert any("1 annotation on other channels than 2" in note for note in truth.notes)


def test_calls_that_annotators_left_out_can_be_set_aside(tmp_path: Path, wavs: Path) -> None:
    write_table(tmp_path / "found" / "a.txt", (10, "x", "0.9"), (20, "x", "0.8"))
    write_table(tmp_path / "known" / "a.txt", (20, "call", ""))
    assert judge(tmp_path, wavs).curve.average_precision() == 1 / 2
    further = write_table(tmp_path / "a.further.txt", (10.4, "call", ""))
    assert judge(tmp_path, wavs, TruthOptions(aside=(further,))).curve.average_precision() == 1


def test_scores_that_are_no_shares_have_no_calibration(tmp_path: Path, wavs: Path) -> None:
    write_table(tmp_path / "found" / "a.txt", (10, "x", "17.5"), (20, "x", "-3"))
    write_table(tmp_path / "known" / "a.txt", (20, "call", ""))
    found = judge(tmp_path, wavs)
    assert found.calibration is None
    assert found.curve.average_precision() == 1 / 2


def test_what_lies_in_no_recording_is_named(tmp_path: Path, wavs: Path) -> None:
    write_table(tmp_path / "found" / "a.txt", (10, "x", "0.9"))
    write_table(tmp_path / "known" / "a.txt", (10, "call", ""))
    write_table(tmp_path / "known" / "gone.txt", (10, "call", ""))
    assert any("gone.txt" in note for note in judge(tmp_path, wavs).notes)


def test_inputs_with_which_nothing_can_be_done(tmp_path: Path, wavs: Path, recordings: list[Recording]) -> None:
    table, sound = write_table(tmp_path / "a.txt", (10, "call", "")), SourceOptions(recordings=(str(wavs),))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no such file or folder"):
        read_source(tmp_path / "absent", sound)
    with pytest.raises(UsageError, match="name the sound with --recordings"):
        read_source(table, SourceOptions())
    with pytest.raises(UsageError, match="neither the folder of a run nor Raven tables"):
        read_source(tmp_path / "empty", sound)
    with pytest.raises(TableError, match="has no Score"):
        read_source(table, sound)
    with pytest.raises(UsageError, match="no Raven tables"):
        read_truth(tmp_path / "empty", recordings, TruthOptions())
    with pytest.raises(UsageError, match="no such file"):
        read_truth(table, recordings, TruthOptions(aside=(tmp_path / "absent.txt",)))
    with pytest.raises(UsageError, match="no selection is labelled gunshot; there are call"):
        read_truth(table, recordings, TruthOptions(labels=("gunshot",)))
    with pytest.raises(UsageError, match="speaks of any of the 1 recordings"):
        read_truth(table, recordings[1:], TruthOptions())
    (tmp_path / "half" / "scores").mkdir(parents=True)
    with pytest.raises(TableError, match=r"run\.json: no finished run"):
        read_source(tmp_path / "half", SourceOptions())
    known = read_truth(table, recordings, TruthOptions())
    with pytest.raises(UsageError, match="both listened to and annotated"):
        evaluate(Source("x", 0.5, None, ()), known, EvaluateOptions())
    for options in ({"tolerance_s": -1}, {"per_hour": (-1,)}, {"precision": (1.1,)}, {"draws": Draws(-1)}):
        with pytest.raises(UsageError):
            replace(EvaluateOptions(), **options)


# ---------------------------------------------------------------------------------------------- from the command line


@pytest.fixture(scope="module")
def out(sea: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    whalescan.scan(sea, folder, hop=0.5)
    return folder


def test_a_run_against_the_truth(out: Path, sea: Path, tmp_path: Path) -> None:
    result = call(out, sea, "-o", tmp_path, "--false-positives-per-hour", 30, "--precision", 0.8, "--bootstrap", 50)
    assert result.exit_code == 0, result.output
    for words in ("3 recordings", "average precision", "for at most 30 false", "within 1 s", "from 3 recordings are rough"):
        assert words in " ".join(result.stdout.split())
    document = json.loads((tmp_path / "evaluation.json").read_text())
    assert document["hours"] == pytest.approx(120 / 3600)
    assert document["average_precision"]["value"] > 0.5
    assert document["given"]["precision"] == [0.8]
    events, files = pd.read_csv(tmp_path / "events.csv"), pd.read_csv(tmp_path / "recordings.csv")
    n_true = sum(len(read_selections(path)) for path in sea.glob("*.selections.txt"))
    assert files["n_calls"].sum() == document["n_calls"] == n_true == events["outcome"].isin(["hit", "missed"]).sum()
    last = pd.read_csv(tmp_path / "curve.csv").iloc[-1]
    assert last["n_detections"] == events["outcome"].isin(["hit", "false"]).sum()
    for name in ("precision_recall", "recall_false_positives", "reliability"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    wrong = [one for path in (tmp_path / "errors").glob("*.errors.selections.txt") for one in read_selections(path)]
    assert len(wrong) == files["misses"].sum() + files["false_positives"].sum()
    assert {one.label for one in wrong} <= {"missed", "false alarm"}
    assert call(out, sea, "-o", tmp_path / "again", "--bootstrap", 50).exit_code == 0
    assert (tmp_path / "again" / "curve.csv").read_bytes() == (tmp_path / "curve.csv").read_bytes()


def test_one_run_holds_every_threshold(out: Path) -> None:
    found = pd.read_csv(out / "detections.csv").groupby("recording")
    source = read_source(out, SourceOptions())
    for heard in source.heard:
        name = heard.recording.name
        kept = [one for one in heard.detections if one.score is not None and one.score >= source.threshold]
        expected = found.get_group(name)["begin_s"].tolist() if name in found.groups else []
        assert [one.begin_s for one in kept] == pytest.approx(expected)


def test_a_runs_options_that_cannot_be(out: Path, sea: Path) -> None:
    for words, complaint in (
        (("--channel", 2), "no recording there has scores of channel 2"),
        (("--class", "gunshot"), "it knows NARW upcall"),
        (("--recordings", sea), "leave out --recordings"),
        (("--threshold", 0.001), "below --lowest"),
        (("--clips", "x.csv"), "--clips is for a model file"),
        (("--lowest", 0), "lets everything or nothing through"),
    ):
        result = call(out, sea, *words)
        assert result.exit_code == 2
        assert complaint in result.stderr


def test_what_could_not_be_read_is_no_effort(out: Path, tmp_path: Path) -> None:
    whole = {heard.recording.name: heard.hours for heard in read_source(out, SourceOptions()).heard}
    assert sum(whole.values()) == pytest.approx(120 / 3600)
    folder = tmp_path / "run"
    (folder / "scores").mkdir(parents=True)
    for name in ("run.json", "files.csv"):
        (folder / name).write_bytes((out / name).read_bytes())
    first, second, _ = sorted(whole)
    stored = dict(np.load(out / "scores" / f"{first}.npz"))
    np.savez(
        folder / "scores" / f"{first}.npz",
        **(stored | {"losses": np.array([[0, 20_000]]), "loss_kinds": np.array(["unreadable"])}),
    )
    (folder / "scores" / f"{second}.npz").write_bytes(b"damaged")
    source = read_source(folder, SourceOptions())
    assert {heard.recording.name: heard.hours for heard in source.heard} == pytest.approx({first: 30 / 3600})
    assert any(second in note and "no scores can be read" in note for note in source.notes)
    assert len(source.notes) == 2


# ---------------------------------------------------------------------------------------------- clips


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve clips, half of them with a call; one long, one short, one of another rate, one that is none."""
    root = tmp_path_factory.mktemp("clips")
    (root / "train").mkdir()
    random = np.random.default_rng(1)
    rows = ["clip_name,label"]
    for i in range(12):
        rate_hz = 4000 if i == 1 else 2000
        clip = 0.01 * random.standard_normal({2: 9000, 4: 2500}.get(i, 2 * rate_hz))
        if i % 2:
            sound, _, _ = upcall(rate_hz, random)
            clip[rate_hz // 4 : rate_hz // 4 + len(sound)] += 0.05 * sound
        soundfile.write(root / "train" / f"train{i}.aiff", clip, rate_hz)
        rows.append(f"train{i}.aiff,{i % 2}")
    (root / "train" / "train12.aiff").write_bytes(b"no sound")
    (root / "train.csv").write_text("\n".join([*rows, "train12.aiff,1"]))
    return root


def test_a_model_on_clips(labelled: Path, tmp_path: Path) -> None:
    result = call(DEFAULT_MODEL, labelled, "-o", tmp_path, "--bootstrap", 20)
    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "evaluation.json").read_text())
    assert (document["n_clips"], document["n_calls"]) == (12, 6)
    assert document["measures"]["AUC"]["value"] == 1, "loud calls in white noise"
    assert {
        "accuracy at 0.5",
        f"accuracy at {load_model().spec.thresholds[0]:g}",
        "Brier score",
        "average precision",
    } <= document["measures"].keys()
    assert "cannot be read: train12.aiff" in result.stdout
    assert len(pd.read_csv(tmp_path / "clips.csv")) == 12
    assert (tmp_path / "receiver_operating.png").is_file()


def test_only_the_clips_that_were_held_out(labelled: Path, tmp_path: Path) -> None:
    split = tmp_path / "split.csv"
    split.write_text("clip_name,side\ntrain0.aiff,validation\ntrain1.aiff,validation\ntrain3.aiff,training\nx,validation\n")
    result = call(DEFAULT_MODEL, labelled, "--clips", split, "--bootstrap", 0)
    assert result.exit_code == 0, result.output
    assert "on 2 clips, 1 with a call" in result.stdout
    assert "train.csv does not have them: x" in result.stdout


def test_clips_with_which_nothing_can_be_done(labelled: Path, tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("clip_name\ntrain1.aiff\n")
    (tmp_path / "other.csv").write_text("clip_name\nelsewhere.aiff\n")
    (tmp_path / "none.csv").write_text("a,b\n1,2\n")
    for words, complaint in (
        ((tmp_path,), "train.csv: not a table"),
        ((labelled, "--clips", tmp_path / "one.csv"), "none or all hold a call"),
        ((labelled, "--clips", tmp_path / "other.csv"), "none of its 1 clips"),
        ((labelled, "--clips", tmp_path / "none.csv"), "not a table with the column clip_name"),
        ((labelled, "--class", "gunshot"), "it knows NARW upcall"),
        ((labelled, "--tolerance", 2), "--tolerance is for recordings"),
    ):
        result = call(DEFAULT_MODEL, *words)
        assert result.exit_code == 2
        assert complaint in result.stderr


@pytest.mark.parametrize("n_samples", [1, 2500, 4000, 4001, 9000])
def test_every_sample_of_a_clip_is_heard(n_samples: int) -> None:
    samples = np.arange(n_samples, dtype=np.float32)
    windows = clips.clip_windows(samples, WindowGrid(2000, 4000, 500))
    assert windows.shape == (WindowGrid(2000, 4000, 500).n_windows(n_samples), 4000)
    assert set(windows.ravel().tolist()) == set(samples.tolist())


def test_neither_the_package_nor_its_help_waits_for_pictures() -> None:
    program = (
        "import sys, whalescan\nfrom click.testing import CliRunner\nfrom whalescan.cli import main\n"
        "CliRunner().invoke(main, ['evaluate', '--help'])\nsys.exit('matplotlib' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_picture_is_the_same_each_time(tmp_path: Path, wavs: Path) -> None:
    write_table(tmp_path / "found" / "a.txt", (10, "x", "0.9"), (20, "x", "0.8"))
    write_table(tmp_path / "known" / "a.txt", (20, "call", ""))
    found = judge(tmp_path, wavs)
    one, two = (plots.precision_recall(found.curve, found.point, "title") for _ in "ab")
    assert one == two
