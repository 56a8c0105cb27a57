"""Kills, power cuts, full disks and changed recordings: repeating the command gives the results of an undisturbed run.

Whatever happens to a run, what the next one leaves is compared byte by byte with what a run leaves that nothing happened to.
"""

from __future__ import annotations

import contextlib
import os
import platform
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import whalescan
from tests.builders import run_outputs, write_sound
from tests.fake_scorer import REACH_SAMPLES, FakeScorer, use_fake_scorer
from tests.processes import CommandProcess, PowerCut, start_command, start_lock_holder
from whalescan import Status, UsageError
from whalescan.detector.model_spec import find_model
from whalescan.engine import dispatch, worker
from whalescan.review.raven.import_review import import_review
from whalescan.survey.run import detect
from whalescan.survey.score_assembly import JOURNAL_SUFFIX

pytestmark = pytest.mark.slow

N_KILLS = int(os.environ.get("WHALESCAN_TEST_KILLS", "12"))
"""50 and more were tried; each takes about a second."""
KILLS_PER_RUN = 4
N_CHUNKS = 11 + 11 + 10
"""Of the recordings here; the columns of the first two go on into the next by a window, which takes a chunk more."""
NAMES = ("SEA_20260401T000000Z.wav", "SEA_20260401T000040Z.flac", "SEA_20260401T000120Z.aiff")
PAUSE_S = 0.015
_FOREVER_S = 3600


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three contiguous recordings of 40 s."""
    folder = tmp_path_factory.mktemp("recordings")
    noise = 0.1 * np.random.default_rng(5).standard_normal((3, 40 * 4000))
    for name, samples in zip(NAMES, noise, strict=True):
        write_sound(folder / name, samples, 4000)
    return folder


def command(recordings: Path, out: Path, workers: int = 2) -> list[str]:
    small = "--batch-size", "4"  # larger batches would leave few chunks to have accidents with
    return ["run", str(recordings), "-o", str(out), "--hop", "0.5", *small, "--workers", str(workers), "-q"]


def scan(recordings: Path, out: Path, hop_s: float = 0.5, batch_size: int = 4) -> whalescan.Survey:
    return whalescan.scan(recordings, out, hop_s=hop_s, batch_size=batch_size, workers=2)


@dataclass(frozen=True, slots=True)
class UndisturbedRun:
    outputs: dict[str, bytes]
    elapsed_s: float


@pytest.fixture(scope="module")
def undisturbed(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> UndisturbedRun:
    """The results of an undisturbed run, and how long it takes."""
    for _ in range(2):  # the first also waits for the process that clients are forked from
        folder = tmp_path_factory.mktemp("undisturbed")
        begin_s = time.monotonic()
        assert start_command(command(recordings, folder / "out"), folder, PAUSE_S).wait() == 0
        elapsed_s = time.monotonic() - begin_s
    assert len(started_chunks(folder)) == len(set(started_chunks(folder))) == N_CHUNKS
    files = run_outputs(folder / "out")
    assert len(files["detections.csv"].splitlines()) > 10
    assert {"scores/SEA_20260401T000000Z.npz", "files.csv", "deployment.listfile.txt"} <= set(files)
    return UndisturbedRun(files, elapsed_s)


def started_chunks(folder: Path) -> list[str]:
    """Return the chunks that were started, by hashes of their samples."""
    path = folder / "chunks.txt"
    return path.read_text().splitlines() if path.exists() else []


def wait_until(is_so: Callable[[], bool], client: CommandProcess) -> None:
    deadline_s = time.monotonic() + 240
    while not is_so():
        assert time.monotonic() < deadline_s
        assert client.process.is_alive(), client.output_file.read_text()
        time.sleep(0.002)


def test_fake_scores_depend_on_model_and_not_on_chunks(noise: np.ndarray[tuple[int], np.dtype[np.float32]]) -> None:
    """The scores do not depend on chunks, and another model has other scores."""
    whole = FakeScorer("a").score(noise, 39).log_odds
    parts = []
    for first, n in ((0, 16), (16, 1), (17, 22)):
        begin = max(512 * first - REACH_SAMPLES, 0)
        parts.append(FakeScorer("a").score(noise[begin:], n, first_sample=512 * first - begin).log_odds)
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert len(np.unique(whole)) > 35
    assert np.mean(FakeScorer("b").score(noise, 39).log_odds == whole) < 0.1


# ---------------------------------------------------------------------------------------------- the end at any moment


def test_kills_at_random_moments(recordings: Path, undisturbed: UndisturbedRun, tmp_path: Path) -> None:
    rng = random.Random(5)
    for number in range(N_KILLS // KILLS_PER_RUN):
        workers = 1 + number % 3
        folder = new_folder(tmp_path, f"{number}")
        n_cost = 0  # kills that may have cost something
        for _ in range(KILLS_PER_RUN):
            n_begun = len(started_chunks(folder))
            client = start_command(command(recordings, folder / "out", workers), folder, PAUSE_S)
            if client.wait(rng.uniform(0, undisturbed.elapsed_s)) is not None:
                break
            client.kill()
            n_cost += len(started_chunks(folder)) > n_begun
        client = start_command(command(recordings, folder / "out", workers), folder, PAUSE_S)
        assert client.wait() == 0, client.output_file.read_text()
        assert run_outputs(folder / "out") == undisturbed.outputs
        assert len(started_chunks(folder)) - N_CHUNKS <= 2 * workers * n_cost, "what was finished was scored again"


def test_power_cuts_during_writes(recordings: Path, undisturbed: UndisturbedRun, tmp_path: Path) -> None:
    rng = random.Random(6)
    n_cuts = n_folders = 0
    while n_cuts < N_KILLS // 2:
        n_folders += 1
        folder, before = new_folder(tmp_path, f"{n_folders}"), n_cuts
        while True:
            cut = PowerCut(n_syncs_before=rng.randint(0, 60), seed=rng.randint(0, 2**32))
            code = start_command(command(recordings, folder / "out", workers=1), folder, power_cut=cut).wait()
            if code != -signal.SIGKILL:
                break
            n_cuts += 1
        assert code == 0
        assert run_outputs(folder / "out") == undisturbed.outputs
        assert len(started_chunks(folder)) - N_CHUNKS <= 2 * (n_cuts - before)


@pytest.mark.parametrize("at", [14, 15, 16, 17])
def test_power_cut_when_a_recording_is_complete(
    recordings: Path, undisturbed: UndisturbedRun, tmp_path: Path, at: int
) -> None:
    """After its last chunk, its scores, or the removal of its journal: it is not scored again."""
    client = start_command(command(recordings, tmp_path / "out", workers=1), tmp_path, PAUSE_S, PowerCut(at, seed=at))
    assert client.wait() == -signal.SIGKILL
    assert 10 <= len(started_chunks(tmp_path)) < 13
    assert start_command(command(recordings, tmp_path / "out", workers=1), tmp_path).wait() == 0
    assert len(started_chunks(tmp_path)) <= N_CHUNKS + 2
    assert run_outputs(tmp_path / "out") == undisturbed.outputs


def new_folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir(parents=True)
    return folder


# ---------------------------------------------------------------------------------------------- an end that is asked for


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_after_running_chunks(
    recordings: Path, undisturbed: UndisturbedRun, tmp_path: Path, number: signal.Signals
) -> None:
    client = start_command(command(recordings, tmp_path / "out"), tmp_path, pause_s=1.2)  # so that none is begun meanwhile
    wait_until(lambda: len(started_chunks(tmp_path)) >= 4, client)
    client.signal(number)
    assert client.wait() == 130
    assert "give the same command again" in client.output_file.read_text()
    assert "stopping after" in (tmp_path / "out" / "run.log").read_text()
    assert len(started_chunks(tmp_path)) in (4, 5), "nothing new is begun"
    assert start_command(command(recordings, tmp_path / "out"), tmp_path).wait() == 0
    assert len(started_chunks(tmp_path)) == N_CHUNKS, "the chunks at work were kept"
    assert run_outputs(tmp_path / "out") == undisturbed.outputs


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_two_signals_end_at_once(
    recordings: Path, undisturbed: UndisturbedRun, tmp_path: Path, number: signal.Signals
) -> None:
    client = start_command(command(recordings, tmp_path / "out"), tmp_path, _FOREVER_S)
    wait_until(lambda: len(started_chunks(tmp_path)) == 2, client)
    client.signal(number)
    wait_until(lambda: "stopping after" in (tmp_path / "out" / "run.log").read_text(), client)
    client.signal(number)
    assert client.wait() == 130
    assert start_command(command(recordings, tmp_path / "out"), tmp_path).wait() == 0
    assert len(started_chunks(tmp_path)) == N_CHUNKS + 2
    assert run_outputs(tmp_path / "out") == undisturbed.outputs


# ---------------------------------------------------------------------------------------------- journals that are left


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Let this process score with the fake scorer, and return the folder of its list of chunks."""
    folder = new_folder(tmp_path, "here")
    use_fake_scorer(monkeypatch, folder / "chunks.txt")
    return folder


def interrupted_run(recordings: Path, folder: Path) -> Path:
    """The folder after a power cut while the first recording was scored."""
    client = start_command(
        command(recordings, folder / "out", workers=1), folder, power_cut=PowerCut(n_syncs_before=11, seed=1)
    )
    assert client.wait() == -signal.SIGKILL
    (journal,) = (folder / "out").rglob(f"*{JOURNAL_SUFFIX}")
    assert 6 < len(started_chunks(folder)) < 10
    return journal


def test_damaged_journal(recordings: Path, undisturbed: UndisturbedRun, here: Path, tmp_path: Path) -> None:
    journal = interrupted_run(recordings, new_folder(tmp_path, "killed"))
    content, rng = journal.read_bytes(), random.Random(7)
    middle = rng.randrange(len(content) // 4, len(content) // 2)
    damaged = [content, content + bytes(5000), content + rng.randbytes(500), content + content[:100]]
    damaged += [b"", *(content[: rng.randrange(len(content))] for _ in range(2))]
    damaged += [content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]]
    n_scored = []
    for number, remains in enumerate(damaged):
        out = tmp_path / f"{number}"
        shutil.copytree(tmp_path / "killed" / "out", out)
        (out / journal.relative_to(tmp_path / "killed" / "out")).write_bytes(remains)
        before = len(started_chunks(here))
        assert scan(recordings, out).exit_code == 0
        assert run_outputs(out) == undisturbed.outputs
        n_scored.append(len(started_chunks(here)) - before)
    assert N_CHUNKS - 9 < n_scored[0] < N_CHUNKS - 4
    assert n_scored[:5] == [*[n_scored[0]] * 4, N_CHUNKS], "intact records before the damage are used"
    assert all(n_scored[0] <= n <= N_CHUNKS for n in n_scored[5:])


def test_changed_option_uses_no_old_scores(
    recordings: Path, undisturbed: UndisturbedRun, here: Path, tmp_path: Path
) -> None:
    interrupted_run(recordings, new_folder(tmp_path, "killed"))
    out = tmp_path / "killed" / "out"
    scan(recordings, out, batch_size=8)
    scan(recordings, tmp_path / "other", batch_size=8)
    assert run_outputs(out) == run_outputs(tmp_path / "other") != undisturbed.outputs
    n_before = len(started_chunks(here))
    scan(recordings, out)
    assert run_outputs(out) == undisturbed.outputs
    assert len(started_chunks(here)) - n_before == N_CHUNKS


def test_another_hop_uses_the_old_scores(recordings: Path, undisturbed: UndisturbedRun, here: Path, tmp_path: Path) -> None:
    interrupted_run(recordings, new_folder(tmp_path, "killed"))
    out = tmp_path / "killed" / "out"
    scan(recordings, out, hop_s=1.0)
    n_scored = len(started_chunks(here))
    assert n_scored < N_CHUNKS - 4, "the journal was used"
    scan(recordings, out)
    assert run_outputs(out) == undisturbed.outputs
    assert len(started_chunks(here)) == n_scored, "the windows of finished scores were only pooled again"
    scan(recordings, tmp_path / "other", hop_s=1.0)
    assert run_outputs(tmp_path / "other")["detections.csv"] == undisturbed.outputs["detections.csv"]


def test_another_model_uses_no_old_scores(
    recordings: Path, undisturbed: UndisturbedRun, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted_run(recordings, new_folder(tmp_path, "killed"))
    out = tmp_path / "killed" / "out"
    other = replace(find_model(""), sha256="0" * 64)
    monkeypatch.setattr("whalescan.survey.settings.find_model", lambda _path: other)
    scan(recordings, out)
    assert len(started_chunks(here)) == N_CHUNKS
    scan(recordings, tmp_path / "other")
    assert run_outputs(out) == run_outputs(tmp_path / "other")
    assert run_outputs(out)["detections.csv"] != undisturbed.outputs["detections.csv"]


# ---------------------------------------------------------------------------------------------- recordings that change


@pytest.fixture
def copy(recordings: Path, tmp_path: Path) -> Path:
    """A copy of the recordings that may be changed."""
    return Path(shutil.copytree(recordings, tmp_path / "copy"))


def replace_audio(path: Path, seconds: float = 40) -> None:
    samples = 0.1 * np.random.default_rng(round(seconds)).standard_normal(round(seconds * soundfile.info(path).samplerate))
    new = write_sound(path.with_name(f"new-{path.name}"), samples, soundfile.info(path).samplerate)
    new.replace(path)


CHANGES: dict[str, Callable[[Path], None]] = {
    "another": replace_audio,
    "grown": lambda path: replace_audio(path, 47),
    "shrunk": lambda path: replace_audio(path, 21),
    "touched": lambda path: os.utime(path, ns=(1, 1)),
}


@pytest.mark.parametrize(
    ("change", "after_chunks"), [("another", 0), ("another", 14), ("grown", 15), ("shrunk", 12), ("touched", 16)]
)
def test_recording_replaced_during_scoring(
    copy: Path, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, after_chunks: int
) -> None:
    """The second of three that follow one another."""

    class Replacing(dispatch.ChunkDispatcher):
        def __iter__(self) -> Iterator[worker.ScoredChunk]:
            for number, scored in enumerate(super().__iter__()):
                if number == after_chunks:
                    CHANGES[change](next(copy.glob("*.flac")))
                yield scored

    with monkeypatch.context() as patch:
        patch.setattr("whalescan.survey.scoring.ChunkDispatcher", Replacing)
        survey = scan(copy, tmp_path / "out")
    assert survey.exit_code == 3
    assert [row.outcome.status for row in survey.files] == [Status.DONE, Status.FAILED, Status.DONE]
    assert "changed while it was analysed" in survey.files[1].outcome.problem
    assert {call.recording for call in survey.detections} == {survey.files[0].name, survey.files[2].name}
    n_before = len(started_chunks(here))
    assert scan(copy, tmp_path / "out").exit_code == 0
    assert 10 < len(started_chunks(here)) - n_before < N_CHUNKS, "it, and the one that goes on in it"
    scan(copy, tmp_path / "new")
    assert run_outputs(tmp_path / "out") == run_outputs(tmp_path / "new")


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.usefixtures("here")
def test_recording_changed_after_a_kill(copy: Path, tmp_path: Path, change: str) -> None:
    interrupted_run(copy, new_folder(tmp_path, "killed"))
    CHANGES[change](min(copy.glob("*.wav")))
    assert scan(copy, tmp_path / "killed" / "out").exit_code == 0
    scan(copy, tmp_path / "new")
    assert run_outputs(tmp_path / "killed" / "out") == run_outputs(tmp_path / "new")


def test_added_and_removed_recordings(copy: Path, here: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    last, aside = copy / NAMES[2], tmp_path / "aside.aiff"
    out = tmp_path / "out"
    last.rename(aside)
    scan(copy, out)
    few, n_few = run_outputs(out), len(started_chunks(here))
    aside.rename(last)
    assert len(scan(copy, out).files) == 3
    assert len(started_chunks(here)) - n_few == 21, "the new one, and the one that it continues"
    scan(copy, tmp_path / "new")
    assert run_outputs(out) == run_outputs(tmp_path / "new")
    last.rename(aside)
    caplog.clear()
    assert scan(copy, out).exit_code == 0
    assert [record.levelname for record in caplog.records if last.stem in record.message] == ["WARNING"]
    assert f"{last.stem} was scored once" in (out / "run.log").read_text()
    left = f"scores/{last.stem}.npz"
    assert {name: content for name, content in run_outputs(out).items() if name != left} == few


def test_temporarily_absent_recording(copy: Path, here: Path, tmp_path: Path) -> None:
    interrupted_run(copy, new_folder(tmp_path, "killed"))
    out, first = tmp_path / "killed" / "out", min(copy.glob("*.wav"))
    first.rename(tmp_path / "aside.wav")
    assert scan(copy, out).exit_code == 0
    (tmp_path / "aside.wav").rename(first)
    n_before = len(started_chunks(here))
    assert scan(copy, out).exit_code == 0
    assert len(started_chunks(here)) - n_before < 7, "its journal was kept"
    scan(copy, tmp_path / "new")
    assert run_outputs(out) == run_outputs(tmp_path / "new")


# ---------------------------------------------------------------------------------------------- a disk, a lock


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 20 MB."""
    folder = new_folder(tmp_path, "disk")
    if shutil.which("mount") is None:
        pytest.skip("there is no mount here")
    mounting = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(folder)]
    mounted = subprocess.run(mounting, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_full_disk_that_is_extended(recordings: Path, undisturbed: UndisturbedRun, small_disk: Path, tmp_path: Path) -> None:
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    n_full = 0
    while (client := start_command(command(recordings, small_disk / "out"), tmp_path)).wait():
        assert client.wait() == 1
        assert re.search(
            r"No space left on device\); make room .* give the same command again", client.output_file.read_text()
        )
        n_full += 1
        os.truncate(ballast, ballast.stat().st_size - 20 * 4096)
    assert n_full > 3
    assert ballast.stat().st_size > 2**24
    assert run_outputs(small_disk / "out") == undisturbed.outputs
    assert len(started_chunks(tmp_path)) - N_CHUNKS <= 4 * n_full


def test_two_runs_in_one_folder(recordings: Path, undisturbed: UndisturbedRun, tmp_path: Path) -> None:
    out, (one, other) = tmp_path / "out", (new_folder(tmp_path, "one"), new_folder(tmp_path, "other"))
    first = start_command(command(recordings, out), one, _FOREVER_S)
    wait_until(lambda: len(started_chunks(one)) > 0, first)
    second = start_command(command(recordings, out), other)
    assert second.wait() == 2
    assert f"process {first.pid} on {platform.node()}" in second.output_file.read_text()
    assert started_chunks(other) == []
    first.kill()
    assert start_command(command(recordings, out), other).wait() == 0
    assert run_outputs(out) == undisturbed.outputs


def test_folder_in_use(recordings: Path, undisturbed: UndisturbedRun, here: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    scan(recordings, out)
    (out / "scores" / ".123.partial").write_bytes(b"half")
    (out / ".my.partial").write_bytes(b"the analyst's own")
    holder = start_lock_holder(out, tmp_path)
    wait_until(holder.output_file.exists, holder)
    by_whom = f"process {holder.pid} on {platform.node()} .* is writing there"
    writers: dict[str, Callable[[], object]] = {
        "run": lambda: scan(recordings, out),
        "detect": lambda: detect(out),
        "import": lambda: import_review(out, [out / "selections"]),
    }
    for write in writers.values():
        with pytest.raises(UsageError, match=by_whom):
            write()
    holder.kill()
    for write in writers.values():
        write()
    assert len(started_chunks(here)) == N_CHUNKS
    assert run_outputs(out) == {**undisturbed.outputs, ".my.partial": b"the analyst's own"}
