"""Who waits at this moment, so that a colleague can fetch him: at a phone that rings, or in a parking lot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from amibridge.ami.events import Uniqueid
from amibridge.calls.model import Call, Leg, Presence, presence_of
from amibridge.calls.record import CallId, Direction, Extension


@dataclass(frozen=True, slots=True)
class Ringing:
    """The *channel* of that name rings for a call. *number*, *name*: of who waits, as far as known."""

    call: CallId
    channel: str
    number: str | None
    name: str | None


@dataclass(frozen=True, slots=True)
class Parked:
    """Somebody is parked in *space* of *lot*; *until*: when whoever parked him is called back, None for never."""

    call: CallId
    party: Uniqueid
    lot: str
    space: str
    until: datetime | None
    number: str | None
    name: str | None


class Fate(StrEnum):
    """How far a phone has come that is rung so that its owner may fetch somebody. *gone*: nobody took it."""

    UNSEEN = "unseen"
    RINGS = "rings"
    TAKEN = "taken"
    GONE = "gone"
    LEFT = "left"


def fate_of(leg: Leg) -> Fate:
    if leg.gone_at is not None:
        return Fate.GONE if leg.up_at is None else Fate.LEFT
    return Fate.RINGS if leg.up_at is None else Fate.TAKEN


def ringing_at(call: Call, extension: Extension) -> Iterator[Ringing]:
    """Once, however many phones of *extension* ring for *call*. Nobody calls a phone that rings for its own click."""
    for leg in call.legs.values():
        rings = presence_of(leg, False) is Presence.RINGING and not leg.originated and not leg.placed
        if rings and leg.extension == extension and call.direction is not None and leg is not call.caller:
            yield Ringing(call.id, leg.channel, *_who_waits(call))
            return


def parked_in(call: Call) -> Iterator[Parked]:
    for leg in call.legs.values():
        event = leg.parked
        if event is not None and leg.gone_at is None:
            until = event.at + event.patience if event.patience else None
            yield Parked(call.id, leg.uniqueid, event.lot, event.space, until, *_who_waits(call))


def _who_waits(call: Call) -> tuple[str | None, str | None]:
    """Number and name, for the display of who fetches him."""
    if call.direction is Direction.INTERNAL:
        return (None, None) if call.caller is None else (call.extension_of(call.caller), call.caller.caller_id_name)
    name = None if call.customer is None else call.customer.caller_id_name
    return call.external_number, name if call.direction is Direction.INCOMING else call.caller_name
