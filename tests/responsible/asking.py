"""A sandbox CRM on a real socket, real PostgreSQL, and desks that answer from both, started and stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from amibridge.calls.record import Extension
from amibridge.enterprises import Enterprise, EnterpriseId
from amibridge.responsible.answer import Answer
from amibridge.responsible.desks import Desks
from amibridge.retailcrm.users import UserStatus
from amibridge.sandbox.retailcrm import SandboxUser
from amibridge.secrets import Key, Keyring
from amibridge.store.directory import Directory
from amibridge.store.mirror import History, Mirror, MirroredCustomer, Place
from amibridge.store.operator_statuses import StoredStatus
from tests.responsible.people import ANNA, BORIS, PHONE, romashka
from tests.sync.following import NUMBER, Office, account, office

SOON = timedelta(seconds=30)
"""A limit that no test meets: what is asked is answered."""

AT_ONCE = timedelta(milliseconds=50)
"""A limit that whoever hangs is sure to meet."""

USERS = [SandboxUser(ANNA, "Анна Иванова", "101"), SandboxUser(BORIS, "Борис Котов", "102")]
LOOKUP = "/api/v5/telephony/manager"


@dataclass
class Reception:
    office: Office
    enterprise: Enterprise
    may_ask: bool = True
    desks: Desks | None = None
    mirror: Mirror | None = None

    @asynccontextmanager
    async def open(self, limit: timedelta = SOON, *enterprises: Enterprise) -> AsyncIterator[Desks]:
        """Desks that run, as after a start of the daemon."""
        self.desks = Desks(self.office.pool, self.office.client, lambda _: self.may_ask, limit=limit)
        self.mirror = Mirror(self.office.pool, self.desks.customers_changed)
        self.desks.enterprises(enterprises or [self.enterprise])
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.desks.run(stop), name="desks under test")
            try:
                await self.desks.answer(EnterpriseId("nobody"), "")  # which waits until statuses are read
                yield self.desks
            finally:
                stop.set()

    async def ask(self, phone: str = PHONE, line: str | None = None, number: EnterpriseId = NUMBER) -> Answer:
        assert self.desks is not None
        return await self.desks.answer(number, phone, line)

    async def who(self, phone: str = PHONE, number: EnterpriseId = NUMBER) -> tuple[str | None, str]:
        answer = await self.ask(phone, number=number)
        return answer.extension, answer.reason.value

    async def until(self, wanted: tuple[str | None, str], phone: str = PHONE) -> None:
        async with asyncio.timeout(30):
            while await self.who(phone) != wanted:
                await asyncio.sleep(0.01)

    def lookups(self) -> int:
        return self.office.asked(LOOKUP)

    async def until_looked_up(self, times: int) -> None:
        await self.office.until_asked(LOOKUP, times)

    def new_customer(self, manager: int | None = ANNA, name: str = "Иван", *phones: str) -> int:
        """In the CRM, of which the mirror has heard nothing yet."""
        id = self.office.new_customer(name, *(phones or (PHONE,)))
        if manager is not None:
            self.office.edit_customer(id, managerId=manager)
        return id

    async def mirrored(self, *customers: MirroredCustomer, deleted: Iterable[int] = (), number: str = NUMBER) -> None:
        """`sync` has written what the CRM says of them."""
        assert self.mirror is not None
        place, now = Place(EnterpriseId(number), self.office.url, History.CUSTOMERS), datetime.now(UTC)
        await self.mirror.begin(place, now)
        await self.mirror.write_customers(place, now, customers, deleted=tuple(deleted))

    async def stands(self, user: int, status: UserStatus, code: str | None = None, **changes: Any) -> bool:
        assert self.desks is not None
        told = StoredStatus(NUMBER, user, None if code is None else Extension(code), status, datetime.now(UTC))
        return await self.desks.tell_status(replace(told, **changes), SOON)


def row(id: int = 7, manager: int | None = ANNA, name: str = "Иван", *phones: str) -> MirroredCustomer:
    return MirroredCustomer(id, None, name, None, manager, False, False, None, phones or (PHONE,))


@asynccontextmanager
async def reception(pool: asyncpg.Pool) -> AsyncIterator[Reception]:
    async with office(pool, [account(users=USERS)]) as there:
        ours = romashka(there.url)
        await Directory(pool, Keyring([Key("test", bytes(32))])).apply(ours)
        yield Reception(there, ours)
