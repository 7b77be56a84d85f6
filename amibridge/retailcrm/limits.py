"""How often one account may be asked. The time is passed in.

Laws: never more than *limit* starts in any window of *per*, wherever the window begins; what the server counts are
arrivals, so the defaults leave room for requests that catch up with each other on the way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from amibridge.retailcrm.requests import LimitClass


@dataclass(frozen=True, slots=True)
class Rate:
    limit: int
    per: timedelta


RATES: Mapping[LimitClass, Rate] = {
    LimitClass.TELEPHONY: Rate(8, timedelta(milliseconds=250)),
    LimitClass.ORDINARY: Rate(2, timedelta(milliseconds=250)),
}
"""32/s and 8/s where RetailCRM allows 40/s and 10/s: the rest is for requests that were on their way when a second
began, of which a lane has at most seven and `responsible` one, so no delay on the way makes more than 40 of them arrive
in a second. Even if there were more, five windows make 1.25 s: ways that differ by 250 ms never bring more than 40 (10)
into a second."""


class RateWindow:
    """Times are seconds of one monotonic clock and never go back."""

    def __init__(self, limit: int, per: float) -> None:
        if limit < 1 or per <= 0:
            raise ValueError("a rate allows at least one start in a positive time")
        self._per = per
        self._starts: deque[float] = deque(maxlen=limit)

    def wait(self, now: float) -> float:
        """Seconds until the next start is allowed; 0.0 when it is now."""
        if len(self._starts) < (self._starts.maxlen or 0):
            return 0.0
        return max(0.0, self._starts[0] + self._per - now)

    def take(self, now: float) -> None:
        """Count a start. Raises RuntimeError if it is too early: the caller has not waited."""
        if self.wait(now) > 0:
            raise RuntimeError("a start was taken before its time")
        self._starts.append(now)
