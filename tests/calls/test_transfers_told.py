"""When a transfer is told: as soon as nothing that Asterisk may still say of it takes its place, and once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from amibridge.ami.events import AmiEvent, Connected, Tick, Uniqueid
from amibridge.calls.board import Board, replay
from amibridge.calls.facts import AnyFact, CallEnded, CallTransferred
from tests.calls.tape import RING, UP, Tape
from tests.calls.told import assert_transfers_told
from tests.calls.world import snapshot_after

A_MINUTE = timedelta(minutes=1)

Told = list[tuple[str, str, str, bool | None]]


def told(facts: Sequence[AnyFact]) -> Told:
    assert_transfers_told(facts)
    return [(str(one.way), one.from_, one.to, one.answered) for one in facts if isinstance(one, CallTransferred)]


def of(events: Sequence[AmiEvent], *more: AmiEvent) -> Told:
    return told(replay(Board("pbx"), [*events, *more]))


def talking(tape: Tape) -> tuple[Uniqueid, Uniqueid]:
    """A customer and 101."""
    customer = tape.customer()
    anna = tape.dials(customer, "PJSIP/101", "101")
    tape.state(anna, UP)
    tape.dial_ends(customer, anna, "ANSWER")
    tape.meet(anna, customer)
    return customer, anna


def leave(tape: Tape, customer: Uniqueid, anna: Uniqueid) -> None:
    tape.leaves(customer)
    tape.leaves(anna)


def test_blind_to_a_phone_is_told_when_it_is_dialled_and_once() -> None:
    tape = Tape()
    customer, anna = talking(tape)
    tape.sends(anna, "102")
    tape.events.append(tape.events[-1])
    assert of(tape.events) == []
    leave(tape, customer, anna)
    boris = tape.dials(customer, "PJSIP/102", "102")
    assert of(tape.events) == [("blind", "101", "102", None)]
    tape.hangs_up(anna)
    tape.state(boris, UP)
    tape.meet(boris, customer, room="two")
    tape.hangs_up(boris, customer)
    assert of(tape.events) == [("blind", "101", "102", None)]


def test_blind_to_a_menu_is_told_after_a_second() -> None:
    tape = Tape()
    customer, anna = talking(tape)
    tape.sends(anna, "500")
    leave(tape, customer, anna)
    assert of(tape.events) == []
    assert of(tape.events, Tick(tape.now + A_MINUTE)) == [("blind", "101", "500", None)]


def test_blind_to_the_parking_lot_is_told_as_parking() -> None:
    tape = Tape()
    customer, anna = talking(tape)
    tape.sends(anna, "700")
    tape.is_parked(customer, by="PJSIP/101")
    leave(tape, customer, anna)
    assert of(tape.events, Tick(tape.now + A_MINUTE)) == [("park", "101", "701", None)]


def test_the_customer_leaves_before_anything_more_is_heard() -> None:
    tape = Tape()
    customer, anna = talking(tape)
    tape.sends(anna, "500")
    leave(tape, customer, anna)
    tape.hangs_up(customer)
    assert of(tape.events) == [("blind", "101", "500", False)]


def test_a_redirect_to_several_is_told_when_it_is_known_who_took_the_call() -> None:
    """Asterisk sends no event for it: the dials tell, and several phones have no name together."""
    tape = Tape()
    customer, anna = talking(tape)
    leave(tape, customer, anna)
    tape.hangs_up(anna)
    tape.dials(customer, "PJSIP/102", "102")
    vera = tape.dials(customer, "PJSIP/103", "103")
    assert of(tape.events, Tick(tape.now + A_MINUTE)) == []
    tape.state(vera, UP)
    tape.meet(vera, customer, room="two")
    assert of(tape.events) == []
    assert of(tape.events, Tick(tape.now + A_MINUTE)) == [("blind", "101", "103", True)]


def consulted_in_vain(tape: Tape) -> tuple[Uniqueid, Uniqueid]:
    """101 asked 102 by a feature code, who said no; she and her customer talk again."""
    customer, anna = talking(tape)
    tape.leaves(anna)
    tape.meet(anna, room="asks")
    half = tape.channel("Local/102@office-1;2", RING, of=customer)
    boris = tape.dials(half, "PJSIP/102", "102")
    tape.dial_ends(half, boris, "BUSY")
    tape.hangs_up(boris, half, cause=17)
    tape.leaves(anna, "asks")
    tape.meet(anna)
    return customer, anna


def test_a_consultation_in_vain_says_so_and_a_later_transfer_does_not_take_its_place() -> None:
    tape = Tape()
    customer, anna = consulted_in_vain(tape)
    assert of(tape.events) == []
    tape.passes(A_MINUTE)
    tape.sends(anna, "103")
    leave(tape, customer, anna)
    vera = tape.dials(customer, "PJSIP/103", "103")
    tape.hangs_up(anna)
    tape.state(vera, UP)
    tape.meet(vera, customer, room="two")
    tape.hangs_up(vera, customer)
    facts = replay(Board("pbx"), tape.events)
    assert told(facts) == [("attended", "101", "102", False), ("blind", "101", "103", None)]
    [record] = [fact.record for fact in facts if isinstance(fact, CallEnded)]
    assert [(one.to, one.answered) for one in record.transfers] == [("102", False), ("103", True)]


def test_after_a_restart_the_record_keeps_it_and_nothing_is_told_again() -> None:
    tape = Tape()
    customer, anna = talking(tape)
    tape.sends(anna, "102")
    leave(tape, customer, anna)
    tape.hangs_up(anna)
    boris = tape.dials(customer, "PJSIP/102", "102")
    seen = len(tape.events)
    said = replay(Board("pbx"), tape.events)
    assert len(told(said)) == 1
    board, at = Board("pbx"), tape.passes()
    board.adopt(said)
    again = replay(board, [Connected(at, "11.0.0"), snapshot_after(tape.events, at)])
    tape.state(boris, UP)
    tape.meet(boris, customer, room="two")
    tape.hangs_up(boris, customer)
    again += replay(board, tape.events[seen:])
    assert [fact for fact in again if isinstance(fact, CallTransferred)] == []
    assert_transfers_told([*said, *again])
    [record] = [fact.record for fact in again if isinstance(fact, CallEnded)]
    assert [(one.kind, one.from_, one.to, one.answered) for one in record.transfers] == [("blind", "101", "102", True)]
