"""Schedulers and workers that are processes of their own: the same bytes, whoever works, and whatever becomes of them."""

from __future__ import annotations

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
import pytest
from distributed import Future

import whalescan
from tests import standin
from tests.conftest import write_sound
from tests.machines import Machines, machines, until, working_for
from tests.standin_preload import DEADLY, FOLDER
from whalescan.core import UsageError
from whalescan.engine import chunking, local_cluster, retry, worker_check
from whalescan.engine import cluster as workforce
from whalescan.engine.cluster import Census
from whalescan.engine.dispatch import Dispatch
from whalescan.options import ScoreOptions, WorkOptions
from whalescan.survey.job import Job
from whalescan.survey.run import run

HOP_S, BATCH_SIZE = 0.5, 4
N_KILLS = 20
HURRY_S = 15
"""More than any end takes, and less than Dask waits for what is gone."""
GONE = "the Dask scheduler is gone; what was finished is kept, start it and give the same command again"
DEADLY_NAME = "20260401_000200"
SHORT_NAME = "20260401_000350"
N_CHUNKS = 6 * 4 + 2
"""Chunks of 4 s; each second window of a recording that goes on in another reaches into it, and costs none."""


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings that go on in one another and two that do not, one of them with a sample that can kill."""
    folder = tmp_path_factory.mktemp("sounds")
    dice = np.random.default_rng(11)
    start = datetime(2026, 4, 1, tzinfo=UTC)
    for after_s, duration_s in ((0, 24), (24, 24), (60, 24), (120, 24), (230, 8)):
        samples = np.clip(0.1 * dice.standard_normal(duration_s * 2000), -0.5, 0.5)
        if after_s == 120:
            samples[11 * 2000] = DEADLY  # in one chunk, from 8 s to 12 s and what its last window reaches
        name = f"{start + timedelta(seconds=after_s):%Y%m%d_%H%M%S}"
        write_sound(folder / f"{name}.{'flac' if after_s == 60 else 'wav'}", samples, subtype="PCM_16")
    return folder


@pytest.fixture(scope="module")
def whole(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What threads of one process make of the sounds."""
    out = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        standin.stand_in(patch)
        assert scan(sounds, out).exit_code == 0
    return outputs(out)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """A scheduler and two workers, one of several threads; who makes one of them die or blind heals it again."""
    with machines(tmp_path_factory.mktemp("cluster")) as found:
        found.start_scheduler()
        found.start_worker()
        found.start_worker("--nthreads", "3")
        found.wait_for(2)
        yield found


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks are cut by the client: only it need know. It has no model either."""
    standin.stand_in(monkeypatch)


def scan(sounds: Path, out: Path, scheduler: object = "") -> whalescan.Survey:
    return whalescan.scan(sounds, out, hop=HOP_S, exact=True, batch_size=BATCH_SIZE, scheduler=str(scheduler))


def command(sounds: Path, out: Path, scheduler: object, *options: str) -> list[str]:
    own = "--hop", f"{HOP_S}", "--exact", "--batch-size", f"{BATCH_SIZE}", "--scheduler", str(scheduler)
    return ["run", str(sounds), "-o", str(out), "--quiet", *own, *options]


def outputs(out: Path) -> dict[str, bytes]:
    """All that a run leaves, but for what tells of the run itself."""
    own = {"run.json", "report.html", "run.log", ".lock", ".lock-holder"}
    files = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
    found = {name: path.read_bytes() for name, path in files.items() if name not in own}
    tables = json.loads(found[".tables.json"])
    del tables["writes"]
    found[".tables.json"] = json.dumps({**tables, "recordings": sorted(tables["recordings"])}).encode()
    return found


def said(client: standin.Client) -> str:
    return client.said.read_text() if client.said.exists() else ""


def rows(out: Path) -> dict[str, dict[str, str]]:
    with (out / "files.csv").open(newline="") as file:
        return {row["recording"]: row for row in csv.DictReader(file)}


# ------------------------------------------------------------------------------------------------ the same bytes


def test_nobody_sees_that_a_cluster_did_it(sounds: Path, whole: dict[str, bytes], cluster: Machines, tmp_path: Path) -> None:
    address = json.loads(cluster.file.read_text())["address"]
    assert address.startswith("tcp://127.0.0.1:")
    for name, scheduler in (("file", cluster.file), ("address", address)):
        assert scan(sounds, tmp_path / name, scheduler).exit_code == 0
        assert outputs(tmp_path / name) == whole
    assert len(list(cluster.folder.glob("scored-*"))) == 2, "both workers worked"


@pytest.mark.parametrize("chunk_s", [2, 6, 1000])
def test_chunks_do_not_show_on_a_cluster(
    sounds: Path, whole: dict[str, bytes], cluster: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_s: int
) -> None:
    monkeypatch.setattr(chunking, "CHUNK_S", chunk_s)
    n_before = len(cluster.diary())
    scan(sounds, tmp_path, cluster.file)
    assert outputs(tmp_path) == whole
    assert len(cluster.diary()) - n_before == {2: 2 * N_CHUNKS, 6: 4 * 4 + 2, 1000: 5}[chunk_s]


def test_the_census_counts_workers_and_threads(cluster: Machines) -> None:
    with workforce.workforce(WorkOptions(scheduler=str(cluster.file)), 1e9) as workers:
        assert workers.census() == Census(n_workers=2, n_threads=4, has_gpus=False)
        assert not workers.shares_memory


def test_one_worker_with_the_real_model(sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    recording = sounds / f"{SHORT_NAME}.wav"
    with machines(tmp_path / "cluster") as found:
        found.start_scheduler()
        found.start_worker("--no-nanny", preload="")  # scan waits for it
        scan(recording, tmp_path / "there", found.file)
    scan(recording, tmp_path / "here")
    assert outputs(tmp_path / "there") == outputs(tmp_path / "here")


def test_the_command_waits_for_the_first_worker(sounds: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    def start_and_wait() -> standin.Client:
        (tmp_path / "said.txt").unlink(missing_ok=True)
        client = standin.start(command(sounds, tmp_path / "out", found.file), tmp_path)
        until(lambda: f"{found.file}: no workers yet; waiting for the first" in said(client))
        return client

    with machines(tmp_path) as found:
        scheduler = found.start_scheduler()
        impatient = start_and_wait()
        impatient.signal(signal.SIGINT)
        assert impatient.ends(HURRY_S) == 130
        bereft = start_and_wait()
        scheduler.kill()
        assert bereft.ends(HURRY_S) == 1
        assert GONE in said(bereft)
        assert "Traceback" not in said(bereft)
        found.start_scheduler()
        patient = start_and_wait()
        found.start_worker("--no-nanny")
        assert patient.ends() == 0
    assert outputs(tmp_path / "out") == whole


def test_sound_is_scored_where_the_gpus_are_and_read_anywhere(sounds: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    with machines(tmp_path) as found:
        found.start_scheduler()
        found.start_worker("--no-nanny", "--nthreads", "2")
        gpu = found.start_worker("--no-nanny", "--resources", "GPU=1")
        found.wait_for(2)
        scan(sounds, tmp_path / "out", found.file)
        scored, read = ({path.name.split("-")[1] for path in tmp_path.glob(f"{what}-*")} for what in ("scored", "read"))
        whalescan.scan(sounds, tmp_path / "unsaid", hop=2.0, exact=True, scheduler=str(found.file))
    assert scored == {str(gpu.pid)}
    assert read - scored
    assert outputs(tmp_path / "out") == whole
    assert "--batch-size 512; it is 32" in (tmp_path / "unsaid" / "run.log").read_text()
    assert "--batch-size" not in (tmp_path / "out" / "run.log").read_text(), "who says it need not be told"


def test_the_performance_report_is_written(sounds: Path, cluster: Machines, tmp_path: Path) -> None:
    pytest.importorskip("bokeh", reason="Dask draws its report with bokeh")
    report = tmp_path / "report.html"
    client = standin.start(command(sounds, tmp_path / "out", cluster.file, "--performance-report", str(report)), tmp_path)
    assert client.ends() == 0, said(client)
    assert "score_chunk" in report.read_text()


# ------------------------------------------------------------------------------------------------ TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate that vouches for itself, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    made, key = folder / "certificate.pem", folder / "key.pem"
    what = "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"
    where = "-subj", "/CN=whalescan", "-addext", "subjectAltName=IP:127.0.0.1", "-out", str(made), "-keyout", str(key)
    try:
        subprocess.run(["openssl", *what, *where], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl, which makes certificates, is not installed")
    return made, key


def test_tls_with_dasks_own_configuration(
    sounds: Path, whole: dict[str, bytes], certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    made, key = (str(path) for path in certificate)
    about = "distributed.comm.tls"
    settings: dict[str, object] = {"distributed.comm.require-encryption": True, f"{about}.ca-file": made}
    for who in ("scheduler", "worker", "client"):
        settings |= {f"{about}.{who}.cert": made, f"{about}.{who}.key": key}
    variables = {f"DASK_{name.replace('.', '__').replace('-', '_').upper()}": str(value) for name, value in settings.items()}
    with machines(tmp_path / "cluster", variables) as found:
        found.start_scheduler("--protocol", "tls")
        found.start_worker("--no-nanny")
        address = json.loads(found.file.read_text())["address"]
        assert address.startswith("tls://")
        for scheduler in (address, found.file):
            with pytest.raises(UsageError, match=r"distributed\.comm\.tls"):
                scan(sounds, tmp_path / "out", scheduler)
        with dask.config.set(settings):
            scan(sounds, tmp_path / "out", address)
    assert outputs(tmp_path / "out") == whole


# ------------------------------------------------------------------------------------------------ told before the work


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"address": 3}', '{"address": "tcp://127.0.0.1:1"}', None])
def test_a_scheduler_that_is_not_there_is_told(
    sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    monkeypatch.setattr(workforce, "ANSWER_S", 1)
    file = tmp_path / "scheduler.json"
    if content is not None:
        file.write_text(content)
    begin_s = time.monotonic()
    with pytest.raises(UsageError, match=f"--scheduler {file}: no Dask scheduler answers there"):
        scan(sounds, tmp_path / "out", file)
    assert time.monotonic() - begin_s < 5


def test_the_command_ends_with_2_where_no_scheduler_is(sounds: Path, tmp_path: Path) -> None:
    client = standin.start(command(sounds, tmp_path / "out", "tls://127.0.0.1:1"), tmp_path)
    assert client.ends(HURRY_S) == 2
    assert "distributed.comm.tls" in said(client)


def test_a_worker_of_another_version_is_refused(sounds: Path, cluster: Machines, tmp_path: Path) -> None:
    n_before = len(cluster.diary())
    cluster.on_workers(_say_version, "0.0.1")
    try:
        with pytest.raises(UsageError, match=rf"whalescan 0\.0\.1, where the run has {whalescan.__version__}"):
            scan(sounds, tmp_path, cluster.file)
    finally:
        cluster.on_workers(_say_version, whalescan.__version__)
    assert len(cluster.diary()) == n_before


def _say_version(version: str) -> None:
    worker_check.__version__ = version  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def _mounts(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip where no process can be given a disk that others do not see."""
    script = f"mount -t tmpfs none '{tmp_path_factory.mktemp('mount')}'"
    try:
        subprocess.run(["unshare", "--mount", "sh", "-c", script], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a worker cannot be made blind here: {error}")


@pytest.mark.usefixtures("_mounts")
def test_a_worker_that_does_not_see_the_recordings_is_named_before_anything_is_scored(sounds: Path, tmp_path: Path) -> None:
    with machines(tmp_path) as found:
        found.start_scheduler()
        found.start_worker("--no-nanny")
        found.start_worker("--no-nanny", "--name", "blind", blind_for=sounds)
        found.wait_for(2)
        first = sounds / "20260401_000000.wav"
        with pytest.raises(UsageError, match=rf"worker tcp://127\.0\.0\.1:\d+: does not see {first}") as refused:
            scan(sounds, tmp_path / "out", found.file)
        assert str(refused.value).count("does not see") == 1
        assert not found.diary()


@pytest.mark.usefixtures("_mounts")
def test_a_blind_worker_that_comes_late_gets_no_more_work(sounds: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    with machines(tmp_path) as found:
        found.ask("pause", "0.15")
        found.start_scheduler()
        found.start_worker("--no-nanny")
        found.wait_for(1)
        client = standin.start(command(sounds, tmp_path / "out", found.file), tmp_path)
        until(found.diary)
        found.start_worker(blind_for=sounds)
        assert client.ends() == 0, said(client)
        assert len(list(tmp_path.glob("scored-*"))) == 1
    told = [line for line in said(client).splitlines() if "does not see" in line]
    assert len(told) == 1
    assert "mount its disk there. It gets no more work" in told[0]
    assert told[0].removeprefix("whalescan: ") in (tmp_path / "out" / "run.log").read_text()
    assert outputs(tmp_path / "out") == whole


# ------------------------------------------------------------------------------------------------ the end of anybody


def test_workers_that_die_at_random_moments(sounds: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    dice = random.Random(17)
    n_kills, n_runs = 0, 0
    with machines(tmp_path) as found:
        found.ask("pause", "0.15")
        found.start_scheduler()
        nannies = [found.start_worker() for _ in range(3)]
        found.wait_for(3)
        while n_kills < N_KILLS:
            n_runs += 1
            out = tmp_path / f"out-{n_runs}"
            client = standin.start(command(sounds, out, found.file), tmp_path)
            while client.ends(dice.uniform(0.1, 0.6)) is None:
                if n_kills < N_KILLS:
                    for process in working_for(dice.choice(nannies)):
                        process.kill()
                        n_kills += 1
            assert client.ends() == 0, said(client)
            assert outputs(out) == whole


def test_a_worker_without_a_nanny_dies_and_another_goes_on(sounds: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    with machines(tmp_path) as found:
        found.ask("pause", "0.1")
        found.start_scheduler()
        mortal = found.start_worker("--no-nanny")
        found.start_worker("--no-nanny")
        found.wait_for(2)
        client = standin.start(command(sounds, tmp_path / "out", found.file), tmp_path)
        until(lambda: len(found.diary()) > 5)
        mortal.kill()
        assert client.ends() == 0, said(client)
    assert outputs(tmp_path / "out") == whole


def test_workers_that_die_with_their_scores(
    sounds: Path, whole: dict[str, bytes], cluster: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks are done, and their scores not fetched yet: they are not the scheduler's fault, and are scored again."""
    come_back, pids = Dispatch._come_back, cluster.pids()

    def come_back_and_die(self: Dispatch) -> list[Future]:
        back = come_back(self)
        while back and pids:
            os.kill(pids.pop(), signal.SIGKILL)
            time.sleep(0.3)  # all have heard of it
        return back

    monkeypatch.setattr(Dispatch, "_come_back", come_back_and_die)
    assert scan(sounds, tmp_path, cluster.file).exit_code == 0
    assert not pids
    assert outputs(tmp_path) == whole
    cluster.wait_for(2)


def test_a_worker_that_dies_while_it_is_asked_what_it_sees(
    sounds: Path, cluster: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_for_workers = worker_check._wait_for_workers

    def wait_and_kill(*arguments: Any) -> list[str]:
        there = wait_for_workers(*arguments)
        os.kill(cluster.pids()[0], signal.SIGKILL)
        return there

    monkeypatch.setattr(worker_check, "_wait_for_workers", wait_and_kill)
    begin_s = time.monotonic()
    assert scan(sounds, tmp_path, cluster.file).exit_code == 0
    assert time.monotonic() - begin_s < HURRY_S
    cluster.wait_for(2)


def test_schedulers_that_die_at_random_moments(sounds: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    dice = random.Random(19)
    with machines(tmp_path) as found:
        found.ask("pause", "0.1")
        for is_last in (False, False, False, True):
            scheduler = found.start_scheduler()
            worker = found.start_worker("--no-nanny")
            client = standin.start(command(sounds, tmp_path / "out", found.file), tmp_path)
            n_before = len(found.diary())
            until(lambda n=n_before: len(found.diary()) > n)  # type: ignore[misc]
            if is_last:
                break
            time.sleep(dice.uniform(0, 0.6))
            scheduler.kill()
            assert client.ends(HURRY_S) == 1, said(client)
            assert GONE in said(client)
            assert "Traceback" not in said(client)
            worker.wait(HURRY_S)
        assert client.ends() == 0, said(client)
    assert outputs(tmp_path / "out") == whole
    assert len(found.diary()) - N_CHUNKS <= 2 * 3, "what was finished was scored again"


def test_clients_that_die_at_random_moments(
    sounds: Path, whole: dict[str, bytes], cluster: Machines, tmp_path: Path
) -> None:
    dice = random.Random(23)
    cluster.ask("pause", "0.3")
    for _ in range(6):
        client = standin.start(command(sounds, tmp_path / "out", cluster.file), tmp_path)
        if client.ends(dice.uniform(0, 1.2)) is None:
            client.kill()
    cluster.ask("pause", "0")
    assert standin.start(command(sounds, tmp_path / "out", cluster.file), tmp_path).ends() == 0
    assert outputs(tmp_path / "out") == whole


def test_ctrl_c_drains_the_cluster(sounds: Path, whole: dict[str, bytes], cluster: Machines, tmp_path: Path) -> None:
    cluster.ask("pause", "0.15")
    n_before = len(cluster.diary())
    client = standin.start(command(sounds, tmp_path / "out", cluster.file), tmp_path)
    until(lambda: len(cluster.diary()) > n_before + 4)
    client.signal(signal.SIGINT)
    assert client.ends(HURRY_S) == 130
    assert "Ctrl-C again: at once" in said(client)
    cluster.ask("pause", "0")
    n_kept = len(cluster.diary()) - n_before
    assert n_kept < N_CHUNKS
    client = standin.start(command(sounds, tmp_path / "out", cluster.file), tmp_path)
    assert client.ends() == 0
    assert len(cluster.diary()) - n_before == N_CHUNKS, "what was at work was kept"
    assert outputs(tmp_path / "out") == whole


def test_ctrl_c_twice_waits_for_nobody(sounds: Path, cluster: Machines, tmp_path: Path) -> None:
    cluster.ask("pause", "4")
    n_before = len(cluster.diary())
    client = standin.start(command(sounds, tmp_path, cluster.file), tmp_path)
    until(lambda: len(cluster.diary()) > n_before)
    cluster.ask("pause", "0")
    begin_s = time.monotonic()
    client.signal(signal.SIGINT)
    until(lambda: "Ctrl-C again: at once" in said(client))
    client.signal(signal.SIGINT)
    assert client.ends(HURRY_S) == 130
    assert time.monotonic() - begin_s < 3


# ------------------------------------------------------------------------------------------------ what goes wrong


def check_deadly(out: Path, whole: dict[str, bytes]) -> None:
    """One chunk is missing, and said to be; everything else is as it should be."""
    row = rows(out)[DEADLY_NAME]
    assert (row["status"], float(row["analysed_s"])) == ("partial", 20)
    assert "workers died while they scored it" in row["problem"]
    found = outputs(out)
    others = [name for name in whole if name.startswith("scores/") and DEADLY_NAME not in name]
    assert len(others) == 4
    assert {name: found[name] for name in others} == {name: whole[name] for name in others}
    with np.load(out / "scores" / f"{DEADLY_NAME}.npz") as scored:
        lost = np.isnan(scored["scores"][:, 0])
    assert np.flatnonzero(lost).tolist() == list(range(16, 24))


def test_a_chunk_that_kills_its_workers_is_given_up(sounds: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    with machines(tmp_path) as found:
        deadly = found.ask("deadly")
        found.start_scheduler()
        for _ in range(2):
            found.start_worker()
        found.wait_for(2)
        client = standin.start(command(sounds, tmp_path / "out", found.file), tmp_path)
        assert client.ends() == 3, said(client)
        check_deadly(tmp_path / "out", whole)
        assert f"{DEADLY_NAME}" in said(client)
        deadly.unlink()
        n_before = len(found.diary())
        assert standin.start(command(sounds, tmp_path / "out", found.file), tmp_path).ends() == 0
        assert len(found.diary()) - n_before == 1, "only what was given up is scored"
    assert outputs(tmp_path / "out") == whole


def test_a_chunk_that_kills_processes_of_this_machine_is_given_up(
    sounds: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workforce, "_FEW_S", 0)
    monkeypatch.setattr(local_cluster, "_THREADS", 1)
    monkeypatch.setenv(FOLDER, str(tmp_path))
    deadly, out = tmp_path / "deadly", tmp_path / "out"
    deadly.touch()
    work = WorkOptions(batch_size=BATCH_SIZE, workers=2, in_processes=True, quiet=True)
    job = Job((str(sounds),), out, ScoreOptions(hop_s=HOP_S, exact=True), work=work)
    with dask.config.set({"distributed.worker.preload": ["tests.standin_preload"]}):
        assert run(job).exit_code == 3
        check_deadly(out, whole)
        assert "3 workers died" in rows(out)[DEADLY_NAME]["problem"]
        deadly.unlink()
        n_before = len((tmp_path / "diary.txt").read_text().split())
        assert run(job).exit_code == 0
    assert len((tmp_path / "diary.txt").read_text().split()) == n_before + 1
    assert outputs(out) == whole


def test_a_disk_that_does_not_answer_is_told_and_tried_again_by_the_next_run(
    sounds: Path, whole: dict[str, bytes], cluster: Machines, tmp_path: Path
) -> None:
    stalled = cluster.ask("stalled", SHORT_NAME)
    cluster.on_workers(_be_patient, 1.0)
    try:
        survey = scan(sounds, tmp_path, cluster.file)
    finally:
        stalled.unlink()
        cluster.on_workers(_be_patient, retry.PATIENCE_S)
    row = rows(tmp_path)[SHORT_NAME]
    assert "its disk did not answer" in row["problem"]
    assert float(row["analysed_s"]) == 0
    assert {name: one["status"] for name, one in rows(tmp_path).items() if one["status"] != "done"} == {
        SHORT_NAME: row["status"]
    }
    assert survey.exit_code == 3
    assert scan(sounds, tmp_path, cluster.file).exit_code == 0
    assert outputs(tmp_path) == whole


def _be_patient(patience_s: float) -> None:
    retry.PATIENCE_S = patience_s
