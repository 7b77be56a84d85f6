"""Typed events, named exactly as Asterisk names them; its headers in our snake_case.

Laws: the literal ``<unknown>`` is None; times are aware.
Source: https://docs.asterisk.org/Latest_API/API_Documentation/AMI_Events/ and recordings of Asterisk 16 and 22.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import NewType, TypeAlias

Uniqueid = NewType("Uniqueid", str)
Linkedid = NewType("Linkedid", str)
BridgeUniqueid = NewType("BridgeUniqueid", str)


class ChannelState(IntEnum):
    """The states of Asterisk's `enum ast_channel_state` that calls pass through; others read as DOWN."""

    DOWN = 0
    RESERVED = 1
    OFFHOOK = 2
    DIALING = 3
    RING = 4
    RINGING = 5
    UP = 6
    BUSY = 7


@dataclass(frozen=True, slots=True)
class Event:
    at: datetime


@dataclass(frozen=True, slots=True)
class ChannelEvent(Event):
    channel: str
    uniqueid: Uniqueid
    linkedid: Linkedid


@dataclass(frozen=True, slots=True)
class Newchannel(ChannelEvent):
    state: ChannelState
    caller_id_num: str | None
    caller_id_name: str | None
    context: str
    exten: str


@dataclass(frozen=True, slots=True)
class Newstate(ChannelEvent):
    state: ChannelState


@dataclass(frozen=True, slots=True)
class NewCallerid(ChannelEvent):
    caller_id_num: str | None
    caller_id_name: str | None


@dataclass(frozen=True, slots=True)
class DialBegin(Event):
    """*uniqueid* None: `Originate` dials, no channel does. *caller_id_num* is what the dialling channel presents,
    *dest_connected_line_num* the number that the dialled phone shows."""

    uniqueid: Uniqueid | None
    caller_id_num: str | None
    dest_channel: str
    dest_uniqueid: Uniqueid
    dest_linkedid: Linkedid
    dest_caller_id_num: str | None
    dial_string: str
    dest_connected_line_num: str | None = None


@dataclass(frozen=True, slots=True)
class DialEnd(Event):
    """*dial_status* is Asterisk's ``DIALSTATUS``; *forward* where a 302 sent the call instead."""

    uniqueid: Uniqueid | None
    dest_channel: str
    dest_uniqueid: Uniqueid
    dest_linkedid: Linkedid
    dial_status: str
    forward: str | None


@dataclass(frozen=True, slots=True)
class BridgeEnter(ChannelEvent):
    bridge: BridgeUniqueid
    bridge_type: str


@dataclass(frozen=True, slots=True)
class BridgeLeave(ChannelEvent):
    bridge: BridgeUniqueid


@dataclass(frozen=True, slots=True)
class Hold(ChannelEvent):
    """The channel's party makes the other one wait: by a key of its phone, or by the code of a transfer, which Asterisk
    listens for while the other one hears music. May be said again meanwhile."""


@dataclass(frozen=True, slots=True)
class Unhold(ChannelEvent):
    """Also comes with a transfer, whether there was a Hold or not, and not with every end of one."""


@dataclass(frozen=True, slots=True)
class HangupRequest(ChannelEvent):
    """Somebody wants this channel gone: the one who hung up, when it is the first of its kind in a conversation."""

    cause: int | None


@dataclass(frozen=True, slots=True)
class Hangup(ChannelEvent):
    """*cause* is a Q.850 number, 0 when Asterisk names none."""

    cause: int


@dataclass(frozen=True, slots=True)
class VarSet(ChannelEvent):
    variable: str
    value: str


@dataclass(frozen=True, slots=True)
class QueueCallerJoin(ChannelEvent):
    queue: str


@dataclass(frozen=True, slots=True)
class QueueCallerLeave(ChannelEvent):
    queue: str


@dataclass(frozen=True, slots=True)
class QueueCallerAbandon(ChannelEvent):
    queue: str


@dataclass(frozen=True, slots=True)
class OriginateResponse(Event):
    """The first leg of an `Originate` answered or did not. *uniqueid* is None when it never came to be an answer,
    unless whoever asked chose it. *reason*: Asterisk's `enum ast_control_frame_type`, 0 for none."""

    action_id: str
    success: bool
    channel: str
    uniqueid: Uniqueid | None
    exten: str
    caller_id_num: str | None
    reason: int = 0


@dataclass(frozen=True, slots=True)
class FullyBooted(Event):
    pass


@dataclass(frozen=True, slots=True)
class Shutdown(Event):
    pass


@dataclass(frozen=True, slots=True)
class CoreShowChannel:
    """One channel of a snapshot. *age*: since the channel was made, whole seconds. *application*: what it executes,
    ``AppDial`` for a channel that was dialled. *action_id*: who asked."""

    channel: str
    uniqueid: Uniqueid
    linkedid: Linkedid
    state: ChannelState
    caller_id_num: str | None
    caller_id_name: str | None
    connected_line_num: str | None
    context: str
    exten: str
    bridge: BridgeUniqueid | None
    application: str
    age: timedelta
    action_id: str = ""


@dataclass(frozen=True, slots=True)
class CoreShowChannelsComplete:
    """The last of a snapshot."""

    action_id: str


@dataclass(frozen=True, slots=True)
class Connected(Event):
    """A new connection greets: whatever happened since the last one was not seen."""

    version: str


@dataclass(frozen=True, slots=True)
class Disconnected(Event):
    """The connection is lost: from here on nothing is seen."""


@dataclass(frozen=True, slots=True)
class ChannelSnapshot(Event):
    """Every channel that lives now (`CoreShowChannels`), made by the session from its list of events."""

    channels: tuple[CoreShowChannel, ...]


@dataclass(frozen=True, slots=True)
class BlindTransfer(Event):
    """*transferer* has sent the other party to *exten*. An AMI `Redirect` sends no such event."""

    transferer: Uniqueid
    exten: str


@dataclass(frozen=True, slots=True)
class AttendedTransfer(Event):
    """*transferer* has joined whom he talked with and whom he consulted. *second*: his channel to the latter, who is
    known as *consulted*."""

    transferer: Uniqueid
    second: Uniqueid
    consulted: str | None


@dataclass(frozen=True, slots=True)
class Pickup(ChannelEvent):
    """The channel's party has taken the call for which *target* rings."""

    target: Uniqueid


@dataclass(frozen=True, slots=True)
class ParkedCall(Event):
    """*parker*: ``Technology/endpoint`` of who parked, where the parking lot would call back; may be empty. *patience*:
    after how long it does; zero for never."""

    parkee: Uniqueid
    parker: str
    space: str
    lot: str = ""
    patience: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Tick(Event):
    """Time passed and nothing else happened."""


AmiEvent: TypeAlias = (
    Newchannel
    | Newstate
    | NewCallerid
    | DialBegin
    | DialEnd
    | BridgeEnter
    | BridgeLeave
    | Hold
    | Unhold
    | HangupRequest
    | Hangup
    | VarSet
    | QueueCallerJoin
    | QueueCallerLeave
    | QueueCallerAbandon
    | OriginateResponse
    | BlindTransfer
    | AttendedTransfer
    | Pickup
    | ParkedCall
    | FullyBooted
    | Shutdown
    | Connected
    | Disconnected
    | ChannelSnapshot
    | Tick
)

RECORDING_VARIABLE = "MIXMONITOR_FILENAME"
"""Set by Asterisk when it begins to record: the path of the file."""

CLICK_VARIABLE = "AMIBRIDGE_CLICK"
"""Set by us on the channels of a call that we place, before anything else happens on them: our ActionID."""

CLICK = "amibridge-"
"""Begins the ActionID of a call that we place; the rest is the Uniqueid that its first channel is to get."""

CLICK_COUNTERS = range(10**11, 10**12)
"""Of the Uniqueids that we choose: Asterisk's own counters have ten digits at most, so the two never meet."""


FETCH_COUNTERS = range(10**10, 10**11)
"""The same for the phone of somebody who fetches a call that is there: his channel begins no call of its own."""


def click_of(uniqueid: str) -> str | None:
    """The ActionID of the call whose first channel has that Uniqueid, if we chose it."""
    return f"{CLICK}{uniqueid}" if _counter_of(uniqueid) in CLICK_COUNTERS else None


def is_fetch(uniqueid: str) -> bool:
    return _counter_of(uniqueid) in FETCH_COUNTERS


def is_asked_for(event: OriginateResponse) -> bool:
    """Whether it tells of an `Originate` of ours."""
    uniqueid = event.uniqueid
    return uniqueid is not None and event.action_id == f"{CLICK}{uniqueid}" and _counter_of(uniqueid) > 0


def _counter_of(uniqueid: str) -> int:
    """Of a Uniqueid that we chose; 0 of any other."""
    _, _, counter = uniqueid.rpartition(".")
    ours = len(counter) in (11, 12) and counter.isascii() and counter.isdecimal() and counter[0] != "0"
    return int(counter) if ours else 0
