"""A real SLURM for tests: found if it runs, started if that is allowed, and otherwise a reason to skip.

`scripts/start-slurm` starts one on this machine; with WHALESCAN_START_SLURM=1 in the environment, the fixture calls it.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

START = Path(__file__).parents[1] / "scripts" / "start-slurm"
_PATIENCE_S = 5
_INSTALLING_S = 240
_POLL_S = 0.2
_UNFINISHED = frozenset({"PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED"})


@pytest.fixture(scope="session")
def slurm() -> Iterator[None]:
    """A SLURM that takes jobs, in this process's environment and its children's; skips where there is none."""
    with pytest.MonkeyPatch.context() as environment:
        reason = _unanswered()
        if reason and os.environ.get("WHALESCAN_START_SLURM") == "1":
            reason = _start(environment) or _unanswered()
        if reason:
            pytest.skip(f"no SLURM: {reason}")
        yield


def sbatch(script: str, cwd: Path) -> str:
    """Queue a batch script.

    Args:
        script: the script's text, with its `#!` line.
        cwd: where the job runs, and where SLURM writes what it says, as `slurm-<job id>.out`.

    Returns:
        The job's id.
    """
    return _said("sbatch", "--parsable", stdin=script, cwd=cwd).strip().split(";")[0]


def state(job: str) -> str:
    """A job's state in SLURM's words: PENDING, RUNNING, COMPLETED, CANCELLED, TIMEOUT, NODE_FAIL, ...

    It reads what the controller remembers, not the accounts, which a SLURM for tests does not keep.
    """
    found = re.search(r"\bJobState=(\w+)", _said("scontrol", "--oneliner", "show", "job", job))
    assert found is not None, f"SLURM says nothing of job {job}"
    return found[1]


def wait(job: str, seconds: float) -> str:
    """Wait for a job's end and return the state in which it ended.

    Raises:
        TimeoutError: it had not ended after so many seconds.
    """
    deadline = time.monotonic() + seconds
    while (now := state(job)) in _UNFINISHED:
        if time.monotonic() > deadline:
            raise TimeoutError(f"job {job} is still {now} after {seconds:g} s")
        time.sleep(_POLL_S)
    return now


def cancel(job: str) -> None:
    """Cancel a job; one that has ended already is left as it is."""
    _said("scancel", "--quiet", job)


def _unanswered() -> str | None:
    """Why SLURM takes no jobs; None if it does."""
    try:
        answer = subprocess.run(
            ["sinfo", "--noheader", "--responding", "--format=%T"],
            check=False,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
        )
    except FileNotFoundError:
        return "sinfo is not installed"
    except subprocess.TimeoutExpired:
        return f"sinfo does not answer within {_PATIENCE_S} s"
    if answer.returncode:
        return _last_line(answer.stderr)
    taking = {"idle", "mixed", "allocated"} & set(answer.stdout.split())
    return None if taking else "sinfo names no node that takes jobs"


def _start(environment: pytest.MonkeyPatch) -> str | None:
    """Start SLURM and point the environment at it; why not, if it does not start."""
    try:
        started = subprocess.run([START], check=False, capture_output=True, text=True, timeout=_INSTALLING_S)
    except subprocess.TimeoutExpired:
        return f"{START.name} has not finished after {_INSTALLING_S} s"
    if started.returncode:
        return _last_line(started.stderr)
    for name, value in re.findall(r"^export (\w+)=(.*)$", started.stdout, re.MULTILINE):
        environment.setenv(name, value)
    return None


def _said(*command: str, stdin: str | None = None, cwd: Path | None = None) -> str:
    """What a command of SLURM's printed; what it complained of becomes the test's failure."""
    done = subprocess.run(command, check=False, input=stdin, cwd=cwd, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"
    return done.stdout


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2] or "no reason given"
