"""Finding recordings, and reading their headers."""

from __future__ import annotations

import io
import os
import struct
import sys
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
import soundfile

from tests.builders import read_recording, write_sound
from whalescan import RecordingError, UsageError
from whalescan.audio import headers, reading
from whalescan.audio.recordings import AudioFile, find_recordings, read_header
from whalescan.audio.start_times import ClockOptions
from whalescan.core import FloatArray, plain_text
from whalescan.options import ScoreOptions
from whalescan.survey.scoring import inspect_recordings


def test_folders_are_searched_recursively_for_suffixes_in_any_case(tmp_path: Path, noise: FloatArray) -> None:
    for name in ("b.WAV", "a.wav", "deep/er/c.Flac", "d.aif", "e.AIFF"):
        write_sound(tmp_path / name, noise, format=Path(name).suffix[1:].upper().replace("AIF", "AIFF")[:4])
    (tmp_path / "notes.txt").write_text("not audio")
    (tmp_path / "._a.wav").write_bytes(b"metadata of macOS")
    assert [found.name for found in find_recordings([tmp_path])] == ["a", "b", "d", "deep/er/c", "e"]


def test_files_and_patterns(tmp_path: Path, noise: FloatArray) -> None:
    for name in ("a1.wav", "a2.wav", "b.wav"):
        write_sound(tmp_path / name, noise)
    assert [found.name for found in find_recordings([tmp_path / "a*.wav", tmp_path / "b.wav"])] == ["a1", "a2", "b"]
    assert len(find_recordings([tmp_path, tmp_path / "b.wav"])) == 3, "a file given twice is one recording"


def test_names_are_unique(tmp_path: Path, noise: FloatArray) -> None:
    for name in ("one/a.wav", "one/a.flac", "one/b.wav", "two/b.wav"):
        write_sound(tmp_path / name, noise)
    assert [found.name for found in find_recordings([tmp_path / "one"])] == ["a.flac", "a.wav", "b"]
    names = [found.name for found in find_recordings([tmp_path / "one", tmp_path / "two"])]
    assert len(set(names)) == 4
    assert {"one/b.wav", "two/b.wav"} < set(names)


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 500, 1300])
def test_each_recording_is_inspected_once_in_order(tmp_path: Path, n: int) -> None:
    found = [AudioFile(f"{i}", tmp_path / f"{i}.wav", f"{i}.wav") for i in range(n)]
    assert [row.name for row in inspect_recordings(found, ClockOptions(), ScoreOptions()) if not row.channels] == [
        one.name for one in found
    ]


@pytest.mark.parametrize("inputs", [[], ["nowhere"], ["nowhere/*.wav"]])
def test_inputs_that_do_not_exist_are_refused(inputs: list[str]) -> None:
    with pytest.raises(UsageError):
        find_recordings(inputs)


def test_folder_that_cannot_be_read(tmp_path: Path, noise: FloatArray, monkeypatch: pytest.MonkeyPatch) -> None:
    """A subfolder is a failed recording; the folder that was given is an error of usage."""
    write_sound(tmp_path / "a.wav", noise)
    locked = tmp_path / "locked"
    locked.mkdir()
    scan = os.scandir

    def refuse(path: str) -> object:
        if Path(path) == locked:
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    names = {found.name: found for found in find_recordings([tmp_path])}
    assert set(names) == {"a", "locked"}
    with pytest.raises(RecordingError, match="locked"):
        read_header(names["locked"])
    with pytest.raises(UsageError, match="Permission denied"):
        find_recordings([locked])


def test_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no recordings"):
        find_recordings([tmp_path])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "0 bytes"),
        (b"not audio, in spite of its name", "not a sound file"),
        (b"\0" * 5000, "not a sound file"),
        (b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0", "not a sound file"),
    ],
)
def test_files_that_are_not_audio(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=words) as error:
        read_recording(path)
    assert str(path) in str(error.value)


def test_header_without_samples(tmp_path: Path) -> None:
    for suffix in (".wav", ".aiff"):
        with pytest.raises(RecordingError, match="no samples"):
            read_recording(write_sound(tmp_path / f"x{suffix}", np.zeros(0)))


def test_rate_too_low_for_upcalls(tmp_path: Path, noise: FloatArray) -> None:
    with pytest.raises(RecordingError, match="500 Hz"):
        read_recording(write_sound(tmp_path / "x.wav", noise, 500))


def _patch_wav_length(path: Path, length: int) -> None:
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", length)
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("length", [0, 8000])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_wav_header_with_a_length_that_is_too_small(tmp_path: Path, noise: FloatArray, length: int, subtype: str) -> None:
    """A recorder that lost power leaves 0; one that wrote beyond 4 GiB leaves the length modulo 4 GiB."""
    path = write_sound(tmp_path / "x.wav", noise, subtype=subtype)
    whole = reading.read(read_recording(path), 1, 2000, 0, 20_000)
    _patch_wav_length(path, length)
    recording = read_recording(path)
    assert recording.n_frames == 20_000
    assert "header" in recording.problem
    np.testing.assert_array_equal(reading.read(recording, 1, 2000, 0, 20_000).samples, whole.samples)


@pytest.mark.skipif(sys.platform == "win32", reason="needs sparse files")
def test_wav_beyond_4_gib_with_a_wrapped_length(tmp_path: Path, noise: FloatArray) -> None:
    path = write_sound(tmp_path / "x.wav", noise, subtype="PCM_16")
    header, samples = path.read_bytes()[:44], path.read_bytes()[44:]
    n_bytes = 2**32 + 123_456_000 + len(samples)
    with path.open("wb") as file:
        file.write(header[:40] + struct.pack("<I", n_bytes % 2**32))
        file.seek(n_bytes - len(samples), 1)
        file.write(samples)
    recording = read_recording(path)
    assert recording.n_frames == n_bytes // 2
    last = reading.read(recording, 1, 2000, recording.n_frames - 20_000, recording.n_frames)
    np.testing.assert_allclose(last.samples, noise, atol=1e-4)


def test_rf64_without_a_length(tmp_path: Path, noise: FloatArray) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, noise, 2000, format="RF64", subtype="PCM_16")
    content = bytearray(path.read_bytes())
    at = content.index(b"ds64") + 8
    content[at : at + 24] = bytes(24)
    path.write_bytes(bytes(content))
    recording = read_recording(path)
    assert (recording.n_frames, bool(recording.problem)) == (20_000, True)
    np.testing.assert_allclose(reading.read(recording, 1, 2000, 0, 20_000).samples, noise, atol=1e-4)


def test_w64_without_a_length(tmp_path: Path, noise: FloatArray) -> None:
    path = write_sound(tmp_path / "x.w64", noise, format="W64", subtype="PCM_16")
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 16
    content[at : at + 8] = struct.pack("<Q", 24)
    path.write_bytes(bytes(content))
    recording = read_recording(path)
    assert (recording.n_frames, bool(recording.problem)) == (20_000, True)
    np.testing.assert_allclose(reading.read(recording, 1, 2000, 0, 20_000).samples, noise, atol=1e-4)


@pytest.mark.parametrize("seconds", [10, 40])
def test_flac_without_a_length(tmp_path: Path, noise: FloatArray, seconds: int) -> None:
    path = write_sound(tmp_path / "x.flac", np.tile(noise, seconds // 10), subtype="PCM_16")
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the last 36 bits of 8 bytes in STREAMINFO hold the number of samples
    content[22:26] = bytes(4)
    path.write_bytes(bytes(content))
    recording = read_recording(path)
    assert recording.n_frames >= seconds * 2000 - 1, "libsndfile omits the last sample"
    assert not reading.read(recording, 1, 2000, 0, seconds * 2000).is_unreadable.any()


def test_padding_behind_the_samples_is_not_read(tmp_path: Path, noise: FloatArray) -> None:
    path = write_sound(tmp_path / "x.wav", noise, subtype="PCM_16")
    path.write_bytes(path.read_bytes() + bytes(30_000))
    assert (read_recording(path).n_frames, read_recording(path).problem) == (20_000, "")


def test_24_bit_samples_in_32_bits(tmp_path: Path, noise: FloatArray) -> None:
    path = write_sound(tmp_path / "x.wav", noise, subtype="PCM_32")
    content = bytearray(path.read_bytes())
    at = content.index(b"fmt ") + 8
    content[at + 14 : at + 16] = struct.pack("<H", 24)
    path.write_bytes(bytes(content))
    _patch_wav_length(path, 0)
    samples = reading.read(read_recording(path), 1, 2000, 0, 20_000).samples
    np.testing.assert_allclose(samples, noise, atol=1e-4)


def test_name_too_long_for_its_tables(tmp_path: Path, noise: FloatArray) -> None:
    with pytest.raises(RecordingError, match="too long"):
        read_recording(write_sound(tmp_path / f"{'x' * 230}.wav", noise))


def test_name_that_looks_like_a_channel_of_another_recording(tmp_path: Path, noise: FloatArray) -> None:
    for name in ("a.wav", "a.ch2.wav", "b'.wav", 'b".wav'):
        write_sound(tmp_path / name, noise)
    names = [found.name for found in find_recordings([tmp_path])]
    assert names[:2] == ["a", "a.ch2.wav"]
    assert len({plain_text(name) for name in names}) == 4


def test_relative_paths_begin_at_the_wildcard(tmp_path: Path, noise: FloatArray) -> None:
    for name in ("s1/a.wav", "s2/a.wav"):
        write_sound(tmp_path / name, noise)
    assert [found.relative_path for found in find_recordings([tmp_path / "*" / "*.wav"])] == ["s1/a.wav", "s2/a.wav"]


def test_aiff_header_with_a_length_that_is_too_small(tmp_path: Path, noise: FloatArray) -> None:
    path = write_sound(tmp_path / "x.aiff", noise, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    at = content.index(b"COMM") + 10
    content[at : at + 4] = struct.pack(">I", 0)
    path.write_bytes(bytes(content))
    recording = read_recording(path)
    assert (recording.n_frames, bool(recording.problem)) == (20_000, True)
    np.testing.assert_allclose(reading.read(recording, 1, 2000, 0, 20_000).samples, noise, atol=1e-4)


def test_unknown_length_in_a_header_is_not_a_problem(tmp_path: Path, noise: FloatArray) -> None:
    path = write_sound(tmp_path / "x.wav", noise)
    _patch_wav_length(path, 0xFFFFFFFF)
    recording = read_recording(path)
    assert (recording.n_frames, recording.problem) == (20_000, "")


def test_chunks_behind_the_samples_are_not_read(tmp_path: Path, noise: FloatArray) -> None:
    path = write_sound(tmp_path / "x.wav", noise)
    path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 6000) + b"\0" * 6000)
    recording = read_recording(path)
    assert (recording.n_frames, recording.problem) == (20_000, "")


@pytest.mark.parametrize(("suffix", "kind"), [(".wav", "WAV"), (".aiff", "AIFF"), (".wav", "RF64"), (".w64", "W64")])
def test_file_cut_short(tmp_path: Path, noise: FloatArray, suffix: str, kind: str) -> None:
    path = write_sound(tmp_path / f"x{suffix}", noise, format=kind, subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:-20_000])
    recording = read_recording(path)
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
def test_every_format_gives_the_same_samples(
    tmp_path: Path, noise: FloatArray, suffix: str, options: dict[str, str]
) -> None:
    path = tmp_path / f"x{suffix}"
    integers = np.round(noise * 32767).astype(np.int16)
    soundfile.write(path, integers, 2000, subtype="PCM_16", **options)
    found = find_recordings([tmp_path])
    recording = read_header(found[0])
    assert (recording.n_frames, recording.rate_hz, recording.problem) == (20_000, 2000, "")
    samples = reading.read(recording, 1, 2000, 0, 20_000).samples
    np.testing.assert_array_equal(samples, integers / np.float32(32768))


@pytest.mark.parametrize("name", ["a b", "tab\there", 'quo"te', "Größe", "=1+1", "a.b.c"])
def test_names_with_special_characters(tmp_path: Path, noise: FloatArray, name: str) -> None:
    write_sound(tmp_path / f"{name}.wav", noise)
    found = find_recordings([tmp_path])
    assert found == [AudioFile(name, tmp_path / f"{name}.wav", f"{name}.wav")]
    assert read_header(found[0]).duration_s == 10


# --- headers without samples


@pytest.mark.parametrize(("suffix", "encoding"), [("wav", "WAV PCM_16"), ("flac", "FLAC PCM_16"), ("aiff", "AIFF PCM_16")])
def test_headers_are_read_without_the_samples(
    tmp_path: Path, noise: FloatArray, suffix: str, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A survey of 100,000 recordings can be planned in minutes only if each takes a few thousand bytes."""
    path = write_sound(tmp_path / f"x_20190101T000000Z.{suffix}", np.tile(noise, 20), subtype="PCM_16")
    counts: list[int] = []
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode="r": _CountingFile(opened(self, mode), counts))
    recording = read_recording(path)
    assert (recording.encoding, recording.time_source) == (encoding, "name")
    assert recording.size_bytes > 400_000
    assert 0 < sum(counts) < 20_000


class _CountingFile:
    """A file that records how many bytes are read."""

    def __init__(self, file: IO[Any], counts: list[int]) -> None:
        self._file, self._counts = file, counts

    def __enter__(self) -> _CountingFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def read(self, n: int = -1) -> bytes:
        content: bytes = self._file.read(n)
        self._counts.append(len(content))
        return content


def test_container_header_of_a_file_that_is_not_audio() -> None:
    assert headers.read_container_header(io.BytesIO(b""), 0) is None
    assert (
        headers.read_container_header(io.BytesIO(b"RIFF\0\0\0\0WAVELIST\xff\xff\xff\xffINFOICMT\xff\xff\xff\xffabc"), 31)
        is None
    )
