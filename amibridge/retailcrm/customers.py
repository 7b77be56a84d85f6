"""Customers: people who call, by their phones. Companies are in `corporate`, changes in `history`.

Laws: nothing finds a customer by phone for sure, so whoever searches compares the phones himself; phones are as they
were typed. An int is RetailCRM's own id, a text an externalId.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Literal, Self

from amibridge.retailcrm.errors import CrmBroken
from amibridge.retailcrm.fields import (
    MOST_LISTED,
    MOST_WRITTEN,
    Paging,
    at_most,
    external,
    filled,
    local,
    page_of,
    positive,
    query,
    records_in,
    some,
    which,
)
from amibridge.retailcrm.requests import LimitClass, Request
from amibridge.retailcrm.tolerant import (
    AccountTime,
    amount,
    entries,
    flag,
    mapping,
    mappings,
    number,
    text,
    time,
)
from amibridge.retailcrm.written import Accepted, Created, Edited, Uploaded

CUSTOMERS = "/api/v5/customers"


@dataclass(frozen=True, slots=True)
class Source:
    """Where somebody came from, for the CRM's analytics."""

    source: str | None = None
    medium: str | None = None
    campaign: str | None = None
    keyword: str | None = None
    content: str | None = None

    def fields(self) -> dict[str, object]:
        return filled(
            source=self.source,
            medium=self.medium,
            campaign=self.campaign,
            keyword=self.keyword,
            content=self.content,
        )


@dataclass(frozen=True, slots=True)
class CustomerFields:
    """What is written of a customer; None is left as it is. *phones*: all of them, an edit may replace the list.

    *manager_id*: the user who looks after him. *created_at*: aware, in the account's time zone. *address*: as a line.
    """

    external_id: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    patronymic: str | None = None
    email: str | None = None
    phones: tuple[str, ...] | None = None
    manager_id: int | None = None
    is_contact: bool | None = None
    created_at: datetime | None = None
    vip: bool | None = None
    bad: bool | None = None
    sex: Literal["male", "female"] | None = None
    birthday: date | None = None
    address: str | None = None
    source: Source | None = None
    custom_fields: Mapping[str, object] | None = None
    add_tags: tuple[str, ...] | None = None
    remove_tags: tuple[str, ...] | None = None

    def fields(self) -> dict[str, object]:
        """In RetailCRM's words. Raises ValueError when nothing is said, or what the contract forbids."""
        said = filled(
            externalId=external(self.external_id),
            firstName=self.first_name,
            lastName=self.last_name,
            patronymic=self.patronymic,
            email=self.email,
            phones=None if self.phones is None else [{"number": _phone(phone)} for phone in self.phones],
            managerId=self.manager_id and positive(self.manager_id),
            isContact=self.is_contact,
            createdAt=None if self.created_at is None else local(self.created_at),
            vip=self.vip,
            bad=self.bad,
            sex=self.sex,
            birthday=None if self.birthday is None else self.birthday.isoformat(),
            address=None if self.address is None else {"text": self.address},
            source=None if self.source is None else self.source.fields(),
            customFields=None if self.custom_fields is None else dict(self.custom_fields),
            addTags=None if self.add_tags is None else list(self.add_tags),
            removeTags=None if self.remove_tags is None else list(self.remove_tags),
        )
        if not said:
            raise ValueError("nothing is said of the customer")
        return said


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer as far as the answer tells of him. *phones*: as they were typed. *manager_id*: who looks after him.

    *is_contact*: he is a company's person. *total_summ*, *average_summ*: of his orders, in the account's currency.
    """

    id: int
    external_id: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    patronymic: str | None = None
    email: str | None = None
    phones: tuple[str, ...] = ()
    manager_id: int | None = None
    site: str | None = None
    is_contact: bool = False
    vip: bool = False
    bad: bool = False
    created_at: AccountTime | None = None
    orders_count: int | None = None
    total_summ: Decimal | None = None
    average_summ: Decimal | None = None
    tags: tuple[str, ...] = ()
    custom_fields: Mapping[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """First name, patronymic, last name; empty when nobody wrote one."""
        return " ".join(part for part in (self.first_name, self.patronymic, self.last_name) if part)

    @classmethod
    def of(cls, said: Mapping[str, object]) -> Self:
        """Raises CrmBroken without an id."""
        found = number(said.get("id"))
        if found is None:
            raise CrmBroken("the CRM tells of a customer without an id")
        return cls(
            id=found,
            external_id=text(said.get("externalId")),
            first_name=text(said.get("firstName")),
            last_name=text(said.get("lastName")),
            patronymic=text(said.get("patronymic")),
            email=text(said.get("email")),
            phones=tuple(phone for one in mappings(said.get("phones")) if (phone := text(one.get("number")))),
            manager_id=number(said.get("managerId")),
            site=text(said.get("site")),
            is_contact=flag(said.get("isContact")) or False,
            vip=flag(said.get("vip")) or False,
            bad=flag(said.get("bad")) or False,
            created_at=time(said.get("createdAt")),
            orders_count=number(said.get("ordersCount")),
            total_summ=amount(said.get("totalSumm")),
            average_summ=amount(said.get("averageSumm")),
            tags=tuple(tag for one in entries(said.get("tags")) if (tag := text(mapping(one).get("name") or one))),
            custom_fields=mapping(said.get("customFields")),
        )


@dataclass(frozen=True, slots=True)
class CustomersReply:
    customers: tuple[Customer, ...]
    paging: Paging

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        return cls(tuple(map(Customer.of, records_in(body, "customers"))), Paging.of(body))


@dataclass(frozen=True, slots=True)
class CustomerReply:
    customer: Customer

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        return cls(Customer.of(mapping(body.get("customer"))))


def customers(
    *,
    name: str | None = None,
    ids: Sequence[int] = (),
    external_ids: Sequence[str] = (),
    sites: Sequence[str] = (),
    is_contact: bool | None = None,
    page: int = 1,
    limit: int = 20,
) -> Request[CustomersReply]:
    """Customers whose *name*, or phone, is like that. Whether a part of it is enough, nobody documents."""
    if name is not None and not 1 <= len(name) <= 255:
        raise ValueError("a name to look for has 1 to 255 characters")
    at_most(ids, MOST_LISTED, "ids")
    at_most(external_ids, MOST_LISTED, "externalIds")
    asked = query(
        filter_name=name, filter_ids=ids, filter_externalIds=external_ids, filter_sites=sites,
        filter_isContact=is_contact,
    )  # fmt: skip
    return Request("GET", CUSTOMERS, CustomersReply, LimitClass.ORDINARY, True, page_of(page, limit) | asked)


def customer(key: int | str, site: str | None = None) -> Request[CustomerReply]:
    """One customer. Raises, when sent, CrmMissing; with *combined_to* when he was merged into another."""
    path, by = which(key)
    return Request(
        "GET", f"{CUSTOMERS}/{path}", CustomerReply, LimitClass.ORDINARY, True, query(by=by, site=site)
    )  # fmt: skip


def create_customer(customer: CustomerFields, site: str | None = None) -> Request[Created]:
    """A new customer. RetailCRM asks nobody whether his phone is known; an *external_id* known to it is refused."""
    form = filled(site=site, customer=customer.fields())
    return Request(
        "POST", f"{CUSTOMERS}/create", Created, LimitClass.ORDINARY, customer.external_id is not None, form=form
    )


def edit_customer(key: int | str, customer: CustomerFields, site: str | None = None) -> Request[Edited]:
    """Only what *customer* says is changed."""
    path, by = which(key)
    form = filled(by=by, site=site, customer=customer.fields())
    return Request("POST", f"{CUSTOMERS}/{path}/edit", Edited, LimitClass.ORDINARY, True, form=form)


def upload_customers(customers: Sequence[CustomerFields], site: str | None = None) -> Request[Uploaded]:
    """Many new customers, at most 50; some may be taken and some not."""
    some(customers, MOST_WRITTEN, "customers")
    form = filled(site=site, customers=[customer.fields() for customer in customers])
    known = all(customer.external_id is not None for customer in customers)
    return Request("POST", f"{CUSTOMERS}/upload", Uploaded, LimitClass.ORDINARY, known, form=form, partial=True)


def fix_external_ids(external_ids: Mapping[int, str]) -> Request[Accepted]:
    """Give customers their externalIds, by RetailCRM's id; at most 50."""
    some(list(external_ids), MOST_WRITTEN, "customers")
    pairs = [{"id": positive(id), "externalId": external(name)} for id, name in external_ids.items()]
    return Request(
        "POST", f"{CUSTOMERS}/fix-external-ids", Accepted, LimitClass.ORDINARY, True, form={"customers": pairs}
    )


def _phone(number: str) -> str:
    if not 1 <= len(number) <= 255:
        raise ValueError("a phone has 1 to 255 characters")
    return number
