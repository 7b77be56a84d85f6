"""Cutting one call out of a trace, so that a replay of the cut tells of that call what a replay of the whole tells.

Laws: a message belongs to a call by the ids in its headers, whatever their prefix, and ids are akin that stand in one
message or meet in one conversation; what concerns every call (greetings, boots, shutdowns, ends of snapshots) stays,
with the time it had. Two passes, each linear; what is remembered grows with the number of channels, not of bytes.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from amibridge.ami.reading import FOLDED_VARIABLES, READERS
from amibridge.ami.transcript import split_greeting

_ID = re.compile(rb"\r\n(?![A-Za-z]*Bridge)\w*?(?:[Uu]nique|[Ll]inked)[Ii][Dd]: ([^<\r\n][^\r\n]*)")
_HEADER = {
    name: re.compile(rb"\r\n%b: ([^\r\n]*)" % name)
    for name in (b"Timestamp", b"Uniqueid", b"BridgeUniqueid", b"BridgeId", b"BridgeType", b"Channel", b"DestChannel")
}
_SILENT = (b"parking", b"holding")
"""Bridges in which channels meet and no two of them talk."""

_OF_ALL_CALLS = (b"FullyBooted", b"Shutdown", b"CoreShowChannelsComplete")

LONGEST_ORIGINATE = 600.0
"""Seconds within which a failed `Originate`, which names no channel, may be that of a channel rung at its endpoint."""


class Kinship:
    """Which ids belong to one call: learnt from every message of a trace (without its end), asked afterwards."""

    def __init__(self) -> None:
        self._parents: dict[bytes, bytes] = {}
        self._in_bridge: dict[bytes, set[bytes]] = {}
        self._shown: list[tuple[bytes, bytes]] = []
        self._originated: dict[bytes, deque[tuple[float, bytes]]] = {}

    def learn(self, message: bytes) -> None:
        _, raw = split_greeting(message)
        if not raw.startswith(b"Event: "):
            return
        ids = _ID.findall(raw)
        for other in ids:
            self._join(ids[0], other)
        match _kind(raw):
            case b"BridgeEnter":
                self._meet(raw)
            case b"BridgeLeave":
                self._part(_value(raw, b"BridgeUniqueid"), _value(raw, b"Uniqueid"))
            case b"CoreShowChannel":
                self._shown.append((_value(raw, b"BridgeId"), _value(raw, b"Uniqueid")))
            case b"CoreShowChannelsComplete":
                self._in_bridge.clear()
                for bridge, channel in self._shown:
                    if bridge:
                        self._in_bridge.setdefault(bridge, set()).add(channel)
                self._shown.clear()
            case b"DialBegin" if not _value(raw, b"Uniqueid") and ids:
                rung = self._originated.setdefault(_endpoint(_value(raw, b"DestChannel")), deque(maxlen=64))
                rung.append((_time(raw), ids[0]))
            case b"OriginateResponse" if not ids:
                self._join_originated(_endpoint(_value(raw, b"Channel")), _time(raw))
            case _:
                pass

    def of(self, uniqueid: bytes) -> frozenset[bytes]:
        """*uniqueid* with all that is akin to it; nothing when no message named it."""
        if uniqueid not in self._parents:
            return frozenset()
        root = self._root(uniqueid)
        return frozenset(one for one in list(self._parents) if self._root(one) == root)

    def _meet(self, raw: bytes) -> None:
        if _value(raw, b"BridgeType") in _SILENT:
            return
        channel = _value(raw, b"Uniqueid")
        mates = self._in_bridge.setdefault(_value(raw, b"BridgeUniqueid"), set())
        if mates:
            self._join(next(iter(mates)), channel)
        mates.add(channel)

    def _part(self, bridge: bytes, channel: bytes) -> None:
        mates = self._in_bridge.get(bridge, set())
        mates.discard(channel)
        if not mates:
            self._in_bridge.pop(bridge, None)

    def _join_originated(self, endpoint: bytes, at: float) -> None:
        recent = [channel for since, channel in self._originated.get(endpoint, ()) if at - since <= LONGEST_ORIGINATE]
        for channel in recent:
            self._join(recent[0], channel)

    def _join(self, one: bytes, other: bytes) -> None:
        self._parents[self._root(one)] = self._root(other)

    def _root(self, one: bytes) -> bytes:
        parents = self._parents
        while (parent := parents.setdefault(one, one)) != one:
            parents[one] = one = parents[parent]
        return one


def cut_call(messages: Sequence[bytes], uniqueid: bytes) -> list[bytes]:
    """Of *messages* in memory those that belong to the call of the channel *uniqueid*; none when it is not there."""
    kinship = Kinship()
    for message in messages:
        kinship.learn(message)
    kin = kinship.of(uniqueid)
    return list(cut(messages, kin)) if kin else []


def cut(messages: Iterable[bytes], kin: frozenset[bytes]) -> Iterator[bytes]:
    """The messages that concern the channels of *kin* or all channels."""
    clock = told = b""
    endpoints: set[bytes] = set()
    for message in messages:
        greeting, raw = split_greeting(message)
        own = _own_time(raw)
        concerns = bool(kin.intersection(_ID.findall(raw)))
        if concerns and raw.startswith(b"Event: DialBegin") and not _value(raw, b"Uniqueid"):
            endpoints.add(_endpoint(_value(raw, b"DestChannel")))
        if raw.startswith(b"Event: OriginateResponse") and not concerns:
            concerns = _endpoint(_value(raw, b"Channel")) in endpoints and not _ID.search(raw)
        if greeting or concerns or _kind(raw) in _OF_ALL_CALLS:
            if clock != told and (greeting or not own):
                yield _pong(clock)
                told = clock
            if greeting:
                of_login = raw.startswith(b"Response: ")
                yield greeting + (raw if of_login else _pong(clock))
                if of_login:
                    raw = b""
            if raw and (concerns or _kind(raw) in _OF_ALL_CALLS):
                yield raw
                told = own or told
        clock = own or clock


def _kind(raw: bytes) -> bytes:
    return raw[7:].partition(b"\r")[0] if raw.startswith(b"Event: ") else b""


def _own_time(raw: bytes) -> bytes:
    """The time in *raw* by which a session would set its clock: that of events which are folded, and of Pongs."""
    kind = _kind(raw)
    if kind and (kind not in READERS or kind == b"CoreShowChannel"):
        return b""
    if kind == b"VarSet" and _variable(raw) not in FOLDED_VARIABLES:
        return b""
    return _value(raw, b"Timestamp")


def _variable(raw: bytes) -> str:
    _, _, after = raw.partition(b"\r\nVariable: ")
    return after.partition(b"\r\n")[0].decode("ascii", "replace")


def _pong(clock: bytes) -> bytes:
    """A message that tells a session the time and nothing else."""
    return b"Response: Success\r\nPing: Pong\r\nTimestamp: %b" % clock


def _value(raw: bytes, name: bytes) -> bytes:
    found = _HEADER[name].search(raw)
    return found[1] if found is not None else b""


def _time(raw: bytes) -> float:
    try:
        return float(_value(raw, b"Timestamp"))
    except ValueError:
        return 0.0


def _endpoint(channel: bytes) -> bytes:
    """``Technology/endpoint`` of a channel, without serial, half of a Local channel, or ``/n``."""
    name = channel.partition(b";")[0].removesuffix(b"/n")
    head, dash, serial = name.rpartition(b"-")
    return head if dash and re.fullmatch(rb"[0-9a-fA-F]{8}", serial) else name
