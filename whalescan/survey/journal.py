"""Scored chunks of an unfinished recording, stored as they come.

A journal is a file of records. Records are only appended, and each is synced to the disk. A record is a mark, the length and
CRC-32 of its content, and the content. A record that is incomplete or damaged ends the journal: what follows is ignored when
the journal is read and cut off before the next record is appended.
"""

from __future__ import annotations

import contextlib
import io
import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from whalescan.core import ColumnScores, GapKind, MissingSpan
from whalescan.core.files import append_atomically, sync_folder
from whalescan.engine.chunking import Chunk
from whalescan.engine.worker import ScoredChunk

_HEADER = struct.Struct("<4sII")
_MARK = b"WSJ1"


class Journal:
    """The journal of one channel of one recording.

    Args:
        path: of the file, which need not exist.
        fingerprint: of the scores; records with another one are ignored.
        channel: all columns of the channel as one chunk.
    """

    def __init__(self, path: Path, fingerprint: str, channel: Chunk) -> None:
        self._path, self._fingerprint, self._channel = path, fingerprint, channel
        self._end: int | None = None

    def read(self) -> list[ScoredChunk]:
        """Return the stored chunks in the order of their columns; where two overlap, the first is returned."""
        self._end = 0
        stored = [scored for content in self._records() if (scored := self._unpack(content)) is not None]
        if not stored:
            self._end = 0  # the file holds only records of other scores, which the next one overwrites
        chunks: list[ScoredChunk] = []
        for scored in sorted(stored, key=lambda scored: column_span(scored.chunk)):
            if not chunks or scored.chunk.first_column >= column_span(chunks[-1].chunk)[1]:
                chunks.append(scored)
        return chunks

    def append(self, scored: ScoredChunk) -> None:
        """Store a chunk; it is on the disk when this returns.

        Raises:
            OutputError: when it cannot be written; earlier records are unchanged.
        """
        if self._end is None:
            self.read()
        assert self._end is not None
        content = _pack(scored, self._fingerprint)
        record = _HEADER.pack(_MARK, len(content), zlib.crc32(content)) + content
        append_atomically(self._path, self._end, record)
        self._end += len(record)

    def remove(self, replacement: Path) -> None:
        """Delete the journal, after syncing the folder of the file that replaces it."""
        if self._path.exists():
            with contextlib.suppress(OSError):  # some network file systems cannot sync folders
                sync_folder(replacement.parent)
            self._path.unlink(missing_ok=True)

    def _records(self) -> Iterator[bytes]:
        """Yield the contents of complete records up to the first that is not, and note where the last one ends."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return
        begin = 0
        while len(content) >= begin + _HEADER.size:
            mark, length, checksum = _HEADER.unpack_from(content, begin)
            record = content[begin + _HEADER.size : begin + _HEADER.size + length]
            if mark != _MARK or not record or len(record) != length or zlib.crc32(record) != checksum:
                return  # an empty record, too: a power cut may leave a mark and zeros, whose CRC-32 is zero
            begin += _HEADER.size + length
            self._end = begin
            yield record

    def _unpack(self, content: bytes) -> ScoredChunk | None:
        """Return a stored chunk; None where its fingerprint is another one."""
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            if about["fingerprint"] != self._fingerprint:
                return None
            columns = ColumnScores(file["log_odds"], file["boxes"], file["complexity"])
            first = about["first_column"]
            is_last = first + len(columns) == self._channel.n_columns
            return ScoredChunk(
                replace(self._channel, first_column=first, n_columns=len(columns), is_last=is_last),
                columns,
                tuple(MissingSpan(begin, end, GapKind(kind)) for begin, end, kind in about["missing_spans"]),
                about["n_short_samples"],
                tuple(about["problems"]),
            )


def column_span(chunk: Chunk) -> tuple[int, int]:
    """Return the columns of a chunk: the first, and the one past the last."""
    return chunk.first_column, chunk.first_column + chunk.n_columns


def _pack(scored: ScoredChunk, fingerprint: str) -> bytes:
    about = {
        "fingerprint": fingerprint,
        "first_column": scored.chunk.first_column,
        "missing_spans": [(span.begin_sample, span.end_sample, span.kind) for span in scored.missing_spans],
        "n_short_samples": scored.n_short_samples,
        "problems": scored.problems,
    }
    buffer = io.BytesIO()
    columns = scored.columns
    np.savez(
        buffer,
        log_odds=columns.log_odds,
        boxes=columns.boxes,
        complexity=columns.complexity,
        about=json.dumps(about),
    )
    return buffer.getvalue()
