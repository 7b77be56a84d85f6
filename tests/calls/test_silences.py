"""The link falls silent at every point of every trace: nothing stays open, nothing is said twice, nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from amibridge.ami.events import AmiEvent, Connected, Disconnected, Newchannel, Tick
from amibridge.calls.board import Board, replay
from amibridge.calls.facts import AnyFact, CallEnded, CallMerged, OperatorJoined, OperatorRang, OperatorStopped
from amibridge.calls.record import Outcome
from amibridge.calls.telling import AnomalyKind
from tests.calls.told import assert_holds_end, assert_transfers_told
from tests.calls.truth import events_of
from tests.calls.world import snapshot_after
from tests.corpus import TRACES, Trace

SHORT = [t for t in TRACES if t.kind not in ("z3_load_readall", "y_callerid_formats", "w1_crash_kill9_midcall")]
CUT = [t for t in SHORT if t.kind != "x_ami_reconnect_midcall"]


def verdicts(facts: Sequence[AnyFact]) -> list[tuple[str, str | None, str]]:
    return [(f.call, f.record.external_number, str(f.record.direction)) for f in facts if isinstance(f, CallEnded)]


def assert_no_riddle(board: Board) -> None:
    assert board.take_anomalies() == []


def assert_sound(board: Board, facts: Sequence[AnyFact]) -> None:
    """What holds whatever was seen: one verdict per call, every popup that opened can close, nothing left open."""
    ended = [fact for fact in facts if isinstance(fact, CallEnded)]
    assert len({fact.call for fact in ended}) == len(ended)
    assert_transfers_told(facts)
    assert_holds_end(facts)
    assert board.live_calls() == []
    merged = {fact.call: fact.into for fact in facts if isinstance(fact, CallMerged)}
    for fact in facts:
        if isinstance(fact, OperatorRang) and fact.extension != fact.brief.caller:
            home = merged.get(fact.call, fact.call)
            assert any(
                isinstance(other, OperatorStopped | OperatorJoined) and other.extension == fact.extension
                for other in facts
                if merged.get(other.call, other.call) == home
            )


@pytest.mark.parametrize("trace", CUT, ids=str)
def test_connected_anew_after_any_event(trace: Trace) -> None:
    """The link breaks after event k and is back at once: same calls, same outcome, known to be incomplete."""
    events = events_of(trace.path)
    whole = [fact.record for fact in replay(Board("pbx"), events) if isinstance(fact, CallEnded)]
    for k in range(1, len(events)):
        board = Board("pbx")
        at = events[k - 1].at
        seen = [*events[:k], Disconnected(at), Connected(at, "11.0.0"), snapshot_after(events[:k], at), *events[k:]]
        facts = replay(board, seen)
        assert_sound(board, facts)
        assert_no_riddle(board)
        records = [fact.record for fact in facts if isinstance(fact, CallEnded)]
        assert [(r.call_id, r.direction, r.external_number, r.operators) for r in records] == [
            (r.call_id, r.direction, r.external_number, r.operators) for r in whole
        ], k


@pytest.mark.parametrize("trace", CUT, ids=str)
def test_all_lost_after_any_event(trace: Trace) -> None:
    """The PBX dies after event k and comes back empty: every call known is settled as incomplete, at the last sight."""
    events = events_of(trace.path)
    for k in range(1, len(events)):
        board = Board("pbx")
        at, later = events[k - 1].at, events[-1].at
        facts = replay(board, [*events[:k], Disconnected(at), Connected(later, "11.0.0"), snapshot_after([], later)])
        assert_sound(board, facts)
        assert_no_riddle(board)
        for fact in facts:
            if isinstance(fact, CallEnded) and fact.record.ended_at == at:
                assert fact.record.complete or fact.record.notes == ()


@pytest.mark.parametrize("trace", CUT, ids=str)
def test_began_to_look_after_any_event(trace: Trace) -> None:
    """We start when event k has passed: what a snapshot shows is carried to its end without inventing a past."""
    events = events_of(trace.path)
    for k in range(1, len(events)):
        board = Board("pbx")
        facts = replay(
            board, [Connected(events[k].at, "11.0.0"), snapshot_after(events[:k], events[k].at), *events[k:]]
        )
        assert_sound(board, facts)
        riddles = board.take_anomalies()
        assert {one.kind for one in riddles} <= {AnomalyKind.DIRECTION}
        assert len({one.call for one in riddles} - {fact.call for fact in facts}) == len(riddles)


@pytest.mark.parametrize("trace", CUT, ids=str)
def test_the_list_was_quicker_than_the_events(trace: Trace) -> None:
    """A snapshot knows already what events will say in a moment: what begins before our ears is whole."""
    events = events_of(trace.path)
    whole = [fact.record for fact in replay(Board("pbx"), events) if isinstance(fact, CallEnded)]
    first = next(n for n, event in enumerate(events) if isinstance(event, Newchannel))
    soon = sum(event.at - events[first].at < timedelta(milliseconds=50) for event in events[first:])
    for k in range(first + 1, first + 1 + soon):
        board = Board("pbx")
        facts = replay(board, [*events[:first], snapshot_after(events[:k], events[k - 1].at), *events[first:]])
        assert_sound(board, facts)
        assert_no_riddle(board)
        assert [fact.record for fact in facts if isinstance(fact, CallEnded)] == whole, k


@pytest.mark.parametrize("trace", CUT, ids=str)
def test_restarted_after_any_event(trace: Trace) -> None:
    """We die after event k; our next run reads what the first had said, and a snapshot: one verdict, same parties.

    The ledger keeps the first of two facts with one key, so what both runs said counts once.
    """
    events = events_of(trace.path)
    whole = [fact.record for fact in replay(Board("pbx"), events) if isinstance(fact, CallEnded)]
    for k in range(1, len(events)):
        said = replay(Board("pbx"), events[:k])
        over = {fact.call for fact in said if isinstance(fact, CallEnded | CallMerged)}
        board = Board("pbx")
        board.adopt([fact for fact in said if fact.call not in over])
        at = events[k].at
        facts = replay(board, [Connected(at, "11.0.0"), snapshot_after(events[:k], at), *events[k:]])
        recorded = list({fact.key: fact for fact in reversed([*said, *facts])}.values())[::-1]
        assert_sound(board, recorded)
        told = {fact.call for fact in recorded}
        assert not {one.call for one in board.take_anomalies()} & told, "what was told was no riddle"
        records = [fact.record for fact in recorded if isinstance(fact, CallEnded)]
        for record in records:
            twin = next((other for other in whole if other.call_id == record.call_id), None)
            assert twin is not None, (k, record.call_id)
            if said:
                assert record.external_number == twin.external_number, k
                assert record.direction == twin.direction
            if twin.outcome is not Outcome.ANSWERED:
                assert record.outcome is not Outcome.ANSWERED


@pytest.mark.parametrize("trace", SHORT, ids=str)
def test_late_and_doubled_events_change_nothing(trace: Trace) -> None:
    events = events_of(trace.path)
    once = replay(Board("pbx"), events)
    doubled: list[AmiEvent] = [event for event in events for _ in range(2)]
    board = Board("pbx")
    twice = replay(board, doubled)
    assert verdicts(twice) == verdicts(once)
    assert replay(board, [event for event in events if not isinstance(event, Connected)]) == []


def test_the_dead_are_forgotten_after_a_quarter_of_an_hour() -> None:
    trace = next(trace for trace in TRACES if trace.kind == "h_ringgroup_102_answers")
    events = events_of(trace.path)
    board = Board("pbx")
    replay(board, events)
    board.apply(Tick(datetime.fromtimestamp(events[-1].at.timestamp() + 901, events[-1].at.tzinfo)))
    assert board.live_calls() == []
    assert board.remembered() == 0
