"""Kills, power cuts, full disks, recordings that change: the same command again, and nothing of it shows.

Whatever happens to a run, what the next one leaves is compared byte by byte with what a run leaves that nothing happened to.
"""

from __future__ import annotations

import contextlib
import json
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
from tests.conftest import write_sound
from tests.standin import Client, PowerCut, StandIn, stand_in, start, start_holding
from whalescan import Status, UsageError
from whalescan.core import WindowGrid
from whalescan.detector.model_spec import find_model
from whalescan.engine import dispatch, worker
from whalescan.review.raven.import_review import import_review
from whalescan.survey.run import detect
from whalescan.survey.score_assembly import JOURNAL_SUFFIX

N_KILLS = 50
N_CHUNKS = 30
"""Of the recordings here, with windows every half second in chunks of eight."""
NAMES = ("SEA_20260401T000000Z.wav", "SEA_20260401T000040Z.flac", "SEA_20260401T000120Z.aiff")
PAUSE_S = 0.015
OWN_FILES = ("run.json", "report.html", "run.log", ".lock", ".lock-holder")
"""What tells of the run itself, and not of the recordings."""


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three of 40 s, each of which goes on in the next."""
    folder = tmp_path_factory.mktemp("recordings")
    noise = 0.1 * np.random.default_rng(5).standard_normal((3, 40 * 4000))
    for name, samples in zip(NAMES, noise, strict=True):
        write_sound(folder / name, samples, 4000)
    return folder


def command(recordings: Path, out: Path, workers: int = 2) -> list[str]:
    small = "--exact", "--batch-size", "4"  # strips would leave few chunks to have accidents with
    return ["run", str(recordings), "-o", str(out), "--hop", "0.5", *small, "--workers", str(workers), "-q"]


def scan(recordings: Path, out: Path, hop: float = 0.5) -> whalescan.Survey:
    return whalescan.scan(recordings, out, hop=hop, exact=True, batch_size=4, workers=2)


def outputs(out: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones too."""
    files = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    manifest = json.loads(files[".tables.json"])
    manifest["recordings"] = sorted(manifest["recordings"])  # it counts how often tables were written, on purpose
    del manifest["writes"]
    files[".tables.json"] = json.dumps(manifest, sort_keys=True).encode()
    return {name: content for name, content in files.items() if name not in OWN_FILES}


@dataclass(frozen=True, slots=True)
class Undisturbed:
    outputs: dict[str, bytes]
    elapsed_s: float


@pytest.fixture(scope="module")
def undisturbed(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """What a run leaves that nothing happens to, and how long a client needs for it."""
    for _ in range(2):  # the first also waits for the process that clients are forked from
        folder = tmp_path_factory.mktemp("undisturbed")
        begin_s = time.monotonic()
        assert start(command(recordings, folder / "out"), folder, PAUSE_S).ends() == 0
        elapsed_s = time.monotonic() - begin_s
    assert len(diary(folder)) == len(set(diary(folder))) == N_CHUNKS
    files = outputs(folder / "out")
    assert len(files["detections.csv"].splitlines()) > 10
    assert {"scores/SEA_20260401T000000Z.npz", "files.csv", "deployment.listfile.txt"} <= set(files)
    return Undisturbed(files, elapsed_s)


def diary(folder: Path) -> list[str]:
    """The chunks that were begun, by their samples."""
    path = folder / "diary.txt"
    return path.read_text().splitlines() if path.exists() else []


def wait_until(is_so: Callable[[], bool], client: Client) -> None:
    deadline_s = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline_s
        assert client.process.is_alive(), client.said.read_text()
        time.sleep(0.002)


def test_the_stand_in_is_fit_for_this(noise: np.ndarray[tuple[int], np.dtype[np.float32]]) -> None:
    """Chunks do not show in its scores, and another model has others."""
    grid = WindowGrid(2000, 4000, 1000)
    whole = StandIn("a").score(noise, grid, 17).scores
    parts = [StandIn("a").score(noise[1000 * first :], grid, n).scores for first, n in ((0, 5), (5, 1), (6, 11))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert len(np.unique([*whole, *StandIn("b").score(noise, grid, 17).scores])) == 34


# ---------------------------------------------------------------------------------------------- the end at any moment


def test_kills_at_random_moments(recordings: Path, undisturbed: Undisturbed, tmp_path: Path) -> None:
    dice = random.Random(5)
    n_kills = n_folders = 0
    while n_kills < N_KILLS:
        n_folders += 1
        workers = 1 + n_folders % 3
        folder = fresh(tmp_path, f"{n_folders}")
        n_cost = 0  # kills that may have cost something
        while True:
            n_begun = len(diary(folder))
            client = start(command(recordings, folder / "out", workers), folder, PAUSE_S)
            if client.ends(dice.uniform(0, undisturbed.elapsed_s)) is not None:
                break
            client.kill()
            n_kills += 1
            n_cost += len(diary(folder)) > n_begun
        assert client.ends() == 0, client.said.read_text()
        assert outputs(folder / "out") == undisturbed.outputs
        assert len(diary(folder)) - N_CHUNKS <= 2 * workers * n_cost, "what was finished was scored again"


def test_power_cuts_while_something_is_written(recordings: Path, undisturbed: Undisturbed, tmp_path: Path) -> None:
    dice = random.Random(6)
    n_cuts = n_folders = 0
    while n_cuts < 12:
        n_folders += 1
        folder, before = fresh(tmp_path, f"{n_folders}"), n_cuts
        while True:
            cut = PowerCut(at=dice.randint(0, 40), seed=dice.randint(0, 2**32))
            code = start(command(recordings, folder / "out", workers=1), folder, cut=cut).ends()
            if code != -signal.SIGKILL:
                break
            n_cuts += 1
        assert code == 0
        assert outputs(folder / "out") == undisturbed.outputs
        assert len(diary(folder)) - N_CHUNKS <= 2 * (n_cuts - before)


@pytest.mark.parametrize("at", [11, 12, 13])
def test_a_power_cut_when_a_recording_is_done(recordings: Path, undisturbed: Undisturbed, tmp_path: Path, at: int) -> None:
    """When its last chunk is journaled, when its scores are written, when its journal goes: it is not begun anew."""
    client = start(command(recordings, tmp_path / "out", workers=1), tmp_path, PAUSE_S, PowerCut(at, seed=at))
    assert client.ends() == -signal.SIGKILL
    assert 10 <= len(diary(tmp_path)) < 13
    assert start(command(recordings, tmp_path / "out", workers=1), tmp_path).ends() == 0
    assert len(diary(tmp_path)) <= N_CHUNKS + 2
    assert outputs(tmp_path / "out") == undisturbed.outputs


def fresh(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir(parents=True)
    return folder


# ---------------------------------------------------------------------------------------------- an end that is asked for


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_loses_nothing(
    recordings: Path, undisturbed: Undisturbed, tmp_path: Path, number: signal.Signals
) -> None:
    client = start(command(recordings, tmp_path / "out"), tmp_path, pause_s=1.2)  # so that none is begun meanwhile
    wait_until(lambda: len(diary(tmp_path)) >= 4, client)
    client.signal(number)
    assert client.ends() == 130
    assert "give the same command again" in client.said.read_text()
    assert "stopping when" in (tmp_path / "out" / "run.log").read_text()
    assert len(diary(tmp_path)) in (4, 5), "nothing new is begun"
    assert start(command(recordings, tmp_path / "out"), tmp_path).ends() == 0
    assert len(diary(tmp_path)) == N_CHUNKS, "the chunks at work were kept"
    assert outputs(tmp_path / "out") == undisturbed.outputs


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_two_signals_wait_for_nothing(
    recordings: Path, undisturbed: Undisturbed, tmp_path: Path, number: signal.Signals
) -> None:
    client = start(command(recordings, tmp_path / "out"), tmp_path, 20)
    wait_until(lambda: len(diary(tmp_path)) == 2, client)
    client.signal(number)
    wait_until(lambda: "stopping when" in (tmp_path / "out" / "run.log").read_text(), client)
    client.signal(number)
    assert client.ends(10) == 130
    assert start(command(recordings, tmp_path / "out"), tmp_path).ends() == 0
    assert len(diary(tmp_path)) == N_CHUNKS + 2
    assert outputs(tmp_path / "out") == undisturbed.outputs


# ---------------------------------------------------------------------------------------------- journals that are left


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Let this process score with the stand-in; the folder of its diary."""
    folder = fresh(tmp_path, "here")
    stand_in(monkeypatch, folder / "diary.txt")
    return folder


def interrupted(recordings: Path, folder: Path) -> Path:
    """What a power cut leaves in the midst of the first recording, and its journal."""
    client = start(command(recordings, folder / "out", workers=1), folder, cut=PowerCut(at=8, seed=1))
    assert client.ends() == -signal.SIGKILL
    (journal,) = (folder / "out").rglob(f"*{JOURNAL_SUFFIX}")
    assert 6 < len(diary(folder)) < 10
    return journal


def test_a_damaged_journal_does_no_harm(recordings: Path, undisturbed: Undisturbed, here: Path, tmp_path: Path) -> None:
    journal = interrupted(recordings, fresh(tmp_path, "killed"))
    content, dice = journal.read_bytes(), random.Random(7)
    middle = dice.randrange(len(content) // 4, len(content) // 2)
    damaged = [content, content + bytes(5000), content + dice.randbytes(500), content + content[:100]]
    damaged += [b"", *(content[: dice.randrange(len(content))] for _ in range(4))]
    damaged += [content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]]
    n_scored = []
    for number, remains in enumerate(damaged):
        out = tmp_path / f"{number}"
        shutil.copytree(tmp_path / "killed" / "out", out)
        (out / journal.relative_to(tmp_path / "killed" / "out")).write_bytes(remains)
        before = len(diary(here))
        assert scan(recordings, out).exit_code == 0
        assert outputs(out) == undisturbed.outputs
        n_scored.append(len(diary(here)) - before)
    assert N_CHUNKS - 9 < n_scored[0] < N_CHUNKS - 4
    assert n_scored[:5] == [*[n_scored[0]] * 4, N_CHUNKS], "what is whole before the damage is used"
    assert all(n_scored[0] <= n <= N_CHUNKS for n in n_scored[5:])


def test_a_changed_option_uses_nothing_old(recordings: Path, undisturbed: Undisturbed, here: Path, tmp_path: Path) -> None:
    interrupted(recordings, fresh(tmp_path, "killed"))
    out = tmp_path / "killed" / "out"
    scan(recordings, out, hop=1.0)
    scan(recordings, tmp_path / "other", hop=1.0)
    assert outputs(out) == outputs(tmp_path / "other") != undisturbed.outputs
    n_before = len(diary(here))
    scan(recordings, out)
    assert outputs(out) == undisturbed.outputs
    assert len(diary(here)) - n_before == N_CHUNKS


def test_another_model_uses_nothing_old(
    recordings: Path, undisturbed: Undisturbed, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(recordings, fresh(tmp_path, "killed"))
    out = tmp_path / "killed" / "out"
    other = replace(find_model(""), sha256="0" * 64)
    monkeypatch.setattr("whalescan.survey.job.find_model", lambda _path: other)
    scan(recordings, out)
    assert len(diary(here)) == N_CHUNKS
    scan(recordings, tmp_path / "other")
    assert outputs(out) == outputs(tmp_path / "other")
    assert outputs(out)["detections.csv"] != undisturbed.outputs["detections.csv"]


# ---------------------------------------------------------------------------------------------- recordings that change


@pytest.fixture
def copy(recordings: Path, tmp_path: Path) -> Path:
    """The recordings, to be changed."""
    return Path(shutil.copytree(recordings, tmp_path / "copy"))


def other_sound(path: Path, seconds: float = 40) -> None:
    samples = 0.1 * np.random.default_rng(round(seconds)).standard_normal(round(seconds * soundfile.info(path).samplerate))
    new = write_sound(path.with_name(f"new-{path.name}"), samples, soundfile.info(path).samplerate)
    new.replace(path)


CHANGES: dict[str, Callable[[Path], None]] = {
    "another": other_sound,
    "grown": lambda path: other_sound(path, 47),
    "shrunk": lambda path: other_sound(path, 21),
    "touched": lambda path: os.utime(path, ns=(1, 1)),
}


@pytest.mark.parametrize(
    ("change", "after_chunks"), [("another", 0), ("another", 14), ("grown", 15), ("shrunk", 12), ("touched", 16)]
)
def test_a_recording_replaced_while_it_is_scored(
    copy: Path, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, after_chunks: int
) -> None:
    """The second of three that follow one another."""

    class Replacing(dispatch.Dispatch):
        def __iter__(self) -> Iterator[worker.ScoredChunk]:
            for number, scored in enumerate(super().__iter__()):
                if number == after_chunks:
                    CHANGES[change](next(copy.glob("*.flac")))
                yield scored

    with monkeypatch.context() as patch:
        patch.setattr("whalescan.survey.scoring.Dispatch", Replacing)
        survey = scan(copy, tmp_path / "out")
    assert survey.exit_code == 3
    assert [row.outcome.status for row in survey.files] == [Status.DONE, Status.FAILED, Status.DONE]
    assert "changed while it was analysed; give the same command again" in survey.files[1].outcome.problem
    assert {call.recording for call in survey.detections} == {survey.files[0].name, survey.files[2].name}
    n_before = len(diary(here))
    assert scan(copy, tmp_path / "out").exit_code == 0
    assert 10 < len(diary(here)) - n_before < N_CHUNKS, "it, and the one that goes on in it"
    scan(copy, tmp_path / "new")
    assert outputs(tmp_path / "out") == outputs(tmp_path / "new")


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.usefixtures("here")
def test_a_recording_that_changed_after_a_kill(copy: Path, tmp_path: Path, change: str) -> None:
    interrupted(copy, fresh(tmp_path, "killed"))
    CHANGES[change](min(copy.glob("*.wav")))
    assert scan(copy, tmp_path / "killed" / "out").exit_code == 0
    scan(copy, tmp_path / "new")
    assert outputs(tmp_path / "killed" / "out") == outputs(tmp_path / "new")


def test_recordings_come_and_go(copy: Path, here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last, aside = copy / NAMES[2], tmp_path / "aside.aiff"
    out = tmp_path / "out"
    last.rename(aside)
    scan(copy, out)
    few, n_few = outputs(out), len(diary(here))
    aside.rename(last)
    assert len(scan(copy, out).files) == 3
    assert len(diary(here)) - n_few == 20, "the new one, and the one that goes on in it now"
    scan(copy, tmp_path / "new")
    assert outputs(out) == outputs(tmp_path / "new")
    last.rename(aside)
    capsys.readouterr()
    assert scan(copy, out).exit_code == 0
    said = f"{last.stem} was scored once, and is not among the recordings now"
    assert said in capsys.readouterr().err
    assert said in (out / "run.log").read_text()
    left = f"scores/{last.stem}.npz"
    assert {name: content for name, content in outputs(out).items() if name != left} == few


def test_a_recording_that_is_away_for_a_while(copy: Path, here: Path, tmp_path: Path) -> None:
    interrupted(copy, fresh(tmp_path, "killed"))
    out, first = tmp_path / "killed" / "out", min(copy.glob("*.wav"))
    first.rename(tmp_path / "aside.wav")
    assert scan(copy, out).exit_code == 0
    (tmp_path / "aside.wav").rename(first)
    n_before = len(diary(here))
    assert scan(copy, out).exit_code == 0
    assert len(diary(here)) - n_before < 7, "its journal was kept"
    scan(copy, tmp_path / "new")
    assert outputs(out) == outputs(tmp_path / "new")


# ---------------------------------------------------------------------------------------------- a disk, a lock


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 20 MB."""
    folder = fresh(tmp_path, "disk")
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


def test_a_full_disk_that_gets_room_bit_by_bit(
    recordings: Path, undisturbed: Undisturbed, small_disk: Path, tmp_path: Path
) -> None:
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    n_full = 0
    while (client := start(command(recordings, small_disk / "out"), tmp_path)).ends():
        assert client.ends() == 1
        assert re.search(r"No space left on device\); make room .* give the same command again", client.said.read_text())
        n_full += 1
        os.truncate(ballast, ballast.stat().st_size - 7 * 4096)
    assert n_full > 3
    assert ballast.stat().st_size > 2**24
    assert outputs(small_disk / "out") == undisturbed.outputs
    assert len(diary(tmp_path)) - N_CHUNKS <= 4 * n_full


def test_two_runs_in_one_folder(recordings: Path, undisturbed: Undisturbed, tmp_path: Path) -> None:
    out, (one, other) = tmp_path / "out", (fresh(tmp_path, "one"), fresh(tmp_path, "other"))
    first = start(command(recordings, out), one, 20)
    wait_until(lambda: len(diary(one)) > 0, first)
    second = start(command(recordings, out), other)
    assert second.ends() == 2
    assert f"process {first.pid} on {platform.node()}" in second.said.read_text()
    assert diary(other) == []
    first.kill()
    assert start(command(recordings, out), other).ends() == 0
    assert outputs(out) == undisturbed.outputs


def test_a_folder_that_is_in_use(recordings: Path, undisturbed: Undisturbed, here: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    scan(recordings, out)
    (out / "scores" / ".123.partial").write_bytes(b"half")
    (out / ".my.partial").write_bytes(b"the analyst's own")
    holder = start_holding(out, tmp_path)
    wait_until(holder.said.exists, holder)
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
    assert len(diary(here)) == N_CHUNKS
    assert outputs(out) == {**undisturbed.outputs, ".my.partial": b"the analyst's own"}
