"""Errands of one enterprise, in memory: what is to be done in its CRM about the person of a call that is over.

Laws: one errand runs at a time, so that two calls of one stranger make one customer; one that has to wait holds up no
other. Pure: the time is passed in.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from heapq import heappop, heappush

from amibridge.store.outbox import Delivery


class NotYet(Exception):
    """The errand is to be done, and not before *until*. The text says why, for people."""

    def __init__(self, until: datetime, why: str) -> None:
        super().__init__(why)
        self.until = until


class Errands:
    """*waiting*: how many, the one that runs not counted."""

    def __init__(self) -> None:
        self._due: list[tuple[datetime, int, Delivery]] = []
        self._running: Delivery | None = None

    @property
    def waiting(self) -> int:
        return len(self._due)

    def add(self, row: Delivery) -> None:
        heappush(self._due, (row.due_at, row.id, row))

    def begin(self, now: datetime) -> Delivery | None:
        """The next errand, if it is due and none runs."""
        if self._running is not None or not self._due or self._due[0][0] > now:
            return None
        self._running = heappop(self._due)[2]
        return self._running

    def done(self) -> None:
        """The one that ran is settled."""
        self._running = None

    def again(self, at: datetime, *, tried_at: datetime | None) -> Delivery:
        """Put the one that ran back until *at*, as it is returned. *tried_at*: of a try that counts, else None."""
        row = self._running
        assert row is not None
        tries = 0 if tried_at is None else 1
        row = replace(row, due_at=at, attempts=row.attempts + tries, first_tried_at=row.first_tried_at or tried_at)
        self._running = None
        self.add(row)
        return row

    def wake_at(self) -> datetime | None:
        """When the next one is due, if none runs."""
        return self._due[0][0] if self._due and self._running is None else None
