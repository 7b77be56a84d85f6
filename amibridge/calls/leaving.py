"""Who wants a call to end: the first to ask for it since somebody last joined, or to leave where a filter hides that.

Law: only the wish of the customer, or of whom the conversation needs, ends it.
"""

from __future__ import annotations

from amibridge.ami.events import HangupRequest
from amibridge.calls.model import Call, Leg, Presence
from amibridge.calls.record import Direction
from amibridge.calls.verdict import CAUSE_STOPS


def note_hangup_request(call: Call, leg: Leg, event: HangupRequest) -> None:
    leg.asked_at = leg.asked_at or event.at
    if call.hangup_leg is None and _may_end(call, leg) and not _is_echo(call, leg, event):
        call.hangup_leg = leg.uniqueid


def note_leaver(call: Call, leg: Leg) -> None:
    """*leg* leaves a bridge."""
    if call.leaver is None and leg.said is Presence.TALKING and _may_end(call, leg) and not call.is_handed_on:
        call.leaver = leg.uniqueid


def _is_echo(call: Call, leg: Leg, event: HangupRequest) -> bool:
    """Whether a caller hangs up because we refused him: his phone closes the call with the cause it was given, which
    Asterisk 16 does not show, at a moment when nobody rings for him any more."""
    if call.answered_at is not None or not leg.placed:
        return False
    if event.cause is not None:
        return event.cause in CAUSE_STOPS
    tried = [other for other in call.legs.values() if other.dialled_by is not None]
    return leg.up_at is None and bool(tried) and all(other.dial_ended_at is not None for other in tried)


def _may_end(call: Call, leg: Leg) -> bool:
    """Whose wish to hang up ends the call: its customer's, its caller's, or that of whom the conversation needs."""
    if leg is call.customer:
        return True
    if leg.said is not Presence.TALKING:
        return leg is call.caller and call.answered_at is None
    others = sum(other.said is Presence.TALKING for other in call.operator_legs() if other is not leg)
    return others < (2 if call.direction is Direction.INTERNAL else 1)
