"""What RetailCRM does with orders and its dictionaries when asked."""

from __future__ import annotations

from typing import Any

from amibridge.sandbox.crm_account import CrmAccount
from amibridge.sandbox.crm_ask import Answer, Ask, Method, among, changed, on_a_day, one_page, pagination, yes
from amibridge.sandbox.crm_customers import full_name
from amibridge.sandbox.crm_forms import FORMAT, Refused, read_entity
from amibridge.sandbox.crm_orders import GROUPS, STATUSES, TYPES
from amibridge.sandbox.crm_orders import METHODS as ORDER_METHODS
from amibridge.sandbox.crm_queries import OneQuery, OrderHistoryQuery, OrdersQuery, OrderStatusesQuery
from amibridge.sandbox.crm_records import ORDER, AtSite, WhichOne


def _list(account: CrmAccount, ask: Ask) -> Answer:
    query = ask.asks(OrdersQuery, lenient=account.account.ignores_unknown)

    def fits(order: dict[str, Any]) -> bool:
        customer = order.get("customer", {})
        days = (
            (order["createdAt"], query.created_from, query.created_to),
            (order["statusUpdatedAt"], query.status_from, query.status_to),
            (order.get("fullPaidAt"), query.paid_from, query.paid_to),
        )
        return (
            among(order["id"], query.ids)
            and among(order.get("externalId"), query.external_ids)
            and among(order["number"], query.numbers)
            and query.customer_id in (None, str(customer.get("id")))
            and query.customer_external_id in (None, customer.get("externalId"))
            and (
                query.customer is None
                or query.customer.casefold() in f"{full_name(order)} {order.get('phone')}".casefold()
            )
            and among(order.get("managerId"), query.managers)
            and among(order["site"], query.sites)
            and among(order["status"], query.statuses)
            and among(order["orderType"], query.order_types)
            and among(order["orderMethod"], query.order_methods)
            and all(on_a_day(*day) for day in days)
        )

    return one_page("orders", [one for one in reversed(account.orders.by_id.values()) if fits(one)], query)


def _get(account: CrmAccount, ask: Ask) -> Answer:
    query = ask.asks(OneQuery)
    return yes(order=account.orders.by_id[account.orders.find(ask.path["key"], query.by)])


def _create(account: CrmAccount, ask: Ask) -> Answer:
    ask.asks_nothing()
    order, at = read_entity("order", ask.form, ORDER, AtSite)
    _at_a_store(account, at.site)
    id = account.orders.create(order.given(), ask.at)
    return changed(account, 201, id=id, order=account.orders.by_id[id])


def _edit(account: CrmAccount, ask: Ask) -> Answer:
    ask.asks_nothing()
    order, which = read_entity("order", ask.form, ORDER, WhichOne)
    _at_a_store(account, which.site)
    id = account.orders.find(ask.path["key"], which.by)
    account.orders.edit(id, order.given(), ask.at)
    return changed(account, id=id, order=account.orders.by_id[id])


def _statuses_of(account: CrmAccount, ask: Ask) -> Answer:
    """Those it knows; of the others it says nothing."""
    query = ask.asks(OrderStatusesQuery)
    found = [
        {name: order[name] for name in ("id", "externalId", "status") if name in order}
        | {"group": STATUSES[order["status"]]}
        for order in account.orders.by_id.values()
        if (query.ids is not None and among(order["id"], query.ids))
        or (query.external_ids is not None and among(order.get("externalId"), query.external_ids))
    ]
    return yes(orders=found)


def _history(account: CrmAccount, ask: Ask) -> Answer:
    query = ask.asks(OrderHistoryQuery)
    log, limit = account.orders.history, int(query.limit)
    which: dict[str, object] = {} if query.entity_id is None else {"id": int(query.entity_id)}
    which |= {} if query.external_id is None else {"externalId": query.external_id}
    records = log.since(int(query.since_id or 0), query.start, query.end, which)
    return yes(
        generatedAt=log.local(ask.at), history=records[:limit], pagination=pagination(limit, len(records))
    )  # fmt: skip


def _sites(account: CrmAccount, ask: Ask) -> Answer:
    ask.asks_nothing()
    code = account.account.site
    site = {"id": 1, "code": code, "name": account.account.name, "url": f"https://{code}.example.com"}
    return yes(sites={code: site | {"countryIso": "RU", "currency": "RUB", "defaultForCrm": True}})


def _statuses(account: CrmAccount, ask: Ask) -> Answer:
    ask.asks_nothing()
    return yes(
        statuses={
            code: {"code": code, "name": code, "active": True, "ordering": place * 10, "group": group}
            for place, (code, group) in enumerate(STATUSES.items())
        }
    )


def _status_groups(account: CrmAccount, ask: Ask) -> Answer:
    ask.asks_nothing()
    return yes(
        statusGroups={
            code: {
                "code": code,
                "name": name,
                "active": True,
                "ordering": place * 10,
                "process": process,
                "statuses": list(statuses),
            }
            for place, (code, (name, process, statuses)) in enumerate(GROUPS.items())
        }
    )


def _order_types(account: CrmAccount, ask: Ask) -> Answer:
    ask.asks_nothing()
    return yes(orderTypes=_words(TYPES, "eshop-individual"))


def _order_methods(account: CrmAccount, ask: Ask) -> Answer:
    ask.asks_nothing()
    return yes(orderMethods=_words(ORDER_METHODS, "shopping-cart"))


def _words(words: dict[str, str], default: str) -> dict[str, dict[str, Any]]:
    return {
        code: {"code": code, "name": name, "active": True, "defaultForCrm": False, "defaultForApi": code == default}
        for code, name in words.items()
    }


def _at_a_store(account: CrmAccount, site: str | None) -> None:
    if site not in (None, account.account.site):
        raise Refused(400, FORMAT, {"site": f"Store “{site}” does not exist."})


_ONE = "/api/v5/orders/(?P<key>[^/]+)"
METHODS = (
    Method("GET", "/api/v5/orders", _list, "order_read"),
    Method("POST", "/api/v5/orders/create", _create, "order_write"),
    Method("GET", "/api/v5/orders/history", _history, "order_read"),
    Method("GET", "/api/v5/orders/statuses", _statuses_of, "order_read"),
    Method("GET", _ONE, _get, "order_read"),
    Method("POST", _ONE + "/edit", _edit, "order_write"),
    Method("GET", "/api/v5/reference/sites", _sites, "reference_read"),
    Method("GET", "/api/v5/reference/statuses", _statuses, "reference_read"),
    Method("GET", "/api/v5/reference/status-groups", _status_groups, "reference_read"),
    Method("GET", "/api/v5/reference/order-types", _order_types, "reference_read"),
    Method("GET", "/api/v5/reference/order-methods", _order_methods, "reference_read"),
)
