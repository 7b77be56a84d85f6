"""The events of one receiver: a part of them in memory, the rest in the table, and which of the two is believed.

Laws: a row is held from when it was taken until its settlement is written, so that it is never sent twice by one
process; a call's events are taken in the order of their ids: while older rows may still be in the table, new ones are
taken from there alone. Memory is bounded.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta

from amibridge.delivery.webhooks.shelf import Shelf
from amibridge.store.outbox import Delivery

HELD_MAX = 2_000
"""Rows in memory for one receiver: some megabytes, and of a dead one no more."""

PAGE = 500
"""Rows read at a time: decoding more at once would be felt as a stall by the telephone side."""

READ_EVERY = timedelta(minutes=1)
"""A commit whose answer was lost leaves rows that nobody handed over; so does an operator who resends from a shell."""


class Stock:
    """*read_due*: due rows for the receiver after an id, in id order, at most so many. *unwritten*: rows that are done,
    yet still due in the table. *read_at*: when the table is to be read next.
    """

    def __init__(
        self,
        read_due: Callable[[int, int], Awaitable[list[Delivery]]],
        unwritten: Iterable[int],
        now: datetime,
        *,
        held_max: int = HELD_MAX,
    ) -> None:
        self.shelf = Shelf()
        self.read_at = now
        self._read_due = read_due
        self._held_max = held_max
        self._held = set(unwritten)
        self._behind, self._refused = True, False
        self._read_to = 0
        self._written_meanwhile: set[int] | None = None

    def offer(self, rows: Iterable[Delivery]) -> None:
        """Take rows just committed, unless the table has to tell of them. Those that it told of already are not new."""
        for row in rows:
            if self._behind:
                self._refused = True
            elif row.id > self._read_to:
                self._take(row)

    def written(self, ids: Iterable[int]) -> None:
        """These rows are done in the table, too."""
        ids = tuple(ids)
        self._held.difference_update(ids)
        if self._written_meanwhile is not None:
            self._written_meanwhile.update(ids)

    def wants_reading(self, now: datetime) -> bool:
        return now >= self.read_at and self.shelf.waiting <= self._held_max // 2

    async def read(self, now: datetime) -> None:
        """Take what is due in the table, as far as there is room. Raises what a database raises."""
        self._behind = True
        self._written_meanwhile = set()
        after = 0
        try:
            while self._behind:
                self._refused = False
                page = await self._read_due(after, PAGE)
                for row in page:
                    if row.id in self._held or row.id in self._written_meanwhile:
                        continue
                    if not self._take(row):
                        self.read_at = now
                        return
                if page:
                    after = page[-1].id
                    self._read_to = max(self._read_to, after)
                else:
                    self._behind = self._refused  # what was committed meanwhile is behind the last page
            self.read_at = now + READ_EVERY
        finally:
            self._written_meanwhile = None

    def _take(self, row: Delivery) -> bool:
        """False, if there is no room: from here on the table tells."""
        if row.id in self._held:
            return True
        if self.shelf.waiting >= self._held_max:
            self._behind, self.read_at = True, min(self.read_at, row.created_at)
            return False
        self._held.add(row.id)
        self.shelf.add(row)
        return True
