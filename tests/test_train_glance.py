"""Teaching a glance: tracks of sound, what is held back, and a teaching that was killed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import write_sound
from whalescan import UsageError, load_model
from whalescan.cli import main
from whalescan.core import FloatArray
from whalescan.detector.frontend import FrontEnd
from whalescan.detector.model_file import load_glance
from whalescan.detector.model_spec import FrontEndOptions, find_model
from whalescan.training import glance as glance_module
from whalescan.training.glance import GlanceTraining, teach_glance
from whalescan.training.glance_lessons import hold_back
from whalescan.training.soundtracks import Sounds, soundtracks
from whalescan.training.split import held_out_names
from whalescan.training.trainer import checkpoint_path
from whalescan.training.training_options import TrainingRunOptions

pytestmark = pytest.mark.slow

FRONTEND = FrontEnd(FrontEndOptions())
N_SAMPLES = 27_096
NO_CALLS = np.zeros((0, 4000), np.float32)
QUIET = TrainingRunOptions("cpu", quiet=True)
SHORT = GlanceTraining(blocks=(), passes=1, batch_size=2, hop_s=2.0, held_back=0.3)


def sounds_of(lengths: list[int], seed: int = 1) -> list[FloatArray]:
    random = np.random.default_rng(seed)
    return [(0.1 * random.standard_normal(n)).astype(np.float32) for n in lengths]


# ---------------------------------------------------------------------------------------------- tracks


def test_tracks_are_made_of_clips_and_of_recordings() -> None:
    clips, recording = sounds_of([4000] * 16), sounds_of([60_000])
    calls = np.stack(sounds_of([4000] * 3, seed=2))
    joined = soundtracks(Sounds(clips, calls[:0]), N_SAMPLES, FRONTEND, np.random.default_rng(1))
    cut = soundtracks(Sounds(recording, calls[:0]), N_SAMPLES, FRONTEND, np.random.default_rng(1))
    both = soundtracks(Sounds([*clips, *recording], calls), N_SAMPLES, FRONTEND, np.random.default_rng(1))
    assert joined.shape == (4 + 2, N_SAMPLES), "32 clips fill four tracks, and half as many get noise"
    assert cut.shape == (3 + 1, N_SAMPLES)
    assert both.shape == (4 + 3 + 3 + 3, N_SAMPLES), "as well as some with calls"
    np.testing.assert_allclose(
        cut[1] / cut[1].std(), recording[0][13_548:40_644] / recording[0][13_548:40_644].std(), rtol=1e-3
    )


def test_tracks_are_drawn_by_the_seed_alone() -> None:
    made = [
        soundtracks(Sounds(sounds_of([4000] * 16), NO_CALLS), N_SAMPLES, FRONTEND, np.random.default_rng(seed))
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])


@given(gains=st.lists(st.floats(1e-4, 1e3), min_size=8, max_size=8))
@settings(max_examples=5)
def test_clips_of_any_level_become_tracks_of_one(gains: list[float]) -> None:
    clips = [np.float32(gain) * clip for gain, clip in zip(gains, sounds_of([4000] * 8), strict=True)]
    tracks = soundtracks(Sounds(clips, NO_CALLS), N_SAMPLES, FRONTEND, np.random.default_rng(1))
    parts = tracks[0].reshape(-1, N_SAMPLES // 12).std(axis=1)
    assert parts.max() < 1.6 * parts.min()


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=30), st.floats(0, 0.9))
def test_what_is_held_back_is_not_learnt_from(lengths: list[int], share: float) -> None:
    sounds = sounds_of(lengths)
    learning, held = hold_back(sounds, share, np.random.default_rng(1))
    assert len(learning) + len(held) == len(sounds)
    assert not {id(sound) for sound in learning} & {id(sound) for sound in held}
    assert sum(map(len, held)) <= share * sum(lengths)


# ---------------------------------------------------------------------------------------------- teaching


@pytest.fixture
def folder(simulated_recordings: Path, tmp_path: Path) -> Path:
    """Recordings of 20 s with calls, and a clip that is too short for anything."""
    import soundfile

    for i, path in enumerate(sorted(simulated_recordings.glob("*.wav"))):
        samples, rate = soundfile.read(path)
        for k in range(2):
            write_sound(tmp_path / "sounds" / f"{i}{k}.wav", samples[k * 20 * rate :][: 20 * rate], rate)
    write_sound(tmp_path / "sounds" / "short.wav", np.zeros(100))
    return tmp_path / "sounds"


def test_a_teaching_leaves_a_model_with_a_glance(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "glanced.safetensors"
    result = CliRunner().invoke(
        main, ["train-glance", "default", str(folder), "-o", str(output), "--passes", "1", "--gate", "-1", "-q"]
    )
    assert result.exit_code == 0, result.output
    model = find_model(output)
    assert model.spec.glance is not None
    assert model.spec.glance.gates == (-1.0,)
    assert model.spec.training["glance"]["sounds"] == ["sounds"]
    assert load_glance(model) is not None
    assert not checkpoint_path(output).exists()


def test_a_teaching_that_was_killed_goes_on_to_the_same_glance(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(SHORT, passes=2, held_back=0.0)
    teach_glance(load_model(), [str(folder)], tmp_path / "whole.safetensors", options, QUIET)
    monkeypatch.setattr(glance_module, "_KEPT_EVERY", 1)
    output, steps = tmp_path / "killed.safetensors", []
    loss = glance_module._loss

    def fatal(*arguments: object) -> torch.Tensor:
        steps.append(1)
        if len(steps) == 2:
            raise KeyboardInterrupt
        return loss(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(glance_module, "_loss", fatal)
    with pytest.raises(KeyboardInterrupt):
        teach_glance(load_model(), [str(folder)], output, options, QUIET)
    monkeypatch.setattr(glance_module, "_loss", loss)
    assert checkpoint_path(output).exists()
    assert not output.exists()
    said: list[str] = []
    teach_glance(load_model(), [str(folder)], output, options, replace(QUIET, report=said.append))
    assert any("goes on after step 1" in line for line in said)
    assert output.read_bytes() == (tmp_path / "whole.safetensors").read_bytes()


def test_sounds_that_do_not_fill_a_track(tmp_path: Path) -> None:
    write_sound(tmp_path / "sounds" / "short.wav", sounds_of([3000])[0])
    with pytest.raises(UsageError, match=r"do not fill 14 s; give more"):
        teach_glance(load_model(), [str(tmp_path / "sounds")], tmp_path / "x.safetensors", SHORT, QUIET)


def test_sounds_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    with pytest.raises(UsageError, match=r"no recording or clip there can be used"):
        teach_glance(load_model(), [str(tmp_path)], tmp_path / "x.safetensors", SHORT, QUIET)


def test_what_a_training_held_out_is_known_by_name(tmp_path: Path) -> None:
    table = tmp_path / "own.split.csv"
    table.write_text("clip_name,begin_s,group,side\na.aiff,0,x,training\nb.aiff,0,y,validation\n")
    assert held_out_names(table) == {"b.aiff"}
    table.write_text("clip_name,label\na,1\n")
    with pytest.raises(UsageError, match=r"own\.split\.csv"):
        held_out_names(table)
    with pytest.raises(UsageError, match="absent"):
        held_out_names(tmp_path / "absent.csv")
