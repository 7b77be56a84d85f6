"""Real PostgreSQL on one side, receivers on real sockets on the other, and webhooks that may stop in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg

from amibridge.calls.facts import AnyFact
from amibridge.calls.record import CallRecord
from amibridge.delivery.webhooks.post import open_post
from amibridge.delivery.webhooks.worker import Webhooks
from amibridge.enterprises import Enterprise, EnterpriseId, HostName, Webhook
from amibridge.redact import Secret
from amibridge.secrets import Key, Keyring
from amibridge.store.directory import Directory
from amibridge.store.ledger import HeardFact, Ledger
from amibridge.store.outbox import Delivery, DeliveryRow, DeliveryStatus, Outbox
from tests.delivery.bench import enterprise
from tests.delivery.webhooks.receiver import SECRET

KEYRING = Keyring([Key("one", bytes(32))])


class Clock:
    """The wall clock, which a test may put forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


def webhook(name: str, url: str, *, secret: str = SECRET, events: tuple[str, ...] | None = None) -> Webhook:
    return Webhook(name, url, Secret(secret), events=events)


class Desk:
    """A recorder made short: facts go into the ledger, its rows to the webhooks, if any run."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool
        self.outbox = Outbox(pool)
        self.directory = Directory(pool, KEYRING)
        self.webhooks: Webhooks | None = None
        self.clock = Clock()
        self.within = timedelta(seconds=5)
        self.record_url: Callable[[Enterprise, CallRecord], str | None] = lambda _enterprise, _record: None

    async def apply(self, wanted: Mapping[str, tuple[Webhook, ...]]) -> None:
        """These are the webhooks of the enterprises *wanted*, in the database and for whoever runs."""
        for number, webhooks in wanted.items():
            await self.directory.apply(replace(enterprise(number, "https://a.retailcrm.ru"), webhooks=webhooks))
        if self.webhooks is not None:
            self.webhooks.enterprises(await self.directory.load())

    async def record(self, number: str, *facts: AnyFact) -> list[Delivery]:
        now = self.clock()
        heard = [HeardFact(EnterpriseId(number), HostName("pbx"), fact, now) for fact in facts]
        rows = await Ledger(self.pool).record(heard)
        if self.webhooks is not None:
            self.webhooks.offer(rows)
        return [row for row in rows if row.webhook]

    async def rows(self, number: str, status: DeliveryStatus | None = None, name: str = "erp") -> list[DeliveryRow]:
        """The oldest first."""
        found = await self.outbox.find(EnterpriseId(number), status=status, limit=10_000)
        return [row for row in reversed(found) if row.webhook == name]

    async def all_are(self, number: str, status: DeliveryStatus, *, name: str = "erp", seconds: float = 30.0) -> None:
        """Wait for that."""
        async with asyncio.timeout(seconds):
            while {row.status for row in await self.rows(number, name=name)} - {status}:
                await asyncio.sleep(0.02)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Webhooks]:
        async with open_post(self.within) as post:
            webhooks = Webhooks(
                self.pool,
                post,
                await self.directory.load(),
                record_url=lambda one, record: self.record_url(one, record),
                now=self.clock,
                jitter=lambda: 0.0,
                sweep_after=timedelta(milliseconds=50),
            )
            self.webhooks, stop = webhooks, asyncio.Event()
            task = asyncio.create_task(webhooks.run(stop), name="webhooks under test")
            try:
                yield webhooks
            finally:
                self.webhooks = None
                stop.set()
                await task
