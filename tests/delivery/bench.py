"""Real PostgreSQL on one side, a CRM on a real socket on the other, and deliveries that may be killed in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import TypeVar
from zoneinfo import ZoneInfo

import asyncpg

from amibridge.calls.facts import AnyFact
from amibridge.delivery.worker import Deliveries
from amibridge.enterprises import Account, AmiHost, Enterprise, EnterpriseId, HostName
from amibridge.redact import Secret
from amibridge.retailcrm.client import RetailCrm
from amibridge.store.customers import Customers
from amibridge.store.db import DATABASE_FAILURES
from amibridge.store.follow_ups import FollowUps
from amibridge.store.ledger import HeardFact, Ledger
from amibridge.store.outbox import Delivery, Outbox

KEYS = {"0001": "key-of-account-one", "0002": "key-of-account-two"}


def enterprise(number: str, url: str) -> Enterprise:
    host = AmiHost(EnterpriseId(number), HostName("pbx"), "10.0.0.5", 5038, "amibridge", Secret("secret"))
    return Enterprise(
        id=EnterpriseId(number),
        name="Ромашка",
        account=Account(url, Secret(KEYS[number]), "romashka", EnterpriseId(number)),
        hosts=(host,),
        client_id=f"client-{number}",
        webhook_secret=Secret("secret"),
        time_zone=ZoneInfo("Europe/Minsk"),
    )


Result = TypeVar("Result")

CUT_THE_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


async def in_the_end(attempt: Callable[[], Awaitable[Result]]) -> Result:
    """As the recorder does: a connection that died in the pool is no reason to give up."""
    async with asyncio.timeout(30):
        while True:
            with suppress(*DATABASE_FAILURES):
                return await attempt()
            await asyncio.sleep(0.01)


class Bench:
    """A recorder made short: facts go into the ledger, its rows to the deliveries, if any run."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], crm: RetailCrm, url: str) -> None:
        self.pool = pool
        self.crm = crm
        self.url = url
        self.outbox = Outbox(pool)
        self.deliveries: Deliveries | None = None

    async def record(self, number: str, *facts: AnyFact) -> list[Delivery]:
        now = datetime.now(UTC)
        heard = [HeardFact(EnterpriseId(number), HostName("pbx"), fact, now) for fact in facts]
        rows = await in_the_end(lambda: Ledger(self.pool).record(heard))
        if self.deliveries is not None:
            self.deliveries.offer(rows)
        return rows

    async def counts(self, number: str) -> dict[str, int]:
        rows = await in_the_end(
            lambda: self.pool.fetch(
                "SELECT status, count(*) FROM deliveries WHERE enterprise_id = $1 GROUP BY status", number
            )
        )
        return {row["status"]: row["count"] for row in rows}

    async def settled(self, number: str, seconds: float = 30.0) -> dict[str, int]:
        """Wait until nothing is due; what became of the rows."""
        async with asyncio.timeout(seconds):
            while "due" in (counts := await self.counts(number)):
                await asyncio.sleep(0.01)
        return counts

    @asynccontextmanager
    async def running(self, *numbers: str) -> AsyncIterator[Deliveries]:
        deliveries = Deliveries(
            self.outbox,
            self.crm,
            Customers(self.pool),
            FollowUps(self.pool),
            [enterprise(number, self.url) for number in numbers],
            jitter=lambda: 0.0,
        )
        stop = asyncio.Event()
        self.deliveries = deliveries
        task = asyncio.create_task(deliveries.run(stop), name="deliveries under test")
        try:
            yield deliveries
        finally:
            self.deliveries = None
            stop.set()
            await task
