"""What `check` says, for a person: one screen."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from whalescan.core import Gap, GapKind, from_ns
from whalescan.sound.clocks import start_time
from whalescan.survey.checkup import Checkup, name_examples
from whalescan.survey.summary import count, hours, kind_of
from whalescan.tables.files import iso_utc

_SHOWN = 8
_NAMES = {
    GapKind.GAP: "gap",
    GapKind.OVERLAP: "overlap",
    GapKind.DUTY_CYCLE: "pause of a duty cycle",
    GapKind.UNREADABLE: "stretch that cannot be read",
    GapKind.DROPOUT: "drop-out",
}


def screen(checkup: Checkup) -> str:
    """Recordings, clocks, gaps, problems, and how long a run will take."""
    return "\n".join([*_sound(checkup), *_clocks(checkup), *_gaps(checkup), *_problems(checkup), *_time(checkup)])


def _sound(checkup: Checkup) -> Iterator[str]:
    found = checkup.recordings
    yield f"{count(len(checkup.files), 'recording')}, {hours(sum(one.duration_s for one in found))} of sound"
    yield f"formats:   {_counted(one.encoding for one in found)}"
    yield f"rates:     {_counted(f'{one.rate_hz} Hz' for one in found)}"
    yield f"channels:  {_counted(str(one.channels) for one in found)}"


def _clocks(checkup: Checkup) -> Iterator[str]:
    found = checkup.recordings
    yield f"clocks:    {_counted(one.time_source for one in found)}"
    for name, moment in name_examples(checkup):
        yield f"           {name} -> {moment}"
    template = next((t for one in found if (t := start_time(one.path.name, checkup.clock).template)), "")
    if template:
        yield f"           in Raven, set the file name template {template} to see clock times"
    spans = [one for one in found if one.start_utc is not None]
    if spans:
        begin, end = min(one.utc(0) for one in spans), max(one.utc(one.duration_s) for one in spans)  # type: ignore[type-var]  # all have a clock
        yield f"           from {iso_utc(begin)} to {iso_utc(end)}"
    n_joined = sum(bool(one.goes_on_in) for one in checkup.files)
    if n_joined:
        yield f"           {count(n_joined, 'recording')} {'goes' if n_joined == 1 else 'go'} on in the next without a break"


def _gaps(checkup: Checkup) -> Iterator[str]:
    for kind, name in _NAMES.items():
        own = [gap for gap in checkup.gaps if gap.kind is kind]
        if own:
            total_s = sum(gap.end_ns - gap.begin_ns for gap in own) / 1e9
            longest = max(own, key=lambda gap: gap.end_ns - gap.begin_ns)
            yield f"{count(len(own), name)}, {hours(total_s)}; the longest {_described(longest)}"


def _described(gap: Gap) -> str:
    return f"{hours((gap.end_ns - gap.begin_ns) / 1e9)} from {iso_utc(from_ns(gap.begin_ns))}"


def _problems(checkup: Checkup) -> Iterator[str]:
    alike: dict[str, list[str]] = defaultdict(list)
    for one in checkup.files:
        for problem in one.problems:
            text = problem.replace(f"{one.path}: ", "")
            alike[kind_of(text, one.path)].append(f"{one.path}: {text}")
    if not alike:
        yield f"no problems found; the sound of {count(checkup.n_looked_into, 'recording')} was looked into"
        return
    yield f"problems with {count(sum(bool(one.problems) for one in checkup.files), 'recording')}:"
    for same in sorted(alike.values(), key=len, reverse=True)[:_SHOWN]:
        yield f"  {same[0]}" + (f" (and {len(same) - 1:,} more such)" if len(same) > 1 else "")
    if len(alike) > _SHOWN:
        yield f"  ... and {len(alike) - _SHOWN:,} more kinds; --output FILE.csv lists all"


def _time(checkup: Checkup) -> Iterator[str]:
    if checkup.times_real_time:
        sound_s = sum(one.duration_s for one in checkup.recordings)
        yield (
            f"a run will take about {hours(sound_s / checkup.times_real_time)} here: "
            f"{checkup.times_real_time:,.0f} x real time, measured on one minute"
        )


def _counted(kinds: Iterable[str]) -> str:
    return ", ".join(f"{kind} ({n:,})" for kind, n in Counter(kinds).most_common())
