"""How late a PBX's events come: by its clock against ours, whose difference nobody tells us.

Law: the quickest event of the last minutes took no time at all, and what another took longer than that is its lag. So a
clock that is set back looks like lag, for `CLOCK_STANDS` or two at most. Pure: the times are passed in.
"""

from __future__ import annotations

from datetime import datetime, timedelta

REMEMBERED = timedelta(minutes=1)
"""The longest lag is known for so long, or twice: whoever looks now and then misses none."""

CLOCK_STANDS = timedelta(minutes=5)
"""Clocks drift apart by less than a millisecond meanwhile."""


class Lag:
    """Of one link. A PBX that sends no times (`timestampevents`) has no lag that anybody could see."""

    def __init__(self) -> None:
        self._quickest = _Most(CLOCK_STANDS)
        self._longest = _Most(REMEMBERED)

    def heard(self, first: datetime, last: datetime, heard_at: datetime) -> None:
        """A batch of events: when its first and last happened, by the PBX, and when we heard them."""
        self._quickest.add(last - heard_at, heard_at)
        ahead = self._quickest.at(heard_at)
        assert ahead is not None
        self._longest.add(max(timedelta(0), heard_at - first + ahead), heard_at)

    def longest(self, now: datetime) -> timedelta:
        return self._longest.at(now) or timedelta(0)

    def ahead(self, now: datetime) -> timedelta | None:
        """By how much the clock of the PBX is ahead of ours; None when it said nothing lately."""
        return self._quickest.at(now)


class _Most:
    """The largest of what was added within the last *window* or two."""

    def __init__(self, window: timedelta) -> None:
        self._window = window
        self._begun: datetime | None = None
        self._now: timedelta | None = None
        self._before: timedelta | None = None

    def add(self, value: timedelta, now: datetime) -> None:
        self._turn(now)
        self._now = value if self._now is None else max(self._now, value)

    def at(self, now: datetime) -> timedelta | None:
        self._turn(now)
        return max((one for one in (self._before, self._now) if one is not None), default=None)

    def _turn(self, now: datetime) -> None:
        if self._begun is None:
            self._begun = now
        age = abs(now - self._begun)  # a clock that was set begins anew, too
        if age > self._window:
            self._before, self._now = (self._now if age <= 2 * self._window else None), None
            self._begun = now
