"""What makes tables of scores: the rules, and what the user wants the tables to be."""

from __future__ import annotations

from dataclasses import dataclass

from whalescan.audio.start_times import parse_zone
from whalescan.core import Position
from whalescan.detections.detection_rule import DetectionRule
from whalescan.detections.presence import PresenceRule
from whalescan.detector.model_spec import UPCALL
from whalescan.options import TableOptions
from whalescan.survey.job import Method
from whalescan.tables.formats import check_formats


@dataclass(frozen=True, slots=True)
class Views:
    """What makes tables of scores.

    Attributes:
        rule: what makes calls of scores.
        detector: name and version of what found the calls; never blank.
        classes: those that the model knows.
        rate_hz: of the sound that it sees.
        band_hz: lowest and highest frequency that it sees.
        options: what the user wants the tables to be.
    """

    rule: DetectionRule
    detector: str
    classes: tuple[str, ...]
    rate_hz: int
    band_hz: tuple[float, float]
    options: TableOptions

    def check(self) -> None:
        """See before hours of work that every table can be made.

        Raises:
            UsageError: where an option names what is not there.
        """
        check_formats(self.options.formats)
        if self.options.summary_timezone:
            parse_zone(self.options.summary_timezone, "--summary-timezone")
        if self.options.position:
            Position.parse(self.options.position)
        _ = self.presence

    @staticmethod
    def of(how: Method, options: TableOptions) -> Views:
        """The views of a run that has not begun."""
        spec = how.model.spec
        return Views(how.rule, how.detector, spec.classes, how.grid.rate_hz, spec.front_end.band_hz, options)

    @property
    def presence(self) -> PresenceRule:
        """When an hour or a day is called ``DETECTED``."""
        return PresenceRule(self.options.min_validated)

    def counts(self, label: str) -> bool:
        """Whether a call counts in hours and days: an upcall, where the model knows them; reviewers write it in any case."""
        counted = (UPCALL,) if UPCALL in self.classes else self.classes
        return label.casefold() in {one.casefold() for one in counted}
