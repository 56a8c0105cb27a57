"""Start of a SoundTrap recording, from the log beside it.

SoundTrap Host writes ``<name>.log.xml`` beside each recording. The name of the recording shows the clock of the computer
that configured the recorder; the log has the start in UTC. It describes every file that was made from a recording, also the
clips of its click detector, in blocks by number (mbari-org/pbp, issue 72); the block of this recording is recognised by its
sample count and its suffix. PAMGuard and mbari-org/pbp read these logs, too.
"""

from __future__ import annotations

import errno
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path

from whalescan.audio.filename_times import FIXED_ZONES, parse_offset
from whalescan.core import RecordingError

_MAX_BYTES = 2**24
_START = "SamplingStartTimeUTC"
_TOLERANCE_S = 1.0
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)([.]\d{1,6})?\s*(Z|[+-]\d\d:?\d\d|[A-Z]{3})?")
_MICROSECONDS = re.compile(r"(\d{1,6})\s*(?:us)?")
_SOURCE_NAME = re.compile(r"([^\\/]+)\.(?:sud|wav|dtg)", re.IGNORECASE)
_REMEDY = "copy it again from the recorder's folder, or remove it"


@dataclass(slots=True)
class _LogBlock:
    """Entries of a log on one file that was made from the recording."""

    suffix: str = ""
    rate_hz: int | None = None
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def n_samples(self) -> int | None:
        """Sample count; None where the log states none, or 0, which some versions write for any recording."""
        text = self.attributes.get("SampleCount", "").strip()
        return (int(text) or None) if text.isdecimal() else None

    def has_length(self, rate_hz: int, n_frames: Sequence[int]) -> bool:
        """Return whether it is as long as a recording, which may have been resampled."""
        assert self.n_samples is not None
        rates = {rate_hz, self.rate_hz or rate_hz}
        return any(abs(self.n_samples / rate - n / rate_hz) <= _TOLERANCE_S for rate in rates for n in n_frames)


def log_path(recording: Path) -> Path:
    """Return where the log of a recording lies, if there is one."""
    return recording.with_name(f"{recording.stem}.log.xml")


def read_start(recording: Path, rate_hz: int | None = None, n_frames: Sequence[int] = ()) -> datetime | None:
    """Return the start of a recording in UTC by the log beside it; None where there is no log.

    Args:
        recording: the sound file.
        rate_hz: its sampling rate; None where its header cannot be read.
        n_frames: sample counts that the log may state for it; empty: any.

    Raises:
        RecordingError: for a log that cannot be read, states no start, or belongs to another recording.
    """
    log = log_path(recording)
    try:
        with log.open("rb") as file:
            content = file.read(_MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise RecordingError(f"{log.name}: cannot be read ({error.strerror or error}); check its permissions") from error
    root = _parse(log, content)
    blocks = [block for block in _blocks(root) if _START in block.attributes]
    if not blocks:
        raise RecordingError(f"{log.name}: contains no {_START}; {_REMEDY}")
    _check_name(log, root, recording)
    if rate_hz is not None and n_frames:
        blocks = _blocks_of_length(log, blocks, rate_hz, n_frames)
    blocks = [block for block in blocks if block.suffix == "wav"] or blocks
    starts = {_parse_start(log, block) for block in blocks}
    if len(starts) > 1:
        raise RecordingError(f"{log.name}: contains {len(starts)} start times; remove all but that of this recording")
    return starts.pop()


def _parse(log: Path, content: bytes) -> ET.Element:
    if b"<!DOCTYPE" in content:
        raise RecordingError(
            f"{log.name}: not read, since it has a document type declaration, which no recorder writes; {_REMEDY}"
        )
    try:
        return ET.fromstring(content)  # noqa: S314 - safe without entities
    except (ET.ParseError, LookupError, ValueError) as error:  # the last two: an invalid encoding
        raise RecordingError(f"{log.name}: not valid XML, or incomplete ({error}); {_REMEDY}") from error


def _blocks(root: ET.Element) -> Iterator[_LogBlock]:
    """Yield the block of each file: the elements with one number, until an attribute is repeated."""
    configurations = {element.get("ID", ""): element for element in root.iter("CFG")}
    current: dict[str, _LogBlock] = {}
    events = [(event.get("ID", ""), event.iter("WavFileHandler")) for event in root.iter("PROC_EVENT")]
    for number, elements in events or [("", root.iter("WavFileHandler"))]:
        for element in elements:
            block = current.get(number)
            if block is None or block.attributes.keys() & (element.attrib.keys() - {"Info"}):
                if block is not None:
                    yield block
                block = current[number] = _LogBlock(*_suffix_and_rate(configurations.get(number)))
            block.attributes.update(element.attrib)
    yield from current.values()


def _suffix_and_rate(element: ET.Element | None) -> tuple[str, int | None]:
    """Return suffix and sampling rate of the files of a configuration."""
    if element is None:
        return "", None
    rate = (element.findtext("FS") or "").strip()
    return (element.findtext("SUFFIX") or "").strip().casefold(), (int(rate) or None) if rate.isdecimal() else None


def _check_name(log: Path, root: ET.Element, recording: Path) -> None:
    """Check that a log which names its source file names this recording, or the file that its name was made from."""
    for element in root.iter("INPUTFILE"):
        if source := _SOURCE_NAME.search(element.get("NAME") or element.text or ""):
            stem, own = source[1].strip().casefold(), recording.stem.casefold()
            if stem not in own and own not in stem:
                raise RecordingError(f"{log.name}: belongs to another recording, {source[0].strip()}; {_REMEDY}")


def _blocks_of_length(log: Path, blocks: Sequence[_LogBlock], rate_hz: int, n_frames: Sequence[int]) -> list[_LogBlock]:
    with_count = [block for block in blocks if block.n_samples is not None]
    matching = [block for block in with_count if block.has_length(rate_hz, n_frames)]
    if found := matching or [block for block in blocks if block.n_samples is None]:
        return found
    stated = " or ".join(str(block.n_samples) for block in with_count)
    raise RecordingError(
        f"{log.name}: belongs to another recording, of {stated} samples; this one has {n_frames[0]}; {_REMEDY}"
    )


def _parse_start(log: Path, block: _LogBlock) -> datetime:
    text = block.attributes[_START].strip()
    match = _TIME.fullmatch(text)
    try:
        if match is None:
            raise ValueError("not a date and time such as 2019-01-01T00:00:00")
        moment = datetime.fromisoformat(f"{match[1]}T{match[2]}").replace(tzinfo=_parse_zone(match[4] or "Z"))
    except ValueError as error:
        raise RecordingError(f"{log.name}: invalid {_START} {text!r} ({error}); correct it, or remove the file") from error
    microseconds = round(float(match[3] or 0) * 10**6)
    if fraction := _MICROSECONDS.fullmatch(block.attributes.get("SamplingStartTimeSubS", "").strip()):
        microseconds = microseconds or int(fraction[1])
    return moment.astimezone(UTC) + timedelta(microseconds=microseconds)


def _parse_zone(text: str) -> tzinfo:
    if text == "Z" or text[0] in "+-":
        return parse_offset(text)
    if text not in FIXED_ZONES:
        raise ValueError(f"unknown zone {text}")
    return timezone(timedelta(hours=FIXED_ZONES[text]))
