"""How late a PBX's events come: by its clock against ours, whose difference nobody tells us.

Law: the quickest event of the last minutes took no time at all, and what another took longer than that is its lag. So a
clock that is set back looks like lag, for `CLOCK_STANDS` or two at most. Pure: the times are passed in.
"""

from __future__ import annotations

from datetime import datetime, timedelta

REMEMBERED = timedelta(minutes=1)
"""The longest lag is known for so long, or twice: whoever looks now and then misses none."""

CLOCK_STANDS = timedelta(minutes=5)
"""Clocks drift apart by a few milliseconds at most meanwhile."""

NEVER = float("-inf")


class Lag:
    """Of one link. A PBX that sends no times (`timestampevents`) has no lag that anybody could see."""

    def __init__(self) -> None:
        self._ahead = _Most(CLOCK_STANDS)
        self._late = _Most(REMEMBERED)

    def heard(self, first: datetime, last: datetime, heard_at: datetime) -> None:
        """A batch of events: when its first and last happened, by the PBX, and when we heard them."""
        now = heard_at.timestamp()
        ahead = self._ahead.add((last - heard_at).total_seconds(), now)
        self._late.add((heard_at - first).total_seconds() + ahead, now)

    def longest(self, now: datetime) -> timedelta:
        late = self._late.at(now.timestamp())
        return timedelta(seconds=max(0.0, late))

    def ahead(self, now: datetime) -> timedelta | None:
        """By how much the clock of the PBX is ahead of ours; None when it said nothing lately."""
        ahead = self._ahead.at(now.timestamp())
        return None if ahead == NEVER else timedelta(seconds=ahead)


class _Most:
    """The largest of what was added within the last *window* or two, in seconds; `NEVER` of nothing."""

    def __init__(self, window: timedelta) -> None:
        self._window = window.total_seconds()
        self._begun = 0.0
        self._before = self._now = NEVER

    def add(self, value: float, now: float) -> float:
        """The largest, *value* included."""
        if not 0 <= now - self._begun <= self._window:
            self._turn(now)
        if value > self._now:
            self._now = value
        return self._now if self._now > self._before else self._before

    def at(self, now: float) -> float:
        if not 0 <= now - self._begun <= self._window:
            self._turn(now)
        return max(self._before, self._now)

    def _turn(self, now: float) -> None:
        """A clock of ours that was set back begins anew, too."""
        self._before = self._now if 0 <= now - self._begun <= 2 * self._window else NEVER
        self._now, self._begun = NEVER, now
