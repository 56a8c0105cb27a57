"""Finished chunks of a recording, kept while others of it are still to come.

A journal is a file of records that is only ever appended to, and synced after each. A record is whole or it is none: behind
a mark stand its length and CRC-32, then its bytes. What an accident left half-written at the end, or anything that is no
record, is passed over when the journal is read and cut off before the next record is appended.
"""

from __future__ import annotations

import contextlib
import io
import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from whalescan.core import GapKind, Loss, WindowScores
from whalescan.core.files import append_whole, sync_folder

_HEAD = struct.Struct("<4sII")
_MARK = b"WSJ1"


@dataclass(frozen=True, slots=True)
class Entry:
    """Consecutive windows of a recording's channel, and what was not analysed beside them.

    Attributes:
        first_window: index of the first window, counted from the recording's beginning.
    """

    first_window: int
    windows: WindowScores
    losses: tuple[Loss, ...]
    problems: tuple[str, ...]

    @property
    def span(self) -> tuple[int, int]:
        """First window, and the one behind the last."""
        return self.first_window, self.first_window + len(self.windows.scores)


class Journal:
    """The journal of one channel of one recording.

    Args:
        path: where it is, or will be.
        fingerprint: what determines the scores; records with another one count as none.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self._path, self._fingerprint = path, fingerprint
        self._end: int | None = None

    def read(self) -> list[Entry]:
        """What is kept, in the order of windows."""
        self._end = 0
        found = [entry for content in self._records() if (entry := _unpack(content, self._fingerprint)) is not None]
        if not found:
            self._end = 0  # nothing but what is of no use any more
        entries: list[Entry] = []
        for entry in sorted(found, key=lambda entry: entry.span):
            if not entries or entry.first_window >= entries[-1].span[1]:
                entries.append(entry)
        return entries

    def append(self, entry: Entry) -> None:
        """Keep finished windows; they are on disk when this returns.

        Raises:
            OutputError: where they cannot be written; what was kept before is untouched.
        """
        if self._end is None:
            self.read()
        assert self._end is not None
        content = _pack(entry, self._fingerprint)
        record = _HEAD.pack(_MARK, len(content), zlib.crc32(content)) + content
        append_whole(self._path, self._end, record)
        self._end += len(record)

    def remove(self, instead: Path) -> None:
        """Let the journal go, as soon as no power cut can take away the file that holds all of it ``instead``."""
        if self._path.exists():
            with contextlib.suppress(OSError):  # some network disks cannot, and ask for nothing of the kind
                sync_folder(instead.parent)
            self._path.unlink(missing_ok=True)

    def _records(self) -> Iterator[bytes]:
        """The whole records, up to the first that is not; the end of the last one is noted."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return
        begin = 0
        while len(content) >= begin + _HEAD.size:
            mark, length, check = _HEAD.unpack_from(content, begin)
            record = content[begin + _HEAD.size : begin + _HEAD.size + length]
            if mark != _MARK or not record or len(record) != length or zlib.crc32(record) != check:
                return  # an empty one, too: a power cut may leave a mark with zeros behind it, whose CRC-32 is zero
            begin += _HEAD.size + length
            self._end = begin
            yield record


def _pack(entry: Entry, fingerprint: str) -> bytes:
    about = {
        "fingerprint": fingerprint,
        "first_window": entry.first_window,
        "losses": [(loss.begin_sample, loss.end_sample, loss.kind) for loss in entry.losses],
        "problems": entry.problems,
    }
    buffer = io.BytesIO()
    windows = entry.windows
    np.savez(
        buffer,
        scores=windows.scores,
        boxes=windows.boxes,
        complexity=windows.complexity,
        about=json.dumps(about),
    )
    return buffer.getvalue()


def _unpack(content: bytes, fingerprint: str) -> Entry | None:
    """An entry; None where it is of another fingerprint."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        about = json.loads(str(file["about"]))
        if about["fingerprint"] != fingerprint:
            return None
        return Entry(
            about["first_window"],
            WindowScores(file["scores"], file["boxes"], file["complexity"]),
            tuple(Loss(begin, end, GapKind(kind)) for begin, end, kind in about["losses"]),
            tuple(about["problems"]),
        )


def joined_spans(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in their order, those that touch as one."""
    found: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((begin, end))
    return found
