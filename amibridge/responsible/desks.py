"""All enterprises' answers to who should take a call; fed by calls, by changes in the CRMs and by operators' statuses.

Laws: a status is in force when it is written, and after a restart nothing is answered before all are read again, or the
time is up; at the stop what is being looked up is dropped, for nobody waits for it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

import asyncpg
import structlog

from amibridge.calls.facts import CallEnded, CallStarted
from amibridge.calls.record import Direction, Extension
from amibridge.enterprises import Enterprise, EnterpriseId, Fallback
from amibridge.responsible.answer import Answer, Nobody, Why
from amibridge.responsible.decision import Customer, Known
from amibridge.responsible.desk import Desk
from amibridge.responsible.presence import HOLDS_FOR, OperatorStatus, Presence
from amibridge.retailcrm.client import RetailCrm
from amibridge.retailcrm.users import UserStatus
from amibridge.store.db import DATABASE_FAILURES
from amibridge.store.known import customer_of_phone, last_operators
from amibridge.store.ledger import HeardFact
from amibridge.store.operator_statuses import StoredStatus, keep_status, statuses_since

log = structlog.get_logger()

READERS = 4
"""Questions to PostgreSQL at once: the recorder and the lanes need connections, too."""

READ_WITHIN = timedelta(seconds=4)
"""For what PostgreSQL knows of a phone, once it is its turn; as with the CRM, the next call has something of it."""

LAST_CALL_WITHIN = timedelta(days=90)
"""Whoever talked with a customer longer ago is nobody special to him."""

AGAIN = 1.0
"""Seconds between two tries to read the statuses at a start."""


LIMIT = timedelta(milliseconds=250)
"""For the whole of an answer. A caller bears 300 ms of silence; the rest is for the way to the PBX and back."""


def utc_now() -> datetime:
    return datetime.now(UTC)


class Desks:
    """*may_ask*: whether the CRM of an enterprise may be asked now. *limit*: of an answer."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        crm: RetailCrm,
        may_ask: Callable[[EnterpriseId], bool],
        *,
        now: Callable[[], datetime] = utc_now,
        limit: timedelta = LIMIT,
    ) -> None:
        self._pool = pool
        self._crm = crm
        self._may_ask = may_ask
        self._now = now
        self._limit = limit.total_seconds()
        self._desks: dict[EnterpriseId, Desk] = {}
        self._presence: defaultdict[EnterpriseId, Presence] = defaultdict(Presence)
        self._reading = asyncio.Semaphore(READERS)
        self._knows_statuses = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    def enterprises(self, known: Iterable[Enterprise]) -> None:
        """These are all enterprises from now on."""
        wanted = {enterprise.id: enterprise for enterprise in known}
        for number in self._desks.keys() - wanted.keys():
            del self._desks[number]
            self._presence.pop(number, None)  # users of another account, if one comes by this number again
        for number, enterprise in wanted.items():
            if number in self._desks:
                self._desks[number].reconfigure(enterprise)
            else:
                self._desks[number] = self._desk(enterprise)

    async def answer(self, number: EnterpriseId, phone: str, line: str | None = None) -> Answer:
        """Who should take a call of *phone* on *line*, as the PBX shows them; within the limit, whatever happens."""
        deadline = asyncio.get_running_loop().time() + self._limit
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self._knows_statuses.wait()
        desk = self._desks.get(number)
        return Answer(Nobody(Why.NOT_TOLD)) if desk is None else await desk.answer(phone, line, deadline)

    async def tell_status(self, told: StoredStatus, within: timedelta) -> bool:
        """How an operator stands now. False if there is no such enterprise. Raises TimeoutError, DATABASE_FAILURES."""
        is_kept = await keep_status(self._pool, told, within=within)
        if is_kept:
            self._presence[told.enterprise].tell(_standing(told))
        return is_kept

    def hear(self, heard: HeardFact) -> None:
        """A caller is looked up before the dialplan asks; who talked with him is known before he calls again."""
        fact, phone = heard.fact, heard.fact.brief.phone
        desk = self._desks.get(heard.enterprise)
        if desk is None or phone is None:
            return
        if isinstance(fact, CallStarted) and fact.brief.direction is Direction.INCOMING:
            desk.warm(phone)
        elif isinstance(fact, CallEnded) and fact.record.operators:
            desk.talked(phone, fact.record.operators)

    def customers_changed(self, number: EnterpriseId, phones: Collection[str], customers: Collection[int]) -> None:
        """*customers* are others now, and have *phones*."""
        desk = self._desks.get(number)
        if desk is not None:
            desk.forget(phones, customers)

    async def run(self, stop: asyncio.Event) -> None:
        """Until *stop*."""
        async with asyncio.TaskGroup() as self._tasks:
            self._begin(self._read_statuses, "operator statuses")
            try:
                await stop.wait()
            finally:
                self._tasks = None
                for task in self._under_way:
                    task.cancel()

    def _begin(self, work: Callable[[], Coroutine[None, None, None]], name: str) -> bool:
        if self._tasks is None:
            return False
        task = self._tasks.create_task(work(), name=name)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return True

    def _desk(self, enterprise: Enterprise) -> Desk:
        return Desk(
            enterprise,
            self._presence[enterprise.id],
            crm=self._crm,
            read=partial(self._read, enterprise.id),
            may_ask=partial(self._may_ask, enterprise.id),
            start=self._begin,
            now=self._now,
        )

    async def _read(self, number: EnterpriseId, phone: str, fallback: Fallback) -> Known:
        async with self._reading:
            found = await customer_of_phone(self._pool, number, phone, within=READ_WITHIN)
            talked: tuple[Extension, ...] = ()
            if fallback is Fallback.LAST_CALL:
                since = self._now() - LAST_CALL_WITHIN
                talked = await last_operators(self._pool, number, phone, since, within=READ_WITHIN)
        customer = None if found is None else Customer(found.id, found.name, found.site, found.manager_id)
        return Known(customer, talked)

    async def _read_statuses(self) -> None:
        said = False
        while True:
            try:
                for one in await statuses_since(self._pool, self._now() - HOLDS_FOR):
                    self._presence[one.enterprise].recall(_standing(one))
            except DATABASE_FAILURES as error:
                if not said:
                    log.warning("operator_statuses_not_read", reason=str(error) or type(error).__name__)
                said = True
                await asyncio.sleep(AGAIN)
            else:
                self._knows_statuses.set()
                return


def _standing(told: StoredStatus) -> OperatorStatus:
    return OperatorStatus(told.user, told.extension, UserStatus(told.status), told.told_at)
