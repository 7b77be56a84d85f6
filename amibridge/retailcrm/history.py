"""What changed in the CRM: customers and orders, one record for each field.

Laws: the cursor is `sinceId` alone, a page beside it is refused since 2023; a record that cannot be read is counted and
passed over, or it would hold up all that came after it; our own echoes are told apart, not left out.
Source of the walk: RetailCRM's article on its history API.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Generic, Self, TypeVar

from amibridge.retailcrm.customers import Customer
from amibridge.retailcrm.errors import CrmBroken
from amibridge.retailcrm.fields import listed_in, page_size, query
from amibridge.retailcrm.orders import Order
from amibridge.retailcrm.requests import LimitClass, Request
from amibridge.retailcrm.tolerant import AccountTime, as_text, flag, mapping, mappings, number, text, time

LARGEST_ID = 2**63 - 1
"""A cursor that went further could be asked for by nobody."""

EntityT = TypeVar("EntityT", Customer, Order)


class Happened(Enum):
    """What a record tells."""

    CREATED = "created"
    DELETED = "deleted"
    COMBINED = "combined"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class HistoryRecord(Generic[EntityT]):
    """One change. *entity*: whole when it was created, else only who it is (id, externalId, site).

    *field*: in snake case, ``status``, ``manager``, ``phones``, ``payments.status``, ``custom_<code>``.
    *old*, *new*: as they came; `old_text` and `new_text` say what they come to. *own*: it was done with our key.
    *source*: ``user``, ``api`` or ``code``. *combined_to*: the customer who remained after a merge.
    """

    id: int
    happened: Happened
    entity: EntityT
    field: str
    old: object
    new: object
    at: AccountTime | None
    source: str
    user: int | None
    own: bool
    combined_to: int | None

    @property
    def old_text(self) -> str | None:
        return comes_to(self.old)

    @property
    def new_text(self) -> str | None:
        return comes_to(self.new)


@dataclass(frozen=True, slots=True)
class CustomerHistoryReply:
    """*last_id*: where to go on, None when there was nothing. *more*: there are records behind these.

    *unreadable*: how many more there were that say nothing: without a number, or of nobody.
    """

    records: tuple[HistoryRecord[Customer], ...]
    last_id: int | None
    more: bool
    unreadable: int

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        return cls(*_page(body, "customer", Customer.of))


@dataclass(frozen=True, slots=True)
class OrderHistoryReply:
    """*last_id*: where to go on, None when there was nothing. *more*: there are records behind these.

    *unreadable*: how many more there were that say nothing: without a number, or of nobody.
    """

    records: tuple[HistoryRecord[Order], ...]
    last_id: int | None
    more: bool
    unreadable: int

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        return cls(*_page(body, "order", Order.of))


def customers_history(
    *, since_id: int | None = None, start: datetime | None = None, end: datetime | None = None, limit: int = 100
) -> Request[CustomerHistoryReply]:
    """Changes behind *since_id*, or from *start*: who has no cursor yet begins at a time, not at the beginning.

    *start* and *end* are aware, in the account's time zone.
    """
    asked = _asked(since_id, start, end, limit)
    return Request(
        "GET",
        "/api/v5/customers/history",
        CustomerHistoryReply,
        LimitClass.ORDINARY,
        True,
        asked,
        nothing=lambda reply: reply.last_id is None and not reply.unreadable,
    )


def orders_history(
    *, since_id: int | None = None, start: datetime | None = None, end: datetime | None = None, limit: int = 100
) -> Request[OrderHistoryReply]:
    """As `customers_history`."""
    asked = _asked(since_id, start, end, limit)
    return Request(
        "GET",
        "/api/v5/orders/history",
        OrderHistoryReply,
        LimitClass.ORDINARY,
        True,
        asked,
        nothing=lambda reply: reply.last_id is None and not reply.unreadable,
    )


def comes_to(value: object) -> str | None:
    """A value as one text: the code of a ``{code}``, the id of an ``{id}``; None for nothing, ``[]`` and ``{}``."""
    if isinstance(value, Mapping):
        found = text(value.get("code")) or text(value.get("id")) or text(value.get("number"))
        return found or (as_text(dict(value)) if value else None)
    if value is None or value == [] or value == "":
        return None
    return as_text(value)


def _asked(since_id: int | None, start: datetime | None, end: datetime | None, limit: int) -> dict[str, str]:
    if since_id is not None and since_id < 0:
        raise ValueError("a cursor is not negative")
    asked = query(filter_sinceId=since_id, filter_startDate=start, filter_endDate=end)
    return {"limit": page_size(limit)} | asked


def _page(
    body: Mapping[str, object], name: str, entity: Callable[[Mapping[str, object]], EntityT]
) -> tuple[tuple[HistoryRecord[EntityT], ...], int | None, bool, int]:
    records, unreadable = [], 0
    last_id: int | None = None
    for said in mappings(listed_in(body, "history")):
        found = _number_of(said)
        if found is not None:
            last_id = max(found, last_id or 0)
        try:
            records.append(_record(said, name, entity))
        except CrmBroken:
            unreadable += 1
    pages = number(mapping(body.get("pagination")).get("totalPageCount")) or 1
    return tuple(records), last_id, pages > 1 and last_id is not None, unreadable


def _record(
    said: Mapping[str, object], name: str, entity: Callable[[Mapping[str, object]], EntityT]
) -> HistoryRecord[EntityT]:
    found = _number_of(said)
    if found is None:
        raise CrmBroken("the CRM tells of a change without a number")
    combined_to = number(mapping(said.get("combinedTo")).get("id"))
    if flag(said.get("created")):
        happened = Happened.CREATED
    elif combined_to is not None:  # who was merged away is deleted, too
        happened = Happened.COMBINED
    elif flag(said.get("deleted")):
        happened = Happened.DELETED
    else:
        happened = Happened.CHANGED
    source = text(said.get("source")) or ""
    return HistoryRecord(
        id=found,
        happened=happened,
        entity=entity(mapping(said.get(name))),
        field=text(said.get("field")) or "",
        old=said.get("oldValue"),
        new=said.get("newValue"),
        at=time(said.get("createdAt")),
        source=source,
        user=number(mapping(said.get("user")).get("id")),
        own=source == "api" and flag(mapping(said.get("apiKey")).get("current")) is True,
        combined_to=combined_to,
    )


def _number_of(said: Mapping[str, object]) -> int | None:
    found = number(said.get("id"))
    return found if found is not None and 0 < found <= LARGEST_ID else None
