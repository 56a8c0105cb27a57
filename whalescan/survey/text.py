"""Numbers, lengths of time, rows and problems as people read them: what `run` and `check` print is made of these."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from whalescan.audio import timeline
from whalescan.audio.start_times import ClockOptions, start_time
from whalescan.core import Recording

_PLURALS = {
    "pause of a duty cycle": "pauses of a duty cycle",
    "stretch that cannot be read": "stretches that cannot be read",
}
_TEMPLATES_SHOWN = 3
_LABEL_WIDTH = 12
_WIDTH = 100
_NO_CLOCK = {
    "name-without-zone": "its name states no time zone; say --timezone UTC, or the zone that the recorder was set to",
    "clock-unset": "its clock was not set; rename it to when it began",
    "none": "nothing tells when it began; give --time-format, or rename it",
}


def count(n: int, noun: str) -> str:
    """A number with its noun: ``1 call``, ``1,000 calls``."""
    return f"{n:,} {noun if n == 1 else _PLURALS.get(noun, f'{noun}s')}"


def hours(seconds: float) -> str:
    """A length of time in the unit that suits it: ``36 seconds``, ``15.0 minutes``, ``1,234.5 hours``."""
    if seconds < 60:
        return f"{seconds:.0f} second{'' if round(seconds) == 1 else 's'}"
    return f"{seconds / 60:.1f} minutes" if seconds < 3600 else f"{seconds / 3600:,.1f} hours"


def no_clock(recording: Recording) -> str:
    """Why nobody knows when a recording began, and what helps; empty where it is known."""
    return "" if recording.start_utc is not None else _NO_CLOCK.get(recording.time_source, _NO_CLOCK["none"])


def ravens_clock(recordings: Sequence[Recording], clock: ClockOptions) -> Iterator[str]:
    """What Raven has to be told to show clock times, and where they would be wrong."""
    templates = {t: None for one in recordings if (t := start_time(one.path.name, clock).template)}
    if templates:
        named = " or ".join(list(templates)[:_TEMPLATES_SHOWN])
        yield f"to see clock times there, set its file name template to {named}"
    if not timeline.is_in_order(recordings):
        yield "the order of names is not that of time: its clock is right for single recordings only"


def kind_of(problem: str, path: Path) -> str:
    """A problem without the names, numbers and times in it: the same for problems of a kind."""
    words = re.split(r"[\s:;,()]+", problem.replace(str(path), ""))
    return " ".join(word for word in words if word.isalpha() and word != path.stem)


def and_more(n_alike: int) -> str:
    """What stands behind one of several that are alike; empty where it is the only one."""
    return f" (and {n_alike - 1:,} more such)" if n_alike > 1 else ""


def row(label: str, lines: Iterable[str]) -> str:
    """Lines in a column of their own, with a label before the first; empty where there are none."""
    return "\n".join(f"{label if i == 0 else '':<{_LABEL_WIDTH}}{line}" for i, line in enumerate(lines))


def wrapped(sentence: str) -> list[str]:
    """A long sentence as lines for a `row`."""
    return textwrap.wrap(sentence, _WIDTH - _LABEL_WIDTH, break_long_words=False, break_on_hyphens=False)
