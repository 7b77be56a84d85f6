"""Orders of the last days before an account was followed, so that its calls have something to be compared with.

Laws: newest first, in windows of days that overlap by one, for nobody documents whether the last day of a filter
counts; a window is done when all its pages are written, and begun anew otherwise; a page that brings nothing new is the
last.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from structlog.typing import FilteringBoundLogger

from amibridge.retailcrm.errors import CrmBroken
from amibridge.retailcrm.orders import Order, orders
from amibridge.store.mirror import Cursor, Step
from amibridge.sync.asker import NOBODY, Asker

REACH = timedelta(days=31)
WINDOW = timedelta(days=7)
SIZE = 20
"""Orders on a page: whole ones are large, and an answer may have a megabyte."""

MOST_PAGES = 5000
"""Of one window: a hundred thousand orders a week. A CRM that counts on is not followed for ever."""

PATIENCE = 3
"""Times that a page may be broken before it is passed over; of two such in a row the second ends the window."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One page, and how the cursor moves when it is written."""

    orders: tuple[Order, ...]
    step: Step


class Backfill:
    def __init__(self, asker: Asker, zone: ZoneInfo, log: FilteringBoundLogger) -> None:
        self._asker = asker
        self._zone = zone
        self._log = log
        self._window: tuple[date, date] | None = None
        self._page = 1
        self._seen: set[int] = set()
        self._broken = 0
        self._passed_over = 0

    async def page(self, cursor: Cursor) -> Turn | None:
        """The next page; the same one until it is `written`. None when there are no more. Raises CrmError."""
        started = cursor.started_at.astimezone(self._zone).date()
        window = next_window(started, cursor.backfilled_from)
        if window is None:
            return None
        if window != self._window:
            self._window, self._page, self._seen = window, 1, set()
            self._broken = self._passed_over = 0
        first, last = window
        try:
            reply = await self._asker.ask(orders(created_from=first, created_to=last, page=self._page, limit=SIZE))
        except CrmBroken as error:
            self._broken += 1
            if self._broken < PATIENCE:
                raise
            await self._asker.ask(orders(ids=[NOBODY]))  # raises when it is not the page that is broken
            self._log.error(
                "crm_page_set_aside", what="orders", days=f"{first} to {last}", page=self._page, reason=str(error)
            )
            self._passed_over += 1
            return self._turn((), over=self._passed_over > 1)
        self._passed_over = 0
        new = {one.id for one in reply.orders} - self._seen
        self._seen |= new
        return self._turn(reply.orders, over=not new or self._page >= min(reply.paging.pages, MOST_PAGES))

    def written(self) -> None:
        self._page += 1
        self._broken = 0

    def _turn(self, found: tuple[Order, ...], over: bool) -> Turn:
        assert self._window is not None
        return Turn(found, Step(backfilled_from=self._window[0]) if over else Step())


def next_window(started: date, backfilled_from: date | None) -> tuple[date, date] | None:
    """(first day, last day) of what is to be read now, None when all is."""
    goal = started - REACH
    last = started if backfilled_from is None else backfilled_from
    return (max(last - WINDOW, goal), last) if last > goal else None
