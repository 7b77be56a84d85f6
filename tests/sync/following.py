"""A sandbox CRM on a real socket, real PostgreSQL, and whoever follows the one into the other, started and killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg

from amibridge.enterprises import Account, Enterprise, EnterpriseId
from amibridge.redact import Secret
from amibridge.retailcrm.client import CrmSettings, RetailCrm, open_crm
from amibridge.retailcrm.limits import Rate
from amibridge.retailcrm.requests import LimitClass
from amibridge.retailcrm.triggers import Hint, Subject
from amibridge.sandbox.crm_account import CrmAccount
from amibridge.sandbox.crm_history import Doer, person
from amibridge.sandbox.retailcrm import SandboxAccount, SandboxCrm, SandboxUser
from amibridge.store.mirror import Mirror
from amibridge.sync.worker import Watchers

KEY = "key-of-romashka"
NUMBER = EnterpriseId("0123")
ZONE = ZoneInfo("Europe/Minsk")
BOSS = person(27)
UNLIMITED = CrmSettings(rates={limit: Rate(1000, timedelta(milliseconds=10), unanswered=100) for limit in LimitClass})


def account(**changes: Any) -> SandboxAccount:
    users = [SandboxUser(27, "Ирина Ковалёва", "101")]
    return replace(SandboxAccount("romashka", KEY, ZONE, users, "Ромашка"), **changes)


def enterprise(url: str, key: str = KEY, **changes: Any) -> Enterprise:
    ours = Enterprise(NUMBER, "Ромашка", Account(url, Secret(key)), (), "client", Secret("hush"), time_zone=ZONE)
    return replace(ours, **changes)


@dataclass
class Office:
    """*url*: of the CRM. What people do in the CRM happens now."""

    sandbox: SandboxCrm
    url: str
    pool: asyncpg.Pool
    client: RetailCrm
    watchers: Watchers | None = None
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def crm(self) -> CrmAccount:
        return self.sandbox.account(KEY)

    def new_customer(self, name: str, *phones: str, by: Doer = BOSS) -> int:
        fields = {"firstName": name, "phones": [{"number": phone} for phone in phones]}
        return self.crm.customers.create(fields, datetime.now(UTC), by)

    def new_order(self, *, at: datetime | None = None, by: Doer = BOSS, **fields: Any) -> int:
        return self.crm.orders.create(fields, at or datetime.now(UTC), by)

    def edit_order(self, id: int, by: Doer = BOSS, **fields: Any) -> None:
        self.crm.orders.edit(id, fields, datetime.now(UTC), by)

    def edit_customer(self, id: int, by: Doer = BOSS, **fields: Any) -> None:
        self.crm.customers.edit(id, fields, datetime.now(UTC), by)

    def hint(self, subject: Subject | None = None, id: int | None = None) -> None:
        assert self.watchers is not None
        self.watchers.hint(NUMBER, Hint(subject, id))

    @asynccontextmanager
    async def followed(self, *enterprises: Enterprise, **settings: Any) -> AsyncIterator[Watchers]:
        """Watchers that run, and are stopped at the end. Without hints they look every 200 ms."""
        settings = dict[str, Any](pace=timedelta(0), every=timedelta(milliseconds=200), jitter=lambda: 0.0) | settings
        self.watchers = Watchers(Mirror(self.pool), self.client, enterprises or [enterprise(self.url)], **settings)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.watchers.run(stop), name="watchers under test")
            try:
                yield self.watchers
            finally:
                stop.set()

    async def fetch(self, sql: str, *args: object) -> list[asyncpg.Record]:
        return await self.pool.fetch(sql, *args)

    async def names(self) -> dict[int, str]:
        """Customers as we have them, who are not deleted."""
        rows = await self.fetch("SELECT customer_id, name FROM crm_customers WHERE deleted_at IS NULL")
        return {row["customer_id"]: row["name"] for row in rows}

    async def statuses(self) -> dict[int, str]:
        """Orders as we have them, which are not deleted."""
        rows = await self.fetch("SELECT order_id, status FROM crm_orders WHERE deleted_at IS NULL")
        return {row["order_id"]: row["status"] for row in rows}

    def names_there(self) -> dict[int, str]:
        return {id: one.get("firstName", "") for id, one in self.crm.customers.by_id.items()}

    def statuses_there(self) -> dict[int, str]:
        return {id: one["status"] for id, one in self.crm.orders.by_id.items()}

    async def begun(self) -> None:
        """Both histories are followed: what happens from now on will be seen."""
        await self.until_rows("SELECT FROM crm_cursors", 2)

    async def until_rows(self, sql: str, number: int) -> None:
        async with asyncio.timeout(30):
            while len(await self.fetch(sql)) != number:
                await asyncio.sleep(0.01)

    async def until_read(self) -> None:
        """The cursors stand at the ends of the histories."""
        ends = {"customers": self.crm.customers.history.records, "orders": self.crm.orders.history.records}
        for history, records in ends.items():
            end = f"= {len(records)}" if records else "IS NULL"
            await self.until_rows(f"SELECT FROM crm_cursors WHERE history = '{history}' AND since_id {end}", 1)

    async def until_alike(self) -> None:
        """What we have is what the CRM has."""
        try:
            async with asyncio.timeout(60):
                while (await self.names(), await self.statuses()) != (self.names_there(), self.statuses_there()):
                    await asyncio.sleep(0.01)
        except TimeoutError:
            assert (await self.names(), await self.statuses()) == (self.names_there(), self.statuses_there())
            raise

    def asked(self, beginning: str) -> int:
        return sum(1 for seen in self.sandbox.requests if seen.path.startswith(beginning))

    async def until_asked(self, beginning: str, times: int) -> None:
        async with asyncio.timeout(30):
            while self.asked(beginning) < times:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def office(pool: asyncpg.Pool, accounts: Sequence[SandboxAccount] = ()) -> AsyncIterator[Office]:
    sandbox = SandboxCrm(accounts or [account()])
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(sandbox.serve())
        client = await stack.enter_async_context(open_crm(UNLIMITED))
        yield Office(sandbox, url, pool, client)
