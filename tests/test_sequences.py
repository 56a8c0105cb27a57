"""Training sequences: what they are made of, what is said of them, and that they are the same for the same step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whalescan import UsageError
from whalescan.core import FloatArray
from whalescan.detector.model_spec import FrontEndOptions
from whalescan.training import noise as noise_module
from whalescan.training.levels import background_level
from whalescan.training.sequence_sources import BackgroundSource
from whalescan.training.sequences import KINDS, SequenceOptions, SequenceSampler
from whalescan.training.sounds import AnnotatedSound, Background, Call, Clip, LabelledSpan, TrainingSequence, TrainingSounds

RATE_HZ, WINDOW = 2000, 4000
FRONT_END = FrontEndOptions()
OPTIONS = SequenceOptions()
PLAIN = replace(OPTIONS, noisy_share=0.0, noisy_clip_share=0.0)
"""Without added noise, so that sounds can be found again."""
N_SAMPLES = round(OPTIONS.length_s * RATE_HZ)


@pytest.fixture(scope="module", autouse=True)
def few_noises() -> Iterator[None]:
    """A sampler begins with some noises, which take most of a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(noise_module, "_N_NOISES", 12)
        yield


def noise(seconds: float, seed: int = 0) -> FloatArray:
    sound = np.random.default_rng(seed).standard_normal(round(seconds * RATE_HZ)).astype(np.float32)
    return sound / np.float32(background_level(sound, FRONT_END))


def tone(n: int, hz: float) -> FloatArray:
    return np.sin(2 * np.pi * hz * np.arange(n) / RATE_HZ).astype(np.float32)


def clip(target: float, seed: int = 0, call: Call | None = None, n_classes: int = 1, class_index: int = 0) -> Clip:
    """A clip of noise; with a call it also has a loud tone at the place of the call."""
    samples = noise(2, 1000 + seed)
    if call is not None:
        begin, end = int(call.begin), int(call.end)
        samples[begin:end] += 3 * tone(end - begin, 150)
    targets = np.zeros(n_classes, np.float32)
    targets[class_index] = target
    return Clip(samples, targets if np.isfinite(target) else np.full(n_classes, np.nan, np.float32), call, f"{seed}", "g")


TRACE = Call(1000.0, 2600.0, 100.0, 200.0, 0)
CLIPS = (*(clip(1, i, TRACE) for i in range(4)), *(clip(0, 10 + i) for i in range(4)), clip(np.nan, 20))


def annotated(
    seconds: float = 60,
    calls_s: Sequence[tuple[float, float]] = (),
    uncertain_s: Sequence[tuple[float, float]] = (),
    rejected_s: Sequence[tuple[float, float]] = (),
    seed: int = 0,
) -> AnnotatedSound:
    calls = tuple(Call(b * RATE_HZ, e * RATE_HZ, np.nan, np.nan, 0) for b, e in calls_s)
    uncertain, rejected = ((np.array(s, float).reshape(-1, 2) * RATE_HZ).astype(np.int64) for s in (uncertain_s, rejected_s))
    return AnnotatedSound(noise(seconds, 50 + seed), calls, uncertain, rejected, "a", "a.wav", 0.0)


BACKGROUNDS = (Background(noise(60, 1), 1.0, "one"), Background(noise(5, 2), 1.0, "two"))
ALL = TrainingSounds(("up",), RATE_HZ, CLIPS, (annotated(60, [(10, 11), (12, 13.2), (40, 41)], [(30, 32)]),), BACKGROUNDS)


def sequences(
    sounds: TrainingSounds, options: SequenceOptions = OPTIONS, n: int = 100, seed: int = 1
) -> list[TrainingSequence]:
    """Return sequences of several steps."""
    sampler = SequenceSampler(sounds, FRONT_END, options, seed)
    return [sequence for step in range(n // 10) for sequence in sampler.sample(step, 10)]


def only(kind: str, options: SequenceOptions = PLAIN) -> SequenceOptions:
    """Options with which every sequence is of one kind."""
    shares: dict[str, Any] = {
        f"{name}_share": float(name == kind) for name in ("annotated", "joined", "planted", "background")
    }
    return replace(options, **shares)


def same(one: TrainingSequence, other: TrainingSequence) -> bool:
    def content(sequence: TrainingSequence) -> object:
        spans = [(s.begin, s.end, s.targets.tobytes(), s.is_certain, str(s.call)) for s in sequence.spans]
        return sequence.samples.tobytes(), spans, sequence.without_calls, sequence.may_hold_calls.tobytes(), sequence.kind

    return content(one) == content(other)


def is_free(sequence: TrainingSequence) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which samples are known to hold no call."""
    free = np.full(N_SAMPLES, sequence.without_calls)
    for begin, end in sequence.may_hold_calls.tolist():
        free[begin:end] = False
    return free


# ---------------------------------------------------------------------------------------------- all kinds


def test_a_step_gives_the_same_sequences_whenever_it_is_sampled() -> None:
    one, other = (SequenceSampler(ALL, FRONT_END, OPTIONS, 7) for _ in range(2))
    wanted = [one.sample(step, 4) for step in range(6)]
    for step in (5, 0, 3):
        assert all(map(same, other.sample(step, 4), wanted[step]))
    assert all(map(same, one.sample(2, 2), wanted[2])), "fewer sequences are the first ones"
    assert not any(map(same, wanted[0], wanted[1]))
    assert not any(map(same, SequenceSampler(ALL, FRONT_END, OPTIONS, 8).sample(0, 4), wanted[0]))


def test_sampling_does_not_change_the_sounds() -> None:
    arrays = [*(c.samples for c in CLIPS), *(s.samples for s in ALL.annotated), *(s.samples for s in BACKGROUNDS)]
    before = [samples.copy() for samples in arrays]
    sequences(ALL)
    for one, other in zip(before, arrays, strict=True):
        np.testing.assert_array_equal(one, other)


def test_every_kind_occurs_as_often_as_wanted() -> None:
    n = Counter(sequence.kind for sequence in sequences(ALL, n=400))
    assert set(n) == set(KINDS)
    assert n["annotated"] == pytest.approx(48, abs=25)
    assert n["joined"] == pytest.approx(352 * 0.52, abs=40)
    assert n["planted"] == pytest.approx(352 * 0.28, abs=35)
    assert n["background"] == pytest.approx(352 * 0.16, abs=30)


@pytest.mark.parametrize("kind", KINDS)
def test_sequences_are_well_formed(kind: str) -> None:
    for sequence in sequences(ALL, replace(only(kind, OPTIONS), noisy_share=0.5), n=60):
        assert sequence.kind == kind
        assert sequence.samples.shape == (N_SAMPLES,)
        assert sequence.samples.dtype == np.float32
        assert np.isfinite(sequence.samples).all()
        assert 0.5 < background_level(sequence.samples, FRONT_END) < 6
        assert sequence.may_hold_calls.shape[1] == 2
        assert ((sequence.may_hold_calls >= 0) & (sequence.may_hold_calls <= N_SAMPLES)).all()
        free = is_free(sequence)
        for span in sequence.spans:
            assert span.begin < span.end
            assert span.targets.shape == (1,)
            assert not free[max(int(span.begin), 0) : int(span.end)].any(), (
                "what is said of a span is not said of its columns"
            )
            assert span.call is None or span.targets[span.call.class_index] == 1


@pytest.mark.parametrize(
    ("sounds", "kinds"),
    [
        (replace(ALL, annotated=()), {"joined", "planted", "background", "noise"}),
        (replace(ALL, backgrounds=()), {"annotated", "joined", "planted", "noise"}),
        (replace(ALL, clips=()), {"annotated", "planted", "background", "noise"}),
        (replace(ALL, clips=(), backgrounds=()), {"annotated", "planted", "noise"}),
        (replace(ALL, clips=(), annotated=()), {"background", "noise"}),
        (replace(ALL, annotated=(), backgrounds=()), {"joined", "planted", "noise"}),
        (replace(ALL, clips=(clip(np.nan),), annotated=(), backgrounds=()), {"joined", "noise"}),
        (replace(ALL, clips=(clip(1),), annotated=()), {"joined", "planted", "background", "noise"}),
        (replace(ALL, clips=(clip(0),), annotated=()), {"joined", "planted", "background", "noise"}),
        (replace(ALL, clips=(), backgrounds=(), annotated=(annotated(3),)), {"annotated", "noise"}),
    ],
)
def test_kinds_for_which_there_is_no_sound_are_replaced(sounds: TrainingSounds, kinds: set[str]) -> None:
    n = Counter(sequence.kind for sequence in sequences(sounds, n=200))
    assert set(n) == kinds
    assert n["noise"] < 30, "noise does not replace sound"


def test_no_sound_at_all_is_an_error() -> None:
    with pytest.raises(UsageError, match="no sound to train on"):
        SequenceSampler(TrainingSounds(("up",), RATE_HZ), FRONT_END, OPTIONS, 1)


@pytest.mark.parametrize(
    "options",
    [
        {"length_s": 1.0},
        {"noisy_share": 1.5},
        {"annotated_share": -0.1},
        {"joined_share": 0.9, "planted_share": 0.2},
        {"clip_call_share": 0.9, "clip_unlabelled_share": 0.2},
        {"plant_clip_share": -0.2},
    ],
)
def test_invalid_options(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"invalid {next(iter(options))}"):
        replace(OPTIONS, **options)


# ---------------------------------------------------------------------------------------------- clips


def test_joined_clips_are_labelled_as_a_whole() -> None:
    made = sequences(ALL, only("joined"), n=50)
    by_bytes = {c.samples[500:3500].tobytes(): c for c in CLIPS}
    n = Counter[float]()
    for sequence in made:
        assert not sequence.without_calls
        assert 4 <= len(sequence.spans) <= 7
        for span in sequence.spans:
            assert not span.is_certain
            begin = int(span.begin) - 100
            own = by_bytes[sequence.samples[begin + 500 : begin + 3500].tobytes()]
            np.testing.assert_array_equal(span.targets, own.targets)
            n[own.targets.tolist()[0] if own.is_labelled else -1.0] += 1
            assert (span.call is None) == (own.call is None)
            if span.call:
                assert span.call.begin == pytest.approx(begin + TRACE.begin - 0.33 * RATE_HZ)
                assert span.call.end == pytest.approx(begin + TRACE.end + 0.18 * RATE_HZ)
                assert (span.call.low_hz, span.call.high_hz) == (100, 200)
    total = n.total()
    assert n[1] / total == pytest.approx(0.45, abs=0.1)
    assert n[-1] / total == pytest.approx(0.09, abs=0.06)


def test_noise_on_single_clips_reaches_the_level_of_the_published_test() -> None:
    quiet = tuple(
        replace(c, samples=np.where(np.arange(WINDOW) == 2000, np.float32(1), np.float32(1e-6))) for c in CLIPS[:1]
    )
    options = replace(only("joined"), noisy_clip_share=1.0)
    sounds = replace(ALL, clips=quiet, annotated=(), backgrounds=())
    ratios = []
    for sequence in sequences(sounds, options, n=60):
        for span in sequence.spans:
            part = sequence.samples[int(span.begin) + 200 : int(span.end) - 200]
            peak = sequence.samples[int(span.begin) - 100 + 2000]
            ratios.append(part.std() / abs(peak))
    assert 0.02 < min(ratios) < 0.1, "against a peak of 1; the noise at the peak adds to it"
    assert np.mean(np.array(ratios) > 0.02 / 0.061 * 0.8) > 0.1


def test_classes_with_few_clips_are_drawn_as_often() -> None:
    clips = (*(clip(1, i, None, 2, 0) for i in range(50)), clip(1, 99, None, 2, 1), clip(0, 100, None, 2))
    sounds = TrainingSounds(("up", "moan"), RATE_HZ, clips, (), BACKGROUNDS)
    targets = np.array([span.targets for sequence in sequences(sounds, only("joined"), n=100) for span in sequence.spans])
    n_up, n_moan = targets.sum(axis=0)
    assert n_up == pytest.approx(n_moan, rel=0.3)
    assert targets.shape[1] == 2


# ---------------------------------------------------------------------------------------------- planted calls


def planted(options: SequenceOptions, sounds: TrainingSounds = ALL) -> list[list[LabelledSpan]]:
    """Return the spans of sequences into which only calls are planted."""
    options = replace(options, plant_clip_share=0.0, plant_call_share=1.0)
    return [[span for span in sequence.spans if span.call] for sequence in sequences(sounds, only("planted", options))]


def times_apart_s(spans: Sequence[LabelledSpan]) -> list[float]:
    """Return the times from the middle of a span to that of the next."""
    apart: list[float] = (np.diff(np.sort([(span.begin + span.end) / 2 for span in spans])) / RATE_HZ).tolist()
    return apart


def test_a_planted_call_is_where_it_is_said_to_be() -> None:
    options = replace(PLAIN, plant_clip_share=0.0, plant_call_share=1.0, plant_call_db=(20.0, 20.0), pair_share=0.0)
    sounds = replace(ALL, annotated=())
    n = 0
    for sequence in sequences(sounds, only("planted", options), n=50):
        for span in sequence.spans:
            assert span.call is not None
            assert (span.is_certain, span.targets.tolist()) == (True, [1])
            begin, end = span.call.begin + 0.33 * RATE_HZ, span.call.end - 0.18 * RATE_HZ
            assert (span.begin + span.end) / 2 == pytest.approx((begin + end) / 2)
            inside = sequence.samples[int(begin) : int(end)]
            outside = sequence.samples[is_free(sequence)]
            assert np.abs(inside).mean() > 10 * np.abs(outside).mean()
            n += 1
    assert n > 100


def test_planted_calls_have_the_signal_to_noise_ratio_of_their_clip_and_gain() -> None:
    for gain_db in (-6.0, 6.0):
        options = replace(only("planted"), plant_clip_share=0.0, plant_call_share=1.0, plant_call_db=(gain_db, gain_db))
        power = []
        for sequence in sequences(replace(ALL, annotated=()), options, n=60):
            for span in sequence.spans:
                begin = int((span.begin + span.end) / 2)
                part = sequence.samples[begin - 400 : begin + 400]
                power.append(tone_power(part))
        assert 10 * np.log10(np.median(power) / tone_power(3 * tone(800, 150))) == pytest.approx(gain_db, abs=1)


def tone_power(part: FloatArray) -> float:
    """Return the power of a part at 150 Hz, where calls of `CLIPS` have theirs."""
    return float(np.abs(np.mean(part * np.exp(2j * np.pi * 150 * np.arange(len(part)) / RATE_HZ))) ** 2)


def test_planted_pairs_are_1_to_1_8_s_apart() -> None:
    sounds = replace(ALL, annotated=())
    apart_s = np.concatenate([times_apart_s(spans) for spans in planted(replace(PLAIN, pair_share=1.0), sounds)])
    assert apart_s.min() >= 0.99
    assert np.mean(apart_s <= 1.8) > 0.35
    alone_s = np.concatenate([times_apart_s(spans) for spans in planted(replace(PLAIN, pair_share=0.0), sounds)])
    assert np.mean(alone_s <= 1.8) < np.mean(apart_s <= 1.8) / 2


def test_away_from_planted_calls_there_is_none() -> None:
    marked = tuple(replace(c, samples=c.samples + np.float32(100)) for c in CLIPS)
    for sequence in sequences(replace(ALL, clips=marked, annotated=()), only("planted"), n=100):
        assert sequence.without_calls
        assert np.abs(sequence.samples[is_free(sequence)]).max() < 30, "a trace of a clip or a call would show"


def test_annotated_calls_are_planted_where_there_are_no_clips() -> None:
    calls = [span.call for spans in planted(PLAIN, replace(ALL, clips=())) for span in spans if span.call]
    assert {round((call.end - call.begin) / RATE_HZ, 2) for call in calls} == {1.0, 1.2}


def test_nothing_is_planted_onto_an_annotated_call() -> None:
    own = annotated(60, [(at_s, at_s + 1) for at_s in range(5, 60, 6)])
    for spans in planted(PLAIN, replace(ALL, clips=(), backgrounds=(), annotated=(own,))):
        assert min(times_apart_s(spans), default=1) > 0.9


# ---------------------------------------------------------------------------------------------- annotated recordings


def test_annotated_calls_have_their_own_columns() -> None:
    (sound,) = ALL.annotated
    ratios = sound.samples[1:] / sound.samples[:-1]
    for sequence in sequences(ALL, only("annotated"), n=60):
        assert sequence.without_calls
        first_ratios = sequence.samples[1:4] / sequence.samples[:3]
        begin = int(np.abs(np.lib.stride_tricks.sliding_window_view(ratios, 3) - first_ratios).max(axis=1).argmin())
        whole = [c for c in sound.calls if begin <= c.begin and c.end <= begin + N_SAMPLES]
        assert [span.call.begin + begin for span in sequence.spans if span.call] == pytest.approx([c.begin for c in whole])
        for span, c in zip(sequence.spans, whole, strict=True):
            assert (span.is_certain, span.targets.tolist()) == (True, [1])
            assert (span.begin + begin, span.end + begin) == (c.middle - 0.3 * RATE_HZ, c.middle + 0.4 * RATE_HZ)
        free = is_free(sequence)
        for first, last in [*((c.begin, c.end) for c in sound.calls), *sound.uncertain.tolist()]:
            assert not free[max(int(first) - begin, 0) : max(int(last) - begin, 0)].any(), (
                "calls, also cut ones, and uncertain"
            )
        assert free.any()


def test_a_part_shorter_than_a_sequence_is_mirrored_and_its_mirror_says_nothing() -> None:
    sounds = TrainingSounds(("up",), RATE_HZ, (), (annotated(5, [(1, 2)]),))
    for sequence in sequences(sounds, replace(only("annotated"), annotated_share=1.0), n=20):
        free = is_free(sequence)
        assert free[5000:9900].all()
        assert not free[10_000:].any()
        (span,) = sequence.spans
        assert span.call is not None
        assert (span.call.begin, span.call.end) == (2000, 4000)


def test_rejected_selections_are_known_to_hold_no_call_and_are_drawn_often() -> None:
    sound = annotated(600, [(10, 11)], [], [(500, 501)])
    sound.samples[500 * RATE_HZ : 501 * RATE_HZ] += 9 * tone(RATE_HZ, 150)
    sounds = TrainingSounds(("up",), RATE_HZ, (), (sound,))
    made = sequences(sounds, only("annotated"), n=100)
    near = [sequence for sequence in made if np.abs(sequence.samples).max() > 6 * np.abs(sequence.samples).mean()]
    assert 15 < len(near) < 60
    assert all(is_free(sequence).all() for sequence in near)


def test_overlapping_calls_of_two_classes_are_both_targets() -> None:
    calls = tuple(Call(b * RATE_HZ, (b + 1) * RATE_HZ, np.nan, np.nan, k) for b, k in ((10.0, 0), (10.1, 1), (14.0, 1)))
    sound = replace(annotated(20), calls=calls)
    sounds = TrainingSounds(("up", "moan"), RATE_HZ, (), (sound,))
    found = {tuple(s.targets.tolist()) for q in sequences(sounds, only("annotated"), n=50) for s in q.spans}
    assert found == {(1, 1), (0, 1)}


@settings(max_examples=10)
@given(calls=st.lists(st.tuples(st.floats(0, 38), st.floats(0.1, 6)), max_size=8), seed=st.integers(0, 99))
def test_no_annotated_call_lies_in_columns_without_calls(calls: list[tuple[float, float]], seed: int) -> None:
    sound = annotated(40, [(b, min(b + d, 40)) for b, d in sorted(calls)])
    sound.samples[:] = 1
    for call in sound.calls:
        sound.samples[int(call.begin) : int(np.ceil(call.end))] = 2
    sounds = replace(ALL, annotated=(sound,), clips=())
    for sequence in sequences(sounds, only("annotated"), n=10, seed=seed):
        of_free = sequence.samples[is_free(sequence)]
        assert len(set(of_free.tolist())) <= 1


# ---------------------------------------------------------------------------------------------- backgrounds and noise


def test_backgrounds_hold_no_call_and_have_level_one() -> None:
    for sequence in sequences(ALL, only("background"), n=50):
        assert is_free(sequence).all()
        assert sequence.spans == ()
        assert background_level(sequence.samples, FRONT_END) == pytest.approx(1, rel=1e-3)


def test_backgrounds_are_used_by_length_and_weight() -> None:
    lengths_s, weights = {"long": 1200, "short": 60, "twice": 60}, {"twice": 2.0}
    backgrounds = [
        Background(np.full(s * RATE_HZ, i, np.float32), weights.get(name, 1.0), name)
        for i, (name, s) in enumerate(lengths_s.items())
    ]
    source = BackgroundSource(backgrounds, N_SAMPLES, RATE_HZ)
    random = np.random.default_rng(1)
    n = Counter(list(lengths_s)[int(source.draw(random)[0])] for _ in range(1000))
    assert n["long"] == pytest.approx(1000 * 360 / 540, abs=60), "of 20 minutes no more than of 6"
    assert n["twice"] == pytest.approx(2 * n["short"], abs=60)


def test_parts_of_a_long_background_count_together() -> None:
    parts = [Background(np.full(600 * RATE_HZ, i, np.float32), 1.0, "long", begin_s=600.0 * i) for i in range(3)]
    other = Background(np.full(360 * RATE_HZ, 3, np.float32), 1.0, "other")
    source = BackgroundSource([*parts, other], N_SAMPLES, RATE_HZ)
    random = np.random.default_rng(1)
    n = Counter(int(source.draw(random)[0]) for _ in range(1000))
    assert n[3] == pytest.approx(500, abs=60)


def test_silence_and_sounds_shorter_than_a_frame_have_level_one() -> None:
    assert background_level(np.zeros(1000, np.float32), FRONT_END) == 1
    assert background_level(tone(100, 150), FRONT_END) == 1


def test_noise_has_several_colours_and_level_one() -> None:
    bank = noise_module.NoiseBank(30_000, 0.3, 1.5, FRONT_END, np.random.default_rng(1))
    slopes = []
    for seed in range(60):
        sound = bank.cut(25_600, np.random.default_rng(seed))
        assert background_level(sound, FRONT_END) == pytest.approx(1, abs=0.15)
        power = np.abs(np.fft.rfft(sound)) ** 2
        low, high = power[600:1200].mean(), power[6400:12_000].mean()
        slopes.append(10 * np.log10(low / high))
    assert np.mean(np.abs(slopes) < 1) > 0.15, "white"
    assert max(slopes) > 15, "steep"


def test_noise_is_added_to_a_share_of_the_sequences() -> None:
    silent = (Background(np.zeros(60 * RATE_HZ, np.float32), 1.0, "silent"),)
    sounds = TrainingSounds(("up",), RATE_HZ, (), (), silent)
    made = sequences(sounds, replace(only("background"), noisy_share=0.25), n=400)
    noisy = [sequence.samples for sequence in made if sequence.samples.any()]
    assert len(noisy) == pytest.approx(100, abs=30)
    levels_db = 20 * np.log10([background_level(samples, FRONT_END) for samples in noisy])
    assert -13.5 < levels_db.min() < -8
    assert -4 < levels_db.max() < 1.5
