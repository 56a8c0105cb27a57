"""A real SLURM for tests, which are skipped where there is none.

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
_ANSWER_TIMEOUT_S = 60
_START_TIMEOUT_S = 240
_POLL_S = 0.2
_UNFINISHED = frozenset({"PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED"})


@pytest.fixture(scope="session")
def slurm() -> Iterator[None]:
    """A SLURM that accepts jobs from this process and its children; skips where there is none."""
    with pytest.MonkeyPatch.context() as environment:
        reason = _problem()
        if reason and os.environ.get("WHALESCAN_START_SLURM") == "1":
            reason = _start(environment) or _problem()
        if reason:
            pytest.skip(f"no SLURM: {reason}")
        yield


def sbatch(script: str, cwd: Path) -> str:
    """Queue a batch script.

    Args:
        script: the script's text, with its `#!` line.
        cwd: where the job runs, and where SLURM writes its output, `slurm-<job id>.out`.

    Returns:
        The job's id.
    """
    return _run("sbatch", "--parsable", stdin=script, cwd=cwd).strip().split(";")[0]


def state(job: str) -> str:
    """Return a job's state: PENDING, RUNNING, COMPLETED, CANCELLED, TIMEOUT, NODE_FAIL, ...

    It is read from the controller, because a SLURM for tests has no accounting.
    """
    found = re.search(r"\bJobState=(\w+)", _run("scontrol", "--oneliner", "show", "job", job))
    assert found is not None, f"SLURM does not know job {job}"
    return found[1]


def wait(job: str, seconds: float) -> str:
    """Wait for a job's end and return its final state.

    Raises:
        TimeoutError: when it has not ended after this time.
    """
    deadline = time.monotonic() + seconds
    while (now := state(job)) in _UNFINISHED:
        if time.monotonic() > deadline:
            raise TimeoutError(f"job {job} is still {now} after {seconds:g} s")
        time.sleep(_POLL_S)
    return now


def cancel(job: str) -> None:
    """Cancel a job, unless it has ended."""
    _run("scancel", "--quiet", job)


def _problem() -> str | None:
    """Return why SLURM does not accept jobs; None if it does."""
    try:
        answer = subprocess.run(
            ["sinfo", "--noheader", "--responding", "--format=%T"],
            check=False,
            capture_output=True,
            text=True,
            timeout=_ANSWER_TIMEOUT_S,
        )
    except FileNotFoundError:
        return "sinfo is not installed"
    except subprocess.TimeoutExpired:
        return f"sinfo does not answer within {_ANSWER_TIMEOUT_S} s"
    if answer.returncode:
        return _last_line(answer.stderr)
    accepting = {"idle", "mixed", "allocated"} & set(answer.stdout.split())
    return None if accepting else "no node accepts jobs"


def _start(environment: pytest.MonkeyPatch) -> str | None:
    """Start SLURM and set the environment for it. Returns why it does not start; None if it does."""
    try:
        started = subprocess.run([START], check=False, capture_output=True, text=True, timeout=_START_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return f"{START.name} has not finished after {_START_TIMEOUT_S} s"
    if started.returncode:
        return _last_line(started.stderr)
    for name, value in re.findall(r"^export (\w+)=(.*)$", started.stdout, re.MULTILINE):
        environment.setenv(name, value)
    return None


def _run(*command: str, stdin: str | None = None, cwd: Path | None = None) -> str:
    """Return the output of a command of SLURM; its error output is the message of a failed assertion."""
    done = subprocess.run(command, check=False, input=stdin, cwd=cwd, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"
    return done.stdout


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2] or "no reason given"
