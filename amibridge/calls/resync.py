"""After a silence: what an earlier run of us said of its live calls, and what a snapshot shows of the channels.

Laws: what a snapshot does not show has left, at the last moment we could see; what it shows and nobody knew came
unseen; both make the call's record an incomplete one, and nothing stays open for ever.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import assert_never

from amibridge.ami.events import ChannelEvent, ChannelSnapshot, ChannelState, CoreShowChannel, click_of
from amibridge.calls.facts import (
    AnyFact,
    CallAnswered,
    CallEnded,
    CallHeld,
    CallMerged,
    CallResumed,
    CallStarted,
    CallTransferred,
    CustomerRang,
    OperatorJoined,
    OperatorLeft,
    OperatorRang,
    OperatorStopped,
    RecordingStarted,
)
from amibridge.calls.handovers import note_joined
from amibridge.calls.holds import resumed_key
from amibridge.calls.model import Call, Handover, Leg, Presence, advance
from amibridge.calls.numbering import Numbering, Role
from amibridge.calls.record import CallId, Direction
from amibridge.calls.register import Register

UNDER_WAY = "first seen when it was already under way"

DIALLED = frozenset({"AppDial", "AppQueue"})
"""What `CoreShowChannels` names as the application of a channel that was dialled and executes nothing itself."""


def recall(facts: Sequence[AnyFact]) -> list[Call]:
    """The live calls that *facts* of an earlier run, oldest first, tell of."""
    calls: dict[CallId, Call] = {}
    for fact in facts:
        if isinstance(fact, CallStarted):
            calls[fact.call] = _begin_again(fact)
        if (call := calls.get(fact.call)) is not None:
            _recall_fact(call, fact)
    return list(calls.values())


def observe_snapshot(
    register: Register, numbering: Numbering, snapshot: ChannelSnapshot, left_at: datetime, facts: list[AnyFact]
) -> None:
    """Write the snapshot onto the legs: the missing left at *left_at*, the unknown get a seat."""
    alive = {channel.uniqueid for channel in snapshot.channels}
    for call in register.live():
        missing = [leg for leg in call.legs.values() if leg.gone_at is None and leg.uniqueid not in alive]
        for leg in missing:
            leg.gone_at = left_at
            register.move(leg, None)
        if missing:
            call.torn = True
            call.note("a part of it left unseen")
    for channel in sorted(snapshot.channels, key=_age_order):
        _observe_shown(register, numbering, channel, snapshot.at, facts)


def _observe_shown(
    register: Register, numbering: Numbering, channel: CoreShowChannel, at: datetime, facts: list[AnyFact]
) -> None:
    new = register.find(channel.uniqueid) is None
    event = ChannelEvent(at - channel.age, channel.channel, channel.uniqueid, channel.linkedid)
    call, leg = register.seat(event, facts)
    if new:
        leg.from_snapshot = True
        call.cast(leg, numbering.part_of(channel.channel, channel.caller_id_num))
        leg.exten = channel.exten
        leg.caller_id_num, leg.caller_id_name = channel.caller_id_num, channel.caller_id_name
        leg.placed = channel.application not in DIALLED and channel.state in (ChannelState.RING, ChannelState.UP)
        if leg.role is Role.TRUNK and not leg.placed:
            leg.dialled_number = channel.caller_id_num
        if not call.resumed:
            call.note(UNDER_WAY)
    advance(leg, channel.state, at)
    if leg.bridge != channel.bridge:
        leg.silent, leg.parked = False, None
    register.move(leg, channel.bridge)


def observe_birth(call: Call, leg: Leg, at: datetime) -> None:
    """The Newchannel of *leg*, which a snapshot had shown before: events come some ms later than lists. So nothing of
    the leg went unseen; nor of *call*, if that is true of all its legs."""
    call.legs[leg.uniqueid] = call.legs.pop(leg.uniqueid)  # in the order in which they were born
    leg.from_snapshot = leg.placed = False
    leg.began_at, leg.rang_at, leg.up_at, leg.dialled_number = at, None, None, None  # events will tell it exactly
    if leg.said is Presence.ASIDE and leg.joined_at is None:
        leg.said = Presence.UP
    if not call.resumed and not any(one.from_snapshot for one in call.legs.values()):
        call.began_at = min(one.began_at for one in call.legs.values())
        if UNDER_WAY in call.notes:
            call.notes.remove(UNDER_WAY)


def _begin_again(start: CallStarted) -> Call:
    brief = start.brief
    return Call(
        id=start.call,
        began_at=start.at,
        direction=brief.direction,
        asked_caller=brief.caller,
        click_to_call=click_of(start.call.partition(":")[2]),
        resumed=True,
        torn=True,
        notes=["amibridge was restarted during the call"],
    )


def _recall_fact(call: Call, fact: AnyFact) -> None:
    call.external_number, call.phone = fact.brief.external_number, fact.brief.phone
    call.line, call.caller_name = fact.brief.line, fact.brief.caller_name
    match fact:
        case OperatorRang() if call.direction is Direction.OUTGOING:
            pass  # his own phone
        case CustomerRang():
            call.past_rang_at = call.past_rang_at or fact.at
        case OperatorRang():
            call.past_rang_at = call.past_rang_at or fact.at
            if fact.extension not in call.past_rang:
                call.past_rang.append(fact.extension)
        case OperatorJoined():
            call.talk_ended_at = None
            placed_it = call.direction is Direction.INTERNAL and fact.extension == call.asked_caller
            if not placed_it and call.operators[-1:] != [fact.extension]:
                call.operators.append(fact.extension)
            note_joined(call, fact.extension, fact.at)
        case OperatorLeft():
            call.talk_ended_at = fact.at
        case CallAnswered():
            call.answered_at = fact.at
        case CallHeld():
            call.past_held = (*call.past_held, fact)
        case CallResumed():
            call.past_held = tuple(held for held in call.past_held if resumed_key(held) != fact.key)
        case CallTransferred():
            known = fact.answered is not None
            call.handovers.append(
                Handover(fact.way, fact.from_, fact.to, fact.at, False, fact.answered is True, known, settled=True)
            )
            call.handovers_told += 1
        case RecordingStarted():
            call.recordings.append(fact.path)
        case CallStarted() | OperatorStopped() | CallMerged() | CallEnded():
            pass
        case _ as never:
            assert_never(never)


def _age_order(channel: CoreShowChannel) -> tuple[int, str]:
    """Oldest first: a list's own order is chance, a Uniqueid's counter is not."""
    serial = channel.uniqueid.rpartition(".")[2]
    return (int(serial) if re.fullmatch(r"[0-9]{1,18}", serial) else 0, channel.uniqueid)
