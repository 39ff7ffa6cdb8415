"""Pace: how seldom something is done, so that it takes a small share of the time."""

from __future__ import annotations

from dataclasses import dataclass

LARGEST_SHARE = 0.05  # of the time


@dataclass
class Pace:
    """When something that takes time is due again: `interval` seconds after its end, or later where it takes long.

    Attributes:
        interval: in seconds; None: it is never due.
        since: the end of the last one, or the beginning of all.
        took: seconds of the last one.
    """

    interval: float | None
    since: float
    took: float = 0.0

    def is_due(self, now: float) -> bool:
        """Returns whether it is due; the last one is a share of at most `LARGEST_SHARE` of the time until then."""
        if self.interval is None:
            return False
        return now - self.since >= max(self.interval, self.took * (1 / LARGEST_SHARE - 1))

    def begin(self, now: float) -> None:
        """Counts from now on."""
        self.since = now

    def ended(self, took: float, now: float) -> None:
        """Notes that it has been done, which took that many seconds."""
        self.took, self.since = took, now
