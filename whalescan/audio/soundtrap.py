"""When a SoundTrap's recording began, as the log beside it says.

SoundTrap Host writes ``<name>.log.xml`` beside each recording. The recording's name shows the clock of the computer that set
the recorder up; the log has the start in UTC. It holds facts of every file that was made of a recording, also of the clips
of its click detector, in blocks by number (mbari-org/pbp, issue 72): the block of this recording is told by its count of
samples and by its suffix. What else reads these logs: PAMGuard and mbari-org/pbp.
"""

from __future__ import annotations

import errno
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path

from whalescan.audio.filename_times import FIXED_ZONES, fixed_zone
from whalescan.core import RecordingError, UsageError

_LARGEST_BYTES = 2**24
_START = "SamplingStartTimeUTC"
_TOLERANCE_S = 1.0
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)([.]\d{1,6})?\s*(Z|[+-]\d\d:?\d\d|[A-Z]{3})?")
_MICROSECONDS = re.compile(r"(\d{1,6})\s*(?:us)?")
_SOURCE = re.compile(r"([^\\/]+)\.(?:sud|wav|dtg)", re.IGNORECASE)
_REMEDY = "copy it again from the recorder's folder, or remove it"


@dataclass(slots=True)
class _Block:
    """What a log says of one file that was made of the recording."""

    suffix: str = ""
    rate_hz: int | None = None
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def n_samples(self) -> int | None:
        """None where the log does not say, or says that there are none, which some versions write for any recording."""
        text = self.facts.get("SampleCount", "").strip()
        return (int(text) or None) if text.isdecimal() else None

    def lasts(self, rate_hz: int, n_frames: Sequence[int]) -> bool:
        """Whether it is as long as a recording, which may since have been resampled."""
        assert self.n_samples is not None
        rates = {rate_hz, self.rate_hz or rate_hz}
        return any(abs(self.n_samples / rate - n / rate_hz) <= _TOLERANCE_S for rate in rates for n in n_frames)


def log_of(recording: Path) -> Path:
    """Where the log of a recording lies, if there is one."""
    return recording.with_name(f"{recording.stem}.log.xml")


def start(recording: Path, rate_hz: int | None = None, n_frames: Sequence[int] = ()) -> datetime | None:
    """Start of a recording in UTC by the log beside it; None where there is none.

    Args:
        recording: the sound file.
        rate_hz: its sampling rate; None where its header cannot be read.
        n_frames: lengths that the log may state for it; none: any will do.

    Raises:
        RecordingError: for a log that cannot be read, does not tell the start, or is of another recording.
    """
    log = log_of(recording)
    try:
        with log.open("rb") as file:
            content = file.read(_LARGEST_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise RecordingError(f"{log.name}: cannot be read ({error.strerror or error}); look at its permissions") from error
    root = _parse(log, content)
    blocks = [block for block in _blocks(root) if _START in block.facts]
    if not blocks:
        raise RecordingError(f"{log.name}: has no {_START}, so it tells no start; {_REMEDY}")
    _check_name(log, root, recording)
    if rate_hz is not None and n_frames:
        blocks = _as_long(log, blocks, rate_hz, n_frames)
    blocks = [block for block in blocks if block.suffix == "wav"] or blocks
    starts = {_moment(log, block) for block in blocks}
    if len(starts) > 1:
        raise RecordingError(f"{log.name}: tells {len(starts)} starts, and not which is this recording's; leave one in it")
    return starts.pop()


def _parse(log: Path, content: bytes) -> ET.Element:
    if b"<!DOCTYPE" in content:
        raise RecordingError(
            f"{log.name}: has a document type that may define entities, which no recorder does, and is not read; {_REMEDY}"
        )
    try:
        return ET.fromstring(content)  # noqa: S314 - without entities there is nothing that could grow
    except (ET.ParseError, LookupError, ValueError) as error:  # the last two: an encoding that is none
        raise RecordingError(f"{log.name}: is no XML or ends too early ({error}); {_REMEDY}") from error


def _blocks(root: ET.Element) -> Iterator[_Block]:
    """Facts of one file: the elements of one number, until one of their facts is told again."""
    kinds = {one.get("ID", ""): one for one in root.iter("CFG")}
    current: dict[str, _Block] = {}
    parents = [(one.get("ID", ""), one.iter("WavFileHandler")) for one in root.iter("PROC_EVENT")]
    for number, elements in parents or [("", root.iter("WavFileHandler"))]:
        for element in elements:
            block = current.get(number)
            if block is None or block.facts.keys() & (element.attrib.keys() - {"Info"}):
                if block is not None:
                    yield block
                block = current[number] = _Block(*_kind(kinds.get(number)))
            block.facts.update(element.attrib)
    yield from current.values()


def _kind(element: ET.Element | None) -> tuple[str, int | None]:
    """Suffix and sampling rate of the files that a number stands for."""
    if element is None:
        return "", None
    rate = (element.findtext("FS") or "").strip()
    return (element.findtext("SUFFIX") or "").strip().casefold(), (int(rate) or None) if rate.isdecimal() else None


def _check_name(log: Path, root: ET.Element, recording: Path) -> None:
    """A log that names the file it was made from must name this one, or what this one's name was made from."""
    for element in root.iter("INPUTFILE"):
        if source := _SOURCE.search(element.get("NAME") or element.text or ""):
            stem, own = source[1].strip().casefold(), recording.stem.casefold()
            if stem not in own and own not in stem:
                raise RecordingError(f"{log.name}: is of another recording, {source[0].strip()}; {_REMEDY}")


def _as_long(log: Path, blocks: Sequence[_Block], rate_hz: int, n_frames: Sequence[int]) -> list[_Block]:
    counted = [block for block in blocks if block.n_samples is not None]
    fitting = [block for block in counted if block.lasts(rate_hz, n_frames)]
    if found := fitting or [block for block in blocks if block.n_samples is None]:
        return found
    stated = " or ".join(str(block.n_samples) for block in counted)
    raise RecordingError(
        f"{log.name}: is of another recording, of {stated} samples where this one has {n_frames[0]}; {_REMEDY}"
    )


def _moment(log: Path, block: _Block) -> datetime:
    text = block.facts[_START].strip()
    match = _TIME.fullmatch(text)
    try:
        if match is None:
            raise ValueError("not a date and time such as 2019-01-01T00:00:00")
        moment = datetime.fromisoformat(f"{match[1]}T{match[2]}").replace(tzinfo=_zone(match[4] or "Z"))
    except (ValueError, UsageError) as error:
        raise RecordingError(
            f"{log.name}: {_START} {text!r} cannot be read ({error}); correct it, or remove the file"
        ) from error
    parts = round(float(match[3] or 0) * 10**6)
    if more := _MICROSECONDS.fullmatch(block.facts.get("SamplingStartTimeSubS", "").strip()):
        parts = parts or int(more[1])
    return moment.astimezone(UTC) + timedelta(microseconds=parts)


def _zone(text: str) -> tzinfo:
    if text == "Z" or text[0] in "+-":
        return fixed_zone(text)
    if text not in FIXED_ZONES:
        raise ValueError(f"{text} is no zone that is known")
    return timezone(timedelta(hours=FIXED_ZONES[text]))
