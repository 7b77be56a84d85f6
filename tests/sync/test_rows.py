"""Whatever the CRM writes becomes a row that PostgreSQL takes; its times are read in the account's zone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amibridge.enterprises import EnterpriseId
from amibridge.retailcrm.customers import Customer
from amibridge.retailcrm.orders import Order
from amibridge.retailcrm.tolerant import time
from amibridge.store.mirror import History, Mirror, Place
from amibridge.sync.rows import customer_row, group_words, instant, order_row

MINSK, MOSCOW, BERLIN = ZoneInfo("Europe/Minsk"), ZoneInfo("Europe/Moscow"), ZoneInfo("Europe/Berlin")
HOUR = "2026-11-24 12:30:00"


@pytest.mark.parametrize(
    ("written", "zone", "utc"),
    [
        (HOUR, MOSCOW, "2026-11-24T09:30:00"),
        (HOUR, ZoneInfo("Asia/Vladivostok"), "2026-11-24T02:30:00"),
        ("2026-01-01 00:30:00", ZoneInfo("America/New_York"), "2026-01-01T05:30:00"),
        ("2026-07-01 12:00:00", BERLIN, "2026-07-01T10:00:00"),
        ("2026-12-01 12:00:00", BERLIN, "2026-12-01T11:00:00"),
        ("2026-03-29 01:59:59", BERLIN, "2026-03-29T00:59:59"),
        ("2026-03-29 02:30:00", BERLIN, "2026-03-29T01:30:00"),  # there was no such hour
        ("2026-03-29 03:00:00", BERLIN, "2026-03-29T01:00:00"),
        ("2026-10-25 01:59:59", BERLIN, "2026-10-24T23:59:59"),
        ("2026-10-25 02:30:00", BERLIN, "2026-10-25T00:30:00"),  # the first of two
        ("2026-10-25 03:00:00", BERLIN, "2026-10-25T02:00:00"),
        ("2010-07-01 12:00:00", MOSCOW, "2010-07-01T08:00:00"),  # Moscow had summer time once
        ("2012-07-01 12:00:00", MOSCOW, "2012-07-01T08:00:00"),
        ("2015-07-01 12:00:00", MOSCOW, "2015-07-01T09:00:00"),
        ("2026-11-24 12:30", MINSK, "2026-11-24T09:30:00"),
        ("0001-01-01 00:00:00", MINSK, None),
        ("1899-12-31 23:59:59", MINSK, None),
        ("9999-12-31 23:59:59", MINSK, None),
        ("2026-02-31 10:00:00", MINSK, None),
        ("0000-00-00 00:00:00", MINSK, None),
        ("2026-11-24T12:30:00+03:00", MINSK, None),
        (1795491044, MINSK, None),
        (None, MINSK, None),
    ],
)
def test_a_time_of_the_account_as_utc(written: object, zone: ZoneInfo, utc: str | None) -> None:
    found = instant(time(written), zone)
    assert found == (None if utc is None else datetime.fromisoformat(utc).replace(tzinfo=UTC))


def test_an_order_as_the_crm_writes_it() -> None:
    said = {
        "id": 2031,
        "number": 14,
        "externalId": "14",
        "site": "romashka",
        "status": "complete",
        "orderMethod": "phone",
        "createdAt": HOUR,
        "statusUpdatedAt": HOUR,
        "fullPaidAt": HOUR,
        "managerId": "23",
        "customer": {"id": 971, "type": "customer"},
        "contact": {"id": 5},
        "phone": "8 (916) 123-45-67",
        "totalSumm": 1395.16,
        "currency": "RUB",
    }
    row = order_row(Order.of(said), MINSK, "RU", {"complete": "complete"})
    at = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
    assert (row.id, row.number, row.external_id, row.site) == (2031, "14", "14", "romashka")
    assert (row.customer_id, row.company_id, row.manager_id, row.phone) == (971, None, 23, "+79161234567")
    assert (row.status, row.status_group, row.total, row.currency) == (
        "complete",
        "complete",
        Decimal("1395.16"),
        "RUB",
    )
    assert (row.order_method, row.created_at, row.status_changed_at, row.paid_at) == ("phone", at, at, at)
    company = order_row(Order.of(said | {"customer": {"id": 8, "type": "customer_corporate"}}), MINSK, "RU", {})
    assert (company.customer_id, company.company_id, company.status_group) == (5, 8, None)


def test_a_customer_as_the_crm_writes_him() -> None:
    numbers = [{"number": text} for text in ("8 (916) 123-45-67", "+7 916 123-45-67", "101", "", "добавочный")]
    said = {"id": 5, "firstName": "Ольга", "patronymic": "", "lastName": "Петрова", "phones": numbers, "vip": True}
    row = customer_row(Customer.of(said), MINSK, "RU")
    assert (row.name, row.phones, row.vip, row.is_contact) == ("Ольга Петрова", ("+79161234567",), True, False)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**17, max_value=10**40)
    | st.floats()
    | st.text(alphabet=st.characters())
    | st.sampled_from(
        ["\0", "\ud800", "a\0b", "9" * 400, "+" * 300, HOUR, "0001-01-01 00:00:00", "1e999", "8916" * 99]
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=6,
)
ORDER = ["number", "externalId", "site", "status", "orderMethod", "createdAt", "statusUpdatedAt", "fullPaidAt"]
ORDER += ["managerId", "customer", "contact", "phone", "additionalPhone", "totalSumm", "currency", "payments", "summ"]
CUSTOMER = ["externalId", "firstName", "lastName", "patronymic", "phones", "managerId", "site", "isContact", "vip"]
CUSTOMER += ["createdAt", "tags", "customFields", "totalSumm", "ordersCount"]


def entities(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    phones = st.lists(st.fixed_dictionaries({"number": ANYTHING}), max_size=3)
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, ANYTHING | phones))


@pytest.mark.postgres
async def test_postgresql_takes_whatever_a_crm_may_write(pool: asyncpg.Pool) -> None:
    mirror, at = Mirror(pool), datetime.now(UTC)
    places = {history: Place(EnterpriseId("0123"), "crm", history) for history in History}
    for place in places.values():
        await mirror.begin(place, at)
    found: list[tuple[dict[str, Any], dict[str, Any], Any]] = []

    @settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(entities(ORDER), entities(CUSTOMER), ANYTHING)
    def gather(order: dict[str, Any], customer: dict[str, Any], word: Any) -> None:
        found.append((order, customer, word))

    gather()
    for number, (order, customer, word) in enumerate(found, start=1):
        said, met = Order.of(order | {"id": number}), Customer.of(customer | {"id": number})
        groups = group_words({str(word): str(word), said.status or "": "x"})
        await mirror.write_orders(places[History.ORDERS], at, [order_row(said, MINSK, "RU", groups)])
        await mirror.write_customers(places[History.CUSTOMERS], at, [customer_row(met, MINSK, "RU")])
        await mirror.regroup(places[History.ORDERS], at, groups)
    assert await pool.fetchval("SELECT count(*) FROM crm_orders") == len(found)
    assert await pool.fetchval("SELECT count(*) FROM crm_customers") == len(found)


def test_what_json_may_hold_is_read() -> None:
    """A lone half of a pair, and a number that is none, come through JSON."""
    said = json.loads('{"id": 1, "firstName": "\\ud800Оля\\u0000", "totalSumm": NaN, "managerId": -Infinity}')
    assert customer_row(Customer.of(said), MINSK, "RU").name == "?Оля"
    assert order_row(Order.of(said), MINSK, "RU", {}).total is None
