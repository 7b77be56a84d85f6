"""Why a fact was said: the event that brought it about, and the rule that made a fact of it, in one sentence."""

from __future__ import annotations

from typing import assert_never

from amibridge.ami.events import (
    AmiEvent,
    AttendedTransfer,
    BlindTransfer,
    ChannelEvent,
    DialBegin,
    DialEnd,
    OriginateResponse,
    ParkedCall,
)
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
from amibridge.calls.record import CallRecord, Direction, Outcome, TransferKind

DIRECTIONS = {
    Direction.INCOMING: "a line of ours was called from outside",
    Direction.OUTGOING: "a line to the outside is dialled for one of ours",
    Direction.INTERNAL: "one of ours called another",
}


HANDOVERS = {
    TransferKind.BLIND: "{} sends the call to {}",
    TransferKind.ATTENDED: "{} asks {} and hands the call on",
    TransferKind.FORWARD: "the phone of {} forwards the call to {}",
    TransferKind.PICKUP: "the call that rings for {} is picked up by {}",
    TransferKind.PARK: "{} parks the call in {}",
}


def because(fact: AnyFact, event: AmiEvent) -> str:
    """Why *event* made the board say *fact*."""
    return f"{_told(event)}: {_rule(fact)}"


def _told(event: AmiEvent) -> str:
    """The event's name, and whom it is about."""
    name = type(event).__name__
    match event:
        case DialBegin() | DialEnd():
            return f"{name} of {event.dest_channel}"
        case ChannelEvent() | OriginateResponse():
            return f"{name} of {event.channel}"
        case BlindTransfer() | AttendedTransfer():
            return f"{name} by {event.transferer}"
        case ParkedCall():
            return f"{name} of {event.parkee}"
        case _:
            return name


def _rule(fact: AnyFact) -> str:
    match fact:
        case CallStarted():
            return DIRECTIONS[fact.brief.direction]
        case OperatorRang():
            return f"the phone of {fact.extension} rings for it"
        case OperatorStopped():
            return f"the phone of {fact.extension} is quiet without a conversation, {fact.cause.replace('_', ' ')}"
        case OperatorJoined():
            return f"{fact.extension} and the other party share a room"
        case OperatorLeft():
            return f"{fact.extension} and the other party no longer share a room"
        case CallAnswered():
            return f"for the first time two parties share a room, and {fact.extension} is one of them"
        case CustomerRang():
            return "the phone of the customer rings"
        case CallHeld():
            return f"{fact.extension} makes the other party wait"
        case CallResumed():
            return f"nobody waits for {fact.extension} any more"
        case CallTransferred():
            return _handover(fact)
        case RecordingStarted():
            return "Asterisk names the file it records to"
        case CallMerged():
            return f"it is a part of {fact.into}: one dials or talks with the other"
        case CallEnded():
            return _verdict(fact.record)
        case _ as never:
            assert_never(never)


def _handover(fact: CallTransferred) -> str:
    what = HANDOVERS[fact.way].format(fact.from_ or "somebody", fact.to or "somebody")
    return what if fact.answered is not False else f"{what}, and it came to nothing"


def _verdict(record: CallRecord) -> str:
    left = "everybody has left" if record.direction is Direction.INTERNAL else "the outside party has left"
    by = f", ended by the {record.hangup_by}" if record.hangup_by is not None else ""
    if record.outcome is Outcome.ANSWERED:
        return f"{left}, {', '.join(record.operators) or 'somebody'} talked{by}"
    why = f", {record.reason.replace('_', ' ')}" if record.reason else ""
    return f"{left}, nobody talked{why}{by}"
