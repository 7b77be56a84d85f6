"""A sandbox CRM on a real socket, real PostgreSQL with one enterprise, deliveries that may be killed in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from amibridge.calls.facts import AnyFact
from amibridge.calls.record import CallRecord, Extension, Outcome
from amibridge.delivery.worker import Deliveries
from amibridge.enterprises import Enterprise, EnterpriseId, MissedCalls, Operator
from amibridge.retailcrm.client import CrmSettings, RetailCrm, open_crm
from amibridge.retailcrm.limits import Rate
from amibridge.retailcrm.requests import LimitClass
from amibridge.sandbox.crm_account import CrmAccount
from amibridge.sandbox.retailcrm import SandboxAccount, SandboxCrm, SandboxUser
from amibridge.secrets import Keyring
from amibridge.store.customers import Customers
from amibridge.store.directory import Directory
from amibridge.store.follow_ups import FollowUps
from amibridge.store.ledger import HeardFact, Ledger
from amibridge.store.outbox import Outbox
from tests.delivery import bench
from tests.delivery.rows import PHONE, ended, record
from tests.store.test_directory import OLD_KEY

KEY, NUMBER = bench.KEYS["0001"], EnterpriseId("0001")
ANNA, BORIS, BOSS = 27, 31, 40
"""Users of the CRM: 101, 102, and who gets what is nobody's."""

UNLIMITED = CrmSettings(rates={limit: Rate(1000, timedelta(milliseconds=10), unanswered=100) for limit in LimitClass})


def account(**changes: Any) -> SandboxAccount:
    users = [SandboxUser(ANNA, "Анна", "101"), SandboxUser(BORIS, "Борис", "102"), SandboxUser(BOSS, "Ирина")]
    ours = bench.enterprise("0001", "")
    assert ours.time_zone is not None
    return replace(SandboxAccount("romashka", KEY, ours.time_zone, users, "Ромашка", {PHONE: "Ольга"}), **changes)


def enterprise(url: str, **changes: Any) -> Enterprise:
    ours = bench.enterprise("0001", url)
    users = {Extension("101"): ANNA, Extension("102"): BORIS}
    operators = {extension: Operator(extension, user) for extension, user in users.items()}
    wishes = MissedCalls(wait=timedelta(0), performer=BOSS)
    return replace(ours, operators=operators, create_tasks=True, missed_calls=wishes, **changes)


def missed(call: str, at: datetime, phone: str = PHONE) -> CallRecord:
    return record(call, operators=(), outcome=Outcome.MISSED, at=at, phone=phone)


@dataclass
class Shop:
    """*at*: the time by which calls happen; *now* of the deliveries is that of the machine, and *ahead*."""

    sandbox: SandboxCrm
    url: str
    pool: asyncpg.Pool
    client: RetailCrm
    enterprise: Enterprise
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    ahead: timedelta = timedelta(0)
    deliveries: Deliveries | None = None

    @property
    def crm(self) -> CrmAccount:
        return self.sandbox.account(KEY)

    @property
    def tasks(self) -> list[dict[str, Any]]:
        return list(self.crm.tasks.values())

    @property
    def orders(self) -> list[dict[str, Any]]:
        return list(self.crm.orders.by_id.values())

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def later(self) -> datetime:
        """A minute after the last time."""
        self.at += timedelta(minutes=1)
        return self.at

    async def wants(self, **changes: Any) -> None:
        """The enterprise's file is another from now on; changes of `missed_calls` beside those of the enterprise."""
        wishes = {name: changes.pop(name) for name in list(changes) if name in MissedCalls.__slots__}
        ours = self.enterprise
        self.enterprise = replace(ours, missed_calls=replace(ours.missed_calls, **wishes), **changes)
        await Directory(self.pool, Keyring([OLD_KEY])).apply(self.enterprise)
        if self.deliveries is not None:
            self.deliveries.enterprises([self.enterprise])

    async def record(self, *facts: AnyFact) -> None:
        heard = [HeardFact(NUMBER, self.enterprise.hosts[0].name, fact, self.now()) for fact in facts]
        rows = await bench.in_the_end(lambda: Ledger(self.pool).record(heard))
        if self.deliveries is not None:
            self.deliveries.offer(rows)

    async def call(self, verdict: CallRecord) -> None:
        """It is over, and all that hangs on it is done."""
        await self.record(ended(verdict, verdict.ended_at or self.at))
        await self.settled()

    async def missed(self, call: str, phone: str = PHONE) -> None:
        await self.call(missed(call, self.later(), phone))

    async def called_back(self, call: str, phone: str = PHONE) -> None:
        await self.call(record(call, caller="102", operators=("102",), at=self.later(), phone=phone))

    async def settled(self) -> None:
        async with asyncio.timeout(60):
            while await self.fetch("SELECT FROM deliveries WHERE status = 'due'"):
                await asyncio.sleep(0.01)

    async def fetch(self, sql: str, *args: object) -> list[asyncpg.Record]:
        return await bench.in_the_end(lambda: self.pool.fetch(sql, *args))

    async def answers(self) -> list[str]:
        """What came of each errand after missed and answered calls."""
        rows = await self.fetch("SELECT last_answer FROM deliveries WHERE kind = 'follow_up' ORDER BY id")
        return [row["last_answer"] for row in rows]

    async def endings(self) -> list[str | None]:
        return [row["ending"] for row in await self.fetch("SELECT ending FROM follow_ups ORDER BY missed_at")]

    def asked(self, beginning: str, method: str = "POST") -> int:
        return sum(1 for seen in self.sandbox.requests if seen.method == method and seen.path.startswith(beginning))

    def make(self) -> Deliveries:
        return Deliveries(
            Outbox(self.pool),
            self.client,
            Customers(self.pool),
            FollowUps(self.pool),
            [self.enterprise],
            now=self.now,
            jitter=lambda: 0.0,
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Deliveries that run, and are stopped at the end."""
        deliveries, stop = self.make(), asyncio.Event()
        task = asyncio.create_task(deliveries.run(stop), name="deliveries under test")
        self.deliveries = deliveries
        try:
            yield
        finally:
            self.deliveries = None
            stop.set()
            await task


@asynccontextmanager
async def shop(pool: asyncpg.Pool, **changes: Any) -> AsyncIterator[Shop]:
    """*changes*: of the CRM's account."""
    sandbox = SandboxCrm([account(**changes)])
    async with sandbox.serve() as url, open_crm(UNLIMITED) as client:
        ours = Shop(sandbox, url, pool, client, enterprise(url))
        await ours.wants()
        yield ours
