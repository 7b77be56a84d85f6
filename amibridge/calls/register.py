"""Which channel belongs to which call.

Laws: a channel is known by its Uniqueid; the Linkedid it carries may change when calls join, and then the calls are
one; a call keeps the id of its first channel; two calls with a customer each are never made one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta

from amibridge.ami.events import (
    BridgeEnter,
    ChannelEvent,
    DialBegin,
    DialEnd,
    Linkedid,
    OriginateResponse,
    Uniqueid,
)
from amibridge.calls.facts import AnyFact, CallMerged, FactKey
from amibridge.calls.model import Call, Leg, Presence
from amibridge.calls.numbering import Numbering, endpoint_of
from amibridge.calls.record import CallId
from amibridge.calls.summary import brief_of

TOMBSTONE = timedelta(minutes=15)
"""How long an ended call is remembered, so that its late events find it."""


class Register:
    """The calls of one host and the channels they are made of."""

    def __init__(self, host: str, numbering: Numbering) -> None:
        self._host = host
        self._numbering = numbering
        self._by_leg: dict[Uniqueid, Call] = {}
        self._by_linkedid: dict[Linkedid, Call] = {}
        self._ended: deque[Call] = deque()

    def find(self, uniqueid: Uniqueid | None) -> Call | None:
        return None if uniqueid is None else self._by_leg.get(uniqueid)

    def live(self) -> list[Call]:
        """Calls with channels that are not over, oldest first."""
        return list({id(call): call for call in self._by_leg.values() if call.ended_at is None}.values())

    def seat(self, event: ChannelEvent, facts: list[AnyFact]) -> tuple[Call, Leg]:
        """The leg of the event's channel and its call; both made when never heard of."""
        call = self._by_leg.get(event.uniqueid)
        if call is None:
            return self._seat_new(event)
        leg = call.legs[event.uniqueid]
        if leg.linkedid != event.linkedid:
            leg.linkedid = event.linkedid
            other = self._by_linkedid.setdefault(event.linkedid, call)
            call = self._merge(call, other, event.at, facts)
        return call, leg

    def seat_dialled(self, event: DialBegin | DialEnd, facts: list[AnyFact]) -> tuple[Call, Leg]:
        """The leg that is dialled; it belongs to the call of whoever dials it."""
        call, leg = self.seat(
            ChannelEvent(event.at, event.dest_channel, event.dest_uniqueid, event.dest_linkedid), facts
        )
        dialler = self.find(event.uniqueid)
        return (call if dialler is None else self._merge(dialler, call, event.at, facts)), leg

    def seat_in_bridge(self, event: BridgeEnter, facts: list[AnyFact]) -> tuple[Call, Leg]:
        """The leg that enters; whoever shares a conversation shares the call, whatever their Linkedids still say."""
        call, leg = self.seat(event, facts)
        if event.bridge_type == "basic":
            for other in self.live():
                if other is not call and any(mate.bridge == event.bridge for mate in other.legs.values()):
                    return self._merge(call, other, event.at, facts), leg
        return call, leg

    def find_originated(self, event: OriginateResponse) -> Call | None:
        """The call an `OriginateResponse` is about; a failure names only the endpoint, so the oldest that fits."""
        if event.uniqueid is not None:
            return self.find(event.uniqueid)
        endpoint = endpoint_of(event.channel)
        waiting = (call for call in self.live() if call.click_to_call is None and call.answered_at is None)
        return next((call for call in waiting if _was_originated_at(call, endpoint)), None)

    def take_up(self, call: Call) -> None:
        """Register a call that an earlier run of us knew; a snapshot will seat its channels."""
        self._by_linkedid[Linkedid(call.id.partition(":")[2])] = call

    def bury(self, call: Call) -> None:
        """*call* is over: remember it for a while."""
        self._ended.append(call)

    def remembered(self) -> int:
        return len(self._by_leg) + len(self._by_linkedid)

    def forget_before(self, now: datetime) -> None:
        while self._ended and (ended_at := self._ended[0].ended_at) and now - ended_at > TOMBSTONE:
            self._forget(self._ended.popleft())

    def _seat_new(self, event: ChannelEvent) -> tuple[Call, Leg]:
        call = self._by_linkedid.get(event.linkedid)
        if call is None:
            call = Call(id=CallId(f"{self._host}:{event.linkedid}"), began_at=event.at)
            self._by_linkedid[event.linkedid] = call
        role, extension = self._numbering.role_of(event.channel, None)
        leg = Leg(event.uniqueid, event.channel, event.linkedid, role, extension, began_at=event.at)
        call.legs[event.uniqueid] = leg
        self._by_leg[event.uniqueid] = call
        return call, leg

    def _merge(self, one: Call, two: Call, at: datetime, facts: list[AnyFact]) -> Call:
        """Make two calls one: the one with a customer goes on, else the older."""
        if one is two or one.ended_at is not None or two.ended_at is not None:
            return one
        if one.customer is not None and two.customer is not None:
            return one
        kept, lost = (two, one) if _outranks(two, one) else (one, two)
        if lost.direction is not None:
            key = FactKey(f"call.merged:{lost.id}")
            facts.append(CallMerged(key, lost.id, at, brief_of(lost), into=kept.id))
            kept.note(f"merged {lost.id.partition(':')[2]}")
        for uniqueid, leg in lost.legs.items():
            kept.legs[uniqueid] = leg
            self._by_leg[uniqueid] = kept
            if leg.said in (Presence.TALKING, Presence.ASIDE):
                # He talked, but not with this call's customer.
                leg.said, leg.joined_at = Presence.UP, None
        for linkedid in _linkedids(lost, lost.legs.values()):
            self._by_linkedid[linkedid] = kept
        kept.recordings.extend(path for path in lost.recordings if path not in kept.recordings)
        kept.click_to_call = kept.click_to_call or lost.click_to_call
        kept.complete = kept.complete and lost.complete
        return kept

    def _forget(self, call: Call) -> None:
        for uniqueid in call.legs:
            self._by_leg.pop(uniqueid, None)
        for linkedid in [linkedid for linkedid, known in self._by_linkedid.items() if known is call]:
            del self._by_linkedid[linkedid]


def _outranks(one: Call, two: Call) -> bool:
    if (one.customer is None) != (two.customer is None):
        return one.customer is not None
    return one.began_at < two.began_at


def _linkedids(call: Call, legs: Iterable[Leg]) -> set[Linkedid]:
    return {leg.linkedid for leg in legs} | {Linkedid(call.id.partition(":")[2])}


def _was_originated_at(call: Call, endpoint: str) -> bool:
    return any(leg.originated and endpoint_of(leg.channel) == endpoint for leg in call.legs.values())
