"""The progress bar of a run: hours of audio done, speed relative to real time, workers, and the time left."""

from __future__ import annotations

import sys
from types import TracebackType

from tqdm import tqdm

_FORMAT = "{desc}{percentage:3.0f} %|{bar}| {n:.2f}/{total:.2f} h of audio [{elapsed} elapsed, {remaining} left{postfix}]"
_NOT_A_TERMINAL_S = 60
"""Interval between two lines in the output of a batch job."""


class Progress:
    """A tqdm bar that counts hours of audio."""

    def __init__(self, total_s: float, quiet: bool) -> None:
        self._total_h = total_s / 3600
        self._bar = tqdm(
            total=self._total_h,
            bar_format=_FORMAT,
            disable=quiet,
            dynamic_ncols=True,
            delay=1,  # errors at the start are shown without a bar
            mininterval=0.1 if sys.stderr.isatty() else _NOT_A_TERMINAL_S,
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()

    def add(self, sound_s: float, n_workers: int) -> None:
        """Count audio that was scored by so many worker processes."""
        self._bar.update(min(sound_s / 3600, self._total_h - self._bar.n))  # sums of parts may exceed the total slightly
        elapsed_s = self._bar.format_dict["elapsed"]
        if elapsed_s > 0:
            workers = f", {n_workers} workers" if n_workers > 1 else ""
            self._bar.set_postfix_str(f"{self._bar.n * 3600 / elapsed_s:.0f} x real time{workers}", refresh=False)

    def skip(self, sound_s: float) -> None:
        """Subtract audio that an earlier run scored from the total."""
        self._total_h -= sound_s / 3600
        self._bar.total = self._total_h
