"""Recordings by the names that tables, and the files in which these are kept, give them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path, PureWindowsPath

from whalescan.core import Recording


class Named:
    """Recordings, found by name in a time that does not grow with their number."""

    def __init__(self, recordings: Iterable[Recording]) -> None:
        self._by_file: dict[str, list[Recording]] = defaultdict(list)
        self._by_stem: dict[str, list[Recording]] = defaultdict(list)
        for recording in recordings:
            self._by_file[recording.path.name.lower()].append(recording)
            self._by_stem[recording.path.stem].append(recording)

    def by_sound(self, sound: str) -> Recording | None:
        """The recording that shares the longest end of a path, Windows' or another, with a table's; None where two do."""
        wanted = [part.lower() for part in reversed(PureWindowsPath(sound).parts)]
        shared: dict[int, list[Recording]] = {}
        for recording in self._by_file.get(wanted[0], ()) if wanted else ():
            own = [part.lower() for part in reversed(recording.path.parts)]
            differ = (i for i, (a, b) in enumerate(zip(wanted, own, strict=False)) if a != b)
            shared.setdefault(next(differ, min(len(wanted), len(own))), []).append(recording)
        best = shared[max(shared)] if shared else []
        return best[0] if len(best) == 1 else None

    def by_table_name(self, table: Path) -> Recording | None:
        """The recording with the longest name that begins the table's; one in the same folder before others."""
        best = next((self._by_stem[stem] for stem in beginnings(table.name, ".") if stem in self._by_stem), [])
        beside = [recording for recording in best if recording.path.parent == table.absolute().parent]
        return (beside or best)[0] if len(beside or best) == 1 else None


def beginnings(name: str, before: str) -> Iterator[str]:
    """What stands in a name before each place at which some text does, the longest first."""
    return (name[:i] for i in range(len(name) - 1, 0, -1) if name.startswith(before, i))
