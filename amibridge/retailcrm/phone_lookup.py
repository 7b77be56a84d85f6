"""Whose number is that: RetailCRM's own search by phone, the cheapest there is, and counted as telephony."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from amibridge.retailcrm.customers import Customer
from amibridge.retailcrm.fields import query
from amibridge.retailcrm.requests import LimitClass, Request
from amibridge.retailcrm.tolerant import mapping, number, text


@dataclass(frozen=True, slots=True)
class Manager:
    """The user who should take the call. *code*: his extension."""

    id: int
    code: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None


@dataclass(frozen=True, slots=True)
class Links:
    """Pages of the CRM to open for the caller."""

    customer: str | None = None
    new_customer: str | None = None
    last_order: str | None = None
    new_order: str | None = None


@dataclass(frozen=True, slots=True)
class ManagerReply:
    """Any part may be missing: nobody is responsible, nobody has the number, no details were asked for.

    Of *customer* the CRM tells names, e-mail and phones, and nothing else.
    """

    manager: Manager | None = None
    customer: Customer | None = None
    links: Links = Links()

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        user, customer, links = (mapping(body.get(part)) for part in ("manager", "customer", "links"))
        user_id, known = number(user.get("id")), number(customer.get("id")) is not None
        return cls(
            None
            if user_id is None
            else Manager(
                user_id,
                text(user.get("code")),
                text(user.get("firstName")),
                text(user.get("lastName")),
                text(user.get("email")),
            ),
            Customer.of(customer) if known else None,
            Links(
                text(links.get("customerLink")),
                text(links.get("newCustomerLink")),
                text(links.get("lastOrderLink")),
                text(links.get("newOrderLink")),
            ),
        )


def telephony_manager(phone: str, *, details: bool = False, ignore_status: bool = False) -> Request[ManagerReply]:
    """Who looks after the caller. *details*: the customer and links, too. *ignore_status*: also who is not free."""
    if not 1 <= len(phone) <= 64:
        raise ValueError("a phone has 1 to 64 characters")
    asked = query(phone=phone, details=details or None, ignoreStatus=ignore_status or None)
    return Request("GET", "/api/v5/telephony/manager", ManagerReply, LimitClass.TELEPHONY, True, asked)
