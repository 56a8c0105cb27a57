"""What a model says of itself: all but its weights. Nothing here needs torch."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from whalescan.core import ModelError, UsageError, WindowGrid

FORMAT = "whalescan-model/1"
FORMAT_WITH_GLANCE = "whalescan-model/2"
"""Of a model that has a glance, which an older whalescan would not know of."""
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
"""The limit that the safetensors format itself sets."""


@dataclass(frozen=True, slots=True)
class FrontEndOptions:
    """What a picture is. Stored in the model file; nothing about pictures is configured anywhere else.

    Attributes:
        rate_hz: sampling rate of the windows.
        window_samples: length of a window.
        fft_samples: length of a Hann-weighted analysis frame.
        frame_hop_samples: distance between the beginnings of two frames.
        low_bin: first frequency bin of the picture (a bin is ``rate_hz / fft_samples`` wide).
        n_bins: number of frequency bins.
        floor: power ratio to the background that is added before the logarithm; it bounds pictures from below.
        ceiling: power ratio to the background above which a picture is clipped.
        features: what a picture's channels are made of, one of `FEATURES`.
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
            raise UsageError(f"there are no features {self.features!r}; choose one of {', '.join(FEATURES)}")

    @property
    def n_frames(self) -> int:
        """Analysis frames that lie wholly inside a window."""
        return (self.window_samples - self.fft_samples) // self.frame_hop_samples + 1

    @property
    def band_hz(self) -> tuple[float, float]:
        """Lowest and highest frequency of the picture."""
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
    """All of a model but its weights.

    Attributes:
        classes: names of the outputs, in their order.
        front_end: what a picture is.
        thresholds: score above which a detection opens, one per class.
        calibration: ``(slope, offset)``, one pair per class; a score is ``sigmoid(slope * logit + offset)``.
        training: data, recipe and seed.
        metrics: what was measured, and on what.
        glance: the quicker network beside it; None where every window is looked at.
    """

    classes: tuple[str, ...] = (UPCALL,)
    front_end: FrontEndOptions = FrontEndOptions()
    architecture: str = ARCHITECTURE
    thresholds: tuple[float, ...] = (0.5,)
    calibration: tuple[tuple[float, float], ...] = ((1.0, 0.0),)
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    licence: str = "Apache-2.0"
    whalescan_version: str = ""
    glance: GlanceOptions | None = None

    def grid(self, hop_s: float) -> WindowGrid:
        """The windows of this model at a hop, rounded to whole samples."""
        if not math.isfinite(hop_s):
            raise UsageError(f"a hop of {hop_s} s is none; choose one up to the length of a window")
        return WindowGrid(self.front_end.rate_hz, self.front_end.window_samples, round(hop_s * self.front_end.rate_hz))


@dataclass(frozen=True, slots=True)
class Model:
    """A model file that was looked at but not loaded.

    Attributes:
        name: the file's stem.
        sha256: hash of the file's bytes; the same hash gives the same scores.
    """

    name: str
    path: Path
    sha256: str
    spec: ModelSpec


def find_model(name_or_path: str | Path | None = None) -> Model:
    """Look at a model file: the default one (nothing, or ``default``), or the one at a path.

    Raises:
        ModelError: when the file is absent, is no whalescan model, or is damaged.
    """
    path = DEFAULT_MODEL if name_or_path in (None, "", "default") else Path(str(name_or_path))
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: no model to be read there ({error.strerror}); give a .safetensors file") from error
    return Model(path.stem, path, hashlib.sha256(content).hexdigest(), parse_spec(path, _description(path, content)))


def describe(model: Model) -> str:
    """A model as text for a person."""
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
        f"picture       {front_end.n_bins} bins x {front_end.n_frames} frames, {low_hz:.0f} to {top_hz:.0f} Hz; frames of "
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
    """The metadata of a safetensors file: a length, then JSON."""
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
    """A model's description from its JSON text."""
    if text is None:
        raise ModelError(f"{path}: holds weights but no whalescan model; only files of `whalescan train` can be used")
    try:
        fields = json.loads(text)
        if fields.pop("format") not in (FORMAT, FORMAT_WITH_GLANCE):
            raise ModelError(f"{path}: its format is not {FORMAT_WITH_GLANCE} or older; update whalescan")
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
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: its description is damaged ({error}); fetch the file again") from error
