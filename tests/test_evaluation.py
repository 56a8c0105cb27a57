"""Evaluation of detections on annotated recordings, and of models on labelled clips."""

from __future__ import annotations

import json
import shutil
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
from tests.builders import read_recording, write_sound
from whalescan import Recording, TableError, UsageError, load_model, read_selections
from whalescan.cli import main
from whalescan.detections.validations import Validation
from whalescan.detector.model_spec import DEFAULT_MODEL, UPCALL
from whalescan.evaluation import evaluation_report, plots
from whalescan.evaluation.comparison import Evaluation, EvaluationOptions, compare_detections
from whalescan.evaluation.evaluate import evaluate_clips
from whalescan.evaluation.evaluation_report import evaluation_summary
from whalescan.evaluation.matching import MatchOutcome
from whalescan.evaluation.metrics import BootstrapOptions
from whalescan.evaluation.sources import (
    AnnotationOptions,
    DetectionSource,
    SourceOptions,
    read_annotations,
    read_detection_source,
)
from whalescan.scores import validation_store
from whalescan.survey.finished_run import open_finished_run
from whalescan.training.simulation import upcall

FEW = BootstrapOptions(20)


def call(*words: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, words)])


def write_table(path: Path, *rows: tuple[float, str, str], column: str = "Score") -> Path:
    """Write selections of 1 s: middle, label, and a cell of one more column."""
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
    return [read_recording(wavs / f"{name}.wav") for name in "ab"]


def compare_tables(
    tmp_path: Path, wavs: Path, annotations: AnnotationOptions | None = None, options: EvaluationOptions | None = None
) -> Evaluation:
    source = read_detection_source(tmp_path / "found", SourceOptions(recordings=(str(wavs),)))
    known = read_annotations(
        tmp_path / "known", [analysed.recording for analysed in source.recordings], annotations or AnnotationOptions()
    )
    return compare_detections(source, known, options or EvaluationOptions(bootstrap=FEW))


# ---------------------------------------------------------------------------------------------- recordings


def test_two_recordings(tmp_path: Path, wavs: Path) -> None:
    write_table(tmp_path / "found" / "a.txt", (10, "x", "0.9"), (20, "x", "0.8"), (40, "x", "0.6"), (50, "x", "0.4"))
    write_table(tmp_path / "known" / "a.txt", (10.5, "call", ""), (30, "call", ""), (40, "call?", ""), (50, "call", ""))
    write_table(tmp_path / "known" / "b.txt")  # annotated, and silent
    evaluation = compare_tables(tmp_path, wavs)
    # true positives at 0.9 and 0.4, false positive at 0.8, ignored at 0.6, false negative at 30 s; 2 x 72 s = 0.04 h
    assert evaluation.curve.hours == pytest.approx(0.04)
    assert evaluation.curve.thresholds.tolist() == [0.9, 0.8, 0.4]
    assert evaluation.n_ignored == 1
    assert evaluation.curve.average_precision() == pytest.approx((1 / 1 + 2 / 3) / 3)
    assert (evaluation.point.threshold, evaluation.point.true_positives, evaluation.point.false_negatives) == (0.5, 1, 2)
    assert evaluation.point.false_positives_per_hour == pytest.approx(1 / 0.04)
    one, other = evaluation.recordings
    assert [event.outcome.value for event in one.events] == ["hit", "false", "missed", "aside", "hit"]
    assert (other.n_calls, other.average_precision, other.events) == (0, None, ())
    # at 0.5 the detection with 0.4 is not made, so its call, at 50 s, is a false negative, too
    errors = [(event.outcome, event.selection.begin_s) for event in one.errors()]
    assert errors == [
        (MatchOutcome.FALSE_POSITIVE, 19.5),
        (MatchOutcome.FALSE_NEGATIVE, 29.5),
        (MatchOutcome.FALSE_NEGATIVE, 49.5),
    ]


def test_recordings_without_a_table(tmp_path: Path, wavs: Path) -> None:
    write_table(tmp_path / "found" / "b.txt", (10, "x", "0.9"))
    write_table(tmp_path / "known" / "a.txt", (30, "call", ""))
    annotated = compare_tables(tmp_path, wavs)
    assert [one.recording.name for one in annotated.recordings] == ["a"]
    assert any("without a table, not used: b (" in note for note in annotated.notes)
    assert annotated.curve.hours == pytest.approx(0.02)
    empty = compare_tables(tmp_path, wavs, AnnotationOptions(unannotated_are_empty=True))
    assert empty.curve.hours == pytest.approx(0.04)
    assert empty.point.false_positives == 1
    assert any("without a table, evaluated" in note for note in empty.notes)


def test_without_calls_false_positives_are_counted(tmp_path: Path, wavs: Path) -> None:
    write_table(tmp_path / "found" / "b.txt", (10, "x", "0.9"))
    write_table(tmp_path / "known" / "a.txt")
    evaluation = compare_tables(
        tmp_path, wavs, AnnotationOptions(unannotated_are_empty=True), EvaluationOptions(false_positives_per_hour=(20, 30))
    )
    assert (evaluation.curve.average_precision(), evaluation.point.recall) == (None, None)
    assert [one.point is None for one in evaluation.recommendations] == [True, False]
    assert "not defined" in evaluation_summary(evaluation)
    evaluation_report.write_evaluation(tmp_path / "out", evaluation, {})
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["average_precision"]["value"] is None


def test_detector_without_detections(tmp_path: Path, wavs: Path) -> None:
    write_table(tmp_path / "found" / "a.txt")
    write_table(tmp_path / "known" / "a.txt", (30, "call", ""))
    evaluation = compare_tables(
        tmp_path, wavs, options=EvaluationOptions(false_positives_per_hour=(1,), precision=(0.9,), bootstrap=FEW)
    )
    assert evaluation.curve.average_precision() == 0
    assert all("no detections" in one.reason for one in evaluation.recommendations)
    evaluation_report.write_evaluation(tmp_path / "out", evaluation, {})
    assert (tmp_path / "out" / "precision_recall.png").is_file()


@pytest.mark.parametrize(
    ("options", "n_calls", "n_ignored"),
    [
        (AnnotationOptions(), 3, 2),  # call, Call, song; call? and Maybe count neither way
        (AnnotationOptions(labels=("CALL",)), 2, 2),
        (AnnotationOptions(labels=("call", "call?")), 3, 1),
        (AnnotationOptions(uncertain=("song",)), 2, 3),
    ],
)
def test_labels_of_calls(
    tmp_path: Path, recordings: list[Recording], options: AnnotationOptions, n_calls: int, n_ignored: int
) -> None:
    labels = ("call", "Call", "song", "call?", "Maybe")
    table = write_table(tmp_path / "a.txt", *((10.0 * n, label, "") for n, label in enumerate(labels, 1)))
    annotations = read_annotations(table, recordings, options)
    assert (len(annotations.calls["a"]), len(annotations.ignored["a"])) == (n_calls, n_ignored)


def test_reviews_take_precedence_over_labels(tmp_path: Path, recordings: list[Recording]) -> None:
    words = ("yes", "no", "maybe", "unreviewed", "")
    rows = [(10.0 * n, "call", word) for n, word in enumerate(words, 1)]
    annotations = read_annotations(
        write_table(tmp_path / "a.txt", *rows, column="Review"), recordings, AnnotationOptions(labels=("call",))
    )
    assert [one.review for one in annotations.calls["a"]] == ["yes", ""]
    assert [one.review for one in annotations.ignored["a"]] == ["maybe", "unreviewed"]


def test_detector_tables_are_annotations_once_reviewed(tmp_path: Path, recordings: list[Recording]) -> None:
    folder = tmp_path / "known"
    own = write_table(folder / "a.whalescan.selections.txt", (10, "call", "whalescan"), column="Detector")
    with pytest.raises(UsageError, match="only unreviewed tables of a detector"):
        read_annotations(folder, recordings, AnnotationOptions())
    write_table(folder / "b.txt", (10, "call", ""))
    annotations = read_annotations(folder, recordings, AnnotationOptions())
    assert list(annotations.calls) == ["b"]
    assert any("unreviewed tables" in note and own.name in note for note in annotations.notes)
    assert list(read_annotations(own, recordings, AnnotationOptions()).calls) == ["a"], "a table that is named is read"
    own.write_text("Begin Time (s)\tEnd Time (s)\tDetector\tReview\n1\t2\twhalescan\tyes\n")
    assert list(read_annotations(folder, recordings, AnnotationOptions()).calls) == ["a", "b"]


def test_duplicate_selections_are_merged(tmp_path: Path, recordings: list[Recording]) -> None:
    for name in ("a.txt", "a.Table.1.selections.txt"):
        write_table(tmp_path / "known" / name, (10, "call", ""), (12, "call", ""))
    assert len(read_annotations(tmp_path / "known", recordings, AnnotationOptions()).calls["a"]) == 2


def test_other_channels_are_not_used(tmp_path: Path, recordings: list[Recording]) -> None:
    table = tmp_path / "a.txt"
    table.write_text("Begin Time (s)\tEnd Time (s)\tChannel\n1\t2\t1\n1\t2\t2\n")
    annotations = read_annotations(table, recordings, AnnotationOptions(channel=2))
    assert [one.channel for one in annotations.calls["a"]] == [2]
    assert any("1 annotation in other channels than 2" in note for note in annotations.notes)


def test_ignored_selections(tmp_path: Path, wavs: Path) -> None:
    write_table(tmp_path / "found" / "a.txt", (10, "x", "0.9"), (20, "x", "0.8"))
    write_table(tmp_path / "known" / "a.txt", (20, "call", ""))
    assert compare_tables(tmp_path, wavs).curve.average_precision() == 1 / 2
    further = write_table(tmp_path / "a.further.txt", (10.4, "call", ""))
    assert compare_tables(tmp_path, wavs, AnnotationOptions(ignored=(further,))).curve.average_precision() == 1


def test_scores_outside_0_to_1_have_no_reliability(tmp_path: Path, wavs: Path) -> None:
    write_table(tmp_path / "found" / "a.txt", (10, "x", "17.5"), (20, "x", "-3"))
    write_table(tmp_path / "known" / "a.txt", (20, "call", ""))
    evaluation = compare_tables(tmp_path, wavs)
    assert evaluation.reliability is None
    assert evaluation.curve.average_precision() == 1 / 2


def test_tables_without_a_recording_are_noted(tmp_path: Path, wavs: Path) -> None:
    write_table(tmp_path / "found" / "a.txt", (10, "x", "0.9"))
    write_table(tmp_path / "known" / "a.txt", (10, "call", ""))
    write_table(tmp_path / "known" / "gone.txt", (10, "call", ""))
    assert any("gone.txt" in note for note in compare_tables(tmp_path, wavs).notes)


def test_invalid_inputs(tmp_path: Path, wavs: Path, recordings: list[Recording]) -> None:
    table, sound = write_table(tmp_path / "a.txt", (10, "call", "")), SourceOptions(recordings=(str(wavs),))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no such file or folder"):
        read_detection_source(tmp_path / "absent", sound)
    with pytest.raises(UsageError, match="give these as recordings"):
        read_detection_source(table, SourceOptions())
    with pytest.raises(UsageError, match="neither the output folder of a run nor Raven tables"):
        read_detection_source(tmp_path / "empty", sound)
    with pytest.raises(TableError, match="has no Score"):
        read_detection_source(table, sound)
    with pytest.raises(UsageError, match="no Raven tables"):
        read_annotations(tmp_path / "empty", recordings, AnnotationOptions())
    with pytest.raises(UsageError, match="no such file"):
        read_annotations(table, recordings, AnnotationOptions(ignored=(tmp_path / "absent.txt",)))
    with pytest.raises(UsageError, match="no selection is labelled gunshot; the labels are call"):
        read_annotations(table, recordings, AnnotationOptions(labels=("gunshot",)))
    with pytest.raises(UsageError, match="no tables of any of the 1 recording"):
        read_annotations(table, recordings[1:], AnnotationOptions())
    (tmp_path / "half" / "scores").mkdir(parents=True)
    with pytest.raises(TableError, match=r"run\.json: no finished run"):
        read_detection_source(tmp_path / "half", SourceOptions())
    known = read_annotations(table, recordings, AnnotationOptions())
    with pytest.raises(UsageError):
        BootstrapOptions(-1)
    with pytest.raises(UsageError, match="both analysed and annotated"):
        compare_detections(DetectionSource("x", 0.5, None, ()), known, EvaluationOptions())
    for options in ({"tolerance_s": -1}, {"false_positives_per_hour": (-1,)}, {"precision": (1.1,)}):
        with pytest.raises(UsageError):
            replace(EvaluationOptions(), **options)


# ---------------------------------------------------------------------------------------------- from the command line


@pytest.fixture(scope="module")
def out(simulated_recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    whalescan.scan(simulated_recordings, folder, hop_s=0.5, threshold=0.3)
    return folder


@pytest.mark.slow
def test_run_against_annotations(out: Path, simulated_recordings: Path, tmp_path: Path) -> None:
    result = call(
        out, simulated_recordings, "-o", tmp_path, "--false-positives-per-hour", 30, "--precision", 0.8, "--bootstrap", 50
    )
    assert result.exit_code == 0, result.output
    for words in (
        "3 recordings",
        "average precision",
        "for at most 30 false",
        "within 1 s",
        "from 3 recordings are approximate",
    ):
        assert words in " ".join(result.stdout.split())
    document = json.loads((tmp_path / "evaluation.json").read_text())
    assert document["hours"] == pytest.approx(120 / 3600)
    assert document["average_precision"]["value"] > 0.5
    assert document["given"]["precision"] == [0.8]
    events, files = pd.read_csv(tmp_path / "events.csv"), pd.read_csv(tmp_path / "recordings.csv")
    n_true = sum(len(read_selections(path)) for path in simulated_recordings.glob("*.selections.txt"))
    assert files["n_calls"].sum() == document["n_calls"] == n_true == events["outcome"].isin(["hit", "missed"]).sum()
    last = pd.read_csv(tmp_path / "curve.csv").iloc[-1]
    assert last["n_detections"] == events["outcome"].isin(["hit", "false"]).sum()
    for name in ("precision_recall", "recall_false_positives", "reliability"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    wrong = [one for path in (tmp_path / "errors").glob("*.errors.selections.txt") for one in read_selections(path)]
    assert len(wrong) == files["misses"].sum() + files["false_positives"].sum()
    assert {one.label for one in wrong} <= {"missed", "false alarm"}
    assert call(out, simulated_recordings, "-o", tmp_path / "again", "--bootstrap", 50).exit_code == 0
    assert (tmp_path / "again" / "curve.csv").read_bytes() == (tmp_path / "curve.csv").read_bytes()


@pytest.mark.slow
def test_detections_at_the_lowest_score_contain_those_of_the_run(out: Path) -> None:
    found = pd.read_csv(out / "detections.csv").groupby("recording")
    source = read_detection_source(out, SourceOptions())
    for analysed in source.recordings:
        name = analysed.recording.name
        kept = [one for one in analysed.detections if one.score is not None and one.score >= source.threshold]
        expected = found.get_group(name)["begin_s"].tolist() if name in found.groups else []
        assert [one.begin_s for one in kept] == pytest.approx(expected)


def test_invalid_options_of_a_run(out: Path, simulated_recordings: Path) -> None:
    for words, complaint in (
        (("--channel", 2), "no recording has scores of channel 2"),
        (("--class", "gunshot"), "expected NARW upcall"),
        (("--recordings", simulated_recordings), "leave out recordings"),
        (("--threshold", 0.001), "at least the lowest score"),
        (("--clips", "x.csv"), "--clips is for a model file"),
        (("--lowest", 0), "lowest 0: expected"),
    ):
        result = call(out, simulated_recordings, *words)
        assert result.exit_code == 2
        assert complaint in result.stderr


def test_unreadable_sound_is_not_analysed(out: Path, tmp_path: Path) -> None:
    whole = {analysed.recording.name: analysed.hours for analysed in read_detection_source(out, SourceOptions()).recordings}
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
    source = read_detection_source(folder, SourceOptions())
    assert {analysed.recording.name: analysed.hours for analysed in source.recordings} == pytest.approx({first: 30 / 3600})
    assert any(second in note for note in source.notes)
    assert len(source.notes) == 2


# ---------------------------------------------------------------------------------------------- clips


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve clips, half of them with a call; one long, one short, one of another rate; and a file without sound."""
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


@pytest.mark.slow
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
    assert "train12.aiff" in result.stdout
    assert len(pd.read_csv(tmp_path / "clips.csv")) == 12
    assert (tmp_path / "receiver_operating.png").is_file()


@pytest.mark.slow
def test_list_of_clips(labelled: Path, tmp_path: Path) -> None:
    split = tmp_path / "split.csv"
    split.write_text("clip_name,side\ntrain0.aiff,validation\ntrain1.aiff,validation\ntrain3.aiff,training\nx,validation\n")
    result = call(DEFAULT_MODEL, labelled, "--clips", split, "--bootstrap", 0)
    assert result.exit_code == 0, result.output
    assert "on 2 clips, 1 with a call" in result.stdout
    assert "train.csv does not list them: x" in result.stdout


@pytest.mark.slow
def test_invalid_clips(labelled: Path, tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("clip_name\ntrain1.aiff\n")
    (tmp_path / "other.csv").write_text("clip_name\nelsewhere.aiff\n")
    (tmp_path / "none.csv").write_text("a,b\n1,2\n")
    for words, complaint in (
        ((tmp_path,), "train.csv: not a table"),
        ((labelled, "--clips", tmp_path / "one.csv"), "with and without a call are needed"),
        ((labelled, "--clips", tmp_path / "other.csv"), "none of its 1 clip"),
        ((labelled, "--clips", tmp_path / "none.csv"), "not a table with the column clip_name"),
        ((labelled, "--class", "gunshot"), "expected NARW upcall"),
        ((labelled, "--tolerance", 2), "--tolerance is for recordings"),
    ):
        result = call(DEFAULT_MODEL, *words)
        assert result.exit_code == 2
        assert complaint in result.stderr


@pytest.mark.slow
def test_clips_with_names_of_classes_as_labels(labelled: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(labelled, tmp_path / "clips")
    table = pd.read_csv(folder / "train.csv")
    table["label"] = table["label"].map({1: "NARW upcall", 0: "0"})
    table.loc[0, "label"], table.loc[1, "label"] = "gunshot", "NARW upcall?"
    table.to_csv(folder / "train.csv", index=False)
    found = evaluate_clips(DEFAULT_MODEL, folder, bootstrap=0)
    assert (len(found.names), int(found.is_call.sum())) == (10, 5)
    assert sum("not used, labelled" in note for note in found.notes) == 2
    assert found.to_frame()["score"].tolist() == found.scores.tolist()


@pytest.mark.slow
def test_clips_for_training_are_evaluated(out: Path, tmp_path: Path) -> None:
    run = shutil.copytree(out, tmp_path / "run")
    detections = open_finished_run(run).read_detections()
    reviews = ["no" if i % 3 else "yes" for i in range(len(detections))]
    validations = [Validation.of_detection(one, review, "review") for one, review in zip(detections, reviews, strict=True)]
    validation_store.append_validations(run, validations)
    folder = tmp_path / "clips"
    assert CliRunner().invoke(main, ["clips", str(run), "-o", str(folder), "--for-training"]).exit_code == 0
    labels = pd.read_csv(folder / "train.csv", dtype=str)["label"]
    assert set(labels) == {"0", UPCALL}
    result = call(DEFAULT_MODEL, folder, "--bootstrap", 0)
    assert result.exit_code == 0, result.output
    assert f"on {len(labels)} clips, {(labels == UPCALL).sum()} with a call" in result.stdout


@pytest.mark.slow
def test_a_clip_has_the_score_of_its_sound(labelled: Path) -> None:
    found = evaluate_clips(DEFAULT_MODEL, labelled, bootstrap=0)
    samples, rate_hz = soundfile.read(labelled / "train" / "train2.aiff", dtype="float32")
    track = load_model().score(samples, rate_hz)
    assert found.to_frame().set_index("clip_name")["score"]["train2.aiff"] == pytest.approx(track.scores.max())


def test_package_and_help_do_not_import_matplotlib_or_torch() -> None:
    program = (
        "import sys, whalescan\nfrom click.testing import CliRunner\nfrom whalescan.cli import main\n"
        "CliRunner().invoke(main, ['evaluate', '--help'])\nsys.exit('matplotlib' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_plots_are_reproducible(tmp_path: Path, wavs: Path) -> None:
    write_table(tmp_path / "found" / "a.txt", (10, "x", "0.9"), (20, "x", "0.8"))
    write_table(tmp_path / "known" / "a.txt", (20, "call", ""))
    evaluation = compare_tables(tmp_path, wavs)
    one, two = (plots.precision_recall(evaluation.curve, evaluation.point, "title") for _ in "ab")
    assert one == two
