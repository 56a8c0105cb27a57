"""Journals: whatever happens to the file, only what was appended is read, and more can be appended."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whalescan.core import ColumnScores, GapKind, MissingSpan, OutputError, Recording
from whalescan.engine.chunking import Chunk
from whalescan.engine.worker import ScoredChunk
from whalescan.survey.journal import Journal, column_span

FINGERPRINT = '{"model": "a"}'


RECORDING = Recording("x", Path("x.wav"), "x.wav", 2000, 20_000, 1, 40_044)
CHANNEL = Chunk(RECORDING, 1, 0, 12, is_last=True)


def scored_chunk(first_column: int, n_columns: int = 3, seed: int = 1) -> ScoredChunk:
    """A chunk with random scores, some boxes NaN, a missing span and a problem."""
    random = np.random.default_rng([seed, first_column])
    log_odds, boxes, complexity = (random.random((n_columns, n), np.float32) for n in (2, 4, 4))
    boxes[::2] = np.nan
    is_last = first_column + n_columns == CHANNEL.n_columns
    chunk = replace(CHANNEL, first_column=first_column, n_columns=n_columns, is_last=is_last)
    missing = MissingSpan(1000 * first_column, 1000 * first_column + 7, GapKind.DROPOUT)
    columns = ColumnScores(log_odds, boxes, complexity)
    return ScoredChunk(chunk, columns, (missing,), 3 + first_column, (f"Größe, at {first_column}",))


def content(chunks: Sequence[ScoredChunk]) -> list[tuple[object, ...]]:
    """What a journal must keep of chunks, bit by bit."""
    return [
        (
            scored.chunk,
            *(
                (array.dtype, array.shape, array.tobytes())
                for array in (columns.log_odds, columns.boxes, columns.complexity)
            ),
            scored.missing_spans,
            scored.n_short_samples,
            scored.problems,
        )
        for scored in chunks
        for columns in [scored.columns]
    ]


def journal_at(path: Path, fingerprint: str = FINGERPRINT) -> Journal:
    return Journal(path, fingerprint, CHANNEL)


def is_whole(path: Path, chunks: Sequence[ScoredChunk], fingerprint: str = FINGERPRINT) -> bool:
    return content(journal_at(path, fingerprint).read()) == content(chunks)


def write_journal(path: Path, chunks: Sequence[ScoredChunk]) -> list[int]:
    """Write a journal. Return where each of its records ends, after 0."""
    path.unlink(missing_ok=True)
    journal, ends = journal_at(path), [0]
    for scored in chunks:
        journal.append(scored)
        ends.append(path.stat().st_size)
    return ends


def in_order(chunks: Sequence[ScoredChunk]) -> list[ScoredChunk]:
    return sorted(chunks, key=lambda scored: scored.chunk.first_column)


CHUNKS = [scored_chunk(first) for first in (3, 0, 9)]
IN_ORDER = in_order(CHUNKS)
NEXT = scored_chunk(6)


def survivors(ends: Sequence[int], length: int) -> list[ScoredChunk]:
    """Return those of `CHUNKS` whose records lie within the first bytes, in the order of columns."""
    return in_order([scored for scored, end in zip(CHUNKS, ends[1:], strict=True) if end <= length])


@pytest.fixture
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Syncing takes time, and has no effect that these tests can see."""
    monkeypatch.setattr(os, "fsync", lambda _handle: None)


# ---------------------------------------------------------------------------------------------- normal use


def test_chunks_are_read_in_the_order_of_columns(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.journal"
    assert journal_at(path).read() == []
    write_journal(path, CHUNKS)
    assert is_whole(path, IN_ORDER)
    journal_at(path).append(NEXT)
    assert [column_span(scored.chunk) for scored in journal_at(path).read()] == [(0, 3), (3, 6), (6, 9), (9, 12)]


def test_overlapping_chunks_are_read_once(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    write_journal(path, [scored_chunk(0, 4), scored_chunk(2, 4, seed=2), scored_chunk(4, 4)])
    assert is_whole(path, [scored_chunk(0, 4), scored_chunk(4, 4)])


def test_remove(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    write_journal(path, CHUNKS)
    for _ in range(2):
        journal_at(path).remove(tmp_path / "x.npz")
        assert not path.exists()


def test_remove_where_folders_cannot_be_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.journal"
    write_journal(path, CHUNKS)

    def refused(_handle: int) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refused)
    journal_at(path).remove(tmp_path / "x.npz")
    assert not path.exists()


# ---------------------------------------------------------------------------------------------- after a crash


@pytest.mark.slow
@pytest.mark.usefixtures("no_sync")
def test_journal_truncated_at_every_length(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    ends = write_journal(path, CHUNKS)
    whole = path.read_bytes()
    near_ends = {end + shift for end in ends for shift in range(-13, 14)}
    for length in sorted(near_ends.union(range(0, len(whole), 7)).intersection(range(len(whole) + 1))):
        path.write_bytes(whole[:length])
        kept = survivors(ends, length)
        assert is_whole(path, kept), length
        if length in near_ends or length % 49 == 0:
            journal_at(path).append(NEXT)
            assert is_whole(path, in_order([*kept, NEXT])), length


@pytest.mark.parametrize("garbage", [bytes(4096), b"\xff" * 100, b"WSJ1", b"WSJ1" + bytes(8), b"WSJ1" + b"\xff" * 8, b"W"])
def test_garbage_at_the_end(tmp_path: Path, garbage: bytes) -> None:
    """After a power cut, a file may have its length and any content."""
    path = tmp_path / "x.journal"
    ends = write_journal(path, CHUNKS)
    with path.open("ab") as file:
        file.write(garbage)
    assert is_whole(path, IN_ORDER)
    journal_at(path).append(NEXT)
    assert is_whole(path, in_order([*CHUNKS, NEXT]))
    assert path.stat().st_size == pytest.approx(ends[-1] * 4 / 3, rel=0.1), "the garbage is gone"


@pytest.mark.slow
@settings(max_examples=150)
@given(st.data())
def test_damaged_bytes_never_give_wrong_scores(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.journal")
        ends = write_journal(path, CHUNKS)
        damaged = bytearray(path.read_bytes())
        begin = data.draw(st.integers(0, len(damaged) - 1))
        noise = data.draw(st.binary(min_size=1, max_size=40))[: len(damaged) - begin]
        same = bytes(damaged[begin : begin + len(noise)]) == noise
        damaged[begin : begin + len(noise)] = noise
        path.write_bytes(damaged)
        assert is_whole(path, IN_ORDER if same else survivors(ends, begin))
        journal_at(path).append(NEXT)
        assert content([NEXT])[0] in content(journal_at(path).read())


@pytest.mark.slow
def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    ends = write_journal(path, CHUNKS)
    whole = path.read_bytes()
    for at in range(0, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        assert is_whole(path, survivors(ends, at)), at


def test_records_with_another_fingerprint_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    write_journal(path, CHUNKS)
    other = '{"model": "b"}'
    assert journal_at(path, other).read() == []
    assert is_whole(path, IN_ORDER), "reading leaves them unchanged"
    journal_at(path, other).append(NEXT)
    assert is_whole(path, [NEXT], other)
    assert journal_at(path).read() == [], "they were overwritten"


# ---------------------------------------------------------------------------------------------- a full disk


@contextmanager
def room_for(n_bytes: int) -> Iterator[None]:
    """Limit the length of files of this process: longer writes are cut short, then refused."""
    resource = pytest.importorskip("resource", reason="only POSIX has this limit")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("no_sync")
def test_disk_full_at_any_byte_of_a_record(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    end = write_journal(path, CHUNKS)[-1]
    journal = journal_at(path)
    size = len(path.read_bytes()) // 3
    for n_bytes in range(end, end + size - 100, 7):
        with room_for(n_bytes), pytest.raises(OutputError, match=r"x\.journal: cannot be written .*make room"):
            journal.append(NEXT)
        assert path.stat().st_size == end
    assert is_whole(path, IN_ORDER)
    journal.append(NEXT)
    assert is_whole(path, in_order([*CHUNKS, NEXT]))


def test_sync_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that was not synced is ignored, even where it cannot be cut off."""
    path = tmp_path / "x.journal"
    write_journal(path, CHUNKS)
    journal = journal_at(path)

    def broken(_handle: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(OutputError, match="Input/output error"):
            journal.append(NEXT)
    assert is_whole(path, IN_ORDER)
    with path.open("ab") as file:
        file.write(b"WSJ1 half a record")
    other = scored_chunk(6, seed=2)
    journal.append(other)
    assert is_whole(path, in_order([*CHUNKS, other]))
