"""How often one account may be asked. The time is passed in.

Laws: never more than *limit* starts in any window of *per*, wherever the window begins, and never more than
*unanswered* requests at once; what the server counts are arrivals, so the defaults leave room for requests that catch
up with each other on the way.
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
    unanswered: int


RATES: Mapping[LimitClass, Rate] = {
    LimitClass.TELEPHONY: Rate(8, timedelta(milliseconds=250), unanswered=8),
    LimitClass.ORDINARY: Rate(1, timedelta(milliseconds=167), unanswered=2),
}
"""32/s and 6/s where RetailCRM allows 40/s and 10/s. The rest is for requests that were on their way when a second
began: as many as may be unanswered, so no delay on the way makes more than 40 (10) arrive in a second."""

BESIDE: Mapping[LimitClass, Rate] = {
    LimitClass.TELEPHONY: Rate(1, timedelta(seconds=1), unanswered=1),
    LimitClass.ORDINARY: Rate(1, timedelta(seconds=1), unanswered=1),
}
"""For a command that asks an account beside a daemon, of which it knows nothing: what the daemon leaves, one a second
and one that was on its way. Of `/telephony`, where it leaves nothing, only `doctor --live` asks."""


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
