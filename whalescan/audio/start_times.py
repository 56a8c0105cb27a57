"""When a recording began, and from which source that is known.

The first of these sources that knows the start is used (``time_source`` in `Recording`):

- ``format``: the file name by the user's ``time_format``, with the zone that the name states or that ``timezone`` gives;
- ``soundtrap-xml``: the log that SoundTrap Host writes beside the recording;
- ``harp``: the ``harp`` chunk of an XWAV;
- ``audiomoth-comment``: the comment in the header of an AudioMoth file;
- ``name``: a file name that states its zone, such as ``20190101T000000Z``;
- ``name-zone``: a file name with a token such as ``EST`` or ``UTCm5``;
- ``name-timezone``: a file name without a zone, and ``timezone``;
- ``name-without-zone``: a file name without a zone; no start, because a local time that silently becomes UTC would move
  calls across midnight;
- ``clock-unset``: 1970, which a clock shows that was never set; no start;
- ``none``: no source; no start.

Where two sources contradict each other, that is reported as a problem.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from whalescan.audio import filename_times, soundtrap, xwav
from whalescan.audio.headers import ContainerHeader
from whalescan.core import ClockSegment, RecordingError
from whalescan.core.errors import invalid

_YEARS = range(1971, 2101)
"""Clocks that were never set count from 1970; years after 2100 are not dates."""
_TOLERANCE = timedelta(seconds=2)
_OFFSET_STEP = timedelta(minutes=15)
_MAX_OFFSET = timedelta(hours=filename_times.MAX_OFFSET_H)
_NAIVE_SOURCES = ("name-timezone", "name-without-zone")
_AUDIOMOTH_COMMENT = re.compile(
    r"Recorded at (\d\d:\d\d:\d\d)(?:[.]\d+)? (\d\d)/(\d\d)/(\d{4}) \(UTC(?:([+-])(\d{1,2})(?::(\d\d))?)?\)"
)


@dataclass(frozen=True, slots=True)
class ClockOptions:
    """What the user knows about the clocks of the recorders.

    Attributes:
        timezone: zone of file names that do not state one: an IANA name, ``UTC``, ``UTC-5``; empty where it is not known.
        time_format: ``strptime`` format to search for in file names; empty for the known conventions.

    Raises:
        UsageError: for an unknown zone, or a format without a date.
    """

    timezone: str = ""
    time_format: str = ""

    def __post_init__(self) -> None:
        if self.timezone:
            parse_timezone(self.timezone)
        if self.time_format and not _has_date(self.time_format):
            raise invalid(
                "time_format", self.time_format, "a strptime format with year, month and day, such as '%Y%m%d_%H%M%S'"
            )


@dataclass(frozen=True, slots=True)
class StartTime:
    """When a recording began, and from which source that is known.

    Attributes:
        utc: aware, in UTC; None where it is not known.
        source: the source, or why there is none, as listed above.
        local: the time in the file name, without a zone; None where there is none, or where the clock was not set.
        recorder: the file name before its time, which identifies the recorder; empty where it has no time.
        raven_template: Raven's file-name template for names like this one; empty where Raven has none.
        problem: what contradicts the start, or why a better source was not used, and the remedy; empty where nothing does.
        clock_segments: where timestamps jump within the file; empty where they are continuous.
    """

    utc: datetime | None
    source: str
    local: datetime | None = None
    recorder: str = ""
    raven_template: str = ""
    problem: str = ""
    clock_segments: tuple[ClockSegment, ...] = ()


@dataclass(frozen=True, slots=True)
class AudioHeader:
    """The header of a recording.

    Attributes:
        rate_hz: sampling rate.
        channels: number of channels.
        n_frames: samples per channel that the file holds.
        container: its chunks; None for formats without.
    """

    rate_hz: int
    channels: int
    n_frames: int
    container: ContainerHeader | None = None


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A start from another source than the file name.

    Attributes:
        origin: the source as messages name it.
    """

    utc: datetime
    source: str
    origin: str
    clock_segments: tuple[ClockSegment, ...] = ()


def start_time_from_name(name: str, options: ClockOptions | None = None) -> StartTime:
    """Return the start of a recording by its file name alone (without folders)."""
    return _parse_name(name, options or ClockOptions())[0]


def read_start_time(path: Path, options: ClockOptions | None = None, header: AudioHeader | None = None) -> StartTime:
    """Return the start of a recording by all sources: its name, the log beside it, and its header.

    Args:
        path: the file, of which nothing more is read.
        options: what is known about the clock.
        header: None where it cannot be read.
    """
    named, has_format = _parse_name(path.name, options or ClockOptions())
    candidates, problems = _other_candidates(path, header)
    valid = [candidate for candidate in candidates if candidate.utc.year in _YEARS]
    problems += [
        f"{candidate.origin} shows {candidate.utc.year}: that clock was not set; correct it"
        for candidate in candidates
        if candidate not in valid
    ]
    contradicting = [candidate for candidate in valid if _contradicts(named, candidate)]
    if not valid or (has_format and (named.utc or contradicting)):
        is_unset = bool(candidates) and not valid and named.source == "none"
        start = replace(named, source="clock-unset") if is_unset else named
        used = f"the name ({_text_of_name(named)})" if contradicting else ""
    else:
        best = valid[0]
        start = replace(named, utc=best.utc, source=best.source, problem="")
        used = f"{best.origin} ({_text(best.utc)})"
        if best in contradicting:
            problems.append(
                f"{used} is used, but the name says {_text_of_name(named)}, which no time zone explains; if the name is "
                "right, give its time_format, which has precedence"
            )
        contradicting = [candidate for candidate in valid[1:] if abs(candidate.utc - best.utc) > _TOLERANCE]
    problems += [
        f"{candidate.origin} says {_text(candidate.utc)}, but {used} is used; correct or remove the wrong one"
        for candidate in contradicting
    ]
    with_segments = [candidate.clock_segments for candidate in valid if candidate.clock_segments]
    return replace(
        start,
        problem="; ".join(filter(None, [start.problem, *problems])),
        clock_segments=_shifted(with_segments[0], start.utc) if with_segments and start.utc else (),
    )


def parse_timezone(text: str, parameter: str = "timezone") -> tzinfo:
    """Return the time zone of an IANA name, ``UTC``, ``UTC-5``, ``UTC-0500`` or ``-05:00``.

    Args:
        text: the name or offset.
        parameter: the parameter that holds it, for the error.

    Raises:
        UsageError: for anything else.
    """
    try:
        if offset := re.fullmatch(r"(?:UTC|GMT)?([+-])(\d{1,2}):?(\d\d)?", text.strip()):
            return filename_times.parse_offset(f"{offset[1]}{int(offset[2]):02d}{offset[3] or '00'}")
        return UTC if text.strip().upper() in ("Z", "UTC") else ZoneInfo(text.strip())
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise invalid(parameter, text, "a time zone such as America/New_York, or an offset such as UTC-5") from error


def _has_date(time_format: str) -> bool:
    """Return whether a day survives being written and read in a ``strptime`` format."""
    day = datetime(2011, 12, 13, 14, 15, 16, tzinfo=UTC)
    try:
        return datetime.strptime(day.strftime(time_format), time_format).date() == day.date()
    except ValueError:
        return False


def _parse_name(name: str, options: ClockOptions) -> tuple[StartTime, bool]:
    """Return the start by a file name, and whether the user's format was found in it."""
    by_format = filename_times.find_time_by_format(name, options.time_format) if options.time_format else None
    time = by_format or filename_times.find_time(name)
    mismatch = ""
    if options.time_format and by_format is None:
        mismatch = f"the time_format {options.time_format!r} does not fit its name; correct it, or leave it out"
    if time is None:
        return StartTime(None, "none", problem=mismatch), False
    if time.local.year not in _YEARS:
        unset = StartTime(None, "clock-unset", recorder=time.prefix, raven_template=time.raven_template, problem=mismatch)
        return unset, by_format is not None
    start = StartTime(None, "name-without-zone", time.local, time.prefix, time.raven_template, mismatch)
    given = parse_timezone(options.timezone) if options.timezone else None
    for zone, source in ((time.zone, "name"), (filename_times.zone_token(name), "name-zone"), (given, "name-timezone")):
        if zone is not None:
            utc = time.local.replace(tzinfo=zone).astimezone(UTC)
            problem = "; ".join(filter(None, [mismatch, _daylight_saving_problem(time.local, zone)]))
            return replace(start, utc=utc, source="format" if by_format else source, problem=problem), by_format is not None
    return start, by_format is not None


def _other_candidates(path: Path, header: AudioHeader | None) -> tuple[list[_Candidate], list[str]]:
    """Return the starts by the log and by the header, in order of precedence, and what is wrong with these."""
    candidates, problems = [], []
    container = header.container if header else None
    try:
        if utc := soundtrap.read_start(path, header.rate_hz if header else None, _possible_lengths(header)):
            candidates.append(_Candidate(utc, "soundtrap-xml", soundtrap.log_path(path).name))
    except RecordingError as error:
        problems.append(str(error))
    try:
        if header and container and container.harp_chunk is not None:
            segments = xwav.read_clock_segments(container, header.rate_hz, header.channels, header.n_frames)
            if_several = segments if len(segments) > 1 else ()
            candidates.append(_Candidate(segments[0].start_utc, "harp", "its harp chunk", if_several))
    except RecordingError as error:
        problems.append(str(error))
    if container and (utc := _audiomoth_start(container.comment)):
        candidates.append(_Candidate(utc, "audiomoth-comment", "its AudioMoth comment"))
    return candidates, problems


def _shifted(segments: tuple[ClockSegment, ...], start_utc: datetime) -> tuple[ClockSegment, ...]:
    """Return clock segments moved to another start: timestamps jump within the file whichever source gives the start."""
    shift = start_utc - segments[0].start_utc
    return tuple(replace(segment, start_utc=segment.start_utc + shift) for segment in segments)


def _possible_lengths(header: AudioHeader | None) -> tuple[int, ...]:
    """Return the sample counts that a log may state: of one channel, before the file was cut short, of all channels."""
    if header is None:
        return ()
    container = header.container
    declared = (container.declared_frames,) if container and container.overstates_length else ()
    return (header.n_frames, *declared, header.n_frames * header.channels)


def _audiomoth_start(comment: str) -> datetime | None:
    """Return the time in ``Recorded at 19:17:30 31/12/2019 (UTC-5) by AudioMoth ...``; None for any other comment."""
    match = _AUDIOMOTH_COMMENT.match(comment)
    if match is None:
        return None
    offset = timedelta(hours=int(match[6] or 0), minutes=int(match[7] or 0))
    try:
        local = datetime.fromisoformat(f"{match[4]}-{match[3]}-{match[2]}T{match[1]}").replace(tzinfo=UTC)
    except ValueError:
        return None
    return local + offset if match[5] == "-" else local - offset


def _contradicts(named: StartTime, candidate: _Candidate) -> bool:
    """Return whether a file name shows another time than a candidate, which no zone (whole quarter hours) explains."""
    if named.local is None:
        return False
    if named.source not in _NAIVE_SOURCES:
        return named.utc is not None and abs(named.utc - candidate.utc) > _TOLERANCE
    difference = abs(named.local.replace(tzinfo=UTC) - candidate.utc)
    rest = difference % _OFFSET_STEP
    return difference > _MAX_OFFSET + _TOLERANCE or min(rest, _OFFSET_STEP - rest) > _TOLERANCE


def _daylight_saving_problem(local: datetime, zone: tzinfo) -> str:
    """Return what is wrong with a local time that a zone skips or repeats; empty for any other time."""
    early, late = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    offsets = early.utcoffset(), late.utcoffset()
    if offsets[0] is None or offsets[1] is None or offsets[0] == offsets[1]:
        return ""
    remedy = f"set `timezone` to {_offset_text(min(offsets[0], offsets[1]))} if it was set to standard time"
    if early.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != local:
        return (
            f"{local:%Y-%m-%d %H:%M:%S} does not exist in {zone}: the recorder does not follow daylight saving time, "
            f"and its other times in summer are wrong by an hour, too; {remedy}"
        )
    return f"{local:%Y-%m-%d %H:%M:%S} occurs twice in {zone}, the first is assumed; {remedy}"


def _offset_text(offset: timedelta) -> str:
    """Return an offset as `parse_timezone` reads it: ``UTC-5``, ``UTC+5:30``."""
    hours, minutes = divmod(abs(offset) // timedelta(minutes=1), 60)
    return f"UTC{'-' if offset < timedelta(0) else '+'}{hours}" + (f":{minutes:02d}" if minutes else "")


def _text(utc: datetime) -> str:
    return f"{utc:%Y-%m-%dT%H:%M:%S}Z"


def _text_of_name(named: StartTime) -> str:
    if named.utc is not None and named.source not in _NAIVE_SOURCES:
        return _text(named.utc)
    return f"{named.local:%Y-%m-%dT%H:%M:%S}"
