"""Who is asked to work, and what a device without enough memory does."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import recording_of
from whalescan.core import UsageError
from whalescan.detector.model_spec import find_model
from whalescan.detector.scorer import Scorer
from whalescan.engine import chunking, cluster, gpus, local_cluster
from whalescan.engine.gpus import Gpu, gpus_for, processes_each, suited_batch_size
from whalescan.engine.worker import Task, UnfitError, score_chunk
from whalescan.options import WorkOptions
from whalescan.survey.job import batch_size

NVIDIA_SMI = """#!/bin/sh
[ "$1 $2" = "--query-gpu=index,uuid,memory.total,compute_mode --format=csv,noheader,nounits" ] || exit 1
echo "0, GPU-11111111-aaaa, 143771, Default"
echo "1, GPU-22222222-bbbb, 4096, Exclusive_Process"
echo "2, GPU-33333333-cccc, [N/A], Default"
"""
BIG, SMALL = Gpu("GPU-11111111-aaaa", 143_771, is_shared=True), Gpu("GPU-22222222-bbbb", 4096)


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with three GPUs."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text(NVIDIA_SMI)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpus, "_torch_has_cuda", lambda: True)


@pytest.mark.parametrize("n_threads", [1, 2, 4, 5, 16, 33])
def test_the_cores_of_a_machine_are_shared_among_a_few_processes(n_threads: int) -> None:
    specs = local_cluster._specs(n_threads, [], "auto")
    shares = [spec["options"]["nthreads"] for spec in specs.values()]
    assert sum(shares) == n_threads
    assert max(shares) <= 4
    assert max(shares) - min(shares) <= 1
    assert all(spec["options"]["env"] == {} for spec in specs.values())


@pytest.mark.usefixtures("nvidia_smi")
def test_gpus_are_known_by_what_a_user_may_call_them(monkeypatch: pytest.MonkeyPatch) -> None:
    nameless = Gpu("GPU-33333333-cccc", None, is_shared=True)
    assert gpus_for("auto") == gpus_for("cuda") == [BIG, SMALL, nameless]
    assert (gpus_for("cuda:1"), gpus_for("cuda:3"), gpus_for("cuda:x"), gpus_for("cpu")) == ([SMALL], [], [], [])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,GPU-111,MIG-9")
    assert gpus_for("auto") == [replace(SMALL, name="1"), replace(BIG, name="GPU-111"), Gpu("MIG-9")]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus_for("auto") == [], "hidden on purpose"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(gpus, "_torch_has_cuda", lambda: False)
    assert gpus_for("auto") == [], "a torch that cannot use them"


def test_a_gpu_is_shared_by_as_many_processes_as_it_and_the_cores_bear() -> None:
    assert processes_each([BIG], 16) == 4
    assert processes_each([BIG], 64) == 4
    assert processes_each([BIG], 8) == 2
    assert processes_each([BIG], 2) == 1
    assert processes_each([BIG] * 4, 16) == 1
    assert processes_each([replace(BIG, memory_mb=16_000)], 16) == 2
    assert processes_each([replace(BIG, memory_mb=None)], 16) == 1, "nobody says how much memory it has"
    assert processes_each([BIG, SMALL], 64) == 1, "one is for a single process only"


def test_processes_see_their_own_gpu_only() -> None:
    specs = local_cluster._specs(16, [BIG, replace(BIG, name="2")], "auto")
    assert [spec["options"]["env"]["CUDA_VISIBLE_DEVICES"] for spec in specs.values()] == [BIG.name] * 2 + ["2"] * 2
    assert [spec["options"]["nthreads"] for spec in specs.values()] == [4] * 4
    one = local_cluster._specs(2, [BIG], "auto")[0]["options"]
    assert one["nthreads"] == 3, "two score, and one reads"
    assert local_cluster._specs(16, [BIG], "cuda:1")[0]["options"]["env"] == {}, "a number among all of them"


@pytest.mark.parametrize(
    ("memory_mb", "windows"), [(None, 32), (100, 32), (2000, 128), (2048, 256), (4095, 256), (4096, 512), (143_771, 512)]
)
def test_batches_are_as_large_as_memory_allows(memory_mb: int | None, windows: int) -> None:
    assert suited_batch_size([BIG, Gpu("other", memory_mb)]) == windows
    assert suited_batch_size([]) == 32


@pytest.mark.usefixtures("nvidia_smi")
def test_who_says_a_batch_size_gets_it() -> None:
    assert batch_size(WorkOptions()) == 32, "what the smallest is known to hold"
    assert batch_size(WorkOptions(device="cuda:0")) == 512
    assert batch_size(WorkOptions(device="cuda:0", batch_size=7)) == 7
    assert batch_size(WorkOptions(scheduler="tcp://there:8786")) == 32
    assert batch_size(WorkOptions(device="cpu")) == 32


def test_a_machine_without_gpus_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus_for("auto") == []
    broken = tmp_path / "nvidia-smi"
    broken.write_text("#!/bin/sh\necho no driver\nexit 9\n")
    broken.chmod(0o755)
    assert gpus_for("auto") == []


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
    (chunk, *_) = chunking.chunks(recording_of(next(sea.glob("*.wav"))), 1, task.grid, 32)
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
    with cluster.workforce(WorkOptions(workers=3, in_processes=True), 60) as workers:
        assert workers.shares_memory
        assert (workers.census().n_workers, workers.census().n_threads) == (1, 3)
        assert not workers.census().has_gpus
    with cluster.workforce(WorkOptions(workers=2, in_processes=True, device="cpu"), 3600) as workers:
        assert not workers.shares_memory
        assert workers.census().n_threads == 2
    with cluster.workforce(WorkOptions(workers=2), 3600) as workers:
        assert workers.shares_memory, "a script would be started again in each process"
