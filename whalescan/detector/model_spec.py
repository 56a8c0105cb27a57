"""Description of a model: all but its weights. Without torch."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt

from whalescan.core import ColumnGrid, ModelError, ScoreTrack, UsageError, WindowGrid, invalid
from whalescan.options import number

FORMAT = "whalescan-model/3"
_TWO_STAGE_FORMATS = ("whalescan-model/1", "whalescan-model/2")
"""Formats of whalescan 0.7 and older, whose networks score windows one by one."""
UPCALL = "NARW upcall"
ARCHITECTURE = "legacy_xception"
DEFAULT_MODEL = Path(__file__).parents[1] / "models" / "narw-xception-4.safetensors"
_FEATURES_TEXT = {
    "spectrogram": "spectrogram (power over each bin's median, logarithmic, in three contrasts)",
    "complexity": "complexity (order and C_SQ of bands, time series of H, C_SQ, C_JSD, C_TV)",
    "both": "both: spectrogram (power over each bin's median, logarithmic, with and without lines), order of bands (1 - H)",
}
FEATURES = tuple(_FEATURES_TEXT)
MIDDLE_BLOCKS = tuple(range(4, 12))
"""Numbers of an Xception's middle blocks, which are alike."""
EXIT_CHANNELS = (1024, 1536, 2048)
"""Channels of an Xception's last features without its last two layers, without the last one, and with both."""
_FIRST_FRAME = 3
"""The frame in the middle of what the first column covers: the first two convolutions are not padded."""
_LONGEST_HEADER = 100_000_000
"""Limit of the safetensors format."""


@dataclass(frozen=True, slots=True)
class FrontEndOptions:
    """Options of the front end. Stored in the model file, and configured nowhere else.

    Attributes:
        rate_hz: sampling rate of the audio.
        window_samples: length of a window.
        fft_samples: length of a Hann-weighted analysis frame.
        frame_hop_samples: distance between the beginnings of two frames.
        column_frames: frames from one column of the network's output to the next, 8 or 16.
        background_frames: frames whose median is a frame's background.
        low_bin: first frequency bin of the network's input (a bin is ``rate_hz / fft_samples`` wide).
        n_bins: number of frequency bins of the input.
        floor: power over background that is added before the logarithm, which bounds the input from below.
        ceiling: power over background at which the input is clipped.
        features: content of the input's channels, one of `FEATURES`.
    """

    rate_hz: int = 2000
    window_samples: int = 4000
    fft_samples: int = 256
    frame_hop_samples: int = 64
    column_frames: int = 8
    background_frames: int = 80
    low_bin: int = 3
    n_bins: int = 48
    floor: float = 0.05
    ceiling: float = 1000.0
    features: str = "both"

    def __post_init__(self) -> None:
        if self.features not in FEATURES:
            raise invalid("features", self.features, f"one of {', '.join(FEATURES)}")
        if self.column_frames not in (8, 16):
            raise invalid("column_frames", self.column_frames, "8 or 16")

    @property
    def first_frame(self) -> int:
        """Frame of a block in the middle of what its first column covers."""
        return _FIRST_FRAME

    @property
    def column_samples(self) -> int:
        """Samples from one column to the next."""
        return self.column_frames * self.frame_hop_samples

    @property
    def first_middle_sample(self) -> int:
        """Sample of a block in the middle of its first column."""
        return self.first_frame * self.frame_hop_samples + self.fft_samples // 2

    @property
    def band_hz(self) -> tuple[float, float]:
        """Lowest and highest frequency of the input."""
        return self.low_bin * self.bin_hz, (self.low_bin + self.n_bins) * self.bin_hz

    @property
    def bin_hz(self) -> float:
        """Width of a frequency bin."""
        return self.rate_hz / self.fft_samples


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """Which parts of an Xception a detector has.

    Attributes:
        middle_blocks: its middle blocks, of `MIDDLE_BLOCKS`.
        exit_channels: channels of its last features, one of `EXIT_CHANNELS`.
    """

    middle_blocks: tuple[int, ...] = (4, 11)
    exit_channels: int = 1536

    def __post_init__(self) -> None:
        if not set(self.middle_blocks) <= set(MIDDLE_BLOCKS):
            raise invalid("middle_blocks", self.middle_blocks, f"numbers from {MIDDLE_BLOCKS[0]} to {MIDDLE_BLOCKS[-1]}")
        if self.exit_channels not in EXIT_CHANNELS:
            raise invalid("exit_channels", self.exit_channels, f"one of {', '.join(map(str, EXIT_CHANNELS))}")

    def receptive_frames(self, column_frames: int) -> int:
        """Return the number of frames that a column's log-odds depend on, beside the background's."""
        kernels = [(3, 1), (3, 2)]  # kernel size and stride in frames of each layer: the first two convolutions
        for stride in (2, 4, 8):
            kernels += [(3, stride)] * 3  # two convolutions and a pooling
        kernels += [(3, column_frames)] * (3 * len(self.middle_blocks) + 3)
        n_exit = EXIT_CHANNELS.index(self.exit_channels)
        kernels += [(5, column_frames)] * n_exit  # 3 wide, dilated by 2
        return 1 + sum((size - 1) * stride for size, stride in kernels)


@dataclass(frozen=True, slots=True)
class ValidationPoint:
    """What a threshold gives on validation sound.

    Attributes:
        threshold: score from which on a peak is a detection.
        false_positives_per_hour: false positives in an hour.
        recall: share of the calls that are found.
        recall_interval: limits of the recall's 95 % confidence interval.
        precision: share of the detections that are calls.
    """

    threshold: float
    false_positives_per_hour: float
    recall: float
    recall_interval: tuple[float, float]
    precision: float


@dataclass(frozen=True, slots=True)
class Validation:
    """Operating points of one class, and the sound on which they were measured.

    Attributes:
        points: by ascending false positives per hour.
        sound: one line: which sound, how many hours and calls.
        hours, n_calls: amount of it.
    """

    points: tuple[ValidationPoint, ...]
    sound: str
    hours: float
    n_calls: int

    def threshold(self, false_positives_per_hour: float) -> float:
        """Return the lowest threshold with at most so many false positives per hour; the highest one where none has."""
        allowed = [p.threshold for p in self.points if p.false_positives_per_hour <= false_positives_per_hour]
        return min(allowed, default=max(point.threshold for point in self.points))


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Description of a model: all but its weights.

    Attributes:
        classes: names of the outputs, in their order.
        front_end: options of the front end.
        network: which parts of the architecture it has.
        thresholds: score from which on a peak is a detection, one per class.
        calibration: ``(slope, offset)``, one pair per class; calibrated log-odds are ``slope * logit + offset``.
        validation: operating points of each class; empty where they were not measured.
        training: data, options and seed.
        metrics: results of evaluations, and the data they were made on.
    """

    classes: tuple[str, ...] = (UPCALL,)
    front_end: FrontEndOptions = FrontEndOptions()
    architecture: str = ARCHITECTURE
    network: NetworkOptions = NetworkOptions()
    thresholds: tuple[float, ...] = (0.5,)
    calibration: tuple[tuple[float, float], ...] = ((1.0, 0.0),)
    validation: tuple[Validation, ...] = ()
    training: dict[str, Any] = field(default_factory=dict, repr=False)
    metrics: dict[str, Any] = field(default_factory=dict, repr=False)
    licence: str = "Apache-2.0"
    whalescan_version: str = ""

    @property
    def columns(self) -> ColumnGrid:
        """The columns of this model."""
        return ColumnGrid(self.front_end.rate_hz, self.front_end.column_samples)

    @property
    def context_samples(self) -> int:
        """Samples before and after a block that its columns depend on, in whole columns."""
        o = self.front_end
        frames = self.network.receptive_frames(o.column_frames) // 2 + o.background_frames // 2 + 2 * o.column_frames
        return (-(-(frames * o.frame_hop_samples + o.fft_samples) // o.column_samples) + 1) * o.column_samples

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
        device: str = "auto",
        batch_size: int | None = None,
    ) -> ScoreTrack:
        """Score the windows of one channel of sound.

        The first call loads torch and the weights. The samples are resampled to the model's rate as those of a recording.

        Args:
            samples: numbers of shape ``[n]``, such as ``soundfile.read`` gives for one channel.
            rate_hz: samples per second.
            hop_s: seconds between the beginnings of windows.
            device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
            batch_size: windows scored at a time; None for a number that suits a processor.

        Returns:
            The scores of all windows, and those of the columns that they are made of; NaN where there is nothing but
            digital silence.

        Raises:
            UsageError: for samples that are not one channel of finite numbers, and for invalid options.
            ModelError: when the model's weights are damaged.
        """
        from whalescan.detector.sample_scoring import score_samples  # noqa: PLC0415 - torch takes seconds to import

        return score_samples(self, samples, rate_hz, hop_s=hop_s, device=device, batch_size=batch_size)


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
        f"network       {spec.architecture} (timm), fully convolutional, {len(spec.network.middle_blocks)} of "
        f"{len(MIDDLE_BLOCKS)} middle blocks, {spec.network.exit_channels} channels at the end",
        f"classes       {', '.join(spec.classes)}",
        f"thresholds    {thresholds}",
        f"window        {front_end.window_samples / front_end.rate_hz:g} s at {front_end.rate_hz} Hz",
        f"column        {1000 * front_end.column_samples / front_end.rate_hz:g} ms",
        f"spectrogram   {front_end.n_bins} bins, {low_hz:.0f} to {top_hz:.0f} Hz; frames of "
        f"{1000 * front_end.fft_samples / front_end.rate_hz:g} ms every "
        f"{1000 * front_end.frame_hop_samples / front_end.rate_hz:g} ms",
        f"features      {_FEATURES_TEXT[front_end.features]}",
        *_validation_lines(spec),
        f"licence       {spec.licence}",
        f"written by    whalescan {spec.whalescan_version}",
        f"training      {json.dumps(spec.training, indent=2)}",
        f"metrics       {json.dumps(spec.metrics, indent=2)}",
    ]
    return "\n".join(line.replace("\n", "\n              ") for line in lines)


def _validation_lines(spec: ModelSpec) -> Iterator[str]:
    for name, measured in zip(spec.classes, spec.validation, strict=False):
        yield f"validated     {name}: {measured.sound}"
        for point in measured.points:
            low, high = point.recall_interval
            yield (
                f"              threshold {point.threshold:.4f}: false positives per hour {point.false_positives_per_hour:g}"
                f", recall {point.recall:.2f} ({low:.2f} to {high:.2f}), precision {point.precision:.2f}"
            )


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
        written_as = fields.pop("format")
        if written_as in _TWO_STAGE_FORMATS:
            by = fields.get("whalescan_version") or "0.7 or older"
            raise ModelError(
                f"{path}: made by whalescan {by}, whose networks score windows one by one; this version cannot use it: "
                "train it again on the same data (`whalescan train DATA --from default`), or go on with whalescan 0.7"
            )
        if written_as != FORMAT:
            raise ModelError(f"{path}: its format is newer than {FORMAT}; update whalescan")
        fields["front_end"] = FrontEndOptions(**fields["front_end"])
        network = fields["network"]
        fields["network"] = NetworkOptions(**network | {"middle_blocks": tuple(network["middle_blocks"])})
        for name in ("classes", "thresholds"):
            fields[name] = tuple(fields[name])
        fields["calibration"] = tuple((float(slope), float(offset)) for slope, offset in fields["calibration"])
        fields["validation"] = tuple(map(validation_from_json, fields["validation"]))
        return ModelSpec(**fields)
    except (ModelError, UsageError):
        raise
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: its description is damaged ({error}); fetch the file again") from error


def validation_from_json(fields: dict[str, Any]) -> Validation:
    """Return what `dataclasses.asdict` made of a `Validation`, after a round trip through JSON."""
    points = (
        ValidationPoint(**point | {"recall_interval": tuple(map(float, point["recall_interval"]))})
        for point in fields["points"]
    )
    return Validation(**fields | {"points": tuple(points)})
