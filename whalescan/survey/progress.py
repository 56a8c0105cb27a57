"""One line while a run works: hours of sound done, how many times faster than real time, workers, and the time left."""

from __future__ import annotations

import sys
from types import TracebackType

from tqdm import tqdm

_FORMAT = "{desc}{percentage:3.0f} %|{bar}| {n:.2f}/{total:.2f} h of sound [{elapsed} gone, {remaining} left{postfix}]"
_IN_A_FILE_S = 60
"""Between two lines where nobody watches, as in the output of a batch job."""


class Progress:
    """A tqdm bar that counts hours of sound."""

    def __init__(self, total_s: float, quiet: bool) -> None:
        self._total_h = total_s / 3600
        self._n_workers = 0
        self._bar = tqdm(
            total=self._total_h,
            bar_format=_FORMAT,
            disable=quiet,
            dynamic_ncols=True,
            delay=1,  # what goes wrong at once is said without a bar
            mininterval=0.1 if sys.stderr.isatty() else _IN_A_FILE_S,
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()

    def add(self, sound_s: float, n_workers: int) -> None:
        """Count sound that has been scored, and say how many worker processes are there."""
        self._bar.update(min(sound_s / 3600, self._total_h - self._bar.n))  # sums of parts may pass the whole by a hair
        elapsed_s = self._bar.format_dict["elapsed"]
        if elapsed_s > 0:
            workers = f", {n_workers} workers" if n_workers > 1 else ""
            self._bar.set_postfix_str(f"{self._bar.n * 3600 / elapsed_s:.0f} x real time{workers}", refresh=False)

    def skip(self, sound_s: float) -> None:
        """Leave out sound that was scored by an earlier run."""
        self._total_h -= sound_s / 3600
        self._bar.total = self._total_h

    def note(self, text: str) -> None:
        """Print a line above the bar, where there is one."""
        if not self._bar.disable:
            self.warn(text)

    def warn(self, text: str) -> None:
        """Print a line that a user must see."""
        tqdm.write(text, file=sys.stderr)
