"""A lane with a table of its own, without PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import asyncpg

from amibridge.calls.record import CallRecord, Extension
from amibridge.delivery.lane import Lane
from amibridge.enterprises import Account, Enterprise, EnterpriseId, Operator
from amibridge.redact import Secret
from amibridge.retailcrm.client import RetailCrm
from amibridge.store.customers import Customers
from amibridge.store.follow_ups import FollowUps
from amibridge.store.outbox import Delivery, DeliveryStatus, Settlement

KEY = "key-of-account-one"


class Clock:
    """The wall clock, which a test may put forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class Table:
    """The outbox as a lane sees it: pages of due rows, and verdicts."""

    def __init__(self, rows: Sequence[Delivery] = ()) -> None:
        self.due = {row.id: row for row in rows}
        self.verdicts: dict[int, Settlement] = {}
        self.history: list[Settlement] = []
        self.pages = 0
        self.broken: Exception | None = None
        self.lane: Lane | None = None

    async def read_due(self, after: int, limit: int) -> list[Delivery]:
        self.pages += 1
        if self.broken is not None:
            raise self.broken
        return [self.due[id] for id in sorted(self.due) if id > after][:limit]

    def settle(self, settlements: Sequence[Settlement]) -> None:
        self.history += settlements
        for settlement in settlements:
            self.verdicts[settlement.id] = settlement
            if settlement.status is not DeliveryStatus.DUE:
                self.due.pop(settlement.id, None)
                assert self.lane is not None
                self.lane.written([settlement.id])

    def status(self, id: int) -> str | None:
        return self.verdicts[id].status if id in self.verdicts else None

    def all(self, status: DeliveryStatus, ids: Sequence[int]) -> bool:
        return all(self.status(id) == status for id in ids)


def enterprise_at(crm_url: str) -> Enterprise:
    return Enterprise(
        id=EnterpriseId("0001"),
        name="Ромашка",
        account=Account(crm_url, Secret(KEY), "romashka"),
        hosts=(),
        client_id="client",
        webhook_secret=Secret("secret"),
        time_zone=ZoneInfo("Europe/Minsk"),
        operators={Extension(str(n)): Operator(Extension(str(n))) for n in range(101, 110)},
    )


@asynccontextmanager
async def running(
    enterprise: Enterprise,
    crm: RetailCrm,
    table: Table,
    *,
    now: Callable[[], datetime] | None = None,
    jitter: float = 0.0,
    record_url: Callable[[Enterprise, CallRecord], str | None] = lambda _enterprise, _record: None,
) -> AsyncIterator[Lane]:
    lane = Lane(
        enterprise,
        crm=crm,
        read_due=table.read_due,
        unwritten=(),
        settle=table.settle,
        record_url=record_url,
        customers=Customers(asyncpg.create_pool(min_size=0)),
        follow_ups=FollowUps(asyncpg.create_pool(min_size=0)),
        now=now or Clock(),
        jitter=lambda: jitter,
    )
    table.lane = lane
    task = asyncio.create_task(lane.run(), name="lane under test")
    try:
        yield lane
    finally:
        lane.close()
        await task


def now() -> datetime:
    return datetime.now(UTC)
