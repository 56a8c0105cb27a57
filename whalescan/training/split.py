"""Split of the training sounds into a training side and a held-out side, by which the model is validated.

Sounds of one time and place are alike, so a group (a day, a recording, a block of time, clips with the same content) stays
on one side. Hashes decide the side, so the split depends neither on a random generator nor on the order of the sounds.

Clips whose place in time is known are divided into blocks of time, of which some, spread over the time, are held out. Clips
beside a held-out block are left out of training; so are clips of unknown time whose background is like that of a held-out
clip, as these may be its neighbours.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from whalescan.core import BoolArray, FloatArray, UsageError, invalid
from whalescan.core.files import csv_bytes
from whalescan.detector.model_spec import FrontEndOptions
from whalescan.tables.clip_tables import HELD_OUT, read_clip_table
from whalescan.training.levels import frame_power
from whalescan.training.sounds import CONTENT_HASH, TIME_BLOCK, AnnotatedSound, Background, Clip, TrainingSounds

TRAINING, LEFT_OUT = "training", "left out"
"""Cells of the column ``side``, beside `HELD_OUT`."""
_TRAINING_SHARES = (0.5, 0.0)
"""Smallest share of each class on the training side; the second value is used where the first leaves no call to hold out."""
_NAMES_SHOWN = 10
_NEIGHBOURS = 15
"""Clips before and behind a held-out block of time that are left out; fewer where there are few clips."""
_GOLDEN_SECTION = (5**0.5 - 1) / 2
_ALIKE_SHARE = 0.1
"""Share of the clips of unknown time that is left out, those most alike to a held-out clip."""
_SPECTRUM_HZ = (16.0, 516.0)
_SMOOTHING_BINS = 17
_BATCH = 256


class Split(NamedTuple):
    """Two sides of the training sounds. No sound is on both, nor a group; some clips may be on neither.

    Attributes:
        training: what the model is trained on.
        held_out: what it is validated on; empty where no call can be held out. Its clips without a label say nothing, and
            are here to be on no other side.
    """

    training: TrainingSounds
    held_out: TrainingSounds


def split_sounds(sounds: TrainingSounds, validation: Sequence[str] = (), share: float = 0.0) -> Split:
    """Divide sounds into a training side and a held-out side.

    A clip without any other group is held out when its hash, as a fraction of the largest, is below the share; where some
    clips have an order of time, only blocks of time are held out. Of recordings and of clips with groups, groups are held
    out in an order that their names determine, until there is the wanted share of each class and of sound without calls.
    A group is skipped when it adds nothing that is still missing, or when too little would remain for training. Backgrounds
    are held out by recordings, a share of each folder's. Where no call can be held out, as with a single group, no recording
    is held out.

    Args:
        sounds: all sounds.
        validation: recordings, clips or groups. Their groups are held out, and nothing else.
        share: share of the sounds to hold out, from 0 to below 1.

    Raises:
        UsageError: for an invalid share, for a name that no sound has, and when no call is left for training.
    """
    if not 0 <= share < 1:
        raise invalid("validation_share", share, "a value from 0 to below 1")
    if validation:
        groups, names = _named_groups(sounds, validation), set(validation)
    else:
        groups = set(_groups_by_hash(sounds, share))
        names = set(_backgrounds_by_hash(sounds.backgrounds, share)) if groups else set()
    is_held_out = np.array([clip.group in groups for clip in sounds.clips], np.bool_)
    is_left_out = _left_out(sounds.clips, is_held_out)
    held_out = replace(
        sounds,
        clips=tuple(clip for clip, out in zip(sounds.clips, is_held_out, strict=True) if out),
        annotated=tuple(sound for sound in sounds.annotated if sound.group in groups),
        backgrounds=tuple(sound for sound in sounds.backgrounds if sound.name in names),
    )
    training = replace(
        sounds,
        clips=tuple(clip for clip, out in zip(sounds.clips, is_held_out | is_left_out, strict=True) if not out),
        annotated=tuple(sound for sound in sounds.annotated if sound.group not in groups),
        backgrounds=tuple(sound for sound in sounds.backgrounds if sound.name not in names),
    )
    if sounds.n_calls and not training.n_calls:
        raise UsageError("all calls are held out for validation, and none is left for training: hold out fewer")
    return Split(training, held_out)


def _named_groups(sounds: TrainingSounds, validation: Sequence[str]) -> set[str]:
    """Return the groups that are named themselves, or by one of their recordings or clips."""
    grouped: tuple[Clip | AnnotatedSound, ...] = (*sounds.clips, *sounds.annotated)
    known = list(
        dict.fromkeys([*(s.group for s in grouped), *(s.name for s in grouped), *(s.name for s in sounds.backgrounds)])
    )
    if unknown := set(validation) - set(known):
        more = ", ..." if len(known) > _NAMES_SHOWN else ""
        raise UsageError(
            f"invalid validation {', '.join(map(repr, sorted(unknown)))}: not in the data; expected recordings, clips or "
            f"groups such as {', '.join(known[:_NAMES_SHOWN])}{more}"
        )
    return {sound.group for sound in grouped if {sound.name, sound.group} & set(validation)}


def _groups_by_hash(sounds: TrainingSounds, share: float) -> Iterator[str]:
    """Return the groups to hold out: each clip without another group by its own hash, all other groups together."""
    if all(clip.order is None for clip in sounds.clips):
        hashes = {clip.group for clip in sounds.clips if CONTENT_HASH.fullmatch(clip.group)}
        yield from (group for group in hashes if int(group, 16) / 2**64 < share)
    groups, counts, is_call = _count_by_group(sounds)
    for training_share in _TRAINING_SHARES:
        chosen = _choose_groups(counts, share, training_share)
        if counts[chosen][:, is_call].any():
            yield from (groups[i] for i in chosen)
            return


def _count_by_group(sounds: TrainingSounds) -> tuple[list[str], npt.NDArray[np.float64], BoolArray]:
    """Return the groups in the order in which they are tried, what each holds, and which kinds of sound are calls.

    What they hold is counted as ``[n_groups, n_kinds]``: clips of each class, clips without a call, annotated calls of each
    class, and annotated parts without any.
    """
    n_classes = len(sounds.classes)
    counts: dict[str, npt.NDArray[np.float64]] = defaultdict(lambda: np.zeros(2 * n_classes + 2))
    for clip in sounds.clips:
        if not CONTENT_HASH.fullmatch(clip.group) and clip.is_labelled:
            counts[clip.group][: n_classes + 1] += [*clip.targets, not clip.holds_call]
    for sound in sounds.annotated:
        kinds = counts[sound.group][n_classes + 1 :]
        for call in sound.calls:
            kinds[call.class_index] += 1
        kinds[-1] += not sound.calls
    groups = sorted(counts, key=lambda group: (_place(group), group))
    is_call = np.arange(2 * n_classes + 2) % (n_classes + 1) < n_classes
    return groups, np.array([counts[group] for group in groups]).reshape(len(groups), len(is_call)), is_call


def _place(group: str) -> float:
    """Return the place of a group in the order in which groups are tried, 0 to 1: its hash.

    Blocks of time have places such that any first few of them are spread evenly over the time (multiples of the golden
    section, of which the fractions are).
    """
    if block := TIME_BLOCK.fullmatch(group):
        return int(block[1]) * _GOLDEN_SECTION % 1
    return int.from_bytes(hashlib.sha256(group.encode(errors="backslashreplace")).digest()[:8], "big") / 2**64


def _choose_groups(counts: npt.NDArray[np.float64], share: float, training_share: float) -> list[int]:
    """Return rows of counts ``[n_groups, n_kinds]`` that hold a share of each kind and leave a share for training."""
    total = counts.sum(axis=0)
    held_out = np.zeros_like(total)
    chosen = []
    for i, count in enumerate(counts):
        is_present = count > 0
        remaining = (total - held_out - count)[is_present]
        is_missing = is_present & (held_out < share * total)
        if is_missing.any() and (remaining > 0).all() and (remaining >= training_share * total[is_present]).all():
            held_out += count
            chosen.append(i)
    return chosen


def _backgrounds_by_hash(backgrounds: Sequence[Background], share: float) -> Iterator[str]:
    """Return the recordings to hold out: of each source so many that their length is the share, and half of it remains."""
    lengths: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for sound in backgrounds:
        lengths[sound.source][sound.name] += len(sound.samples)
    for of_source in lengths.values():
        total, held_out = sum(of_source.values()), 0
        for name in sorted(of_source, key=lambda name: (_place(name), name)):
            if held_out < share * total and held_out + of_source[name] <= total / 2:
                held_out += of_source[name]
                yield name


def _left_out(clips: Sequence[Clip], is_held_out: BoolArray) -> BoolArray:
    """Return which clips, held out or not, may be neighbours of a held-out clip in time: bool ``[n_clips]``."""
    is_left_out = np.zeros(len(clips), np.bool_)
    numbered = sorted((clip.order, i) for i, clip in enumerate(clips) if clip.order is not None)
    in_order = np.array([i for _, i in numbered], np.int64)
    if not is_held_out[in_order].any():
        return is_left_out
    reach = max(1, min(_NEIGHBOURS, len(in_order) // 100))
    ranks = np.flatnonzero(is_held_out[in_order])
    near = np.unique(np.clip(ranks[:, None] + np.arange(-reach, reach + 1), 0, len(in_order) - 1))
    is_left_out[in_order[near]] = True
    of_unknown_time = np.setdiff1d(np.flatnonzero(~is_held_out), in_order)
    if len(of_unknown_time):
        alike = _likeness(clips, of_unknown_time, in_order[ranks])
        n_alike = int(np.ceil(_ALIKE_SHARE * len(alike)))
        is_left_out[of_unknown_time[np.argsort(-alike, kind="stable")[:n_alike]]] = True
    return is_left_out


def _likeness(clips: Sequence[Clip], indices: npt.NDArray[np.int64], others: npt.NDArray[np.int64]) -> FloatArray:
    """Return the highest correlation of the background of some clips with that of any of others: float32 ``[len(indices)]``.

    The background is the median power of each frequency bin, over that of its neighbours and over the mean of all clips.
    """
    samples = [clips[i].samples for i in (*indices, *others)]
    spectra = np.concatenate(
        [_background_spectra(np.stack(samples[i : i + _BATCH])) for i in range(0, len(samples), _BATCH)]
    )
    spectra -= spectra.mean(axis=0)
    spectra /= np.maximum(np.linalg.norm(spectra, axis=1, keepdims=True), 1e-9)
    likeness: FloatArray = (spectra[: len(indices)] @ spectra[len(indices) :].T).max(axis=1)
    return likeness


def _background_spectra(samples: FloatArray) -> FloatArray:
    """Return float32 ``[n, n_bins]``: log of the median power of each bin over the mean of the bins around it."""
    options = FrontEndOptions()
    first, last = (round(edge_hz / options.bin_hz) for edge_hz in _SPECTRUM_HZ)
    power = np.median(frame_power(samples, options, slice(first, last)), axis=1)
    level = np.log(np.maximum(power, np.finfo(np.float32).tiny))
    window = np.ones(_SMOOTHING_BINS, np.float32)
    n = np.convolve(np.ones(level.shape[1], np.float32), window, "same")
    spectra: FloatArray = level - np.stack([np.convolve(row, window, "same") / n for row in level])
    return spectra


def split_csv(sounds: TrainingSounds, parts: Split) -> bytes:
    """Return a table of the sounds and their sides, which `evaluate` accepts as a list of clips.

    Columns: clip_name (or the name of the recording), begin_s, group, side (``training``, ``validation`` or ``left out``),
    and one column per class: 1 where the sound holds a call of it, 0 where it holds none, blank where nobody knows.
    """
    sides = {id(sound): TRAINING for sound in _all_sounds(parts.training)}
    sides |= {id(sound): HELD_OUT for sound in _all_sounds(parts.held_out)}
    rows = []
    for sound in _all_sounds(sounds):
        begin_s = 0.0 if isinstance(sound, Clip) else sound.begin_s
        group = sound.name if isinstance(sound, Background) else sound.group
        cells = _target_cells(sound, len(sounds.classes))
        rows.append((sound.name, f"{begin_s:.6f}", group, sides.get(id(sound), LEFT_OUT), *cells))
    return csv_bytes(("clip_name", "begin_s", "group", "side", *sounds.classes), rows)


def _all_sounds(sounds: TrainingSounds) -> tuple[Clip | AnnotatedSound | Background, ...]:
    return *sounds.clips, *sounds.annotated, *sounds.backgrounds


def _target_cells(sound: Clip | AnnotatedSound | Background, n_classes: int) -> list[str]:
    """Return one cell per class."""
    if isinstance(sound, Clip):
        return ["" if np.isnan(target) else f"{target:.0f}" for target in sound.targets]
    present = {call.class_index for call in sound.calls} if isinstance(sound, AnnotatedSound) else set()
    return ["1" if i in present else "0" for i in range(n_classes)]


def held_out_names(path: Path) -> frozenset[str]:
    """Return the names of the clips and recordings that a training held out, from the table of `split_csv`.

    Raises:
        UsageError: when the file cannot be read, or is not such a table.
    """
    rows = read_clip_table(path, required=("clip_name", "side")).rows
    return frozenset(row.name for row in rows if row.side == HELD_OUT)
