from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amibridge.retailcrm.requests import (
    CallResult,
    CallType,
    EventType,
    HangupStatus,
    LimitClass,
    Request,
    UploadedCall,
    call_event,
    calls_upload,
    credentials,
    settings,
)

CALL = UploadedCall(
    date=datetime(2026, 11, 24, 12, 33, 6, tzinfo=ZoneInfo("Europe/Moscow")),
    type=CallType.OUT,
    phone="+79161234567",
    result=CallResult.NO_ANSWER,
    external_id="pbx1:1.1",
    duration=0,
    duration_waiting=12,
)


def test_body_is_a_form_with_one_json_field() -> None:
    request = call_event(
        type=EventType.HANGUP,
        phone="+79161234567",
        codes=["101", "102"],
        user_ids=[27],
        hangup_status=HangupStatus.NO_ANSWERED,
        external_phone="74951110001",
        call_external_id="pbx1:1.1",
        site="ромашка & co",
    )
    address, body, headers = request.encoded()
    assert address == "/api/v5/telephony/call/event"
    assert headers == {"Content-Type": "application/x-www-form-urlencoded"}
    assert body is not None
    assert body.startswith(b"event=%7B%22phone%22%3A%22%2B79161234567%22")
    form = parse_qs(body.decode("ascii"), strict_parsing=True)
    assert {name: [json.loads(text) for text in texts] for name, texts in form.items()} == {
        "event": [
            {
                "phone": "+79161234567",
                "type": "hangup",
                "codes": ["101", "102"],
                "userIds": [27],
                "hangupStatus": "no answered",
                "externalPhone": "74951110001",
                "callExternalId": "pbx1:1.1",
                "site": "ромашка & co",
            }
        ]
    }


def test_the_same_meaning_gives_the_same_bytes() -> None:
    assert calls_upload([CALL]).encoded() == calls_upload([replace(CALL)]).encoded()


def test_query_and_plain_fields_are_encoded_once() -> None:
    request = Request(
        "POST",
        "/api/v5/users/1/status",
        settings().reply,
        LimitClass.ORDINARY,
        repeatable=True,
        query={"filter[name]": "a b&c"},
        form={"status": "dinner & break"},
    )
    address, body, _ = request.encoded()
    assert address == "/api/v5/users/1/status?filter%5Bname%5D=a+b%26c"
    assert body == b"status=dinner+%26+break"


def test_reading_has_no_body() -> None:
    assert settings().encoded() == ("/api/v5/settings", None, {})
    assert credentials().encoded() == ("/api/credentials", None, {})


def test_what_may_be_repeated_and_which_limit_counts() -> None:
    event = call_event(type=EventType.IN, phone="1", codes=["101"])
    assert [(r.limit, r.repeatable) for r in (event, calls_upload([CALL]), settings(), credentials())] == [
        (LimitClass.TELEPHONY, False),
        (LimitClass.TELEPHONY, True),
        (LimitClass.ORDINARY, True),
        (LimitClass.ORDINARY, True),
    ]


def test_a_store_of_its_own_outranks_the_uploads() -> None:
    request = calls_upload([replace(CALL, site="own"), CALL], site="default")
    assert json.loads(parse_qs((request.encoded()[1] or b"").decode())["calls"][0])[0]["site"] == "own"
    assert json.loads(parse_qs((request.encoded()[1] or b"").decode())["calls"][0])[1]["site"] == "default"


@pytest.mark.parametrize("count", [0, 51])
def test_an_upload_of_none_or_too_many_is_a_mistake(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 50"):
        calls_upload([CALL] * count)


def test_an_upload_of_fifty_is_right() -> None:
    assert len(json.loads(parse_qs((calls_upload([CALL] * 50).encoded()[1] or b"").decode())["calls"][0])) == 50


def test_a_call_must_be_dated_in_a_zone_and_credited_once() -> None:
    with pytest.raises(ValueError, match="time zone"):
        calls_upload([replace(CALL, date=datetime(2026, 11, 24))])
    with pytest.raises(ValueError, match="not to both"):
        calls_upload([replace(CALL, code="101", user_id=27)])


def test_an_event_must_be_for_somebody_and_say_how_it_ended_only_at_the_end() -> None:
    with pytest.raises(ValueError, match="for somebody"):
        call_event(type=EventType.IN, phone="1")
    with pytest.raises(ValueError, match="hangup"):
        call_event(type=EventType.HANGUP, phone="1", codes=["101"])
    with pytest.raises(ValueError, match="hangup"):
        call_event(type=EventType.IN, phone="1", codes=["101"], hangup_status=HangupStatus.BUSY)


@given(st.text(min_size=1, max_size=30).filter(lambda text: text.isprintable()))
def test_no_text_breaks_out_of_its_field(text: str) -> None:
    body = call_event(type=EventType.IN, phone=text, codes=[text]).encoded()[1]
    form = parse_qs((body or b"").decode("ascii"), strict_parsing=True)
    assert json.loads(form.pop("event")[0]) == {"phone": text, "type": "in", "codes": [text]}
    assert not form
