"""From a call in memory to what is told about it: the brief on every fact, the record at its end."""

from __future__ import annotations

from datetime import datetime, timedelta

from amibridge.calls.facts import CallBrief, StopCause
from amibridge.calls.handovers import transfers_of
from amibridge.calls.model import Call, Leg
from amibridge.calls.phones import shown
from amibridge.calls.record import Attempt, CallRecord, Direction, Extension
from amibridge.calls.verdict import judge, stop_of


def brief_of(call: Call) -> CallBrief:
    """Who is on the call, as far as known. Raises ValueError while its direction is unknown."""
    if call.direction is None:
        raise ValueError(f"{call.id}: direction unknown")
    return CallBrief(
        direction=call.direction,
        external_number=call.external_number,
        phone=call.phone,
        caller_name=_caller_name(call),
        line=call.line,
        caller=_caller(call),
    )


def record_of(call: Call) -> CallRecord:
    """The call record; a call still open has no outcome and no end. Raises ValueError without a direction."""
    brief = brief_of(call)
    verdict = judge(call) if call.ended_at is not None else None
    answered = call.answered_at is not None
    until = call.answered_at or call.ended_at or call.began_at
    return CallRecord(
        call_id=call.id,
        direction=brief.direction,
        outcome=None if verdict is None else verdict.outcome,
        reason=None if verdict is None else verdict.reason,
        external_number=brief.external_number,
        phone=brief.phone,
        caller_name=brief.caller_name,
        line=brief.line,
        queue=call.queue,
        rang=_rang(call),
        operators=tuple(call.operators),
        caller=brief.caller,
        started_at=call.began_at,
        rang_at=_rang_at(call),
        answered_at=call.answered_at,
        ended_at=call.ended_at,
        waited=max(timedelta(0), until - call.began_at),
        talked=_talked(call),
        hangup_by=None if verdict is None else verdict.hangup_by,
        transfers=transfers_of(call),
        recordings=tuple(call.recordings) if answered else (),
        click_to_call=call.click_to_call,
        complete=call.complete,
        notes=tuple(call.notes),
        attempts=tuple(_attempt(call, leg) for leg in call.callees() if leg.rang_at or leg.joined_at or leg.dialled),
    )


def _caller_name(call: Call) -> str | None:
    if call.direction is Direction.OUTGOING:
        return call.caller_name
    leg = call.customer if call.direction is Direction.INCOMING else call.caller
    return call.caller_name if leg is None else shown(leg.caller_id_name) or call.caller_name


def _caller(call: Call) -> Extension | None:
    if call.caller is not None:
        return call.extension_of(call.caller)
    return call.asked_caller


def _rang(call: Call) -> tuple[Extension, ...]:
    ringing = sorted(
        (leg.rang_at, at, leg.extension)
        for at, leg in enumerate(call.callees())
        if leg.rang_at is not None and leg.extension is not None
    )
    return tuple(dict.fromkeys([*call.past_rang, *(extension for _, _, extension in ringing)]))


def _rang_at(call: Call) -> datetime | None:
    if call.direction is Direction.OUTGOING:
        legs = [leg for leg in call.legs.values() if call.is_customer_side(leg)]
    else:
        legs = call.callees()
    return min((at for at in (call.past_rang_at, *(leg.rang_at for leg in legs)) if at is not None), default=None)


def _talked(call: Call) -> timedelta:
    if call.answered_at is None:
        return timedelta(0)
    until = call.talk_ended_at or call.ended_at or call.answered_at
    return max(timedelta(0), until - call.answered_at)


def _attempt(call: Call, leg: Leg) -> Attempt:
    outcome = "answered" if leg.joined_at is not None else str(stop_of(call, leg))
    if outcome == StopCause.CALLER_LEFT and call.ended_at is None:
        outcome = "ringing"
    return Attempt(call.extension_of(leg), leg.rang_at, leg.joined_at, leg.left_at, outcome)
