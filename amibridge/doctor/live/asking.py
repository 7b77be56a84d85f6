"""One account that is asked how it behaves, and what an answer to such a question is.

Laws: nobody's name or number is told; what is found out twice is asked once; the running bridge asks the same account,
so we take a small part of its rate and wait when it is busy.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeAlias
from zoneinfo import ZoneInfo

from amibridge.enterprises import Account, Enterprise
from amibridge.redact import Secret
from amibridge.retailcrm.client import RetailCrm
from amibridge.retailcrm.customers import Customer, customers
from amibridge.retailcrm.errors import CrmBroken, CrmBusy, CrmError, CrmMissing, CrmRefused, CrmUnreachable
from amibridge.retailcrm.history import CustomerHistoryReply, OrderHistoryReply, customers_history, orders_history
from amibridge.retailcrm.module_wish import module_code
from amibridge.retailcrm.modules import IntegrationModule, integration_module, says_there_is_none
from amibridge.retailcrm.phone_lookup import ManagerReply, telephony_manager
from amibridge.retailcrm.phone_match import PhoneForms, phone_forms
from amibridge.retailcrm.requests import ReplyT, Request, settings

PATIENT_TRIES = 4
BUSY_AGAIN, LONGEST_WAIT = timedelta(seconds=1), timedelta(seconds=5)
"""RetailCRM counts requests by the second."""

LOOKED_UP = 5
"""Customers whose number is looked for."""

RECENT = timedelta(days=31)
"""Of the histories."""

NOBODY = "+447700900123"
"""Ofcom keeps 07700 900000 to 900999 for films: no person has it, in no country's way of writing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """*asked*, *answered*: half sentences; *answered* begins with what the account did."""

    as_assumed: bool
    asked: str
    answered: str


class Unasked(Exception):
    """The question cannot be put to this account as it is; says why."""


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer as it came, where its form is what is asked about."""

    body: Mapping[str, object]

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        return cls(body)


def whole(request: Request[Any]) -> Request[Whole]:
    """*request*, answered as it comes."""
    return Request(request.method, request.path, Whole, request.limit, request.repeatable, request.query, request.form)


@dataclass(frozen=True, slots=True)
class Known:
    """A customer of the account, one of his numbers as it was typed, and the ways to write that number."""

    customer: Customer
    typed: str
    forms: PhoneForms

    @property
    def digits(self) -> str:
        return _digits(self.typed)


class LiveAccount:
    """Methods raise CrmError for what the account does not answer, and Unasked. *left*: what was made there."""

    def __init__(self, crm: RetailCrm, enterprise: Enterprise) -> None:
        self.enterprise = enterprise
        self.left: list[str] = []
        self._crm = crm
        self._newest: Sequence[Customer] | None = None
        self._lookups: list[tuple[Known, ManagerReply | CrmError]] | None = None
        self._module: tuple[IntegrationModule | None] | None = None
        self._zone: ZoneInfo | None = None

    @property
    def site(self) -> str | None:
        return self.enterprise.account.site

    async def ask(self, request: Request[ReplyT], account: Account | None = None) -> ReplyT:
        for _ in range(PATIENT_TRIES):
            try:
                return await self._crm.send(account or self.enterprise.account, request)
            except CrmBusy as error:
                await asyncio.sleep(min(error.retry_after or BUSY_AGAIN, LONGEST_WAIT).total_seconds())
        return await self._crm.send(account or self.enterprise.account, request)

    async def make(self, what: str, request: Request[ReplyT]) -> ReplyT:
        """Ask for *what* stays there: what was refused is not *left*, what may have arrived is."""
        try:
            reply = await self.ask(request)
        except (CrmUnreachable, CrmBroken):
            self.left.append(f"{what}, perhaps")
            raise
        self.left.append(what)
        return reply

    async def refusal(self, request: Request[ReplyT], account: Account | None = None) -> CrmError | None:
        """What the account says against *request*, None if it does what it is asked. Who cannot answer says nothing."""
        try:
            await self.ask(request, account)
        except (CrmBusy, CrmUnreachable):
            raise
        except CrmError as error:
            return error
        return None

    def with_key(self, key: str) -> Account:
        return replace(self.enterprise.account, api_key=Secret(key))

    async def newest(self) -> Sequence[Customer]:
        """The customers who came last, a hundred at most."""
        if self._newest is None:
            try:
                self._newest = (await self.ask(customers(limit=100))).customers
            except CrmRefused:
                self._newest = (await self.ask(customers(limit=20))).customers
        return self._newest

    async def known(self) -> list[Known]:
        """Those of the newest customers who have a public number, each with one: as other than E.164 if he can."""
        found = []
        for one in await self.newest():
            numbers = [(typed, phone_forms(typed, self.enterprise.region)) for typed in one.phones]
            ways = [Known(one, typed, forms) for typed, forms in numbers if forms is not None]
            found += sorted(ways, key=lambda way: way.typed == way.forms.e164)[:1]
        if not found:
            raise Unasked("none of its newest customers has a telephone number")
        return found

    async def looked_up(self) -> list[tuple[Known, ManagerReply | CrmError]]:
        """Some of the known customers, as differently typed as can be, and what `telephony/manager` says of each."""
        if self._lookups is None:
            by_way: dict[str, list[Known]] = {}
            for one in await self.known():
                by_way.setdefault(one.typed.replace(one.forms.significant, "…"), []).append(one)
            several = [ways[place] for place in range(LOOKED_UP) for ways in by_way.values() if place < len(ways)]
            self._lookups = [(one, await self._lookup(one)) for one in several[:LOOKED_UP]]
        return self._lookups

    async def _lookup(self, one: Known) -> ManagerReply | CrmError:
        try:
            return await self.ask(telephony_manager(one.forms.e164, details=True, ignore_status=True))
        except (CrmRefused, CrmMissing) as error:
            return error

    async def module(self) -> IntegrationModule | None:
        """Ours, None if it is not registered."""
        if self._module is None:
            try:
                self._module = ((await self.ask(integration_module(module_code(self.enterprise)))).module,)
            except (CrmMissing, CrmRefused) as error:
                if not says_there_is_none(error):
                    raise
                self._module = (None,)
        return self._module[0]

    async def zone(self) -> ZoneInfo:
        if self._zone is None:
            self._zone = self.enterprise.time_zone or (await self.ask(settings())).time_zone
        return self._zone

    async def local(self, back: timedelta = timedelta(0)) -> datetime:
        """*back* ago, in the account's time, to the second."""
        return (datetime.now(UTC) - back).astimezone(await self.zone()).replace(microsecond=0)

    async def history(
        self, of: str, since_id: int | None = None, start: datetime | None = None
    ) -> CustomerHistoryReply | OrderHistoryReply:
        """A page of twenty changes of customers, or of orders."""
        if of == "customers":
            return await self.ask(customers_history(since_id=since_id, start=start, limit=20))
        return await self.ask(orders_history(since_id=since_id, start=start, limit=20))


Question: TypeAlias = Callable[[LiveAccount], Awaitable[Answer]]


def has(customer: Customer, number: str) -> bool:
    """Numbers of films are no valid ones, so that `phone_match` leaves them out."""
    return any(_digits(phone) == _digits(number) for phone in customer.phones)


def _digits(phone: str) -> str:
    return "".join(char for char in phone if char.isdigit())


def name_of_a_test(enterprise: Enterprise) -> str:
    """By which the CRM knows whatever we make there: always the same, so that it is made once and never again."""
    return f"amibridge-doctor-{enterprise.id}"


def nobodys_key() -> str:
    return f"amibridge-doctor-{uuid.uuid4().hex}"


def said(error: CrmError | None) -> str:
    return "it does what it is asked" if error is None else f"it says: {error}"
