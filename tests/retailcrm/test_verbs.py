"""Every verb as a request: the contract takes all that can be built, and what it forbids cannot be built."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amibridge.retailcrm.corporate import companies
from amibridge.retailcrm.customers import (
    CustomerFields,
    Source,
    create_customer,
    customer,
    customers,
    edit_customer,
    fix_external_ids,
    upload_customers,
)
from amibridge.retailcrm.fields import METHODS
from amibridge.retailcrm.history import customers_history, orders_history
from amibridge.retailcrm.installation import api_versions, installation
from amibridge.retailcrm.modules import (
    IntegrationModule,
    SitePhone,
    Telephony,
    UserCode,
    edit_integration_module,
    integration_module,
)
from amibridge.retailcrm.notifications import NoticeKind, send_notification
from amibridge.retailcrm.orders import OrderFields, create_order, edit_order, order, order_statuses, orders
from amibridge.retailcrm.phone_lookup import telephony_manager
from amibridge.retailcrm.reference import order_methods, order_types, sites, status_groups, statuses
from amibridge.retailcrm.requests import LimitClass, Request, credentials, settings
from amibridge.retailcrm.tasks import TaskFields, create_task, edit_task, task, tasks
from amibridge.retailcrm.users import UserStatus, set_user_status, user, user_groups, users
from tests.retailcrm.contract import VERBS, assert_allowed, verb_of

MOSCOW = ZoneInfo("Europe/Moscow")
AT = datetime(2026, 11, 24, 12, 30, 6, tzinfo=MOSCOW)

ANNA = CustomerFields(
    external_id="amibridge-1",
    first_name="Анна",
    last_name="Ковалёва",
    patronymic="Петровна",
    email="anna@example.com",
    phones=("+79161234567", "8 (495) 111-00-01"),
    manager_id=27,
    is_contact=False,
    created_at=AT,
    vip=True,
    bad=False,
    sex="female",
    birthday=date(1980, 1, 1),
    address="Москва, Примерная, 1",
    source=Source("phone", "call", "spring", "flowers", "banner"),
    custom_fields={"code": [1, "x"]},
    add_tags=("called",),
    remove_tags=("new",),
)
ORDER = OrderFields(
    external_id="amibridge-pbx1:1",
    number="1A",
    customer=4924,
    order_type="eshop-individual",
    order_method="phone",
    status="new",
    status_comment="by phone",
    phone="+79161234567",
    additional_phone="101",
    first_name="Анна",
    last_name="К",
    patronymic="П",
    email="anna@example.com",
    manager_id=27,
    manager_comment="call back",
    customer_comment="soon",
    created_at=AT,
    call=True,
    source=Source("phone"),
    items=[{"quantity": 1}],
    custom_fields={},
)
TELEPHONY = Telephony(
    "https://bridge.example.com/call",
    "https://bridge.example.com/status",
    allow_edit=False,
    codes=(UserCode(27, "101"),),
    phones=(SitePhone("romashka", "74951110001"),),
)
MODULE = IntegrationModule(
    code="amibridge-0123",
    integration_code="amibridge",
    name="amibridge",
    client_id="d0c5",
    base_url="https://bridge.example.com/",
    account_url="https://bridge.example.com/account",
    logo="https://bridge.example.com/logo.svg?v=1",
    activity="/actions/activity",
    settings="/actions/settings",
    countries=("RU",),
    telephony=TELEPHONY,
)
TASK = TaskFields("call back", "he asked for it", AT, 27, 4924, "+79161234567", False)

BUILT: list[Request[Any]] = [
    telephony_manager("+79161234567"),
    telephony_manager("+79161234567", details=True, ignore_status=True),
    customers(),
    customers(name="Анна & Ко", ids=[1, 2], external_ids=["a", "b"], sites=["x"], is_contact=False, page=3, limit=100),
    customer(1, "romashka"),
    customer("amibridge-1"),
    customer("a/b?c=d&e#f g/../x"),
    create_customer(ANNA, "romashka"),
    create_customer(CustomerFields(phones=("79161234567",))),
    edit_customer(1, CustomerFields(vip=False)),
    edit_customer("amibridge-1", ANNA, "romashka"),
    upload_customers([ANNA, CustomerFields(first_name="x")], "romashka"),
    fix_external_ids({1: "a", 2: "b"}),
    customers_history(),
    customers_history(since_id=0, limit=20),
    customers_history(start=AT, end=AT),
    companies(contact_ids=[1, 2], sites=["x"]),
    orders(),
    orders(
        customer_id=1,
        ids=[1],
        external_ids=["a"],
        sites=["x"],
        created_from=date(2026, 1, 1),
        created_to=date(2026, 1, 2),
        status_from=date(2026, 1, 1),
        status_to=date(2026, 1, 2),
        limit=50,
    ),
    order(1),
    order("a", "romashka"),
    create_order(ORDER, "romashka"),
    create_order(OrderFields(customer="external")),
    edit_order(1, OrderFields(status="complete")),
    edit_order("a", ORDER, "romashka"),
    orders_history(since_id=7, limit=50),
    order_statuses(ids=[1, 2], external_ids=["a"]),
    users(),
    users(active=True, page=2, limit=20),
    user(27),
    set_user_status(27, UserStatus.DINNER),
    user_groups(),
    sites(),
    statuses(),
    status_groups(),
    order_types(),
    order_methods(),
    integration_module("amibridge-0123"),
    edit_integration_module(MODULE),
    edit_integration_module(replace(MODULE, telephony=replace(TELEPHONY, codes=None, phones=None), logo=None)),
    edit_integration_module(replace(MODULE, active=False, frozen=True, activity=None, settings=None, countries=None)),
    send_notification("<p>missed</p>", user_ids=[27]),
    send_notification("<p>missed</p>", kind=NoticeKind.ERROR, user_groups=["managers"]),
    api_versions(),
    installation(),
    tasks(),
    tasks(created_from=date(2026, 11, 24), page=2, limit=100),
    task(1),
    create_task(TASK, "romashka"),
    create_task(TaskFields("call", performer=27, customer="external"), "romashka"),
    edit_task(1, TaskFields(complete=True)),
]


@pytest.mark.parametrize("request_", BUILT, ids=lambda one: f"{one.method} {one.path}")
def test_the_contract_takes_it(request_: Request[Any]) -> None:
    assert_allowed(request_)
    assert request_.encoded() == request_.encoded()
    assert (request_.limit is LimitClass.TELEPHONY) is ("/telephony" in request_.path)


def test_every_verb_of_the_contract_is_built() -> None:
    built = [*BUILT, settings(), credentials()]
    known = {str(verb_of(one.method, urlsplit(one.encoded()[0]).path)) for one in built}
    elsewhere = {"POST /api/v5/telephony/call/event", "POST /api/v5/telephony/calls/upload"}
    assert known | elsewhere == {str(verb) for verb in VERBS}


def test_only_what_may_be_asked_twice_is_marked_so() -> None:
    once = {one.path for one in BUILT if not one.repeatable}
    assert once == {
        "/api/v5/customers/create",
        "/api/v5/customers/upload",
        "/api/v5/orders/create",
        "/api/v5/notifications/send",
        "/api/v5/tasks/create",
    }
    assert create_customer(ANNA).repeatable
    assert create_order(ORDER).repeatable
    assert upload_customers([ANNA]).repeatable


FORBIDDEN: dict[str, Callable[[], object]] = {
    "a page of thirty": lambda: customers(limit=30),
    "a page of 250": lambda: orders(limit=250),
    "page 0": lambda: users(page=0),
    "a history of ten": lambda: customers_history(limit=10),
    "a cursor below zero": lambda: orders_history(since_id=-1),
    "a history from a naive time": lambda: customers_history(start=datetime(2026, 1, 1)),
    "too many ids": lambda: customers(ids=range(1, 102)),
    "too many externalIds": lambda: orders(external_ids=["x"] * 101),
    "no name": lambda: customers(name=""),
    "a name too long": lambda: customers(name="x" * 256),
    "customer 0": lambda: customer(0),
    "customer without a name": lambda: customer(""),
    "the history as a customer": lambda: customer("history"),
    "a way up": lambda: customer(".."),
    "an externalId too long": lambda: customer("x" * 256),
    "a customer of nothing": lambda: create_customer(CustomerFields()),
    "an edit of nothing": lambda: edit_customer(1, CustomerFields()),
    "an empty phone": lambda: create_customer(CustomerFields(phones=("",))),
    "an empty externalId": lambda: create_customer(CustomerFields(external_id="", first_name="x")),
    "a naive birth": lambda: create_customer(CustomerFields(created_at=datetime(2026, 1, 1))),
    "an upload of none": lambda: upload_customers([]),
    "an upload of 51": lambda: upload_customers([ANNA] * 51),
    "fixing none": lambda: fix_external_ids({}),
    "fixing 51": lambda: fix_external_ids(dict.fromkeys(range(1, 52), "x")),
    "fixing to nothing": lambda: fix_external_ids({1: ""}),
    "an order of nothing": lambda: create_order(OrderFields()),
    "an order of customer 0": lambda: create_order(OrderFields(customer=0)),
    "statuses of none": lambda: order_statuses(),
    "statuses of 501": lambda: order_statuses(ids=range(1, 502)),
    "user 0": lambda: user(0),
    "nobody's number": lambda: telephony_manager(""),
    "a number too long": lambda: telephony_manager("1" * 65),
    "a notice for nobody": lambda: send_notification("x"),
    "a notice of nothing": lambda: send_notification("", user_ids=[1]),
    "a module without a code": lambda: integration_module(""),
    "a module up the path": lambda: integration_module(".."),
    "a module in two paths": lambda: integration_module("a/b"),
    "a module of another kind": lambda: edit_integration_module(replace(MODULE, integration_code="other")),
    "a module in the clear": lambda: edit_integration_module(replace(MODULE, base_url="http://bridge.example.com")),
    "a module with a picture": lambda: edit_integration_module(replace(MODULE, logo="https://example.com/logo.png")),
    "a module without a name": lambda: edit_integration_module(replace(MODULE, name="")),
    "calls in the clear": lambda: edit_integration_module(replace(MODULE, telephony=Telephony("http://x"))),
    "a task for nobody": lambda: create_task(TaskFields("call")),
    "a task of nothing": lambda: create_task(TaskFields(performer=27)),
    "the task without a number": lambda: task(0),
    "no change of a task": lambda: edit_task(1, TaskFields()),
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_the_contract_forbids_cannot_be_built(name: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        FORBIDDEN[name]()


def test_by_is_always_said_and_told_by_the_type_of_the_key() -> None:
    for built in (customer, order):
        assert parse_qs(urlsplit(built(7).encoded()[0]).query)["by"] == ["id"]
        assert parse_qs(urlsplit(built("7").encoded()[0]).query)["by"] == ["externalId"]
    for key, by in ((7, "id"), ("7", "externalId")):
        assert edit_customer(key, ANNA).form["by"] == by
        assert edit_order(key, ORDER).form["by"] == by


def test_a_history_never_has_a_page_beside_its_cursor() -> None:
    for built in (customers_history(since_id=5), orders_history(since_id=5), customers_history()):
        assert "page" not in built.query


def test_a_time_is_written_in_its_own_zone_and_a_task_to_the_minute() -> None:
    assert customers_history(start=AT).query["filter[startDate]"] == "2026-11-24 12:30:06"
    assert create_task(TASK).form["task"]["datetime"] == "2026-11-24 12:30"  # type: ignore[index]


def test_codes_are_left_out_or_wiped_by_the_one_who_says_so() -> None:
    def said(codes: tuple[UserCode, ...] | None) -> Any:
        form = edit_integration_module(replace(MODULE, telephony=replace(TELEPHONY, codes=codes))).form
        return json.loads(json.dumps(form["integrationModule"]))["integrations"]["telephony"]

    assert "additionalCodes" not in said(None)
    assert said(())["additionalCodes"] == []
    assert said((UserCode(27, "101"),))["additionalCodes"] == [{"userId": 27, "code": "101"}]


def test_a_module_that_was_read_is_sent_back_whole() -> None:
    form: Any = json.loads(json.dumps(edit_integration_module(MODULE).form["integrationModule"]))
    assert IntegrationModule.of(form) == MODULE


@given(st.text(min_size=1, max_size=40))
def test_no_external_id_breaks_out_of_its_path(key: str) -> None:
    if key in METHODS or set(key) <= {"."}:
        with pytest.raises(ValueError, match="by filter"):
            customer(key)
        return
    before, _, after = urlsplit(customer(key).encoded()[0]).path.rpartition("/")
    assert (before, unquote(after)) == ("/api/v5/customers", key)


@given(st.text(max_size=20), st.text(min_size=1, max_size=20))
def test_no_text_breaks_out_of_its_field(name: str, phone: str) -> None:
    body = create_customer(CustomerFields(first_name=name, phones=(phone,))).encoded()[1]
    form = parse_qs((body or b"").decode("ascii"), strict_parsing=True)
    assert json.loads(form["customer"][0]) == {"firstName": name, "phones": [{"number": phone}]}
