"""What one planning did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orbitory.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What one planning did."""

    #: Granules looked at.
    granules: int = 0
    #: Periods judged.
    periods: int = 0
    #: Instances written.
    written: int = 0
    seconds: float = 0.0

    def __add__(self, other: Planned) -> Planned:
        """Both together."""
        return Planned(
            granules=self.granules + other.granules,
            periods=self.periods + other.periods,
            written=self.written + other.written,
            seconds=self.seconds + other.seconds,
        )


class Unplanned(ConfigurationError):
    """Some PGEs could not be planned; all others were."""

    def __init__(self, failed: Mapping[str, str], planned: Planned) -> None:
        """``failed``: what was in the way of each."""
        told = "; ".join(f"PGE {name}: {trouble}" for name, trouble in sorted(failed.items()))
        super().__init__(f"not planned: {told}. All other PGEs were planned")
        self.planned = planned
