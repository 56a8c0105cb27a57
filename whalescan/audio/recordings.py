"""Find recordings in folders, file names and patterns, and read their headers."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import soundfile

from whalescan.audio import headers, start_times
from whalescan.audio.start_times import ClockOptions
from whalescan.core import DiskError, Recording, RecordingError, UsageError, plain_text

SUFFIXES = frozenset({".wav", ".wave", ".bwf", ".rf64", ".w64", ".aif", ".aiff", ".aifc", ".flac"})
MIN_RATE_HZ = 600
"""An upcall reaches 250 Hz and more, too close to the Nyquist frequency of a lower rate."""
_CHANNEL_NAME = re.compile(r"\.ch\d+$")
_MAX_NAME_BYTES = 220
"""File systems allow 255 bytes, and the name of a table is longer than that of its recording."""
_HASHED_BYTES = 2**12
_MTIME_TOLERANCE_NS = 2 * 10**9
"""The coarsest rounding of modification times on network disks; two machines may see times that differ by this."""
_UNKNOWN_LENGTH = 2**62
"""libsndfile reports a length beyond this where a FLAC file does not state one."""


@dataclass(frozen=True, slots=True)
class AudioFile:
    """A file that may be a recording.

    Attributes:
        name: unique within the run.
        path: absolute path.
        relative_path: path below the folder that was given, with ``/``.
    """

    name: str
    path: Path
    relative_path: str


# ------------------------------------------------------------------------------------------------ find


def find_recordings(inputs: Sequence[str | os.PathLike[str]]) -> list[AudioFile]:
    """Return the recordings in folders (recursively), files and glob patterns, sorted by name.

    Raises:
        UsageError: where an input does not exist or holds no recording.
    """
    if not inputs:
        raise UsageError("no recordings given: name a folder, files, or a pattern such as 'survey/*.wav'")
    locations: dict[Path, tuple[str, str]] = {}
    for text in inputs:
        try:
            matches = _expand(text)
        except OSError as error:
            raise UsageError(f"{os.fspath(text)}: cannot be read ({error.strerror or error})") from error
        paths = [(path, path.relative_to(root).as_posix()) for root, files in matches for path in files]
        if not paths:
            formats = " ".join(sorted(SUFFIXES))
            raise UsageError(f"{os.fspath(text)}: holds no recordings; supported formats: {formats}")
        for path, relative_path in paths:
            locations.setdefault(path, (relative_path, path.parents[relative_path.count("/")].name or "root"))
    names = _unique_names(locations)
    return sorted(
        (AudioFile(names[path], path, relative_path) for path, (relative_path, _) in locations.items()),
        key=lambda file: (file.name, str(file.path)),
    )


def _expand(text: str | os.PathLike[str]) -> list[tuple[Path, list[Path]]]:
    """Return root folders, each with the files below it."""
    given = Path(text)
    if not os.fspath(text):
        raise UsageError("one of the recordings has an empty name; is a variable unset?")
    if given.is_dir():
        return [(given.absolute(), _audio_files_below(given.absolute()))]
    if given.exists():
        return [(given.absolute().parent, [given.absolute()])]
    root = Path(*_parts_before_wildcard(given)).absolute()
    matches = [Path(match).absolute() for match in sorted(glob.glob(os.fspath(text), recursive=True))]  # noqa: PTH207 - absolute patterns too
    if not matches:
        raise UsageError(f"{os.fspath(text)}: no such file or folder")
    files = [match for match in matches if match.is_file() and match.suffix.lower() in SUFFIXES]
    folders = [match for match in matches if match.is_dir()]
    return [(root, files), *((root, _audio_files_below(folder)) for folder in folders)]


def _parts_before_wildcard(pattern: Path) -> Iterator[str]:
    for part in pattern.parts[:-1]:
        if any(sign in part for sign in "*?["):
            return
        yield part


def _audio_files_below(folder: Path) -> list[Path]:
    """Return the sound files in a folder and its subfolders; linked folders are followed, each once."""
    visited: set[str] = set()
    files: list[Path] = []

    def add_unreadable(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise error
        files.append(Path(error.filename))  # a subfolder that cannot be read is reported as a failed recording

    for parent, subfolders, names in os.walk(folder, onerror=add_unreadable, followlinks=True):
        if (real_path := os.path.realpath(parent)) in visited:
            subfolders.clear()
            continue
        visited.add(real_path)
        # macOS leaves "._name.wav" beside name.wav on shared disks: metadata, not sound
        files += [Path(parent, name) for name in names if _suffix(name) in SUFFIXES and not name.startswith("._")]
    return sorted(files)


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _unique_names(locations: Mapping[Path, tuple[str, str]]) -> dict[Path, str]:
    """Return a unique name for each path.

    A name is the path below the given folder without suffix. Where two agree, the suffix is added, then the given folder's
    name, then a number. Names that differ only in case, or in characters that tables cannot hold, count as equal; a name
    that looks like a channel of another recording is lengthened, too.

    Args:
        locations: for each recording, its path below the given folder, and that folder's name.
    """

    def key(name: str) -> str:
        return plain_text(name).casefold()

    def clashing(names: dict[Path, str]) -> list[Path]:
        count = Counter(map(key, names.values()))
        return [path for path, name in names.items() if count[key(name)] > 1 or _CHANNEL_NAME.search(name)]

    names = {path: str(PurePosixPath(relative_path).with_suffix("")) for path, (relative_path, _) in locations.items()}
    names |= {path: locations[path][0] for path in clashing(names)}
    names |= {path: "/".join(reversed(locations[path])) for path in clashing(names)}
    count: Counter[str] = Counter()
    for path in sorted(names):
        count[key(names[path])] += 1
        if (number := count[key(names[path])]) > 1:
            names[path] = f"{names[path]}~{number}"
    return names


# ------------------------------------------------------------------------------------------------ headers


def read_header(file: AudioFile, clock: ClockOptions | None = None) -> Recording:
    """Read the header of a recording, and correct its length where it is wrong.

    Args:
        file: the file.
        clock: what is known about the recorder's clock.

    Raises:
        RecordingError: when the file holds no sound that can be read.
    """
    path = file.path
    if len(os.fsencode(PurePosixPath(file.name).name)) > _MAX_NAME_BYTES:
        raise RecordingError(
            f"{path}: its name is too long for the names of its tables; shorten it to {_MAX_NAME_BYTES} bytes"
        )
    try:
        with path.open("rb") as stream:
            size_bytes, identity = _content_identity(stream)
            container = headers.read_container_header(stream, size_bytes) if size_bytes else None
        if size_bytes:
            with soundfile.SoundFile(path) as info:  # soundfile.info would read more
                pass
    except FileNotFoundError as error:
        raise RecordingError(f"{path}: no longer exists; restore it") from error
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read ({error.strerror or error}); check its permissions") from error
    except UnicodeError as error:
        raise RecordingError(f"{path}: its name is not valid text ({error}); rename it") from error
    except soundfile.LibsndfileError as error:
        reason = error.error_string.strip().rstrip(".")
        raise RecordingError(
            f"{path}: not a sound file that can be read ({reason}); copy it again from the recorder"
        ) from error
    if size_bytes == 0:
        raise RecordingError(f"{path}: empty file (0 bytes); copy it again from the recorder")
    n_frames, problem, layout = info.frames, "", None
    if n_frames >= _UNKNOWN_LENGTH:
        n_frames = _count_frames(path)
        problem = f"the header does not state a length; {n_frames} samples were found"
    elif container is not None and container.understates_length:
        n_frames, layout = container.available_frames, container.layout
        problem = f"the header states {container.declared_frames} samples but {n_frames} are there; all were read"
    elif container is not None and container.overstates_length:
        problem = f"cut short: the header states {container.declared_frames} samples, {container.available_frames} are there"
    if info.samplerate < MIN_RATE_HZ:
        raise RecordingError(
            f"{path}: sampled at {info.samplerate} Hz; an upcall needs {MIN_RATE_HZ} Hz, use the original recording"
        )
    if n_frames <= 0:
        raise RecordingError(f"{path}: holds a header but no samples; copy it again from the recorder")
    header = start_times.AudioHeader(info.samplerate, info.channels, n_frames, container)
    start = start_times.read_start_time(path, clock, header)
    return Recording(
        name=file.name,
        path=path,
        relative_path=file.relative_path,
        rate_hz=info.samplerate,
        n_frames=n_frames,
        channels=info.channels,
        size_bytes=size_bytes,
        start_utc=start.utc,
        time_source=start.source,
        clock_segments=start.clock_segments,
        start_local=start.local,
        recorder=start.recorder,
        clock_problem=start.problem,
        encoding=f"{info.format} {info.subtype}",
        identity=identity,
        problem=problem,
        layout=layout,
    )


def _count_frames(path: Path) -> int:
    """Count the frames of a file whose header does not state its length, by reading it.

    libsndfile ends such a file with an error and discards the block it was reading, so blocks shrink towards the end.
    """
    n_frames = 0
    for block in (2**16, 2**12, 2**8, 2**4, 1):
        with soundfile.SoundFile(path) as file, contextlib.suppress(soundfile.LibsndfileError):
            file.seek(n_frames)
            while (n_read := len(file.read(block, dtype="int16", always_2d=True))) > 0:
                n_frames += n_read
    return n_frames


# ------------------------------------------------------------------------------------------------ identity


def has_changed(recording: Recording) -> bool:
    """Return whether the file at the recording's path is another one than when its header was read.

    Raises:
        RecordingError: when it no longer exists.
        DiskError: when the disk does not answer.
    """
    path = recording.path
    try:
        with path.open("rb") as stream:
            identity = _content_identity(stream)[1]
    except (FileNotFoundError, PermissionError) as error:
        reason = error.strerror or error
        raise RecordingError(f"{path}: no longer exists ({reason}); restore it and run the same command again") from error
    except OSError as error:
        raise DiskError(
            f"{path}: cannot be read at present ({error.strerror or error}); run the same command again"
        ) from error
    (size, mtime_ns, ends), (size_then, mtime_then_ns, ends_then) = identity.split("-"), recording.identity.split("-")
    return (size, ends) != (size_then, ends_then) or abs(int(mtime_ns) - int(mtime_then_ns)) > _MTIME_TOLERANCE_NS


def content_key(recording: Recording) -> str:
    """Return a key, made of length and ends, that copies of a file share and other files almost certainly do not."""
    size, _, ends = recording.identity.split("-")
    return f"{size}-{ends}"


def _content_identity(stream: BinaryIO) -> tuple[int, str]:
    """Return the length of a file in bytes, and a text that changes with its content."""
    status = os.fstat(stream.fileno())
    ends = hashlib.sha256(stream.read(_HASHED_BYTES))
    stream.seek(max(status.st_size - _HASHED_BYTES, 0))
    ends.update(stream.read(_HASHED_BYTES))
    return status.st_size, f"{status.st_size}-{status.st_mtime_ns}-{ends.hexdigest()[:16]}"
