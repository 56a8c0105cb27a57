"""The errors.

::

    WhalescanError
     +- UsageError       options that cannot be, inputs that are not there          exit status 2
     +- RecordingError   a recording that cannot be read, or only in part           recorded, the run goes on
     |   +- DiskError    a recording whose disk does not answer now                 waited for, then likewise
     +- ModelError       a model file that is none, is damaged, or does not fit     exit status 2
     +- TableError       a table that is not what it claims to be                   exit status 2
     +- OutputError      results that cannot be written                             exit status 1
     +- ClusterError     machines that went away while they were needed             exit status 1
"""

from __future__ import annotations


class WhalescanError(Exception):
    """Base of all errors of this package. The text names the file, the place in it, and the remedy."""


class UsageError(WhalescanError):
    """Options or inputs with which nothing can be started."""


class RecordingError(WhalescanError):
    """A recording that cannot be read."""


class DiskError(RecordingError):
    """A recording that is there, on a disk that does not answer: another try may do better."""


class ModelError(WhalescanError):
    """A model file that is none, is damaged, or does not fit the task."""


class TableError(WhalescanError):
    """A table that is not what it claims to be."""


class OutputError(WhalescanError):
    """Results that cannot be written."""


class ClusterError(WhalescanError):
    """Machines that went away while they were needed."""
