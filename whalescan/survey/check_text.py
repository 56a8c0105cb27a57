"""What `check` says, for a person: one screen."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime

from whalescan.core import Gap, GapKind, from_ns
from whalescan.survey.check import Checkup
from whalescan.survey.text import and_more, count, hours, kind_of, ravens_clock, row

_SHOWN = 8
_NAMES_SHOWN = 3
_NAMES = {
    GapKind.GAP: "gap",
    GapKind.OVERLAP: "overlap",
    GapKind.DUTY_CYCLE: "pause of a duty cycle",
    GapKind.UNREADABLE: "stretch that cannot be read",
    GapKind.DROPOUT: "drop-out",
}
_SOURCES = {
    "format": "names read by --time-format",
    "soundtrap-xml": "logs of SoundTraps",
    "harp": "headers of XWAVs",
    "audiomoth-comment": "headers of AudioMoths",
    "name": "names that state their zone",
    "name-zone": "names with a zone's letters",
    "name-timezone": "names in the zone of --timezone",
    "name-without-zone": "names that state no zone",
    "clock-unset": "never set",
    "none": "no time at all",
}


def screen(checkup: Checkup) -> str:
    """Recordings, clocks, gaps, problems, and how long a run will take."""
    found = checkup.recordings
    rows = {
        "sound": [f"{count(len(checkup.files), 'recording')}, {hours(sum(one.duration_s for one in found))}"],
        "formats": _counted(one.encoding for one in found),
        "rates": _counted(f"{one.rate_hz} Hz" for one in found),
        "channels": _counted(str(one.channels) for one in found),
        "clocks": _clocks(checkup),
        "Raven Pro": ravens_clock(found, checkup.clock),
        "time line": _time_line(checkup),
        "a run": [_time(checkup)],
        "problems": _problems(checkup),
    }
    return "\n".join(filter(None, (row(label, lines) for label, lines in rows.items())))


def _clocks(checkup: Checkup) -> Iterator[str]:
    """How the clocks were read, and the first few names with the times they became."""
    yield from _counted(_SOURCES.get(one.time_source, one.time_source) for one in checkup.recordings)
    shown = checkup.recordings[:_NAMES_SHOWN]
    width = max((len(one.path.name) for one in shown), default=0)
    for one in shown:
        by_name = f"{one.start_local:%Y-%m-%d %H:%M:%S} by its name, zone unknown" if one.start_local else "no time"
        yield f"{one.path.name:<{width}}  {_moment(one.start_utc) if one.start_utc else by_name}"


def _time_line(checkup: Checkup) -> Iterator[str]:
    """From when to when, what goes on in what, and where nothing was recorded, or something twice."""
    begins = [begin for one in checkup.recordings if (begin := one.utc(0))]
    ends = [end for one in checkup.recordings if (end := one.utc(one.duration_s))]
    if begins:
        yield f"{_moment(min(begins))} to {_moment(max(ends))}"
    n_joined = sum(bool(one.goes_on_in) for one in checkup.files)
    if n_joined:
        yield f"{count(n_joined, 'recording')} {'goes' if n_joined == 1 else 'go'} on in the next without a break"
    for kind, name in _NAMES.items():
        own = [gap for gap in checkup.gaps if gap.kind is kind]
        if own:
            longest = max(own, key=_length_s)
            which = f"; the longest, {hours(_length_s(longest))}," if len(own) > 1 else ","
            since = _moment(from_ns(longest.begin_ns))
            yield f"{count(len(own), name)}, {hours(sum(map(_length_s, own)))}{which} from {since} on"


def _length_s(gap: Gap) -> float:
    return (gap.end_ns - gap.begin_ns) / 1e9


def _moment(utc: datetime) -> str:
    return f"{utc:%Y-%m-%d %H:%M:%S} UTC"


def _time(checkup: Checkup) -> str:
    if checkup.times_real_time is None:
        return "how long it will take could not be measured: there is no sound amid the longest recording to score"
    return (
        f"will take about {hours(checkup.to_score_s / checkup.times_real_time)} here, "
        f"{checkup.times_real_time:,.0f} x real time, measured on one minute"
    )


def _problems(checkup: Checkup) -> Iterator[str]:
    """A path and what is wrong with it, for each kind of problem."""
    alike: dict[str, list[str]] = defaultdict(list)
    for one in checkup.files:
        for problem in one.problems:
            text = problem.replace(f"{one.path}: ", "")
            alike[kind_of(text, one.path)].append(f"{one.path}: {text}")
    if not alike:
        yield f"none; the sound of {count(checkup.n_looked_into, 'recording')} was looked into"
        return
    yield f"with {count(sum(bool(one.problems) for one in checkup.files), 'recording')}:"
    for same in sorted(alike.values(), key=len, reverse=True)[:_SHOWN]:
        yield f"{same[0]}{and_more(len(same))}"
    if len(alike) > _SHOWN:
        yield f"... and {count(len(alike) - _SHOWN, 'more kind')}; --output FILE.csv lists all"


def _counted(kinds: Iterable[str]) -> list[str]:
    """What there is, with how often there is each where there are several."""
    counts = Counter(kinds).most_common()
    if not counts:
        return []
    return [", ".join(f"{kind} ({n:,})" for kind, n in counts) if len(counts) > 1 else counts[0][0]]
