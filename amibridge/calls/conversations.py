"""Who talks with whom at this moment, as an operator's phone sees it: read off the bridges, never off a channel's name.

Source of the shape of a consultation (AMI `Atxfer`, a feature code), recorded on Asterisk 16 and 22: the other party
stays alone in the bridge of the conversation; the operator is in another one with a Local channel, behind which
whoever he asks rings, and whose place that one takes. Whoever is asked came last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from amibridge.ami.events import Uniqueid
from amibridge.calls.model import Call, Leg, Room
from amibridge.calls.numbering import Role
from amibridge.calls.record import CallId, Extension


@dataclass(frozen=True, slots=True)
class Conversation:
    """One that an operator is in by the channel *phone*. *consulting*: somebody waits for him until he has asked.

    *other*: the channel of the one he talks with; None where there are several, and where somebody waits for one of
    the two. *beside*: whether both are in one bridge, with no Local channel between them.
    """

    call: CallId
    phone: Uniqueid
    consulting: bool
    other: Uniqueid | None = None
    beside: bool = False


def conversations_of(call: Call, extension: Extension) -> Iterator[Conversation]:
    """Those of *extension* in *call*. A phone that rings, that hears an announcement, or that waits until another has
    asked, is in none."""
    phones = [leg for leg in call.legs.values() if leg.extension == extension and leg.bridge is not None]
    if not phones:
        return
    people: dict[Room, list[Leg]] = {}
    plumbed: set[Room] = set()
    for uniqueid, room in call.rooms().items():
        leg = call.legs[uniqueid]
        if leg.role is Role.PLUMBING:
            plumbed.add(room)
        else:
            people.setdefault(room, []).append(leg)
    up = [leg for leg in call.legs.values() if leg.role is not Role.PLUMBING and leg.up_at and leg.gone_at is None]
    asked = max(up, key=lambda leg: leg.began_at) if len(up) > 2 else None
    for room, members in people.items():
        waited_for = any(len(others) == 1 for other, others in people.items() if other is not room)
        eldest = min(members, key=lambda leg: leg.began_at)
        for phone in phones:
            may_ask = phone is eldest and phone is not asked and (len(members) > 1 or room in plumbed)
            consulting = waited_for and may_ask
            if phone in members and not phone.guest and (consulting or len(members) > 1):
                other = next((leg for leg in members if leg is not phone), None)
                if waited_for or len(members) != 2 or other is None:
                    yield Conversation(call.id, phone.uniqueid, consulting)
                else:
                    yield Conversation(call.id, phone.uniqueid, False, other.uniqueid, other.bridge == phone.bridge)
