"""Who waits for somebody, as the board shows it, and what becomes of a phone that is rung to fetch him."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TypeVar

import pytest

from amibridge.ami.events import (
    CLICK,
    AmiEvent,
    ChannelState,
    DialBegin,
    Hangup,
    Linkedid,
    Newchannel,
    Newstate,
    OriginateResponse,
    ParkedCall,
    Uniqueid,
    click_of,
    is_asked_for,
    is_fetch,
)
from amibridge.calls.board import Board, replay
from amibridge.calls.conversations import Conversation
from amibridge.calls.record import Extension
from amibridge.calls.waiting import Fate
from tests.calls.truth import events_of
from tests.corpus import TRACES

OWN = Uniqueid("1795491044.48291304771")
AT = datetime(2026, 11, 30, 9, tzinfo=UTC)
RUNG: list[AmiEvent] = [
    Newchannel(AT, "PJSIP/103-00000000", OWN, Linkedid(OWN), ChannelState.DOWN, "103", None, "from-internal", "s"),
    DialBegin(AT, None, None, "PJSIP/103-00000000", OWN, Linkedid(OWN), "103", "103", "79161234567"),
    Newstate(AT, "PJSIP/103-00000000", OWN, Linkedid(OWN), ChannelState.RINGING),
]
LEFT = Hangup(AT, "PJSIP/103-00000000", OWN, Linkedid(OWN), 17)


def failed(**changes: object) -> OriginateResponse:
    event = OriginateResponse(AT, f"{CLICK}{OWN}", False, "PJSIP/103", OWN, "", "103", 5)
    return replace(event, **changes)  # type: ignore[arg-type]


def recorded(trace: str) -> list[AmiEvent]:
    [found] = [one for one in TRACES if (one.stack, one.kind) == ("asterisk22", trace)]
    return list(events_of(found.path))


Seen = TypeVar("Seen")


def seen(events: list[AmiEvent], look: Callable[[Board], Seen]) -> list[Seen]:
    """What *look* finds after each event, each time that changes."""
    board, found = Board("pbx"), []
    for event in events:
        board.apply(event)
        found.append(look(board))
    return [moment for moment, _ in groupby(found)]


@pytest.mark.parametrize(
    "events",
    [
        [*RUNG, LEFT, failed()],
        [*RUNG, failed(), LEFT],
        [failed()],
        [failed(channel="Local/103@from-internal/n")],
        [failed(channel="PJSIP/anna")],
        [*RUNG, Newstate(AT, "PJSIP/103-00000000", OWN, Linkedid(OWN), ChannelState.UP), LEFT],
        [*RUNG, failed(success=True, reason=4), LEFT],
    ],
)
def test_a_phone_that_fetched_nobody_is_no_call(events: list[AmiEvent]) -> None:
    board = Board("pbx1")
    assert replay(board, events) == []
    assert board.take_anomalies() == []
    assert board.live_calls() == []
    assert board.fate(OWN) in (Fate.GONE, Fate.LEFT)


def test_how_far_it_has_come_is_seen() -> None:
    up = Newstate(AT, "PJSIP/103-00000000", OWN, Linkedid(OWN), ChannelState.UP)
    assert Board("pbx1").fate(OWN) is Fate.UNSEEN
    assert seen([*RUNG, up, LEFT], lambda board: board.fate(OWN)) == [Fate.RINGS, Fate.TAKEN, Fate.LEFT]
    assert seen([*RUNG, LEFT], lambda board: board.fate(OWN)) == [Fate.RINGS, Fate.GONE]


def test_it_rings_for_nobody() -> None:
    """Whoever fetches cannot be fetched from."""
    assert seen(RUNG, lambda board: board.ringing(Extension("103"))) == [[]]


@pytest.mark.parametrize("counter", ["7", "2147483647", "01234567890", "482913047715", "", "4829130477x", "٤" * 11])
def test_other_ids_fetch_nobody(counter: str) -> None:
    assert not is_fetch(f"1795491044.{counter}")


def test_ids_of_ours_are_told_apart() -> None:
    click = Uniqueid("1795491044.482913047715")
    assert (is_fetch(OWN), click_of(OWN)) == (True, None)
    assert (is_fetch(click), click_of(click)) == (False, f"{CLICK}{click}")
    assert is_asked_for(failed())
    assert is_asked_for(failed(action_id=f"{CLICK}{click}", uniqueid=click))
    assert not is_asked_for(failed(action_id="a/1"))
    assert not is_asked_for(failed(uniqueid=None))
    assert not is_asked_for(failed(uniqueid=Uniqueid("1795491044.7"), action_id=f"{CLICK}1795491044.7"))


def test_a_phone_rings_from_its_ringing_until_it_is_taken() -> None:
    events = recorded("a_inbound_answered_caller_hangup")
    [none, [one], after] = seen(events, lambda board: board.ringing(Extension("101")))
    assert (none, after) == ([], [])
    assert one.channel.startswith("PJSIP/101-")
    assert (one.number or "").isdecimal()
    assert seen(events, lambda board: board.ringing(Extension("102"))) == [[]]


def test_with_whom_he_talks_is_seen_and_in_a_consultation_nobody_is() -> None:
    def others(board: Board) -> list[tuple[bool, bool, bool]]:
        talks: list[Conversation] = board.conversations(Extension("101"))
        return [(one.other is not None, one.beside, one.consulting) for one in talks]

    alone = seen(recorded("a_inbound_answered_caller_hangup"), others)
    assert alone == [[], [(True, True, False)], []]
    asking = seen(recorded("o2_attended_feature_code"), others)
    assert asking == [[], [(True, True, False)], [], [(False, False, True)], []]


def test_who_is_parked_is_seen_until_he_is_fetched() -> None:
    events = [
        replace(event, lot="default", patience=timedelta(seconds=45)) if isinstance(event, ParkedCall) else event
        for event in recorded("s1_park_retrieve")
    ]
    [none, [one], after] = seen(events, Board.parked)
    assert (none, after) == ([], [])
    [told] = [event for event in events if isinstance(event, ParkedCall)]
    assert (one.party, one.lot, one.space) == (told.parkee, "default", told.space)
    assert one.until == told.at + timedelta(seconds=45)


def test_who_is_parked_is_told_again_after_a_silence_and_not_parked_twice() -> None:
    """By the list that is asked for with each new link."""
    events = recorded("s1_park_retrieve")
    [told] = [event for event in events if isinstance(event, ParkedCall)]
    board = Board("pbx")
    upto = events.index(told) + 1
    replay(board, events[:upto])
    board.apply(told)
    [one] = board.parked()
    [record] = board.live_calls()
    assert (one.party, [transfer.kind for transfer in record.transfers]) == (told.parkee, ["park"])
