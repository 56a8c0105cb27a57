"""``run.log``: what happened when, with one line for every recording of a run."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from whalescan.core import OutputError, plain_text

LOG = "run.log"


class Logbook:
    """A file to which every run in a folder adds its lines: a UTC time, a word, and what it is about.

    Raises:
        OutputError: where it cannot be written.
    """

    def __init__(self, output: Path) -> None:
        path = output / LOG
        try:
            self._file = path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror or error}); choose another --output") from error

    def __enter__(self) -> Logbook:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self.write("stopped", str(error) or type(error).__name__)
        try:
            self._file.close()
        except OSError:
            return  # a full disk has been reported where results were written

    def write(self, word: str, about: str) -> None:
        """Add a line. A disk that is full stops a run where results are written, not here."""
        try:
            self._file.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}  {word:<8}  {plain_text(about)}\n")
        except OSError:
            return
