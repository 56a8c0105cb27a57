"""Batch jobs as the cluster page has them, on a real SLURM."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

import whalescan
from tests.slurm import cancel, sbatch, state, wait
from tests.slurm import slurm as slurm  # noqa: PLC0414 - a fixture

PAGE = (Path(__file__).parents[1] / "docs" / "cluster.md").read_text(encoding="utf-8")
TIME_KEEPING = {"run.json", "report.html", "run.log", ".lock", ".lock-holder"}
pytestmark = pytest.mark.usefixtures("slurm")


def block(language: str, holding: str) -> str:
    """The block of code on the page that holds a text."""
    found: list[str] = [text for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if holding in text]
    assert len(found) == 1, holding
    return found[0]


def contents(out: Path) -> dict[str, bytes]:
    files = [path for path in out.rglob("*") if path.is_file() and path.name not in TIME_KEEPING]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def here(sea: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `recordings/`, and with `laptop/`, which is what this machine makes of them."""
    folder = tmp_path_factory.mktemp("slurm")
    (folder / "recordings").symlink_to(sea)
    whalescan.scan(folder / "recordings", folder / "laptop", hop=0.5)
    return folder


def environment(here: Path) -> dict[str, str]:
    """This environment's programs first, as a user's activated one has them; and small chunks, so that there are several."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {
        **os.environ,
        "PATH": path,
        "DASK_CONFIG": str(here / "dask"),
        "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "30s",
    }


def test_the_batch_script_of_the_page_gives_what_a_laptop_gives(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = block("bash", "#SBATCH --ntasks").replace("--ntasks=4", "--ntasks=2").replace("-o out/", "-o out/ --hop 0.5")
    for name, value in environment(here).items():
        monkeypatch.setenv(name, value)
    job = sbatch(script, here)
    ended = wait(job, 120)
    said = (here / f"slurm-{job}.out").read_text()
    assert ended == "COMPLETED", said
    assert contents(here / "out") == contents(here / "laptop")
    assert not list(here.glob("whalescan-*.json")), "its scheduler file is gone"


def test_a_job_that_ends_keeps_what_was_finished(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = block("bash", "#SBATCH --ntasks").replace("--ntasks=4", "--ntasks=1").replace("-o out/", "-o again/ --hop 0.5")
    for name, value in environment(here).items():
        monkeypatch.setenv(name, value)
    job = sbatch(script, here)
    log = here / "again" / "run.log"
    until(lambda: log.exists() and "  scored  " in log.read_text(), 120)
    subprocess.run(["scancel", "--signal=TERM", "--batch", job], check=True)  # as SLURM does before the time limit
    wait(job, 60)
    assert not (here / "again" / "run.json").exists()
    kept = log.read_text().count("  scored  ")
    assert wait(sbatch(script, here), 120) == "COMPLETED"
    assert log.read_text().count("  kept  ") == kept
    assert contents(here / "again") == contents(here / "laptop")


@pytest.mark.parametrize("when", ["before it is a worker", "while it works"])
def test_jobs_as_workers_give_what_a_laptop_gives_and_are_replaced(here: Path, when: str) -> None:
    out = here / f"jobs, cancelled {when}"
    settings = yaml.safe_load(block("yaml", "jobqueue:"))
    settings["jobqueue"]["slurm"] |= {"interface": "lo", "log-directory": str(here / "jobs")}
    settings["distributed"] = {"deploy": {"lost-worker-timeout": "2s"}}
    (here / "dask").mkdir(exist_ok=True)
    (here / "dask" / "jobqueue.yaml").write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "whalescan", "run", "recordings", "-o", str(out), "--hop", "0.5"]
    command += ["--jobqueue", "slurm", "--workers", "1"]
    with subprocess.Popen(command, cwd=here, env=environment(here), stderr=subprocess.PIPE, text=True) as client:
        until(running, 60)
        (first,) = running()
        if when == "while it works":
            until(lambda: "scored" in (out / "run.log").read_text(), 60)
        cancel(first)
        assert client.stderr is not None
        said = client.stderr.read()
    assert client.returncode == 0, said
    assert contents(out) == contents(here / "laptop")
    until(lambda: not running(), 30)
    assert state(first) == "CANCELLED"


def test_a_queue_that_refuses_is_said_at_once(here: Path) -> None:
    command = [sys.executable, "-m", "whalescan", "run", "recordings", "-o", "refused", "--jobqueue", "slurm"]

    def run(**settings: str) -> subprocess.CompletedProcess[str]:
        env = environment(here) | {"DASK_CONFIG": str(here / "nothing")} | settings
        return subprocess.run([*command, "--workers", "1"], cwd=here, env=env, capture_output=True, text=True, check=False)

    described = {"DASK_JOBQUEUE__SLURM__CORES": "1", "DASK_JOBQUEUE__SLURM__MEMORY": "1GB"}
    refused = run(**described, DASK_JOBQUEUE__SLURM__QUEUE="nowhere")
    assert refused.returncode == 2
    assert "invalid partition specified: nowhere" in refused.stderr
    assert "Traceback" not in refused.stderr
    undescribed = run()
    assert undescribed.returncode == 2
    assert "does not say cores and memory of a job" in undescribed.stderr


def running() -> list[str]:
    """Ids of the workers' jobs that run."""
    command = ["squeue", "--noheader", "--format=%i", "--name=dask-worker", "--states=RUNNING"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def until(is_so: object, seconds: float) -> None:
    """Wait for something to be so."""
    assert callable(is_so)
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)
