"""The rows of one enterprise in memory, and what of the table they stand for.

Laws: a row is held from its offer until its settlement is written, so that it is never sent twice by one process;
memory is bounded, and what does not fit stays in the table until there is room.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import assert_never

from amibridge.calls.notices import NoticeKind
from amibridge.delivery.errands import Errands
from amibridge.delivery.plan import Agenda
from amibridge.store.outbox import Delivery

HELD_MAX = 20_000
"""Rows of a kind kept in memory."""

ERRANDS = frozenset({NoticeKind.CUSTOMER, NoticeKind.FOLLOW_UP})

PAGE = 500
"""Rows read at a time: decoding more at once would be felt as a stall by the telephone side."""

REREAD_EVERY = timedelta(minutes=1)
"""A commit whose answer was lost leaves rows that nobody handed over; so does an operator who resends from a shell."""

REREAD_BELOW = 1_000
"""With more than this waiting, rows nobody handed over would have to wait anyway: the table is left in peace."""


class Stock:
    """*read_due*: due rows of the enterprise after an id, in id order, at most so many.
    *unwritten*: rows that are done, yet still due in the table.
    """

    def __init__(self, read_due: Callable[[int, int], Awaitable[list[Delivery]]], unwritten: Iterable[int]) -> None:
        self.agenda = Agenda()
        self.errands = Errands()
        self.complete = False
        self.reread_at: datetime | None = None
        self._read_due = read_due
        self._held = set(unwritten)
        self._last_read: set[int] = set()
        self._written_meanwhile: set[int] | None = None
        self._more_in_table = False

    @property
    def waiting(self) -> int:
        return self.agenda.popups + self.agenda.history + self.errands.waiting

    def offer(self, rows: Iterable[Delivery]) -> None:
        """Take rows just committed. Those a reading saw already, before the recorder could tell, are not new."""
        self._take(row for row in rows if row.id not in self._last_read)

    def written(self, ids: Iterable[int]) -> None:
        """These rows are done in the table, too."""
        ids = tuple(ids)
        self._held.difference_update(ids)
        if self._written_meanwhile is not None:
            self._written_meanwhile.update(ids)

    def wants_reread(self, now: datetime) -> bool:
        """After a start, when there is room again for what was left in the table, and now and then."""
        if self.complete and self._more_in_table and self.waiting <= HELD_MAX // 2:
            return True
        late = self.reread_at is None or now >= self.reread_at
        return late and (not self.complete or self.waiting <= REREAD_BELOW)

    async def reread(self, now: datetime) -> None:
        """Take what is due in the table and not held: everything after a start, normally nothing later.

        *complete* from the first time it succeeds: a call's rows must not overtake older ones in the table.
        """
        self.reread_at = now + REREAD_EVERY
        self._written_meanwhile = set()
        self._more_in_table = False
        self._last_read = set()
        try:
            after = 0
            while not self._more_in_table and (rows := await self._read_due(after, PAGE)):
                self._last_read.update(row.id for row in rows)
                self._take(row for row in rows if row.id not in self._written_meanwhile)
                after = rows[-1].id
            self.complete = True
        finally:
            self._written_meanwhile = None

    def _take(self, rows: Iterable[Delivery]) -> None:
        for row in rows:
            if row.id in self._held:
                continue
            if self._crowd(row.kind) >= HELD_MAX:
                self._more_in_table = True
                continue
            self._held.add(row.id)
            if row.kind in ERRANDS:
                self.errands.add(row)
            else:
                self.agenda.add(row)

    def _crowd(self, kind: NoticeKind) -> int:
        """How many rows of *kind* wait."""
        match kind:
            case NoticeKind.POPUP:
                return self.agenda.popups
            case NoticeKind.HISTORY:
                return self.agenda.history
            case NoticeKind.CUSTOMER | NoticeKind.FOLLOW_UP:
                return self.errands.waiting
            case NoticeKind.WEBHOOK:
                raise AssertionError("what a webhook is told has a lane of its own")
            case _ as never:
                assert_never(never)
