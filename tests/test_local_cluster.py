"""Workers of this machine: threads, processes and GPUs; and clients that a Python program passes."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pynvml
import pytest
from distributed import Client, LocalCluster

import whalescan
from tests.builders import read_recording
from tests.fake_scorer import use_fake_scorer
from whalescan.core import UsageError
from whalescan.detector.model_spec import find_model
from whalescan.engine import local_cluster, process_settings, worker
from whalescan.engine.chunking import Chunk, whole_channel
from whalescan.engine.cluster import worker_pool
from whalescan.engine.local_cluster import Gpu, find_gpus, processes_per_gpu, suggest_batch_size, worker_specs
from whalescan.engine.process_settings import InterruptHandler
from whalescan.engine.worker import ScoredChunk, ScoringTask, WorkerMismatchError, score_chunk
from whalescan.options import WorkOptions
from whalescan.survey.settings import batch_size

BIG, SMALL = Gpu("GPU-11111111-aaaa", 143_771, allows_sharing=True), Gpu("GPU-22222222-bbbb", 4096)
UNKNOWN_MEMORY = Gpu("GPU-33333333-cccc", None, allows_sharing=True)


@pytest.fixture
def three_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver with three GPUs, and a torch that can use them."""
    gpus = [BIG, SMALL, UNKNOWN_MEMORY]

    def memory(handle: int) -> SimpleNamespace:
        memory_mb = gpus[handle].memory_mb
        if memory_mb is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(total=memory_mb << 20)

    def compute_mode(handle: int) -> int:
        shared, exclusive = pynvml.NVML_COMPUTEMODE_DEFAULT, pynvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS
        return int(shared if gpus[handle].allows_sharing else exclusive)

    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: len(gpus))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: index)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUUID", lambda handle: gpus[handle].name)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", memory)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeMode", compute_mode)
    monkeypatch.setattr(local_cluster, "version", lambda _package: "2.8.0+cu128")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize("n_threads", [1, 2, 4, 5, 16, 33])
def test_processes_share_the_threads(n_threads: int) -> None:
    specs = worker_specs(n_threads, [], "auto")
    threads = [spec["options"]["nthreads"] for spec in specs.values()]
    assert sum(threads) == n_threads
    assert max(threads) <= 4
    assert max(threads) - min(threads) <= 1
    assert all(spec["options"]["env"] == {} for spec in specs.values())


@pytest.mark.usefixtures("three_gpus")
def test_gpus_are_found_by_number_and_by_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_gpus("auto") == find_gpus("cuda") == [BIG, SMALL, UNKNOWN_MEMORY]
    assert (find_gpus("cuda:1"), find_gpus("cuda:3"), find_gpus("cuda:x"), find_gpus("cpu")) == ([SMALL], [], [], [])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,GPU-111,MIG-9")
    assert find_gpus("auto") == [replace(SMALL, name="1"), replace(BIG, name="GPU-111"), Gpu("MIG-9")]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert find_gpus("auto") == [], "none is visible"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(local_cluster, "version", lambda _package: "2.8.0+cpu")
    assert find_gpus("auto") == [], "torch without CUDA"


def test_a_machine_without_a_driver_has_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(local_cluster, "version", lambda _package: "2.8.0+cu128")
    monkeypatch.setattr(pynvml, "nvmlInit", no_driver)
    assert find_gpus("auto") == []


@pytest.mark.usefixtures("three_gpus")
def test_a_driver_that_fails_has_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(_handle: int) -> str:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetUUID", lost)
    assert find_gpus("auto") == []


def test_memory_and_threads_limit_the_processes_of_a_gpu() -> None:
    assert processes_per_gpu([BIG], 16) == 4
    assert processes_per_gpu([BIG], 64) == 4
    assert processes_per_gpu([BIG], 8) == 2
    assert processes_per_gpu([BIG], 2) == 1
    assert processes_per_gpu([BIG] * 4, 16) == 1
    assert processes_per_gpu([replace(BIG, memory_mb=16_000)], 16) == 2
    assert processes_per_gpu([replace(BIG, memory_mb=None)], 16) == 1, "unknown memory"
    assert processes_per_gpu([BIG, SMALL], 64) == 1, "one of them cannot be shared"


def test_processes_see_only_their_own_gpu() -> None:
    specs = worker_specs(16, [BIG, replace(BIG, name="2")], "auto")
    assert [spec["options"]["env"]["CUDA_VISIBLE_DEVICES"] for spec in specs.values()] == [BIG.name] * 2 + ["2"] * 2
    assert [spec["options"]["nthreads"] for spec in specs.values()] == [4] * 4
    only = worker_specs(2, [BIG], "auto")[0]["options"]
    assert only["nthreads"] == 3, "two score, and one reads"
    assert worker_specs(16, [BIG], "cuda:1")[0]["options"]["env"] == {}, "the number counts all GPUs"


@pytest.mark.parametrize(
    ("memory_mb", "windows"), [(None, 32), (100, 32), (2000, 128), (2048, 256), (4095, 256), (4096, 512), (143_771, 512)]
)
def test_batches_are_as_large_as_memory_allows(memory_mb: int | None, windows: int) -> None:
    assert suggest_batch_size([BIG, Gpu("other", memory_mb)]) == windows
    assert suggest_batch_size([]) == 32


@pytest.mark.usefixtures("three_gpus")
def test_a_given_batch_size_is_used() -> None:
    assert batch_size(WorkOptions()) == 32, "that of the GPU of unknown memory"
    assert batch_size(WorkOptions(device="cuda:0")) == 512
    assert batch_size(WorkOptions(device="cuda:0", batch_size=7)) == 7
    assert batch_size(WorkOptions(scheduler="tcp://there:8786")) == 32
    assert batch_size(WorkOptions(client=object())) == 32
    assert batch_size(WorkOptions(device="cpu")) == 32


def test_a_worker_of_another_version_scores_nothing(simulated_recordings: Path) -> None:
    model = find_model()
    task = ScoringTask(model, "cpu", 32, version="0.0.1")
    chunk = whole_channel(read_recording(next(simulated_recordings.glob("*.wav"))), 1, (), model.spec)
    with pytest.raises(WorkerMismatchError, match=r"0\.0\.1") as mismatch:
        score_chunk(chunk, task)
    assert str(pickle.loads(pickle.dumps(mismatch.value))) == str(mismatch.value), "it travels to the client"


@pytest.mark.parametrize(
    ("parameter", "options"),
    [
        ("jobqueue", {"jobqueue": "condor", "workers": 1}),
        ("jobqueue", {"jobqueue": "slurm", "workers": 1, "scheduler": "tcp://127.0.0.1:1"}),
        ("workers", {"jobqueue": "slurm"}),
        ("client", {"client": object(), "scheduler": "tcp://127.0.0.1:1"}),
    ],
)
def test_options_that_contradict_each_other(parameter: str, options: dict[str, object]) -> None:
    with pytest.raises(UsageError) as refused:
        WorkOptions(**options)  # type: ignore[arg-type]
    assert refused.value.parameter == parameter


@pytest.mark.slow
def test_short_surveys_use_threads_and_long_ones_processes() -> None:
    with worker_pool(WorkOptions(workers=3, in_processes=True), 60) as workers:
        assert workers.shares_memory
        assert (workers.counts().n_workers, workers.counts().n_threads) == (1, 3)
        assert not workers.counts().has_gpus
    with worker_pool(WorkOptions(workers=2, in_processes=True, device="cpu"), 3600) as workers:
        assert not workers.shares_memory
        assert workers.counts().n_threads == 2
    with worker_pool(WorkOptions(workers=2), 3600) as workers:
        assert workers.shares_memory, "a script would be started again in each process"


# Clients of the caller


@pytest.fixture(scope="module")
def thread_client() -> Iterator[Client]:
    """A client whose workers are threads of this process."""
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0", memory_limit=0
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def test_a_client_of_the_caller_is_used_and_stays_open(thread_client: Client) -> None:
    with worker_pool(WorkOptions(client=thread_client), 1e9) as workers:
        assert workers.client is thread_client
        assert workers.location == thread_client.scheduler.address, "messages name its address"
        assert workers.shares_memory
        assert workers.counts().n_threads == 2
    assert thread_client.status == "running"
    assert thread_client.submit(sum, [1, 2]).result() == 3


def test_a_client_that_is_closed_is_refused() -> None:
    with LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0") as cluster:
        client = Client(cluster)
        client.close()
        with pytest.raises(UsageError) as refused, worker_pool(WorkOptions(client=client), 60):
            pass
    assert refused.value.parameter == "client"


# Settings of this process


def test_a_library_call_changes_no_setting_of_its_process(
    simulated_recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_fake_scorer(monkeypatch)
    monkeypatch.setattr("whalescan.engine.worker.configure_for_scoring", lambda: pytest.fail("it changes the process"))
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    during = []
    score = worker.score_chunk

    def record_and_score(chunk: Chunk, task: ScoringTask) -> ScoredChunk:
        during.append([signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)])
        return score(chunk, task)

    monkeypatch.setattr(worker, "score_chunk", record_and_score)
    variables = dict(os.environ)
    whalescan.scan(simulated_recordings, tmp_path, hop_s=1.0)
    changed = {name for name in os.environ if os.environ[name] != variables.get(name)}
    assert not {name for name in changed if not name.startswith("KMP_")}, "scikit-learn sets these when it is imported"
    assert during
    assert all(found == handlers for found in during)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_a_process_that_is_not_protected_is_configured(simulated_recordings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_scorer(monkeypatch)
    model = find_model()
    configured = []
    monkeypatch.setattr("whalescan.engine.worker.configure_for_scoring", lambda: configured.append(True))
    for protected_process, n_configured in ((process_settings.process_id(), 0), ("", 1), ("elsewhere:1", 2)):
        task = ScoringTask(model, "cpu", 32, protected_process=protected_process)
        chunk = whole_channel(read_recording(next(simulated_recordings.glob("*.wav"))), 1, (), model.spec)
        score_chunk(chunk, task)
        assert len(configured) == n_configured


def test_the_second_signal_interrupts_at_once() -> None:
    before = signal.getsignal(signal.SIGTERM)
    requested = []
    with InterruptHandler() as interrupt_handler:
        requested.append(interrupt_handler.is_requested)
        signal.raise_signal(signal.SIGTERM)
        requested.append(interrupt_handler.is_requested)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert requested == [False, True]
    assert signal.getsignal(signal.SIGTERM) is before


def test_signals_are_left_alone_unless_enabled() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with InterruptHandler(is_enabled=False):
        assert signal.getsignal(signal.SIGTERM) is before


class _SignalsWhenDeleted:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_second_signal_within_a_finaliser_is_not_lost() -> None:
    with InterruptHandler() as handler:
        signal.raise_signal(signal.SIGINT)
        assert (handler.is_requested, handler.is_forced) == (True, False)
        finalised = _SignalsWhenDeleted()
        del finalised  # Python drops the KeyboardInterrupt
        assert handler.is_forced
