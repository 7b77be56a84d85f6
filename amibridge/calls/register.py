"""Which channel belongs to which call.

Laws: a channel is known by its Uniqueid; the Linkedid it carries may change when calls join, and then the calls are
one; a call keeps the id of its first channel; two calls with a customer each are never made one, unless Asterisk says
that one was placed to ask whether the other may be handed on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta

from amibridge.ami.events import (
    AttendedTransfer,
    BridgeEnter,
    BridgeUniqueid,
    ChannelEvent,
    DialBegin,
    DialEnd,
    Linkedid,
    OriginateResponse,
    Uniqueid,
    click_of,
    is_fetch,
)
from amibridge.calls.facts import AnyFact, CallMerged, FactKey
from amibridge.calls.guests import Guests
from amibridge.calls.handovers import join_handovers, settle_handovers
from amibridge.calls.model import SILENT_BRIDGES, Call, Leg, Presence
from amibridge.calls.numbering import Numbering, Role, endpoint_of
from amibridge.calls.record import CallId
from amibridge.calls.summary import brief_of
from amibridge.calls.telling import tell_recording

LATE = timedelta(seconds=10)
"""How long a call is remembered after its end, so that its late events find it. They are milliseconds late; what is
remembered costs 4 kB a call."""

OWED = timedelta(seconds=1)
"""How long the Hangups of one instant are waited for, or another word about a handover; they are microseconds apart."""

LINGERING = timedelta(minutes=15)
"""How long, if some of its channels have not hung up."""

MOST_REMEMBERED = 50_000
"""Channels, Linkedids and bridges of one host. Whoever shows more never ends what it begins."""


class Register:
    """The calls of one host and the channels they are made of."""

    def __init__(self, host: str, numbering: Numbering) -> None:
        self._host = host
        self._numbering = numbering
        self._by_leg: dict[Uniqueid, Call] = {}
        self._by_linkedid: dict[Linkedid, Call] = {}
        self._in_bridge: dict[BridgeUniqueid, dict[Uniqueid, None]] = {}
        self.owing: deque[Call] = deque()
        self.guests = Guests()
        self._ended: deque[Call] = deque()
        self._lingering: deque[Call] = deque()

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
            other = self._by_linkedid.get(event.linkedid)
            if other is None:
                self._carry(call, event.linkedid)
            else:
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
        self.move(leg, event.bridge)
        if event.bridge_type in SILENT_BRIDGES:
            return call, leg
        for mate in list(self._in_bridge[event.bridge]):
            other = self._by_leg[mate]
            # A conference room's announcer belongs to the room, and to nobody's call.
            of_the_room = event.bridge_type != "basic" and Role.PLUMBING in (leg.role, other.legs[mate].role)
            if other is call or of_the_room:
                continue
            call = self._merge(call, other, event.at, facts)
            if self._by_leg[mate] is not call and event.bridge_type != "basic":
                self._introduce(call, leg, other, other.legs[mate])
        return call, leg

    def _introduce(self, call: Call, leg: Leg, other: Call, mate: Leg) -> None:
        """Two meet in a conference room who have a call of their own each, with a customer, or over by now."""
        if call.is_operator_side(leg) and other.ended_at is None:
            self.guests.invite(leg, other)
        if other.is_operator_side(mate):
            self.guests.invite(mate, call)

    def move(self, leg: Leg, bridge: BridgeUniqueid | None) -> None:
        """*leg* is in *bridge* from now on, or in none."""
        if leg.guest:
            leg.bridge = bridge
            return
        if leg.bridge is not None:
            mates = self._in_bridge[leg.bridge]
            mates.pop(leg.uniqueid, None)
            if not mates:
                del self._in_bridge[leg.bridge]
        leg.bridge = bridge
        if bridge is not None:
            self._in_bridge.setdefault(bridge, {})[leg.uniqueid] = None

    def find_originated(self, event: OriginateResponse) -> Call | None:
        """The call an `OriginateResponse` is about; a failure names only the endpoint, so the oldest that fits."""
        if event.uniqueid is not None:
            return self.find(event.uniqueid)
        endpoint = endpoint_of(event.channel)
        waiting = (call for call in self.live() if call.click_to_call is None and call.answered_at is None)
        return next((call for call in waiting if _was_originated_at(call, endpoint)), None)

    def join_consulted(self, event: AttendedTransfer, facts: list[AnyFact]) -> Call | None:
        """The call that is handed on: of the two calls of one person, the customer's. The other one was a consultation,
        also where somebody outside was consulted."""
        calls = [call for call in (self.find(event.transferer), self.find(event.second)) if call is not None]
        served = next((call for call in calls if call.customer is not None), calls[0] if calls else None)
        if served is not None and served is not calls[-1] and _was_placed_by(calls[-1], event.second):
            self._absorb(served, calls[-1], event.at, facts)
        return served

    def take_up(self, call: Call) -> None:
        """Register a call that an earlier run of us knew; a snapshot will seat its channels."""
        self._carry(call, Linkedid(call.id.partition(":")[2]))

    def wait_for(self, call: Call) -> None:
        """The last cause of *call*, or the last word about a handover, will come in an instant."""
        if call not in self.owing:
            self.owing.append(call)

    def overdue(self, now: datetime | None) -> Iterator[Call]:
        """The calls that have waited longer than an instant; without *now*, all that wait."""
        while self.owing and (now is None or _has_waited(self.owing[0], now)):
            call = self.owing.popleft()
            if call.ended_at is None:
                call.hurried = call.hurried or call.owes_a_cause
                settle_handovers(call)
                yield call

    def bury(self, call: Call) -> None:
        """*call* is over: remember it for a while."""
        self.guests.dismiss(call)
        self._ended.append(call)

    def remembered(self) -> int:
        return len(self._by_leg) + len(self._by_linkedid) + len(self._in_bridge)

    def excess(self) -> Iterator[Call]:
        """The oldest calls, while more is remembered than any PBX has at once; each is forgotten then, whatever it is.

        A tenth of all goes at once, so that a flood does not pay for each of its channels.
        """
        if self.remembered() <= MOST_REMEMBERED:
            return
        while self.remembered() > MOST_REMEMBERED * 0.9 and self._by_leg:
            call = next(iter(self._by_leg.values()))
            yield call
            self._forget(call)

    def forget_before(self, now: datetime) -> None:
        """Forget the calls that ended long before *now*."""
        for call in _over(self._ended, now, LATE):
            if call.is_deserted:
                self._forget(call)
            else:
                self._lingering.append(call)
        for call in _over(self._lingering, now, LINGERING):
            self._forget(call)

    def _seat_new(self, event: ChannelEvent) -> tuple[Call, Leg]:
        call = self._by_linkedid.get(event.linkedid)
        if call is None:
            call = Call(CallId(f"{self._host}:{event.linkedid}"), event.at, click_to_call=click_of(event.linkedid))
            self._carry(call, event.linkedid)
        part = self._numbering.part_of(event.channel, None)
        leg = Leg(
            event.uniqueid, event.channel, event.linkedid, part, part.role, part.extension, event.at,
            fetches=is_fetch(event.linkedid),
        )  # fmt: skip
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
        self._absorb(kept, lost, at, facts)
        return kept

    def _absorb(self, kept: Call, lost: Call, at: datetime, facts: list[AnyFact]) -> None:
        if kept.ended_at is not None or lost.ended_at is not None:
            return
        if lost.direction is not None:
            key = FactKey(f"call.merged:{lost.id}")
            facts.append(CallMerged(key, lost.id, at, brief_of(lost), into=kept.id))
            kept.note(f"merged {lost.id.partition(':')[2]}")
        self.guests.dismiss(lost)
        for uniqueid, leg in lost.legs.items():
            if leg.guest:
                continue
            kept.legs[uniqueid] = leg
            self._by_leg[uniqueid] = kept
            if leg.said in (Presence.TALKING, Presence.ASIDE):
                # He talked, but not with this call's customer.
                leg.said, leg.joined_at = Presence.UP, None
        for leg in lost.holders:
            leg.held = None  # it ended with the call
        kept.holders += lost.holders
        for linkedid in lost.linkedids:
            self._carry(kept, linkedid)
        lost.linkedids.clear()
        join_handovers(kept, lost)
        untold = [path for path in lost.recordings if path not in kept.recordings]
        kept.recordings += untold
        if lost.direction is None and kept.direction is not None:
            for path in untold:
                tell_recording(kept, path, at, facts)
        kept.click_to_call = kept.click_to_call or lost.click_to_call
        kept.torn = kept.torn or lost.torn
        kept.consulted |= lost.consulted | (set() if lost.customer is None else {lost.customer.uniqueid})

    def _carry(self, call: Call, linkedid: Linkedid) -> None:
        """Channels with *linkedid* belong to *call* from now on."""
        self._by_linkedid[linkedid] = call
        call.linkedids.add(linkedid)

    def _forget(self, call: Call) -> None:
        for uniqueid, leg in call.legs.items():
            self.move(leg, None)
            if not leg.guest:
                self._by_leg.pop(uniqueid, None)
        for linkedid in call.linkedids:
            self._by_linkedid.pop(linkedid, None)


def _has_waited(call: Call, now: datetime) -> bool:
    since = call.owes_since
    return call.ended_at is not None or since is None or abs(now - since) > OWED


def _over(ended: deque[Call], now: datetime, remembered: timedelta) -> Iterator[Call]:
    """Take out, oldest first, the calls that ended further from *now* than they are *remembered*: also those of a clock
    that was set back since."""
    while ended and (ended_at := ended[0].ended_at) and abs(now - ended_at) > remembered:
        yield ended.popleft()


def _outranks(one: Call, two: Call) -> bool:
    if (one.customer is None) != (two.customer is None):
        return one.customer is not None
    return one.began_at < two.began_at


def _was_placed_by(call: Call, uniqueid: Uniqueid) -> bool:
    return call.caller is not None and call.caller.uniqueid == uniqueid


def _was_originated_at(call: Call, endpoint: str) -> bool:
    return any(leg.originated and endpoint_of(leg.channel) == endpoint for leg in call.legs.values())
