"""One conversation with Asterisk as its bytes tell it, without any I/O.

Laws: events come out in the order Asterisk sent them; a garbled message is counted and the stream goes on; a
snapshot is one event, however many messages it took; a greeting in the middle of a trace begins a new connection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeAlias

from amibridge.ami.events import (
    AmiEvent,
    ChannelSnapshot,
    Connected,
    CoreShowChannel,
    CoreShowChannelsComplete,
    FullyBooted,
)
from amibridge.ami.reading import MalformedMessage, parse_event, sift, time_of
from amibridge.ami.wire import Framer, Message, read_message, split

MOST_CHANNELS = 20_000
"""In one snapshot. A list that does not end is no list of channels."""

MOST_SNAPSHOTS = 4
"""Begun at the same time. We ask for one at a time."""

BANNER = b"Asterisk Call Manager/"

GREETING = re.compile(BANNER + rb"([^\r\n]*)\r\n(?=Response: |Event: |$)")
"""The banner ends with a single line break, so it arrives glued to the first message, or to the half message in
which an earlier connection of a trace broke off. A header value cannot imitate it: it holds no line break."""


class SessionState(StrEnum):
    GREETING = "greeting"
    LOGGING_IN = "logging_in"
    AUTHENTICATED = "authenticated"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class Reply:
    """Asterisk's answer to one action."""

    action_id: str
    success: bool
    message: Message


Received: TypeAlias = AmiEvent | Reply


class Session:
    """Folds received bytes into events and replies. *state* says how far the login has come, *has_heard* whether a
    whole message has come at all, *garbled* how many could not be read."""

    def __init__(self) -> None:
        self.state = SessionState.GREETING
        self.has_heard = False
        self.garbled = 0
        self._framer = Framer()
        self._snapshots: dict[str, list[CoreShowChannel]] = {}
        self._ahead = timedelta(0)
        self._last_at = datetime.fromtimestamp(0, UTC)

    @property
    def oversized(self) -> int:
        """Messages dropped because they never ended."""
        return self._framer.oversized

    def receive_data(self, chunk: bytes, received_at: datetime | None = None) -> list[Received]:
        """What *chunk* completes. Without *received_at* (a trace) the last Timestamp seen is the time."""
        block = self._framer.block(chunk)
        if not block:
            return []
        self.has_heard = True
        received: list[Received] = []
        may_greet = BANNER in block
        for raw in split(block) if may_greet else sift(block):
            arrived = self._last_at if received_at is None else received_at
            if may_greet and (greeting := GREETING.search(raw)) is not None:
                received.append(self._greet(greeting, arrived))
                raw = raw[greeting.end() :]
            if raw.startswith(b"Event: "):
                self._read_event(raw, arrived, received)
            else:
                self._read_other(raw, arrived, received)
        return received

    def pbx_time(self, ours: datetime) -> datetime:
        """What the clock of the PBX shows when ours shows *ours*."""
        return ours + self._ahead

    def _read_event(self, raw: bytes, arrived: datetime, received: list[Received]) -> None:
        try:
            event = parse_event(raw, arrived)
        except MalformedMessage:
            self.garbled += 1
            return
        if event is None:
            return
        if isinstance(event, CoreShowChannel):
            self._keep_for_snapshot(event)
            return
        if isinstance(event, CoreShowChannelsComplete):
            received.append(self._complete_snapshot(event, arrived))
            return
        if event.at is not arrived:
            self._learn_time(event.at, arrived)
        if isinstance(event, FullyBooted):
            self.state = SessionState.READY
        received.append(event)

    def _read_other(self, raw: bytes, arrived: datetime, received: list[Received]) -> None:
        message = read_message(raw)
        response = message.get("Response")
        if not response:
            self.garbled += bool(raw.strip())
            return
        if self.state is SessionState.LOGGING_IN and message.get("Message") == "Authentication accepted":
            self.state = SessionState.AUTHENTICATED
        if (at := time_of(message.get("Timestamp"))) is not None:  # of a Pong
            self._learn_time(at, arrived)
        received.append(Reply(message.get("ActionID"), response in ("Success", "Goodbye", "Follows"), message))

    def _learn_time(self, at: datetime, arrived: datetime) -> None:
        """Asterisk's clock showed *at*. A trace has no other clock."""
        if arrived is not self._last_at:
            self._ahead = at - arrived
        self._last_at = at

    def _greet(self, greeting: re.Match[bytes], arrived: datetime) -> Connected:
        self.garbled += greeting.start() > 0
        self.state = SessionState.LOGGING_IN
        self._snapshots.clear()
        return Connected(arrived, greeting[1].decode("ascii", "replace").strip())

    def _keep_for_snapshot(self, channel: CoreShowChannel) -> None:
        if channel.action_id not in self._snapshots and len(self._snapshots) >= MOST_SNAPSHOTS:
            del self._snapshots[next(iter(self._snapshots))]
        channels = self._snapshots.setdefault(channel.action_id, [])
        if len(channels) < MOST_CHANNELS:
            channels.append(channel)
        else:
            self.garbled += 1

    def _complete_snapshot(self, last: CoreShowChannelsComplete, arrived: datetime) -> ChannelSnapshot:
        """Lists carry no Timestamp: the snapshot is dated by our clock, corrected by how far Asterisk's is ahead."""
        channels = self._snapshots.pop(last.action_id, [])
        return ChannelSnapshot(self.pbx_time(arrived), tuple(channels))
