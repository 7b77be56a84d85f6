"""From a message to the typed event it is.

Laws: an event type that nobody folds is not decoded; times are from the ``Timestamp`` header (`timestampevents=yes`),
else the moment the bytes arrived.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from amibridge.ami.events import (
    CLICK_VARIABLE,
    RECORDING_VARIABLE,
    AmiEvent,
    AttendedTransfer,
    BlindTransfer,
    BridgeEnter,
    BridgeLeave,
    BridgeUniqueid,
    ChannelState,
    CoreShowChannel,
    CoreShowChannelsComplete,
    DialBegin,
    DialEnd,
    FullyBooted,
    Hangup,
    HangupRequest,
    Hold,
    Linkedid,
    NewCallerid,
    Newchannel,
    Newstate,
    OriginateResponse,
    ParkedCall,
    Pickup,
    QueueCallerAbandon,
    QueueCallerJoin,
    QueueCallerLeave,
    Shutdown,
    Unhold,
    Uniqueid,
    VarSet,
)
from amibridge.ami.wire import END_OF_MESSAGE, Headers


class MalformedMessage(ValueError):
    """A message names an event we fold but lacks what that event must have: count it and go on."""


FOLDED_VARIABLES = (RECORDING_VARIABLE, CLICK_VARIABLE, f"__{CLICK_VARIABLE}")
"""Underscores make it inherited, and are shown. Of all others, half of an unfiltered stream, none is decoded."""

OLDEST = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
NEWEST = datetime(2100, 1, 1, tzinfo=UTC).timestamp()

LONGEST_CALL = timedelta(days=1000)

Parsed: TypeAlias = AmiEvent | CoreShowChannel | CoreShowChannelsComplete | None
Reader: TypeAlias = Callable[[Headers, datetime], Parsed]


def sift(block: bytes) -> Iterator[bytes]:
    """The messages of a `Framer.block`, oldest first, without most of the events that nobody folds.

    Nine in ten are such, so they are passed over where they lie.
    """
    has_variables = _RECORDING in block or _CLICK in block
    wanted = _WANTED if has_variables else _WANTED_BUT_VARIABLES
    for match in wanted.finditer(block):
        start = match.end()
        end = block.find(END_OF_MESSAGE, start)
        yield (block[start:end] if end >= 0 else block[start:]).rstrip(b"\r\n")


def reader_of(raw: bytes) -> Reader | None:
    """Who reads the event in *raw*, a whole message that begins with ``Event: ``; None if nobody folds its kind."""
    end = raw.find(b"\r", 7)
    read = READERS.get(raw[7:end] if end >= 0 else raw[7:])
    if read is _var_set:
        start = raw.find(_VARIABLE, end) + len(_VARIABLE)
        if raw[start : raw.find(b"\r", start)] not in _FOLDED_VARIABLES:
            return None
    return read


def parse_event(raw: bytes, received_at: datetime) -> Parsed:
    """The event in *raw*, a whole message that begins with ``Event: ``; None if nobody folds it.

    Raises `MalformedMessage`.
    """
    read = reader_of(raw)
    if read is None:
        return None
    headers = Headers(raw)
    try:
        return read(headers, time_of(headers.get("Timestamp")) or received_at)
    except (KeyError, ValueError) as error:
        name = raw[7:].partition(b"\r")[0].decode("ascii", "replace")
        raise MalformedMessage(f"{name}: {error!r}") from error


def time_of(stamp: str | None) -> datetime | None:
    """The moment a ``Timestamp`` header names; None for one that no clock shows."""
    try:
        seconds = float(stamp or "nan")
    except ValueError:
        return None
    return datetime.fromtimestamp(seconds, UTC) if OLDEST <= seconds < NEWEST else None


def known(value: str | None) -> str | None:
    """*value*, or None for Asterisk's ``<unknown>`` and for nothing."""
    return None if value is None or value in ("", "<unknown>") else value


def _unescaped(value: str) -> str:
    """AMI writes names and the values of variables as C would."""
    return _C_ESCAPE.sub(r"\1", value) if "\\" in value else value


def _name(value: str | None) -> str | None:
    """A name as it was sent: chan_pjsip leaves in it what SIP escapes (RFC 3261, quoted-pair)."""
    return known(value if value is None or "\\" not in value else _QUOTED_PAIR.sub(r"\1", _unescaped(value)))


_STATES = {str(int(state)): state for state in ChannelState}


def _state(value: str) -> ChannelState:
    state = _STATES.get(value)
    if state is not None:
        return state
    number = int(value)
    return ChannelState(number) if number <= ChannelState.BUSY else ChannelState.DOWN


def _newchannel(h: Headers, at: datetime) -> AmiEvent:
    return Newchannel(
        at, h["Channel"], Uniqueid(h["Uniqueid"]), Linkedid(h["Linkedid"]), _state(h["ChannelState"]),
        known(h.get("CallerIDNum")), _name(h.get("CallerIDName")), h.get("Context") or "", h.get("Exten") or "",
    )  # fmt: skip


def _newstate(h: Headers, at: datetime) -> AmiEvent:
    return Newstate(at, h["Channel"], Uniqueid(h["Uniqueid"]), Linkedid(h["Linkedid"]), _state(h["ChannelState"]))


def _new_callerid(h: Headers, at: datetime) -> AmiEvent:
    return NewCallerid(
        at, h["Channel"], Uniqueid(h["Uniqueid"]), Linkedid(h["Linkedid"]),
        known(h.get("CallerIDNum")), _name(h.get("CallerIDName")),
    )  # fmt: skip


def _dial_begin(h: Headers, at: datetime) -> AmiEvent:
    uniqueid = h.get("Uniqueid")
    return DialBegin(
        at, Uniqueid(uniqueid) if uniqueid else None, known(h.get("CallerIDNum")),
        h["DestChannel"], Uniqueid(h["DestUniqueid"]), Linkedid(h["DestLinkedid"]),
        known(h.get("DestCallerIDNum")), h.get("DialString") or "", known(h.get("DestConnectedLineNum")),
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
        BridgeUniqueid(h["BridgeUniqueid"]), h.get("BridgeType") or "basic",
    )  # fmt: skip


def _bridge_leave(h: Headers, at: datetime) -> AmiEvent:
    return BridgeLeave(
        at, h["Channel"], Uniqueid(h["Uniqueid"]), Linkedid(h["Linkedid"]), BridgeUniqueid(h["BridgeUniqueid"])
    )


def _hold(h: Headers, at: datetime) -> AmiEvent:
    return Hold(at, h["Channel"], Uniqueid(h["Uniqueid"]), Linkedid(h["Linkedid"]))


def _unhold(h: Headers, at: datetime) -> AmiEvent:
    return Unhold(at, h["Channel"], Uniqueid(h["Uniqueid"]), Linkedid(h["Linkedid"]))


def _hangup_request(h: Headers, at: datetime) -> AmiEvent:
    cause = h.get("Cause")
    return HangupRequest(
        at, h["Channel"], Uniqueid(h["Uniqueid"]), Linkedid(h["Linkedid"]), int(cause) if cause else None
    )


def _hangup(h: Headers, at: datetime) -> AmiEvent:
    return Hangup(at, h["Channel"], Uniqueid(h["Uniqueid"]), Linkedid(h["Linkedid"]), int(h.get("Cause") or 0))


def _var_set(h: Headers, at: datetime) -> AmiEvent:
    return VarSet(
        at, h["Channel"], Uniqueid(h["Uniqueid"]), Linkedid(h["Linkedid"]), h["Variable"].lstrip("_"),
        _unescaped(h.get("Value") or ""),
    )  # fmt: skip


def _queue_caller_join(h: Headers, at: datetime) -> AmiEvent:
    return QueueCallerJoin(at, h["Channel"], Uniqueid(h["Uniqueid"]), Linkedid(h["Linkedid"]), h["Queue"])


def _queue_caller_leave(h: Headers, at: datetime) -> AmiEvent:
    return QueueCallerLeave(at, h["Channel"], Uniqueid(h["Uniqueid"]), Linkedid(h["Linkedid"]), h["Queue"])


def _queue_caller_abandon(h: Headers, at: datetime) -> AmiEvent:
    return QueueCallerAbandon(at, h["Channel"], Uniqueid(h["Uniqueid"]), Linkedid(h["Linkedid"]), h["Queue"])


def _originate_response(h: Headers, at: datetime) -> AmiEvent:
    uniqueid = known(h.get("Uniqueid"))
    return OriginateResponse(
        at, h.get("ActionID") or "", h["Response"] == "Success", h.get("Channel") or "",
        Uniqueid(uniqueid) if uniqueid else None, h.get("Exten") or "", known(h.get("CallerIDNum")),
        int(h.get("Reason") or 0),
    )  # fmt: skip


def _blind_transfer(h: Headers, at: datetime) -> AmiEvent | None:
    if h["Result"] != "Success":
        return None
    return BlindTransfer(at, Uniqueid(h["TransfererUniqueid"]), h.get("Extension") or "")


def _attended_transfer(h: Headers, at: datetime) -> AmiEvent | None:
    if h["Result"] != "Success":
        return None
    return AttendedTransfer(
        at, Uniqueid(h["OrigTransfererUniqueid"]), Uniqueid(h["SecondTransfererUniqueid"]),
        known(h.get("SecondTransfererConnectedLineNum")),
    )  # fmt: skip


def _pickup(h: Headers, at: datetime) -> AmiEvent:
    return Pickup(at, h["Channel"], Uniqueid(h["Uniqueid"]), Linkedid(h["Linkedid"]), Uniqueid(h["TargetUniqueid"]))


def _parked_call(h: Headers, at: datetime) -> AmiEvent:
    """Of a list, too, which tells how long he has been there, and how long he has left."""
    since, left = (timedelta(seconds=int(h.get(key) or 0)) for key in ("ParkingDuration", "ParkingTimeout"))
    if not timedelta(0) <= since <= LONGEST_CALL or left > LONGEST_CALL:
        raise ValueError("nobody waits so long")
    patience = since + left if left > timedelta(0) else timedelta(0)
    return ParkedCall(
        at - since, Uniqueid(h["ParkeeUniqueid"]), h.get("ParkerDialString") or "", h.get("ParkingSpace") or "",
        h.get("Parkinglot") or "", patience,
    )  # fmt: skip


def _fully_booted(h: Headers, at: datetime) -> AmiEvent:
    return FullyBooted(at)


def _shutdown(h: Headers, at: datetime) -> AmiEvent:
    return Shutdown(at)


def _core_show_channel(h: Headers, at: datetime) -> CoreShowChannel:
    hours, minutes, seconds = (int(part) for part in (h.get("Duration") or "00:00:00").split(":"))
    age = timedelta(seconds=min((hours * 60 + minutes) * 60 + seconds, LONGEST_CALL.total_seconds()))
    return CoreShowChannel(
        h["Channel"], Uniqueid(h["Uniqueid"]), Linkedid(h["Linkedid"]), _state(h["ChannelState"]),
        known(h.get("CallerIDNum")), _name(h.get("CallerIDName")), known(h.get("ConnectedLineNum")),
        h.get("Context") or "", h.get("Exten") or "",
        BridgeUniqueid(h["BridgeId"]) if h.get("BridgeId") else None, h.get("Application") or "",
        age, h.get("ActionID") or "",
    )  # fmt: skip


def _core_show_channels_complete(h: Headers, at: datetime) -> CoreShowChannelsComplete:
    return CoreShowChannelsComplete(h.get("ActionID") or "")


READERS: Mapping[bytes, Reader] = {
    b"Newchannel": _newchannel,
    b"Newstate": _newstate,
    b"NewCallerid": _new_callerid,
    b"DialBegin": _dial_begin,
    b"DialEnd": _dial_end,
    b"BridgeEnter": _bridge_enter,
    b"BridgeLeave": _bridge_leave,
    b"Hold": _hold,
    b"Unhold": _unhold,
    b"HangupRequest": _hangup_request,
    b"Hangup": _hangup,
    b"VarSet": _var_set,
    b"QueueCallerJoin": _queue_caller_join,
    b"QueueCallerLeave": _queue_caller_leave,
    b"QueueCallerAbandon": _queue_caller_abandon,
    b"OriginateResponse": _originate_response,
    b"BlindTransfer": _blind_transfer,
    b"AttendedTransfer": _attended_transfer,
    b"Pickup": _pickup,
    b"ParkedCall": _parked_call,
    b"FullyBooted": _fully_booted,
    b"Shutdown": _shutdown,
    b"CoreShowChannel": _core_show_channel,
    b"CoreShowChannelsComplete": _core_show_channels_complete,
}

_VARIABLE = b"\r\nVariable: "
_RECORDING, _CLICK = RECORDING_VARIABLE.encode(), CLICK_VARIABLE.encode()
_FOLDED_VARIABLES = frozenset(name.encode() for name in FOLDED_VARIABLES)


def _all_but_unfolded(folded: Iterable[bytes]) -> re.Pattern[bytes]:
    """Matches up to every message that is not an event, or one of *folded*."""
    return re.compile(rb"\r\n\r\n[\r\n]*+(?!Event: (?!(?:%s)(?:\r|\Z)))" % b"|".join(folded))


_WANTED = _all_but_unfolded(READERS)
_WANTED_BUT_VARIABLES = _all_but_unfolded(READERS.keys() - {b"VarSet"})

_C_ESCAPE = re.compile(r"""\\([\\'"?])""")
_QUOTED_PAIR = re.compile(r"""\\([\\"])""")
