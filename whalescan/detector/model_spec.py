"""Description of a model: all but its weights. Without torch."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt

from whalescan.core import ModelError, ScoreTrack, UsageError, WindowGrid, invalid
from whalescan.options import number

FORMAT = "whalescan-model/1"
FORMAT_WITH_GLANCE = "whalescan-model/2"
"""Format of models with a first stage, which older versions of whalescan do not know."""
UPCALL = "NARW upcall"
ARCHITECTURE = "legacy_xception"
DEFAULT_MODEL = Path(__file__).parents[1] / "models" / "narw-xception-3.safetensors"
_FEATURES_TEXT = {
    "spectrogram": "spectrogram (power over each bin's median, logarithmic, in three contrasts)",
    "complexity": "complexity (order and C_SQ of bands, time series of H, C_SQ, C_JSD, C_TV)",
    "both": "both: spectrogram (power over each bin's median, logarithmic, with and without lines), order of bands (1 - H)",
}
FEATURES = tuple(_FEATURES_TEXT)
_LONGEST_HEADER = 100_000_000
"""Limit of the safetensors format."""


@dataclass(frozen=True, slots=True)
class FrontEndOptions:
    """Options of the front end. Stored in the model file, and configured nowhere else.

    Attributes:
        rate_hz: sampling rate of the windows.
        window_samples: length of a window.
        fft_samples: length of a Hann-weighted analysis frame.
        frame_hop_samples: distance between the beginnings of two frames.
        low_bin: first frequency bin of the network's input (a bin is ``rate_hz / fft_samples`` wide).
        n_bins: number of frequency bins of the input.
        floor: power over background that is added before the logarithm, which bounds the input from below.
        ceiling: power over background at which the input is clipped.
        features: content of the input's channels, one of `FEATURES`.
    """

    rate_hz: int = 2000
    window_samples: int = 4000
    fft_samples: int = 256
    frame_hop_samples: int = 40
    low_bin: int = 2
    n_bins: int = 64
    floor: float = 0.05
    ceiling: float = 1000.0
    features: str = "both"

    def __post_init__(self) -> None:
        if self.features not in FEATURES:
            raise invalid("features", self.features, f"one of {', '.join(FEATURES)}")

    @property
    def n_frames(self) -> int:
        """Number of analysis frames wholly inside a window."""
        return (self.window_samples - self.fft_samples) // self.frame_hop_samples + 1

    @property
    def band_hz(self) -> tuple[float, float]:
        """Lowest and highest frequency of the input."""
        return self.low_bin * self.bin_hz, (self.low_bin + self.n_bins) * self.bin_hz

    @property
    def bin_hz(self) -> float:
        """Width of a frequency bin."""
        return self.rate_hz / self.fft_samples


@dataclass(frozen=True, slots=True)
class GlanceOptions:
    """A second, quicker network that runs along a recording and says which windows are worth a look.

    Attributes:
        blocks: which of the middle blocks of an Xception (4 to 11) it has.
        gates: log-odds, one per class; a window that the glance gives more for any class is looked at on its own.
    """

    blocks: tuple[int, ...]
    gates: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Description of a model: all but its weights.

    Attributes:
        classes: names of the outputs, in their order.
        front_end: options of the front end.
        thresholds: score above which a detection opens, one per class.
        calibration: ``(slope, offset)``, one pair per class; a score is ``sigmoid(slope * logit + offset)``.
        training: data, options and seed.
        metrics: results of evaluations, and the data they were made on.
        glance: the faster first stage; None where the whole network scores every window.
    """

    classes: tuple[str, ...] = (UPCALL,)
    front_end: FrontEndOptions = FrontEndOptions()
    architecture: str = ARCHITECTURE
    thresholds: tuple[float, ...] = (0.5,)
    calibration: tuple[tuple[float, float], ...] = ((1.0, 0.0),)
    training: dict[str, Any] = field(default_factory=dict, repr=False)
    metrics: dict[str, Any] = field(default_factory=dict, repr=False)
    licence: str = "Apache-2.0"
    whalescan_version: str = ""
    glance: GlanceOptions | None = None

    def grid(self, hop_s: float) -> WindowGrid:
        """Return the windows of this model at a hop, which is rounded to whole samples."""
        return WindowGrid(
            self.front_end.rate_hz, self.front_end.window_samples, round(number("hop_s", hop_s) * self.front_end.rate_hz)
        )


@dataclass(frozen=True, slots=True)
class Model:
    """A model file, whose weights are not loaded.

    Attributes:
        name: the file's stem.
        sha256: hash of the file's bytes; the same hash gives the same scores.
    """

    name: str
    path: Path
    sha256: str
    spec: ModelSpec

    def score(
        self,
        samples: npt.ArrayLike,
        rate_hz: int,
        *,
        hop_s: float = 0.25,
        exact: bool = False,
        device: str = "auto",
        batch_size: int | None = None,
    ) -> ScoreTrack:
        """Score the windows of one channel of sound.

        The first call loads torch and the weights. The samples are resampled to the model's rate as those of a recording.

        Args:
            samples: numbers of shape ``[n]``, such as ``soundfile.read`` gives for one channel.
            rate_hz: samples per second.
            hop_s: seconds between the beginnings of windows.
            exact: score every window with the whole network, also where the fast first stage finds nothing.
            device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
            batch_size: windows scored at a time; None for a number that suits a processor.

        Returns:
            The scores of all windows; NaN where a window holds nothing but digital silence.

        Raises:
            UsageError: for samples that are not one channel of finite numbers, and for invalid options.
            ModelError: when the model's weights are damaged.
        """
        from whalescan.detector.sample_scoring import score_samples  # noqa: PLC0415 - torch takes seconds to import

        return score_samples(self, samples, rate_hz, hop_s=hop_s, exact=exact, device=device, batch_size=batch_size)


def find_model(name_or_path: str | Path | None = None) -> Model:
    """Return the model of a file: the default one (None, empty or ``default``), or the one at a path.

    Raises:
        ModelError: when the file is absent, is not a whalescan model, or is damaged.
    """
    path = DEFAULT_MODEL if name_or_path in (None, "", "default") else Path(str(name_or_path))
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot read a model there ({error.strerror}); give a .safetensors file") from error
    return Model(path.stem, path, hashlib.sha256(content).hexdigest(), parse_spec(path, _description(path, content)))


def describe(model: Model) -> str:
    """Return a description of a model, as text of several lines."""
    spec = model.spec
    front_end = spec.front_end
    low_hz, top_hz = front_end.band_hz
    thresholds = ", ".join(f"{name} {value:g}" for name, value in zip(spec.classes, spec.thresholds, strict=True))
    lines = [
        f"name          {model.name}",
        f"file          {model.path}",
        f"sha256        {model.sha256}",
        f"network       {spec.architecture} (timm)",
        f"classes       {', '.join(spec.classes)}",
        f"thresholds    {thresholds}",
        f"window        {front_end.window_samples / front_end.rate_hz:g} s at {front_end.rate_hz} Hz",
        f"spectrogram   {front_end.n_bins} bins x {front_end.n_frames} frames, {low_hz:.0f} to {top_hz:.0f} Hz; frames of "
        f"{1000 * front_end.fft_samples / front_end.rate_hz:g} ms every "
        f"{1000 * front_end.frame_hop_samples / front_end.rate_hz:g} ms",
        f"features      {_FEATURES_TEXT[front_end.features]}",
        f"glance        {_glance_text(spec)}",
        f"licence       {spec.licence}",
        f"written by    whalescan {spec.whalescan_version}",
        f"training      {json.dumps(spec.training, indent=2)}",
        f"metrics       {json.dumps(spec.metrics, indent=2)}",
    ]
    return "\n".join(line.replace("\n", "\n              ") for line in lines)


def _glance_text(spec: ModelSpec) -> str:
    if spec.glance is None:
        return "none: every window is looked at"
    gates = ", ".join(f"{name} {gate:g}" for name, gate in zip(spec.classes, spec.glance.gates, strict=True))
    return f"Xception with {len(spec.glance.blocks)} of 8 middle blocks along the recording; looks from log-odds of {gates}"


def _description(path: Path, content: bytes) -> str | None:
    """Return whalescan's entry in the metadata of a safetensors file, whose header is a length and JSON."""
    try:
        length = struct.unpack("<Q", content[:8])[0]
        if length > min(_LONGEST_HEADER, len(content) - 8):
            raise ValueError("its header is longer than the file")
        description = json.loads(content[8 : 8 + length])
        ends = [entry["data_offsets"][1] for name, entry in description.items() if name != "__metadata__"]
        if 8 + length + max(ends, default=0) != len(content):
            raise ValueError("it was cut short")
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise ModelError(f"{path}: not a model, or damaged ({error}); fetch the file again") from error
    text: str | None = description.get("__metadata__", {}).get("whalescan")
    return text


def parse_spec(path: Path, text: str | None) -> ModelSpec:
    """Return a model's description from its JSON text.

    Raises:
        ModelError: when it is absent or damaged.
    """
    if text is None:
        raise ModelError(f"{path}: holds weights but is not a whalescan model; use a file that `whalescan train` wrote")
    try:
        fields = json.loads(text)
        if fields.pop("format") not in (FORMAT, FORMAT_WITH_GLANCE):
            raise ModelError(f"{path}: its format is newer than {FORMAT_WITH_GLANCE}; update whalescan")
        # models of whalescan 0.1 do not name their features; there were no others
        fields["front_end"] = FrontEndOptions(**{"features": "spectrogram", **fields["front_end"]})
        for name in ("classes", "thresholds"):
            fields[name] = tuple(fields[name])
        calibration = fields["calibration"]
        pairs = calibration if isinstance(calibration[0], list) else [calibration]  # whalescan 0.1 wrote one pair for all
        fields["calibration"] = tuple((float(slope), float(offset)) for slope, offset in pairs)
        if glance := fields.pop("glance", None):
            fields["glance"] = GlanceOptions(tuple(glance["blocks"]), tuple(float(gate) for gate in glance["gates"]))
        return ModelSpec(**fields)
    except (ModelError, UsageError):
        raise
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: its description is damaged ({error}); fetch the file again") from error
