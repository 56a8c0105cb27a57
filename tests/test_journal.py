"""Journals: whatever becomes of the file, what is read is what was appended, and appending goes on."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whalescan.core import GapKind, Loss, OutputError, WindowScores
from whalescan.scores.journal import Entry, Journal, joined_spans

FINGERPRINT = '{"model": "a"}'


def entry_of(first_window: int, n_windows: int = 3, seed: int = 1) -> Entry:
    """Windows with scores of their own, some of them NaN, and all that may stand beside them."""
    random = np.random.default_rng([seed, first_window])
    scores, boxes, complexity = (random.random((n_windows, n), np.float32) for n in (2, 4, 4))
    boxes[::2] = np.nan
    loss = Loss(1000 * first_window, 1000 * first_window + 7, GapKind.DROPOUT)
    return Entry(first_window, WindowScores(scores, boxes, complexity), (loss,), (f"Größe, at {first_window}",))


def content(entries: Sequence[Entry]) -> list[tuple[object, ...]]:
    """What makes entries equal: every bit."""
    return [
        (
            entry.span,
            *((array.dtype, array.shape, array.tobytes()) for array in (windows.scores, windows.boxes, windows.complexity)),
            entry.losses,
            entry.problems,
        )
        for entry in entries
        for windows in [entry.windows]
    ]


def is_whole(path: Path, entries: Sequence[Entry], fingerprint: str = FINGERPRINT) -> bool:
    return content(Journal(path, fingerprint).read()) == content(entries)


def journal_of(path: Path, entries: Sequence[Entry]) -> list[int]:
    """Write a journal; where each of its records ends, the beginning first."""
    path.unlink(missing_ok=True)
    journal, ends = Journal(path, FINGERPRINT), [0]
    for entry in entries:
        journal.append(entry)
        ends.append(path.stat().st_size)
    return ends


ENTRIES = [entry_of(first) for first in (3, 0, 9)]
IN_ORDER = sorted(ENTRIES, key=lambda entry: entry.first_window)
NEXT = entry_of(6)


def survivors(ends: Sequence[int], length: int) -> list[Entry]:
    """Of `ENTRIES`, those whose records lie within the first bytes, in the order of windows."""
    kept = [entry for entry, end in zip(ENTRIES, ends[1:], strict=True) if end <= length]
    return sorted(kept, key=lambda entry: entry.first_window)


@pytest.fixture
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a disk takes its time for, and no test here can see."""
    monkeypatch.setattr(os, "fsync", lambda _handle: None)


# ---------------------------------------------------------------------------------------------- as it should be


def test_what_is_appended_is_read_in_the_order_of_windows(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.journal"
    assert Journal(path, FINGERPRINT).read() == []
    journal_of(path, ENTRIES)
    assert is_whole(path, IN_ORDER)
    Journal(path, FINGERPRINT).append(NEXT)
    assert [entry.span for entry in Journal(path, FINGERPRINT).read()] == [(0, 3), (3, 6), (6, 9), (9, 12)]


def test_of_windows_that_are_there_twice_one_is_used(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    journal_of(path, [entry_of(0, 4), entry_of(2, 4, seed=2), entry_of(4, 4)])
    assert is_whole(path, [entry_of(0, 4), entry_of(4, 4)])


def test_a_journal_goes_when_its_scores_are_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    journal_of(path, ENTRIES)
    for _ in range(2):
        Journal(path, FINGERPRINT).remove(tmp_path / "x.npz")
        assert not path.exists()


def test_a_journal_goes_where_folders_cannot_be_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.journal"
    journal_of(path, ENTRIES)

    def refused(_handle: int) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refused)
    Journal(path, FINGERPRINT).remove(tmp_path / "x.npz")
    assert not path.exists()


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda pair: (min(pair), max(pair) + 1))))
def test_joined_spans_cover_the_same_and_never_touch(spans: list[tuple[int, int]]) -> None:
    joined = joined_spans(spans)
    assert {i for span in joined for i in range(*span)} == {i for span in spans for i in range(*span)}
    assert all(before[1] < after[0] for before, after in pairwise(joined))


# ---------------------------------------------------------------------------------------------- after an accident


@pytest.mark.usefixtures("no_sync")
def test_cut_at_every_length(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    ends = journal_of(path, ENTRIES)
    whole = path.read_bytes()
    near_ends = {end + shift for end in ends for shift in range(-13, 14)}
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        kept = survivors(ends, length)
        assert is_whole(path, kept), length
        if length in near_ends or length % 50 == 0:
            Journal(path, FINGERPRINT).append(NEXT)
            assert is_whole(path, sorted([*kept, NEXT], key=lambda entry: entry.first_window)), length


@pytest.mark.parametrize("rubbish", [bytes(4096), b"\xff" * 100, b"WSJ1", b"WSJ1" + bytes(8), b"WSJ1" + b"\xff" * 8, b"W"])
def test_rubbish_at_the_end(tmp_path: Path, rubbish: bytes) -> None:
    """A disk that lost power may have room for a file, and nothing or anything in it."""
    path = tmp_path / "x.journal"
    ends = journal_of(path, ENTRIES)
    with path.open("ab") as file:
        file.write(rubbish)
    assert is_whole(path, IN_ORDER)
    Journal(path, FINGERPRINT).append(NEXT)
    assert is_whole(path, sorted([*ENTRIES, NEXT], key=lambda entry: entry.first_window))
    assert path.stat().st_size == pytest.approx(ends[-1] * 4 / 3, rel=0.1), "the rubbish is gone"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_spoilt_bytes_never_give_wrong_scores(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.journal")
        ends = journal_of(path, ENTRIES)
        spoilt = bytearray(path.read_bytes())
        begin = data.draw(st.integers(0, len(spoilt) - 1))
        noise = data.draw(st.binary(min_size=1, max_size=40))[: len(spoilt) - begin]
        same = bytes(spoilt[begin : begin + len(noise)]) == noise
        spoilt[begin : begin + len(noise)] = noise
        path.write_bytes(spoilt)
        assert is_whole(path, IN_ORDER if same else survivors(ends, begin))
        Journal(path, FINGERPRINT).append(NEXT)
        assert content([NEXT])[0] in content(Journal(path, FINGERPRINT).read())


def test_every_single_byte_counts(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    ends = journal_of(path, ENTRIES)
    whole = path.read_bytes()
    for at in range(0, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        assert is_whole(path, survivors(ends, at)), at


def test_records_of_other_sound_or_another_model_are_none(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    journal_of(path, ENTRIES)
    other = '{"model": "b"}'
    assert Journal(path, other).read() == []
    assert is_whole(path, IN_ORDER), "looking at them does them no harm"
    Journal(path, other).append(NEXT)
    assert is_whole(path, [NEXT], other)
    assert Journal(path, FINGERPRINT).read() == [], "they are no use any more, and take no room"


# ---------------------------------------------------------------------------------------------- a disk without room


@contextmanager
def room_for(n_bytes: int) -> Iterator[None]:
    """Files of this process grow to a length and no further: what is written beyond is written in part, then refused."""
    resource = pytest.importorskip("resource", reason="only POSIX knows such a limit")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("no_sync")
def test_no_room_at_any_byte_of_a_record(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    end = journal_of(path, ENTRIES)[-1]
    journal = Journal(path, FINGERPRINT)
    size = len(path.read_bytes()) // 3
    for n_bytes in range(end, end + size - 100, 7):
        with room_for(n_bytes), pytest.raises(OutputError, match=r"x\.journal: cannot be written .*make room"):
            journal.append(NEXT)
        assert path.stat().st_size == end
    assert is_whole(path, IN_ORDER)
    journal.append(NEXT)
    assert is_whole(path, sorted([*ENTRIES, NEXT], key=lambda entry: entry.first_window))


def test_a_disk_that_fails_at_the_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not synced is not kept, even where it cannot be cut off."""
    path = tmp_path / "x.journal"
    journal_of(path, ENTRIES)
    journal = Journal(path, FINGERPRINT)

    def broken(_handle: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(OutputError, match="Input/output error"):
            journal.append(NEXT)
    assert is_whole(path, IN_ORDER)
    with path.open("ab") as file:
        file.write(b"WSJ1 half a record")
    other = entry_of(6, seed=2)
    journal.append(other)
    assert is_whole(path, sorted([*ENTRIES, other], key=lambda entry: entry.first_window))
