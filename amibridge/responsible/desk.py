"""One enterprise's answers: from memory, else PostgreSQL, else its CRM, and never later than the caller bears.

Laws: an answer that is not there in time is "nobody", and whatever comes later answers the next call; one phone is
looked up once at a time, and the CRM is asked one question at a time, so that popups do not wait for ours; where it
refuses or cannot answer, it is left alone for a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeAlias

import structlog

from amibridge.calls.phones import to_e164
from amibridge.calls.record import Extension
from amibridge.enterprises import Enterprise, Fallback, ResponsibleMode
from amibridge.responsible.answer import Answer, Nobody, Why
from amibridge.responsible.decision import Known, decide
from amibridge.responsible.memory import FRESH, Memory
from amibridge.responsible.naming import shown
from amibridge.responsible.presence import Presence
from amibridge.responsible.silence import Silence
from amibridge.retailcrm.client import RetailCrm
from amibridge.retailcrm.errors import CrmError, CrmMissing, CrmRefused, CrmUnreachable
from amibridge.retailcrm.phone_lookup import ManagerReply, telephony_manager
from amibridge.retailcrm.phone_match import having
from amibridge.store.db import DATABASE_FAILURES

CRM_WITHIN = timedelta(seconds=5)
"""For the CRM's answer, which nobody waits for that long: it is for the next call."""

MOST_LOOKUPS = 100
"""Phones of one enterprise that are looked up at once. More calls at one moment are a flood."""

WARM_FOR = timedelta(hours=24).total_seconds()
"""After a question, callers are looked up before the next one is asked: there is a dialplan that asks."""

Read: TypeAlias = Callable[[str, Fallback], Awaitable[Known]]
"""What PostgreSQL knows of a phone, as far as it is needed. Raises DATABASE_FAILURES."""

Start: TypeAlias = Callable[[Callable[[], Coroutine[None, None, None]], str], bool]
"""Starts work under a name; False when nothing is started any more."""


@dataclass(slots=True)
class _Lookup:
    """*read*: PostgreSQL has answered. *over*: so has the CRM, or it will not."""

    read: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Desk:
    def __init__(
        self,
        enterprise: Enterprise,
        presence: Presence,
        *,
        crm: RetailCrm,
        read: Read,
        may_ask: Callable[[], bool],
        start: Start,
        now: Callable[[], datetime],
    ) -> None:
        self._enterprise = enterprise
        self._presence = presence
        self._crm = crm
        self._read = read
        self._may_ask = may_ask
        self._start = start
        self._now = now
        self._clock = asyncio.get_running_loop().time
        self._memory = Memory()
        self._silence = Silence()
        self._lookups: dict[str, _Lookup] = {}
        self._asking = asyncio.Semaphore(1)
        self._asked_at: float | None = None
        self._changes = 0
        self._unreadable = False
        self._log = structlog.get_logger(enterprise=enterprise.id)

    def reconfigure(self, enterprise: Enterprise) -> None:
        if enterprise != self._enterprise:
            self._enterprise = enterprise
            self._memory, self._silence = Memory(), Silence()
            self._lookups = {}  # what they find is of the enterprise as it was

    def forget(self, phones: Collection[str], customers: Collection[int]) -> None:
        self._changes += 1
        self._memory.forget(phones, customers)

    def talked(self, phone: str, operators: tuple[Extension, ...]) -> None:
        self._memory.talked(phone, operators)

    async def answer(self, phone: str, line: str | None, deadline: float) -> Answer:
        """*phone*, *line*: as a PBX shows them. *deadline*: of the loop's clock."""
        self._asked_at = self._clock()
        e164 = to_e164(phone, self._enterprise.region)
        if e164 is None:
            return Answer(Nobody(Why.NO_NUMBER), shown(self._enterprise, line, Known()))
        lookup = self._look_up(e164)
        known = self._known(e164)
        if lookup is not None and not _suffices(known):
            with suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await lookup.read.wait()
                    if not _suffices(self._known(e164)):
                        await lookup.over.wait()
            known = self._known(e164)
        verdict = decide(known, self._enterprise, self._presence, self._now())
        return Answer(verdict, shown(self._enterprise, line, known), known.name or None)

    def warm(self, phone: str) -> None:
        """Whoever has *phone* (E.164) calls: the dialplan may ask in a moment, if it is one that asks."""
        asks = self._enterprise.responsible.mode is not ResponsibleMode.OFF
        if asks or (self._asked_at is not None and self._clock() - self._asked_at < WARM_FOR):
            self._look_up(phone)

    def _known(self, phone: str) -> Known:
        found = self._memory.of(phone, self._clock())
        return Known() if found is None else found.known

    def _look_up(self, phone: str) -> _Lookup | None:
        """The lookup of *phone* that is under way, or that it needs; None for neither."""
        under_way, found, now = self._lookups.get(phone), self._memory.of(phone, self._clock()), self._clock()
        is_fresh = found is not None and now - found.at < FRESH and (found.known.told is not None or not self._asks())
        if under_way is not None or is_fresh or len(self._lookups) >= MOST_LOOKUPS:
            return under_way
        lookup = _Lookup()
        if not self._start(lambda: self._run(phone, lookup), f"responsible of {self._enterprise.id}"):
            return None
        self._lookups[phone] = lookup
        return lookup

    async def _run(self, phone: str, lookup: _Lookup) -> None:
        try:
            await self._find_out(phone, lookup)
            self._unreadable = False
        except DATABASE_FAILURES as error:
            if not self._unreadable:
                self._log.warning("responsible_not_read", reason=str(error) or type(error).__name__)
            self._unreadable = True
        except Exception as error:
            self._log.error("responsible_failed", exc_info=error)
        finally:
            lookup.read.set()
            lookup.over.set()
            if self._lookups.get(phone) is lookup:
                del self._lookups[phone]

    async def _find_out(self, phone: str, lookup: _Lookup) -> None:
        told = self._known(phone).told
        known = await self._read_now(phone)
        self._keep(phone, lookup, replace(known, told=told))
        lookup.read.set()
        async with self._asking:
            if self._lookups.get(phone) is not lookup or not self._asks():
                return
            told = await self._ask(phone)
        if told is not None:
            found = self._memory.of(phone, self._clock())  # gone, if he was changed meanwhile
            known = found.known if found is not None else await self._read_now(phone)
            self._keep(phone, lookup, replace(known, told=told))

    async def _read_now(self, phone: str) -> Known:
        """Once more, if customers were changed while it was read."""
        changes, fallback = self._changes, self._enterprise.responsible.fallback
        known = await self._read(phone, fallback)
        return known if changes == self._changes else await self._read(phone, fallback)

    def _keep(self, phone: str, lookup: _Lookup, known: Known) -> None:
        if self._lookups.get(phone) is lookup:
            self._memory.keep(phone, known, self._clock())

    def _asks(self) -> bool:
        return self._enterprise.module.works and not self._silence.lasts(self._clock()) and self._may_ask()

    async def _ask(self, phone: str) -> ManagerReply | None:
        """The CRM's own answer, whoever is free; None when it gave none."""
        enterprise, silence = self._enterprise, self._silence
        try:
            async with asyncio.timeout(CRM_WITHIN.total_seconds()):
                reply = await self._crm.send(
                    enterprise.account, telephony_manager(phone, details=True, ignore_status=True)
                )
        except (CrmRefused, CrmMissing):
            reply = ManagerReply()  # it does not like this phone, and says so properly
        except TimeoutError:
            self._failed(CrmUnreachable("the CRM did not answer in time"), silence)
            return None
        except CrmError as error:
            self._failed(error, silence)
            return None
        if silence.answered():
            self._log.info("crm_tells_responsible_again")
        theirs = reply.customer
        if theirs is not None and theirs.phones and not having([theirs], phone, enterprise.region):
            return ManagerReply()  # of somebody with a similar number
        return reply

    def _failed(self, error: CrmError, silence: Silence) -> None:
        if silence.failed(error, self._clock()) and silence is self._silence:
            self._log.warning("crm_tells_no_responsible", reason=str(error))


def _suffices(known: Known) -> bool:
    """To answer by: the CRM has said, or we know who looks after him."""
    return known.told is not None or known.manager is not None
