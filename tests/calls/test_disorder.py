"""Events of one instant come in any order, some are filtered away, some are lost: the core stays whole."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import groupby, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amibridge.ami.events import (
    AmiEvent,
    BridgeLeave,
    Connected,
    Hangup,
    HangupRequest,
    NewCallerid,
    Newchannel,
    Tick,
    VarSet,
)
from amibridge.ami.session import Reply, Session
from amibridge.calls.board import Board, replay
from amibridge.calls.facts import CallEnded
from amibridge.calls.record import CallRecord
from tests.calls.told import assert_holds_end, assert_transfers_told
from tests.calls.truth import events_of, read_bytes
from tests.corpus import TRACES, Trace

SHORT = [trace for trace in TRACES if trace.kind not in ("z3_load_readall", "y_callerid_formats")]
EVENTS = {str(trace): events_of(trace.path) for trace in SHORT}

EVERYDAY = [
    trace for trace in SHORT if trace.kind.partition("_")[0] in set("abcdefghijkm") | {"e2", "l1", "l2", "p1", "p2"}
]

INSTANT = timedelta(microseconds=400)
"""Asterisk's threads stamp what happens together within some hundred microseconds."""


LOOKED_AGAIN = timedelta(seconds=1.2)
"""A silence after which the board is asked for what it waits with."""


def records(events: Iterable[AmiEvent]) -> list[CallRecord]:
    facts = replay(Board("pbx"), events)
    assert_transfers_told(facts)
    assert_holds_end(facts)
    return [fact.record for fact in facts if isinstance(fact, CallEnded)]


def gist(record: CallRecord) -> tuple[object, ...]:
    return (
        record.call_id,
        record.direction,
        record.outcome,
        record.reason,
        record.external_number,
        record.line,
        record.rang,
        record.operators,
        record.hangup_by,
    )


def instants(events: Sequence[AmiEvent]) -> Iterator[list[AmiEvent]]:
    """Runs of events that follow one another within an instant. A channel is born before and dies after its rest."""
    marks: list[int] = [0]
    for before, after in pairwise(events):
        marks.append(marks[-1] + (after.at - before.at > INSTANT))
    for _, group in groupby(zip(marks, events, strict=True), key=lambda pair: pair[0]):
        yield [event for _, event in group]


@pytest.mark.parametrize("trace", EVERYDAY, ids=str)
def test_order_within_an_instant_does_not_matter(trace: Trace) -> None:
    """What Asterisk's threads race for: births first and deaths last, everything between in any order.

    All but the two BridgeLeave of an end: who leaves first is the one who hung up, in 70 of 70 recorded calls.
    """
    events = EVENTS[str(trace)]
    whole = [gist(record) for record in records(events)]
    for seed in range(40):
        chance = random.Random(seed)
        shuffled: list[AmiEvent] = []
        for group in instants(events):
            born = [event for event in group if isinstance(event, Newchannel | Connected)]
            dead = [event for event in group if isinstance(event, Hangup)]
            left = [event for event in group if isinstance(event, BridgeLeave)]
            rest = [event for event in group if not isinstance(event, Newchannel | Connected | Hangup | BridgeLeave)]
            chance.shuffle(rest)
            chance.shuffle(dead)
            shuffled += [*born, *rest, *left, *dead]
        assert [gist(record) for record in records(shuffled)] == whole, seed


@pytest.mark.parametrize("trace", SHORT, ids=str)
def test_a_minimal_filter_gives_the_same_record(trace: Trace) -> None:
    """An administrator's filter drops HangupRequest, NewCallerid and variables: only the recording is not known."""
    events = EVENTS[str(trace)]
    dropped = (HangupRequest, NewCallerid, VarSet)
    filtered = [event for event in events if not isinstance(event, dropped)]
    assert [gist(record) for record in records(filtered)] == [gist(record) for record in records(events)]


@pytest.mark.parametrize("trace", SHORT, ids=str)
def test_ticks_in_every_silence_change_nothing_but_when_it_is_told(trace: Trace) -> None:
    events = EVENTS[str(trace)]
    ticked: list[AmiEvent] = []
    for before, after in pairwise(events):
        ticked.append(before)
        if after.at - before.at > LOOKED_AGAIN:
            ticked.append(Tick(before.at + LOOKED_AGAIN))
    ticked.append(events[-1])
    assert len(ticked) > len(events)
    assert records(ticked) == records(events)
    assert sorted(fact.key for fact in replay(Board("pbx"), ticked)) == sorted(
        fact.key for fact in replay(Board("pbx"), events)
    )


@pytest.mark.parametrize("trace", SHORT, ids=str)
def test_the_same_bytes_in_any_pieces_give_the_same_record(trace: Trace) -> None:
    raw = read_bytes(trace.path)
    whole = records(EVENTS[str(trace)])
    for seed in range(3):
        chance = random.Random(seed)
        session, board, found = Session(), Board("pbx"), []
        start = 0
        while start < len(raw):
            end = start + chance.choice((1, 2, 7, 100, 1460, 65536))
            for received in session.receive_data(raw[start:end]):
                if not isinstance(received, Reply):
                    found += [f.record for f in board.apply(received) if isinstance(f, CallEnded)]
            start = end
        assert found == whole


@pytest.mark.slow
@settings(max_examples=300)
@given(trace=st.sampled_from(sorted(EVENTS)), seed=st.integers(0, 2**32), loss=st.floats(0, 0.6))
def test_loss_and_disorder_never_break_the_board(trace: str, seed: int, loss: float) -> None:
    """Any event may be lost, doubled or late: nothing raises, a call gets one verdict and no negative time."""
    chance = random.Random(seed)
    events = [event for event in EVENTS[trace] for _ in range(chance.choice((1, 1, 2))) if chance.random() >= loss]
    for _ in range(chance.randrange(20)):
        if len(events) > 1:
            at = chance.randrange(len(events) - 1)
            events[at], events[at + 1] = events[at + 1], events[at]
    found = records(events)
    assert len({record.call_id for record in found}) == len(found)
    assert all(record.waited >= timedelta(0) and record.talked >= timedelta(0) for record in found)
