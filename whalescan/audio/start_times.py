"""When a recording began, and how that is known.

In this order, the first that knows it is believed (``time_source`` in `Recording`):

- ``format``: the name, by the user's ``--time-format``, and the zone that it states or that ``--timezone`` gives;
- ``soundtrap-xml``: the log that SoundTrap Host writes beside the recording;
- ``harp``: the chunk of an XWAV;
- ``audiomoth-comment``: the comment in the header of an AudioMoth's file;
- ``name``: a name that states its zone, such as ``20190101T000000Z``;
- ``name-zone``: a name with a token such as ``EST`` or ``UTCm5``;
- ``name-timezone``: a name without a zone, and ``--timezone``;
- ``name-without-zone``: a name without a zone: no start, because a local time that silently becomes UTC moves calls across
  midnight;
- ``clock-unset``: 1970, what a clock shows that was not set: no start;
- ``none``: nothing tells the time.

Where two of them know the start and contradict each other, that is said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from whalescan.audio import filename_times, soundtrap, xwav
from whalescan.audio.headers import HeaderClaim
from whalescan.core import Piece, RecordingError, UsageError

_YEARS = range(1971, 2101)
"""Recorders whose clock was never set count from 1970; other years are no dates, either."""
_TOLERANCE = timedelta(seconds=2)
_ZONE_STEP = timedelta(minutes=15)
_LARGEST_OFFSET = timedelta(hours=filename_times.LARGEST_OFFSET_H)
_NAIVE_SOURCES = ("name-timezone", "name-without-zone")
_AUDIOMOTH = re.compile(
    r"Recorded at (\d\d:\d\d:\d\d)(?:[.]\d+)? (\d\d)/(\d\d)/(\d{4}) \(UTC(?:([+-])(\d{1,2})(?::(\d\d))?)?\)"
)


@dataclass(frozen=True, slots=True)
class ClockOptions:
    """What the user knows about the recorders' clocks.

    Attributes:
        timezone: zone of names that do not state one: an IANA name, ``UTC``, ``UTC-5``, or empty where it is not known.
        time_format: ``strptime`` format searched for in the file name; empty for the known conventions.
    """

    timezone: str = ""
    time_format: str = ""

    def __post_init__(self) -> None:
        if self.timezone:
            parse_zone(self.timezone)
        if self.time_format and not _states_a_date(self.time_format):
            raise UsageError(
                f"--time-format {self.time_format!r} has no year, month and day that strptime knows; try '%Y%m%d_%H%M%S'"
            )


@dataclass(frozen=True, slots=True)
class StartTime:
    """When a recording began, and how that is known.

    Attributes:
        utc: aware, in UTC; None where it is not known.
        source: how it is known, or why not, as above.
        local: what the clock in the name shows, without a zone; None where the name shows none, or a clock that was not set.
        recorder: the name before its time, which tells the files of one recorder from another's; empty where it has no time.
        template: Raven's file-name template for names like this one; empty where Raven has none.
        problem: what speaks against the start, or why a better source was not used, and what helps; empty: nothing.
        pieces: where the clock jumps within the file; empty where it runs through.
    """

    utc: datetime | None
    source: str
    local: datetime | None = None
    recorder: str = ""
    template: str = ""
    problem: str = ""
    pieces: tuple[Piece, ...] = ()


@dataclass(frozen=True, slots=True)
class Header:
    """What a recording's header says.

    Attributes:
        rate_hz: sampling rate.
        channels: number of channels.
        n_frames: samples per channel that are there.
        claim: what its chunks say; None for a format that has none.
    """

    rate_hz: int
    channels: int
    n_frames: int
    claim: HeaderClaim | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    """A start that something else than the name tells."""

    utc: datetime
    source: str
    where: str
    pieces: tuple[Piece, ...] = ()


def start_time(name: str, options: ClockOptions | None = None) -> StartTime:
    """When the recording of this file name (without folders) began, as the name alone tells."""
    return _of_name(name, options or ClockOptions())[0]


def read_clock(path: Path, options: ClockOptions | None = None, header: Header | None = None) -> StartTime:
    """When a recording began, from all that tells it: its name, the log beside it, and its header (None: cannot be read)."""
    named, is_formatted = _of_name(path.name, options or ClockOptions())
    told, problems = _beside_the_name(path, header)
    known = [one for one in told if one.utc.year in _YEARS]
    problems += [
        f"{one.where} shows {one.utc.year}, a clock that was not set; correct it" for one in told if one not in known
    ]
    others = [one for one in known if _contradict(named, one)]
    if not known or (is_formatted and (named.utc or others)):
        believed = replace(named, source="clock-unset") if told and not known and named.source == "none" else named
        by = f"the name ({_named_text(named)})" if others else ""
    else:
        first = known[0]
        believed = replace(named, utc=first.utc, source=first.source, problem="")
        by = f"{first.where} ({_text(first.utc)})"
        if first in others:
            problems.append(
                f"{by} is believed, but the name says {_named_text(named)}, which no time zone explains; if the name is "
                "right, give its --time-format, which goes before all else"
            )
        others = [one for one in known[1:] if abs(one.utc - first.utc) > _TOLERANCE]
    problems += [
        f"{one.where} says {_text(one.utc)}, but {by} is believed; correct or remove what is wrong" for one in others
    ]
    pieces = next((_begun(one.pieces, believed.utc) for one in known if one.pieces and believed.utc), ())
    return replace(believed, problem="; ".join(filter(None, [believed.problem, *problems])), pieces=pieces)


def parse_zone(text: str, option: str = "--timezone") -> tzinfo:
    """An IANA name, ``UTC``, ``UTC-5``, ``UTC-0500`` or ``-05:00`` as a time zone.

    Raises:
        UsageError: where it is none; names the option that gave it.
    """
    offset = re.fullmatch(r"(?:UTC|GMT)?([+-])(\d{1,2}):?(\d\d)?", text.strip())
    if offset:
        return filename_times.fixed_zone(f"{offset[1]}{int(offset[2]):02d}{offset[3] or '00'}")
    try:
        return UTC if text.strip().upper() in ("Z", "UTC") else ZoneInfo(text.strip())
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(f"{option} {text!r} is no time zone; use a name such as America/New_York, or UTC-5") from error


def _states_a_date(time_format: str) -> bool:
    """Whether a day in the past survives being written and read in a strptime format."""
    day = datetime(2011, 12, 13, 14, 15, 16, tzinfo=UTC)
    try:
        return datetime.strptime(day.strftime(time_format), time_format).date() == day.date()
    except ValueError:
        return False


def _of_name(name: str, options: ClockOptions) -> tuple[StartTime, bool]:
    """What a name tells, and whether it is the user's format that reads it."""
    by_format = filename_times.find_by_format(name, options.time_format) if options.time_format else None
    shown = by_format or filename_times.find(name)
    misfit = ""
    if options.time_format and by_format is None:
        misfit = f"--time-format {options.time_format!r} does not fit its name; correct it, or leave it out"
    if shown is None:
        return StartTime(None, "none", problem=misfit), False
    if shown.local.year not in _YEARS:
        unset = StartTime(None, "clock-unset", recorder=shown.before, template=shown.template, problem=misfit)
        return unset, by_format is not None
    start = StartTime(None, "name-without-zone", shown.local, shown.before, shown.template, misfit)
    given = parse_zone(options.timezone) if options.timezone else None
    for zone, source in ((shown.zone, "name"), (filename_times.zone_token(name), "name-zone"), (given, "name-timezone")):
        if zone is not None:
            utc = shown.local.replace(tzinfo=zone).astimezone(UTC)
            problem = "; ".join(filter(None, [misfit, _daylight_saving(shown.local, zone)]))
            return replace(start, utc=utc, source="format" if by_format else source, problem=problem), by_format is not None
    return start, by_format is not None


def _beside_the_name(path: Path, header: Header | None) -> tuple[list[_Known], list[str]]:
    """Starts that the log and the header tell, in the order in which they are believed, and what is wrong with them."""
    known, problems = [], []
    claim = header.claim if header else None
    try:
        if utc := soundtrap.start(path, header.rate_hz if header else None, _lengths(header)):
            known.append(_Known(utc, "soundtrap-xml", soundtrap.log_of(path).name))
    except RecordingError as error:
        problems.append(str(error))
    try:
        if header and claim and claim.harp is not None:
            pieces = xwav.pieces(claim, header.rate_hz, header.channels, header.n_frames)
            known.append(_Known(pieces[0].start_utc, "harp", "its harp chunk", pieces if len(pieces) > 1 else ()))
    except RecordingError as error:
        problems.append(str(error))
    if claim and (utc := _audiomoth(claim.comment)):
        known.append(_Known(utc, "audiomoth-comment", "its AudioMoth comment"))
    return known, problems


def _begun(pieces: tuple[Piece, ...], start_utc: datetime) -> tuple[Piece, ...]:
    """Pieces moved so that they begin when a better source says: the clock jumps within the file whoever is believed."""
    later = start_utc - pieces[0].start_utc
    return tuple(replace(piece, start_utc=piece.start_utc + later) for piece in pieces)


def _lengths(header: Header | None) -> tuple[int, ...]:
    """Samples that a log may state for a recording: of one channel, of all, and of one that has since been cut short."""
    if header is None:
        return ()
    declared = (header.claim.declared_frames,) if header.claim and header.claim.states_too_much else ()
    return (header.n_frames, *declared, header.n_frames * header.channels)


def _audiomoth(comment: str) -> datetime | None:
    """The moment in ``Recorded at 19:17:30 31/12/2019 (UTC-5) by AudioMoth ...``; None in other words, or without a zone."""
    match = _AUDIOMOTH.match(comment)
    if match is None:
        return None
    offset = timedelta(hours=int(match[6] or 0), minutes=int(match[7] or 0))
    try:
        local = datetime.fromisoformat(f"{match[4]}-{match[3]}-{match[2]}T{match[1]}").replace(tzinfo=UTC)
    except ValueError:
        return None
    return local + offset if match[5] == "-" else local - offset


def _contradict(named: StartTime, known: _Known) -> bool:
    """Whether a name shows another time than something else tells, and no zone of a whole quarter of an hour explains it."""
    if named.local is None:
        return False
    if named.source not in _NAIVE_SOURCES:
        return named.utc is not None and abs(named.utc - known.utc) > _TOLERANCE
    difference = abs(named.local.replace(tzinfo=UTC) - known.utc)
    beside = difference % _ZONE_STEP
    return difference > _LARGEST_OFFSET + _TOLERANCE or min(beside, _ZONE_STEP - beside) > _TOLERANCE


def _daylight_saving(local: datetime, zone: tzinfo) -> str:
    """What a local time that a zone skips, or has twice, says about the recorder and the zone that was given."""
    early, late = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    offsets = early.utcoffset(), late.utcoffset()
    if offsets[0] is None or offsets[1] is None or offsets[0] == offsets[1]:
        return ""
    remedy = f"--timezone {_offset_text(min(offsets[0], offsets[1]))}"
    if early.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != local:
        return (
            f"{local:%Y-%m-%d %H:%M:%S} does not exist in {zone}: the recorder does not follow daylight saving, and its "
            f"other times in summer are an hour off, too; say {remedy} if it was set to standard time"
        )
    return (
        f"{local:%Y-%m-%d %H:%M:%S} is twice in {zone}, taken for the earlier; say {remedy} if it was set to standard time"
    )


def _offset_text(offset: timedelta) -> str:
    """``UTC-5``, ``UTC+5:30``, as `parse_zone` reads it."""
    hours, minutes = divmod(abs(offset) // timedelta(minutes=1), 60)
    return f"UTC{'-' if offset < timedelta(0) else '+'}{hours}" + (f":{minutes:02d}" if minutes else "")


def _text(utc: datetime) -> str:
    return f"{utc:%Y-%m-%dT%H:%M:%S}Z"


def _named_text(named: StartTime) -> str:
    if named.utc is not None and named.source not in _NAIVE_SOURCES:
        return _text(named.utc)
    return f"{named.local:%Y-%m-%dT%H:%M:%S}"
