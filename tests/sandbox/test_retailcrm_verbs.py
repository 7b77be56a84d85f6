"""Each verb of the sandbox CRM takes what the contract's OpenAPI takes, refuses the rest, and answers as it says."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from typing import Any

import pytest

from amibridge.sandbox.crm_account import CrmAccount
from amibridge.sandbox.crm_verbs import METHODS
from amibridge.sandbox.crm_witness import LIMITS, LimitClass
from tests.retailcrm.contract import CONTRACT, VERBS, Verb, meant, validator
from tests.sandbox.crm_asker import EVENT, KEY, OTHER_KEY, UPLOAD, Asker, finished, ringing
from tests.sandbox.test_retailcrm_forms import MODULE

MODULE_PATH = f"/api/v5/integration-modules/{MODULE['code']}"
MANAGER = "/api/v5/telephony/manager"
USERS = "/api/v5/users"

BY_ID = {"by": "id"}
GOOD: dict[str, tuple[dict[str, str], dict[str, object]]] = {
    **{str(verb): ({}, {}) for verb in VERBS if verb.method == "GET"},
    "GET /api/v5/telephony/manager": ({"phone": "+79161234567"}, {}),
    "GET /api/v5/customers/{externalId}": (BY_ID, {}),
    "GET /api/v5/orders/{externalId}": (BY_ID, {}),
    "POST /api/v5/integration-modules/{code}/edit": ({}, {"integrationModule": MODULE}),
    "POST /api/v5/telephony/call/event": ({}, {"event": ringing()}),
    "POST /api/v5/telephony/calls/upload": ({}, {"calls": [finished()]}),
    "POST /api/v5/customers/create": ({}, {"customer": {"firstName": "Анна"}}),
    "POST /api/v5/customers/{externalId}/edit": ({}, {"customer": {"firstName": "Анна"}, "by": "id"}),
    "POST /api/v5/customers/upload": ({}, {"customers": [{"firstName": "Анна"}]}),
    "POST /api/v5/customers/fix-external-ids": ({}, {"customers": [{"id": 1, "externalId": "x"}]}),
    "POST /api/v5/orders/create": ({}, {"order": {"orderMethod": "phone"}}),
    "POST /api/v5/orders/{externalId}/edit": ({}, {"order": {"status": "complete"}, "by": "id"}),
    "POST /api/v5/users/{id}/status": ({}, {"status": "busy"}),
    "POST /api/v5/notifications/send": (
        {},
        {"notification": {"type": "api.info", "message": "<p>x</p>", "userIds": [27]}},
    ),
    "POST /api/v5/tasks/create": ({}, {"task": {"text": "call", "performerId": 27}}),
    "POST /api/v5/tasks/{id}/edit": ({}, {"task": {"complete": True}}),
}
"""A request that every verb takes: query and form."""

PLAIN = {"by", "site", "status"}
"""Fields of forms that are not JSON."""

TEXTS = (
    "", " ", "x", "0", "1", "2", "20", "21", "50", "100", "0x14", "1.0", "-1", "+7 (916) 123-45-67", "8" * 65,
    "anonymous", "true", "True", "free", "busy", "dinner", "break", "gone", "2026-11-24 09:15:00", "2026-11-24",
    "manager",
)  # fmt: skip


def address(verb: Verb) -> str:
    """There is one customer, one order, one task, each with the id 1, and a user 27."""
    id = "27" if "/users/" in verb.path else "1"
    return verb.path.replace("{code}", str(MODULE["code"])).replace("{externalId}", "1").replace("{id}", id)


@pytest.fixture
async def furnished(asker: Asker) -> Asker:
    """The account has a module, an order and a task, too."""
    await asker.post(f"{MODULE_PATH}/edit", integrationModule=MODULE)
    await asker.post("/api/v5/orders/create", order={"firstName": "Анна"})
    await asker.post("/api/v5/tasks/create", task={"text": "call", "performerId": 27})
    return asker


async def asked(
    asker: Asker, verb: Verb, query: dict[str, str] | None = None, form: dict[str, object] | None = None
) -> tuple[int, Any]:
    fields = {name: str(value) if name in PLAIN else json.dumps(value) for name, value in (form or {}).items()}
    return await asker.ask(verb.method, address(verb), query=query, form=fields or None)


def nameless(path: str) -> str:
    """A path of the contract or of the table, with ``{}`` for each name in it."""
    return re.sub(r"\{\w+\}|\(.*?\)(?=/|$)", "{}", path)


def test_the_sandbox_has_the_verbs_of_the_contract_and_no_other_and_each_wants_its_right() -> None:
    assert GOOD.keys() == {str(verb) for verb in VERBS}
    ours = {(one.verb, nameless(one.path)): one.scope for one in METHODS}
    assert ours == {(verb.method, nameless(verb.path)): verb.scope for verb in VERBS}
    assert len(METHODS) == len(VERBS)


@pytest.mark.parametrize("verb", VERBS, ids=str)
async def test_a_good_request_is_taken(furnished: Asker, verb: Verb) -> None:
    status, body = await asked(furnished, verb, *GOOD[str(verb)])
    created = verb.path.endswith(("/create", "customers/upload"))
    assert (status, body["success"]) == (201 if created else 200, True)


@pytest.mark.parametrize("verb", VERBS, ids=str)
async def test_an_argument_without_a_name_in_the_contract_is_refused(furnished: Asker, verb: Verb) -> None:
    query, form = GOOD[str(verb)]
    status, body = await asked(furnished, verb, query | {"surprise": "1"}, form)
    assert (status, body["errorMsg"], list(body["errors"])) == (400, "Errors in the input parameters", ["surprise"])
    if form:
        status, body = await asked(furnished, verb, query, form | {"surprise": "1"})
        assert (status, body["errorMsg"], list(body["errors"])) == (400, "Errors in the entity format", ["surprise"])


@pytest.mark.parametrize("verb", VERBS, ids=str)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
async def test_a_path_is_asked_by_its_own_method_only(furnished: Asker, verb: Verb, method: str) -> None:
    if method != verb.method:
        assert await furnished.ask(method, address(verb)) == (405, {"success": False, "errorMsg": "Method Not Allowed"})


@pytest.mark.parametrize(
    "path",
    [
        "/api/",
        "/api/v5/",
        "/api/v5/nowhere",
        "/api/v5/customers/",
        "/api/v5/users/anna",
        "/api/v5/telephony/call/event/",
        "/api/v4/telephony/call/event",
        "/api/v5/integration-modules//edit",
        "/api/v5/integration-modules/%D0%BA%D0%BE%D0%B4",
    ],
)
async def test_a_path_that_is_not_in_the_contract_does_not_exist(furnished: Asker, path: str) -> None:
    assert await furnished.get(path) == (404, {"success": False, "errorMsg": "API method not found"})


QUERIED = [(verb, name) for verb in VERBS for name in verb.query]


@pytest.mark.parametrize(("verb", "name"), QUERIED, ids=lambda one: str(one))
async def test_the_query_is_read_as_the_contract_says(
    furnished: Asker, verb: Verb, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LIMITS, LimitClass.ORDINARY, 1000)
    schema = verb.query[name]["schema"]
    contract, many = validator(schema), schema.get("type") == "array"
    for text in TEXTS:
        status, body = await asked(furnished, verb, GOOD[str(verb)][0] | {name: text})
        allowed = contract.is_valid(meant([text] if many else text, schema))
        assert (status == 200) is allowed, (name, text, body)


@pytest.mark.parametrize(("verb", "name"), [(verb, name) for verb, name in QUERIED if verb.query[name].get("required")])
async def test_what_the_contract_wants_in_the_query_must_be_there(furnished: Asker, verb: Verb, name: str) -> None:
    query = {other: value for other, value in GOOD[str(verb)][0].items() if other != name}
    status, body = await asked(furnished, verb, query)
    assert (status, list(body["errors"])) == (400, [name])


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb.method == "POST"], ids=str)
@pytest.mark.parametrize("value", [None, "x", 1, {}, [], [{}], [1], {"x": 1}], ids=repr)
async def test_a_form_that_means_nothing_is_refused_and_changes_nothing(
    furnished: Asker, verb: Verb, value: object
) -> None:
    [account, _] = furnished.crm.accounts
    before = deepcopy(kept(account))
    [field] = GOOD[str(verb)][1].keys() - {"by"}
    status, body = await asked(furnished, verb, form={field: value})
    assert (status, body["errorMsg"]) == (400, "Errors in the entity format")
    assert body["errors"]
    assert kept(account) == before


def kept(account: CrmAccount) -> list[object]:
    return [
        account.popups, account.calls, account.modules, account.uploads, account.tasks, account.notices,
        account.statuses, account.customers.by_id, account.customers.history.records, account.orders.by_id,
        account.orders.history.records,
    ]  # fmt: skip


async def test_one_bad_call_of_many_refuses_them_all(asker: Asker) -> None:
    calls = [finished(externalId="1"), finished(externalId="2", result="cancel"), finished(externalId="3")]
    status, body = await asker.post(UPLOAD, calls=calls)
    assert (status, list(body["errors"])) == (400, ["1.result"])
    assert asker.crm.accounts[0].calls == []


async def test_an_event_names_the_codes_and_users_it_does_not_know(asker: Asker) -> None:
    status, body = await asker.post(EVENT, event=ringing(codes=["101", "999", "102"], userIds=[27, 4]))
    assert (status, body) == (200, {"success": True, "notExistCodes": ["999"], "notExistUsers": [4]})
    [account, _] = asker.crm.accounts
    assert [popup.user for popup in account.open_popups()] == [27, 31]


async def test_an_event_for_nobody_known_is_heard_and_seen_by_nobody(asker: Asker) -> None:
    status, body = await asker.post(EVENT, event=ringing(codes=["999"]))
    assert (status, body["notExistCodes"]) == (200, ["999"])
    [account, _] = asker.crm.accounts
    assert (len(account.popups), account.open_popups()) == (1, [])


async def test_a_call_by_somebody_unknown_is_kept_as_it_was_told(asker: Asker) -> None:
    await asker.post(UPLOAD, calls=[finished(code="999"), finished(externalId="2", code="101", userId=4)])
    [account, _] = asker.crm.accounts
    assert [(call.code, call.user_id) for call in account.calls] == [("999", None), ("101", 4)]
    assert [account.user(call.user_id, call.code) for call in account.calls] == [None, None]


async def test_a_known_external_id_is_reported_and_never_stored_again(asker: Asker) -> None:
    first, other = finished(), finished(externalId="pbx1:2")
    assert (await asker.post(UPLOAD, calls=[first]))[1] == {
        "success": True, "processedCallsCount": 1, "duplicateCalls": [],
    }  # fmt: skip
    status, body = await asker.post(UPLOAD, calls=[finished(duration=1), other, other])
    assert (status, body["processedCallsCount"], body["duplicateCalls"]) == (200, 1, ["pbx1:1", "pbx1:2"])
    [account, _] = asker.crm.accounts
    assert [(call.external_id, call.duration) for call in account.calls] == [("pbx1:1", 187), ("pbx1:2", 187)]
    assert (account.duplicates, account.uploads) == (["pbx1:1", "pbx1:2"], 2)


async def test_a_calls_date_is_in_the_accounts_zone(asker: Asker) -> None:
    for key in (KEY, OTHER_KEY):
        await asker.post(UPLOAD, key, calls=[finished()])
    dates = [account.calls[0].date for account in asker.crm.accounts]
    assert [date.isoformat() for date in dates] == ["2026-11-24T09:15:00+03:00", "2026-11-24T09:15:00+10:00"]


async def test_two_accounts_know_nothing_of_each_other(asker: Asker) -> None:
    await asker.post(EVENT, event=ringing())
    await asker.post(UPLOAD, calls=[finished()])
    await asker.post(f"{MODULE_PATH}/edit", integrationModule=MODULE | {"active": False})
    [mine, other] = asker.crm.accounts
    assert (other.popups, other.calls, other.modules) == ([], [], {})
    assert (await asker.post(UPLOAD, OTHER_KEY, calls=[finished(phone="+79160000000")]))[1]["duplicateCalls"] == []
    assert [mine.calls[0].phone, other.calls[0].phone] == ["+79161234567", "+79160000000"]
    assert (await asker.post(EVENT, OTHER_KEY, event=ringing()))[0] == 200
    assert (await asker.get(MODULE_PATH, OTHER_KEY))[0] == 400
    zones = [(await asker.get("/api/v5/settings", key))[1]["settings"]["timezone"] for key in (KEY, OTHER_KEY)]
    assert [zone["value"] for zone in zones] == ["Europe/Minsk", "Asia/Vladivostok"]
    assert (await asker.get("/api/credentials", OTHER_KEY))[1]["sitesAvailable"] == ["vasilek"]


class TestManager:
    async def test_the_last_one_who_talked_is_named_however_the_number_is_written(self, asker: Asker) -> None:
        await asker.post(UPLOAD, calls=[finished(), finished(externalId="2", code="102")])
        for phone in ("+79161234567", "89161234567", "8 (916) 123-45-67", "9161234567"):
            _, body = await asker.get(MANAGER, phone=phone)
            assert (body["manager"]["id"], body["manager"]["code"]) == (31, "102")
            assert "customer" not in body

    async def test_details_tell_the_customer_and_where_to_click(self, asker: Asker) -> None:
        await asker.post(UPLOAD, calls=[finished()])
        _, body = await asker.get(MANAGER, phone="89161234567", details="1", ignoreStatus="1")
        assert (body["manager"]["firstName"], body["manager"]["lastName"]) == ("Ирина", "Ковалёва")
        assert body["customer"]["firstName"] == "Ольга Петрова"
        assert all(link.startswith("https://romashka.") for link in body["links"].values())

    async def test_of_a_stranger_there_is_nothing(self, asker: Asker) -> None:
        _, body = await asker.get(MANAGER, phone="+79160000000", details="1")
        assert (body["manager"], body["customer"]) == ([], [])


class TestUsers:
    async def test_all_are_listed_without_their_extensions(self, asker: Asker) -> None:
        _, body = await asker.get(USERS)
        assert [user["id"] for user in body["users"]] == [27, 31]
        assert body["pagination"] == {"limit": 20, "totalCount": 2, "currentPage": 1, "totalPageCount": 1}
        assert all("code" not in user for user in body["users"])

    async def test_a_page_behind_the_last_is_empty(self, asker: Asker) -> None:
        _, body = await asker.get(USERS, page="2", limit="50")
        assert (body["users"], body["pagination"]["totalCount"]) == ([], 2)

    @pytest.mark.parametrize(
        ("query", "count"),
        [
            ({"filter[active]": "1", "filter[isManager]": "1"}, 2),
            ({"filter[isAdmin]": "1"}, 0),
            ({"filter[email]": "user27@example.com"}, 1),
            ({"filter[status]": "dinner"}, 0),
            ({"filter[groups][]": "manager"}, 2),
            ({"filter[groups][]": "director"}, 0),
            ({"filter[createdAtFrom]": "2026-01-01 00:00:00"}, 0),
            ({"filter[createdAtTo]": "2026-01-01 00:00:00"}, 2),
        ],
    )
    async def test_filters_narrow_the_list(self, asker: Asker, query: dict[str, str], count: int) -> None:
        _, body = await asker.get(USERS, **query)
        assert len(body["users"]) == body["pagination"]["totalCount"] == count


class TestModule:
    async def test_a_new_one_is_created_and_a_known_one_changed(self, asker: Asker) -> None:
        status, body = await asker.post(f"{MODULE_PATH}/edit", integrationModule=MODULE)
        assert (status, body) == (201, {"success": True, "info": []})
        status, _ = await asker.post(f"{MODULE_PATH}/edit", integrationModule=MODULE | {"name": "other"})
        assert status == 200
        assert (await asker.get(MODULE_PATH))[1]["integrationModule"] == MODULE | {"name": "other"}

    async def test_the_code_in_the_form_is_the_one_in_the_path(self, asker: Asker) -> None:
        status, body = await asker.post("/api/v5/integration-modules/amibridge-9/edit", integrationModule=MODULE)
        assert (status, list(body["errors"])) == (400, ["code"])

    async def test_the_code_begins_with_the_integrations_own(self, asker: Asker) -> None:
        status, body = await asker.post(f"{MODULE_PATH}/edit", integrationModule=MODULE | {"integrationCode": "x"})
        assert (status, body["errors"]) == (400, {"code": "Code prefix must match integrationCode"})

    async def test_unknown_users_and_sites_are_told_and_do_not_fail_it(self, asker: Asker) -> None:
        telephony = {
            "makeCallUrl": "https://bridge.example.com/call",
            "additionalCodes": [{"userId": 27, "code": "101"}, {"userId": 4, "code": "104"}],
            "externalPhones": [{"siteCode": "moon", "externalPhone": "74951110001"}],
        }
        module = MODULE | {"integrations": {"telephony": telephony}}
        status, body = await asker.post(f"{MODULE_PATH}/edit", integrationModule=module)
        assert (status, body["info"]) == (201, {"notExistUsersIds": [4], "notExistSiteCodes": ["moon"]})

    @pytest.mark.parametrize("change", [{"active": False}, {"freeze": True}, {"integrations": {}}])
    async def test_without_an_active_one_with_telephony_no_call_is_taken(
        self, asker: Asker, change: dict[str, object]
    ) -> None:
        await asker.post(f"{MODULE_PATH}/edit", integrationModule=MODULE | change)
        status, body = await asker.post(EVENT, event=ringing())
        assert (status, body["errorMsg"]) == (400, "Telephony not enabled")
        status, body = await asker.post(UPLOAD, calls=[finished()])
        assert (status, body["errorMsg"]) == (400, "Telephony not enabled or not supports calls upload")
        await asker.post(f"{MODULE_PATH}/edit", integrationModule=MODULE)
        assert (await asker.post(EVENT, event=ringing()))[0] == 200


def test_the_contract_and_this_file_know_the_same_parameters() -> None:
    named = {name for verb in VERBS for name in verb.query}
    assert {"phone", "details", "ignoreStatus", "limit", "page", "filter[active]"} <= named
    assert CONTRACT["components"]["parameters"].keys() == {"limit", "page", "by", "site"}
