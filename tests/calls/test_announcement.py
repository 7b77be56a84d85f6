"""What other software hears of recorded calls."""

from __future__ import annotations

import json
from typing import Any

from amibridge.calls.announcement import announced
from amibridge.calls.board import Board, replay
from tests.calls.truth import events_of
from tests.corpus import TRACES

KEYS = [
    *("id", "event", "at", "call_id", "direction", "phone", "external_number", "caller_name", "line", "caller"),
    *("extension", "cause", "transfer", "into", "call"),
]


def announcements(kind: str) -> list[dict[str, Any]]:
    [trace] = [one for one in TRACES if (one.stack, one.kind) == ("asterisk22", kind)]
    said = [announced(seq, fact) for seq, fact in enumerate(replay(Board("pbx"), events_of(trace.path)), 1)]
    told: list[dict[str, Any]] = json.loads(json.dumps(said))
    return told


def test_a_customer_calls_and_is_answered() -> None:
    told = announcements("a_inbound_answered_caller_hangup")
    assert [one["id"] for one in told] == list(range(1, len(told) + 1))
    assert [(one["event"], one["extension"]) for one in told if one["event"] != "recording.started"] == [
        ("call.incoming", None),
        ("operator.rang", "101"),
        ("operator.joined", "101"),
        ("call.answered", "101"),
        ("operator.left", "101"),
        ("call.finished", None),
    ]
    assert {(one["call_id"], one["direction"], one["phone"]) for one in told} == {
        (told[0]["call_id"], "incoming", "+79161234567")
    }
    assert told[-1]["call"]["outcome"] == "answered"
    assert told[-1]["call"]["operators"] == ["101"]


def test_a_call_that_nobody_takes_says_why_a_phone_stopped() -> None:
    told = announcements("c_inbound_noanswer_timeout")
    assert {(one["extension"], one["cause"]) for one in told if one["event"] == "operator.stopped"} == {
        ("101", "no_answer")
    }
    assert told[-1]["event"] == "call.missed"
    assert told[-1]["call"]["outcome"] == "missed"


def test_a_transfer_says_from_whom_to_whom_and_how() -> None:
    told = announcements("o2_attended_feature_code")
    [one] = [one for one in told if one["event"] == "call.transferred"]
    assert one["transfer"] == {"kind": "attended", "from": "101", "to": "102", "answered": True}
    assert one["at"] == told[-1]["call"]["transfers"][0]["at"]
    assert all(other["transfer"] is None for other in told if other is not one)


def test_a_hold_says_who_makes_the_customer_wait_and_when_that_is_over() -> None:
    told = announcements("u_hold_unhold")
    assert [(one["event"], one["extension"]) for one in told if one["event"] in ("call.held", "call.resumed")] == [
        ("call.held", "101"),
        ("call.resumed", "101"),
    ] * 2


def test_all_say_the_same_keys() -> None:
    kinds = ("a_inbound_answered_caller_hangup", "m_internal_answered", "o2_attended_feature_code", "u_hold_unhold")
    told = [one for kind in kinds for one in announcements(kind)]
    assert {"call.held", "call.resumed", "call.transferred", "call.internal"} <= {one["event"] for one in told}
    assert all(list(one) == KEYS for one in told)
