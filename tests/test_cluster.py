"""Runs on Dask clusters of several processes: the same results, whatever happens to workers, schedulers and clients."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dask
import numpy as np
import psutil
import pytest
from distributed import Client

import whalescan
from tests import processes
from tests.builders import run_outputs, write_sound
from tests.dask_cluster import Cluster, dask_cluster, wait_until, worker_processes
from tests.fake_scorer import CHUNK_COLUMNS, use_fake_scorer
from tests.worker_preload import DEADLY_SAMPLE, FOLDER_VARIABLE
from whalescan.core import UsageError
from whalescan.engine import chunking, cluster, local_cluster, retry, worker_check
from whalescan.engine.cluster import WorkerCounts, WorkerPool, worker_pool
from whalescan.options import ScoreOptions, WorkOptions
from whalescan.survey.run import run
from whalescan.survey.settings import SurveyJob

pytestmark = pytest.mark.slow
HOP_S, BATCH_SIZE = 0.5, 4
N_KILLS = int(os.environ.get("WHALESCAN_TEST_KILLS", "8"))
SCHEDULER_LOST = "lost the Dask scheduler"
STOPPING = "press Ctrl-C again to stop at once"
DEADLY_NAME = "20260401_000200"
SHORT_NAME = "20260401_000350"
N_CHUNKS = 7 + 3 * 6 + 2
"""Chunks of 4 s. The columns of the first recording go on into the one that continues it, which takes a chunk more."""


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings without a gap between them and three others, one of them with a sample that can kill a worker."""
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(11)
    start = datetime(2026, 4, 1, tzinfo=UTC)
    for after_s, duration_s in ((0, 24), (24, 24), (60, 24), (120, 24), (230, 8)):
        samples = np.clip(0.1 * rng.standard_normal(duration_s * 2000), -0.5, 0.5)
        if after_s == 120:
            samples[11 * 2000] = DEADLY_SAMPLE  # in the third chunk
        name = f"{start + timedelta(seconds=after_s):%Y%m%d_%H%M%S}"
        write_sound(folder / f"{name}.{'flac' if after_s == 60 else 'wav'}", samples, subtype="PCM_16")
    return folder


@pytest.fixture(scope="module")
def expected(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The results of threads of one process."""
    out = tmp_path_factory.mktemp("expected")
    with pytest.MonkeyPatch.context() as patch:
        use_fake_scorer(patch)
        assert scan(sounds, out).exit_code == 0
    return run_outputs(out)


@pytest.fixture(scope="module")
def started_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler and two workers with nannies, which replace workers that die; one has three threads."""
    with dask_cluster(tmp_path_factory.mktemp("cluster")) as found:
        found.start_scheduler()
        found.start_worker()
        found.start_worker("--nthreads", "3")
        yield found


@pytest.fixture
def shared(started_cluster: Cluster) -> Cluster:
    """The cluster of this module, with both workers connected and without instructions."""
    for instruction in ("pause", "hold", "deadly", "stalled"):
        (started_cluster.folder / instruction).unlink(missing_ok=True)
    started_cluster.wait_for(2)
    return started_cluster


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small chunks, which the client cuts; workers load `tests.worker_preload`."""
    use_fake_scorer(monkeypatch)


def scan(sounds: Path, out: Path, scheduler: object = "") -> whalescan.Survey:
    return whalescan.scan(sounds, out, hop_s=HOP_S, batch_size=BATCH_SIZE, scheduler=str(scheduler))


def start_command(sounds: Path, out: Path, scheduler: object, folder: Path, *options: str) -> processes.CommandProcess:
    """Start ``whalescan run`` on a cluster; its output is written to a folder."""
    own = "--hop", f"{HOP_S}", "--batch-size", f"{BATCH_SIZE}", "--scheduler", str(scheduler)
    return processes.start_command(["run", str(sounds), "-o", str(out), "--quiet", *own, *options], folder)


def output_of(client: processes.CommandProcess) -> str:
    return client.output_file.read_text() if client.output_file.exists() else ""


def rows(out: Path) -> dict[str, dict[str, str]]:
    with (out / "files.csv").open(newline="") as file:
        return {row["recording"]: row for row in csv.DictReader(file)}


def scoring_workers(found: Cluster) -> set[int]:
    """Return the processes of workers that have scored."""
    return {int(path.name.split("-")[1]) for path in found.folder.glob("scored-*")}


# The same results


def test_a_cluster_gives_the_same_results(sounds: Path, expected: dict[str, bytes], shared: Cluster, tmp_path: Path) -> None:
    hold = shared.instruct("hold")
    client = start_command(sounds, tmp_path / "file", shared.scheduler_file, tmp_path)
    wait_until(lambda: set(shared.pids()) <= scoring_workers(shared))  # both workers score
    hold.unlink()
    assert client.wait() == 0, output_of(client)
    assert run_outputs(tmp_path / "file") == expected
    address = json.loads(shared.scheduler_file.read_text())["address"]
    assert address.startswith("tcp://127.0.0.1:")
    assert scan(sounds, tmp_path / "address", address).exit_code == 0
    assert run_outputs(tmp_path / "address") == expected


@pytest.mark.parametrize("chunk_s", [2, 8, 1000])
def test_chunk_size_does_not_change_the_results(
    sounds: Path,
    expected: dict[str, bytes],
    shared: Cluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    chunk_s: int,
) -> None:
    monkeypatch.setattr(chunking, "CHUNK_S", chunk_s)
    n_before = len(shared.chunk_log())
    scan(sounds, tmp_path, shared.scheduler_file)
    assert run_outputs(tmp_path) == expected
    assert len(shared.chunk_log()) - n_before == {2: N_CHUNKS, 8: 4 + 3 * 3 + 1, 1000: 5}[chunk_s], "whole blocks of 4 s"


def test_workers_and_threads_are_counted(shared: Cluster) -> None:
    with worker_pool(WorkOptions(scheduler=str(shared.scheduler_file)), 1e9) as workers:
        assert workers.counts() == WorkerCounts(n_workers=2, n_threads=4, has_gpus=False)
        assert not workers.shares_memory


def test_a_client_of_the_caller_scores_and_stays_open(
    sounds: Path, expected: dict[str, bytes], shared: Cluster, tmp_path: Path
) -> None:
    with Client(scheduler_file=str(shared.scheduler_file)) as client:
        work = WorkOptions(batch_size=BATCH_SIZE, client=client, quiet=True)
        for name in ("first", "second"):
            job = SurveyJob((str(sounds),), tmp_path / name, ScoreOptions(hop_s=HOP_S), work=work)
            assert run(job).exit_code == 0
            assert run_outputs(tmp_path / name) == expected
        assert client.submit(sum, [1, 2]).result() == 3
    with pytest.raises(UsageError) as refused, worker_pool(work, 60):
        pass
    assert refused.value.parameter == "client"


def test_one_worker_with_the_real_model(sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    recording = sounds / f"{SHORT_NAME}.wav"
    with dask_cluster(tmp_path / "cluster") as found:
        found.start_scheduler()
        found.start_worker("--no-nanny", preload="")  # scan waits for it
        scan(recording, tmp_path / "cluster-out", found.scheduler_file)
    scan(recording, tmp_path / "local-out")
    assert run_outputs(tmp_path / "cluster-out") == run_outputs(tmp_path / "local-out")


def test_the_command_waits_for_the_first_worker(sounds: Path, expected: dict[str, bytes], tmp_path: Path) -> None:
    def start_and_wait() -> processes.CommandProcess:
        (tmp_path / "output.txt").unlink(missing_ok=True)
        client = start_command(sounds, tmp_path / "out", found.scheduler_file, tmp_path)
        wait_until(lambda: f"{found.scheduler_file}: no workers yet" in output_of(client))
        return client

    with dask_cluster(tmp_path) as found:
        scheduler = found.start_scheduler()
        client = start_and_wait()
        client.signal(signal.SIGINT)
        assert client.wait() == 130
        client = start_and_wait()
        scheduler.kill()
        assert client.wait() == 1
        assert SCHEDULER_LOST in output_of(client)
        assert "Traceback" not in output_of(client)
        found.start_scheduler()
        client = start_and_wait()
        found.start_worker("--no-nanny")
        assert client.wait() == 0
    assert run_outputs(tmp_path / "out") == expected


def test_gpu_workers_score_and_any_worker_reads(sounds: Path, expected: dict[str, bytes], tmp_path: Path) -> None:
    with dask_cluster(tmp_path) as found:
        found.start_scheduler()
        cpu = found.start_worker("--no-nanny", "--nthreads", "2")
        gpu = found.start_worker("--no-nanny", "--resources", "GPU=1")
        found.wait_for(2)
        hold = found.instruct("hold")
        client = start_command(sounds, tmp_path / "out", found.scheduler_file, tmp_path)
        wait_until((tmp_path / f"read-{cpu.pid}").exists)  # the GPU worker is busy with its first chunk
        hold.unlink()
        assert client.wait() == 0, output_of(client)
        assert scoring_workers(found) == {gpu.pid}
        whalescan.scan(sounds, tmp_path / "default", hop_s=2.0, scheduler=str(found.scheduler_file))
    assert run_outputs(tmp_path / "out") == expected
    assert "512" in (tmp_path / "default" / "run.log").read_text()
    assert "512" not in (tmp_path / "out" / "run.log").read_text(), "it was given"


def test_the_performance_report_is_written(sounds: Path, shared: Cluster, tmp_path: Path) -> None:
    pytest.importorskip("bokeh", reason="Dask draws its report with bokeh")
    report = tmp_path / "report.html"
    client = start_command(sounds, tmp_path / "out", shared.scheduler_file, tmp_path, "--performance-report", str(report))
    assert client.wait() == 0, output_of(client)
    assert "score_chunk" in report.read_text()


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    kind = "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"
    files = "-subj", "/CN=whalescan", "-addext", "subjectAltName=IP:127.0.0.1", "-out", str(certificate), "-keyout", str(key)
    try:
        subprocess.run(["openssl", *kind, *files], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl, which makes certificates, is not installed")
    return certificate, key


def test_tls_with_dasks_own_configuration(
    sounds: Path, expected: dict[str, bytes], certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    cert, key = (str(path) for path in certificate)
    section = "distributed.comm.tls"
    settings: dict[str, object] = {"distributed.comm.require-encryption": True, f"{section}.ca-file": cert}
    for role in ("scheduler", "worker", "client"):
        settings |= {f"{section}.{role}.cert": cert, f"{section}.{role}.key": key}
    variables = {f"DASK_{name.replace('.', '__').replace('-', '_').upper()}": str(value) for name, value in settings.items()}
    with dask_cluster(tmp_path / "cluster", variables) as found:
        found.start_scheduler("--protocol", "tls")
        found.start_worker("--no-nanny")
        address = json.loads(found.scheduler_file.read_text())["address"]
        assert address.startswith("tls://")
        for scheduler in (address, found.scheduler_file):
            with pytest.raises(UsageError, match=r"distributed\.comm\.tls"):
                scan(sounds, tmp_path / "out", scheduler)
        with dask.config.set(settings):
            scan(sounds, tmp_path / "out", address)
    assert run_outputs(tmp_path / "out") == expected


# Errors before the work begins


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"address": 3}', '{"address": "tcp://127.0.0.1:1"}', None])
def test_an_absent_scheduler_is_reported(
    sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_TIMEOUT_S", 1)
    file = tmp_path / "scheduler.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UsageError) as refused:
        scan(sounds, tmp_path / "out", file)
    assert refused.value.parameter == "scheduler"
    assert str(file) in str(refused.value)


def test_the_exit_status_is_2_where_no_scheduler_answers(sounds: Path, tmp_path: Path) -> None:
    client = start_command(sounds, tmp_path / "out", "tls://127.0.0.1:1", tmp_path)
    assert client.wait() == 2
    assert "distributed.comm.tls" in output_of(client)


def test_a_worker_of_another_version_is_refused(sounds: Path, shared: Cluster, tmp_path: Path) -> None:
    n_before = len(shared.chunk_log())
    shared.on_workers(_set_version, "0.0.1")
    try:
        with pytest.raises(UsageError, match=rf"0\.0\.1.*{whalescan.__version__}"):
            scan(sounds, tmp_path, shared.scheduler_file)
    finally:
        shared.on_workers(_set_version, whalescan.__version__)
    assert len(shared.chunk_log()) == n_before


def _set_version(version: str) -> None:
    worker_check.__version__ = version  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def _mounts(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip where no process can be given a disk that others do not see."""
    script = f"mount -t tmpfs none '{tmp_path_factory.mktemp('mount')}'"
    try:
        subprocess.run(["unshare", "--mount", "sh", "-c", script], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a folder cannot be hidden from a worker here: {error}")


@pytest.mark.usefixtures("_mounts")
def test_a_worker_that_does_not_see_the_recordings_is_refused(sounds: Path, tmp_path: Path) -> None:
    with dask_cluster(tmp_path) as found:
        found.start_scheduler()
        found.start_worker("--no-nanny")
        found.start_worker("--no-nanny", "--name", "blind", blind_for=sounds)
        found.wait_for(2)
        first = sounds / "20260401_000000.wav"
        with pytest.raises(UsageError, match=rf"worker tcp://127\.0\.0\.1:\d+: does not see {first}") as refused:
            scan(sounds, tmp_path / "out", found.scheduler_file)
        assert str(refused.value).count("does not see") == 1
        assert not found.chunk_log()


@pytest.mark.usefixtures("_mounts")
def test_a_later_worker_that_does_not_see_the_recordings_is_retired(
    sounds: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    with dask_cluster(tmp_path) as found:
        hold = found.instruct("hold")  # the first worker is busy until the other one has tried
        found.start_scheduler()
        found.start_worker("--no-nanny")
        found.wait_for(1)
        client = start_command(sounds, tmp_path / "out", found.scheduler_file, tmp_path)
        wait_until(found.chunk_log)
        found.start_worker(blind_for=sounds)
        wait_until(lambda: "does not see" in output_of(client))
        hold.unlink()
        assert client.wait() == 0, output_of(client)
        assert len(scoring_workers(found)) == 1
    notices = [line for line in output_of(client).splitlines() if "does not see" in line]
    assert len(notices) == 1
    assert notices[0].removeprefix("whalescan: ") in (tmp_path / "out" / "run.log").read_text()
    assert run_outputs(tmp_path / "out") == expected


# Processes that die


def test_workers_that_die_at_random_moments(
    sounds: Path, expected: dict[str, bytes], shared: Cluster, tmp_path: Path
) -> None:
    rng = random.Random(17)
    n_kills, n_runs = 0, 0
    shared.instruct("pause", "0.15")
    while n_kills < N_KILLS:
        n_runs += 1
        out = tmp_path / f"out-{n_runs}"
        client = start_command(sounds, out, shared.scheduler_file, tmp_path)
        while client.wait(rng.uniform(0.1, 0.6)) is None:
            if n_kills < N_KILLS:
                n_kills += _kill(rng.choice(shared.nannies()))
        assert client.wait() == 0, output_of(client)
        assert run_outputs(out) == expected


def _kill(nanny: subprocess.Popen[bytes]) -> int:
    """Kill a nanny's worker; return the number killed, which is 0 while it is starting another."""
    workers = worker_processes(nanny)
    with contextlib.suppress(psutil.NoSuchProcess):
        for worker in workers:
            worker.kill()
    return len(workers)


def test_a_worker_without_a_nanny_dies(sounds: Path, expected: dict[str, bytes], tmp_path: Path) -> None:
    with dask_cluster(tmp_path) as found:
        hold = found.instruct("hold")
        found.start_scheduler()
        mortal, survivor = (found.start_worker("--no-nanny") for _ in range(2))
        found.wait_for(2)
        client = start_command(sounds, tmp_path / "out", found.scheduler_file, tmp_path)
        wait_until(lambda: scoring_workers(found) == {mortal.pid, survivor.pid})
        mortal.kill()
        hold.unlink()
        assert client.wait() == 0, output_of(client)
    assert run_outputs(tmp_path / "out") == expected


def test_workers_that_die_before_their_scores_are_fetched(
    sounds: Path, expected: dict[str, bytes], shared: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scores are lost with the workers, and the chunks are scored again."""
    gather, pids = Client.gather, shared.pids()
    assert len(pids) == 2

    def kill_and_gather(self: Client, futures: Any, *arguments: Any, **named: Any) -> Any:
        if pids:
            addresses = set(self.nthreads())
            while pids:
                os.kill(pids.pop(), signal.SIGKILL)
            wait_until(lambda: not addresses & set(self.nthreads()))
        return gather(self, futures, *arguments, **named)

    monkeypatch.setattr(Client, "gather", kill_and_gather)
    assert scan(sounds, tmp_path, shared.scheduler_file).exit_code == 0
    assert not pids
    assert run_outputs(tmp_path) == expected


def test_a_worker_that_dies_during_its_check(
    sounds: Path, shared: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses, pids = WorkerPool.addresses, shared.pids()[:1]

    def addresses_and_kill(self: WorkerPool) -> list[str]:
        found = addresses(self)
        while pids:
            os.kill(pids.pop(), signal.SIGKILL)
        return found

    monkeypatch.setattr(WorkerPool, "addresses", addresses_and_kill)
    assert scan(sounds, tmp_path, shared.scheduler_file).exit_code == 0
    assert not pids


def test_schedulers_that_die_at_random_moments(sounds: Path, expected: dict[str, bytes], tmp_path: Path) -> None:
    rng = random.Random(19)
    with dask_cluster(tmp_path) as found:
        found.instruct("pause", "0.1")
        for is_last in (False, False, False, True):
            scheduler = found.start_scheduler()
            worker = found.start_worker("--no-nanny")
            n_before = len(found.chunk_log())
            client = start_command(sounds, tmp_path / "out", found.scheduler_file, tmp_path)
            wait_until(lambda n=n_before: len(found.chunk_log()) > n)  # type: ignore[misc]
            if is_last:
                break
            time.sleep(rng.uniform(0, 0.6))
            scheduler.kill()
            assert client.wait() == 1, output_of(client)
            assert SCHEDULER_LOST in output_of(client)
            assert "Traceback" not in output_of(client)
            worker.wait()
        assert client.wait() == 0, output_of(client)
    assert run_outputs(tmp_path / "out") == expected
    assert len(found.chunk_log()) - N_CHUNKS <= 2 * 3, "finished chunks were scored again"


def test_clients_that_die_at_random_moments(
    sounds: Path, expected: dict[str, bytes], shared: Cluster, tmp_path: Path
) -> None:
    rng = random.Random(23)
    pause = shared.instruct("pause", "0.3")
    for _ in range(6):
        client = start_command(sounds, tmp_path / "out", shared.scheduler_file, tmp_path)
        if client.wait(rng.uniform(0, 1.2)) is None:
            client.kill()
    pause.unlink()
    client = start_command(sounds, tmp_path / "out", shared.scheduler_file, tmp_path)
    assert client.wait() == 0, output_of(client)
    assert run_outputs(tmp_path / "out") == expected


# Interrupts


def test_ctrl_c_keeps_the_running_chunks(sounds: Path, expected: dict[str, bytes], shared: Cluster, tmp_path: Path) -> None:
    hold = shared.instruct("hold")
    n_before = len(shared.chunk_log())
    client = start_command(sounds, tmp_path / "out", shared.scheduler_file, tmp_path)
    wait_until(lambda: len(shared.chunk_log()) == n_before + 4)  # one on each thread
    client.signal(signal.SIGINT)
    wait_until(lambda: STOPPING in output_of(client))
    hold.unlink()
    assert client.wait() == 130
    assert len(shared.chunk_log()) == n_before + 4
    client = start_command(sounds, tmp_path / "out", shared.scheduler_file, tmp_path)
    assert client.wait() == 0
    assert len(shared.chunk_log()) - n_before == N_CHUNKS, "running chunks were kept"
    assert run_outputs(tmp_path / "out") == expected


def test_a_second_ctrl_c_does_not_wait(sounds: Path, shared: Cluster, tmp_path: Path) -> None:
    hold = shared.instruct("hold")
    n_before = len(shared.chunk_log())
    client = start_command(sounds, tmp_path, shared.scheduler_file, tmp_path)
    wait_until(lambda: len(shared.chunk_log()) == n_before + 4)
    client.signal(signal.SIGINT)
    wait_until(lambda: STOPPING in output_of(client))
    client.signal(signal.SIGINT)
    assert client.wait() == 130, "it ends while workers are still busy"
    hold.unlink()


# Chunks that fail


def check_deadly(out: Path, expected: dict[str, bytes]) -> None:
    """Check that one chunk is reported as missing, and that all others have their scores."""
    row = rows(out)[DEADLY_NAME]
    assert (row["status"], float(row["analysed_s"])) == ("partial", 24 - 4.096)
    assert "workers died" in row["problem"]
    found = run_outputs(out)
    others = [name for name in expected if name.startswith("scores/") and DEADLY_NAME not in name]
    assert len(others) == 4
    assert {name: found[name] for name in others} == {name: expected[name] for name in others}
    with np.load(out / "scores" / f"{DEADLY_NAME}.npz") as scored:
        is_missing = np.isnan(scored["column_log_odds"][:, 0])
    assert np.flatnonzero(is_missing).tolist() == list(range(2 * CHUNK_COLUMNS, 3 * CHUNK_COLUMNS))


def test_a_chunk_that_kills_its_workers_is_reported(
    sounds: Path, expected: dict[str, bytes], shared: Cluster, tmp_path: Path
) -> None:
    deadly = shared.instruct("deadly")
    client = start_command(sounds, tmp_path / "out", shared.scheduler_file, tmp_path)
    assert client.wait() == 3, output_of(client)
    check_deadly(tmp_path / "out", expected)
    assert DEADLY_NAME in output_of(client)
    deadly.unlink()
    n_before = len(shared.chunk_log())
    client = start_command(sounds, tmp_path / "out", shared.scheduler_file, tmp_path)
    assert client.wait() == 0, output_of(client)
    assert len(shared.chunk_log()) - n_before == 1, "only the failed chunk is scored"
    assert run_outputs(tmp_path / "out") == expected


def test_a_chunk_that_kills_processes_of_this_machine_is_reported(
    sounds: Path, expected: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "MIN_SOUND_FOR_PROCESSES_S", 0)
    monkeypatch.setattr(local_cluster, "THREADS_PER_PROCESS", 1)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    deadly, out = tmp_path / "deadly", tmp_path / "out"
    deadly.touch()
    work = WorkOptions(batch_size=BATCH_SIZE, workers=2, in_processes=True, quiet=True)
    job = SurveyJob((str(sounds),), out, ScoreOptions(hop_s=HOP_S), work=work)
    with dask.config.set({"distributed.worker.preload": ["tests.worker_preload"]}):
        assert run(job).exit_code == 3
        check_deadly(out, expected)
        deadly.unlink()
        n_before = len((tmp_path / "chunks.txt").read_text().split())
        assert run(job).exit_code == 0
    assert len((tmp_path / "chunks.txt").read_text().split()) == n_before + 1
    assert run_outputs(out) == expected


def test_a_disk_that_does_not_answer_is_reported_and_read_by_the_next_run(
    sounds: Path, expected: dict[str, bytes], shared: Cluster, tmp_path: Path
) -> None:
    stalled = shared.instruct("stalled", SHORT_NAME)
    shared.on_workers(_set_retry_interval, 1e9)  # no second attempt
    try:
        survey = scan(sounds, tmp_path, shared.scheduler_file)
    finally:
        stalled.unlink()
        shared.on_workers(_set_retry_interval, retry.RETRY_INTERVAL_S)
    row = rows(tmp_path)[SHORT_NAME]
    assert "did not answer" in row["problem"]
    assert float(row["analysed_s"]) == 0
    assert {name for name, found in rows(tmp_path).items() if found["status"] != "done"} == {SHORT_NAME}
    assert survey.exit_code == 3
    assert scan(sounds, tmp_path, shared.scheduler_file).exit_code == 0
    assert run_outputs(tmp_path) == expected


def _set_retry_interval(interval_s: float) -> None:
    retry.RETRY_INTERVAL_S = interval_s
