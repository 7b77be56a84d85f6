"""A board that runs for months: what is over is forgotten, and an event costs the same however many calls live."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

import pytest

from amibridge.ami.events import (
    RECORDING_VARIABLE,
    AmiEvent,
    BridgeEnter,
    ChannelState,
    Hangup,
    Linkedid,
    Newchannel,
    Tick,
    Uniqueid,
    VarSet,
)
from amibridge.ami.session import Reply, Session
from amibridge.calls.board import Board, replay
from amibridge.calls.facts import AnyFact, CallEnded, CallStarted
from amibridge.calls.model import MOST_OF_A_KIND
from amibridge.calls.register import LATE, LINGERING
from amibridge.sandbox.library import TRACES
from amibridge.sandbox.pbx_score import Play, read_score

SCORE = read_score(TRACES / "asterisk22" / "a_inbound_answered_caller_hangup.ami")
SECOND = timedelta(seconds=1)
BEGAN = datetime(2026, 11, 25, 9, tzinfo=UTC)


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


class TestPbxThatEndsNothing:
    """A filter without Hangup, a broken proxy, or somebody who means harm."""

    def flood(self, board: Board, calls: int, *, same_call: bool = False) -> Iterator[AnyFact]:
        for number in range(calls):
            uniqueid = f"1.{number}"
            linkedid = Linkedid("1.0" if same_call else uniqueid)
            at = BEGAN + number * timedelta(milliseconds=1)
            event = Newchannel(
                at, f"PJSIP/trunk-{number:08x}", Uniqueid(uniqueid), linkedid, ChannelState.RING, "79161234567", None,
                "from-trunk", "74951110001",
            )  # fmt: skip
            yield from board.apply(event)

    def test_does_not_fill_the_memory_and_every_call_gets_a_verdict(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("amibridge.calls.register.MOST_REMEMBERED", 1000)
        board = Board("pbx")
        facts = list(self.flood(board, 5000))
        assert board.remembered() <= 1000
        started = [fact.call for fact in facts if isinstance(fact, CallStarted)]
        ended = {fact.call: fact.record for fact in facts if isinstance(fact, CallEnded)}
        living = {record.call_id for record in board.live_calls()}
        assert len(started) == len(set(started)) == 5000
        assert set(started) - living == ended.keys(), "the oldest go first, each with a verdict"
        assert all(not record.complete for record in ended.values())
        assert started[-400:] == [record.call_id for record in board.live_calls()][-400:]

    def test_nor_does_one_call_of_endless_channels(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("amibridge.calls.register.MOST_REMEMBERED", 300)
        board = Board("pbx")
        [*_, last] = self.flood(board, 1000, same_call=True)
        assert board.remembered() <= 300
        assert last.at < BEGAN + timedelta(seconds=1)

    def test_nor_do_its_recordings(self) -> None:
        board = Board("pbx")
        assert len(list(self.flood(board, 1))) == 1
        ids = ("PJSIP/trunk-00000000", Uniqueid("1.0"), Linkedid("1.0"))
        facts = [
            fact
            for number in range(2 * MOST_OF_A_KIND)
            for fact in board.apply(VarSet(BEGAN, *ids, RECORDING_VARIABLE, f"/monitor/{number}.wav"))
        ]
        assert len(facts) == MOST_OF_A_KIND


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


def test_a_uniqueid_that_is_used_again_is_said() -> None:
    """A PBX that starts anew counts from nought, and its clock may have been set back."""
    board, events = Board("pbx"), call(0, 0)
    replay(board, events)
    assert replay(board, [event for event in events if isinstance(event, Newchannel)]) == []
    assert board.take_anomalies() == [], "what is only said twice is no other channel"
    again = next(event for event in events if isinstance(event, Newchannel))
    replay(board, [replace(again, at=again.at + SECOND)])
    [anomaly] = board.take_anomalies()
    assert anomaly.call == f"pbx:{again.uniqueid}"
    assert again.channel in anomaly.text
