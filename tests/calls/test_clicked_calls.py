"""Calls that we place, where Asterisk says little: its ids and answers tell which they are, and whom they are for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from amibridge.ami.events import (
    CLICK,
    AmiEvent,
    ChannelSnapshot,
    ChannelState,
    DialBegin,
    Hangup,
    Linkedid,
    Newchannel,
    Newstate,
    OriginateResponse,
    Uniqueid,
    click_of,
)
from amibridge.calls.board import Board, replay
from amibridge.calls.facts import CallEnded, CallStarted
from amibridge.calls.record import CallRecord

UNIQUEID = Uniqueid("1795491044.482913047715")
AT = datetime(2026, 11, 25, 9, tzinfo=UTC)


def failed(channel: str = "PJSIP/109", reason: int = 0, action_id: str = f"{CLICK}{UNIQUEID}") -> OriginateResponse:
    return OriginateResponse(AT, action_id, False, channel, UNIQUEID, "89161112233", None, reason)


def records(*events: AmiEvent) -> list[CallRecord]:
    board = Board("pbx1")
    facts = replay(board, events)
    assert board.live_calls() == []
    assert board.take_anomalies() == []
    whole = [type(fact) for fact in facts if isinstance(fact, CallStarted | CallEnded)]
    assert whole == [CallStarted, CallEnded] * (len(whole) // 2)
    return [fact.record for fact in facts if isinstance(fact, CallEnded)]


@pytest.mark.parametrize(
    ("channel", "caller"),
    [
        ("PJSIP/109", "109"), ("SIP/109", "109"), ("Local/109@from-internal/n", "109"), ("PJSIP/109-phone", "109"),
        ("PJSIP/anna", "anna"), ("PJSIP/anna-phone", "anna-phone"),
    ],
)  # fmt: skip
def test_it_is_a_call_that_its_operator_never_took(channel: str, caller: str) -> None:
    [record] = records(failed(channel))
    assert record.call_id == f"pbx1:{UNIQUEID}"
    assert record.click_to_call == f"{CLICK}{UNIQUEID}"
    assert (record.direction, record.outcome, record.reason, record.hangup_by) == (
        "outgoing", "cancelled", "unavailable", "system",
    )  # fmt: skip
    assert (record.external_number, record.phone) == ("89161112233", "+79161112233")
    assert record.started_at == record.ended_at == AT
    assert record.complete
    assert record.caller == caller


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (0, "unavailable"),
        (1, "unavailable"),
        (3, "operator_no_answer"),
        (5, "busy"),
        (8, "unavailable"),
        (99, "unavailable"),
    ],
)
def test_asterisks_reason_is_told(reason: int, told: str) -> None:
    [record] = records(failed(reason=reason))
    assert (record.outcome, record.reason) == ("cancelled", told)


def test_whom_it_is_for_stands_on_the_display_of_the_phone_that_rings() -> None:
    """Asterisk's answer comes after the end of a call that its operator did not take."""
    channel, linkedid = "PJSIP/101-00000000", Linkedid(UNIQUEID)
    rung = DialBegin(AT, None, None, channel, UNIQUEID, linkedid, "101", "101", "89161112233")
    [record] = records(
        Newchannel(AT, channel, UNIQUEID, linkedid, ChannelState.DOWN, "101", None, "from-internal", "s"),
        rung,
        Newstate(AT, channel, UNIQUEID, linkedid, ChannelState.RINGING),
        Hangup(AT, channel, UNIQUEID, linkedid, 19),
        failed("PJSIP/101", 3),
    )
    assert (record.outcome, record.reason, record.caller) == ("cancelled", "operator_no_answer", "101")
    assert (record.external_number, record.phone) == ("89161112233", "+79161112233")
    assert (record.call_id, record.click_to_call) == (f"pbx1:{UNIQUEID}", f"{CLICK}{UNIQUEID}")


def test_after_a_restart_it_is_still_known_for_a_click() -> None:
    before, after = Board("pbx1"), Board("pbx1")
    after.adopt([fact for fact in replay(before, [failed()]) if isinstance(fact, CallStarted)])
    [ended] = [fact for fact in after.apply(ChannelSnapshot(AT, ())) if isinstance(fact, CallEnded)]
    assert ended.record.click_to_call == f"{CLICK}{UNIQUEID}"


def test_it_is_told_once() -> None:
    assert len(records(failed(), failed())) == 1


@pytest.mark.parametrize(
    "counter", ["7", "2147483647", "082913047715", "4829130477151", "", "4829130477x5", "\u0664" * 12]
)
def test_an_id_of_asterisks_own_is_no_click(counter: str) -> None:
    assert click_of(f"1795491044.{counter}") is None


@pytest.mark.parametrize("action_id", ["", "a/1", CLICK, f"{CLICK}{UNIQUEID}0", str(UNIQUEID)])
def test_what_is_not_ours_is_no_call(action_id: str) -> None:
    """Somebody else's Originate may be a call to a paging system, or a wake-up call."""
    assert records(failed(action_id=action_id)) == []
