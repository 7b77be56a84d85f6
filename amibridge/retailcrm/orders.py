"""Orders: what a call may lead to. Changes are in `history`, the words for statuses in `reference`.

Laws: an ordinary customer is named by his id alone; money is exact, in the order's currency.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Self

from amibridge.retailcrm.customers import Source
from amibridge.retailcrm.errors import CrmBroken
from amibridge.retailcrm.fields import (
    MOST_LISTED,
    Paging,
    at_most,
    external,
    filled,
    listed_in,
    local,
    page_of,
    positive,
    query,
    records_in,
    which,
)
from amibridge.retailcrm.requests import LimitClass, Request
from amibridge.retailcrm.tolerant import AccountTime, amount, mapping, mappings, number, text, time

ORDERS = "/api/v5/orders"
MOST_STATUSES = 250
"""Orders whose status may be asked for at once. RetailCRM is said to take 500; servers take a line of 8 kB, and that is
less."""


@dataclass(frozen=True, slots=True)
class OrderFields:
    """What is written of an order; None is left as it is. *customer*: an id, or an externalId as text.

    *order_type*, *order_method*, *status*: codes of the account's own dictionaries (`reference`).
    *created_at*: aware, in the account's time zone. *items*: as RetailCRM writes them.
    """

    external_id: str | None = None
    number: str | None = None
    customer: int | str | None = None
    order_type: str | None = None
    order_method: str | None = None
    status: str | None = None
    status_comment: str | None = None
    phone: str | None = None
    additional_phone: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    patronymic: str | None = None
    email: str | None = None
    manager_id: int | None = None
    manager_comment: str | None = None
    customer_comment: str | None = None
    created_at: datetime | None = None
    call: bool | None = None
    source: Source | None = None
    items: Sequence[Mapping[str, object]] | None = None
    custom_fields: Mapping[str, object] | None = None

    def fields(self) -> dict[str, object]:
        """In RetailCRM's words. Raises ValueError when nothing is said, or what the contract forbids."""
        said = filled(
            externalId=external(self.external_id),
            number=self.number,
            customer=None if self.customer is None else _customer(self.customer),
            orderType=self.order_type,
            orderMethod=self.order_method,
            status=self.status,
            statusComment=self.status_comment,
            phone=self.phone,
            additionalPhone=self.additional_phone,
            firstName=self.first_name,
            lastName=self.last_name,
            patronymic=self.patronymic,
            email=self.email,
            managerId=self.manager_id and positive(self.manager_id),
            managerComment=self.manager_comment,
            customerComment=self.customer_comment,
            createdAt=None if self.created_at is None else local(self.created_at),
            call=self.call,
            source=None if self.source is None else self.source.fields(),
            items=None if self.items is None else [dict(item) for item in self.items],
            customFields=None if self.custom_fields is None else dict(self.custom_fields),
        )
        if not said:
            raise ValueError("nothing is said of the order")
        return said


@dataclass(frozen=True, slots=True)
class Payment:
    id: int | None
    status: str | None
    type: str | None
    amount: Decimal | None
    paid_at: AccountTime | None


@dataclass(frozen=True, slots=True)
class Order:
    """An order as far as the answer tells of it. *customer*, *contact*: ids; *contact* is the person of a company.

    *total_summ*: what is to be paid; *summ*: the goods; *prepay_sum*: what was paid; *purchase_summ*: what they cost.
    *manager_id*: who looks after it.
    """

    id: int
    number: str | None = None
    external_id: str | None = None
    site: str | None = None
    status: str | None = None
    order_type: str | None = None
    order_method: str | None = None
    created_at: AccountTime | None = None
    status_updated_at: AccountTime | None = None
    full_paid_at: AccountTime | None = None
    manager_id: int | None = None
    customer: int | None = None
    contact: int | None = None
    is_of_company: bool = False
    phone: str | None = None
    additional_phone: str | None = None
    summ: Decimal | None = None
    total_summ: Decimal | None = None
    prepay_sum: Decimal | None = None
    purchase_summ: Decimal | None = None
    currency: str | None = None
    payments: tuple[Payment, ...] = ()
    custom_fields: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, said: Mapping[str, object]) -> Self:
        """Raises CrmBroken without an id."""
        found, customer = number(said.get("id")), mapping(said.get("customer"))
        if found is None:
            raise CrmBroken("the CRM tells of an order without an id")
        return cls(
            id=found,
            number=text(said.get("number")),
            external_id=text(said.get("externalId")),
            site=text(said.get("site")),
            status=text(said.get("status")),
            order_type=text(said.get("orderType")),
            order_method=text(said.get("orderMethod")),
            created_at=time(said.get("createdAt")),
            status_updated_at=time(said.get("statusUpdatedAt")),
            full_paid_at=time(said.get("fullPaidAt")),
            manager_id=number(said.get("managerId")),
            customer=number(customer.get("id")),
            contact=number(mapping(said.get("contact")).get("id")),
            is_of_company=customer.get("type") == "customer_corporate",
            phone=text(said.get("phone")),
            additional_phone=text(said.get("additionalPhone")),
            summ=amount(said.get("summ")),
            total_summ=amount(said.get("totalSumm")),
            prepay_sum=amount(said.get("prepaySum")),
            purchase_summ=amount(said.get("purchaseSumm")),
            currency=text(said.get("currency")),
            payments=tuple(map(_payment, mappings(said.get("payments")))),
            custom_fields=mapping(said.get("customFields")),
        )


@dataclass(frozen=True, slots=True)
class OrdersReply:
    orders: tuple[Order, ...]
    paging: Paging

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        return cls(tuple(map(Order.of, records_in(body, "orders"))), Paging.of(body))


@dataclass(frozen=True, slots=True)
class OrderReply:
    order: Order

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        return cls(Order.of(mapping(body.get("order"))))


@dataclass(frozen=True, slots=True)
class OrderWritten:
    """*order*: None where the CRM gives its id alone."""

    id: int
    order: Order | None = None

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        found, order = number(body.get("id")), mapping(body.get("order"))
        if found is None:
            found = number(order.get("id"))
        if found is None:
            raise CrmBroken("the CRM does not say which order was written")
        return cls(found, Order.of({"id": found, **order}) if order else None)


@dataclass(frozen=True, slots=True)
class OrderStatus:
    """*group*: the group of its status, such as ``complete``."""

    id: int
    external_id: str | None
    status: str
    group: str | None


@dataclass(frozen=True, slots=True)
class OrderStatusesReply:
    orders: tuple[OrderStatus, ...]

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        return cls(
            tuple(
                OrderStatus(id, text(one.get("externalId")), status, text(one.get("group")))
                for one in mappings(listed_in(body, "orders"))
                if (id := number(one.get("id"))) is not None and (status := text(one.get("status"))) is not None
            )
        )


def orders(
    *,
    customer_id: int | None = None,
    ids: Sequence[int] = (),
    external_ids: Sequence[str] = (),
    sites: Sequence[str] = (),
    created_from: date | None = None,
    created_to: date | None = None,
    status_from: date | None = None,
    status_to: date | None = None,
    page: int = 1,
    limit: int = 20,
) -> Request[OrdersReply]:
    """Orders by customer, ids, stores and days: when they were created, when their status changed."""
    at_most(ids, MOST_LISTED, "ids")
    at_most(external_ids, MOST_LISTED, "externalIds")
    asked = query(
        filter_customerId=customer_id, filter_ids=ids, filter_externalIds=external_ids, filter_sites=sites,
        filter_createdAtFrom=created_from, filter_createdAtTo=created_to,
        filter_statusUpdatedAtFrom=status_from, filter_statusUpdatedAtTo=status_to,
    )  # fmt: skip
    return Request("GET", ORDERS, OrdersReply, LimitClass.ORDINARY, True, page_of(page, limit) | asked)


def order(key: int | str, site: str | None = None) -> Request[OrderReply]:
    """One order, by RetailCRM's id or by externalId as text. Raises, when sent, CrmMissing."""
    path, by = which(key)
    return Request("GET", f"{ORDERS}/{path}", OrderReply, LimitClass.ORDINARY, True, query(by=by, site=site))


def create_order(order: OrderFields, site: str | None = None) -> Request[OrderWritten]:
    """A new order; one whose *external_id* is known is refused."""
    form = filled(site=site, order=order.fields())
    known = order.external_id is not None
    return Request("POST", f"{ORDERS}/create", OrderWritten, LimitClass.ORDINARY, known, form=form)


def edit_order(key: int | str, order: OrderFields, site: str | None = None) -> Request[OrderWritten]:
    """Only what *order* says is changed."""
    path, by = which(key)
    form = filled(by=by, site=site, order=order.fields())
    return Request("POST", f"{ORDERS}/{path}/edit", OrderWritten, LimitClass.ORDINARY, True, form=form)


def order_statuses(*, ids: Sequence[int] = (), external_ids: Sequence[str] = ()) -> Request[OrderStatusesReply]:
    """The cheap way to learn how orders stand; at most 250 by each name."""
    if not ids and not external_ids:
        raise ValueError("statuses of which orders?")
    at_most(ids, MOST_STATUSES, "ids")
    at_most(external_ids, MOST_STATUSES, "externalIds")
    asked = query(ids=ids, externalIds=external_ids)
    return Request("GET", f"{ORDERS}/statuses", OrderStatusesReply, LimitClass.ORDINARY, True, asked)


def _customer(key: int | str) -> dict[str, object]:
    return {"id": positive(key)} if isinstance(key, int) else {"externalId": external(key)}


def _payment(said: Mapping[str, object]) -> Payment:
    return Payment(
        number(said.get("id")),
        text(said.get("status")),
        text(said.get("type")),
        amount(said.get("amount")),
        time(said.get("paidAt")),
    )
