"""Where a recorder was."""

from __future__ import annotations

from dataclasses import dataclass

from whalescan.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Position:
    """A place on the sea.

    Attributes:
        latitude: degrees north, -90 to 90.
        longitude: degrees east, -180 to 180; the Atlantic coast of America is negative.
    """

    latitude: float
    longitude: float

    @staticmethod
    def parse(text: str) -> Position:
        """From ``LATITUDE,LONGITUDE`` in decimal degrees, such as ``42.3,-70.2``.

        Raises:
            UsageError: when it is none.
        """
        try:
            latitude, longitude = (float(part) for part in text.split(","))
        except ValueError as error:
            raise UsageError(
                f"--position {text!r} is none; give degrees north and east as decimals, such as 42.3,-70.2"
            ) from error
        if not (abs(latitude) <= 90 and abs(longitude) <= 180):
            raise UsageError(f"--position {text!r} is not on this globe; latitude comes first, and west is negative")
        return Position(latitude, longitude)
