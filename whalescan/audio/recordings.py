"""Finding recordings and reading their headers: what a run is going to listen to."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import soundfile

from whalescan.audio import headers, start_times
from whalescan.audio.start_times import ClockOptions, StartTime
from whalescan.core import DiskError, Recording, RecordingError, UsageError, plain_text

SUFFIXES = frozenset({".wav", ".wave", ".bwf", ".rf64", ".w64", ".aif", ".aiff", ".aifc", ".flac"})
LOWEST_RATE_HZ = 600
"""An upcall reaches 250 Hz and more; below this rate it would not fit."""
_CHANNEL_NAME = re.compile(r"\.ch\d+$")
_LONGEST_NAME_BYTES = 220
"""A table's name is longer than its recording's, and file systems end at 255 bytes."""
_END_BYTES = 2**12
_CLOCK_NS = 2 * 10**9
"""To which network disks round the time of a file's last change, in the worst case: seen from two machines, it differs."""
_UNKNOWN_LENGTH = 2**62
"""libsndfile gives a length beyond this where a FLAC file does not state one."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file that may be a recording: its unique name within the run, its path, and its path below the folder given."""

    name: str
    path: Path
    relative: str


def find(inputs: Sequence[str | os.PathLike[str]]) -> list[Found]:
    """Recordings in folders (recursively), files and glob patterns, in the order of their names.

    Raises:
        UsageError: where an input does not exist or holds no recording.
    """
    if not inputs:
        raise UsageError("no recordings given; name a folder, files, or a pattern such as 'survey/*.wav'")
    below: dict[Path, tuple[str, str]] = {}
    for text in inputs:
        try:
            matches = _expand(text)
        except OSError as error:
            raise UsageError(f"{os.fspath(text)}: cannot be looked at ({error.strerror or error})") from error
        found = [(path, path.relative_to(root).as_posix()) for root, paths in matches for path in paths]
        if not found:
            kinds = " ".join(sorted(SUFFIXES))
            raise UsageError(f"{os.fspath(text)}: no recordings there; whalescan reads {kinds}")
        for path, relative in found:
            below.setdefault(path, (relative, path.parents[relative.count("/")].name or "root"))
    names = _unique_names(below)
    return sorted(
        (Found(names[path], path, relative) for path, (relative, _) in below.items()),
        key=lambda found: (found.name, str(found.path)),
    )


def _expand(text: str | os.PathLike[str]) -> list[tuple[Path, list[Path]]]:
    """Roots, each with the files below it."""
    given = Path(text)
    if not os.fspath(text):
        raise UsageError("an empty name among the recordings; is a variable unset?")
    if given.is_dir():
        return [(given.absolute(), _files_below(given.absolute()))]
    if given.exists():
        return [(given.absolute().parent, [given.absolute()])]
    root = Path(*_before_wildcard(given)).absolute()
    matches = [Path(match).absolute() for match in sorted(glob.glob(os.fspath(text), recursive=True))]  # noqa: PTH207 - absolute patterns too
    if not matches:
        raise UsageError(f"{os.fspath(text)}: no such file or folder")
    files = [match for match in matches if match.is_file() and match.suffix.lower() in SUFFIXES]
    folders = [match for match in matches if match.is_dir()]
    return [(root, files), *((root, _files_below(folder)) for folder in folders)]


def _before_wildcard(pattern: Path) -> Iterator[str]:
    """The leading parts of a pattern that are plain folders."""
    for part in pattern.parts[:-1]:
        if any(sign in part for sign in "*?["):
            return
        yield part


def _files_below(folder: Path) -> list[Path]:
    """Sound files in a folder and its subfolders; linked folders are followed, each once."""
    seen: set[str] = set()
    files: list[Path] = []

    def unreadable(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise error
        files.append(Path(error.filename))  # a folder that cannot be read is a failed recording: named, not skipped

    for parent, subfolders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        if (real := os.path.realpath(parent)) in seen:
            subfolders.clear()
            continue
        seen.add(real)
        # "._name.wav" is what macOS leaves on shared disks beside name.wav: not sound
        files += [Path(parent, name) for name in names if _suffix(name) in SUFFIXES and not name.startswith("._")]
    return sorted(files)


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _unique_names(below: dict[Path, tuple[str, str]]) -> dict[Path, str]:
    """Path below the given folder without suffix; with it, then with the folder's name and a number, where two agree.

    Names that differ only in case, or in signs that tables cannot hold, count as the same; so does one that would be taken
    for another recording's channel.

    Args:
        below: of each recording, the path below the given folder, and that folder's name.
    """

    def key(name: str) -> str:
        return plain_text(name).casefold()

    def clashing(names: dict[Path, str]) -> list[Path]:
        count = Counter(map(key, names.values()))
        return [path for path, name in names.items() if count[key(name)] > 1 or _CHANNEL_NAME.search(name)]

    names = {path: str(PurePosixPath(relative).with_suffix("")) for path, (relative, _) in below.items()}
    names |= {path: below[path][0] for path in clashing(names)}
    names |= {path: "/".join(reversed(below[path])) for path in clashing(names)}
    count: Counter[str] = Counter()
    for path in sorted(names):
        count[key(names[path])] += 1
        if (times := count[key(names[path])]) > 1:
            names[path] = f"{names[path]}~{times}"
    return names


def inspect(found: Found, clock: ClockOptions | None = None) -> Recording:
    """Read a recording's header, and past it where it is wrong.

    Raises:
        RecordingError: when no sound can be had from the file.
    """
    path = found.path
    if len(os.fsencode(PurePosixPath(found.name).name)) > _LONGEST_NAME_BYTES:
        raise RecordingError(
            f"{path}: its name is too long for the tables' names; shorten it to {_LONGEST_NAME_BYTES} bytes"
        )
    try:
        with path.open("rb") as file:
            size_bytes, identity = _identify(file)
            if size_bytes == 0:
                raise RecordingError(f"{path}: empty file (0 bytes); copy it again from the recorder")
            claim = headers.examine(file, size_bytes)
        with soundfile.SoundFile(path) as info:  # not soundfile.info, which gathers more
            pass
    except FileNotFoundError as error:
        raise RecordingError(f"{path}: is not there any more; bring it back to where it was") from error
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read ({error.strerror or error}); look at its permissions") from error
    except UnicodeError as error:
        raise RecordingError(f"{path}: its name is no valid text ({error}); rename it") from error
    except soundfile.LibsndfileError as error:
        reason = error.error_string.strip().rstrip(".")
        raise RecordingError(
            f"{path}: not a sound file that can be read ({reason}); copy it again from the recorder"
        ) from error
    n_frames, problem, layout = info.frames, "", None
    if n_frames >= _UNKNOWN_LENGTH:
        n_frames = _count_frames(path)
        problem = f"the header does not state a length; {n_frames} samples were found"
    elif claim is not None and claim.states_too_little:
        n_frames, layout = claim.available_frames, claim.layout
        problem = f"the header states {claim.declared_frames} samples but {n_frames} are there; all were read"
    elif claim is not None and claim.states_too_much:
        problem = f"cut short: the header states {claim.declared_frames} samples, {claim.available_frames} are there"
    if info.samplerate < LOWEST_RATE_HZ:
        raise RecordingError(
            f"{path}: sampled at {info.samplerate} Hz; an upcall needs {LOWEST_RATE_HZ} Hz, use the original recording"
        )
    if n_frames <= 0:
        raise RecordingError(f"{path}: a header without any sound behind it; copy it again from the recorder")
    start = start_times.read_clock(path, clock, start_times.Header(info.samplerate, info.channels, n_frames, claim))
    return Recording(
        name=found.name,
        path=path,
        relative=found.relative,
        rate_hz=info.samplerate,
        n_frames=n_frames,
        channels=info.channels,
        size_bytes=size_bytes,
        start_utc=start.utc,
        time_source=start.source,
        pieces=start.pieces,
        start_local=start.local,
        recorder=start.recorder,
        clock_problem=start.problem,
        encoding=f"{info.format} {info.subtype}",
        identity=identity,
        problem=problem,
        layout=layout,
    )


def start_of_unreadable(found: Found, clock: ClockOptions | None = None) -> StartTime:
    """When a recording began whose header cannot be read: what its name and the log beside it tell."""
    return start_times.read_clock(found.path, clock)


def _identify(file: BinaryIO) -> tuple[int, str]:
    """Length of a file, and a text that changes when its content does."""
    facts = os.fstat(file.fileno())
    ends = hashlib.sha256(file.read(_END_BYTES))
    file.seek(max(facts.st_size - _END_BYTES, 0))
    ends.update(file.read(_END_BYTES))
    return facts.st_size, f"{facts.st_size}-{facts.st_mtime_ns}-{ends.hexdigest()[:16]}"


def has_changed(recording: Recording) -> bool:
    """Whether another file lies there now than the one that was inspected.

    Raises:
        RecordingError: when none is there any more.
        DiskError: when the disk does not say.
    """
    path = recording.path
    try:
        with path.open("rb") as file:
            now = _identify(file)[1]
    except (FileNotFoundError, PermissionError) as error:
        reason = error.strerror or error
        raise RecordingError(
            f"{path}: is not there any more ({reason}); bring it back and give the same command again"
        ) from error
    except OSError as error:
        raise DiskError(f"{path}: cannot be read now ({error.strerror or error}); give the same command again") from error
    (size, changed_ns, ends), (size_then, changed_ns_then, ends_then) = now.split("-"), recording.identity.split("-")
    return (size, ends) != (size_then, ends_then) or abs(int(changed_ns) - int(changed_ns_then)) > _CLOCK_NS


def content_key(recording: Recording) -> str:
    """A text that is the same for copies of a file, and hardly ever for two others: it is made of length and ends."""
    size, _, ends = recording.identity.split("-")
    return f"{size}-{ends}"


def _count_frames(path: Path) -> int:
    """Length of a file whose header does not state it, by reading it.

    libsndfile ends such a file with an error that takes the last block with it, so blocks shrink towards the end.
    """
    n_frames = 0
    for block in (2**16, 2**12, 2**8, 2**4, 1):
        with soundfile.SoundFile(path) as file, contextlib.suppress(soundfile.LibsndfileError):
            file.seek(n_frames)
            while (read := len(file.read(block, dtype="int16", always_2d=True))) > 0:
                n_frames += read
    return n_frames
