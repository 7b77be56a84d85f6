from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amibridge.retailcrm.errors import (
    CrmBroken,
    CrmBusy,
    CrmError,
    CrmForbids,
    CrmLockedOut,
    CrmNotEnabled,
    CrmRefused,
)
from amibridge.retailcrm.replies import (
    CallEventReply,
    CallsUploadReply,
    CredentialsReply,
    SettingsReply,
)
from amibridge.retailcrm.requests import (
    CallResult,
    CallType,
    EventType,
    Request,
    UploadedCall,
    call_event,
    calls_upload,
    credentials,
    settings,
)
from amibridge.retailcrm.responses import read, retry_after

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
EVENT = call_event(type=EventType.IN, phone="1", codes=["101"])
UPLOAD = calls_upload([UploadedCall(NOW, CallType.IN, "1", CallResult.ANSWERED, "h:1", 1, 1)])
HTML = b"<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>"


def answer(request: Request[Any], status: int = 200, body: bytes | None = None, **fields: object) -> Any:
    raw = json.dumps({"success": True, **fields}).encode() if body is None else body
    return read(request, status, {}, raw, NOW)


def refusal(status: int, body: bytes, headers: dict[str, str] | None = None) -> CrmError:
    with pytest.raises(CrmError) as caught:
        read(EVENT, status, headers or {}, body, NOW)
    return caught.value


@pytest.mark.parametrize(
    ("fields", "reply"),
    [
        ({}, CallEventReply()),
        ({"notExistCodes": [], "notExistUsers": []}, CallEventReply()),
        ({"notExistCodes": None, "notExistUsers": None}, CallEventReply()),
        ({"notExistCodes": ["101", 102], "notExistUsers": [27, "31"]}, CallEventReply(("101", "102"), (27, 31))),
        ({"notExistCodes": {"1": "102"}, "notExistUsers": {"0": 27}}, CallEventReply(("102",), (27,))),
        ({"notExistCodes": "101", "notExistUsers": ["x", True, None, "²", 2.5]}, CallEventReply()),
    ],
)
def test_call_event_reply_is_read_in_every_php_spelling(fields: dict[str, Any], reply: CallEventReply) -> None:
    assert answer(EVENT, **fields) == reply


@pytest.mark.parametrize(
    ("fields", "reply"),
    [
        ({"processedCallsCount": 1}, CallsUploadReply(1)),
        ({"processedCallsCount": "2", "duplicateCalls": []}, CallsUploadReply(2)),
        ({}, CallsUploadReply(None)),
        ({"processedCallsCount": 0, "duplicateCalls": ["h:1", 5]}, CallsUploadReply(0, ("h:1", "5"))),
        ({"processedCallsCount": 0, "duplicateCalls": [{"externalId": "h:1"}]}, CallsUploadReply(0, ("h:1",))),
        ({"processedCallsCount": 0, "duplicateCalls": [{"id": 1}]}, CallsUploadReply(0, ('{"id": 1}',))),
    ],
)
def test_calls_upload_reply_is_read_tolerantly(fields: dict[str, Any], reply: CallsUploadReply) -> None:
    assert answer(UPLOAD, 201, **fields) == reply


def test_settings_give_the_time_zone() -> None:
    assert answer(settings(), settings={"timezone": {"value": "Asia/Almaty"}}) == SettingsReply(ZoneInfo("Asia/Almaty"))


@pytest.mark.parametrize(
    "settings_said",
    [
        None,
        [],
        {},
        {"timezone": []},
        {"timezone": {"value": ""}},
        {"timezone": {"value": 3}},
        {"timezone": {"value": "Mars/Olympus"}},
        {"timezone": {"value": "../../etc/passwd"}},
        {"timezone": {"value": "Europe"}},
        {"timezone": {"value": "a\x00b"}},
    ],
)
def test_settings_without_a_usable_time_zone_are_broken(settings_said: object) -> None:
    with pytest.raises(CrmBroken, match="time zone") as caught:
        answer(settings(), settings=settings_said)
    assert caught.value.status == 200


def test_what_a_key_may_do_is_read() -> None:
    reply = answer(credentials(), scopes=["telephony_write", "telephony_read"], siteAccess="access_selective",
                   sitesAvailable=["a", "b"])  # fmt: skip
    assert reply == CredentialsReply(frozenset({"telephony_read", "telephony_write"}), "access_selective", ("a", "b"))
    assert answer(credentials(), scopes=[], siteAccess=1) == CredentialsReply(frozenset())


@pytest.mark.parametrize("status", [503, 429])
@pytest.mark.parametrize("body", [b"", HTML, b'{"success":true}', b'{"errorMsg":"Wrong \\"apiKey\\" value."}'])
def test_busy_is_told_by_the_status_alone(status: int, body: bytes) -> None:
    error = refusal(status, body)
    assert isinstance(error, CrmBusy)
    assert error.retry_after is None


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("99999999999999999999", 3600.0),
        ("Tue, 24 Nov 2026 09:00:30 GMT", 30.0),
        ("Tue, 24 Nov 2026 12:01:00 +0300", 60.0),
        ("Tue, 24 Nov 2026 09:00:30", 30.0),
        ("Tue, 24 Nov 2026 08:00:00 GMT", 0.0),
        ("Tue, 24 Nov 2099 08:00:00 GMT", 3600.0),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("²", None),
        ("Tue, 99 Nov 2026 08:00:00 GMT", None),
        ("Tue, 24 Nov 2026 08:00:00 +9999999999999999999", None),
        ("Tue, 24 Nov 99999999999999999999999 08:00:00 GMT", None),
        ("Mon, 01 Jan 0001 00:00:00 +2300", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 -2300", 3600.0),
        ("9" * 5000, 3600.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, wait: float | None) -> None:
    error = refusal(503, b"", {"RETRY-after": text, "Server": "nginx"})
    assert isinstance(error, CrmBusy)
    assert error.retry_after == (None if wait is None else timedelta(seconds=wait))


@given(st.text(max_size=40) | st.from_regex(r"Tue, \d{1,3} Nov \d{1,30} \d\d?:\d\d:\d\d [+-]\d{1,30}", fullmatch=True))
def test_no_retry_after_text_breaks_reading(text: str) -> None:
    wait = retry_after({"Retry-After": text}, NOW)
    assert wait is None or timedelta() <= wait <= timedelta(hours=1)


@pytest.mark.parametrize("stop", ["", "."])
@pytest.mark.parametrize("status", [200, 400, 403, 404, 500])
@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ('Wrong "apiKey" value', CrmLockedOut),
        ('"apiKey" is missing', CrmLockedOut),
        ("Access denied", CrmForbids),
        ("Account does not exist", CrmLockedOut),
        ("Telephony not enabled", CrmNotEnabled),
        ("Telephony not enabled or not supports calls upload", CrmNotEnabled),
    ],
)
def test_a_known_text_outranks_its_status(text: str, meaning: type[CrmError], status: int, stop: str) -> None:
    assert type(refusal(status, json.dumps({"success": False, "errorMsg": text + stop}).encode())) is meaning


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        (401, b"", CrmLockedOut),
        (403, b'{"success":false,"errorMsg":"No"}', CrmForbids),
        (403, b'{"success":false}', CrmForbids),
        (403, HTML, CrmForbids),
        (405, HTML, CrmLockedOut),
        (405, b'{"success":false,"errorMsg":"Method Not Allowed"}', CrmRefused),
        (400, b'{"success":false,"errorMsg":"Validation error"}', CrmRefused),
        (400, b'{"success":false}', CrmRefused),
        (400, b'{"success":true}', CrmRefused),
        (404, b'{"success":false,"errorMsg":"API method not found"}', CrmRefused),
        (460, b'{"success":false,"errorMsg":"Customers are loaded with errors"}', CrmRefused),
        (200, b'{"success":false,"errorMsg":"Something new"}', CrmBroken),
        (200, b'{"success":false,"errorMsg":"Validation error","errors":{"phone":"No"}}', CrmRefused),
        (200, b'{"success":false,"errors":[]}', CrmBroken),
        (200, b'{"success":false}', CrmBroken),
        (200, b"{}", CrmBroken),
        (200, b'{"success":"true"}', CrmBroken),
        (200, b'{"success":1}', CrmBroken),
        (200, b"", CrmBroken),
        (200, b"null", CrmBroken),
        (200, b"[]", CrmBroken),
        (200, b"true", CrmBroken),
        (200, HTML, CrmBroken),
        (200, b'{"success":tru', CrmBroken),
        (200, b"\xff\xfe\x00", CrmBroken),
        (200, b"[" * 100_000, CrmBroken),
        (200, b'{"success":true,"a":' + b"9" * 100_000, CrmBroken),
        (404, HTML, CrmBroken),
        (408, b"", CrmBroken),
        (408, b'{"errorMsg":"timeout"}', CrmBroken),
        (301, b"", CrmBroken),
        (302, b'{"success":true}', CrmBroken),
        (302, b'{"success":false,"errorMsg":"Moved"}', CrmBroken),
        (0, b'{"success":true}', CrmBroken),
        (0, b'{"success":false,"errorMsg":"Oops"}', CrmBroken),
        (101, b'{"success":true}', CrmBroken),
        (999, b'{"success":true}', CrmBroken),
        (500, b'{"success":false,"errorMsg":"Oops"}', CrmBroken),
        (500, b'{"success":true}', CrmBroken),
        (502, HTML, CrmBroken),
        (504, b"", CrmBroken),
    ],
)
def test_every_other_answer_has_its_meaning(status: int, body: bytes, meaning: type[CrmError]) -> None:
    error = refusal(status, body)
    assert type(error) is meaning
    assert error.status == status
    assert len(error.text) <= 200


@pytest.mark.parametrize(
    ("errors", "read_as"),
    [
        ({"phone": "wrong"}, {"phone": "wrong"}),
        ({"phone": {"number": ["bad"]}}, {"phone": '{"number": ["bad"]}'}),
        (["first", "second"], {"0": "first", "1": "second"}),
        ([], {}),
        (None, {}),
        ("lone", {"0": "lone"}),
    ],
)
def test_complaints_are_read_from_map_list_and_text(errors: object, read_as: dict[str, str]) -> None:
    error = refusal(400, json.dumps({"success": False, "errorMsg": "Validation error", "errors": errors}).encode())
    assert isinstance(error, CrmRefused)
    assert error.errors == read_as
    assert error.message == "Validation error"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["success", "errorMsg", "errors", "notExistCodes", "notExistUsers", "processedCallsCount", "duplicateCalls",
          "settings", "scopes", "siteAccess", "sitesAvailable"]  # fmt: skip


@given(
    st.sampled_from([EVENT, UPLOAD, settings(), credentials()]),
    st.integers(100, 599),
    st.dictionaries(st.sampled_from(FIELDS), json_values | st.just(True)),
)
def test_whatever_json_comes_a_reply_or_a_crm_error_goes(
    request_: Request[Any], status: int, body: dict[str, object]
) -> None:
    try:
        reply = read(request_, status, {}, json.dumps(body).encode(), NOW)
    except CrmError:
        return
    assert isinstance(reply, request_.reply)
    assert body["success"] is True


@pytest.mark.parametrize("field", ["errors", "notExistCodes"])
def test_what_is_read_and_too_deep_to_be_written_is_no_failure(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_deep(value: object, **_: object) -> str:
        raise RecursionError

    monkeypatch.setattr(json, "dumps", too_deep)
    body = f'{{"success": {"false" if field == "errors" else "true"}, "{field}": [[[]]]}}'.encode()
    if field == "errors":
        assert refusal(400, body).errors == {"0": "…"}  # type: ignore[attr-defined]
    else:
        assert answer(EVENT, body=body) == CallEventReply(("…",))


@given(st.binary(max_size=200), st.integers(100, 599))
def test_whatever_bytes_come_only_crm_errors_go(body: bytes, status: int) -> None:
    with pytest.raises(CrmError):
        read(EVENT, status, {}, body, NOW)
