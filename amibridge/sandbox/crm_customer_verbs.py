"""What RetailCRM does with customers when asked."""

from __future__ import annotations

from typing import Any

from amibridge.sandbox.crm_account import CrmAccount
from amibridge.sandbox.crm_ask import Answer, Ask, Method, among, changed, on_a_day, one_page, pagination, truth, yes
from amibridge.sandbox.crm_forms import FORMAT, NoQuery, Refused, read_entity, read_json
from amibridge.sandbox.crm_queries import CompaniesQuery, CustomerHistoryQuery, CustomersQuery, OneQuery
from amibridge.sandbox.crm_records import CUSTOMER, CUSTOMERS, FIXED_IDS, AtSite, WhichOne


def _list(account: CrmAccount, ask: Ask) -> Answer:
    query = ask.asks(CustomersQuery, lenient=account.account.ignores_unknown)
    named = (lambda _: True) if query.name is None else account.customers.named(query.name)
    flags = {"isContact": truth(query.is_contact), "vip": truth(query.vip), "bad": truth(query.bad)}
    found = [
        one
        for one in account.customers.by_id.values()
        if named(one)
        and query.email in (None, one.get("email"))
        and among(one["id"], query.ids)
        and among(one.get("externalId"), query.external_ids)
        and among(one["site"], query.sites)
        and among(one.get("managerId"), query.managers)
        and all(value in (None, one[name]) for name, value in flags.items())
        and on_a_day(one["createdAt"], query.date_from, query.date_to)
    ]
    return one_page("customers", list(reversed(found)), query)


def _get(account: CrmAccount, ask: Ask) -> Answer:
    query = ask.asks(OneQuery)
    return yes(customer=account.customers.by_id[account.customers.find(ask.path["key"], query.by)])


def _create(account: CrmAccount, ask: Ask) -> Answer:
    ask.asks_nothing()
    customer, at = read_entity("customer", ask.form, CUSTOMER, AtSite)
    _at_a_store(account, at.site)
    return changed(account, 201, id=account.customers.create(customer.given(), ask.at))


def _edit(account: CrmAccount, ask: Ask) -> Answer:
    ask.asks_nothing()
    customer, which = read_entity("customer", ask.form, CUSTOMER, WhichOne)
    _at_a_store(account, which.site)
    id = account.customers.find(ask.path["key"], which.by)
    account.customers.edit(id, customer.given(), ask.at)
    return changed(account, id=id)


def _upload(account: CrmAccount, ask: Ask) -> Answer:
    """Each alone: what is known already fails, the others are taken."""
    ask.asks_nothing()
    customers, at = read_json("customers", ask.form, CUSTOMERS, AtSite)
    empty = {str(place): one.complaints()[""] for place, one in enumerate(customers) if one.complaints()}
    if empty:
        raise Refused(400, FORMAT, empty)
    _at_a_store(account, at.site)
    taken: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    for customer in customers:
        fields = customer.given()
        named = {name: fields[name] for name in ("externalId",) if name in fields}
        try:
            taken.append({"id": account.customers.create(fields, ask.at)} | named)
        except Refused as refusal:
            failed[fields["externalId"]] = refusal.errors["externalId"]
    parts = {"uploadedCustomers": taken, "failedCustomers": [{"externalId": name} for name in failed]}
    done = changed(account, 201, **parts)
    if not failed:
        return done
    said = {"success": False, "errorMsg": "Customers are loaded with errors", "errors": failed}
    return Answer(said | parts, 460, done.changes)


def _fix_external_ids(account: CrmAccount, ask: Ask) -> Answer:
    """All or nothing."""
    ask.asks_nothing()
    pairs, _ = read_json("customers", ask.form, FIXED_IDS, NoQuery)
    book = account.customers
    for pair in pairs:
        if pair.id not in book.by_id:
            raise Refused(400, FORMAT, {"id": f"Customer {pair.id} does not exist."})
        if book.by_id[pair.id].get("externalId") != pair.external_id:
            book.check_external(pair.external_id)
    for pair in pairs:
        book.edit(pair.id, {"externalId": pair.external_id}, ask.at)
    return changed(account)


def _history(account: CrmAccount, ask: Ask) -> Answer:
    query = ask.asks(CustomerHistoryQuery)
    log, limit = account.customers.history, int(query.limit)
    who: dict[str, object] = {} if query.entity_id is None else {"id": int(query.entity_id)}
    who |= {} if query.external_id is None else {"externalId": query.external_id}
    records = log.since(int(query.since_id or 0), query.start, query.end, who)
    return yes(
        generatedAt=log.local(ask.at), history=records[:limit], pagination=pagination(limit, len(records))
    )  # fmt: skip


def _companies(account: CrmAccount, ask: Ask) -> Answer:
    """This account has none."""
    return one_page("customersCorporate", [], ask.asks(CompaniesQuery, lenient=account.account.ignores_unknown))


def _at_a_store(account: CrmAccount, site: str | None) -> None:
    if site not in (None, account.account.site):
        raise Refused(400, FORMAT, {"site": f"Store “{site}” does not exist."})


_ONE = "/api/v5/customers/(?P<key>[^/]+)"
METHODS = (
    Method("GET", "/api/v5/customers", _list, "customer_read"),
    Method("POST", "/api/v5/customers/create", _create, "customer_write"),
    Method("POST", "/api/v5/customers/fix-external-ids", _fix_external_ids, "customer_write"),
    Method("POST", "/api/v5/customers/upload", _upload, "customer_write"),
    Method("GET", "/api/v5/customers/history", _history, "customer_read"),
    Method("GET", "/api/v5/customers-corporate", _companies, "customer_read"),
    Method("GET", _ONE, _get, "customer_read"),
    Method("POST", _ONE + "/edit", _edit, "customer_write"),
)
