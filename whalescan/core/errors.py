"""The errors of this package, each also of the built-in kind that fits.

::

    WhalescanError
     +- UsageError       (ValueError)    invalid options, or inputs that are absent        exit status 2
     +- RecordingError   (OSError)       a recording that cannot be read in full           recorded; the run continues
     |   +- DiskError                    its disk does not answer at present               retried, then the same
     +- ModelError       (ValueError)    a model file that is absent, damaged or unsuited  exit status 2
     +- TableError       (ValueError)    a table that is absent, damaged or something else exit status 2
     +- OutputError      (OSError)       results that cannot be written                    exit status 1
     +- ClusterError     (RuntimeError)  workers or a scheduler lost during the work       exit status 1
"""

from __future__ import annotations

import re

_INVALID = re.compile(r"invalid (\w+) ")


class WhalescanError(Exception):
    """Base of all errors of this package. The text names the file, the place in it, and the remedy."""


class UsageError(WhalescanError, ValueError):
    """An invalid option, or an input that does not exist; nothing has been started.

    Args:
        message: names parameters as Python does (``hop_s``); the command line replaces them by its options (``--hop``).
        parameter: the parameter that is invalid, where it is one; by default that of a message ``invalid PARAMETER ...``.
    """

    def __init__(self, message: str, *, parameter: str | None = None) -> None:
        super().__init__(message)
        named = _INVALID.match(message)
        self.parameter = named[1] if parameter is None and named else parameter


class RecordingError(WhalescanError, OSError):
    """A recording that cannot be read."""


class DiskError(RecordingError):
    """A recording on a disk that does not answer at present: another attempt may succeed."""


class ModelError(WhalescanError, ValueError):
    """A model file that is absent, damaged, or does not fit the task."""


class TableError(WhalescanError, ValueError):
    """A table or a folder of results that is absent, damaged, or something else."""


class OutputError(WhalescanError, OSError):
    """Results that cannot be written."""


class ClusterError(WhalescanError, RuntimeError):
    """Workers or a scheduler that were lost during the work."""


def invalid(parameter: str, value: object, expected: str) -> UsageError:
    """Return the error ``invalid PARAMETER VALUE: expected EXPECTED``.

    Args:
        parameter: name of the parameter in Python, such as ``hop_s``.
        value: what was given.
        expected: what would be valid, such as ``a value above 0 and at most 2.0``.
    """
    return UsageError(f"invalid {parameter} {value!r}: expected {expected}", parameter=parameter)
