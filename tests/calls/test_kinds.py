"""Kinds of calls that real Asterisks taught (tests/real/), as the events that tell them apart."""

from __future__ import annotations

from datetime import timedelta

import pytest

from amibridge.calls.board import Board, replay
from amibridge.calls.facts import RecordingStarted
from tests.calls.tape import RING, UP, Tape


def test_somebody_outside_who_was_asked_belongs_to_the_call() -> None:
    """Anna calls a mobile to ask, and joins it with her customer: only AttendedTransfer ties the two."""
    tape = Tape()
    customer = tape.customer()
    anna = tape.dials(customer, "PJSIP/101", "101")
    tape.state(anna, UP)
    tape.meet(anna, customer)
    second = tape.channel("PJSIP/101", RING, exten="89160000077")
    mobile = tape.dials(second, "PJSIP/trunk", "89160000077@trunk")
    tape.state(mobile, UP)
    tape.state(second, UP)
    tape.meet(second, mobile, room="two")
    tape.transfers(anna, second)
    tape.meet(customer, room="two")
    tape.hangs_up(anna, second)
    tape.wants_to_hang_up(customer)
    tape.hangs_up(customer, mobile)
    [record] = tape.records()
    assert (record.direction, record.operators, record.hangup_by) == ("incoming", ("101", "89160000077"), "customer")
    assert [(one.kind, one.from_, one.to, one.answered) for one in record.transfers] == [
        ("attended", "101", "89160000077", True)
    ]
    assert record.notes == (f"merged {second}",)


def test_two_who_called_us_stay_two_when_they_are_joined() -> None:
    tape = Tape()
    one, two = tape.customer(), tape.customer()
    annas = [tape.dials(customer, "PJSIP/101", "101") for customer in (one, two)]
    for room, (customer, anna) in enumerate(zip((one, two), annas, strict=True)):
        tape.state(anna, UP)
        tape.meet(anna, customer, room=str(room))
    tape.transfers(*annas)
    tape.hangs_up(*annas)
    tape.hangs_up(one)
    tape.hangs_up(two)
    assert [(record.direction, record.operators) for record in tape.records()] == [("incoming", ("101",))] * 2


@pytest.mark.parametrize(
    ("status", "reason", "by"), [("NOANSWER", "no_answer", "system"), ("CANCEL", "abandoned", "customer")]
)
def test_a_phone_behind_a_local_channel_is_cancelled_with_it(status: str, reason: str, by: str) -> None:
    """Why, the dial of the Local channel says."""
    tape = Tape()
    customer = tape.customer()
    one = tape.dials(customer, "Local/101@plan-00000000;1", "101@plan")
    two = tape.channel("Local/101@plan-00000000;2", RING, of=customer)
    anna = tape.dials(two, "PJSIP/101", "101")
    tape.dial_ends(customer, one, status)
    tape.dial_ends(two, anna, "CANCEL")
    tape.hangs_up(one, two, anna, cause=0)
    tape.hangs_up(customer)
    [record] = tape.records()
    assert (record.outcome, record.reason, record.hangup_by, record.rang) == ("missed", reason, by, ("101",))


@pytest.mark.parametrize("gives_up", [True, False])
def test_follow_me_never_says_how_its_dial_ended(gives_up: bool) -> None:
    tape = Tape()
    customer = tape.customer()
    tape.state(customer, UP)
    one = tape.dials(customer, "Local/8916@plan-00000000;1", "8916@plan")
    two = tape.channel("Local/8916@plan-00000000;2", RING, of=customer)
    mobile = tape.dials(two, "PJSIP/trunk", "89160000077@trunk")
    if gives_up:
        tape.wants_to_hang_up(customer)
    tape.wants_to_hang_up(two)
    tape.dial_ends(two, mobile, "CANCEL")
    tape.hangs_up(one, two, mobile)
    tape.hangs_up(customer)
    [record] = tape.records()
    told = ("abandoned", "customer") if gives_up else ("no_answer", "system")
    assert (record.outcome, record.reason, record.hangup_by) == ("missed", *told)


def test_who_picks_up_and_does_not_accept_has_not_answered() -> None:
    tape = Tape()
    customer = tape.customer()
    mobile = tape.dials(customer, "PJSIP/trunk", "89160000077@trunk")
    tape.state(mobile, UP)
    tape.dial_ends(customer, mobile, "ANSWER")
    tape.hangs_up(mobile)
    tape.hangs_up(customer, cause=34)
    [record] = tape.records()
    assert (record.outcome, record.reason, record.operators, record.hangup_by) == ("missed", "no_answer", (), "system")


def test_a_transfer_to_somebody_busy_is_ended_by_nobody_who_talked() -> None:
    tape = Tape()
    customer = tape.customer()
    anna = tape.dials(customer, "PJSIP/101", "101")
    tape.state(anna, UP)
    tape.meet(anna, customer)
    tape.leaves(customer)
    tape.leaves(anna)
    boris = tape.dials(customer, "PJSIP/102", "102", rings=False)
    tape.hangs_up(anna)
    tape.dial_ends(customer, boris, "BUSY")
    tape.hangs_up(boris, cause=17)
    tape.hangs_up(customer, cause=17)
    [record] = tape.records()
    assert (record.outcome, record.operators, record.hangup_by) == ("answered", ("101",), "system")


def test_asterisk_rings_an_operator_itself() -> None:
    """She had handed a customer on in vain, and is called back; nothing else is known of that, and it is no call."""
    tape = Tape()
    again = tape.dials(None, "PJSIP/101")
    tape.hangs_up(again, cause=0)
    assert tape.records() == []


def test_the_dialplan_goes_on_when_the_customer_has_hung_up() -> None:
    tape = Tape()
    customer = tape.customer()
    anna = tape.dials(customer, "PJSIP/101", "101")
    tape.wants_to_hang_up(customer)
    left_at = tape.now
    tape.dial_ends(customer, anna, "CANCEL")
    tape.hangs_up(anna, cause=0)
    tape.passes(timedelta(seconds=5))
    tape.hangs_up(customer, cause=0)
    [record] = tape.records()
    assert (record.ended_at, record.reason, record.hangup_by) == (left_at, "abandoned", "customer")


def test_an_operator_in_a_room_talks_with_the_customers_of_several_calls() -> None:
    tape = Tape()
    anna = tape.channel("PJSIP/101", RING, exten="800")
    first, second, third, short = (tape.customer() for _ in range(4))
    tape.meet(anna, first, room="room", kind="base")
    tape.hangs_up(first)
    tape.meet(second, short, third, room="room", kind="base")
    tape.hangs_up(short)
    tape.wants_to_hang_up(anna)
    tape.leaves(anna, room="room")
    left_at = tape.now
    tape.hangs_up(anna)
    tape.hangs_up(second)
    tape.hangs_up(third)
    one, two, three, four = tape.records()
    assert [record.operators for record in (one, two, three, four)] == [("101",)] * 4
    assert four.ended_at is not None
    assert four.ended_at < left_at
    assert [record.hangup_by for record in (two, three)] == ["operator"] * 2
    assert all(record.answered_at and record.answered_at + record.talked == left_at for record in (two, three))


@pytest.mark.parametrize(
    ("status", "reason", "by"), [("CANCEL", "abandoned", "customer"), ("NOANSWER", "queue_timeout", "system")]
)
def test_who_leaves_a_queue_where_nobody_says_who_hung_up(status: str, reason: str, by: str) -> None:
    tape = Tape()
    customer = tape.customer()
    tape.state(customer, UP)
    tape.joins_queue(customer, "support")
    anna = tape.dials(customer, "PJSIP/101", "101")
    tape.passes()
    tape.leaves_queue(customer, "support", anna, status)
    tape.hangs_up(anna, customer)
    [record] = tape.records()
    assert (record.outcome, record.reason, record.hangup_by, record.queue) == ("missed", reason, by, "support")


def test_a_recording_that_began_before_its_channel_joined_the_call_is_told() -> None:
    """Who fetches a parked customer, or picks up for a colleague, may be recorded from his first moment on."""
    tape = Tape()
    customer = tape.customer()
    anna = tape.dials(customer, "PJSIP/101", "101")
    boris = tape.channel("PJSIP/102", RING, exten="*8101")
    tape.records_to(boris, "/monitor/fetched.wav")
    tape.state(boris, UP)
    tape.meet(boris, customer)
    tape.hangs_up(anna, cause=26)
    tape.hangs_up(boris, customer)
    facts = replay(Board("pbx"), tape.events)
    assert [fact.path for fact in facts if isinstance(fact, RecordingStarted)] == ["/monitor/fetched.wav"]
    [record] = tape.records()
    assert record.recordings == ("/monitor/fetched.wav",)


def test_two_calls_that_are_recorded_to_one_file_tell_two_recordings() -> None:
    """A dialplan may name it after the phone: the ledger keeps the first of two facts with one key."""
    tape = Tape()
    for customer in (tape.customer(), tape.customer()):
        tape.records_to(customer, "/monitor/101.wav")
    keys = [fact.key for fact in replay(Board("pbx"), tape.events) if isinstance(fact, RecordingStarted)]
    assert len(set(keys)) == len(keys) == 2
