from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import recording_of, write_sound
from whalescan import RecordingError, UsageError
from whalescan.audio import reading
from whalescan.audio.recordings import Found, find, inspect
from whalescan.audio.start_times import ClockOptions
from whalescan.core import FloatArray, plain_text
from whalescan.options import ScoreOptions
from whalescan.survey.inspection import inspect_all
from whalescan.tables.csvs import FileRow


def test_folders_are_searched_whatever_the_case_of_the_suffix(tmp_path: Path, noise: FloatArray) -> None:
    for name in ("b.WAV", "a.wav", "deep/er/c.Flac", "d.aif", "e.AIFF"):
        write_sound(tmp_path / name, noise, format=Path(name).suffix[1:].upper().replace("AIF", "AIFF")[:4])
    (tmp_path / "notes.txt").write_text("no sound")
    (tmp_path / "._a.wav").write_bytes(b"what macOS leaves behind")
    assert [found.name for found in find([tmp_path])] == ["a", "b", "d", "deep/er/c", "e"]


def test_files_and_patterns(tmp_path: Path, noise: FloatArray) -> None:
    for name in ("a1.wav", "a2.wav", "b.wav"):
        write_sound(tmp_path / name, noise)
    assert [found.name for found in find([tmp_path / "a*.wav", tmp_path / "b.wav"])] == ["a1", "a2", "b"]
    assert len(find([tmp_path, tmp_path / "b.wav"])) == 3, "the same file given twice is one recording"


def test_recordings_that_would_share_a_name(tmp_path: Path, noise: FloatArray) -> None:
    for name in ("one/a.wav", "one/a.flac", "one/b.wav", "two/b.wav"):
        write_sound(tmp_path / name, noise)
    assert [found.name for found in find([tmp_path / "one"])] == ["a.flac", "a.wav", "b"]
    names = [found.name for found in find([tmp_path / "one", tmp_path / "two"])]
    assert len(set(names)) == 4
    assert {"one/b.wav", "two/b.wav"} < set(names)


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 500, 1300])
def test_each_of_any_number_is_looked_at_once_and_in_order(tmp_path: Path, n: int) -> None:
    found = [Found(f"{i}", tmp_path / f"{i}.wav", f"{i}.wav") for i in range(n)]
    assert [row.name for row in inspect_all(found, ClockOptions(), ScoreOptions()) if isinstance(row, FileRow)] == [
        one.name for one in found
    ]


@pytest.mark.parametrize("inputs", [[], ["nowhere"], ["nowhere/*.wav"]])
def test_nothing_to_listen_to(inputs: list[str]) -> None:
    with pytest.raises(UsageError):
        find(inputs)


def test_folders_that_cannot_be_read(tmp_path: Path, noise: FloatArray, monkeypatch: pytest.MonkeyPatch) -> None:
    """One below the folder given is a failed recording, the folder given itself is a mistake in the command."""
    write_sound(tmp_path / "a.wav", noise)
    locked = tmp_path / "locked"
    locked.mkdir()
    scan = os.scandir

    def refuse(path: str) -> object:
        if Path(path) == locked:
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    names = {found.name: found for found in find([tmp_path])}
    assert set(names) == {"a", "locked"}
    with pytest.raises(RecordingError, match="locked"):
        inspect(names["locked"])
    with pytest.raises(UsageError, match="Permission denied"):
        find([locked])


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no recordings there"):
        find([tmp_path])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "0 bytes"),
        (b"this is no sound at all, however it may be called", "not a sound file"),
        (b"\0" * 5000, "not a sound file"),
        (b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0", "not a sound file"),
    ],
)
def test_files_without_sound(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=words) as error:
        recording_of(path)
    assert str(path) in str(error.value)


def test_a_header_alone(tmp_path: Path) -> None:
    for suffix in (".wav", ".aiff"):
        with pytest.raises(RecordingError, match="without any sound"):
            recording_of(write_sound(tmp_path / f"x{suffix}", np.zeros(0)))


def test_a_rate_in_which_no_upcall_fits(tmp_path: Path, noise: FloatArray) -> None:
    with pytest.raises(RecordingError, match="500 Hz"):
        recording_of(write_sound(tmp_path / "x.wav", noise, 500))


def _patch_wav_length(path: Path, length: int) -> None:
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", length)
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("length", [0, 8000])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_wav_header_that_states_too_little(tmp_path: Path, noise: FloatArray, length: int, subtype: str) -> None:
    """A recorder that died states 0, one that passed 4 GiB states what is left over."""
    path = write_sound(tmp_path / "x.wav", noise, subtype=subtype)
    whole = reading.read(recording_of(path), 1, 2000, 0, 20_000)
    _patch_wav_length(path, length)
    recording = recording_of(path)
    assert recording.n_frames == 20_000
    assert "header" in recording.problem
    np.testing.assert_array_equal(reading.read(recording, 1, 2000, 0, 20_000).samples, whole.samples)


@pytest.mark.skipif(sys.platform == "win32", reason="the file takes no room only where files may be sparse")
def test_wav_past_4_gib_with_a_length_that_wrapped_around(tmp_path: Path, noise: FloatArray) -> None:
    path = write_sound(tmp_path / "x.wav", noise, subtype="PCM_16")
    header, sound = path.read_bytes()[:44], path.read_bytes()[44:]
    n_bytes = 2**32 + 123_456_000 + len(sound)
    with path.open("wb") as file:
        file.write(header[:40] + struct.pack("<I", n_bytes % 2**32))
        file.seek(n_bytes - len(sound), 1)
        file.write(sound)
    recording = recording_of(path)
    assert recording.n_frames == n_bytes // 2
    last = reading.read(recording, 1, 2000, recording.n_frames - 20_000, recording.n_frames)
    np.testing.assert_allclose(last.samples, noise, atol=1e-4)


def test_rf64_whose_recorder_died(tmp_path: Path, noise: FloatArray) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, noise, 2000, format="RF64", subtype="PCM_16")
    content = bytearray(path.read_bytes())
    at = content.index(b"ds64") + 8
    content[at : at + 24] = bytes(24)
    path.write_bytes(bytes(content))
    recording = recording_of(path)
    assert (recording.n_frames, bool(recording.problem)) == (20_000, True)
    np.testing.assert_allclose(reading.read(recording, 1, 2000, 0, 20_000).samples, noise, atol=1e-4)


def test_w64_whose_recorder_died(tmp_path: Path, noise: FloatArray) -> None:
    path = write_sound(tmp_path / "x.w64", noise, format="W64", subtype="PCM_16")
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 16
    content[at : at + 8] = struct.pack("<Q", 24)
    path.write_bytes(bytes(content))
    recording = recording_of(path)
    assert (recording.n_frames, bool(recording.problem)) == (20_000, True)
    np.testing.assert_allclose(reading.read(recording, 1, 2000, 0, 20_000).samples, noise, atol=1e-4)


@pytest.mark.parametrize("seconds", [10, 40])
def test_flac_that_does_not_state_its_length(tmp_path: Path, noise: FloatArray, seconds: int) -> None:
    path = write_sound(tmp_path / "x.flac", np.tile(noise, seconds // 10), subtype="PCM_16")
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the last 36 bits of 8 bytes in STREAMINFO are the number of samples
    content[22:26] = bytes(4)
    path.write_bytes(bytes(content))
    recording = recording_of(path)
    assert recording.n_frames >= seconds * 2000 - 1, "libsndfile keeps the very last sample to itself"
    assert not reading.read(recording, 1, 2000, 0, seconds * 2000).lost.any()


def test_a_recorder_that_fills_up_its_clusters(tmp_path: Path, noise: FloatArray) -> None:
    path = write_sound(tmp_path / "x.wav", noise, subtype="PCM_16")
    path.write_bytes(path.read_bytes() + bytes(30_000))
    assert (recording_of(path).n_frames, recording_of(path).problem) == (20_000, "")


def test_24_bits_in_32(tmp_path: Path, noise: FloatArray) -> None:
    path = write_sound(tmp_path / "x.wav", noise, subtype="PCM_32")
    content = bytearray(path.read_bytes())
    at = content.index(b"fmt ") + 8
    content[at + 14 : at + 16] = struct.pack("<H", 24)
    path.write_bytes(bytes(content))
    _patch_wav_length(path, 0)
    samples = reading.read(recording_of(path), 1, 2000, 0, 20_000).samples
    np.testing.assert_allclose(samples, noise, atol=1e-4)


def test_a_name_too_long_for_its_tables(tmp_path: Path, noise: FloatArray) -> None:
    with pytest.raises(RecordingError, match="too long"):
        recording_of(write_sound(tmp_path / f"{'x' * 230}.wav", noise))


def test_names_that_look_like_another_recordings_channel(tmp_path: Path, noise: FloatArray) -> None:
    for name in ("a.wav", "a.ch2.wav", "b'.wav", 'b".wav'):
        write_sound(tmp_path / name, noise)
    names = [found.name for found in find([tmp_path])]
    assert names[:2] == ["a", "a.ch2.wav"]
    assert len({plain_text(name) for name in names}) == 4


def test_a_pattern_keeps_the_folders_below_it(tmp_path: Path, noise: FloatArray) -> None:
    for name in ("s1/a.wav", "s2/a.wav"):
        write_sound(tmp_path / name, noise)
    assert [found.relative for found in find([tmp_path / "*" / "*.wav"])] == ["s1/a.wav", "s2/a.wav"]


def test_aiff_header_that_states_too_little(tmp_path: Path, noise: FloatArray) -> None:
    path = write_sound(tmp_path / "x.aiff", noise, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    at = content.index(b"COMM") + 10
    content[at : at + 4] = struct.pack(">I", 0)
    path.write_bytes(bytes(content))
    recording = recording_of(path)
    assert (recording.n_frames, bool(recording.problem)) == (20_000, True)
    np.testing.assert_allclose(reading.read(recording, 1, 2000, 0, 20_000).samples, noise, atol=1e-4)


def test_a_header_that_does_not_know_the_length_yet_is_no_problem(tmp_path: Path, noise: FloatArray) -> None:
    path = write_sound(tmp_path / "x.wav", noise)
    _patch_wav_length(path, 0xFFFFFFFF)
    recording = recording_of(path)
    assert (recording.n_frames, recording.problem) == (20_000, "")


def test_chunks_behind_the_sound_are_not_taken_for_sound(tmp_path: Path, noise: FloatArray) -> None:
    path = write_sound(tmp_path / "x.wav", noise)
    path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 6000) + b"\0" * 6000)
    recording = recording_of(path)
    assert (recording.n_frames, recording.problem) == (20_000, "")


@pytest.mark.parametrize(("suffix", "kind"), [(".wav", "WAV"), (".aiff", "AIFF"), (".wav", "RF64"), (".w64", "W64")])
def test_a_file_cut_short(tmp_path: Path, noise: FloatArray, suffix: str, kind: str) -> None:
    path = write_sound(tmp_path / f"x{suffix}", noise, format=kind, subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:-20_000])
    recording = recording_of(path)
    assert recording.n_frames == 10_000
    assert "cut short" in recording.problem


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".wav", {}),
        (".wav", {"format": "WAVEX"}),
        (".wav", {"format": "RF64"}),
        (".w64", {"format": "W64"}),
        (".aiff", {}),
        (".aifc", {"format": "AIFF", "endian": "LITTLE"}),
        (".flac", {}),
    ],
)
def test_every_format_gives_the_same_sound(tmp_path: Path, noise: FloatArray, suffix: str, options: dict[str, str]) -> None:
    path = tmp_path / f"x{suffix}"
    integers = np.round(noise * 32767).astype(np.int16)
    soundfile.write(path, integers, 2000, subtype="PCM_16", **options)
    found = find([tmp_path])
    recording = inspect(found[0])
    assert (recording.n_frames, recording.rate_hz, recording.problem) == (20_000, 2000, "")
    samples = reading.read(recording, 1, 2000, 0, 20_000).samples
    np.testing.assert_array_equal(samples, integers / np.float32(32768))


@pytest.mark.parametrize("name", ["a b", "tab\there", 'quo"te', "Größe", "=1+1", "a.b.c"])
def test_names_that_are_hard_on_tables(tmp_path: Path, noise: FloatArray, name: str) -> None:
    write_sound(tmp_path / f"{name}.wav", noise)
    found = find([tmp_path])
    assert found == [Found(name, tmp_path / f"{name}.wav", f"{name}.wav")]
    assert inspect(found[0]).duration_s == 10
