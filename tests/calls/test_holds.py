"""Who makes the other party wait, where Asterisk says it twice, half, of plumbing, or not at all."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from amibridge.ami.events import AmiEvent, ChannelSnapshot, Connected, Disconnected, Uniqueid
from amibridge.calls.board import Board, replay
from amibridge.calls.facts import AnyFact, CallEnded, CallHeld, CallMerged, CallResumed
from tests.calls.tape import RING, UP, Tape
from tests.calls.told import assert_holds_end
from tests.calls.world import snapshot_after

HELD, RESUMED = "call.held", "call.resumed"


def holds(events: Sequence[AmiEvent], board: Board | None = None) -> list[tuple[str, str]]:
    facts = replay(board or Board("pbx"), events)
    assert_holds_end(facts)
    return told(facts)


def told(facts: Sequence[AnyFact]) -> list[tuple[str, str]]:
    return [(fact.word, fact.extension) for fact in facts if isinstance(fact, CallHeld | CallResumed)]


def talking(tape: Tape, *, room: str = "one", kind: str = "basic") -> tuple[Uniqueid, Uniqueid]:
    """A customer and 101."""
    customer = tape.customer()
    anna = tape.dials(customer, "PJSIP/101")
    tape.state(anna, UP)
    tape.state(customer, UP)
    tape.dial_ends(customer, anna, "ANSWER")
    tape.meet(anna, customer, room=room, kind=kind)
    return customer, anna


def test_said_again_and_without_a_beginning() -> None:
    tape = Tape()
    customer, anna = talking(tape)
    tape.unholds(anna)
    for _ in range(3):
        tape.holds(anna)
    tape.unholds(anna)
    tape.unholds(anna)
    tape.hangs_up(customer, anna)
    assert holds(tape.events) == [(HELD, "101"), (RESUMED, "101")]


def test_a_customer_who_holds_us_and_the_halves_of_a_local_channel() -> None:
    tape = Tape()
    customer = tape.customer()
    first = tape.dials(customer, "Local/101@office-1;1", rings=False)
    second = tape.channel("Local/101@office-1;2", of=customer)
    anna = tape.dials(second, "PJSIP/101")
    tape.state(anna, UP)
    tape.meet(anna, second, room="two")
    tape.meet(first, customer)
    for one in (customer, first, second):
        tape.holds(one)
    assert holds(tape.events) == []
    tape.holds(anna)
    assert holds(tape.events) == [(HELD, "101")]


def test_nobody_waits_in_a_conference_room() -> None:
    tape = Tape()
    _, anna = talking(tape, kind="base")
    tape.holds(anna)
    assert holds(tape.events) == []


def test_back_from_asking_although_nothing_says_so() -> None:
    tape = Tape()
    _, anna = talking(tape)
    tape.holds(anna)
    tape.leaves(anna)
    tape.meet(anna, room="asks")
    assert holds(tape.events) == [(HELD, "101")]
    tape.leaves(anna, "asks")
    tape.meet(anna)
    assert holds(tape.events) == [(HELD, "101"), (RESUMED, "101")]


def test_nobody_waits_whom_a_colleague_talks_with() -> None:
    tape = Tape()
    customer, anna = talking(tape)
    tape.holds(anna)
    boris = tape.dials(customer, "PJSIP/102")
    tape.state(boris, UP)
    tape.meet(boris)
    assert holds(tape.events) == [(HELD, "101"), (RESUMED, "101")]
    tape.leaves(boris)
    assert holds(tape.events) == [(HELD, "101"), (RESUMED, "101"), (HELD, "101")]


def test_who_holds_before_the_customer_answers_keeps_him_waiting_when_he_does() -> None:
    tape = Tape()
    anna = tape.channel("PJSIP/101", RING, exten="89161112233")
    customer = tape.dials(anna, "PJSIP/trunk", "89161112233@trunk")
    tape.state(anna, UP)
    tape.holds(anna)
    assert holds(tape.events) == []
    tape.state(customer, UP)
    tape.meet(anna, customer)
    assert holds(tape.events) == [(HELD, "101")]


def test_two_colleagues_may_hold_each_other() -> None:
    tape = Tape()
    anna = tape.channel("PJSIP/101", RING, exten="102", number="101")
    boris = tape.dials(anna, "PJSIP/102", "102")
    tape.state(boris, UP)
    tape.meet(anna, boris)
    tape.holds(anna)
    tape.holds(boris)
    tape.unholds(anna)
    tape.hangs_up(anna, boris)
    assert holds(tape.events) == [(HELD, "101"), (HELD, "102"), (RESUMED, "101")]


def test_a_consultation_that_becomes_a_part_of_the_call_ends_its_own_holds() -> None:
    tape = Tape()
    second = tape.channel("PJSIP/101", RING, exten="102", number="101")
    boris = tape.dials(second, "PJSIP/102", "102")
    tape.state(boris, UP)
    tape.meet(second, boris, room="asks")
    tape.holds(second)
    customer, anna = talking(tape)
    tape.transfers(anna, second, "102")
    tape.leaves(second, "asks")
    tape.leaves(customer)
    tape.meet(customer, room="asks")
    tape.hangs_up(anna, second)
    tape.hangs_up(customer, boris)
    facts = replay(Board("pbx"), tape.events)
    assert_holds_end(facts)
    assert [type(fact) for fact in facts if isinstance(fact, CallMerged | CallEnded)] == [CallMerged, CallEnded]
    assert told(facts) == [(HELD, "101")], "of the call that there was; the other one goes on without it"


@pytest.mark.parametrize("alive", [True, False])
def test_after_a_restart_the_quieter_is_assumed_once(alive: bool) -> None:
    tape = Tape()
    _, anna = talking(tape)
    tape.holds(anna)
    tape.unholds(anna)
    tape.holds(anna)
    said = replay(Board("pbx"), tape.events)
    board, at = Board("pbx"), tape.passes()
    board.adopt(said)
    shown = snapshot_after(tape.events if alive else [], at)
    again = replay(board, [Connected(at, "11.0.0"), shown])
    seen = len(tape.events)
    tape.unholds(anna)
    again += replay(board, tape.events[seen:] if alive else [])
    assert_holds_end([*said, *again])
    assert told(again) == ([(RESUMED, "101")] if alive else [])
    if alive:
        whole = replay(Board("pbx"), tape.events)
        assert [fact.key for fact in again if isinstance(fact, CallResumed)] == [whole[-1].key]


def test_a_snapshot_shows_no_holds() -> None:
    tape = Tape()
    _, anna = talking(tape)
    tape.holds(anna)
    at = tape.passes()
    gap: list[AmiEvent] = [Disconnected(at), Connected(at, "11.0.0"), snapshot_after(tape.events, at)]
    assert isinstance(gap[-1], ChannelSnapshot)
    assert holds([*tape.events, *gap]) == [(HELD, "101"), (RESUMED, "101")]
