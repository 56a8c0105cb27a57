"""Finding recordings and reading their headers: what a run is going to listen to."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import soundfile

from whalescan.core import Recording, RecordingError, UsageError
from whalescan.sound import headers
from whalescan.sound.clocks import ClockOptions, start_time

SUFFIXES = frozenset({".wav", ".wave", ".bwf", ".rf64", ".w64", ".aif", ".aiff", ".aifc", ".flac"})
LOWEST_RATE_HZ = 600
"""An upcall reaches 250 Hz and more; below this rate it would not fit."""
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
    below: dict[Path, tuple[PurePosixPath, Path]] = {}
    for text in inputs:
        matches = _expand(text)
        found = [(path, path.relative_to(root)) for root, paths in matches for path in paths]
        if not found:
            kinds = " ".join(sorted(SUFFIXES))
            raise UsageError(f"{os.fspath(text)}: no recordings there; whalescan reads {kinds}")
        for path, relative in found:
            root = path.parents[len(relative.parts) - 1]
            below.setdefault(path, (PurePosixPath(relative.as_posix()), root))
    names = _unique_names(below)
    return sorted(
        (Found(names[path], path, str(below[path][0])) for path in below), key=lambda found: (found.name, str(found.path))
    )


def _expand(text: str | os.PathLike[str]) -> list[tuple[Path, list[Path]]]:
    """Roots, each with the files below it."""
    given = Path(text)
    if given.is_dir():
        return [(given.absolute(), _files_below(given.absolute()))]
    if given.exists():
        return [(given.absolute().parent, [given.absolute()])]
    matches = [Path(match).absolute() for match in sorted(glob.glob(os.fspath(text), recursive=True))]  # noqa: PTH207 - absolute patterns too
    if not matches:
        raise UsageError(f"{os.fspath(text)}: no such file or folder")
    files = [match for match in matches if match.is_file() and match.suffix.lower() in SUFFIXES]
    folders = [match for match in matches if match.is_dir()]
    return [(file.parent, [file]) for file in files] + [(folder, _files_below(folder)) for folder in folders]


def _files_below(folder: Path) -> list[Path]:
    """Sound files in a folder and its subfolders; linked folders are followed, each once."""
    seen: set[str] = set()
    files = []
    for parent, subfolders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(parent)) in seen:
            subfolders.clear()
            continue
        seen.add(real)
        # "._name.wav" is what macOS leaves on shared disks beside name.wav: not sound
        files += [Path(parent, name) for name in names if _suffix(name) in SUFFIXES and not name.startswith("._")]
    return sorted(files)


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _unique_names(below: dict[Path, tuple[PurePosixPath, Path]]) -> dict[Path, str]:
    """Path below the given folder without suffix; with it, then with the folder's name and a number, where two agree.

    Names that differ only in case count as the same: tables are read on Windows too.
    """

    def settle(names: dict[Path, str], longer: dict[Path, str]) -> dict[Path, str]:
        count = Counter(name.casefold() for name in names.values())
        return {path: name if count[name.casefold()] == 1 else longer[path] for path, name in names.items()}

    relative = {path: str(name) for path, (name, _) in below.items()}
    names = settle({path: str(name.with_suffix("")) for path, (name, _) in below.items()}, relative)
    names = settle(names, {path: f"{root.name}/{relative[path]}" for path, (_, root) in below.items()})
    count: Counter[str] = Counter()
    for path in sorted(names):
        count[names[path].casefold()] += 1
        if (times := count[names[path].casefold()]) > 1:
            names[path] = f"{names[path]}~{times}"
    return names


def inspect(found: Found, clock: ClockOptions | None = None) -> Recording:
    """Read a recording's header, and past it where it is wrong.

    Raises:
        RecordingError: when no sound can be had from the file.
    """
    path = found.path
    try:
        size_bytes = path.stat().st_size
        if size_bytes == 0:
            raise RecordingError(f"{path}: empty file (0 bytes); copy it again from the recorder")
        claim = headers.examine(path)
        info = soundfile.info(path)
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read ({error.strerror or error})") from error
    except soundfile.LibsndfileError as error:
        raise RecordingError(f"{path}: not a sound file that can be read ({error.error_string.strip()})") from error
    n_frames, problem, layout = info.frames, "", None
    if n_frames >= _UNKNOWN_LENGTH:
        n_frames = _count_frames(path)
        problem = "the header does not state a length"
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
    start = start_time(path.name, clock)
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
        problem=problem,
        layout=layout,
    )


def _count_frames(path: Path) -> int:
    """Length of a file whose header does not state it, by reading it."""
    n_frames = 0
    with soundfile.SoundFile(path) as file:
        try:
            while len(block := file.read(2**16, dtype="int16", always_2d=True)):
                n_frames += len(block)
        except soundfile.LibsndfileError:
            pass  # libsndfile ends such files with an error; what came before it is the length
    return n_frames


def inspect_all(found: Iterable[Found], clock: ClockOptions | None = None) -> list[Recording | tuple[Found, RecordingError]]:
    """Inspect each file; one that cannot be read is returned with its error in its place."""
    inspected: list[Recording | tuple[Found, RecordingError]] = []
    for one in found:
        try:
            inspected.append(inspect(one, clock))
        except RecordingError as error:
            inspected.append((one, error))
    return inspected
