"""What Dask loads first into worker processes of this machine: they neither end with Ctrl-C nor write to the terminal.

Ctrl-C reaches every process of a terminal; it is the client that says when workers end, and what there is to say.
"""

from __future__ import annotations

import logging
import signal

from distributed import Worker


def dask_setup(_worker: Worker) -> None:
    """Called by Dask when a worker starts."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
