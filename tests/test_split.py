"""Split of the training sounds into training and held-out groups."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalescan import UsageError
from whalescan.core import FloatArray
from whalescan.training.clips import with_time_blocks
from whalescan.training.sounds import AnnotatedSound, Background, Call, Clip, TrainingSounds
from whalescan.training.split import Split, held_out_names, split_csv, split_sounds

NO_SPANS = np.zeros((0, 2), np.int64)
QUIET = np.zeros(4000, np.float32)


def clip(
    group: str,
    targets: Sequence[float] = (1,),
    name: str = "",
    number: int | None = None,
    samples: FloatArray = QUIET,
) -> Clip:
    order = None if number is None else ("clips", number)
    return Clip(samples, np.array(targets, np.float32), None, name or group, group, order)


def annotated(group: str, n_calls: int = 1, name: str = "", class_index: int = 0) -> AnnotatedSound:
    calls = tuple(Call(100.0 * i, 100.0 * i + 50, np.nan, np.nan, class_index) for i in range(n_calls))
    return AnnotatedSound(QUIET, calls, NO_SPANS, NO_SPANS, name or group, group, 0.0)


def background(name: str, source: str = "ships", n: int = 4000) -> Background:
    return Background(np.zeros(n, np.float32), 1.0, name, source)


def sounds(*parts: Clip | AnnotatedSound | Background, classes: Sequence[str] = ("NARW upcall",)) -> TrainingSounds:
    return TrainingSounds(
        tuple(classes),
        2000,
        tuple(part for part in parts if isinstance(part, Clip)),
        tuple(part for part in parts if isinstance(part, AnnotatedSound)),
        tuple(part for part in parts if isinstance(part, Background)),
    )


def groups(side: TrainingSounds) -> set[str]:
    return {c.group for c in side.clips} | {sound.group for sound in side.annotated}


def numbered(n: int, n_unnumbered: int = 0) -> TrainingSounds:
    """Clips in the order of time, each with the background of its own time, and others without a number."""
    random = np.random.default_rng(n)
    clips = []
    for i in range(n + n_unnumbered):
        when = i if i < n else random.integers(n)
        times = np.arange(4000) / 2000
        tone = np.sin(2 * np.pi * (40 + 400 * when / n) * times)
        samples = (random.standard_normal(4000) + 3 * tone).astype(np.float32)
        clips.append(clip(f"{i:016x}", [i % 2], f"{i}-{when}", i if i < n else None, samples))
    return sounds(*with_time_blocks(clips))


days = st.lists(st.tuples(st.integers(1, 9).map("2009-04-0{}".format), st.integers(0, 3), st.integers(0, 1)), max_size=60)
hashes = st.lists(st.tuples(st.integers(0, 2**64 - 1).map("{:016x}".format), st.integers(0, 1)), max_size=30)


@given(days, hashes, st.floats(0, 0.9))
def test_groups_stay_on_one_side_in_any_order(
    recorded: list[tuple[str, int, int]], clipped: list[tuple[str, int]], share: float
) -> None:
    parts: list[Clip | AnnotatedSound] = [annotated(group, n, class_index=index) for group, n, index in recorded]
    parts += [clip(group, [target, 0]) for group, target in clipped]
    whole = sounds(*parts, classes=("up", "moan"))
    try:
        training, held_out = split_sounds(whole, (), share)
    except UsageError:
        calls = [group for group, target in clipped if target]
        assert calls
        assert all(int(group, 16) / 2**64 < share for group in calls)
        return
    assert not groups(training) & groups(held_out)
    assert groups(training) | groups(held_out) == groups(whole)
    backwards = split_sounds(sounds(*parts[::-1], classes=whole.classes), (), share)
    assert groups(backwards.held_out) == groups(held_out)
    for group, _ in clipped:
        assert (group in groups(held_out)) == (int(group, 16) / 2**64 < share)
    for index in range(2):
        has_calls = any(n and i == index for _, n, i in recorded)
        remaining = [c for sound in training.annotated for c in sound.calls if c.class_index == index]
        assert not has_calls or remaining, "some of each class is left to learn from"


@given(st.lists(st.integers(1, 9), min_size=2, max_size=12))
def test_days_are_held_out_up_to_the_share(n_calls: list[int]) -> None:
    whole = sounds(*(annotated(f"2009-05-{day:02d}", n) for day, n in enumerate(n_calls, start=1)))
    held_out = split_sounds(whole, (), 0.2).held_out
    assert 0 < held_out.n_calls < whole.n_calls
    if max(n_calls) <= 0.3 * sum(n_calls):
        assert 0.2 * whole.n_calls <= held_out.n_calls <= 0.5 * whole.n_calls


def test_a_large_day_stays_in_training() -> None:
    for large in range(1, 6):
        whole = sounds(*(annotated(f"2009-05-0{day}", 200 if day == large else 10) for day in range(1, 6)))
        assert f"2009-05-0{large}" not in groups(split_sounds(whole, (), 0.1).held_out)


def test_the_only_group_with_calls_is_not_held_out() -> None:
    for whole in (
        sounds(annotated("2009-04-01", 2), background("a"), background("b")),
        sounds(annotated("a.wav"), annotated("b.wav", 0), annotated("c.wav", 0)),
    ):
        training, held_out = split_sounds(whole, (), 0.5)
        assert repr(training) == repr(whole)
        assert not groups(held_out)
        assert not held_out.backgrounds, "there is nothing to validate"


def test_no_share_holds_out_nothing() -> None:
    held_out = split_sounds(sounds(annotated("a.wav"), annotated("b.wav"), background("x"), background("y")), (), 0).held_out
    assert not groups(held_out)
    assert not held_out.backgrounds


def test_sound_without_calls_is_held_out() -> None:
    whole = sounds(*(annotated(f"{name}.wav", name < "e") for name in "abcdefgh"))
    held_out = split_sounds(whole, (), 0.2).held_out
    assert 0 < held_out.n_calls < len(held_out.annotated)


def test_a_share_of_clips_and_of_recordings_is_held_out() -> None:
    days = [f"2009-04-0{day}" for day in range(1, 6)]
    whole = sounds(*(clip(day, [i % 2]) for day in days for i in range(10)), *(annotated(f"{name}.wav") for name in "abcde"))
    held_out = split_sounds(whole, (), 0.2).held_out
    assert len(held_out.clips) == 10
    assert len(held_out.annotated) == 1


def test_recordings_without_calls_are_held_out_of_each_folder() -> None:
    parts = [background(f"{source}{i}", source) for source in ("song", "ships") for i in range(10)]
    whole = sounds(*(annotated(f"{name}.wav") for name in "abcde"), *parts, background("gale", "wind"))
    training, held_out = split_sounds(whole, (), 0.2)
    assert sorted(sound.source for sound in held_out.backgrounds) == ["ships", "ships", "song", "song"]
    assert len(training.backgrounds) == 17, "the only recording of a folder stays in training"


def test_named_recordings_and_groups_are_held_out() -> None:
    whole = sounds(
        annotated("2009-04-01", name="a"),
        annotated("2009-04-01", name="b"),
        annotated("2009-04-02", name="d"),
        annotated("c.wav", name="c"),
        clip("00000000deadbeef", [0], "x.aiff"),
        background("song"),
        background("ship"),
    )

    def held_out(*validation: str) -> set[str]:
        side = split_sounds(whole, validation, 0.9).held_out
        return {c.name for c in side.clips} | {sound.name for sound in side.annotated} | {b.name for b in side.backgrounds}

    assert held_out("a") == {"a", "b"}
    assert held_out("2009-04-02", "c") == {"d", "c"}
    assert held_out("song", "x.aiff") == {"song", "x.aiff"}
    assert "x.aiff" in {c.name for c in split_sounds(whole, (), 0.1).held_out.clips}, "which is, where nothing is named"
    with pytest.raises(UsageError, match=r"2009-04-03.*2009-04-01, 2009-04-02"):
        split_sounds(whole, ("2009-04-03", "a"))
    with pytest.raises(UsageError, match="none is left for training"):
        split_sounds(whole, ("a", "d", "c"))


def test_many_known_names_are_shortened() -> None:
    with pytest.raises(UsageError, match=r"7\.wav, 8\.wav, 9\.wav, \.\.\.$"):
        split_sounds(sounds(*(annotated(f"{i}.wav") for i in range(20))), ("nowhere",))


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_invalid_shares(share: float) -> None:
    with pytest.raises(UsageError, match="validation_share"):
        split_sounds(sounds(annotated("a.wav")), (), share)


# ---------------------------------------------------------------------------------------------- blocks of time


@pytest.mark.parametrize("n", [45, 300, 1000])
def test_neighbours_in_time_are_not_on_both_sides(n: int) -> None:
    training, held_out = split_sounds(numbered(n), (), 0.2)
    learnt, tested = ({c.order[1] for c in side.clips if c.order} for side in (training, held_out))
    assert 0.05 * n <= len(tested) <= 0.6 * n
    reach = max(1, min(15, n // 100))
    for number in tested:
        assert not learnt & set(range(number - reach, number + reach + 1))
    assert len(learnt) + len(tested) < n, "what is beside a held-out block is on neither side"


def test_held_out_blocks_are_spread_over_the_time() -> None:
    whole = numbered(480)
    for share in (0.1, 0.2, 0.4):
        held_out = split_sounds(whole, (), share).held_out
        blocks = sorted({int(c.group.split()[-3]) for c in held_out.clips})
        assert len(blocks) == round(24 * share + 0.5)
        gaps = np.diff([blocks[-1] - 24, *blocks])
        assert gaps.max() <= 2.2 * 24 / len(blocks), "no part of the time is without"


def test_unnumbered_clips_like_a_held_out_clip_are_left_out() -> None:
    whole = numbered(300, 200)
    training, held_out = split_sounds(whole, (), 0.1)
    assert all(c.order is not None for c in held_out.clips)
    kept = {c.name for c in training.clips if c.order is None}
    left_out = [c.name for c in whole.clips if c.order is None and c.name not in kept]
    assert len(left_out) == 20
    tested = np.array([c.order[1] for c in held_out.clips if c.order])
    distance = [np.abs(tested - int(name.split("-")[1])).min() for name in left_out]
    assert np.mean(np.array(distance) <= 3) > 0.8, "most of them are of the time of a held-out clip"


def test_neighbours_of_named_clips_are_left_out() -> None:
    whole = numbered(300)
    block = whole.clips[150].group
    training, held_out = split_sounds(whole, (whole.clips[150].name,))
    assert {c.group for c in held_out.clips} == {block}
    assert len(training.clips) == 300 - len(held_out.clips) - 6


def test_clips_of_two_folders_are_no_neighbours() -> None:
    one = numbered(100)
    clips = [Clip(c.samples, c.targets, None, c.name, c.group, ("other", c.order[1])) for c in one.clips if c.order]
    whole = sounds(*one.clips, *with_time_blocks(clips))
    assert {c.group for c in whole.clips[100:]} == {f"other block {i} of 5" for i in range(1, 6)}
    training, held_out = split_sounds(whole, ("other block 3 of 5",))
    assert len(held_out.clips) == 20
    assert len(training.clips) == 200 - 20 - 4


def test_unlabelled_clips_of_a_held_out_block_are_not_in_training() -> None:
    one = numbered(100)
    clips = [Clip(c.samples, np.full(1, np.nan, np.float32), None, c.name, c.group, c.order) for c in one.clips[::2]]
    whole = sounds(*one.clips[1::2], *clips)
    training, held_out = split_sounds(whole, (), 0.2)
    assert any(not c.is_labelled for c in held_out.clips)
    assert not groups(training) & groups(held_out)


# ---------------------------------------------------------------------------------------------- table


def test_split_table(tmp_path: Path) -> None:
    whole = sounds(
        clip("00000000deadbeef", [0, 1], "x, y.aiff"),
        clip("ffffffffdeadbeef", [np.nan, np.nan], "z.aiff"),
        annotated("2009-04-01", name="a"),
        background("ship"),
        classes=("NARW upcall", "moan"),
    )
    parts = split_sounds(whole, (), 0.1)
    table = split_csv(whole, parts)
    rows = list(csv.reader(io.StringIO(table.decode())))
    assert rows == [
        ["clip_name", "begin_s", "group", "side", "NARW upcall", "moan"],
        ["x, y.aiff", "0.000000", "00000000deadbeef", "validation", "0", "1"],
        ["z.aiff", "0.000000", "ffffffffdeadbeef", "training", "", ""],
        ["a", "0.000000", "2009-04-01", "training", "1", "0"],
        ["ship", "0.000000", "ship", "training", "0", "0"],
    ]
    path = tmp_path / "model.split.csv"
    path.write_bytes(table)
    assert held_out_names(path) == {"x, y.aiff"}
    neither = split_csv(whole, Split(sounds(classes=whole.classes), parts.held_out)).decode()
    assert neither.count("left out") == 3
