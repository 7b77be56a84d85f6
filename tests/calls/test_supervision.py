"""A call in which somebody listens in on another is nobody's: never told, never credited, whoever arranged it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from amibridge.ami.events import (
    AmiEvent,
    ChannelSnapshot,
    ChanSpyStart,
    CoreShowChannel,
    Linkedid,
    Newchannel,
    OriginateResponse,
    Uniqueid,
    is_supervision,
)
from amibridge.calls.board import Board, replay
from amibridge.calls.record import Extension
from tests.calls.tape import RING, UP, Tape

OURS = Uniqueid("1795600000.10000000000001")


def spies(tape: Tape, spyer: Uniqueid, spyee: Uniqueid | None) -> None:
    tape.events.append(ChanSpyStart(tape.passes(), spyer, spyee))


def conversation(tape: Tape) -> tuple[Uniqueid, Uniqueid]:
    customer = tape.customer()
    anna = tape.dials(customer, "PJSIP/101")
    tape.state(anna, UP)
    tape.meet(customer, anna)
    return customer, anna


def heard(events: list[AmiEvent]) -> Board:
    board = Board("pbx")
    replay(board, events)
    return board


def test_a_code_that_a_phone_dials() -> None:
    tape = Tape()
    customer, anna = conversation(tape)
    boss = tape.channel("PJSIP/104", RING, exten="09101")
    tape.state(boss, UP)
    spies(tape, boss, anna)
    board = heard(tape.events)
    assert board.listens_in(Extension("104"))
    assert not board.listens_in(Extension("101"))
    assert board.conversations(Extension("104")) == []
    [talk] = board.conversations(Extension("101"))
    assert (talk.channel, talk.of_two) == ("PJSIP/101-00000001", True)
    assert [record.line for record in board.live_calls()] == ["74951110001"]
    tape.hangs_up(customer, anna, boss)
    [record] = tape.records()
    assert record.operators == ("101",)


def test_another_bridges_originate_through_a_local_channel_with_an_action_id() -> None:
    """Without the event it would be a click without a number."""
    tape = Tape()
    first = tape.channel("Local/104@inoffice-00000001;1", RING)
    other = tape.channel("Local/104@inoffice-00000001;2", RING, of=first)
    boss = tape.dials(other, "SIP/104")
    tape.state(boss, UP)
    tape.meet(other, boss)
    tape.events.append(OriginateResponse(tape.passes(), "theirs-1", True, "Local/104@inoffice", first, "", None))
    spies(tape, first, None)
    board = heard(tape.events)
    assert board.listens_in(Extension("104"))
    assert board.conversations(Extension("104")) == []
    tape.hangs_up(boss, other, first)
    assert tape.records() == []


@pytest.mark.parametrize("answers", [True, False])
def test_ours_is_known_by_its_id_from_its_first_event(answers: bool) -> None:
    tape = Tape()
    at = tape.passes()
    events: list[AmiEvent] = [
        Newchannel(at, "PJSIP/104-00000001", OURS, Linkedid(OURS), RING, "104", None, "from-internal", "")
    ]
    board = heard(events)
    assert board.listens_in(Extension("104"))
    reason = 4 if answers else 5
    response = OriginateResponse(at, f"amibridge-{OURS}", answers, "PJSIP/104", OURS, "", "104", reason)
    assert board.apply(response) == []
    assert board.live_calls() == []


def test_ours_that_had_no_channel_is_nothing() -> None:
    at = Tape().passes()
    failed = OriginateResponse(at, f"amibridge-{OURS}", False, "PJSIP/104", OURS, "", None, 0)
    assert heard([]).apply(failed) == []


@pytest.mark.parametrize(("uniqueid", "application"), [(OURS, "ChanSpy"), ("1795600000.7", "ChanSpy")])
def test_after_a_silence_it_is_known_by_what_it_executes(uniqueid: str, application: str) -> None:
    shown = CoreShowChannel(
        "PJSIP/104-00000001", Uniqueid(uniqueid), Linkedid(uniqueid), UP, "104", None, "79161234567", "from-internal",
        "09101", None, application, timedelta(seconds=7),
    )  # fmt: skip
    tape, board = Tape(), Board("pbx")
    assert board.apply(ChannelSnapshot(tape.passes(), (shown,))) == []
    assert board.listens_in(Extension("104"))
    assert board.apply(ChannelSnapshot(tape.passes(), ())) == []
    assert board.take_anomalies() == []


def test_a_business_call_stays_one_whatever_is_done_in_it() -> None:
    """A supervisor who calls from outside through a menu was told of before anybody knew what he wanted."""
    tape = Tape()
    customer, anna = conversation(tape)
    spies(tape, customer, anna)
    tape.hangs_up(customer, anna)
    [record] = tape.records()
    assert record.operators == ("101",)
    unknown = replace(ChanSpyStart(tape.now, Uniqueid("9.9"), None))
    assert heard([]).apply(unknown) == []


def test_who_listened_in_by_a_code_and_calls_a_customer_from_there_is_told_of() -> None:
    tape = Tape()
    customer, anna = conversation(tape)
    boss = tape.channel("PJSIP/104", RING, exten="555")
    tape.state(boss, UP)
    spies(tape, boss, anna)
    called = tape.dials(boss, "PJSIP/trunk", "89161112233@trunk")
    tape.state(called, UP)
    tape.meet(boss, called, room="two")
    tape.hangs_up(customer, anna, boss, called)
    assert [(record.direction, record.operators) for record in tape.records()] == [
        ("incoming", ("101",)), ("outgoing", ("104",)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("uniqueid", "ours"),
    [
        (OURS, True),
        (f"{OURS}2", False),
        ("1795600000.482913047715", False),
        ("1795600000.4829130477152", False),
        ("1795600000.7", False),
        ("", False),
        ("1795600000.1000000000000٣", False),
        ("9" * 5000, False),
    ],
)
def test_which_ids_are_of_a_supervision(uniqueid: str, ours: bool) -> None:
    assert is_supervision(uniqueid) is ours
