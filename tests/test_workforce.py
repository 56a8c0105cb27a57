"""Who is asked to work, and what a device without enough memory does."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import recording_of
from whalescan.config import WorkOptions
from whalescan.core import UsageError
from whalescan.detector.scoring import Scorer
from whalescan.detector.spec import find_model
from whalescan.engine import machine, plan, workforce
from whalescan.engine.machine import GPU
from whalescan.engine.worker import Task, UnfitError, score_chunk

NVIDIA_SMI = """#!/bin/sh
[ "$1 $2" = "--query-gpu=uuid --format=csv,noheader" ] || exit 1
echo GPU-11111111-aaaa
echo GPU-22222222-bbbb
"""


@pytest.mark.parametrize("n_threads", [1, 2, 4, 5, 16, 33])
def test_the_cores_of_a_machine_are_shared_among_a_few_processes(n_threads: int) -> None:
    specs = machine._specs(n_threads, [])
    shares = [spec["options"]["nthreads"] for spec in specs.values()]
    assert sum(shares) == n_threads
    assert max(shares) <= 4
    assert max(shares) - min(shares) <= 1
    assert all(spec["options"]["resources"] == {} for spec in specs.values())


def test_each_gpu_has_a_process_that_sees_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(NVIDIA_SMI)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert machine._gpus() == ["GPU-11111111-aaaa", "GPU-22222222-bbbb"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5,7")
    specs = machine._specs(8, machine._gpus())
    assert [spec["options"]["env"]["CUDA_VISIBLE_DEVICES"] for spec in specs.values()] == ["2", "5", "7"]
    assert all(spec["options"]["resources"] == {GPU: 1} for spec in specs.values())
    assert all(spec["options"]["nthreads"] >= 2 for spec in specs.values()), "one reads while another scores"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert machine._gpus() == [], "hidden on purpose"


def test_a_machine_without_gpus_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine._gpus() == []
    broken = tmp_path / "nvidia-smi"
    broken.write_text("#!/bin/sh\necho no driver\nexit 9\n")
    broken.chmod(0o755)
    assert machine._gpus() == []


def test_a_batch_that_memory_does_not_hold_is_scored_in_parts_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    model = find_model()
    grid = model.spec.grid(0.5)
    sound = (0.1 * np.random.default_rng(5).standard_normal(40_000)).astype(np.float32)
    whole = Scorer(model, torch.device("cpu"), 32).score(sound, grid, 37)
    scorer, tried = Scorer(model, torch.device("cpu"), 32), []
    score = scorer._score

    def small(windows: torch.Tensor) -> object:
        tried.append(len(windows))
        if len(windows) > 10:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return score(windows)

    monkeypatch.setattr(scorer, "_score", small)
    parts = scorer.score(sound, grid, 37)
    assert tried == [32, 16, 8, 8, 8, 8, 5], "halved until it fits, and not tried whole again"
    assert scorer.note == "out of memory on cpu with 32 windows at a time: went on with 8"
    np.testing.assert_allclose(parts.scores, whole.scores, atol=0.01)
    monkeypatch.setattr(scorer, "_score", lambda _: (_ for _ in ()).throw(torch.cuda.OutOfMemoryError("none at all")))
    with pytest.raises(torch.cuda.OutOfMemoryError):
        scorer.score(sound, grid, 1)


def test_a_worker_of_another_version_scores_nothing(sea: Path) -> None:
    model = find_model()
    task = Task(model, model.spec.grid(0.5), "cpu", 32, version="0.0.1")
    (chunk, *_) = plan.chunks(recording_of(next(sea.glob("*.wav"))), 1, task.grid, 32)
    with pytest.raises(UnfitError, match=r"where the run has 0\.0\.1; install the same there") as refused:
        score_chunk(chunk, task)
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value), "it travels to the client"


def test_options_that_contradict_each_other() -> None:
    with pytest.raises(UsageError, match="choose one of slurm, pbs, sge, lsf"):
        WorkOptions(jobqueue="condor", workers=1)
    with pytest.raises(UsageError, match="leave out --scheduler"):
        WorkOptions(jobqueue="slurm", workers=1, scheduler="tcp://127.0.0.1:1")
    with pytest.raises(UsageError, match="--workers N"):
        WorkOptions(jobqueue="slurm")


def test_little_sound_is_scored_here_and_much_in_processes_of_its_own() -> None:
    with workforce.workforce(WorkOptions(workers=3, in_processes=True), 60) as workers:
        assert workers.shares_memory
        assert (workers.census().n_workers, workers.census().n_threads) == (1, 3)
        assert not workers.census().has_gpus
    with workforce.workforce(WorkOptions(workers=2, in_processes=True, device="cpu"), 3600) as workers:
        assert not workers.shares_memory
        assert workers.census().n_threads == 2
    with workforce.workforce(WorkOptions(workers=2), 3600) as workers:
        assert workers.shares_memory, "a script would be started again in each process"
