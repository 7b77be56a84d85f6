"""RetailCRM for whoever writes Python: find a customer by phone, create him, create an order, log a call.

    async with RetailCRMService.open("https://shop.retailcrm.ru", key, site="shop", region="RU") as crm:
        found = await crm.search_customer_by_phone("8 (916) 123-45-67")
        customer = found.customer or (await crm.create_customer(CustomerFields(phones=("+79161234567",)))).customer
        await crm.create_order(OrderFields(customer=customer.id, order_method="phone"))

Laws: every failure is a CrmError; what was created under an externalId is created once, however often it is asked for.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from amibridge.enterprises import Account
from amibridge.redact import Secret
from amibridge.retailcrm.client import CrmSettings, RetailCrm, open_crm
from amibridge.retailcrm.customers import Customer, CustomerFields, create_customer, customer, customers
from amibridge.retailcrm.errors import CrmBroken, CrmForbids, CrmMissing, CrmNotEnabled, CrmRefused
from amibridge.retailcrm.fields import which
from amibridge.retailcrm.orders import Order, OrderFields, create_order, order, orders
from amibridge.retailcrm.phone_lookup import telephony_manager
from amibridge.retailcrm.phone_match import FoundBy, PhoneForms, having, phone_forms
from amibridge.retailcrm.requests import UploadedCall, calls_upload, settings

NAMESPACE = uuid.UUID("e8c85e3d-ad7c-583d-80ba-4e3ffbf13c13")
"""Of our externalIds; another one would create every customer anew."""

MOST_MERGES = 8
"""Merges followed from one customer to the next; more is a circle."""

MOST_ASKED = 5
"""Customers with one number whose orders are looked at to choose among them."""


@dataclass(frozen=True, slots=True)
class Search:
    """*customer*: the best one, None when nobody has the number. *found_by*: how he was found, None with nobody.

    *others*: who has the number too; nobody is ever merged.
    """

    customer: Customer | None = None
    found_by: FoundBy | None = None
    others: tuple[Customer, ...] = ()


@dataclass(frozen=True, slots=True)
class CreatedCustomer:
    """*created*: False when he was there already, from before or from somebody who asked at the same time."""

    customer: Customer
    created: bool


@dataclass(frozen=True, slots=True)
class CreatedOrder:
    """*order*: as the CRM tells of it, or its id alone. *created*: False when it was there already."""

    order: Order
    created: bool


class RetailCRMService:
    """One account. *region*: how a number without its country is read, ``RU``. *zone*: None asks the CRM, once."""

    def __init__(self, crm: RetailCrm, account: Account, *, region: str = "RU", zone: ZoneInfo | None = None) -> None:
        self._crm = crm
        self._account = account
        self._region = region
        self._zone = zone

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        api_key: str,
        *,
        site: str | None = None,
        region: str = "RU",
        connection: CrmSettings | None = None,
    ) -> AsyncIterator[RetailCRMService]:
        """A service with a connection of its own. *url*: like ``https://shop.retailcrm.ru``; *site*: the store."""
        async with open_crm(connection or CrmSettings()) as crm:
            yield cls(crm, Account(url, Secret(api_key), site), region=region)

    async def search_customer_by_phone(self, phone: str) -> Search:
        """Who has that number, in whatever way it is written here and there. Raises CrmError.

        The CRM's own lookup is asked first, then its search by text; only who has the number counts. Of several,
        those of our store come first, then the one with the latest order.
        """
        forms = phone_forms(phone, self._region)
        if forms is None:
            return Search()
        known = await self._looked_up(forms)
        if known is not None:
            return Search(known, FoundBy.LOOKUP)
        for found_by, digits in forms.searches():
            reply = await self._crm.send(self._account, customers(name=digits, limit=100))
            matching = having(reply.customers, forms.e164, self._region)
            if matching:
                best, *others = await self._best_first(matching)
                return Search(best, found_by, tuple(others))
        return Search()

    async def create_customer(self, fields: CustomerFields) -> CreatedCustomer:
        """Create a customer once: asked again, also after a crash, the one who is there comes back. Raises CrmError.

        Without an *external_id* of yours it is made from the account and the first phone. Nobody is looked for by
        phone: a customer whom others created is found by `search_customer_by_phone` alone.
        """
        if fields.external_id is None:
            if not fields.phones:
                raise ValueError("a customer has a phone or an externalId")
            fields = replace(fields, external_id=self.external_id(fields.phones[0]))
        assert fields.external_id is not None
        which(fields.external_id)
        try:
            created = await self._crm.send(self._account, create_customer(fields, self._account.site))
        except CrmRefused as refusal:
            if not names_external_id(refusal):
                raise
            return CreatedCustomer(await self._known_customer(fields.external_id, refusal), created=False)
        mine = Customer(
            created.id,
            fields.external_id,
            fields.first_name,
            fields.last_name,
            fields.patronymic,
            fields.email,
            fields.phones or (),
            fields.manager_id,
            self._account.site,
        )
        return CreatedCustomer(mine, created=True)

    async def create_order(self, fields: OrderFields) -> CreatedOrder:
        """Create an order; with an *external_id* once, however often it is asked for. Raises CrmError."""
        if fields.external_id is not None:
            which(fields.external_id)
        try:
            written = await self._crm.send(self._account, create_order(fields, self._account.site))
        except CrmRefused as refusal:
            if fields.external_id is None or not names_external_id(refusal):
                raise
            try:
                found = await self._crm.send(self._account, order(fields.external_id, self._account.site))
            except CrmMissing:
                raise refusal from None  # it was about something else
            return CreatedOrder(found.order, created=False)
        return CreatedOrder(written.order or Order(written.id, external_id=fields.external_id), created=True)

    async def log_call(self, call: UploadedCall) -> bool:
        """Put a finished call into the CRM's history; False when it was there already. Raises CrmError.

        *call*'s date may be in any zone: it is written in the account's.
        """
        dated = replace(call, date=await self._local(call.date))
        reply = await self._crm.send(self._account, calls_upload([dated], self._account.site))
        if reply.processed == 0 and not reply.duplicates:
            raise CrmBroken("the CRM says that it did not take the call")
        return call.external_id not in reply.duplicates

    async def customer(self, key: int | str) -> Customer:
        """By RetailCRM's id, or by externalId as text; of one who was merged, the one who remained.

        Raises CrmError; CrmMissing when there is none.
        """
        for _ in range(MOST_MERGES):
            try:
                return (await self._crm.send(self._account, customer(key, self._account.site))).customer
            except CrmMissing as missing:
                if missing.combined_to is None:
                    raise
                key = missing.combined_to
        raise CrmBroken("merged customers lead to each other")

    def external_id(self, phone: str) -> str:
        """The externalId of our own for who has *phone*: the same for every way to write it, in this account."""
        forms = phone_forms(phone, self._region)
        owner = f"{self._account.url.rstrip('/').lower()} {phone if forms is None else forms.e164}"
        return f"amibridge-{uuid.uuid5(NAMESPACE, owner)}"

    async def _looked_up(self, forms: PhoneForms) -> Customer | None:
        try:
            reply = await self._crm.send(self._account, telephony_manager(forms.e164, details=True, ignore_status=True))
        except (CrmRefused, CrmMissing, CrmForbids, CrmNotEnabled):
            return None  # a key without telephony can still search
        if reply.customer is None or not having([reply.customer], forms.e164, self._region):
            return None
        return reply.customer

    async def _known_customer(self, external_id: str, refusal: CrmRefused) -> Customer:
        try:
            return await self.customer(external_id)
        except CrmMissing:
            raise refusal from None  # it was about something else

    async def _best_first(self, matching: Sequence[Customer]) -> list[Customer]:
        here = self._account.site
        at_home = [one for one in matching if here is not None and one.site == here] or list(matching)
        latest: dict[int, datetime] = {}
        if len(at_home) > 1:
            for one in at_home[:MOST_ASKED]:
                at = await self._latest_order(one)
                if at is not None:
                    latest[one.id] = at
        at_home.sort(key=lambda one: (one.id in latest, latest.get(one.id, datetime.min)), reverse=True)
        return at_home + [one for one in matching if one not in at_home]

    async def _latest_order(self, customer: Customer) -> datetime | None:
        try:
            reply = await self._crm.send(self._account, orders(customer_id=customer.id, limit=100))
        except (CrmRefused, CrmForbids):
            return None
        return max((order.created_at for order in reply.orders if order.created_at is not None), default=None)

    async def _local(self, at: datetime) -> datetime:
        if at.tzinfo is None:
            raise ValueError("a call has a date with a time zone")
        if self._zone is None:
            self._zone = (await self._crm.send(self._account, settings())).time_zone
        return at.astimezone(self._zone)


def names_external_id(refusal: CrmRefused) -> bool:
    """The CRM refuses an externalId, which it knows; in which words is not documented."""
    said = [refusal.message, *refusal.errors, *refusal.errors.values()]
    return any("externalid" in text.lower().replace("_", "") for text in said)
