"""From what changed to what is said: every leg and the call itself compared with what we last said of them.

Laws: the tables of `edges` decide which change is which fact; what they do not list is an anomaly; a call is answered
once and ends once, and when it ends every phone that still rings for it has stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from amibridge.calls.edges import CALL_EDGES, CALLEE_EDGES, CALLER_EDGES, Edge
from amibridge.calls.facts import (
    AnyFact,
    CallAnswered,
    CallEnded,
    CallStarted,
    CallTransferred,
    CustomerRang,
    FactKey,
    OperatorJoined,
    OperatorLeft,
    OperatorRang,
    OperatorStopped,
    RecordingStarted,
)
from amibridge.calls.handovers import note_joined, note_talk_ended, outcome_of, settled_handovers
from amibridge.calls.holds import tell_holds
from amibridge.calls.model import MOST_OF_A_KIND, Call, Leg, Phase, Presence, presence_of
from amibridge.calls.numbering import Role
from amibridge.calls.record import CallId, Direction
from amibridge.calls.summary import brief_of, record_of
from amibridge.calls.verdict import stop_of

# By names of our own, as in `model`: each of these is asked for many times a call.
_PLUMBING = Role.PLUMBING
_TALKING, _RINGING, _UP, _GONE = Presence.TALKING, Presence.RINGING, Presence.UP, Presence.GONE
_RANG, _STOPPED, _JOINED, _LEFT, _ANSWERED, _ENDED = Edge


class AnomalyKind(StrEnum):
    CHANGE = "change"
    DIRECTION = "direction"


@dataclass(frozen=True, slots=True)
class Anomaly:
    """What we do not understand, counted and shown, never raised: a change that the tables do not know, or a call whose
    direction nothing told, once at its end."""

    at: datetime
    call: CallId
    text: str
    kind: AnomalyKind = AnomalyKind.CHANGE


def tell_started(call: Call, at: datetime, facts: list[AnyFact]) -> None:
    """The direction of *call* has just become known."""
    facts.append(CallStarted(FactKey(f"call.started:{call.id}"), call.id, at, brief_of(call)))
    for path in call.recordings:
        tell_recording(call, path, at, facts)


def tell_recording(call: Call, path: str, at: datetime, facts: list[AnyFact]) -> None:
    key = FactKey(f"recording.started:{call.id}:{path}")
    facts.append(RecordingStarted(key, call.id, at, brief_of(call), path=path))


def tell_changes(call: Call, at: datetime, facts: list[AnyFact]) -> list[Anomaly]:
    """Say what changed since we last spoke of *call*, whose direction is known."""
    anomalies: list[Anomaly] = []
    talking = call.talking_rooms()
    for leg in call.legs.values():
        if leg.role is _PLUMBING:
            continue
        before, after = leg.said, presence_of(leg, talking.get(leg.uniqueid, False))
        if before is after:
            continue
        leg.said = after
        if call.is_customer_side(leg):
            if after is _TALKING:
                leg.joined_at = leg.joined_at or at
            elif after is _RINGING:
                facts.append(CustomerRang(FactKey(f"customer.rang:{leg.uniqueid}"), call.id, at, brief_of(call)))
            continue
        table = CALLER_EDGES if leg is call.caller or leg.placed else CALLEE_EDGES
        if (before, after) in table:
            _tell_leg(call, leg, table[before, after], at, facts)
        else:
            anomalies.append(Anomaly(at, call.id, f"channel {leg.uniqueid} from {before} to {after}"))
    before_phase, phase = call.said, call.phase()
    if before_phase is not phase:
        call.said = phase
        if (before_phase, phase) in CALL_EDGES:
            _tell_phase(call, before_phase, CALL_EDGES[before_phase, phase], at, facts)
        else:
            anomalies.append(Anomaly(at, call.id, f"call from {before_phase} to {phase}"))
    if call.holders and call.ended_at is None:
        tell_holds(call, at, facts)
    if call.handovers and len(call.handovers) > call.handovers_told:
        _tell_handovers(call, at, facts)
    return anomalies


def _tell_handovers(call: Call, at: datetime, facts: list[AnyFact]) -> None:
    for one in settled_handovers(call, at):
        key = FactKey(f"call.transferred:{call.id}:{one.kind}:{one.from_}:{one.to}:{one.at.isoformat()}")
        answered = outcome_of(call, one, at)
        facts.append(CallTransferred(key, call.id, one.at, brief_of(call), one.kind, one.from_, one.to, answered))


def _tell_leg(call: Call, leg: Leg, edge: Edge | None, at: datetime, facts: list[AnyFact]) -> None:
    if edge is None:
        return
    who, brief = call.extension_of(leg), brief_of(call)
    if edge is _RANG:
        facts.append(OperatorRang(FactKey(f"operator.rang:{leg.uniqueid}"), call.id, at, brief, extension=who))
    elif edge is _STOPPED:
        key = FactKey(f"operator.stopped:{leg.uniqueid}")
        facts.append(OperatorStopped(key, call.id, at, brief, extension=who, cause=stop_of(call, leg)))
    elif edge is _JOINED:
        leg.joined_at, leg.left_at = leg.joined_at or at, None
        call.hangup_leg = call.leaver = None
        takes_the_call = call.direction is not Direction.INTERNAL or leg is not call.caller
        if takes_the_call and call.operators[-1:] != [who] and len(call.operators) < MOST_OF_A_KIND:
            call.operators.append(who)
        note_joined(call, who, at)
        key = FactKey(f"operator.joined:{_seat(call, leg)}:{at.isoformat()}")
        facts.append(OperatorJoined(key, call.id, at, brief, extension=who))
    elif edge is _LEFT:
        leg.left_at = at
        key = FactKey(f"operator.left:{_seat(call, leg)}:{at.isoformat()}")
        facts.append(OperatorLeft(key, call.id, at, brief, extension=who))


def _seat(call: Call, leg: Leg) -> str:
    return f"{leg.uniqueid}:{call.id}" if leg.guest else leg.uniqueid


def _tell_phase(call: Call, before: Phase, edge: Edge | None, at: datetime, facts: list[AnyFact]) -> None:
    if before is Phase.TALKING:
        call.talk_ended_at = at
        note_talk_ended(call, at)
    if edge is _ANSWERED:
        call.talk_ended_at = None
        if call.answered_at is None and call.operators:
            call.answered_at = at
            key = FactKey(f"call.answered:{call.id}")
            facts.append(CallAnswered(key, call.id, at, brief_of(call), extension=call.operators[-1]))
    elif edge is _ENDED:
        _tell_end(call, at, facts)


def _tell_end(call: Call, at: datetime, facts: list[AnyFact]) -> None:
    left_at = call.customer_left_at() if call.direction is Direction.INCOMING else None
    call.ended_at = left_at or at
    for leg in call.callees():
        if leg.said in (_RINGING, _UP) and not leg.placed:
            leg.said = _GONE
            _tell_leg(call, leg, _STOPPED, at, facts)
    _tell_handovers(call, at, facts)
    key = FactKey(f"call.ended:{call.id}")
    facts.append(CallEnded(key, call.id, call.ended_at, brief_of(call), record=record_of(call)))
