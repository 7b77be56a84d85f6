"""How one account stands with its CRM: may we ask now, and what changed that an operator should know.

Laws: a pause stops everything and ends with one careful try; trouble slows history, which can wait, and never popups,
which cannot; whatever the CRM answers properly ends both. Where our module is switched off nothing is tried at all, for
only its CRM can end that. Pure: the time is passed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

PROBE_EVERY = timedelta(minutes=1)
"""History asks an ailing CRM at least this often: one request a minute hurts nobody, and shortens every outage."""

RETRY_AFTER_MAX = timedelta(minutes=10)
"""A server that asks for a longer silence is asked again all the same."""

WORTH_SAYING = 2
"""Failures in a row before trouble is announced: a single lost request is nobody's news."""


class Mood(StrEnum):
    WELL = "well"
    TROUBLED = "troubled"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Room:
    """What may be started now."""

    popups: int
    history: bool
    errand: bool


@dataclass(slots=True)
class Standing:
    """Methods that take an answer in return the new mood when it changed, else None. *held*: nothing may be started."""

    mood: Mood = Mood.WELL
    held: bool = False
    failures: int = 0
    pauses: int = 0
    _silent_till: datetime | None = None
    _history_from: datetime | None = None
    _paused_till: datetime | None = None

    def tried_since(self, first_tried: datetime, now: datetime) -> datetime:
        """Since when a row counts as tried: the days of a pause are no days of retries."""
        if self.mood is Mood.PAUSED:
            return now
        return first_tried if self._paused_till is None else max(first_tried, self._paused_till)

    def room(
        self,
        now: datetime,
        *,
        popups_in_flight: int,
        popups_max: int,
        history_in_flight: bool,
        errand_in_flight: bool,
    ) -> Room:
        if self.held or (self._silent_till is not None and now < self._silent_till):
            return Room(0, False, False)
        if self.mood is Mood.PAUSED:
            idle = not (popups_in_flight or history_in_flight or errand_in_flight)
            return Room(1 if idle else 0, idle, idle)
        may_wait_no_more = self._history_from is None or now >= self._history_from
        popups = max(0, popups_max - popups_in_flight)
        return Room(popups, may_wait_no_more and not history_in_flight, may_wait_no_more and not errand_in_flight)

    def wake_at(self, now: datetime) -> datetime | None:
        """When there will be more room without any answer arriving."""
        times = (self._silent_till, self._history_from)
        return min((time for time in times if time is not None and time > now), default=None)

    def answered(self, now: datetime) -> Mood | None:
        """The CRM took a request seriously: it did what was asked, or said what is wrong with it.

        In the silence of a pause that is an answer to something older, which says nothing of what paused us.
        """
        if self.mood is Mood.PAUSED and self._silent_till is not None and now < self._silent_till:
            return None
        self.failures = self.pauses = 0
        self._silent_till = self._history_from = None
        return self._become(Mood.WELL)

    def failed(self, now: datetime, *, retry_after: timedelta | None, history_from: datetime | None) -> Mood | None:
        """No proper answer. *retry_after*: the silence it asked for; *history_from*: when history may try again."""
        self.failures += 1
        if retry_after is not None:
            self._silent_till = now + min(retry_after, RETRY_AFTER_MAX)
        if history_from is not None:
            self._history_from = min(history_from, now + PROBE_EVERY)
        if self.mood is Mood.PAUSED:
            self._silent_till = self._paused_till = max(self._silent_till or now, now + PROBE_EVERY)
            return None
        return self._become(Mood.TROUBLED) if self.failures >= WORTH_SAYING else None

    def pause(self, now: datetime, until: datetime) -> Mood | None:
        if self.mood is not Mood.PAUSED or self._silent_till is None or now >= self._silent_till:
            # Requests that were in flight together fail together: one pause.
            self.pauses += 1
            self._silent_till = self._paused_till = until
        return self._become(Mood.PAUSED)

    def _become(self, mood: Mood) -> Mood | None:
        if mood is self.mood:
            return None
        self.mood = mood
        return mood
