"""Peak memory of a run at 96 kHz, from 10 minutes to 24 hours, with sparse files of constant samples."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.sparse import sparse_wav
from benchmarks.table import Row

RATE_HZ = 96_000
LENGTHS_MIN = {"10 minutes": 10, "1 hour": 60, "4 hours": 240, "24 hours": 1440}
_PEAK = """
import sys, psutil, threading, time, whalescan
peak, done = 0, False
def watch():
    global peak
    while not done:
        peak = max(peak, psutil.Process().memory_info().rss)
        time.sleep(0.05)
watcher = threading.Thread(target=watch); watcher.start()
survey = whalescan.scan(sys.argv[1])
done = True; watcher.join()
assert survey.exit_code == 0, survey.files
print(peak)
"""


def measure() -> list[Row]:
    """Return the rows of the table."""
    rows: list[Row] = []
    for name, minutes in LENGTHS_MIN.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "constant.wav")
            sparse_wav(path, RATE_HZ, minutes * 60 * RATE_HZ, n_bits=8)
            command = [sys.executable, "-c", _PEAK, str(path)]
            peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        rows.append({"what": f"peak memory, {name} at {RATE_HZ // 1000} kHz", "MB": round(peak / 1e6)})
    return rows
