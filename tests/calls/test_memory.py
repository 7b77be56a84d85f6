"""A board that runs for months: what is over is forgotten, and an event costs the same however many calls live."""

from __future__ import annotations

import itertools
import sys
from datetime import timedelta
from types import FrameType
from typing import Any

import pytest

from amibridge.ami.events import AmiEvent, BridgeEnter, Hangup, Newchannel, Tick
from amibridge.ami.session import Reply, Session
from amibridge.calls.board import Board, replay
from amibridge.calls.facts import CallEnded
from amibridge.calls.register import LATE, LINGERING
from amibridge.sandbox.library import TRACES
from amibridge.sandbox.pbx_score import Play, read_score

SCORE = read_score(TRACES / "asterisk22" / "a_inbound_answered_caller_hangup.ami")
SECOND = timedelta(seconds=1)


def call(number: int, begins: int) -> list[AmiEvent]:
    """The recorded call once more, with ids of its own, *begins* seconds after the recorded one."""
    ids = {b"%d.%d" % one: b"%d.%d" % (one[0], one[1] + 1000 * number) for one in SCORE.ids}
    play, session = Play(begins, number + 1, ids), Session()
    raw = b"".join(play.render(note.raw) for note in SCORE.notes)
    return [one for one in session.receive_data(raw) if not isinstance(one, Reply)]


def test_calls_that_are_over_are_forgotten_while_others_go_on() -> None:
    board = Board("pbx")
    weights = set()
    for number in range(20):
        facts = replay(board, call(number, number * 30))
        assert sum(isinstance(fact, CallEnded) for fact in facts) == 1
        weights.add(board.remembered())
    assert len(weights) == 1, "it remembers the last one and no other"


def test_late_events_find_their_call_and_later_ones_cannot_be_told_from_new() -> None:
    board, events = Board("pbx"), call(0, 0)
    replay(board, events)
    ended = events[-1].at
    assert board.apply(Tick(ended + LATE - SECOND)) == []
    assert board.remembered() > 0
    board.apply(Tick(ended + LATE + SECOND))
    assert board.remembered() == 0


def test_a_clock_that_was_set_back_stops_no_forgetting() -> None:
    """One call a year ahead of all that follow."""
    board = Board("pbx")
    replay(board, call(1, 365 * 86_400))
    weights = set()
    for number in range(2, 20):
        replay(board, call(number, number * 30))
        weights.add(board.remembered())
    assert len(weights) == 1


def test_a_call_with_a_channel_that_never_hung_up_is_remembered_longer() -> None:
    events = call(0, 0)
    operator = next(event for event in reversed(events) if isinstance(event, Newchannel))
    lost = [event for event in events if not (isinstance(event, Hangup) and event.uniqueid == operator.uniqueid)]
    board = Board("pbx")
    assert any(isinstance(fact, CallEnded) for fact in replay(board, lost))
    ended = events[-1].at
    board.apply(Tick(ended + LINGERING - SECOND))
    assert board.remembered() > 0
    board.apply(Tick(ended + LINGERING + SECOND))
    assert board.remembered() == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Newchannel, BridgeEnter, Hangup])
def test_an_event_costs_the_same_however_many_calls_live(kind: type[AmiEvent]) -> None:
    costs = [steps(crowd, kind) for crowd in (1, 40)]
    assert costs[0] == costs[1] > 0


def steps(crowd: int, kind: type[AmiEvent]) -> int:
    """How many functions are entered for the last event of *kind* in one call while *crowd* others talk."""
    board = Board("pbx")
    for number in range(1, crowd + 1):
        replay(board, itertools.takewhile(lambda event: not isinstance(event, Hangup), call(number, 0)))
    assert len(board.live_calls()) == crowd
    events = call(0, 1)
    place = max(place for place, event in enumerate(events) if isinstance(event, kind))
    replay(board, events[:place])
    entered = 0

    def count(frame: FrameType, what: str, _: Any) -> None:
        nonlocal entered
        entered += what == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        board.apply(events[place])
    finally:
        sys.setprofile(before)
    return entered
