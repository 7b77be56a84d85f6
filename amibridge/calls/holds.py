"""Who makes the other party wait: by the hold key of a phone, or by asking a colleague first.

Laws: only a party on our side holds, and only in a conversation of its own; nobody waits while somebody else talks with
him; whoever is back in the bridge that he held in holds no more, for Asterisk says no Unhold where a consultation came
to nothing; what a snapshot shows has no history, so nobody is taken to hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from amibridge.ami.events import BridgeUniqueid
from amibridge.calls.facts import AnyFact, CallHeld, CallResumed, FactKey
from amibridge.calls.model import Call, Leg, Presence
from amibridge.calls.record import Direction
from amibridge.calls.summary import brief_of

NOWHERE = BridgeUniqueid("")
"""Where a phone holds that waits for the other one to answer."""


def note_hold(call: Call, leg: Leg) -> None:
    """In a conference room the others hear nothing of it."""
    if leg.in_conference or not call.is_operator_side(leg):
        return
    leg.holds_in = leg.bridge or NOWHERE
    if leg not in call.holders:
        call.holders = (*call.holders, leg)


def note_unhold(leg: Leg) -> None:
    leg.holds_in = None


def release(call: Call) -> None:
    """What became of the holds of *call* is not known."""
    for leg in call.holders:
        leg.holds_in = None


def tell_holds(call: Call, at: datetime, facts: list[AnyFact]) -> None:
    """Say who of the holders of *call*, whose direction is known, holds now and did not, and the other way round."""
    for leg in call.holders:
        holds = _holds(call, leg)
        if holds and leg.held is None:
            who = call.extension_of(leg)
            key = FactKey(f"{CallHeld.kind}:{leg.uniqueid}:{at.isoformat()}")
            leg.held = CallHeld(key, call.id, at, brief_of(call), extension=who)
            facts.append(leg.held)
        elif not holds and leg.held is not None:
            tell_resumed(call, [leg.held], at, facts)
            leg.held = None
        if leg.holds_in is None or leg.gone_at is not None:
            call.holders = tuple(other for other in call.holders if other is not leg)


def tell_resumed(call: Call, held: Iterable[CallHeld], at: datetime, facts: list[AnyFact]) -> None:
    """The holds *held* are over."""
    for one in held:
        facts.append(CallResumed(resumed_key(one), call.id, at, brief_of(call), extension=one.extension))


def resumed_key(held: CallHeld) -> FactKey:
    """A hold ends once, whoever sees it end and when: its end has the key of its beginning."""
    return FactKey(f"{CallResumed.kind}{held.key.removeprefix(CallHeld.kind)}")


def _holds(call: Call, leg: Leg) -> bool:
    if leg.holds_in is None or leg.gone_at is not None or leg.joined_at is None:
        return False
    others = sum(one.said is Presence.TALKING for one in call.operator_legs() if one is not leg)
    return others < (2 if call.direction is Direction.INTERNAL else 1)
