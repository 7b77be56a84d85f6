"""Answers to every verb: read in each of PHP's spellings, and never the cause of anything but a CrmError."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amibridge.retailcrm.customers import Customer, CustomerFields, customer, customers, upload_customers
from amibridge.retailcrm.errors import CrmBroken, CrmError, CrmMissing, CrmRefused
from amibridge.retailcrm.fields import Paging
from amibridge.retailcrm.history import Happened, customers_history, orders_history
from amibridge.retailcrm.installation import VersionsReply, api_versions
from amibridge.retailcrm.modules import SitePhone, UserCode, edit_integration_module, integration_module
from amibridge.retailcrm.orders import create_order, order, order_statuses
from amibridge.retailcrm.phone_lookup import Links, ManagerReply, telephony_manager
from amibridge.retailcrm.reference import sites, status_groups, statuses
from amibridge.retailcrm.requests import EventType, Request, call_event
from amibridge.retailcrm.responses import read
from amibridge.retailcrm.tolerant import amount, moment, number, text, time
from amibridge.retailcrm.users import User, UsersReply, user, users
from amibridge.retailcrm.written import Uploaded
from tests.retailcrm.test_verbs import ANNA, BUILT, MODULE, ORDER

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
UPLOAD = upload_customers([ANNA, CustomerFields(first_name="x")])


def answer(request: Request[Any], status: int = 200, /, **fields: Any) -> Any:
    return read(request, status, {}, json.dumps({"success": True, **fields}).encode(), NOW)


def refusal(request: Request[Any], status: int, **fields: object) -> CrmError:
    with pytest.raises(CrmError) as caught:
        read(request, status, {}, json.dumps({"success": False, **fields}).encode(), NOW)
    return caught.value


# Values


@pytest.mark.parametrize(
    ("value", "money"),
    [
        (0, "0"),
        (1395.16, "1395.16"),
        (-1157.1, "-1157.1"),
        ("681.63", "681.63"),
        (50.0, "50"),
        (0.1 + 0.2, "0.3"),
        (True, None),
        (None, None),
        ([], None),
        ("", None),
        ("12,5", None),
        ("1e9", None),
        (1e300, None),
        (float("nan"), None),
        (float("inf"), None),
        (10**40, None),
    ],
)
def test_money_is_exact(value: object, money: str | None) -> None:
    assert amount(value) == (None if money is None else Decimal(money))


def test_a_time_has_no_zone_until_it_is_given_one() -> None:
    at = time("2026-11-24 09:15:00")
    assert at == datetime(2026, 11, 24, 9, 15)
    assert moment(at, ZoneInfo("Europe/Minsk")).isoformat() == "2026-11-24T09:15:00+03:00"
    assert time("2020-10-20 11:40") == datetime(2020, 10, 20, 11, 40)


@pytest.mark.parametrize(
    "value", ["2026-02-31 09:15:00", "2026-11-24", "2026-11-24T09:15:00", "", None, 5, [], "٢٠٢٦-11-24 09:15:00"]
)
def test_what_is_no_time_is_none(value: object) -> None:
    assert time(value) is None


@pytest.mark.parametrize(("value", "id"), [(7, 7), ("7", 7), ("7a", None), (7.0, None), (True, None), ("-7", None)])
def test_an_id_may_be_text(value: object, id: int | None) -> None:
    assert number(value) == id


@pytest.mark.parametrize(("value", "said"), [("x", "x"), ("", None), (3, "3"), (True, None), (1.5, None), ({}, None)])
def test_a_code_may_look_like_a_number(value: object, said: str | None) -> None:
    assert text(value) == said


# Merged and missing


@pytest.mark.parametrize("status", [400, 404])
@pytest.mark.parametrize(
    ("combined", "survivor"),
    [({"id": 1}, 1), ({"id": "1"}, 1), ({}, None), ([], None), (None, None), ({"id": []}, None), (7, None)],
)
def test_a_merged_customer_names_who_remained(status: int, combined: object, survivor: int | None) -> None:
    error = refusal(customer(2), status, errorMsg="Not found", errors=[], combinedTo=combined)
    assert isinstance(error, CrmMissing)
    assert (error.combined_to, error.status, error.text) == (survivor, status, "Not found")


def test_a_path_that_does_not_exist_is_no_missing_customer() -> None:
    assert type(refusal(customer(2), 404, errorMsg="API method not found")) is CrmRefused


# Partly taken


PARTLY: dict[str, Any] = {
    "uploadedCustomers": [{"id": 1, "externalId": "a"}, {"id": "2", "externalId": 7}, {"id": 3}],
    "failedCustomers": [{"externalId": "b"}, {}],
}


def test_what_was_partly_taken_is_a_reply() -> None:
    body = {"success": False, "errorMsg": "Customers are loaded with errors", "errors": {"b": "bad"}} | PARTLY
    reply = read(UPLOAD, 460, {}, json.dumps(body).encode(), NOW)
    assert reply == Uploaded({"a": 1, "7": 2}, ("b",), ("b: bad",))


def test_a_success_may_have_failures_in_it() -> None:
    assert answer(UPLOAD, **PARTLY) == Uploaded({"a": 1, "7": 2}, ("b",))
    assert answer(UPLOAD, 201, uploadedCustomers=[], errors=["x"]).complaints == ("x",)


def test_a_refusal_of_them_all_is_one() -> None:
    error = refusal(UPLOAD, 460, errorMsg="Customers are loaded with errors", errors=["bad"])
    assert isinstance(error, CrmRefused)
    assert error.errors == {"0": "bad"}


def test_nothing_else_is_ever_partly_taken() -> None:
    assert isinstance(refusal(customer(1), 460, errorMsg="x", **PARTLY), CrmRefused)
    event = call_event(type=EventType.IN, phone="1", codes=["1"])
    assert isinstance(refusal(event, 460, errorMsg="x", **PARTLY), CrmRefused)


# Customers


def test_a_customer_is_read_in_every_php_spelling() -> None:
    said = {
        "id": "12",
        "externalId": 5,
        "phones": {"1": {"number": "8 916"}, "2": {"number": ""}, "3": "x", "4": {"number": 900}},
        "tags": [{"name": "a"}, "b"],
        "customFields": [],
        "managerId": "7",
        "totalSumm": "1.50",
        "vip": None,
    }
    assert answer(customer(12), customer=said).customer == Customer(
        12, "5", phones=("8 916", "900"), manager_id=7, total_summ=Decimal("1.5"), tags=("a", "b")
    )


@pytest.mark.parametrize("said", [None, [], {}, {"id": None}, {"id": "x"}, "x", 5])
def test_an_answer_without_the_one_asked_for_is_broken(said: object) -> None:
    for request, name in ((customer(1), "customer"), (order(1), "order"), (user(1), "user")):
        with pytest.raises(CrmBroken):
            answer(request, **{name: said})
    with pytest.raises(CrmBroken):
        answer(integration_module("x"), integrationModule=said)


@pytest.mark.parametrize("request_", [customers(), users(), orders_history(), sites(), order_statuses(ids=[1])])
def test_an_answer_without_the_list_is_broken_and_an_empty_list_is_not(request_: Request[Any]) -> None:
    name = {"/api/v5/reference/sites": "sites"}.get(request_.path) or request_.path.rpartition("/")[2]
    name = {"statuses": "orders"}.get(name, name)
    with pytest.raises(CrmBroken):
        answer(request_)
    assert answer(request_, **{name: []}) == answer(request_, **{name: {}})


@pytest.mark.parametrize(
    ("said", "known"),
    [
        ([], ()),
        ({"2": {"id": "31", "firstName": "Пётр", "lastName": "Сидоренко"}}, (User(31, "Пётр", "Сидоренко"),)),
        ([{"id": True}, {"id": None}, 7, "x", {"firstName": 1}], ()),
        ([{"id": 1, "active": False, "firstName": ["a"], "status": "gone"}], (User(1, active=False),)),
        ("nobody", ()),
    ],
)
def test_those_of_a_list_who_are_nobody_are_passed_over(said: object, known: tuple[User, ...]) -> None:
    assert answer(users(), users=said, pagination=[]) == UsersReply(known, Paging(1, 1, None))


@pytest.mark.parametrize(
    ("said", "known"), [(["5.0", 5], ("5.0", "5")), ({"0": "5.0"}, ("5.0",)), (None, ()), ("5.0", ())]
)
def test_versions_may_be_written_in_any_way(said: object, known: tuple[str, ...]) -> None:
    assert answer(api_versions(), versions=said) == VersionsReply(known)


@pytest.mark.parametrize("nothing", [None, [], {}, {"id": None}])
def test_nobody_looks_after_a_stranger(nothing: object) -> None:
    reply = answer(telephony_manager("1", details=True), manager=nothing, customer=nothing, links=[])
    assert reply == answer(telephony_manager("1")) == ManagerReply(None, None, Links())


# Orders


@pytest.mark.parametrize(
    ("payments", "amounts"),
    [
        ([], []),
        ({}, []),
        (None, []),
        ([{"id": 1, "amount": 10.5}], ["10.5"]),
        ({"4326": {"id": 4326, "amount": "1"}, "4327": {"amount": None}}, ["1", None]),
    ],
)
def test_payments_are_a_map_a_list_or_nothing(payments: object, amounts: list[str | None]) -> None:
    found = answer(order(1), order={"id": 1, "payments": payments}).order.payments
    assert [payment.amount for payment in found] == [None if one is None else Decimal(one) for one in amounts]


def test_a_company_orders_through_a_person() -> None:
    said = {"id": 1, "customer": {"id": 5, "type": "customer_corporate"}, "contact": {"id": 6}}
    found = answer(order(1), order=said).order
    assert (found.customer, found.contact, found.is_of_company) == (5, 6, True)


def test_a_created_order_may_come_without_itself() -> None:
    request = create_order(ORDER)
    assert (answer(request, id=5).id, answer(request, id=5).order) == (5, None)
    assert answer(request, order={"id": 5}).id == 5
    with pytest.raises(CrmBroken):
        answer(request)


# History


def record(**changes: object) -> dict[str, object]:
    return {
        "id": 5,
        "createdAt": "2026-11-24 09:15:00",
        "source": "user",
        "field": "status",
        "oldValue": None,
        "newValue": {"code": "new"},
        "order": {"id": 7},
    } | changes


def only(**changes: object) -> Any:
    [found] = answer(orders_history(), history=[record(**changes)]).records
    return found


@pytest.mark.parametrize(
    ("changes", "happened"),
    [
        ({}, Happened.CHANGED),
        ({"created": True}, Happened.CREATED),
        ({"deleted": True, "newValue": None}, Happened.DELETED),
        ({"deleted": True, "combinedTo": {"id": 9}}, Happened.COMBINED),
        ({"combinedTo": []}, Happened.CHANGED),
        ({"created": False, "deleted": False}, Happened.CHANGED),
    ],
)
def test_a_record_tells_one_thing(changes: dict[str, object], happened: Happened) -> None:
    assert only(**changes).happened is happened


@pytest.mark.parametrize(
    ("changes", "own"),
    [
        ({"source": "api", "apiKey": {"current": True}}, True),
        ({"source": "api", "apiKey": {"current": False}}, False),
        ({"source": "api"}, False),
        ({"source": "user", "apiKey": {"current": True}}, False),
        ({"source": None, "apiKey": []}, False),
    ],
)
def test_our_own_echo_is_known(changes: dict[str, object], own: bool) -> None:
    assert only(**changes).own is own


@pytest.mark.parametrize(
    ("value", "comes_to"),
    [
        ({"code": "new"}, "new"),
        ({"id": 23}, "23"),
        ({"id": "23", "code": ""}, "23"),
        ("9000000020", "9000000020"),
        (3, "3"),
        (True, "true"),
        (None, None),
        ([], None),
        ({}, None),
        ("", None),
        ({"x": 1}, '{"x": 1}'),
    ],
)
def test_a_value_comes_to_one_text(value: object, comes_to: str | None) -> None:
    assert only(newValue=value).new_text == comes_to
    assert only(oldValue=value).old_text == comes_to


@pytest.mark.parametrize("spoilt", [{"id": None}, {"order": None}, {"order": {"id": "x"}}])
def test_a_record_that_says_nothing_is_counted_and_the_others_are_read(spoilt: dict[str, object]) -> None:
    reply = answer(orders_history(), history=[record(**spoilt), record()])
    assert (len(reply.records), reply.unreadable) == (1, 1)


@pytest.mark.parametrize(
    ("ids", "pages", "cursor"),
    [
        ([], 1, (None, False)),
        ([3, 9, 4], 1, (9, False)),
        ([3], 287, (3, True)),
        ([], 5, (None, False)),
        ([1], None, (1, False)),
    ],
)
def test_the_cursor_is_the_greatest_id_and_there_is_more_while_there_are_pages(
    ids: list[int], pages: int | None, cursor: tuple[int | None, bool]
) -> None:
    said = [record(id=id, customer={"id": 1}) for id in ids]
    reply = answer(customers_history(), history=said, pagination={"totalPageCount": pages})
    assert (reply.last_id, reply.more) == cursor


# Dictionaries, modules


def test_a_dictionary_is_a_map_and_empty_a_list() -> None:
    assert answer(statuses(), statuses=[]).statuses == {}
    found = answer(status_groups(), statusGroups={"3": {"code": "3", "statuses": {"1": "a"}, "process": True}}).groups
    assert (found["3"].statuses, found["3"].process) == (("a",), True)


def test_a_module_tells_whom_it_does_not_know() -> None:
    request = edit_integration_module(MODULE)
    reply = answer(request, info={"notExistUsersIds": [4, "5"], "notExistSiteCodes": ["moon"]})
    assert (reply.unknown_users, reply.unknown_sites) == ((4, 5), ("moon",))
    assert answer(request, 201, info=[]) == answer(request)


def test_codes_of_a_module_are_read_with_users_as_text() -> None:
    telephony = {
        "additionalCodes": [{"userId": "27", "code": 101}, {"code": "x"}],
        "externalPhones": [{"siteCode": "a", "externalPhone": "7"}],
    }
    module = answer(integration_module("x"), integrationModule={"code": "x", "integrations": {"telephony": telephony}})
    assert module.module.telephony.codes == (UserCode(27, "101"),)
    assert module.module.telephony.phones == (SitePhone("a", "7"),)
    assert answer(integration_module("x"), integrationModule={"code": "x", "integrations": []}).module.telephony is None


# Anything at all

FIELDS = (
    "id", "success", "errorMsg", "errors", "combinedTo", "pagination", "customer", "customers", "order", "orders",
    "user", "users", "groups", "history", "customersCorporate", "integrationModule", "info", "sites", "statuses",
    "statusGroups", "orderTypes", "orderMethods", "manager", "links", "versions", "uploadedCustomers",
    "failedCustomers", "phones", "number", "externalId", "payments", "amount", "code", "integrations", "telephony",
    "additionalCodes", "userId", "newValue", "apiKey", "current", "created", "tags", "name", "createdAt",
    "totalPageCount", "customFields",
)  # fmt: skip
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["1", "id", "2026-11-24 09:15:00"])
)
NAMES = st.sampled_from(FIELDS) | st.text(max_size=3)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)
CERTAIN = {"id": 1, "customer": {"id": 1}, "order": {"id": 1}, "user": {"id": 1}, "history": []}


@given(st.sampled_from(BUILT), st.sampled_from([200, 201, 460]), st.dictionaries(st.sampled_from(FIELDS), VALUES))
def test_whatever_json_comes_a_reply_or_crm_broken_goes(
    request_: Request[Any], status: int, body: dict[str, object]
) -> None:
    for said in (body, CERTAIN | body):
        try:
            reply = read(request_, status, {}, json.dumps(said | {"success": True}).encode(), NOW)
        except CrmBroken:
            continue
        except CrmError:
            assert status == 460
            continue
        assert isinstance(reply, request_.reply)
        assert repr(reply)
