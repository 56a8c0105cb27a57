"""The glance: its geometry, what it leaves to a look, and that neither strips nor chunks show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.builders import read_recording, write_sound
from whalescan import WindowGrid, load_model
from whalescan.core import FloatArray, WindowScores
from whalescan.detector import batching as batching_module
from whalescan.detector import complexity, glancing
from whalescan.detector.batching import batching
from whalescan.detector.frontend import FrontEnd
from whalescan.detector.glance import Glance, start_from_detector
from whalescan.detector.glancing import GlancingScorer, load_scorer
from whalescan.detector.model_file import load_detector, load_glance, write_model
from whalescan.detector.model_spec import FrontEndOptions, GlanceOptions, ModelSpec, describe, find_model
from whalescan.detector.network import Detector
from whalescan.detector.scorer import Scorer
from whalescan.engine import chunking
from whalescan.training.simulation import SimulationOptions, simulate_soundscape

pytestmark = pytest.mark.slow

OPTIONS = FrontEndOptions()
CPU = torch.device("cpu")
BLOCKS = (4,)
NEVER, ALWAYS = 1e9, -1e9


@pytest.fixture(scope="module")
def sound() -> FloatArray:
    """30 s with calls."""
    simulated_recordings = SimulationOptions(minutes=0.5, calls_per_hour=600, snr_db=(6, 12), seed=4)
    return simulate_soundscape(2000, simulated_recordings).samples.astype(np.float32)


@pytest.fixture(scope="module")
def taught() -> tuple[Detector, Glance]:
    """The default model's network, and a glance of few blocks that starts from it."""
    detector = load_detector(load_model())
    glance = Glance(OPTIONS, BLOCKS, 1)
    start_from_detector(glance, detector.network)
    return detector, glance.eval()


def model_file(folder: Path, taught: tuple[Detector, Glance], gate: float) -> Path:
    path = folder / "glanced.safetensors"
    spec = replace(load_model().spec, glance=GlanceOptions(BLOCKS, (gate,)))
    write_model(path, taught[0], spec, taught[1])
    return path


def scorer_of(folder: Path, taught: tuple[Detector, Glance], gate: float) -> GlancingScorer:
    scorer = load_scorer(find_model(model_file(folder, taught, gate)), "cpu", 4)
    assert isinstance(scorer, GlancingScorer)
    return scorer


def exact_scores(sound: FloatArray, grid: WindowGrid, n: int, jumps: tuple[int, ...] = ()) -> WindowScores:
    return Scorer(load_model(), CPU, 4).score(sound, grid, n, jumps)


# ---------------------------------------------------------------------------------------------- the network


def test_columns_see_what_windows_see(taught: tuple[Detector, Glance]) -> None:
    """The last stride is only left out: every other column is what the network with it would have had."""
    torch.manual_seed(2)
    pictures = torch.randn(1, 3, OPTIONS.n_bins, 320)
    whole = Glance(OPTIONS, range(4, 12), 1).eval()
    start_from_detector(whole, taught[0].network)
    with torch.inference_mode():
        strided = taught[0].network.forward_features(pictures)  # type: ignore[operator]  # of timm
        dense = whole.network(pictures)
    assert dense.shape[-1] == 2 * strided.shape[-1] == 20
    torch.testing.assert_close(dense[..., ::2], strided, atol=1e-4, rtol=1e-3)


@given(begin=st.integers(2560, 10_000))
@settings(max_examples=10)
def test_shares_follow_a_window_wherever_it_begins(begin: int) -> None:
    """What counts for a window is symmetric around its middle, and nothing further than 0.7 windows from it has a say."""
    shares = Glance(OPTIONS, (), 1)._shares(torch.tensor([begin]), 40)[0].detach()
    middles = (16 * torch.arange(40) + 3) * 40 + 128
    assert (shares[(middles - begin - 2000).abs() > 0.7 * 4000] == 0).all()
    assert shares.sum().item() == pytest.approx(0.9, abs=0.1)
    centre = (shares * middles).sum() / shares.sum()
    assert centre.item() == pytest.approx(begin + 2000, abs=330)


# ---------------------------------------------------------------------------------------------- the front end along time


@given(gain=st.floats(1e-3, 1e3))
@settings(max_examples=10)
def test_gain_does_not_show_along_time(gain: float) -> None:
    frontend = FrontEnd(OPTIONS)
    strip = torch.from_numpy(np.random.default_rng(1).standard_normal((1, 12_000)).astype(np.float32))
    one, other = (frontend.network_input(frontend.normalise_blocks(x)) for x in (strip, gain * strip))
    torch.testing.assert_close(one, other, atol=1e-3, rtol=0)


def test_the_background_goes_along_with_the_sound() -> None:
    """Where the sea gets louder by 40 dB, contrast is what it was a second later."""
    frontend = FrontEnd(OPTIONS)
    noise = np.random.default_rng(2).standard_normal(40_000).astype(np.float32)
    noise[20_000:] *= 100
    cells = frontend.normalise_blocks(torch.from_numpy(noise)[None]).power[0]
    at = 20_000 // OPTIONS.frame_hop_samples
    assert cells[:, : at - 80].mean().item() == pytest.approx(cells[:, at + 80 :].mean().item(), rel=0.1)


@pytest.mark.parametrize("fill", [0.0, 0.5])
def test_silent_strips_give_finite_pictures(fill: float) -> None:
    frontend = FrontEnd(OPTIONS)
    assert frontend.network_input(frontend.normalise_blocks(torch.full((1, 9000), fill))).isfinite().all()


def test_complexity_along_is_about_that_of_windows(sound: FloatArray) -> None:
    frontend, grid = FrontEnd(OPTIONS), load_model().spec.grid(1.0)
    windows = np.lib.stride_tricks.sliding_window_view(sound, 4000)[:: grid.hop_samples]
    alone = complexity.window_complexity(frontend.normalise(torch.from_numpy(windows.copy())).power, OPTIONS.bin_hz, 2)
    frames = torch.arange(len(windows)) * grid.hop_samples // OPTIONS.frame_hop_samples
    cells = frontend.normalise_blocks(torch.from_numpy(sound)[None]).power
    along = complexity.block_complexity(cells, OPTIONS.bin_hz, 2, frames, OPTIONS.n_frames)[0]
    assert along.shape == alone.shape
    inner = slice(2, -2)
    for measure in range(4):
        assert np.corrcoef(along[inner, measure], alone[inner, measure])[0, 1] > 0.8


# ---------------------------------------------------------------------------------------------- strips


@given(hop=st.integers(1, 4000), batch_size=st.integers(1, 5000))
def test_strips_are_as_long_as_they_shall_be(hop: int, batch_size: int) -> None:
    spec = replace(ModelSpec(), glance=GlanceOptions(BLOCKS, (0.0,)))
    grid = WindowGrid(2000, 4000, hop)
    together = batching(spec, grid, batch_size, exact=False)
    assert (together.block_windows - 1) * hop < batching_module.BLOCK_S * 2000 <= (together.block_windows + 1) * hop
    assert together.n_windows == together.block_windows * together.n_blocks
    assert batching(spec, grid, batch_size, exact=True).n_windows == batch_size
    assert batching(ModelSpec(), grid, batch_size, exact=False).n_windows == batch_size


def test_borders_of_strips_do_not_show(
    sound: FloatArray, taught: tuple[Detector, Glance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows that lie at a border of short strips score as they do amid a long one."""
    grid = load_model().spec.grid(0.25)
    n = grid.n_windows(len(sound))
    scorer = scorer_of(tmp_path, taught, NEVER)
    whole = scorer.score(sound, grid, n).scores
    monkeypatch.setattr(batching_module, "BLOCK_S", 6)
    cut = scorer.score(sound, grid, n).scores
    assert not np.array_equal(cut, whole), "there are several strips"
    assert np.abs(cut - whole).max() < 0.05
    assert np.abs(cut - whole).mean() < 0.005


@pytest.mark.parametrize("step", [24, 72])
def test_chunks_do_not_show(
    sound: FloatArray, taught: tuple[Detector, Glance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Chunks of whole strips, with the margins that `plan` gives them, make the same bytes as the whole recording."""
    monkeypatch.setattr(batching_module, "BLOCK_S", 6)
    grid = load_model().spec.grid(0.25)
    together = batching(find_model(model_file(tmp_path, taught, -3.0)).spec, grid, 4, exact=False)
    assert together.n_windows == 24
    scorer = scorer_of(tmp_path, taught, -3.0)
    whole = scorer.score(sound, grid, grid.n_windows(len(sound)))
    assert 0 < np.isnan(whole.boxes[:, 0]).mean() < 1, "some windows are looked at, and some are not"
    recording = read_recording(write_sound(tmp_path / "recording.wav", sound))
    parts = []
    for chunk in chunking.split_recording(recording, 1, grid, step):
        begin, end = chunk.read_span(grid, together.margin_samples)
        first = chunk.scored_span(grid)[0] - begin
        parts.append(scorer.score(sound[begin:end], grid, chunk.n_windows, first_sample=first))
    joined = WindowScores.join(parts)
    for one, other in ((joined.scores, whole.scores), (joined.boxes, whole.boxes), (joined.complexity, whole.complexity)):
        np.testing.assert_array_equal(one, other)


# ---------------------------------------------------------------------------------------------- what is looked at


def test_with_an_open_gate_every_window_is_looked_at(
    sound: FloatArray, taught: tuple[Detector, Glance], tmp_path: Path
) -> None:
    grid = load_model().spec.grid(0.5)
    n = grid.n_windows(len(sound))
    looked, exact = scorer_of(tmp_path, taught, ALWAYS).score(sound, grid, n), exact_scores(sound, grid, n)
    np.testing.assert_allclose(looked.scores, exact.scores, atol=0.01)
    np.testing.assert_array_equal(looked.boxes, exact.boxes)


def test_with_a_shut_gate_none_is_but_those_that_must_be(
    sound: FloatArray, taught: tuple[Detector, Glance], tmp_path: Path
) -> None:
    grid = load_model().spec.grid(0.5)
    n = grid.n_windows(len(sound) + 1)
    glanced, exact = scorer_of(tmp_path, taught, NEVER).score(sound, grid, n), exact_scores(sound, grid, n)
    assert np.isnan(glanced.boxes[:-1]).all()
    np.testing.assert_allclose(glanced.scores[-1], exact.scores[-1], atol=0.01)


def test_what_is_not_looked_at_scores_below_the_gate(
    sound: FloatArray, taught: tuple[Detector, Glance], tmp_path: Path
) -> None:
    grid, gate = load_model().spec.grid(0.5), -1.0
    n = grid.n_windows(len(sound)) - 1
    glanced, free = (scorer_of(tmp_path, taught, g).score(sound, grid, n).scores[:, 0] for g in (gate, NEVER))
    slope, offset = load_model().spec.calibration[0]
    highest = 1 / (1 + np.exp(-(slope * gate + offset)))
    passed = free >= highest
    assert 0 < passed.mean() < 1
    np.testing.assert_array_equal(glanced[~passed], free[~passed])
    np.testing.assert_allclose(glanced[passed], exact_scores(sound, grid, n).scores[passed, 0], atol=0.01)


@pytest.mark.parametrize("jumps", [(20_000, 21_000), (100, 40_001)])
def test_windows_at_jumps_are_looked_at(
    sound: FloatArray, taught: tuple[Detector, Glance], tmp_path: Path, jumps: tuple[int, ...]
) -> None:
    grid = load_model().spec.grid(0.5)
    n = grid.n_windows(len(sound))
    glanced, exact = scorer_of(tmp_path, taught, NEVER).score(sound, grid, n, jumps), exact_scores(sound, grid, n, jumps)
    begins = np.arange(n) * grid.hop_samples
    across = np.any([(begins < jump) & (jump < begins + 4000) for jump in jumps], axis=0)
    assert across.any()
    np.testing.assert_allclose(glanced.scores[across], exact.scores[across], atol=0.01)


def test_windows_beside_silence_are_looked_at(sound: FloatArray, taught: tuple[Detector, Glance], tmp_path: Path) -> None:
    grid = load_model().spec.grid(0.25)
    broken = sound.copy()
    broken[20_000:30_000] = 0
    n = grid.n_windows(len(sound))
    glanced, exact = scorer_of(tmp_path, taught, NEVER).score(broken, grid, n), exact_scores(broken, grid, n)
    begins = np.arange(n) * grid.hop_samples
    across = (begins < 30_000 - 600) & (begins + 4000 > 20_000 + 600) & ~((begins >= 20_000) & (begins + 4000 <= 30_000))
    np.testing.assert_allclose(glanced.scores[across], exact.scores[across], atol=0.01)
    far = (begins + 4000 < 20_000 - 3200) | ((begins > 30_000 + 3200) & (begins + 4000 <= len(sound)))
    assert np.isnan(glanced.boxes[far]).all()


@pytest.mark.parametrize("n_samples", [1, 2, 255, 1999, 4000, 4001, 9000])
def test_recordings_of_a_few_samples(
    sound: FloatArray, taught: tuple[Detector, Glance], tmp_path: Path, n_samples: int
) -> None:
    grid = load_model().spec.grid(0.5)
    n = grid.n_windows(n_samples)
    scored = scorer_of(tmp_path, taught, 0.0).score(sound[:n_samples], grid, n)
    assert scored.scores.shape == (n, 1)
    assert np.isfinite(scored.scores).all()
    assert np.isfinite(scored.complexity).all()


def test_a_batch_that_does_not_fit_is_halved(
    sound: FloatArray, taught: tuple[Detector, Glance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching_module, "BLOCK_S", 4)
    scorer = load_scorer(find_model(model_file(tmp_path, taught, NEVER)), "cpu", 16)
    assert isinstance(scorer, GlancingScorer)
    grid = load_model().spec.grid(0.5)
    n = 8 * 6
    whole = scorer.score(sound, grid, n).scores
    judge = glancing.GlancingScorer._judge

    def small(self: GlancingScorer, strips: Tensor, begins: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if len(strips) > 2:
            raise torch.cuda.OutOfMemoryError
        return judge(self, strips, begins)

    monkeypatch.setattr(glancing.GlancingScorer, "_judge", small)
    np.testing.assert_allclose(scorer.score(sound, grid, n).scores, whole, atol=0.01)
    assert "6 strips at a time" in scorer.note


# ---------------------------------------------------------------------------------------------- the file


def test_a_model_file_keeps_its_glance(taught: tuple[Detector, Glance], tmp_path: Path, sound: FloatArray) -> None:
    model = find_model(model_file(tmp_path, taught, -2.0))
    assert model.spec.glance == GlanceOptions(BLOCKS, (-2.0,))
    assert "1 of 8 middle blocks" in describe(model)
    strip, begins = torch.from_numpy(sound)[None], torch.arange(10) * 1000 + 2560
    loaded = load_glance(model)
    assert loaded is not None
    with torch.inference_mode():
        torch.testing.assert_close(loaded(strip, begins), taught[1](strip, begins), atol=0.05, rtol=0.05)
    exact = load_scorer(model, "cpu", 4, exact=True)
    assert isinstance(exact, Scorer)


def test_a_model_without_a_glance_looks_at_everything(taught: tuple[Detector, Glance], tmp_path: Path) -> None:
    path = tmp_path / "plain.safetensors"
    write_model(path, taught[0], replace(load_model().spec, glance=None))
    assert load_glance(find_model(path)) is None
    assert isinstance(load_scorer(find_model(path), "cpu", 4), Scorer)
    assert "every window is looked at" in describe(find_model(path))
    assert b"whalescan-model/1" in path.read_bytes()
