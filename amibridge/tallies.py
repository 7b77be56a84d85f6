"""What is counted of our work since the start: plain numbers, kept by whoever does it, read by whoever asks.

Laws: counting waits for nothing and cannot fail; a count never goes down; whatever the world sends, the keys are of a
closed set, so that there are never many.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from amibridge.ami.events import AmiEvent
from amibridge.calls.notices import NoticeKind
from amibridge.calls.record import Direction, Outcome

POPUP_DELAYS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds: from what looks like at once to half of the life of the news that a phone rings."""


class Spread:
    """How long something took, each time. *bounds*: in seconds, ascending; *sum*: of all times."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.sum = 0.0
        self._counts = [0] * (len(self.bounds) + 1)

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds

    def at_most(self) -> list[int]:
        """How often it took at most each bound, and last, how often it was at all."""
        return list(accumulate(self._counts))


@dataclass(slots=True)
class HostTally:
    """Of one PBX. *events*: those that are folded. *received*: bytes. *losses*: of links that were up."""

    events: Counter[type[AmiEvent]] = field(default_factory=Counter)
    calls: Counter[tuple[Direction, Outcome | None]] = field(default_factory=Counter)
    received: int = 0
    losses: int = 0
    anomalies: int = 0


@dataclass(slots=True)
class CrmTally:
    """Of one enterprise's deliveries. *settled*: by what became of the row, in the words of its status.

    *popup_delays*: from our hearing that a phone rings to the CRM's answer that it has the popup.
    """

    settled: Counter[tuple[NoticeKind, str]] = field(default_factory=Counter)
    popup_delays: Spread = field(default_factory=lambda: Spread(POPUP_DELAYS))
