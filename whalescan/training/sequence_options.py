"""Options of the sequences that a model is trained on."""

from __future__ import annotations

from dataclasses import dataclass

from whalescan.core import invalid


@dataclass(frozen=True, slots=True)
class SequenceOptions:
    """What training sequences are made of. Shares are from 0 to 1; the kinds of sequences that lack sound fall to others.

    Attributes:
        length_s: length of a sequence.
        annotated_share: share of the sequences that are parts of annotated recordings.
        joined_share, planted_share, background_share: shares of the other sequences; the rest is noise.
        noisy_share, noise_db: share of all sequences to which noise is added, and its level against the background.
        white_share, steepest: share of white noise; other noise falls by a power of frequency up to this.
        clip_call_share, clip_unlabelled_share: shares of the joined clips that hold a call, and that have no label.
        noisy_clip_share, clip_noise: share of the joined clips to which noise is added, and its range: root mean square over
            the clip's peak. White noise of 0.02 of full scale on clips scaled to a peak of 0.061 is 0.33.
        noise_bed_share: share of the planted sequences whose background is noise.
        plant_clip_share, plant_call_share: how often a place of a planted sequence gets a clip, or calls that were cut.
        plant_clip_db, plant_call_db: level of their background against that of the sequence; a call itself is louder.
        pair_share, pair_apart_s: share of cut calls that come as two, and the time between their middles.
        trace_margin_s: how much earlier than its trace a call begins, and how much later it ends, as annotators draw it
            (medians of 49 calls of DCLDE 2013).
    """

    length_s: float = 12.8
    annotated_share: float = 0.12
    joined_share: float = 0.52
    planted_share: float = 0.28
    background_share: float = 0.16
    noisy_share: float = 0.25
    noise_db: tuple[float, float] = (-12.0, 0.0)
    white_share: float = 0.3
    steepest: float = 1.5
    clip_call_share: float = 0.45
    clip_unlabelled_share: float = 0.09
    noisy_clip_share: float = 0.12
    clip_noise: tuple[float, float] = (0.05, 0.4)
    noise_bed_share: float = 0.2
    plant_clip_share: float = 0.4
    plant_call_share: float = 0.4
    plant_clip_db: tuple[float, float] = (-3.0, 9.0)
    plant_call_db: tuple[float, float] = (-2.0, 9.0)
    pair_share: float = 0.4
    pair_apart_s: tuple[float, float] = (1.0, 1.8)
    trace_margin_s: tuple[float, float] = (0.33, 0.18)

    def __post_init__(self) -> None:
        if not 4 <= self.length_s <= 600:
            raise invalid("length_s", self.length_s, "4 to 600 seconds")
        for name in ("annotated_share", "noisy_share", "noisy_clip_share", "pair_share", "noise_bed_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise invalid(name, getattr(self, name), "a share from 0 to 1")
        for names in (
            ("joined_share", "planted_share", "background_share"),
            ("clip_call_share", "clip_unlabelled_share"),
            ("plant_clip_share", "plant_call_share"),
        ):
            shares = [getattr(self, name) for name in names]
            if min(shares) < 0 or sum(shares) > 1 + 1e-9:
                raise invalid(names[0], shares[0], f"shares of at least 0 that with {' and '.join(names[1:])} are at most 1")
