"""A customer or an order of the CRM as a row that PostgreSQL takes, whatever the CRM wrote.

Laws: a number or a time that cannot be is None, a text is cut to what a person reads; nothing is raised. Times are
made aware by the account's zone: of an hour that the clock shows twice the first, in one that it skips as if it had not
been put forward. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from amibridge.calls.phones import to_e164
from amibridge.retailcrm.customers import Customer
from amibridge.retailcrm.history import LARGEST_ID
from amibridge.retailcrm.orders import Order
from amibridge.retailcrm.tolerant import AccountTime, moment
from amibridge.store.mirror import MirroredCustomer, MirroredOrder

LONGEST = 255
"""Characters of a name, a code or a number."""

MOST_PHONES = 50
"""Of one customer."""


def customer_row(customer: Customer, zone: ZoneInfo, region: str) -> MirroredCustomer:
    phones = (_phone(phone, region) for phone in customer.phones[:MOST_PHONES])
    return MirroredCustomer(
        id=customer.id,
        external_id=_text(customer.external_id),
        name=_text(customer.name) or "",
        site=_text(customer.site),
        manager_id=_id(customer.manager_id),
        is_contact=customer.is_contact,
        vip=customer.vip,
        created_at=instant(customer.created_at, zone),
        phones=tuple(dict.fromkeys(phone for phone in phones if phone is not None)),
    )


def order_row(order: Order, zone: ZoneInfo, region: str, groups: Mapping[str, str | None]) -> MirroredOrder:
    """*groups*: the group of each status, by code."""
    of_company = order.is_of_company
    return MirroredOrder(
        id=order.id,
        number=_text(order.number),
        external_id=_text(order.external_id),
        site=_text(order.site),
        customer_id=_id(order.contact if of_company else order.customer),
        company_id=_id(order.customer) if of_company else None,
        phone=_phone(order.phone, region) or _phone(order.additional_phone, region),
        manager_id=_id(order.manager_id),
        status=_text(order.status),
        status_group=groups.get(_text(order.status) or ""),
        total=order.total_summ,
        currency=_text(order.currency),
        order_method=_text(order.order_method),
        created_at=instant(order.created_at, zone),
        status_changed_at=instant(order.status_updated_at, zone),
        paid_at=instant(order.full_paid_at, zone),
    )


def group_words(groups: Mapping[str, str | None]) -> dict[str, str | None]:
    """The account's statuses and their groups as they can be kept."""
    return {code: _text(group) for name, group in groups.items() if (code := _text(name))}


def instant(at: AccountTime | None, zone: ZoneInfo) -> datetime | None:
    """*at* as UTC. None for a time near the ends of the calendar, which nobody means."""
    if at is None or not 1900 <= at.year <= 9998:
        return None
    return moment(at, zone).astimezone(UTC)


def _text(written: str | None) -> str | None:
    if written is None:
        return None
    whole = written[:LONGEST].replace("\0", "").encode("utf-8", "replace").decode("utf-8").strip()
    return whole or None


def _id(number: int | None) -> int | None:
    return number if number is not None and 0 < number <= LARGEST_ID else None


def _phone(written: str | None, region: str) -> str | None:
    return to_e164(_text(written[:LONGEST]) if written else None, region)
