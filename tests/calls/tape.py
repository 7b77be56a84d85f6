"""Events written by hand: channels with names, and what happens to them, one tenth of a second after another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from amibridge.ami.events import (
    RECORDING_VARIABLE,
    AmiEvent,
    AttendedTransfer,
    BlindTransfer,
    BridgeEnter,
    BridgeLeave,
    BridgeUniqueid,
    ChannelState,
    DialBegin,
    DialEnd,
    Hangup,
    HangupRequest,
    Hold,
    Linkedid,
    Newchannel,
    Newstate,
    ParkedCall,
    QueueCallerAbandon,
    QueueCallerJoin,
    QueueCallerLeave,
    Unhold,
    Uniqueid,
    VarSet,
)
from amibridge.calls.board import Board, replay
from amibridge.calls.facts import CallEnded
from amibridge.calls.record import CallRecord

RING, RINGING, UP, DOWN = ChannelState.RING, ChannelState.RINGING, ChannelState.UP, ChannelState.DOWN

STEP = timedelta(milliseconds=200)
"""Longer than an instant."""


class Tape:
    def __init__(self) -> None:
        self.events: list[AmiEvent] = []
        self.now = datetime(2026, 11, 25, 9, tzinfo=UTC)
        self._channels: dict[Uniqueid, tuple[str, Uniqueid, Linkedid]] = {}

    def records(self) -> list[CallRecord]:
        """In the order the calls began."""
        board = Board("pbx")
        ended = [fact.record for fact in replay(board, self.events) if isinstance(fact, CallEnded)]
        assert board.live_calls() == []
        assert [one.text for one in board.take_anomalies()] == []
        return sorted(ended, key=lambda record: record.started_at)

    def passes(self, span: timedelta = STEP) -> datetime:
        self.now += span
        return self.now

    def channel(
        self, name: str, state: ChannelState = RING, *, of: Uniqueid | None = None, exten: str = "", number: str = ""
    ) -> Uniqueid:
        """A channel of endpoint *name*, of the call of another one or of its own, that dials *exten*. *number*: what
        it shows, by default a public one."""
        serial = len(self._channels)
        uniqueid = Uniqueid(f"1795600000.{serial}")
        linkedid = Linkedid(uniqueid) if of is None else self._channels[of][2]
        full = name if ";" in name else f"{name}-{serial:08x}"
        self._channels[uniqueid] = full, uniqueid, linkedid
        self.events.append(
            Newchannel(
                self.passes(), full, uniqueid, linkedid, state, number or f"7916{serial:07}", None, "plan", exten
            )
        )
        return uniqueid

    def customer(self, line: str = "74951110001") -> Uniqueid:
        return self.channel("PJSIP/trunk", exten=line)

    def dials(self, who: Uniqueid | None, name: str, string: str = "", *, rings: bool = True) -> Uniqueid:
        """The channel that *who* dials; nobody's channel dials where Asterisk does it itself."""
        dest = self.channel(name, DOWN, of=who)
        full, _, linkedid = self._channels[dest]
        number = string.partition("@")[0] or None
        self.events.append(DialBegin(self.now, who, "101", full, dest, linkedid, number, string))
        if rings:
            self.state(dest, RINGING)
        return dest

    def dial_ends(self, who: Uniqueid | None, dest: Uniqueid, status: str) -> None:
        full, _, linkedid = self._channels[dest]
        self.events.append(DialEnd(self.passes(), who, full, dest, linkedid, status, None))

    def state(self, channel: Uniqueid, state: ChannelState) -> None:
        self.events.append(Newstate(self.passes(), *self._channels[channel], state))

    def meet(self, *channels: Uniqueid, room: str = "one", kind: str = "basic") -> None:
        for channel in channels:
            self.events.append(BridgeEnter(self.passes(), *self._channels[channel], BridgeUniqueid(room), kind))

    def leaves(self, channel: Uniqueid, room: str = "one") -> None:
        self.events.append(BridgeLeave(self.passes(), *self._channels[channel], BridgeUniqueid(room)))

    def holds(self, channel: Uniqueid) -> None:
        self.events.append(Hold(self.passes(), *self._channels[channel]))

    def unholds(self, channel: Uniqueid) -> None:
        self.events.append(Unhold(self.passes(), *self._channels[channel]))

    def sends(self, channel: Uniqueid, exten: str) -> None:
        """A blind transfer."""
        self.events.append(BlindTransfer(self.passes(), channel, exten))

    def is_parked(self, channel: Uniqueid, by: str, space: str = "701") -> None:
        """In the instant of what was before."""
        self.events.append(ParkedCall(self.now, channel, by, space))

    def records_to(self, channel: Uniqueid, path: str) -> None:
        self.events.append(VarSet(self.passes(), *self._channels[channel], RECORDING_VARIABLE, path))

    def wants_to_hang_up(self, channel: Uniqueid) -> None:
        self.events.append(HangupRequest(self.passes(), *self._channels[channel], None))

    def hangs_up(self, *channels: Uniqueid, cause: int = 16) -> None:
        """In one instant."""
        self.passes()
        for channel in channels:
            self.events.append(Hangup(self.now, *self._channels[channel], cause))

    def joins_queue(self, channel: Uniqueid, queue: str) -> None:
        self.events.append(QueueCallerJoin(self.passes(), *self._channels[channel], queue))

    def leaves_queue(self, channel: Uniqueid, queue: str, rung: Uniqueid, status: str) -> None:
        """In the instant before whatever comes next; a queue's second word about a member's phone is always CANCEL."""
        self.dial_ends(channel, rung, status)
        full, _, linkedid = self._channels[rung]
        self.events.append(DialEnd(self.now, channel, full, rung, linkedid, "CANCEL", None))
        self.events.append(QueueCallerAbandon(self.now, *self._channels[channel], queue))
        self.events.append(QueueCallerLeave(self.now, *self._channels[channel], queue))
        self.now -= STEP

    def transfers(self, first: Uniqueid, second: Uniqueid, consulted: str | None = None) -> None:
        self.events.append(AttendedTransfer(self.passes(), first, second, consulted))
