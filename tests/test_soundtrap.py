"""Start times by SoundTrap logs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import read_recording, utc, write_sound
from whalescan import RecordingError
from whalescan.audio.start_times import read_start_time

RATE_HZ = 2000
N_FRAMES = 20_000
NOISE = (0.1 * np.random.default_rng(5).standard_normal(N_FRAMES)).astype(np.float32)


def handler(number: int, **attributes: str) -> str:
    """Return a block as SoundTrap Host writes it: one element for each attribute."""
    lines = (
        f'<PROC_EVENT ID="{number}"><WavFileHandler {key}="{value}" /></PROC_EVENT>' for key, value in attributes.items()
    )
    return "\n".join(lines)


def config(number: int, suffix: str, rate_hz: int) -> str:
    return (
        f'<CFG Time="2019-01-01T04:59:58" ID="{number}" FTYPE="wav"><FS UNITS="Hz"> {rate_hz} </FS>'
        f'<SUFFIX> {suffix} </SUFFIX><TIMECHK> 0 </TIMECHK><SRC ID="4" /></CFG>'
    )


def write_log(recording: Path, *parts: str) -> Path:
    path = recording.with_name(f"{recording.stem}.log.xml")
    head = '<?xml version="1.0" encoding="us-ascii"?>\n<ST>\n<EVENT><HARDWARE_ID> 5678 </HARDWARE_ID></EVENT>\n'
    path.write_text(head + "\n".join(parts) + "\n</ST>\n")
    return path


def start_attributes(start: str = "2019-01-01T05:00:00", n: int | None = N_FRAMES) -> dict[str, str]:
    attributes = {
        "OffloaderTimeZone": "(UTC-05:00) Eastern Time (US &amp; Canada)",
        "SamplingStartTimeLocal": "2019-01-01T00:00:00",
        "SamplingStartTimeUTC": start,
        "SamplingStartTimeSubS": "250000 us",
        "CumulativeSamplingGap": "0 us",
    }
    return attributes | ({} if n is None else {"SampleCount": str(n)})


@pytest.fixture
def soundtrap(tmp_path: Path) -> Path:
    return write_sound(tmp_path / "5678.190101000000.wav", NOISE, RATE_HZ, subtype="PCM_16")


def test_start_from_the_log(soundtrap: Path) -> None:
    write_log(soundtrap, config(5, "wav", RATE_HZ), handler(5, **start_attributes()))
    recording = read_recording(soundtrap)
    assert recording.start_utc == utc("2019-01-01T05:00:00.25")
    assert (recording.time_source, recording.clock_problem) == ("soundtrap-xml", "")
    assert (recording.start_local, recording.recorder) == (datetime(2019, 1, 1), "5678")
    assert (recording.clock_segments, recording.encoding) == ((), "WAV PCM_16")


def test_all_attributes_in_one_element(soundtrap: Path) -> None:
    attributes = " ".join(f'{key}="{value}"' for key, value in start_attributes().items())
    write_log(soundtrap, f"<WavFileHandler {attributes} />")
    assert read_recording(soundtrap).time_source == "soundtrap-xml"


@pytest.mark.parametrize("timezone", ["UTC", "UTC-5", "America/New_York"])
def test_timezone_does_not_change_the_start_from_a_log(soundtrap: Path, timezone: str) -> None:
    write_log(soundtrap, handler(5, **start_attributes()))
    recording = read_recording(soundtrap, timezone)
    assert recording.start_utc == utc("2019-01-01T05:00:00.25")
    assert recording.clock_problem == ""


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_block_of_the_recording_is_used_not_that_of_the_click_detector(soundtrap: Path, order: Sequence[int]) -> None:
    blocks = [handler(5, **start_attributes()), handler(13, **start_attributes("2019-01-01T05:03:00", 777))]
    configs = [config(5, "wav", RATE_HZ), config(13, "dwv", 576_000)]
    write_log(soundtrap, *(configs[i] for i in order), *(blocks[i] for i in order))
    assert read_recording(soundtrap).start_utc == utc("2019-01-01T05:00:00.25")


def test_block_is_chosen_by_sample_count_or_suffix(soundtrap: Path) -> None:
    """Two files with one number: a repeated attribute begins the next block."""
    first, second = start_attributes("2019-01-01T01:00:00", 999), start_attributes()
    write_log(soundtrap, handler(5, **first), handler(5, **second))
    assert read_recording(soundtrap).start_utc == utc("2019-01-01T05:00:00.25")
    first, second = start_attributes(n=None), start_attributes("2019-01-01T01:00:00", None)
    write_log(soundtrap, config(5, "wav", RATE_HZ), config(6, "dwv", RATE_HZ), handler(6, **second), handler(5, **first))
    assert read_recording(soundtrap).start_utc == utc("2019-01-01T05:00:00.25")
    write_log(soundtrap, handler(6, **second), handler(5, **first))
    assert "2 start" in read_recording(soundtrap).clock_problem


@pytest.mark.parametrize("n", [0, None, N_FRAMES, N_FRAMES * 24])
def test_log_of_a_resampled_recording(soundtrap: Path, n: int | None) -> None:
    write_log(
        soundtrap, config(5, "wav", RATE_HZ * 24 if n == N_FRAMES * 24 else RATE_HZ), handler(5, **start_attributes(n=n))
    )
    assert read_recording(soundtrap).time_source == "soundtrap-xml"


def test_log_of_a_recording_cut_short(soundtrap: Path) -> None:
    soundtrap.write_bytes(soundtrap.read_bytes()[:-20_000])
    write_log(soundtrap, handler(5, **start_attributes()))
    assert read_recording(soundtrap).time_source == "soundtrap-xml"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2019-01-01T05:00:00", "2019-01-01T05:00:00.25"),
        ("2019-01-01T05:00:00Z", "2019-01-01T05:00:00.25"),
        ("2019-01-01 05:00:00 UTC", "2019-01-01T05:00:00.25"),
        ("2019-01-01 00:00:00 EST", "2019-01-01T05:00:00.25"),  # PAMGuard writes logs in its own zone
        ("2019-01-01T10:30:00+05:30", "2019-01-01T05:00:00.25"),
        ("2019-01-01T05:00:00.125", "2019-01-01T05:00:00.125"),
    ],
)
def test_time_formats_of_logs(soundtrap: Path, text: str, moment: str) -> None:
    write_log(soundtrap, handler(5, **start_attributes(text)))
    assert read_recording(soundtrap).start_utc == utc(moment)


@given(moment=st.datetimes(datetime(1971, 1, 1), datetime(2069, 12, 31)), offset=st.integers(-4 * 12, 4 * 14))
@settings(max_examples=40)
def test_file_name_in_any_time_zone_agrees_with_the_log(tmp_path: Path, moment: datetime, offset: int) -> None:
    local = (moment + timedelta(minutes=15 * offset)).replace(microsecond=0)
    path = tmp_path / f"5678.{local:%y%m%d%H%M%S}.wav"
    write_log(path, handler(5, SamplingStartTimeUTC=f"{moment:%Y-%m-%dT%H:%M:%S}"))
    start = read_start_time(path)
    if local.year > 1970:
        assert (start.utc, start.problem) == (moment.replace(microsecond=0, tzinfo=UTC), "")


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (["<PROC_EVENT>"], "XML"),
        (["\x00"], "XML"),
        (["<nothing/>"], "SamplingStartTimeUTC"),
        ([handler(5, SamplingStopTimeUTC="2019-01-01T05:00:00")], "SamplingStartTimeUTC"),
        ([handler(5, **start_attributes("1/2/2019 5:00:00 AM"))], "'1/2/2019 5:00:00 AM'"),
        ([handler(5, **start_attributes("2019-02-30T05:00:00"))], "'2019-02-30T05:00:00'"),
        ([handler(5, **start_attributes("2019-01-01 05:00:00 BST"))], "BST"),
        ([handler(5, **start_attributes("2019-01-01T05:00:00+15:00"))], "+15:00"),
        ([handler(5, **start_attributes(n=3 * N_FRAMES))], f"{3 * N_FRAMES} samples"),
        (
            ['<INPUTFILE NAME="D:\\dive\\5678.180707070707.sud" />', handler(5, **start_attributes())],
            "5678.180707070707.sud",
        ),
        ([handler(5, **start_attributes("1970-01-01T00:00:07"))], "1970"),
    ],
)
def test_invalid_log_is_reported_and_the_name_is_used(soundtrap: Path, parts: list[str], words: str) -> None:
    log = write_log(soundtrap, *parts)
    recording = read_recording(soundtrap, "UTC-4")
    assert (recording.start_utc, recording.time_source) == (utc("2019-01-01T04:00:00"), "name-timezone")
    assert words in recording.clock_problem
    assert log.name in recording.clock_problem
    assert read_recording(soundtrap).time_source == "name-without-zone"


def test_log_with_entities_is_not_read(soundtrap: Path) -> None:
    log = soundtrap.with_name(f"{soundtrap.stem}.log.xml")
    log.write_text('<?xml version="1.0"?><!DOCTYPE ST [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><ST>&b;</ST>')
    assert "document type" in read_recording(soundtrap).clock_problem


def test_log_that_cannot_be_opened_is_reported(soundtrap: Path) -> None:
    soundtrap.with_name(f"{soundtrap.stem}.log.xml").mkdir()
    recording = read_recording(soundtrap)
    assert "cannot be read" in recording.clock_problem
    assert recording.time_source == "name-without-zone"


def test_log_of_a_recording_with_a_prefixed_name(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "siteA_5678.190101000000.wav", NOISE, RATE_HZ)
    write_log(path, '<INPUTFILE NAME="5678.190101000000.sud" />', handler(5, **start_attributes()))
    assert read_recording(path).clock_problem == ""


def test_contradiction_names_both_times(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "5678.190101000700.wav", NOISE, RATE_HZ)
    write_log(path, handler(5, **start_attributes()))
    recording = read_recording(path)
    assert (recording.start_utc, recording.time_source) == (utc("2019-01-01T05:00:00.25"), "soundtrap-xml")
    for word in ("5678.190101000700.log.xml", "2019-01-01T05:00:00Z", "2019-01-01T00:07:00", "time_format"):
        assert word in recording.clock_problem


@pytest.mark.parametrize(
    ("name", "is_contradicted"),
    [
        ("x_20190101T050001Z.wav", False),
        ("x_20190101T050003Z.wav", True),
        ("x_20190101T060000Z.wav", True),  # the name states its zone
        ("x_EST_20190101_010000.wav", True),
        ("x_20190101T060000.wav", False),
        ("x_20190101T190000.wav", False),
        ("x_20190101T191500.wav", True),  # zones are at most 14 hours from UTC
    ],
)
def test_contradiction_between_name_and_log(tmp_path: Path, name: str, is_contradicted: bool) -> None:
    path = write_sound(tmp_path / name, NOISE, RATE_HZ)
    write_log(path, handler(5, **start_attributes()))
    recording = read_recording(path)
    assert recording.time_source == "soundtrap-xml"
    assert bool(recording.clock_problem) == is_contradicted


def test_time_format_has_precedence_over_a_log(soundtrap: Path) -> None:
    write_log(soundtrap, handler(5, **start_attributes()))
    recording = read_recording(soundtrap, "UTC", "%y%m%d%H%M%S")
    assert (recording.start_utc, recording.time_source) == (utc("2019-01-01T00:00:00"), "format")
    assert "2019-01-01T05:00:00Z" in recording.clock_problem, "the zone given differs from the log by five hours"
    assert read_recording(soundtrap, "UTC-5", "%y%m%d%H%M%S").clock_problem == ""


def test_log_gives_the_zone_of_a_formatted_name(soundtrap: Path) -> None:
    write_log(soundtrap, handler(5, **start_attributes()))
    recording = read_recording(soundtrap, time_format="%y%m%d%H%M%S")
    assert (recording.time_source, recording.clock_problem) == ("soundtrap-xml", "")
    write_log(soundtrap, handler(5, **start_attributes("2019-01-01T05:07:00")))
    recording = read_recording(soundtrap, time_format="%y%m%d%H%M%S")
    assert (recording.start_utc, recording.time_source) == (None, "name-without-zone")
    assert "2019-01-01T05:07:00Z" in recording.clock_problem
    assert read_recording(soundtrap, time_format="%Y-%m-%d").time_source == "soundtrap-xml", (
        "a format that does not fit has no precedence"
    )


def test_start_of_an_unreadable_recording(soundtrap: Path) -> None:
    soundtrap.write_bytes(b"")
    write_log(soundtrap, handler(5, **start_attributes()))
    with pytest.raises(RecordingError):
        read_recording(soundtrap)
    assert read_start_time(soundtrap).utc == utc("2019-01-01T05:00:00.25")
    gone = soundtrap.with_name("x_20190101T000000Z.wav")
    assert read_start_time(gone).source == "name"
    assert read_start_time(soundtrap.with_name("y" * 250 + ".wav")).source == "none"
