"""Recorded pairs of RetailCRM's own clients: the sandbox answers the same request in the same way."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import pytest
from yarl import URL

from amibridge.sandbox.crm_faults import Busy
from amibridge.sandbox.retailcrm import SandboxAccount, SandboxCrm, SandboxUser
from tests.sandbox.crm_asker import Asker
from tests.sandbox.test_retailcrm_forms import MODULE

KEY = "test-api-key"
FOLDER = Path(__file__).parents[1] / "retailcrm" / "golden"
PAIRS: Mapping[str, Mapping[str, Any]] = {path.stem: json.loads(path.read_text("utf-8")) for path in FOLDER.iterdir()}

SAME = (
    "01-telephony-call-event-in-userids",
    "03-telephony-calls-upload",
    "09-integration-module-edit-embedjs",
    "11-integration-module-edit-empty-code-404",
    "12-integration-module-get-400",
    "15-api-versions",
    "30-customers-edit-404",
    "32-customers-get-404",
    "55-users-status-404",
    "63-notifications-send",
)
"""Answered with the recorded words, and perhaps more of them."""

SHAPE = ("05-telephony-manager-details", "16-credentials", "23-settings-timezone", "52-users-list")
"""Answered with other people in them."""


@pytest.fixture
async def asker() -> AsyncIterator[Asker]:
    """One account with the people of the recordings."""
    account = SandboxAccount(
        site="aliexpress",
        api_key=KEY,
        time_zone=ZoneInfo("Europe/Moscow"),
        users=[SandboxUser(27, "John John", "12")],
        name="golden",
        customers={"88000000001": "John"},
    )
    crm = SandboxCrm([account])
    async with crm.serve() as url, aiohttp.ClientSession() as session:
        yield Asker(crm, url, session)


async def replayed(asker: Asker, pair: Mapping[str, Any], key: str = KEY) -> tuple[int, Any]:
    address = URL(asker.url + pair["path"], encoded=True).with_query(pair["query"])
    form = {
        name: json.dumps(value) if name in pair.get("form_json_fields", ()) else value
        for name, value in pair.get("form", {}).items()
    }
    async with asker.session.request(
        pair["method"], address, data=form or None, headers={"X-API-KEY": key}
    ) as response:
        return response.status, await response.json()


@pytest.mark.parametrize("name", SAME)
async def test_the_answer_is_the_recorded_one(asker: Asker, name: str) -> None:
    pair = PAIRS[name]
    if name.startswith("09"):
        assert (await replayed(asker, pair))[0] == 201  # it is created first, and changed by the recorded request
    status, body = await replayed(asker, pair)
    assert status == pair["status"]
    assert {field: body.get(field) for field in pair["response"]} == pair["response"]


@pytest.mark.parametrize("name", SHAPE)
async def test_the_answer_has_the_recorded_parts(asker: Asker, name: str) -> None:
    pair = PAIRS[name]
    if name.startswith("05"):
        await replayed(asker, PAIRS["03-telephony-calls-upload"])
    status, body = await replayed(asker, pair)
    assert (status, body["success"]) == (200, True)
    for field, value in pair["response"].items():
        assert type(body[field]) is type(value), field
    if name.startswith("23"):
        assert body["settings"]["timezone"]["value"] == pair["response"]["settings"]["timezone"]["value"]
    if name.startswith("05"):
        assert {"id", "firstName", "lastName", "email", "code"} <= body["manager"].keys()
        assert body["customer"]["phones"] == pair["response"]["customer"]["phones"]
        assert body["links"].keys() == pair["response"]["links"].keys()
    if name.startswith("52"):
        assert body["pagination"].keys() == pair["response"]["pagination"].keys()
        _, listed = await asker.get("/api/v5/users", KEY)
        assert listed["users"][0].keys() <= pair["response"]["users"][0].keys() | {"lastName"}


async def test_a_module_is_read_back_with_the_recorded_fields(asker: Asker) -> None:
    pair = PAIRS["07-integration-module-get"]
    module = MODULE | {"code": "mg-fbmessenger", "integrationCode": "mg-fbmessenger"}
    assert (await asker.post(f"{pair['path']}/edit", KEY, integrationModule=module))[0] == 201
    status, body = await replayed(asker, pair)
    assert status == pair["status"]
    assert body["integrationModule"].keys() == pair["response"]["integrationModule"].keys() | {"clientId"}


UNKNOWN_HERE = {
    "25-customers-create": {"type", "contragent", "tags"},
    "26-customers-create-201": {"tags"},
    "34-customers-upload": {"0.type", "0.contragent", "0.tags"},
    "36-customers-history": {"page"},
    "39-customers-corporate-list": {"nickName", "contragentInn"},
    "42-orders-create": {"weight", "shipmentDate", "shipped", "delivery", "payments"},
    "43-orders-create-201": {"contact"},
    "50-orders-history": {"page"},
}
"""Recorded requests with what the contract does not take, by the names of it."""


@pytest.mark.parametrize("name", UNKNOWN_HERE)
async def test_what_the_contract_does_not_take_is_refused_by_name(asker: Asker, name: str) -> None:
    status, body = await replayed(asker, PAIRS[name])
    assert (status, body["errors"].keys()) == (400, UNKNOWN_HERE[name])


DICTIONARIES = (
    "58-reference-sites",
    "59-reference-statuses",
    "60-reference-status-groups",
    "61-reference-order-methods",
)


@pytest.mark.parametrize("name", DICTIONARIES)
async def test_dictionaries_have_the_recorded_form(asker: Asker, name: str) -> None:
    pair = PAIRS[name]
    status, body = await replayed(asker, pair)
    [(field, words)] = [(field, value) for field, value in pair["response"].items() if field != "success"]
    assert status == pair["status"]
    recorded = [set(word) for word in words.values()]
    for code, word in body[field].items():
        assert word["code"] == code
        assert any(word.keys() <= parts for parts in recorded)


@pytest.mark.parametrize("name", ["37-customers-history-400", "51-orders-history-400"])
async def test_a_date_that_there_is_not_is_refused(asker: Asker, name: str) -> None:
    pair = PAIRS[name]
    status, body = await replayed(asker, pair)
    assert (status, body["errorMsg"]) == (pair["status"], pair["response"]["errorMsg"])
    assert [f"children[{field}]" for field in body["errors"]] == list(pair["response"]["ErrorsList"])


async def test_an_order_that_there_is_not_is_not_found(asker: Asker) -> None:
    pair = PAIRS["46-orders-edit-404"]
    status, body = await replayed(asker, pair)
    assert status == pair["status"]
    assert pair["response"]["errorMsg"].startswith(body["errorMsg"])


async def test_a_clients_misspelt_query_is_refused(asker: Asker) -> None:
    status, body = await replayed(asker, PAIRS["06-telephony-manager-python"])
    assert (status, sorted(body["errors"])) == (400, ["details", "ignore_status"])


async def test_a_filter_that_does_not_exist_is_refused_by_name(asker: Asker) -> None:
    pair = PAIRS["56-users-list-400"]
    status, body = await replayed(asker, pair)
    assert (status, body["errorMsg"]) == (pair["status"], pair["response"]["errorMsg"])
    assert body["errors"].keys() == pair["response"]["ErrorsList"].keys()


async def test_a_wrong_key_is_refused_with_the_recorded_words(asker: Asker) -> None:
    pair = PAIRS["18-credentials-wrong-key-403"]
    status, body = await replayed(asker, pair, key="another")
    assert status == pair["status"]
    assert body == PAIRS["19-wrong-key-python-mock"]["response"] | {"success": False}
    assert body["errorMsg"].startswith(pair["response"]["errorMsg"])


async def test_a_missing_key_is_refused_with_the_recorded_words(asker: Asker) -> None:
    pair = PAIRS["20-missing-key"]
    status, body = await replayed(asker, pair, key="")
    assert (status, body) == (400, pair["response"] | {"success": False})


async def test_a_missing_field_is_named_in_the_recorded_words(asker: Asker) -> None:
    _, body = await asker.post("/api/v5/telephony/call/event", KEY, x="1")
    assert body == {
        name: value if name == "success" else value.replace("'item'", "'event'")
        for name, value in PAIRS["71-error-missing-parameter"]["response"].items()
    }


async def test_a_wrong_method_is_refused_with_the_recorded_words(asker: Asker) -> None:
    pair = PAIRS["65-error-405-json"]
    assert await asker.post(pair["path"], KEY) == (pair["status"], pair["response"])


async def test_too_many_requests_are_refused_with_the_recorded_words(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amibridge.sandbox.crm_witness.WINDOW", 60.0)
    pair = PAIRS["64-error-503-rate-limit"]
    for _ in range(10):
        assert (await asker.get("/api/api-versions", KEY))[0] == 200
    assert await asker.get("/api/api-versions", KEY) == (pair["status"], pair["response"])


async def test_a_busy_server_has_the_same_status(asker: Asker) -> None:
    asker.crm.faults.give(Busy())
    assert (await asker.get("/api/api-versions", KEY))[0] == PAIRS["64-error-503-rate-limit"]["status"]
