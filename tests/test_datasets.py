"""Training examples from clips and annotated recordings, and the problems of their data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import write_sound
from whalescan import UsageError
from whalescan.core import Annotation
from whalescan.detector.model_spec import UPCALL
from whalescan.tables.raven import annotation_bytes
from whalescan.training.datasets import DataOptions, Dataset, read_dataset, read_negative_windows
from whalescan.training.examples import DataProblem, ExampleLabel, Examples, ExtractionOptions, data_problem_lines
from whalescan.training.window_sampling import MARGIN_S, LabelledSelection, place_windows

RATE_HZ, WINDOW = 2000, 4000
ONE_CLASS = DataOptions(classes=(UPCALL,))


def noise(seconds: float, seed: int = 0, rate_hz: int = RATE_HZ) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate_hz)).clip(-4, 4)


def call(begin_s: float, end_s: float, label: str = UPCALL, channel: int = 1) -> Annotation:
    return Annotation(begin_s, end_s, 50, 350, label, channel)


def annotate(path: Path, *calls: Annotation) -> None:
    path.with_suffix(".selections.txt").write_bytes(annotation_bytes(calls))


def recording(path: Path, *calls: Annotation, seconds: float = 60, seed: int = 0) -> Path:
    write_sound(path, noise(seconds, seed))
    annotate(path, *calls)
    return path


def reviewed(path: Path, *rows: tuple[float, float, str, str]) -> None:
    """A table with the column Review: begin, end, label, review."""
    lines = ["Selection\tBegin Time (s)\tEnd Time (s)\tAnnotation\tReview"]
    lines += [f"{i}\t{b}\t{e}\t{label}\t{review}" for i, (b, e, label, review) in enumerate(rows, start=1)]
    path.with_suffix(".selections.txt").write_text("\n".join(lines) + "\n")


def clip_folder(root: Path, labels: Mapping[str, object], seconds: float = 2.0) -> Path:
    """Clips of different noise; a name's place in the table is its seed."""
    for i, name in enumerate(labels):
        write_sound(root / "train" / name, noise(seconds, i), subtype="PCM_16")
    list_clips(root, labels.items())
    return root


def list_clips(root: Path, pairs: Iterable[tuple[str, object]]) -> None:
    rows = [f"{name},{label}" for name, label in pairs]
    (root / "train.csv").write_text("\n".join(["clip_name,label", *rows]) + "\n")


def read_examples(roots: Sequence[Path], options: DataOptions | None = None) -> Dataset:
    return read_dataset(roots, options or DataOptions(), RATE_HZ, WINDOW, quiet=True)


def same(one: Examples, other: Examples) -> bool:
    arrays = ((a.windows.tobytes(), a.targets.tobytes(), a.begin_s.tobytes()) for a in (one, other))
    return len(set(arrays)) == 1 and (one.names, one.groups) == (other.names, other.groups)


# ---------------------------------------------------------------------------------------------- where windows lie


@st.composite
def annotated_selections(draw: st.DrawFn) -> tuple[list[LabelledSelection], int]:
    """Selections of every kind and length, anywhere in a recording."""
    n_samples = draw(st.integers(WINDOW, 60 * RATE_HZ))
    selections = []
    for _ in range(draw(st.integers(0, 8))):
        begin = draw(st.floats(0, n_samples - 1))
        end = min(begin + draw(st.floats(1, 5 * RATE_HZ)), n_samples)
        example_label = draw(st.sampled_from(list(ExampleLabel)))
        selections.append(LabelledSelection(begin, end, draw(st.integers(1, 2)), example_label, draw(st.sampled_from("ab"))))
    return selections, n_samples


def shared(selection: LabelledSelection, begin: int) -> float:
    return min(selection.end, begin + WINDOW) - max(selection.begin, begin)


@given(annotated_selections(), st.integers(0, 1000))
def test_targets_of_placed_windows(selections_and_length: tuple[list[LabelledSelection], int], seed: int) -> None:
    selections, n_samples = selections_and_length
    plan = ExtractionOptions(("a", "b"), RATE_HZ, WINDOW, DataOptions(least_background=4))
    places = place_windows(selections, n_samples, plan, np.random.default_rng(seed))
    for begin, target, shown in zip(places.begins.tolist(), places.targets, places.selection_index.tolist(), strict=True):
        assert 0 <= begin <= n_samples - WINDOW
        expected = [0, 0]
        for s in selections:
            if s.example_label == ExampleLabel.CALL and shared(s, begin) >= min(s.end - s.begin, WINDOW) / 2:
                expected["ab".index(s.name)] = 1
        assert target.tolist() == expected
        if shown < 0:
            margin = MARGIN_S * RATE_HZ
            assert all(shared(s, begin) <= -margin for s in selections)
            continue
        own = selections[shown]
        is_call = own.example_label == ExampleLabel.CALL
        assert is_call or own.example_label == ExampleLabel.NO_CALL
        if own.end - own.begin <= WINDOW:
            assert begin <= (own.begin + own.end) / 2 <= begin + WINDOW
            assert shared(own, begin) >= 0.9 * (own.end - own.begin) - 1
        if is_call:
            assert target["ab".index(own.name)] == 1
        harmless = {ExampleLabel.NO_CALL, ExampleLabel.CALL} if is_call else {ExampleLabel.NO_CALL}
        assert all(shared(s, begin) <= 0 for s in selections if s.example_label not in harmless)
    background = np.sort(places.begins[places.selection_index < 0])
    assert (np.diff(background) >= WINDOW).all()


@given(annotated_selections())
def test_calls_away_from_uncertain_selections_have_windows(
    selections_and_length: tuple[list[LabelledSelection], int],
) -> None:
    selections, n_samples = selections_and_length
    calls = [s for s in selections if s.example_label == ExampleLabel.CALL]
    places = place_windows(
        calls, n_samples, ExtractionOptions(("a", "b"), RATE_HZ, WINDOW, DataOptions()), np.random.default_rng(1)
    )
    assert set(places.selection_index.tolist()) - {-1} == set(range(len(calls)))


def test_long_calls_have_several_windows() -> None:
    long = LabelledSelection(10_000, 26_000, 1, ExampleLabel.CALL, "a")
    plan = ExtractionOptions(("a",), RATE_HZ, WINDOW, DataOptions(background_per_call=0))
    places = place_windows([long], 40_000, plan, np.random.default_rng(1))
    middles = places.begins + WINDOW / 2
    assert len(middles) == 4
    assert (np.diff(middles) > 0).all()
    assert middles[0] > long.begin
    assert middles[-1] < long.end


def test_background_windows_fit_in_free_spans() -> None:
    plan = ExtractionOptions(("a",), RATE_HZ, WINDOW, DataOptions(least_background=50))
    assert place_windows([], WINDOW, plan, np.random.default_rng(1)).begins.tolist() == [0]
    begins = place_windows([], 10 * WINDOW, plan, np.random.default_rng(1)).begins
    assert 5 <= len(begins) <= 10


# ---------------------------------------------------------------------------------------------- annotated recordings


def test_windows_are_samples_of_the_recording(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.wav", call(10, 11), call(40, 41.2))
    dataset = read_examples([tmp_path])
    examples = dataset.examples
    samples, _ = soundfile.read(path, dtype="float32")
    for window, begin_s in zip(examples.windows, examples.begin_s, strict=True):
        begin = round(begin_s * RATE_HZ)
        np.testing.assert_array_equal(window, samples[begin : begin + WINDOW])
    assert [array.dtype for array in (examples.windows, examples.targets)] == [np.float32] * 2
    assert (dataset.classes, examples.n_calls, len(examples)) == ((UPCALL,), 2, 8)
    assert (set(examples.names), dataset.n_recordings, dataset.problems) == ({"a"}, 1, ())
    early, late = examples.begin_s[examples.holds_call]
    assert early < 10.5 < early + 2
    assert late < 40.6 < late + 2


def test_groups_by_day_or_recording(tmp_path: Path) -> None:
    for name in ("x_20090401_010000.wav", "x_20090401_230000.wav", "x_20090402_000000Z.wav", "sub/b.wav"):
        recording(tmp_path / name, call(5, 6), seconds=20)
    by_day, by_recording = (
        read_examples([tmp_path]).examples,
        read_examples([tmp_path], DataOptions(group_by="recording")).examples,
    )
    assert set(by_day.groups) == {"2009-04-01", "2009-04-02", "sub/b.wav"}
    assert len(set(by_recording.groups)) == 4


def test_several_classes_renamed_uncertain_and_other(tmp_path: Path) -> None:
    calls = [
        call(10, 11, "up"),
        call(10.2, 11.2, "moan"),
        call(20, 21, "up?"),
        call(30, 31, "Possible"),
        call(40, 41, "ghost"),
    ]
    recording(tmp_path / "a.wav", *calls, call(50, 51, "Gunshot"))
    renamed = (("up", UPCALL),)
    free = read_examples([tmp_path], DataOptions(renamed=renamed, uncertain=("GHOST",)))
    assert free.classes == ("Gunshot", UPCALL, "moan")
    assert (free.n_uncertain, free.problems) == (3, ())
    both = free.examples.select(free.examples.begin_s < 11).targets
    assert [0, 1, 1] in both.tolist(), "two calls at once are two classes at once"
    wanted = read_examples([tmp_path], DataOptions(classes=("moan", UPCALL), renamed=renamed))
    assert wanted.classes == ("moan", UPCALL)
    assert wanted.n_uncertain == 4
    assert len(wanted.problems) == 2, "Gunshot and ghost, each text with its count"
    assert all("1 selection not used" in line for line in wanted.problems)
    assert any("'Gunshot'" in line for line in wanted.problems)


def test_reviews_of_selections(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", noise(60))
    rows = (10, 11, UPCALL, "yes"), (20, 21, UPCALL, "no"), (30, 31, UPCALL, "maybe"), (40, 41, UPCALL, "unreviewed")
    reviewed(path, *rows, (50, 51, UPCALL, ""))
    dataset = read_examples([tmp_path], DataOptions(background_per_call=0))
    examples = dataset.examples
    assert [round(begin_s + 1, -1) for begin_s in examples.begin_s] == [10, 20, 50]
    assert examples.targets[:, 0].tolist() == [1, 0, 1]
    assert dataset.n_uncertain == 2
    assert "'unreviewed': 1" in dataset.problems[0]


def test_duplicate_selections_in_two_tables(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", noise(60))
    reviewed(path, (10, 11, UPCALL, "unreviewed"), (20, 21, UPCALL, "no"), (30, 31, UPCALL, "yes"))
    other = tmp_path / "a.second.wav"
    reviewed(other, (10, 11, UPCALL, "yes"), (20, 21, UPCALL, "yes"), (30, 31, UPCALL, "yes"))
    dataset = read_examples([tmp_path], DataOptions(background_per_call=1))
    assert dataset.examples.n_calls == 2
    assert dataset.n_uncertain == 1
    assert len(dataset.examples) == 4


def test_recordings_without_a_table_and_with_an_empty_one(tmp_path: Path) -> None:
    recording(tmp_path / "a.wav", call(10, 11))
    recording(tmp_path / "silent.wav")
    write_sound(tmp_path / "unknown.wav", noise(30))
    dataset = read_examples([tmp_path], DataOptions(least_background=7))
    assert dataset.examples.names.count("silent") == 7
    assert (dataset.n_recordings, dataset.n_skipped) == (2, 1)
    assert dataset.problems == (
        f"{tmp_path}/unknown.wav: not used, without a table: add one (without rows where there are no calls)",
    )


def test_channel_of_a_call(tmp_path: Path) -> None:
    stereo = np.stack([noise(30, 1), noise(30, 2)], axis=1)
    path = write_sound(tmp_path / "a.wav", stereo)
    annotate(path, call(10, 11, channel=2), call(20, 21, channel=3))
    dataset = read_examples([tmp_path])
    samples, _ = soundfile.read(path, dtype="float32")
    for window, begin_s in zip(dataset.examples.windows, dataset.examples.begin_s, strict=True):
        begin = round(begin_s * RATE_HZ)
        np.testing.assert_array_equal(window, samples[begin : begin + WINDOW, 1])
    assert dataset.examples.n_calls == 1
    assert "channel 3" in dataset.problems[0]


def test_unreadable_sound_is_in_no_window(tmp_path: Path) -> None:
    samples = noise(60).astype(np.float32)
    samples[20_000:50_000] = np.nan
    path = write_sound(tmp_path / "a.wav", samples, subtype="FLOAT")
    annotate(path, call(12, 13), call(40, 41))
    dataset = read_examples([tmp_path], DataOptions(background_per_call=8))
    begin_s = dataset.examples.begin_s
    assert ((begin_s + 2 <= 10) | (begin_s >= 25)).all()
    assert np.isfinite(dataset.examples.windows).all()
    assert dataset.examples.n_calls == 1
    assert any("not finite" in line for line in dataset.problems)
    assert any("1 of 2 calls not used, the first at 12 s" in line for line in dataset.problems)


def test_only_the_sound_around_windows_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from whalescan.audio import reading

    path = write_sound(tmp_path / "a.wav", noise(320, rate_hz=8000), 8000)
    annotate(path, call(200, 201))
    decoded = []
    original = reading._decode

    def counting(recording: object, channel: int, begin: int, end: int) -> reading.AudioSegment:
        decoded.append(end - begin)
        return original(recording, channel, begin, end)  # type: ignore[arg-type]

    monkeypatch.setattr(reading, "_decode", counting)
    assert len(read_examples([tmp_path]).examples) == 4
    assert max(decoded) <= 32 * 8000
    assert sum(decoded) <= 8 * 32 * 8000


@settings(max_examples=10)
@given(begins=st.lists(st.integers(0, 350), min_size=1, max_size=12, unique=True), seed=st.integers(0, 99))
def test_no_window_without_a_call_touches_a_selection(
    tmp_path_factory: pytest.TempPathFactory, begins: list[int], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    labels = (UPCALL, "maybe", "moan?")
    calls = [call(b / 10, b / 10 + 1, labels[i % 3]) for i, b in enumerate(begins)]
    recording(folder / "a.wav", *calls, seconds=40)
    recording(folder / "quiet.wav", call(3, 4), seconds=20)
    examples = read_examples([folder], DataOptions(seed=seed)).examples
    for begin_s, silent, name in zip(examples.begin_s, ~examples.holds_call, examples.names, strict=True):
        if silent and name == "a":
            assert all(begin_s + 2 <= c.begin_s - 0.49 or begin_s >= c.end_s + 0.49 for c in calls)


# ---------------------------------------------------------------------------------------------- determinism, mixtures


def test_same_data_and_seed_same_examples(tmp_path: Path) -> None:
    for root, names in (("one", "abc"), ("two", "cba")):
        for name in names:
            recording(tmp_path / root / f"{name}.wav", call(10, 11), call(20, 21), seed=ord(name))
    one, two = (read_examples([tmp_path / root]).examples for root in ("one", "two"))
    assert same(one, two)
    assert not same(one, read_examples([tmp_path / "one"], DataOptions(seed=1)).examples)
    recording(tmp_path / "two" / "d.wav", call(5, 6))
    more = read_examples([tmp_path / "two"]).examples
    assert same(more.select(np.array([name != "d" for name in more.names])), two), "a recording more changes no other"


def test_clips_and_recordings_together(tmp_path: Path) -> None:
    recording(tmp_path / "simulated" / "a.wav", call(10, 11, "moan"), call(30, 31))
    folder = clip_folder(tmp_path / "clips", {"x.wav": 1, "y.wav": 0, "z.wav": "moan", "q.wav": "maybe"})
    dataset = read_examples([tmp_path / "simulated", folder, folder])
    assert dataset.classes == (UPCALL, "moan")
    assert (dataset.n_clips, dataset.n_recordings, dataset.n_uncertain) == (3, 1, 1)
    assert dataset.examples.targets[:3].tolist() == [[1, 0], [0, 0], [0, 1]]
    assert dataset.examples.names[:4] == ("x.wav", "y.wav", "z.wav", "a")
    assert dataset.examples.targets.sum(axis=0).tolist() == [2, 2]


# ---------------------------------------------------------------------------------------------- clips


def test_a_clips_group_is_the_hash_of_its_samples(tmp_path: Path) -> None:
    labels: dict[str, object] = {f"{i}.aiff": i % 2 for i in range(6)}
    examples = read_examples([clip_folder(tmp_path, labels)]).examples
    for name, group, window in zip(examples.names, examples.groups, examples.windows, strict=True):
        samples, _ = soundfile.read(tmp_path / "train" / name, dtype="int16")
        assert group == hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest()[:16]
        np.testing.assert_array_equal(window, samples / np.float32(32768))
    assert examples.names == tuple(labels), "in the order of the table"


def test_clips_of_other_rates_lengths_and_channels(tmp_path: Path) -> None:
    clip_folder(tmp_path, {"a.wav": 0, "b.wav": 1})
    train = tmp_path / "train"
    tone = np.sin(2 * np.pi * 100 * np.arange(8000) / 4000) * 0.3
    for i in range(37):
        write_sound(train / f"fast{i}.wav", (0.5 + i / 100) * tone, 4000)
    long = noise(6, 50)
    write_sound(train / "long.wav", long, subtype="FLOAT")
    write_sound(train / "stereo.flac", np.stack([noise(2, 51), noise(2, 52)], axis=1))
    write_sound(train / "short.wav", noise(1.2, 53), subtype="FLOAT")
    write_sound(train / "tiny.wav", noise(0.9, 54))
    names = ["a.wav", *(f"fast{i}.wav" for i in range(37)), "long.wav", "stereo.flac", "short.wav", "tiny.wav"]
    list_clips(tmp_path, [("b.wav", 1), *((name, 0) for name in names)])
    dataset = read_examples([tmp_path])
    by_name = dict(zip(dataset.examples.names, dataset.examples.windows, strict=True))
    expected = 0.5 * 0.3 * np.sin(2 * np.pi * 100 * np.arange(4000) / 2000)
    np.testing.assert_allclose(by_name["fast0.wav"][200:-200], expected[200:-200], atol=2e-3)
    np.testing.assert_array_equal(by_name["long.wav"], long[4000:8000].astype(np.float32))
    np.testing.assert_allclose(by_name["stereo.flac"], noise(2, 51), atol=1e-4)
    np.testing.assert_array_equal(by_name["short.wav"][2400:], by_name["short.wav"][2398:798:-1])
    assert "tiny.wav" not in by_name
    text = "\n".join(dataset.problems)
    assert len(dataset.problems) == 5
    for words in ("tiny.wav: 0.9 s", "from 4000 Hz to 2000 Hz: 37", "longer than 2 s, of", "shorter than 2 s, "):
        assert words in text
    assert "2 channels, of which the first was used: 1" in text


def test_contradictory_clips_are_not_used(tmp_path: Path) -> None:
    labels = {f"{name}.wav": i % 2 for i, name in enumerate("abcdef")}
    one = clip_folder(tmp_path / "one", labels)
    (one / "train" / "f.wav").write_bytes((one / "train" / "d.wav").read_bytes())
    other = clip_folder(tmp_path / "other", {"p.wav": 1})  # the first noise again, which is a.wav without a call
    dataset = read_examples([one, other])
    assert dataset.examples.names == ("b.wav", "c.wav", "d.wav", "e.wav", "f.wav")
    assert dataset.problems == (
        "a.wav and p.wav have the same sound but different labels, and were not used: correct train.csv",
    )
    assert (dataset.n_clips, dataset.n_skipped) == (5, 2)
    groups = dict(zip(dataset.examples.names, dataset.examples.groups, strict=True))
    assert groups["d.wav"] == groups["f.wav"] != groups["b.wav"]


def test_quiet_float_clips_have_different_hashes(tmp_path: Path) -> None:
    for i, name in enumerate("ab"):
        write_sound(tmp_path / "train" / f"{name}.wav", 1e-6 * noise(2, i), subtype="FLOAT")
    list_clips(tmp_path, [("a.wav", 0), ("b.wav", 1)])
    assert read_examples([tmp_path]).problems == ()


def test_unknown_and_blank_labels(tmp_path: Path) -> None:
    labels = {"a.wav": 0, "b.wav": "1.0", "c.wav": 2, "d.wav": "", "e.wav": "up?", "f.wav": 7}
    clip_folder(tmp_path, labels)
    with (tmp_path / "train.csv").open("a") as table:
        table.write("a.wav,0\ng.wav\n")
    dataset = read_examples([tmp_path], DataOptions(renamed=(("7", UPCALL),)))
    assert dataset.examples.names == ("a.wav", "b.wav", "f.wav")
    assert dataset.examples.targets[:, 0].tolist() == [0, 1, 1]
    text = "\n".join(dataset.problems)
    for words in ("repeated rows, ignored: 1", "1 clip not used, labelled '2'", "2 clips not used, without a label"):
        assert words in text


# ---------------------------------------------------------------------------------------------- what stops training


def test_all_problems_are_in_one_message(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    recording(folder / "a.wav", call(10, 11, "moan"), call(59, 62))
    (folder / "broken.wav").write_bytes(b"RIFF, but no sound")
    recording(folder / "brief.wav", seconds=1)
    (folder / "gone.selections.txt").write_bytes(annotation_bytes([call(1, 2)]))
    (folder / "bad.selections.txt").write_text("Begin Time (s)\tEnd Time (s)\nfive\t6\n")
    clips = clip_folder(tmp_path / "clips", {"x.wav": 0})
    (clips / "train" / "noise.wav").write_bytes(b"hello")
    list_clips(clips, [("x.wav", 0), ("absent.wav", 1), ("noise.wav", 1)])
    odd = tmp_path / "odd"
    odd.mkdir()
    (odd / "train.csv").write_text("a,b\n1,2\n")
    bare = write_sound(tmp_path / "bare" / "a.wav", noise(3)).parent
    with pytest.raises(UsageError) as error:
        read_examples([folder, clips, odd, bare, tmp_path / "nowhere", folder / "a.wav"], ONE_CLASS)
    text = str(error.value)
    for words in (
        "clip_name",
        "no Raven selection table",
        "nowhere: no such file or folder",
        "a.wav: a file, not a folder",
        "no example of 'NARW upcall'",
        "further problems:",
        "1 selection not used, labelled 'moan'",
        "does not lie within the 60 s of a.wav",
        "broken.wav: not a sound file",
        "brief.wav: 1 s are shorter than a window of 2 s",
        "gone.selections.txt: the selection at 1 s names no sound file",
        "bad.selections.txt, line 2",
        "absent.wav: listed in train.csv, but not there",
        "noise.wav: not a sound file",
    ):
        assert words in text
    assert text.index("no example of") < text.index("further problems:") < text.index("broken.wav")


@pytest.mark.parametrize(
    ("labels", "options", "words"),
    [
        ({"a.wav": 0, "b.wav": 0}, DataOptions(), "no example of a call"),
        ({"a.wav": 1, "b.wav": 1}, DataOptions(), "no example without a call"),
        ({"a.wav": 1, "b.wav": 0}, DataOptions(classes=(UPCALL, "moan")), "no example of 'moan'"),
    ],
)
def test_examples_of_both_kinds_are_needed(
    tmp_path: Path, labels: dict[str, object], options: DataOptions, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        read_examples([clip_folder(tmp_path, labels)], options)


def test_no_folder_and_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no example of a call"):
        read_examples([])
    tmp_path.joinpath("train.csv").write_text("clip_name,label\n")
    with pytest.raises(UsageError, match="no example without a call"):
        read_examples([tmp_path])


def test_many_problems_are_summarised() -> None:
    problems = [*(DataProblem("clips", f"clip {i}") for i in range(1000)), DataProblem("labels", "a label")]
    lines = data_problem_lines(problems)
    assert lines[:20] == tuple(f"clip {i}" for i in range(20))
    assert lines[20:] == ("and 980 more clips", "a label")


@pytest.mark.parametrize(
    "options",
    [
        {"group_by": "week"},
        {"classes": ("a", "a")},
        {"classes": ("",)},
        {"background_per_call": -1},
        {"least_background": -1},
    ],
)
def test_invalid_data_options(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        DataOptions(**options)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------- recordings without calls


def test_negative_windows(tmp_path: Path) -> None:
    write_sound(tmp_path / "a.wav", noise(5))
    write_sound(tmp_path / "b.wav", noise(1))
    (tmp_path / "c.wav").write_bytes(b"")
    negatives = read_negative_windows([str(tmp_path)], RATE_HZ, WINDOW, 1000)
    assert negatives.windows.shape == (7, WINDOW)
    assert negatives.names == ("a",) * 7
    assert len(negatives.problems) == 2
    assert "b.wav: 1 s are shorter" in negatives.problems[0]
    assert "c.wav: empty file" in negatives.problems[1]
    (tmp_path / "a.wav").unlink()
    with pytest.raises(UsageError, match="no recording has a complete, readable window") as error:
        read_negative_windows([str(tmp_path)], RATE_HZ, WINDOW, 1000)
    assert "c.wav" in str(error.value)
