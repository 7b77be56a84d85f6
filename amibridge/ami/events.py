"""Typed events, named exactly as Asterisk names them; its headers in our snake_case.

Laws: an event type that nobody folds is not decoded; the literal ``<unknown>`` is None; times are aware, from the
``Timestamp`` header (`timestampevents=yes`), else the moment the bytes arrived.
Source: https://docs.asterisk.org/Latest_API/API_Documentation/AMI_Events/ and recordings of Asterisk 16 and 22.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import NewType, TypeAlias

from amibridge.ami.wire import read_message

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


class MalformedMessage(ValueError):
    """A message names an event we fold but lacks what that event must have: count it and go on."""


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
    """*uniqueid* None: `Originate` dials, no channel does. *caller_id_num* is what the dialling channel presents."""

    uniqueid: Uniqueid | None
    caller_id_num: str | None
    dest_channel: str
    dest_uniqueid: Uniqueid
    dest_linkedid: Linkedid
    dest_caller_id_num: str | None
    dial_string: str


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
    """The first leg of an `Originate` answered or did not. *uniqueid* is None when it never came to be an answer."""

    action_id: str
    success: bool
    channel: str
    uniqueid: Uniqueid | None
    exten: str
    caller_id_num: str | None


@dataclass(frozen=True, slots=True)
class FullyBooted(Event):
    pass


@dataclass(frozen=True, slots=True)
class Shutdown(Event):
    pass


@dataclass(frozen=True, slots=True)
class CoreShowChannel:
    """One channel of a snapshot. *age*: since the channel was made, whole seconds. *application*: what it executes,
    ``AppDial`` for a channel that was dialled."""

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
    | HangupRequest
    | Hangup
    | VarSet
    | QueueCallerJoin
    | QueueCallerLeave
    | QueueCallerAbandon
    | OriginateResponse
    | FullyBooted
    | Shutdown
    | Connected
    | Disconnected
    | ChannelSnapshot
    | Tick
)

FOLDED_VARIABLES = ("MIXMONITOR_FILENAME",)
"""Channel variables whose `VarSet` means something; all others, half of an unfiltered stream, are not decoded."""

Headers: TypeAlias = Mapping[str, str]


def parse_event(raw: bytes, received_at: datetime) -> AmiEvent | CoreShowChannel | None:
    """The event in *raw*, a whole message that begins with ``Event: ``; None if nobody folds its kind.

    Raises `MalformedMessage`.
    """
    end = raw.find(b"\r", 7)
    name = raw[7:end] if end >= 0 else raw[7:]
    read = READERS.get(name)
    if read is None or (name == b"VarSet" and not any(mark in raw for mark in _VARIABLE_MARKS)):
        return None
    headers = read_message(raw).headers
    stamp = headers.get("Timestamp")
    try:
        at = received_at if stamp is None else datetime.fromtimestamp(float(stamp), UTC)
        return read(headers, at)
    except (KeyError, ValueError, OverflowError, OSError) as error:
        raise MalformedMessage(f"{name.decode('ascii', 'replace')}: {error!r}") from error


def known(value: str | None) -> str | None:
    """*value*, or None for Asterisk's ``<unknown>`` and for nothing."""
    return None if value is None or value in ("", "<unknown>") else value


def _state(value: str) -> ChannelState:
    number = int(value)
    return ChannelState(number) if number <= ChannelState.BUSY else ChannelState.DOWN


def _newchannel(h: Headers, at: datetime) -> AmiEvent:
    return Newchannel(
        at, h["Channel"], Uniqueid(h["Uniqueid"]), Linkedid(h["Linkedid"]), _state(h["ChannelState"]),
        known(h.get("CallerIDNum")), known(h.get("CallerIDName")), h.get("Context", ""), h.get("Exten", ""),
    )  # fmt: skip


def _newstate(h: Headers, at: datetime) -> AmiEvent:
    return Newstate(at, h["Channel"], Uniqueid(h["Uniqueid"]), Linkedid(h["Linkedid"]), _state(h["ChannelState"]))


def _new_callerid(h: Headers, at: datetime) -> AmiEvent:
    return NewCallerid(
        at, h["Channel"], Uniqueid(h["Uniqueid"]), Linkedid(h["Linkedid"]),
        known(h.get("CallerIDNum")), known(h.get("CallerIDName")),
    )  # fmt: skip


def _dial_begin(h: Headers, at: datetime) -> AmiEvent:
    uniqueid = h.get("Uniqueid")
    return DialBegin(
        at, Uniqueid(uniqueid) if uniqueid else None, known(h.get("CallerIDNum")),
        h["DestChannel"], Uniqueid(h["DestUniqueid"]), Linkedid(h["DestLinkedid"]),
        known(h.get("DestCallerIDNum")), h.get("DialString", ""),
    )  # fmt: skip


def _dial_end(h: Headers, at: datetime) -> AmiEvent:
    uniqueid = h.get("Uniqueid")
    return DialEnd(
        at, Uniqueid(uniqueid) if uniqueid else None,
        h["DestChannel"], Uniqueid(h["DestUniqueid"]), Linkedid(h["DestLinkedid"]),
        h["DialStatus"], h.get("Forward") or None,
    )  # fmt: skip


def _bridge_enter(h: Headers, at: datetime) -> AmiEvent:
    return BridgeEnter(
        at, h["Channel"], Uniqueid(h["Uniqueid"]), Linkedid(h["Linkedid"]),
        BridgeUniqueid(h["BridgeUniqueid"]), h.get("BridgeType", "basic"),
    )  # fmt: skip


def _bridge_leave(h: Headers, at: datetime) -> AmiEvent:
    return BridgeLeave(
        at, h["Channel"], Uniqueid(h["Uniqueid"]), Linkedid(h["Linkedid"]), BridgeUniqueid(h["BridgeUniqueid"])
    )


def _hangup_request(h: Headers, at: datetime) -> AmiEvent:
    cause = h.get("Cause")
    return HangupRequest(
        at, h["Channel"], Uniqueid(h["Uniqueid"]), Linkedid(h["Linkedid"]), int(cause) if cause else None
    )


def _hangup(h: Headers, at: datetime) -> AmiEvent:
    return Hangup(at, h["Channel"], Uniqueid(h["Uniqueid"]), Linkedid(h["Linkedid"]), int(h.get("Cause") or 0))


def _var_set(h: Headers, at: datetime) -> AmiEvent:
    return VarSet(at, h["Channel"], Uniqueid(h["Uniqueid"]), Linkedid(h["Linkedid"]), h["Variable"], h.get("Value", ""))


def _queue_caller_join(h: Headers, at: datetime) -> AmiEvent:
    return QueueCallerJoin(at, h["Channel"], Uniqueid(h["Uniqueid"]), Linkedid(h["Linkedid"]), h["Queue"])


def _queue_caller_leave(h: Headers, at: datetime) -> AmiEvent:
    return QueueCallerLeave(at, h["Channel"], Uniqueid(h["Uniqueid"]), Linkedid(h["Linkedid"]), h["Queue"])


def _queue_caller_abandon(h: Headers, at: datetime) -> AmiEvent:
    return QueueCallerAbandon(at, h["Channel"], Uniqueid(h["Uniqueid"]), Linkedid(h["Linkedid"]), h["Queue"])


def _originate_response(h: Headers, at: datetime) -> AmiEvent:
    uniqueid = known(h.get("Uniqueid"))
    return OriginateResponse(
        at, h.get("ActionID", ""), h["Response"] == "Success", h.get("Channel", ""),
        Uniqueid(uniqueid) if uniqueid else None, h.get("Exten", ""), known(h.get("CallerIDNum")),
    )  # fmt: skip


def _fully_booted(h: Headers, at: datetime) -> AmiEvent:
    return FullyBooted(at)


def _shutdown(h: Headers, at: datetime) -> AmiEvent:
    return Shutdown(at)


def _core_show_channel(h: Headers, at: datetime) -> CoreShowChannel:
    hours, minutes, seconds = h.get("Duration", "00:00:00").split(":")
    return CoreShowChannel(
        h["Channel"], Uniqueid(h["Uniqueid"]), Linkedid(h["Linkedid"]), _state(h["ChannelState"]),
        known(h.get("CallerIDNum")), known(h.get("CallerIDName")), known(h.get("ConnectedLineNum")),
        h.get("Context", ""), h.get("Exten", ""),
        BridgeUniqueid(h["BridgeId"]) if h.get("BridgeId") else None, h.get("Application", ""),
        timedelta(hours=int(hours), minutes=int(minutes), seconds=int(seconds)),
    )  # fmt: skip


READERS: Mapping[bytes, Callable[[Headers, datetime], AmiEvent | CoreShowChannel]] = {
    b"Newchannel": _newchannel,
    b"Newstate": _newstate,
    b"NewCallerid": _new_callerid,
    b"DialBegin": _dial_begin,
    b"DialEnd": _dial_end,
    b"BridgeEnter": _bridge_enter,
    b"BridgeLeave": _bridge_leave,
    b"HangupRequest": _hangup_request,
    b"Hangup": _hangup,
    b"VarSet": _var_set,
    b"QueueCallerJoin": _queue_caller_join,
    b"QueueCallerLeave": _queue_caller_leave,
    b"QueueCallerAbandon": _queue_caller_abandon,
    b"OriginateResponse": _originate_response,
    b"FullyBooted": _fully_booted,
    b"Shutdown": _shutdown,
    b"CoreShowChannel": _core_show_channel,
}

_VARIABLE_MARKS = tuple(b"\r\nVariable: %s\r\n" % name.encode() for name in FOLDED_VARIABLES)
