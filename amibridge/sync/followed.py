"""The two histories that are followed: how each is asked for, and how what it speaks of is fetched and kept.

Law: a row is what the CRM says now of the whole customer or order, never what a record of history says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from structlog.typing import FilteringBoundLogger

from amibridge.retailcrm.customers import customers
from amibridge.retailcrm.history import CustomerHistoryReply, OrderHistoryReply, customers_history, orders_history
from amibridge.retailcrm.orders import Order, orders
from amibridge.store.mirror import NO_STEP, History, Mirror, Place, Step
from amibridge.sync.asker import AT_ONCE, Asker
from amibridge.sync.backfill import Backfill
from amibridge.sync.changes import NO_CHANGES, Changes, fold
from amibridge.sync.rows import customer_row, order_row
from amibridge.sync.statuses import Statuses


@dataclass(frozen=True, slots=True)
class Page:
    """*last_id*: where to go on, None at the end. *more*: there are records behind. *unreadable*: records that say
    nothing."""

    changes: Changes
    last_id: int | None
    more: bool
    unreadable: int


@dataclass(frozen=True, slots=True)
class Context:
    """Of one account: how it is asked, and how its times and phones are read."""

    asker: Asker
    mirror: Mirror
    zone: ZoneInfo
    region: str
    now: Callable[[], datetime]
    log: FilteringBoundLogger


class Followed(Protocol):
    """Methods raise CrmError, Overtaken and what the database raises."""

    place: Place

    async def page(self, since: int | None, start: datetime | None, size: int) -> Page:
        """At most *size* changes behind *since*, or from *start*."""

    async def fetch(self, ids: Sequence[int], changes: Changes = ..., step: Step = ...) -> None:
        """Ask for *ids*, and write what they are now together with who is gone by *changes*, and with *step*."""

    async def look_around(self) -> bool:
        """A piece of what no history tells; True when there is more of it."""


class FollowedCustomers:
    def __init__(self, context: Context, place: Place) -> None:
        self.place = place
        self._context = context

    async def page(self, since: int | None, start: datetime | None, size: int) -> Page:
        reply = await self._context.asker.ask(customers_history(since_id=since, start=start, limit=size))
        return _page(reply)

    async def fetch(self, ids: Sequence[int], changes: Changes = NO_CHANGES, step: Step = NO_STEP) -> None:
        await self._write(ids, changes, step, unknown=False)

    async def look_around(self) -> bool:
        """Customers of whom orders and calls speak get their names."""
        ids = await self._context.mirror.strangers(self.place.enterprise, AT_ONCE)
        if ids:
            await self._write(ids, NO_CHANGES, NO_STEP, unknown=True)
        return len(ids) == AT_ONCE

    async def _write(self, ids: Sequence[int], changes: Changes, step: Step, *, unknown: bool) -> None:
        context, at, wanted = self._context, self._context.now(), set(ids)
        found = await context.asker.whole(
            "customer", ids, lambda part: customers(ids=part, limit=AT_ONCE), lambda reply: reply.customers
        )
        rows = [customer_row(one, context.zone, context.region) for one in found if one.id in wanted]
        absent = sorted(wanted - {row.id for row in rows}) if unknown else []
        await context.mirror.write_customers(
            self.place, at, rows, deleted=changes.deleted, merged=changes.merged, absent=absent, step=step
        )


class FollowedOrders:
    def __init__(self, context: Context, place: Place) -> None:
        self.place = place
        self._context = context
        self._statuses = Statuses(context.asker, context.mirror, place, context.log)
        self._backfill = Backfill(context.asker, context.zone, context.log)

    async def page(self, since: int | None, start: datetime | None, size: int) -> Page:
        reply = await self._context.asker.ask(orders_history(since_id=since, start=start, limit=size))
        return _page(reply)

    async def fetch(self, ids: Sequence[int], changes: Changes = NO_CHANGES, step: Step = NO_STEP) -> None:
        at, wanted = self._context.now(), set(ids)
        found = await self._context.asker.whole(
            "order", ids, lambda part: orders(ids=part, limit=AT_ONCE), lambda reply: reply.orders
        )
        await self._write(at, (one for one in found if one.id in wanted), changes, step)

    async def look_around(self) -> bool:
        """Orders from before we followed them, a page at a time."""
        at, mirror = self._context.now(), self._context.mirror
        turn = await self._backfill.page(await mirror.begin(self.place, at))
        if turn is None:
            return False
        await self._write(at, turn.orders, NO_CHANGES, turn.step)
        self._backfill.written()
        return True

    async def _write(self, at: datetime, found: Iterable[Order], changes: Changes, step: Step) -> None:
        context, groups = self._context, await self._statuses.groups(at)
        rows = [order_row(one, context.zone, context.region, groups) for one in found]
        await context.mirror.write_orders(self.place, at, rows, deleted=changes.deleted, step=step)


FOLLOWED: dict[History, Callable[[Context, Place], Followed]] = {
    History.CUSTOMERS: FollowedCustomers,
    History.ORDERS: FollowedOrders,
}


def _page(reply: CustomerHistoryReply | OrderHistoryReply) -> Page:
    changes = fold(reply.records)
    return Page(changes, reply.last_id, reply.more, reply.unreadable + changes.senseless)
