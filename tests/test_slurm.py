"""Batch jobs as ``docs/guides/cluster.md`` describes them, on a real SLURM."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import whalescan
from tests.builders import run_outputs
from tests.slurm import cancel, sbatch, state, wait
from tests.slurm import slurm as slurm  # noqa: PLC0414 - a fixture

PAGE = (Path(__file__).parents[1] / "docs" / "guides" / "cluster.md").read_text(encoding="utf-8")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("slurm")]


def block(language: str, contained: str) -> str:
    """Return the code block of the page that contains a text."""
    found: list[str] = [text for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if contained in text]
    assert len(found) == 1, contained
    return found[0]


@pytest.fixture(scope="module")
def here(simulated_recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `recordings/`, and with `laptop/`, the results of this machine."""
    folder = tmp_path_factory.mktemp("slurm")
    (folder / "recordings").symlink_to(simulated_recordings)
    whalescan.scan(folder / "recordings", folder / "laptop", hop_s=0.5)
    return folder


def environment(here: Path) -> dict[str, str]:
    """Return the environment of a user who has activated this one."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {
        **os.environ,
        "PATH": path,
        "DASK_CONFIG": str(here / "dask"),
        "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "30s",
    }


def test_the_batch_script_gives_the_results_of_a_laptop(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = block("bash", "#SBATCH --ntasks").replace("--ntasks=4", "--ntasks=2").replace("-o out/", "-o out/ --hop 0.5")
    for name, value in environment(here).items():
        monkeypatch.setenv(name, value)
    job = sbatch(script, here)
    ended = wait(job, 600)
    output = (here / f"slurm-{job}.out").read_text()
    assert ended == "COMPLETED", output
    assert run_outputs(here / "out") == run_outputs(here / "laptop")
    assert not list(here.glob("whalescan-*.json")), "it removes its scheduler file"


def test_a_job_that_ends_keeps_finished_recordings(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = block("bash", "#SBATCH --ntasks").replace("--ntasks=4", "--ntasks=1").replace("-o out/", "-o again/ --hop 0.5")
    for name, value in environment(here).items():
        monkeypatch.setenv(name, value)
    job = sbatch(script, here)
    log = here / "again" / "run.log"
    wait_until(lambda: log.exists() and "  scored  " in log.read_text(), 600)
    subprocess.run(["scancel", "--signal=TERM", "--batch", job], check=True)  # as SLURM does before the time limit
    wait(job, 600)
    assert not (here / "again" / "run.json").exists()
    kept = log.read_text().count("  scored  ")
    assert wait(sbatch(script, here), 600) == "COMPLETED"
    assert log.read_text().count("  kept  ") == kept
    assert run_outputs(here / "again") == run_outputs(here / "laptop")


@pytest.mark.parametrize("when", ["before it is a worker", "while it works"])
def test_worker_jobs_give_the_results_of_a_laptop_and_are_replaced(here: Path, when: str) -> None:
    out = here / f"jobs, cancelled {when}"
    settings = yaml.safe_load(block("yaml", "jobqueue:"))
    settings["jobqueue"]["slurm"] |= {"interface": "lo", "log-directory": str(here / "jobs")}
    settings["distributed"] = {"deploy": {"lost-worker-timeout": "2s"}}
    (here / "dask").mkdir(exist_ok=True)
    (here / "dask" / "jobqueue.yaml").write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "whalescan", "run", "recordings", "-o", str(out), "--hop", "0.5"]
    command += ["--jobqueue", "slurm", "--workers", "1"]
    with subprocess.Popen(command, cwd=here, env=environment(here), stderr=subprocess.PIPE, text=True) as client:
        wait_until(running, 600)
        (first,) = running()
        if when == "while it works":
            wait_until(lambda: "scored" in (out / "run.log").read_text(), 600)
        cancel(first)
        assert client.stderr is not None
        errors = client.stderr.read()
    assert client.returncode == 0, errors
    assert run_outputs(out) == run_outputs(here / "laptop")
    wait_until(lambda: not running(), 600)
    assert state(first) == "CANCELLED"


def test_rejected_jobs_are_reported_at_once(here: Path) -> None:
    command = [sys.executable, "-m", "whalescan", "run", "recordings", "-o", "refused", "--jobqueue", "slurm"]

    def run(**settings: str) -> subprocess.CompletedProcess[str]:
        env = environment(here) | {"DASK_CONFIG": str(here / "nothing")} | settings
        return subprocess.run([*command, "--workers", "1"], cwd=here, env=env, capture_output=True, text=True, check=False)

    job_description = {"DASK_JOBQUEUE__SLURM__CORES": "1", "DASK_JOBQUEUE__SLURM__MEMORY": "1GB"}
    refused = run(**job_description, DASK_JOBQUEUE__SLURM__QUEUE="nowhere")
    assert refused.returncode == 2
    assert "invalid partition specified: nowhere" in refused.stderr
    assert "Traceback" not in refused.stderr
    undescribed = run()
    assert undescribed.returncode == 2
    assert "cores and memory" in undescribed.stderr


def running() -> list[str]:
    """Return the IDs of the running worker jobs."""
    command = ["squeue", "--noheader", "--format=%i", "--name=dask-worker", "--states=RUNNING"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def wait_until(condition: Callable[[], object], seconds: float) -> None:
    """Wait until a condition is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not true after {seconds:g} s"
        time.sleep(0.2)
