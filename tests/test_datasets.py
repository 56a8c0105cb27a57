"""Training sounds from clips, annotated recordings and recordings without calls, and the problems of their data."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import write_sound
from whalescan import UsageError
from whalescan.audio import reading
from whalescan.core import Annotation, FloatArray
from whalescan.detector.model_spec import UPCALL, FrontEndOptions
from whalescan.tables.raven import annotation_bytes
from whalescan.training.backgrounds import read_backgrounds
from whalescan.training.datasets import Dataset, read_training_sounds
from whalescan.training.labels import DataOptions, DataProblem, data_problem_lines
from whalescan.training.levels import background_level
from whalescan.training.simulation import upcall
from whalescan.training.sounds import AnnotatedSound, Clip, TrainingSounds
from whalescan.training.training_options import TrainData

RATE_HZ, WINDOW = 2000, 4000
FRONT_END = FrontEndOptions()
ONE_CLASS = DataOptions(classes=(UPCALL,))


def noise(seconds: float, seed: int = 0, rate_hz: int = RATE_HZ) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate_hz)).clip(-4, 4)


def call(
    begin_s: float, end_s: float, label: str = UPCALL, channel: int = 1, band_hz: tuple[float, float] = (50, 350)
) -> Annotation:
    return Annotation(begin_s, end_s, *band_hz, label, channel)


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


def clip_folder(root: Path, labels: Mapping[str, object], seconds: float = 2.0, name: str = "train", seed: int = 0) -> Path:
    """Clips of different noise; a name's place in the table is its seed."""
    for i, file in enumerate(labels, start=seed):
        write_sound(root / name / file, noise(seconds, i), subtype="PCM_16")
    list_clips(root, labels.items(), name)
    return root


def list_clips(root: Path, pairs: Iterable[tuple[str, object]], name: str = "train") -> None:
    rows = [f"{file},{label}" for file, label in pairs]
    (root / f"{name}.csv").write_text("\n".join(["clip_name,label", *rows]) + "\n")


def read(roots: Sequence[Path], options: DataOptions | None = None, without_calls: Sequence[Path] = ()) -> Dataset:
    data = TrainData(tuple(roots), tuple(map(os.fspath, without_calls)), selection=options or DataOptions())
    return read_training_sounds(data, FRONT_END, quiet=True)


def names(clips: Iterable[Clip]) -> tuple[str, ...]:
    return tuple(clip.name for clip in clips)


def targets(clips: Iterable[Clip]) -> list[list[float]]:
    return [clip.targets.tolist() for clip in clips]


def levelled(samples: FloatArray) -> FloatArray:
    return samples / np.float32(background_level(samples, FRONT_END))


def spans_s(sound: AnnotatedSound) -> list[tuple[float, float]]:
    """Begin and end of the calls in seconds from the begin of the recording."""
    return [(sound.begin_s + c.begin / RATE_HZ, sound.begin_s + c.end / RATE_HZ) for c in sound.calls]


def same(one: TrainingSounds, other: TrainingSounds) -> bool:
    def content(sounds: TrainingSounds) -> list[object]:
        clips = [(c.samples.tobytes(), c.targets.tobytes(), str(c.call), c.name, c.group) for c in sounds.clips]
        annotated = [
            (s.samples.tobytes(), str(s.calls), s.uncertain.tobytes(), s.name, s.group, s.begin_s) for s in sounds.annotated
        ]
        return [sounds.classes, clips, annotated]

    return content(one) == content(other)


# ---------------------------------------------------------------------------------------------- annotated recordings


def test_annotated_sound_is_the_recording_at_level_one(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.wav", call(10, 11), call(40, 41.2))
    dataset = read([tmp_path])
    samples, _ = soundfile.read(path, dtype="float32")
    (sound,) = dataset.sounds.annotated
    np.testing.assert_array_equal(sound.samples, levelled(samples))
    assert background_level(sound.samples, FRONT_END) == pytest.approx(1, abs=1e-3)
    assert sound.samples.dtype == np.float32
    np.testing.assert_allclose(spans_s(sound), [(10, 11), (40, 41.2)], atol=1e-3)
    assert (sound.name, sound.begin_s, sound.channel) == ("a", 0, 1)
    assert (dataset.classes, dataset.n_recordings, dataset.problems) == ((UPCALL,), 1, ())
    assert dataset.sounds.n_calls == 2
    assert "2 calls" in repr(dataset.sounds)


def test_a_band_that_all_selections_share_is_not_learnt(tmp_path: Path) -> None:
    recording(tmp_path / "one" / "a.wav", call(10, 11), call(40, 41))
    recording(tmp_path / "two" / "a.wav", call(10, 11, band_hz=(90, 200)), call(40, 41, band_hz=(0, 210)))
    (shared,), (own,) = (read([tmp_path / root]).sounds.annotated for root in ("one", "two"))
    assert np.isnan([(c.low_hz, c.high_hz) for c in shared.calls]).all()
    assert (own.calls[0].low_hz, own.calls[0].high_hz) == (90, 200)
    assert np.isnan(own.calls[1].low_hz), "a selection from 0 Hz states no band"


def test_groups_by_day_or_recording(tmp_path: Path) -> None:
    for name in ("x_20090401_010000.wav", "x_20090401_230000.wav", "x_20090402_000000Z.wav", "sub/b.wav"):
        recording(tmp_path / name, call(5, 6), seconds=20)
    by_day, by_recording = (read([tmp_path], DataOptions(group_by=unit)).sounds.annotated for unit in ("day", "recording"))
    assert {sound.group for sound in by_day} == {"2009-04-01", "2009-04-02", "sub/b.wav"}
    assert len({sound.group for sound in by_recording}) == 4


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
    free = read([tmp_path], DataOptions(renamed=renamed, uncertain=("GHOST",)))
    assert free.classes == ("Gunshot", UPCALL, "moan")
    assert (free.n_uncertain, free.problems) == (3, ())
    (sound,) = free.sounds.annotated
    assert [c.class_index for c in sound.calls] == [1, 2, 0], "two calls at once are two calls"
    assert (sound.uncertain / RATE_HZ).tolist() == [[20, 21], [30, 31], [40, 41]]
    assert free.sounds.calls_per_class.tolist() == [1, 1, 1]
    wanted = read([tmp_path], DataOptions(classes=("moan", UPCALL), renamed=renamed))
    assert wanted.classes == ("moan", UPCALL)
    assert wanted.n_uncertain == 4
    assert len(wanted.problems) == 2, "Gunshot and ghost, each text with its count"
    assert all("1 selection not used" in line for line in wanted.problems)
    assert any("'Gunshot'" in line for line in wanted.problems)
    (sound,) = wanted.sounds.annotated
    assert [50 * RATE_HZ, 51 * RATE_HZ] in sound.uncertain.tolist(), "a call of a class that is not trained is no absence"


def test_reviews_of_selections(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", noise(60))
    rows = (10, 11, UPCALL, "yes"), (20, 21, UPCALL, "no"), (30, 31, UPCALL, "maybe"), (40, 41, UPCALL, "unreviewed")
    reviewed(path, *rows, (50, 51, UPCALL, ""))
    dataset = read([tmp_path])
    (sound,) = dataset.sounds.annotated
    assert [begin_s for begin_s, _ in spans_s(sound)] == [10, 50]
    assert (sound.rejected / RATE_HZ).tolist() == [[20, 21]]
    assert (sound.uncertain / RATE_HZ).tolist() == [[30, 31], [40, 41]]
    assert dataset.n_uncertain == 2
    assert "'unreviewed': 1" in dataset.problems[0]


def test_a_selection_without_a_label_is_uncertain_and_named(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", noise(30))
    reviewed(path, (10, 11, UPCALL, "yes"), (20, 21, "", ""))
    dataset = read([tmp_path])
    (sound,) = dataset.sounds.annotated
    assert (sound.uncertain / RATE_HZ).tolist() == [[20, 21]]
    assert dataset.problems == (
        f"{tmp_path}: 1 selection not used, without a label: label them, or rename the empty label to a class",
    )


def test_a_recording_that_was_cut_short_is_named_and_used(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.wav", call(5, 6), seconds=30)
    path.write_bytes(path.read_bytes()[:80_000])
    dataset = read([tmp_path])
    assert dataset.sounds.n_calls == 1
    assert len(dataset.problems) == 1
    assert "a.wav: " in dataset.problems[0]


def test_duplicate_selections_in_two_tables(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", noise(60))
    reviewed(path, (10, 11, UPCALL, "unreviewed"), (20, 21, UPCALL, "no"), (30, 31, UPCALL, "yes"))
    other = tmp_path / "a.second.wav"
    reviewed(other, (10, 11, UPCALL, "yes"), (20, 21, UPCALL, "yes"), (30, 31, UPCALL, "yes"))
    dataset = read([tmp_path])
    assert dataset.sounds.n_calls == 2
    assert dataset.n_uncertain == 1
    assert len(dataset.sounds.annotated) == 1


def test_recordings_without_a_table_and_with_an_empty_one(tmp_path: Path) -> None:
    recording(tmp_path / "a.wav", call(10, 11))
    recording(tmp_path / "silent.wav")
    write_sound(tmp_path / "unknown.wav", noise(30))
    dataset = read([tmp_path])
    assert [(sound.name, len(sound.calls)) for sound in dataset.sounds.annotated] == [("a", 1), ("silent", 0)]
    assert (dataset.n_recordings, dataset.n_skipped) == (2, 1)
    assert dataset.problems == (
        f"{tmp_path}/unknown.wav: not used, without a table: add one (without rows where there are no calls)",
    )


def test_channel_of_a_call(tmp_path: Path) -> None:
    stereo = np.stack([noise(30, 1), noise(30, 2)], axis=1)
    path = write_sound(tmp_path / "a.wav", stereo)
    annotate(path, call(10, 11, channel=2), call(20, 21, channel=3))
    dataset = read([tmp_path])
    samples, _ = soundfile.read(path, dtype="float32")
    (sound,) = dataset.sounds.annotated
    np.testing.assert_array_equal(sound.samples, levelled(samples[:, 1]))
    assert (sound.channel, dataset.sounds.n_calls) == (2, 1)
    assert "channel 3" in dataset.problems[0]


def test_a_call_in_one_channel_is_uncertain_in_another(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", np.stack([noise(30, 1), noise(30, 2)], axis=1))
    annotate(path, call(10, 11, channel=1), call(20, 21, channel=2))
    first, second = read([tmp_path]).sounds.annotated
    assert [begin_s for begin_s, _ in spans_s(first)] == [10]
    assert (first.uncertain / RATE_HZ).tolist() == [[20, 21]]
    assert (second.uncertain / RATE_HZ).tolist() == [[10, 11]]


def test_unreadable_sound_is_in_no_part(tmp_path: Path) -> None:
    samples = noise(60).astype(np.float32)
    samples[20_000:50_000] = np.nan
    path = write_sound(tmp_path / "a.wav", samples, subtype="FLOAT")
    annotate(path, call(12, 13), call(40, 41))
    dataset = read([tmp_path])
    assert [(s.begin_s, len(s.samples) / RATE_HZ) for s in dataset.sounds.annotated] == [(0, 10), (25, 35)]
    assert all(np.isfinite(sound.samples).all() for sound in dataset.sounds.annotated)
    assert dataset.sounds.n_calls == 1
    assert any("15.0 of 60.0 s not used" in line and "not finite" in line for line in dataset.problems)
    assert any("1 of 2 calls not used, the first at 12 s" in line for line in dataset.problems)


def test_a_call_cut_by_a_dropout_is_uncertain(tmp_path: Path) -> None:
    samples = noise(60)
    samples[20_000:26_000] = 0
    path = write_sound(tmp_path / "a.wav", samples)
    annotate(path, call(9.4, 10.4), call(40, 41))
    before, after = read([tmp_path]).sounds.annotated
    assert (len(before.samples), after.begin_s) == (20_000, 13)
    assert (before.calls, before.uncertain.tolist()) == ((), [[18_800, 20_000]])


def test_of_a_long_recording_calls_and_some_background_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_sound(tmp_path / "a.wav", noise(7200, rate_hz=600), 600)
    annotate(path, call(5000, 5001), call(5100, 5101))
    decoded = []
    original = reading._decode

    def counting(recording: object, channel: int, begin: int, end: int) -> reading.AudioSegment:
        decoded.append(end - begin)
        return original(recording, channel, begin, end)  # type: ignore[arg-type]

    monkeypatch.setattr(reading, "_decode", counting)
    sounds = read([tmp_path]).sounds
    assert sounds.n_calls == 2
    assert sum(decoded) <= 66 * 32 * 600, "half an hour, and what is around the calls"
    assert 1800 <= sounds.annotated_s <= 66 * 30
    assert len(sounds.annotated) > 5, "from all of the recording"
    for sound in sounds.annotated:
        for c in sound.calls:
            assert c.begin >= 15 * RATE_HZ or sound.begin_s == 0


@settings(max_examples=10)
@given(begins=st.lists(st.integers(0, 350), min_size=1, max_size=12, unique=True))
def test_every_selection_is_a_call_or_uncertain(tmp_path_factory: pytest.TempPathFactory, begins: list[int]) -> None:
    folder = tmp_path_factory.mktemp("any")
    labels = (UPCALL, "maybe", "moan?")
    calls = [call(b / 10, b / 10 + 1, labels[i % 3]) for i, b in enumerate(begins)]
    recording(folder / "a.wav", *calls, seconds=40)
    recording(folder / "quiet.wav", call(3, 4), seconds=20)
    sound, _ = read([folder]).sounds.annotated
    found = sorted([*spans_s(sound), *((b / RATE_HZ, e / RATE_HZ) for b, e in sound.uncertain.tolist())])
    np.testing.assert_allclose(found, sorted((c.begin_s, c.end_s) for c in calls), atol=1e-3)


# ---------------------------------------------------------------------------------------------- determinism, mixtures


def test_same_data_same_sounds(tmp_path: Path) -> None:
    for root, letters in (("one", "abc"), ("two", "cba")):
        for name in letters:
            recording(tmp_path / root / f"{name}.wav", call(10, 11), call(20, 21), seed=ord(name))
    one, two = (read([tmp_path / root]).sounds for root in ("one", "two"))
    assert same(one, two)
    recording(tmp_path / "two" / "d.wav", call(5, 6))
    more = read([tmp_path / "two"]).sounds
    assert [sound.name for sound in more.annotated] == ["a", "b", "c", "d"]
    for before, after in zip(two.annotated, more.annotated, strict=False):
        np.testing.assert_array_equal(before.samples, after.samples, "a recording more changes no other")


def test_clips_and_recordings_together(tmp_path: Path) -> None:
    recording(tmp_path / "simulated" / "a.wav", call(10, 11, "moan"), call(30, 31))
    folder = clip_folder(tmp_path / "clips", {"x.wav": 1, "y.wav": 0, "z.wav": "moan", "q.wav": "maybe"})
    write_sound(tmp_path / "ships" / "s.wav", noise(20))
    dataset = read([tmp_path / "simulated", folder, folder], without_calls=[tmp_path / "ships"])
    assert dataset.classes == (UPCALL, "moan")
    assert (dataset.n_clips, dataset.n_recordings, dataset.n_uncertain, dataset.n_without_calls) == (3, 1, 1, 1)
    assert targets(dataset.sounds.clips) == [[1, 0], [0, 0], [0, 1]]
    assert names(dataset.sounds.clips) == ("x.wav", "y.wav", "z.wav")
    assert dataset.sounds.calls_per_class.tolist() == [2, 2]
    assert (dataset.sounds.annotated_s, dataset.sounds.background_s) == (60, 19)


# ---------------------------------------------------------------------------------------------- clips


def test_a_clips_group_is_the_hash_of_its_samples(tmp_path: Path) -> None:
    labels: dict[str, object] = {f"{i}.aiff": i % 2 for i in range(6)}
    clips = read([clip_folder(tmp_path, labels)]).sounds.clips
    for clip in clips:
        samples, _ = soundfile.read(tmp_path / "train" / clip.name, dtype="int16")
        assert clip.group == hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest()[:16]
        np.testing.assert_array_equal(clip.samples, levelled(samples / np.float32(32768)))
    assert names(clips) == tuple(labels), "in the order of the table"


def test_the_trace_of_a_call_is_its_place(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    sound, low_hz, high_hz = upcall(RATE_HZ, random)
    samples = 0.05 * random.standard_normal(WINDOW)
    samples[1200 : 1200 + len(sound)] += 0.2 * sound
    clip_folder(tmp_path, {"a.wav": 1, "b.wav": 0})
    write_sound(tmp_path / "train" / "a.wav", samples)
    with_call, without = read([tmp_path]).sounds.clips
    assert without.call is None
    assert with_call.call is not None
    assert with_call.call.begin / RATE_HZ == pytest.approx(0.6, abs=0.25)
    assert with_call.call.end / RATE_HZ == pytest.approx(0.6 + len(sound) / RATE_HZ, abs=0.25)
    assert with_call.call.low_hz == pytest.approx(low_hz, abs=40)
    assert with_call.call.high_hz == pytest.approx(high_hz, abs=40)


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
    files = ["a.wav", *(f"fast{i}.wav" for i in range(37)), "long.wav", "stereo.flac", "short.wav", "tiny.wav"]
    list_clips(tmp_path, [("b.wav", 1), *((name, 0) for name in files)])
    dataset = read([tmp_path])
    by_name = {clip.name: clip.samples for clip in dataset.sounds.clips}
    expected = levelled(np.sin(2 * np.pi * 100 * np.arange(4000, dtype=np.float32) / 2000))
    np.testing.assert_allclose(by_name["fast0.wav"][200:-200], expected[200:-200], atol=2e-2 * np.abs(expected).max())
    np.testing.assert_array_equal(by_name["long.wav"], levelled(long[4000:8000].astype(np.float32)))
    first = noise(2, 51).astype(np.float32)
    np.testing.assert_allclose(by_name["stereo.flac"], levelled(first), atol=1e-3 * np.abs(levelled(first)).max())
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
    dataset = read([one, other])
    assert names(dataset.sounds.clips) == ("b.wav", "c.wav", "d.wav", "e.wav", "f.wav")
    assert dataset.problems == (
        "a.wav and p.wav have the same sound but different labels, and were not used: correct train.csv",
    )
    assert (dataset.n_clips, dataset.n_skipped) == (5, 2)
    groups = {clip.name: clip.group for clip in dataset.sounds.clips}
    assert groups["d.wav"] == groups["f.wav"] != groups["b.wav"]


def test_quiet_float_clips_have_different_hashes(tmp_path: Path) -> None:
    for i, name in enumerate("ab"):
        write_sound(tmp_path / "train" / f"{name}.wav", 1e-6 * noise(2, i), subtype="FLOAT")
    list_clips(tmp_path, [("a.wav", 0), ("b.wav", 1)])
    assert read([tmp_path]).problems == ()


def test_silent_clips_stay_silent(tmp_path: Path) -> None:
    clip_folder(tmp_path, {"a.wav": 1, "b.wav": 0})
    write_sound(tmp_path / "train" / "a.wav", np.zeros(WINDOW))
    silent, _ = read([tmp_path]).sounds.clips
    assert not silent.samples.any()
    assert silent.call is None


def test_unknown_and_blank_labels(tmp_path: Path) -> None:
    labels = {"a.wav": 0, "b.wav": "1.0", "c.wav": 2, "d.wav": "", "e.wav": "up?", "f.wav": 7}
    clip_folder(tmp_path, labels)
    write_sound(tmp_path / "train" / "g.wav", noise(2, 9))
    with (tmp_path / "train.csv").open("a") as table:
        table.write("a.wav,0\ng.wav\n")
    dataset = read([tmp_path], DataOptions(renamed=(("7", UPCALL),)))
    assert names(dataset.sounds.clips) == ("a.wav", "b.wav", "d.wav", "f.wav", "g.wav")
    np.testing.assert_array_equal(np.ravel(targets(dataset.sounds.clips)), [0, 1, np.nan, 1, np.nan])
    assert [clip.is_labelled for clip in dataset.sounds.clips] == [True, True, False, True, False]
    assert (dataset.n_unlabelled, dataset.n_uncertain) == (2, 2)
    text = "\n".join(dataset.problems)
    for words in ("repeated rows, ignored: 1", "1 clip not used, labelled '2'"):
        assert words in text
    renamed = read([tmp_path], DataOptions(renamed=(("", UPCALL),)))
    assert (renamed.n_unlabelled, renamed.sounds.n_calls) == (0, 3), "a blank label can stand for a class"


def test_further_tables_list_clips_in_folders_of_their_name(tmp_path: Path) -> None:
    clip_folder(tmp_path, {"a.wav": 1, "b.wav": 0})
    clip_folder(tmp_path, {"c.wav": "", "d.wav": 1, "e.wav": 0}, name="more", seed=10)
    (tmp_path / "notes.csv").write_text("no table, and no folder notes\n")
    list_clips(tmp_path, [("c.wav", ""), ("d.wav", 1), ("e.wav", 0), ("gone.wav", 1)], "more")
    dataset = read([tmp_path])
    assert names(dataset.sounds.clips) == ("a.wav", "b.wav", "c.wav", "d.wav", "e.wav")
    assert dataset.n_unlabelled == 1
    assert dataset.problems == (
        f"{tmp_path}/more/gone.wav: listed in more.csv, but not there; add the file or delete its row",
    )


def test_clips_in_the_order_of_time_have_blocks_of_time(tmp_path: Path) -> None:
    labels = {f"{i}.wav": i % 2 for i in range(45)}
    clip_folder(tmp_path, labels, seconds=1)
    rows = [f"{i}.wav,{1000 - 7 * i}" for i in range(44)]
    (tmp_path / "time_order.csv").write_text("\n".join(["clip_name,original_number", *rows, "absent.wav,5"]))
    clips = read([tmp_path]).sounds.clips
    blocks = [clip.group for clip in clips]
    assert blocks[:44] == [f"{tmp_path.name} block {2 if i < 22 else 1} of 2" for i in range(44)], "later ones come first"
    assert clips[0].order == (str(tmp_path), 1000)
    assert clips[44].order is None
    assert len(blocks[44]) == 16


@pytest.mark.parametrize("content", ["clip_name,number\na.wav,1\n", "clip_name,original_number\na.wav,first\n"])
def test_a_wrong_order_of_time_is_named(tmp_path: Path, content: str) -> None:
    clip_folder(tmp_path, {"a.wav": 1, "b.wav": 0})
    (tmp_path / "time_order.csv").write_text(content)
    with pytest.raises(UsageError, match=r"time_order\.csv: not a table with the columns clip_name and original_number"):
        read([tmp_path])


def test_a_group_in_the_table_replaces_the_order_of_time(tmp_path: Path) -> None:
    clip_folder(tmp_path, {"a.wav": 1, "b.wav": 0})
    (tmp_path / "train.csv").write_text("clip_name,label,group\na.wav,1,2009-04-01\nb.wav,0,\n")
    (tmp_path / "time_order.csv").write_text("clip_name,original_number\na.wav,1\nb.wav,2\n")
    one, other = read([tmp_path]).sounds.clips
    assert (one.group, one.order) == ("2009-04-01", None)
    assert other.order is not None


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
        read([folder, clips, odd, bare, tmp_path / "nowhere", folder / "a.wav"], ONE_CLASS, [tmp_path / "ships"])
    text = str(error.value)
    for words in (
        "clip_name",
        "no Raven selection table",
        "nowhere: no such file or folder",
        "ships: no such file or folder",
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
        ({"a.wav": 1, "b.wav": ""}, DataOptions(), "no example without a call"),
        ({"a.wav": 1, "b.wav": 0}, DataOptions(classes=(UPCALL, "moan")), "no example of 'moan'"),
    ],
)
def test_examples_of_both_kinds_are_needed(
    tmp_path: Path, labels: dict[str, object], options: DataOptions, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        read([clip_folder(tmp_path, labels)], options)


def test_recordings_without_calls_are_examples_without_a_call(tmp_path: Path) -> None:
    write_sound(tmp_path / "ships" / "s.wav", noise(20))
    dataset = read([clip_folder(tmp_path / "clips", {"a.wav": 1})], without_calls=[tmp_path / "ships"])
    assert dataset.sounds.n_calls == 1


def test_a_recording_that_is_one_call_has_no_example_without(tmp_path: Path) -> None:
    recording(tmp_path / "a.wav", call(0, 4), seconds=4)
    with pytest.raises(UsageError, match="no example without a call"):
        read([tmp_path])


def test_no_folder_and_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no example of a call"):
        read([])
    tmp_path.joinpath("train.csv").write_text("clip_name,label\n")
    with pytest.raises(UsageError, match="no example without a call"):
        read([tmp_path])


def test_many_problems_are_summarised() -> None:
    problems = [*(DataProblem("clips", f"clip {i}") for i in range(1000)), DataProblem("labels", "a label")]
    lines = data_problem_lines(problems)
    assert lines[:20] == tuple(f"clip {i}" for i in range(20))
    assert lines[20:] == ("and 980 more clips", "a label")


@pytest.mark.parametrize("options", [{"group_by": "week"}, {"classes": ("a", "a")}, {"classes": ("",)}])
def test_invalid_data_options(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        DataOptions(**options)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------- recordings without calls


def test_backgrounds(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", noise(5))
    write_sound(tmp_path / "b.wav", noise(1))
    (tmp_path / "c.wav").write_bytes(b"")
    (background,), problems = read_backgrounds([str(tmp_path)], FRONT_END, quiet=True)
    samples, _ = soundfile.read(path, dtype="float32")
    np.testing.assert_array_equal(background.samples, levelled(samples))
    assert (background.name, background.weight, background.source) == ("a", 1, str(tmp_path))
    assert len(problems) == 2
    assert "b.wav: 1 s are shorter" in problems[0].text
    assert "c.wav: empty file" in problems[1].text
    path.unlink()
    with pytest.raises(UsageError, match="no recording has readable sound of a window's length") as error:
        read_backgrounds([str(tmp_path)], FRONT_END, quiet=True)
    assert "c.wav" in str(error.value)
    assert read_backgrounds([], FRONT_END) == ((), ())


def test_a_background_given_twice_counts_twice(tmp_path: Path) -> None:
    for name in ("song", "ship"):
        write_sound(tmp_path / name / f"{name}.wav", noise(20))
    backgrounds, _ = read_backgrounds([str(tmp_path), str(tmp_path / "song")], FRONT_END, quiet=True)
    assert {sound.name.split("/")[-1]: sound.weight for sound in backgrounds} == {"song": 2, "ship": 1}


def test_backgrounds_have_no_fades_and_no_dropouts(tmp_path: Path) -> None:
    samples = noise(40).astype(np.float32)
    samples[:800] = 0.001
    samples[30_000:40_000] = 0
    write_sound(tmp_path / "a.wav", samples, subtype="FLOAT")
    backgrounds, problems = read_backgrounds([str(tmp_path)], FRONT_END, quiet=True)
    assert [(sound.begin_s, len(sound.samples) / RATE_HZ) for sound in backgrounds] == [(0.5, 14), (20.5, 19)]
    assert problems == ()
    assert all(np.count_nonzero(sound.samples) == len(sound.samples) for sound in backgrounds)


def test_a_damaged_background_is_named_and_used_in_part(tmp_path: Path) -> None:
    samples = noise(30).astype(np.float32)
    samples[20_000:24_000] = np.inf
    write_sound(tmp_path / "a.wav", samples, subtype="FLOAT")
    backgrounds, (problem,) = read_backgrounds([str(tmp_path)], FRONT_END, quiet=True)
    assert len(backgrounds) == 2
    assert "a.wav: at 10.0 s: samples that are not finite" in problem.text
