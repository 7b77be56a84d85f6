"""Every form rendered here is also checked against RetailCRM's contract."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from amibridge.calls.facts import (
    AnyFact,
    CallAnswered,
    CallMerged,
    CallStarted,
    FactKey,
    OperatorJoined,
    OperatorLeft,
    RecordingStarted,
    StopCause,
)
from amibridge.calls.record import CallId, CallRecord, Direction, Extension, Outcome
from amibridge.enterprises import Account, Credit, Enterprise, Line
from amibridge.redact import Secret
from amibridge.retailcrm.render import HANGUPS, RESULTS, STOPS, WITHHELD, history, popup
from tests.retailcrm.contract import is_valid
from tests.retailcrm.samples import AT, BRIEF, CALL, KEY, brief, ended, enterprise, rang, record, stopped

MOSCOW = ZoneInfo("Europe/Moscow")
OUTGOING = brief(direction=Direction.OUTGOING, caller=Extension("101"))


def event(*facts: AnyFact, of: Enterprise | None = None) -> Mapping[str, Any] | None:
    request = popup(facts, of or enterprise())
    if request is None:
        return None
    said = json.loads(json.dumps(request.form["event"]))
    assert is_valid("CallEvent", said), said
    assert isinstance(said, dict)
    return said


def upload(*records: CallRecord, of: Enterprise | None = None, zone: ZoneInfo = MOSCOW, url: str | None = None) -> Any:
    request = history(records, of or enterprise(), zone, lambda _: url)
    calls = json.loads(json.dumps(request.form["calls"]))
    for call in calls:
        assert is_valid("Call", call), call
    return calls if len(calls) > 1 else calls[0]


def said_by_operator(kind: type[OperatorJoined] | type[OperatorLeft] | type[CallAnswered]) -> AnyFact:
    return kind(FactKey("k"), CALL, AT, BRIEF, Extension("101"))


def started(said: Any) -> CallStarted:
    return CallStarted(FactKey("call"), CALL, AT, said)


# popups


def test_a_ring_group_is_one_event_users_by_id_and_others_by_code() -> None:
    assert event(*rang("103", "101", "102", "104")) == {
        "phone": "+79161234567",
        "type": "in",
        "codes": ["103", "104"],
        "userIds": [27, 31],
        "externalPhone": "74951110001",
        "callExternalId": CALL,
        "site": "romashka",
    }


def test_two_phones_of_one_person_are_one_user() -> None:
    said = event(*rang("101", "201", "101"))
    assert said is not None
    assert said["userIds"] == [27]
    assert "codes" not in said


def test_an_outgoing_call_is_told_to_its_caller() -> None:
    assert event(started(OUTGOING)) == {
        "phone": "+79161234567",
        "type": "out",
        "userIds": [27],
        "externalPhone": "74951110001",
        "callExternalId": CALL,
        "site": "romashka",
    }


@pytest.mark.parametrize(
    ("cause", "status"),
    [
        (StopCause.NO_ANSWER, "no answered"),
        (StopCause.BUSY, "busy"),
        (StopCause.DECLINED, "busy"),
        (StopCause.UNAVAILABLE, "failed"),
        (StopCause.CONGESTION, "failed"),
        (StopCause.UNALLOCATED, "failed"),
        (StopCause.ANSWERED_ELSEWHERE, "answered"),
        (StopCause.CALLER_LEFT, "cancel"),
    ],
)
def test_a_phone_that_stopped_loses_its_popup(cause: StopCause, status: str) -> None:
    said = event(*stopped(("102", cause), ("103", cause)))
    assert said is not None
    assert (said["type"], said["hangupStatus"], said["userIds"], said["codes"]) == ("hangup", status, [31], ["103"])


def test_phones_that_stopped_together_for_different_causes_are_still_one_event() -> None:
    said = event(*stopped(("102", StopCause.BUSY), ("103", StopCause.CALLER_LEFT)))
    assert said is not None
    assert said["hangupStatus"] == "cancel"


def test_the_end_is_told_to_all_who_talked() -> None:
    said = event(ended(record(operators=(Extension("101"), Extension("103"), Extension("101")))))
    assert said is not None
    assert (said["type"], said["hangupStatus"], said["userIds"], said["codes"]) == ("hangup", "answered", [27], ["103"])


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome.ANSWERED, "answered"),
        (Outcome.NO_ANSWER, "no answered"),
        (Outcome.BUSY, "busy"),
        (Outcome.CANCELLED, "cancel"),
        (Outcome.FAILED, "failed"),
        (None, "failed"),
    ],
)
def test_the_end_of_an_outgoing_call_is_told_to_its_caller(outcome: Outcome | None, status: str) -> None:
    call = record(direction=Direction.OUTGOING, caller=Extension("102"), outcome=outcome, operators=())
    said = event(ended(call))
    assert said is not None
    assert (said["type"], said["hangupStatus"], said["userIds"]) == ("hangup", status, [31])


@pytest.mark.parametrize(
    "facts",
    [
        [],
        rang("101", brief=brief(direction=Direction.INTERNAL)),
        rang("101", brief=OUTGOING),
        rang("101", brief=brief(external_number=None, phone=None)),
        rang("101", brief=brief(external_number="", phone=None)),
        rang("79165550000"),
        stopped(("101", StopCause.NO_ANSWER), brief=OUTGOING),
        [started(BRIEF)],
        [started(brief(direction=Direction.INTERNAL, caller=Extension("101")))],
        [started(brief(direction=Direction.OUTGOING, caller=None))],
        [ended(record(outcome=Outcome.MISSED, operators=()))],
        [ended(record(direction=Direction.INTERNAL, caller=Extension("101"), operators=(Extension("102"),)))],
        [ended(record(operators=(Extension("79165550000"),)))],
        [said_by_operator(OperatorJoined)],
        [said_by_operator(OperatorLeft)],
        [said_by_operator(CallAnswered)],
        [RecordingStarted(FactKey("k"), CALL, AT, BRIEF, "/rec/1.wav")],
        [CallMerged(FactKey("k"), CALL, AT, BRIEF, CallId("pbx1:2"))],
    ],
)
def test_nobody_is_told_what_is_no_news_for_the_crm(facts: list[AnyFact]) -> None:
    assert popup(facts, enterprise()) is None


def test_a_consultation_with_somebody_outside_closes_its_popup_when_it_becomes_a_part_of_the_call() -> None:
    said = event(CallMerged(FactKey("k"), CALL, AT, OUTGOING, CallId("pbx1:2")))
    assert said is not None
    assert (said["type"], said["hangupStatus"], said["callExternalId"]) == ("hangup", "answered", CALL)


def test_a_raw_number_serves_when_there_is_no_e164_and_stays_in_bounds() -> None:
    said = event(*rang("101", brief=brief(phone=None, external_number="88001" + "0" * 90)))
    assert said is not None
    assert said["phone"] == "88001" + "0" * 59


def test_facts_of_two_calls_or_kinds_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="one type and one call"):
        popup([*rang("101"), *rang("102", call=CallId("pbx1:2"))], enterprise())
    with pytest.raises(ValueError, match="one type and one call"):
        popup([*rang("101"), *stopped(("101", StopCause.BUSY))], enterprise())


@pytest.mark.parametrize(
    ("line", "site"),
    [
        ("74951110001", "romashka"),
        ("+74951110001", "romashka"),
        ("74951110002", "main"),
        ("999", "main"),
        (None, "main"),
        ("", "main"),
    ],
)
def test_the_store_is_the_lines_else_the_accounts(line: str | None, site: str) -> None:
    said = event(*rang("101", brief=brief(line=line)))
    assert said is not None
    assert said["site"] == site
    assert said.get("externalPhone") == (line or None)


def test_a_line_configured_with_a_plus_is_found_without_one() -> None:
    said = event(*rang("101"), of=enterprise(lines={"+74951110001": Line("+74951110001", site="plus")}))
    assert said is not None
    assert said["site"] == "plus"


def test_no_store_is_sent_where_none_is_known() -> None:
    of = enterprise(account=Account("https://x.example", Secret(KEY)), lines={})
    said = event(*rang("101"), of=of)
    assert said is not None
    assert "site" not in said
    assert "site" not in upload(record(), of=of)


def test_every_verdict_and_cause_has_words() -> None:
    assert RESULTS.keys() == HANGUPS.keys() == {*Outcome, None}
    assert STOPS.keys() == set(StopCause)


# history


def test_an_answered_incoming_call() -> None:
    assert upload(record(), url="https://bridge.example/recordings/x") == {
        "date": "2026-11-24 12:33:06",
        "type": "in",
        "phone": "+79161234567",
        "userId": 27,
        "result": "answered",
        "duration": 7,
        "durationWaiting": 3,
        "externalId": "pbx1:1795491186.91",
        "recordUrl": "https://bridge.example/recordings/x",
        "externalPhone": "74951110001",
        "site": "romashka",
    }


@pytest.mark.parametrize(
    ("direction", "outcome", "reason", "result"),
    [
        (Direction.INCOMING, Outcome.ANSWERED, None, "answered"),
        (Direction.INCOMING, Outcome.MISSED, "abandoned", "no answer"),
        (Direction.INCOMING, Outcome.MISSED, "busy", "no answer"),
        (Direction.INCOMING, Outcome.FAILED, "unallocated", "failed"),
        (Direction.OUTGOING, Outcome.ANSWERED, None, "answered"),
        (Direction.OUTGOING, Outcome.NO_ANSWER, "no_answer", "no answer"),
        (Direction.OUTGOING, Outcome.CANCELLED, "abandoned", "no answer"),
        (Direction.OUTGOING, Outcome.BUSY, "busy", "busy"),
        (Direction.OUTGOING, Outcome.FAILED, "congestion", "failed"),
        (Direction.INCOMING, None, None, "unknown"),
    ],
)
def test_the_result_is_in_the_words_of_uploads(
    direction: Direction, outcome: Outcome | None, reason: str | None, result: str
) -> None:
    said = upload(record(direction=direction, outcome=outcome, reason=reason))
    assert said["result"] == result
    assert said["type"] == ("in" if direction is Direction.INCOMING else "out")


TALKED = (Extension("79165550000"), Extension("103"), Extension("79165550001"), Extension("102"), Extension("7916555"))


@pytest.mark.parametrize(
    ("credit", "changes", "credited"),
    [
        (Credit.FIRST, {"operators": TALKED}, {"code": "103"}),
        (Credit.LAST, {"operators": TALKED}, {"userId": 31}),
        (Credit.FIRST, {"operators": (Extension("79165550000"),)}, {}),
        (Credit.FIRST, {"operators": (Extension("104"),)}, {"code": "104"}),
        (Credit.FIRST, {"operators": (), "outcome": Outcome.MISSED}, {}),
        (Credit.LAST, {"direction": Direction.OUTGOING, "caller": "101", "operators": TALKED}, {"userId": 27}),
        (
            Credit.LAST,
            {"direction": Direction.OUTGOING, "caller": "103", "operators": (), "outcome": Outcome.BUSY},
            {"code": "103"},
        ),
        (Credit.LAST, {"direction": Direction.OUTGOING, "caller": None, "operators": TALKED}, {"code": "103"}),
        (
            Credit.LAST,
            {"direction": Direction.OUTGOING, "caller": None, "operators": (), "outcome": Outcome.NO_ANSWER},
            {},
        ),
    ],
)
def test_credit_goes_to_who_talked_or_called(
    credit: Credit, changes: dict[str, Any], credited: dict[str, object]
) -> None:
    said = upload(record(**changes), of=enterprise(credit=credit))
    assert {name: said[name] for name in ("code", "userId") if name in said} == credited


def test_an_operator_who_is_configured_counts_although_the_pattern_does_not_know_him() -> None:
    of = enterprise()
    of = replace(of, operators={**of.operators, Extension("7916555"): of.operators[Extension("102")]})
    assert upload(record(operators=TALKED[4:]), of=of)["userId"] == 31


@pytest.mark.parametrize("outcome", [o for o in Outcome if o is not Outcome.ANSWERED])
def test_only_an_answered_call_has_a_recording(outcome: Outcome) -> None:
    assert "recordUrl" not in upload(record(outcome=outcome), url="https://bridge.example/x")


def test_a_withheld_number_is_still_counted() -> None:
    assert upload(record(phone=None, external_number=None))["phone"] == WITHHELD


@pytest.mark.parametrize(
    ("number", "told"),
    [
        ("+7 (916) 123-45-67", "+7 (916) 123-45-67"),
        ("101", "101"),
        ("*43#", "43"),
        ("sip:alice77@example.com", "77"),
        ('Evil\\"Name', WITHHELD),
        ("+", WITHHELD),
        ("٣٤٥", WITHHELD),
        ("8" * 300, "8" * 64),
        (" 8916 ", "8916"),
    ],
)
def test_a_number_that_is_none_is_told_as_the_contract_allows(number: str, told: str) -> None:
    assert upload(record(phone=None, external_number=number))["phone"] == told


def test_a_line_may_be_any_text_and_is_cut_to_what_the_crm_takes() -> None:
    assert upload(record(line="7" * 300))["externalPhone"] == "7" * 255


@pytest.mark.parametrize(
    ("started_at", "zone", "date"),
    [
        (datetime(2026, 11, 24, 9, 33, 6, 499_999, tzinfo=UTC), "Europe/Minsk", "2026-11-24 12:33:06"),
        (datetime(2026, 11, 24, 9, 33, 6, 500_000, tzinfo=UTC), "Europe/Minsk", "2026-11-24 12:33:07"),
        (datetime(2026, 12, 31, 23, 59, 59, 900_000, tzinfo=UTC), "UTC", "2027-01-01 00:00:00"),
        (datetime(2026, 11, 24, 9, 33, 6, tzinfo=ZoneInfo("Asia/Almaty")), "Europe/Moscow", "2026-11-24 07:33:06"),
        # The second before the clocks in Madrid go forward, and half a second later.
        (datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC), "Europe/Madrid", "2026-03-29 01:59:59"),
        (datetime(2026, 3, 29, 0, 59, 59, 500_000, tzinfo=UTC), "Europe/Madrid", "2026-03-29 03:00:00"),
    ],
)
def test_the_date_is_the_accounts_to_the_nearest_second(started_at: datetime, zone: str, date: str) -> None:
    assert upload(record(started_at=started_at), zone=ZoneInfo(zone))["date"] == date


def test_durations_are_whole_seconds() -> None:
    said = upload(record(talked=timedelta(seconds=59.6), waited=timedelta(milliseconds=200)))
    assert (said["duration"], said["durationWaiting"]) == (60, 0)


def test_an_internal_call_is_never_sent() -> None:
    with pytest.raises(ValueError, match="internal"):
        upload(record(), record(direction=Direction.INTERNAL))


def test_an_upload_keeps_the_order_and_the_limit() -> None:
    calls = [record(call_id=CallId(f"pbx1:{n}")) for n in range(50)]
    assert [call["externalId"] for call in upload(*calls)] == [call.call_id for call in calls]
    with pytest.raises(ValueError, match="1 to 50"):
        upload(*calls, record())
