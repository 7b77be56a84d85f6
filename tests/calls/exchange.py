"""Calls written down as a PBX would tell of them: who calls from which context, what is dialled, and who talked."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from amibridge.ami.events import (
    AmiEvent,
    BridgeEnter,
    BridgeUniqueid,
    ChannelState,
    DialBegin,
    Hangup,
    Linkedid,
    NewCallerid,
    Newchannel,
    Newstate,
    Uniqueid,
)
from amibridge.calls.board import Board, replay
from amibridge.calls.facts import CallEnded
from amibridge.calls.numbering import Numbering
from amibridge.calls.record import CallRecord
from amibridge.calls.telling import Anomaly


@dataclass
class Exchange:
    """One call. Channels are called by their names without serial."""

    events: list[AmiEvent] = field(default_factory=list)
    _now: datetime = datetime(2026, 11, 24, 9, tzinfo=UTC)
    _channels: dict[str, int] = field(default_factory=dict)

    def calls(self, name: str, caller_id: str | None, context: str, exten: str) -> Exchange:
        return self._begin(name, ChannelState.RING, caller_id, context, exten)

    def dials(self, by: str, name: str, dial_string: str, *, caller_id: str | None = None, context: str) -> Exchange:
        self._begin(name, ChannelState.DOWN, caller_id, context, "s")
        self._say(
            DialBegin(
                self._tick(), self._id(by), None, self._full(name), self._id(name), Linkedid(self._first),
                caller_id, dial_string,
            )
        )  # fmt: skip
        return self._state(name, ChannelState.RINGING)

    def speaks_as(self, name: str, caller_id: str) -> Exchange:
        return self._say(NewCallerid(self._tick(), *self._channel(name), caller_id, None))

    def talk(self, *names: str) -> Exchange:
        for name in names:
            self._state(name, ChannelState.UP)
            self._say(BridgeEnter(self._tick(), *self._channel(name), BridgeUniqueid("room"), "basic"))
        return self

    def answers(self, name: str) -> Exchange:
        """The PBX takes the call itself: a menu, a voicemail, a feature code."""
        return self._state(name, ChannelState.UP)

    def all_hang_up(self) -> Exchange:
        for name in reversed(self._channels):
            self._say(Hangup(self._tick(), *self._channel(name), 16))
        return self

    def told(self, numbering: Numbering | None = None) -> tuple[list[CallRecord], list[Anomaly]]:
        """What the board makes of it when it is over."""
        board = Board("pbx", numbering)
        facts = replay(board, self.events)
        assert board.live_calls() == []
        return [fact.record for fact in facts if isinstance(fact, CallEnded)], board.take_anomalies()

    @property
    def _first(self) -> str:
        return f"1795491044.{min(self._channels.values())}"

    def _begin(self, name: str, state: ChannelState, caller_id: str | None, context: str, exten: str) -> Exchange:
        self._channels[name] = len(self._channels) + 1
        return self._say(Newchannel(self._tick(), *self._channel(name), state, caller_id, None, context, exten))

    def _state(self, name: str, state: ChannelState) -> Exchange:
        return self._say(Newstate(self._tick(), *self._channel(name), state))

    def _say(self, event: AmiEvent) -> Exchange:
        self.events.append(event)
        return self

    def _channel(self, name: str) -> tuple[str, Uniqueid, Linkedid]:
        return self._full(name), self._id(name), Linkedid(self._first)

    def _full(self, name: str) -> str:
        return f"{name}-{self._channels[name]:08x}"

    def _id(self, name: str) -> Uniqueid:
        return Uniqueid(f"1795491044.{self._channels[name]}")

    def _tick(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now
