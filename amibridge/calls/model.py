"""A call in progress: its legs, and everything about them that is derived, never assigned.

Laws: a leg holds only what events literally said; channel state only moves forward (events of one instant come in
any order); who talks with whom is read off the bridges; an impossible state cannot be stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType

from amibridge.ami.events import BridgeUniqueid, ChannelState, Linkedid, ParkedCall, Uniqueid
from amibridge.calls.facts import CallHeld
from amibridge.calls.numbering import Part, Role
from amibridge.calls.record import CallId, Direction, Extension, TransferKind

Room = NewType("Room", str)
"""One acoustic space: a bridge, or several joined by Local channels."""

MOST_OF_A_KIND = 1000
"""Recordings, handovers, stretches of talk of one call: a dialplan that runs in a circle does not fill the memory."""

ONE_INSTANT = timedelta(milliseconds=100)
"""Asterisk's threads stamp the events of one act no further apart than that."""

SILENT_BRIDGES = frozenset({"parking", "holding"})
"""Bridge types in which a caller hears music and talks with nobody."""


class Presence(StrEnum):
    """Where a party is, seen from the call's customer."""

    NEW = "new"
    RINGING = "ringing"
    UP = "up"
    TALKING = "talking"
    ASIDE = "aside"
    GONE = "gone"


class Phase(StrEnum):
    WAITING = "waiting"
    RINGING = "ringing"
    TALKING = "talking"
    ENDED = "ended"


# By names of our own: in Python 3.11 looking a member up in its class costs more than all that is done with it here.
_TRUNK, _PLUMBING = Role.TRUNK, Role.PLUMBING
_INCOMING, _OUTGOING, _INTERNAL = Direction
_NEW, _RINGING, _UP, _TALKING, _ASIDE, _GONE = Presence
_PHASE_WAITING, _PHASE_RINGING, _PHASE_TALKING, _PHASE_ENDED = Phase
_STATE_RING, _STATE_RINGING, _STATE_UP = ChannelState.RING, ChannelState.RINGING, ChannelState.UP


@dataclass(slots=True, eq=False)
class Leg:
    """One channel. *said* is the presence we last spoke of; *part* what we make of its name, whose *role* and
    *extension* are at hand because every event asks for them; *guest*: see `guests.py`; *fetches*: rung by us so that
    its owner may have a call that is there; *held*: the hold that we spoke of and that is not over; all else is what
    Asterisk said."""

    uniqueid: Uniqueid
    channel: str
    linkedid: Linkedid
    part: Part
    role: Role
    extension: Extension | None
    began_at: datetime
    state: ChannelState = ChannelState.DOWN
    exten: str = ""
    caller_id_num: str | None = None
    caller_id_name: str | None = None
    placed: bool = False
    originated: bool = False
    dialled_by: Uniqueid | None = None
    dialled_at: datetime | None = None
    dialled_number: str | None = None
    presented: str | None = None
    dial_status: str | None = None
    dial_ended_at: datetime | None = None
    up_at: datetime | None = None
    bridge: BridgeUniqueid | None = None
    silent: bool = False
    in_conference: bool = False
    holds_in: BridgeUniqueid | None = None
    held: CallHeld | None = None
    rang_at: datetime | None = None
    joined_at: datetime | None = None
    left_at: datetime | None = None
    asked_at: datetime | None = None
    gone_at: datetime | None = None
    cause: int | None = None
    from_snapshot: bool = False
    guest: bool = False
    fetches: bool = False
    parked: ParkedCall | None = None
    said: Presence = Presence.NEW

    @property
    def dialled(self) -> bool:
        return self.originated or self.dialled_by is not None or (self.from_snapshot and not self.placed)

    @property
    def local_half(self) -> tuple[str, str] | None:
        """The Local channel this is a half of, and which half."""
        name, mark, half = self.channel.rpartition(";")
        return (name, half) if mark else None


@dataclass(slots=True, eq=False)
class Handover:
    """The call goes from *from_* to *to*. *derived*: no event said so, only what followed. *answered*: somebody else
    talked with the customer afterwards. *over*: so did somebody, be it who wanted to hand him on. *settled*: nothing
    that Asterisk may still say of this act takes its place; *settling_since*: that is waited for."""

    kind: TransferKind
    from_: Extension
    to: str
    at: datetime
    derived: bool = False
    answered: bool = False
    over: bool = False
    settled: bool = False
    settling_since: datetime | None = None


@dataclass(slots=True, eq=False)
class Call:
    """One business call. `direction` stays None until it is known; `phase` and presences are derived.

    *hurried*: what it owes has not come in time, and is waited for no longer. *consulted*: the lines to people outside
    whom an operator called to ask before he handed the customer on. *knows_who_hung_up*: whether HangupRequests are
    heard at all, which a filter may hold back. *met*: two parties talked before it had a direction. *torn*: a part of
    it went unseen. *holders*: who put the other party on hold, see `holds.py`. *handovers_told*: how many of its
    handovers, the first ones, have been spoken of. A *resumed* call began before this run of us; what it had come to is
    in the *past* fields, in `operators` and in `handovers`.
    """

    id: CallId
    began_at: datetime
    direction: Direction | None = None
    customer: Leg | None = None
    caller: Leg | None = None
    legs: dict[Uniqueid, Leg] = field(default_factory=dict)
    linkedids: set[Linkedid] = field(default_factory=set)
    external_number: str | None = None
    phone: str | None = None
    line: str | None = None
    queue: str | None = None
    queue_left_at: datetime | None = None
    click_to_call: str | None = None
    originate_number: str | None = None
    originate_exten: str | None = None
    asked_caller: Extension | None = None
    recordings: list[str] = field(default_factory=list)
    operators: list[Extension] = field(default_factory=list)
    handovers: list[Handover] = field(default_factory=list)
    handovers_told: int = 0
    holders: tuple[Leg, ...] = ()
    consulted: set[Uniqueid] = field(default_factory=set)
    answered_at: datetime | None = None
    talk_ended_at: datetime | None = None
    ended_at: datetime | None = None
    hangup_leg: Uniqueid | None = None
    knows_who_hung_up: bool = False
    leaver: Uniqueid | None = None
    resumed: bool = False
    past_rang: list[Extension] = field(default_factory=list)
    past_rang_at: datetime | None = None
    past_held: tuple[CallHeld, ...] = ()
    caller_name: str | None = None
    said: Phase = Phase.WAITING
    hurried: bool = False
    met: bool = False
    torn: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether all of it was seen."""
        return not self.torn and not any(leg.from_snapshot for leg in self.legs.values())

    @property
    def is_deserted(self) -> bool:
        return all(leg.gone_at is not None for leg in self.legs.values())

    @property
    def is_handed_on(self) -> bool:
        """Whether the customer is on his way to somebody: whoever leaves him now does not end the call."""
        return bool(self.handovers) and not self.handovers[-1].over

    def customer_left_at(self) -> datetime | None:
        """When the customer hung up: his channel may have gone on in the dialplan (extension `h`) after that."""
        customer = self.customer
        if customer is None or customer.gone_at is None:
            return None
        if self.hangup_leg != customer.uniqueid or customer.asked_at is None:
            return customer.gone_at
        left_at = max(customer.asked_at, self.talk_ended_at or customer.asked_at)
        return left_at if customer.gone_at - left_at > ONE_INSTANT else customer.gone_at

    def note(self, text: str) -> None:
        """Note a decision that was not read straight off an event, once."""
        if text not in self.notes:
            self.notes.append(text)

    def cast(self, leg: Leg, part: Part) -> None:
        """*leg* plays *part*, and why goes into the notes."""
        leg.part, leg.role, leg.extension = part, part.role, part.extension
        if part.why is not None:
            self.note(part.why)

    def is_customer_side(self, leg: Leg) -> bool:
        """Whether *leg* is the outside party. A line that the customer's own leg dialled (a forward, a transfer to
        outside), or that was dialled while he was talked with, leads to somebody who takes the call, as an operator
        does."""
        direction, customer = self.direction, self.customer
        if leg.role is not _TRUNK or direction is _INTERNAL:
            return False
        if direction is not _OUTGOING or leg is customer:
            return leg is customer
        if customer is None:
            return True
        if leg.uniqueid in self.consulted or self.is_dialled_by(leg, customer):
            return False
        joined_at, dialled_at = customer.joined_at, leg.dialled_at
        return joined_at is None or dialled_at is None or dialled_at < joined_at

    def is_operator_side(self, leg: Leg) -> bool:
        return leg.role is not _PLUMBING and not self.is_customer_side(leg)

    def operator_legs(self) -> list[Leg]:
        """Everybody on our side, in the order they came."""
        return [leg for leg in self.legs.values() if self.is_operator_side(leg)]

    def callees(self) -> list[Leg]:
        """Those who were to take the call: not its caller, not its customer."""
        return [leg for leg in self.operator_legs() if leg is not self.caller]

    def extension_of(self, leg: Leg) -> Extension:
        """Whom a leg on our side stands for: an extension, or the number dialled of somebody outside."""
        if leg.extension is not None:
            return leg.extension
        return Extension(leg.dialled_number or leg.caller_id_num or leg.channel)

    def is_dialled_by(self, leg: Leg, other: Leg) -> bool:
        """Whether *other* dialled *leg*, itself or through Local channels."""
        seen: set[Uniqueid] = set()
        while leg.dialled_by is not None and leg.uniqueid not in seen:
            seen.add(leg.uniqueid)
            if leg.dialled_by == other.uniqueid:
                return True
            dialler = self.local_before(leg) or self.legs.get(leg.dialled_by)
            if dialler is None:
                return False
            leg = dialler
        return False

    def local_before(self, leg: Leg) -> Leg | None:
        """The half of a Local channel that was dialled in order to reach *leg*; its other half has dialled it."""
        dialler = self.legs.get(leg.dialled_by or Uniqueid(""))
        half = None if dialler is None else dialler.local_half
        if half is None:
            return None
        twin = (half[0], "2" if half[1] == "1" else "1")
        return next((other for other in self.legs.values() if other.local_half == twin and other.dialled), None)

    def rooms(self) -> dict[Uniqueid, Room]:
        """In which room each bridged leg is. Both halves of a Local channel in bridges make these one room."""
        bridged = {uid: leg.bridge for uid, leg in self.legs.items() if leg.bridge is not None and not leg.silent}
        rooms = {bridge: Room(bridge) for bridge in bridged.values()}
        halves: dict[str, BridgeUniqueid] = {}
        for uid, bridge in bridged.items():
            half = self.legs[uid].local_half
            if half is not None and (other := halves.setdefault(half[0], bridge)) != bridge:
                kept, lost = rooms[other], rooms[bridge]
                rooms = {bridge: kept if room == lost else room for bridge, room in rooms.items()}
        return {uid: rooms[bridge] for uid, bridge in bridged.items()}

    def has_met(self) -> bool:
        """Whether two parties are in one room, whoever they are."""
        seen: set[Room] = set()
        for uniqueid, room in self.rooms().items():
            if self.legs[uniqueid].role is not _PLUMBING:
                if room in seen:
                    return True
                seen.add(room)
        return False

    def talking_rooms(self) -> dict[Uniqueid, bool]:
        """For each bridged leg: is its room a conversation of this call?"""
        rooms = self.rooms()
        if not rooms:
            return {}
        ours: dict[Room, int] = {}
        theirs: dict[Room, int] = {}
        for uniqueid, room in rooms.items():
            leg = self.legs[uniqueid]
            if self.is_customer_side(leg):
                theirs[room] = theirs.get(room, 0) + 1
            elif leg.role is not _PLUMBING:
                ours[room] = ours.get(room, 0) + 1
        if self.direction in (_INCOMING, _OUTGOING):
            return {uid: room in theirs and room in ours for uid, room in rooms.items()}
        return {uid: ours.get(room, 0) > 1 for uid, room in rooms.items()}

    def phase(self) -> Phase:
        if self._is_over():
            return _PHASE_ENDED
        phase = _PHASE_WAITING
        for leg in self.legs.values():
            if leg.role is _PLUMBING:
                continue
            if leg.said is _TALKING:
                return _PHASE_TALKING
            if leg.said is _RINGING:
                phase = _PHASE_RINGING
        return phase

    @property
    def owes_a_cause(self) -> bool:
        """Whether the customer left before a phone that refused him said why: Hangups of one instant come in any order,
        and DialStatus alone does not tell a decline from patience at its end."""
        customer = self.customer
        if customer is None or customer.gone_at is None:
            return False
        if self.direction is not _INCOMING or self.answered_at is not None:
            return False
        return any(leg.dial_status == "NOANSWER" and leg.gone_at is None for leg in self.callees())

    @property
    def owes_since(self) -> datetime | None:
        """Since when it owes a cause, or the last word about a handover; None if it owes nothing."""
        if self.owes_a_cause and self.customer is not None:
            return self.customer.gone_at
        if len(self.handovers) == self.handovers_told:
            return None
        last = self.handovers[-1]
        return None if last.settled else last.settling_since

    def _is_over(self) -> bool:
        """The outside party left for good. Before anybody talked, an outgoing call may yet try another line."""
        customer, direction = self.customer, self.direction
        if customer is None or direction is _INTERNAL or (direction is _OUTGOING and self.answered_at is None):
            return self.is_deserted
        return customer.gone_at is not None and (self.hurried or not self.owes_a_cause)


def presence_of(leg: Leg, talking: bool) -> Presence:
    """Where the party of *leg* is. What a snapshot shows has no history: assume the quieter past."""
    if leg.gone_at is not None:
        return _GONE
    if talking:
        return _TALKING
    if leg.joined_at is not None:
        return _ASIDE
    if leg.state is _STATE_UP:
        return _ASIDE if leg.from_snapshot else _UP
    return _RINGING if leg.state is _STATE_RINGING else _NEW


def advance(leg: Leg, state: ChannelState, at: datetime) -> None:
    """Move a channel's state forward, never back: events of one instant come in any order."""
    if state is _STATE_RING:
        leg.placed = True
    if state is _STATE_RINGING and leg.rang_at is None and leg.up_at is None and not leg.fetches:
        leg.rang_at = at
    if state is _STATE_UP and leg.up_at is None:
        leg.up_at = at
    if leg.state < state <= _STATE_UP:
        leg.state = state
