"""Files are absent, old or whole, and folders that commands fill hold nothing but what they wrote."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from whalescan import OutputError, UsageError
from whalescan.core.files import (
    append_atomically,
    check_writable,
    claim_folder,
    keep_only,
    remove_partials,
    write_atomically,
)


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_file_is_written_with_its_folders_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a" / "b.csv", b"1")
    write_atomically(tmp_path / "a" / "b.csv", b"2")
    check_writable(tmp_path / "a")
    assert (tmp_path / "a" / "b.csv").read_bytes() == b"2"
    assert names_in(tmp_path) == {"a/b.csv"}


def test_file_and_folder_reach_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[bool] = []
    fsync = os.fsync

    def record(handle: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{handle}").resolve().is_dir())
        fsync(handle)

    monkeypatch.setattr(os, "fsync", record)
    write_atomically(tmp_path / "a.csv", b"1")
    append_atomically(tmp_path / "b.journal", 0, b"1")
    append_atomically(tmp_path / "b.journal", 1, b"2")
    if Path("/proc/self/fd").exists():
        assert flushed == [False, True, False, True, False], "a file that exists needs no flush of its folder"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomically(tmp_path / "a.csv", b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        write_atomically(tmp_path / "a.csv", b"new")
    with pytest.raises(OutputError, match="No space left"):
        append_atomically(tmp_path / "a.csv", 3, b"more")
    assert (tmp_path / "a.csv").read_bytes() == b"old"
    assert names_in(tmp_path) == {"a.csv"}


def test_a_disk_that_cannot_flush_folders_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "open", refuse)
    write_atomically(tmp_path / "a.csv", b"1")
    assert (tmp_path / "a.csv").read_bytes() == b"1"


def test_threads_write_side_by_side(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: write_atomically(tmp_path / f"{i}.csv", str(i).encode() * 1000), range(100)))
    assert all((tmp_path / f"{i}.csv").read_bytes() == str(i).encode() * 1000 for i in range(100))
    assert len(names_in(tmp_path)) == 100


def test_what_killed_processes_left_is_removed(tmp_path: Path) -> None:
    for name in (".123.partial", "a/.123-456.partial", "a/notes.partial", ".x.partial"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    remove_partials(tmp_path)
    assert names_in(tmp_path) == {"a/notes.partial", ".x.partial"}


def test_content_is_appended_behind_what_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    append_atomically(path, 0, b"first")
    append_atomically(path, 5, b"half a rec")
    append_atomically(path, 5, b"second")
    assert path.read_bytes() == b"firstsecond"


def test_a_claimed_folder_holds_what_is_wanted_now(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    claim_folder(folder, ["a.wav", "below/b.wav"])
    write_atomically(folder / "a.wav", b"")
    write_atomically(folder / "below" / "b.wav", b"")
    claim_folder(folder, ["a.wav"])
    keep_only(folder, ["a.wav"])
    assert names_in(folder) == {"a.wav", ".whalescan-files"}


def test_a_folder_with_files_of_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_bytes(b"")
    with pytest.raises(UsageError, match=r"thesis\.docx"):
        claim_folder(tmp_path, ["a.wav"])
    with pytest.raises(UsageError, match="is a file"):
        claim_folder(tmp_path / "thesis.docx", ["a.wav"])
    assert names_in(tmp_path) == {"thesis.docx"}
