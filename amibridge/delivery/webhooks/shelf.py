"""The events that wait for one receiver, in memory: whose turn it is.

Laws: a call's events go one after another in id order, each when the one before it is settled; calls wait for no other
call. Pure: the time is passed in.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from heapq import heappop, heappush

from amibridge.calls.record import CallId
from amibridge.store.outbox import Delivery


class Shelf:
    """*waiting*: how many, those on their way not counted."""

    def __init__(self) -> None:
        self._calls: dict[CallId, list[Delivery]] = {}
        self._on_their_way: set[CallId] = set()
        self._heads: list[tuple[datetime, int, CallId]] = []
        self.waiting = 0

    @property
    def in_flight(self) -> int:
        return len(self._on_their_way)

    def add(self, row: Delivery) -> None:
        rows = self._calls.setdefault(row.call, [])
        insort(rows, row, key=_id)
        self.waiting += 1
        if rows[0] is row:
            self._arm(row.call)

    def take(self, now: datetime) -> Delivery | None:
        """The next event, if one is due; it is on its way until `done` or `again`."""
        if not self._is_due(now):
            return None
        call = heappop(self._heads)[2]
        self._on_their_way.add(call)
        self.waiting -= 1
        return self._calls[call].pop(0)

    def done(self, row: Delivery) -> None:
        """Sent or parked."""
        self._on_their_way.discard(row.call)
        self._arm(row.call)

    def again(self, row: Delivery, at: datetime, *, tried_at: datetime) -> Delivery:
        """Put *row* back until *at*, as it is returned."""
        row = replace(row, due_at=at, attempts=row.attempts + 1, first_tried_at=row.first_tried_at or tried_at)
        self._on_their_way.discard(row.call)
        self.add(row)
        return row

    def give_up(self, created_by: datetime) -> Iterator[Delivery]:
        """Take away all that is that old and not on its way."""
        for call, rows in list(self._calls.items()):
            old = [row for row in rows if row.created_at <= created_by]
            if not old:
                continue
            self._calls[call] = [row for row in rows if row.created_at > created_by]
            self.waiting -= len(old)
            self._arm(call)
            yield from old

    def hurry(self, now: datetime) -> None:
        """What waits for its next try waits no longer."""
        self._calls = {
            call: [replace(row, due_at=min(row.due_at, now)) for row in rows] for call, rows in self._calls.items()
        }
        self._heads.clear()
        for call in list(self._calls):
            self._arm(call)

    def wake_at(self, now: datetime) -> datetime | None:
        """When the next one is due."""
        return None if self._is_due(now) or not self._heads else self._heads[0][0]

    def _is_due(self, now: datetime) -> bool:
        while self._heads and self._heads[0][0] <= now:
            if self._is_head(self._heads[0]):
                return True
            heappop(self._heads)
        return False

    def _is_head(self, entry: tuple[datetime, int, CallId]) -> bool:
        due_at, id, call = entry
        rows = self._calls.get(call)
        if not rows or call in self._on_their_way:
            return False
        return (rows[0].due_at, rows[0].id) == (due_at, id)

    def _arm(self, call: CallId) -> None:
        rows = self._calls.get(call)
        if not rows:
            if call not in self._on_their_way:
                self._calls.pop(call, None)
        elif call not in self._on_their_way:
            heappush(self._heads, (rows[0].due_at, rows[0].id, call))


def _id(row: Delivery) -> int:
    return row.id
