"""Recorded requests and answers of RetailCRM's own clients: ours are the same, and theirs are understood."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import pytest

from amibridge.retailcrm.errors import CrmBroken, CrmBusy, CrmError, CrmForbids, CrmLockedOut, CrmRefused
from amibridge.retailcrm.replies import CallEventReply, CallsUploadReply, CredentialsReply, SettingsReply, VersionsReply
from amibridge.retailcrm.requests import (
    CallResult,
    CallType,
    EventType,
    Request,
    UploadedCall,
    api_versions,
    call_event,
    calls_upload,
    credentials,
    settings,
)
from amibridge.retailcrm.responses import read

FOLDER = Path(__file__).parent / "golden"
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
MOSCOW = ZoneInfo("Europe/Moscow")

UPLOAD = UploadedCall(
    date=datetime(2021, 3, 1, 12, 0, tzinfo=MOSCOW),
    type=CallType.IN,
    phone="88000000001",
    user_id=27,
    result=CallResult.ANSWERED,
    duration=60,
    duration_waiting=10,
    external_id="test_call_external_id",
    record_url="https://example.com/test.mp3",
    site="aliexpress",
)

VERBS: dict[str, tuple[Request[Any], object]] = {
    "01-telephony-call-event-in-userids": (
        call_event(type=EventType.IN, phone="88000000001", user_ids=[27], site="aliexpress"),
        CallEventReply(),
    ),
    "03-telephony-calls-upload": (calls_upload([UPLOAD]), CallsUploadReply(1)),
    "15-api-versions": (api_versions(), VersionsReply(("3.0", "4.0", "5.0"))),
    "16-credentials": (
        credentials(),
        CredentialsReply(frozenset({"order_read", "customer_read", "reference_read"}), "access_full"),
    ),
    "23-settings-timezone": (settings(), SettingsReply(MOSCOW, "RUB", "RU")),
}

REFUSALS: dict[str, type[CrmError]] = {
    "11-integration-module-edit-empty-code-404": CrmRefused,
    "12-integration-module-get-400": CrmRefused,
    "18-credentials-wrong-key-403": CrmLockedOut,
    "19-wrong-key-python-mock": CrmLockedOut,
    "20-missing-key": CrmLockedOut,
    "21-account-does-not-exist-404": CrmLockedOut,
    "22-account-does-not-exist-400": CrmLockedOut,
    "30-customers-edit-404": CrmRefused,
    "32-customers-get-404": CrmRefused,
    "37-customers-history-400": CrmRefused,
    "38-customers-list-400": CrmBroken,
    "46-orders-edit-404": CrmRefused,
    "51-orders-history-400": CrmRefused,
    "55-users-status-404": CrmRefused,
    "56-users-list-400": CrmRefused,
    "64-error-503-rate-limit": CrmBusy,
    "65-error-405-json": CrmRefused,
    "68-error-map": CrmRefused,
    "69-error-access-denied": CrmForbids,
    "70-error-validation": CrmRefused,
    "71-error-missing-parameter": CrmRefused,
    "73-error-not-found-combined": CrmRefused,
}


def golden(name: str) -> dict[str, Any]:
    pair: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return pair


def test_every_golden_file_is_a_test() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == VERBS.keys() | REFUSALS.keys()


@pytest.mark.parametrize("name", VERBS)
def test_request_is_the_recorded_one(name: str) -> None:
    request, _ = VERBS[name]
    pair = golden(name)
    address, body, headers = request.encoded()
    assert (request.method, address) == (pair["method"], pair["path"])
    expected = {key: value for key, value in pair["headers"].items() if key != "X-API-KEY"}
    assert headers == expected
    fields = {key: json.loads(values[0]) for key, values in parse_qs((body or b"").decode()).items()}
    assert fields == pair.get("form", {})


@pytest.mark.parametrize("name", VERBS)
def test_answer_is_read(name: str) -> None:
    request, reply = VERBS[name]
    pair = golden(name)
    assert read(request, pair["status"], {}, json.dumps(pair["response"]).encode(), NOW) == reply


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal_says_what_to_do_next(name: str) -> None:
    pair = golden(name)
    body = json.dumps(pair["response"]).encode()
    # Two sources test the body alone and give no status: the text must be enough under any.
    for status in (400, 200) if pair["status"] is None else (pair["status"],):
        with pytest.raises(CrmError) as caught:
            read(settings(), status, {}, body, NOW)
        assert type(caught.value) is REFUSALS[name]
        assert caught.value.status == status
