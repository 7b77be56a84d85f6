"""A PBX made of rules, with the truth about every call it carries: what Asterisk would say, and what really happens.

What happens in one instant is said in any order that keeps each channel's own: Asterisk promises no more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from amibridge.ami.events import (
    AmiEvent,
    AttendedTransfer,
    BlindTransfer,
    BridgeEnter,
    BridgeLeave,
    BridgeUniqueid,
    ChannelSnapshot,
    ChannelState,
    Connected,
    CoreShowChannel,
    DialBegin,
    DialEnd,
    Disconnected,
    Hangup,
    HangupRequest,
    Hold,
    Linkedid,
    Newchannel,
    Newstate,
    ParkedCall,
    Pickup,
    Unhold,
    Uniqueid,
)

LINE = "74951110001"


@dataclass(eq=False)
class Channel:
    """*dialled*: by the call, to reach somebody. Without *bridge* its party talks with nobody."""

    name: str
    uniqueid: Uniqueid
    linkedid: Linkedid
    state: ChannelState
    began: datetime
    dialled: bool = False
    bridge: BridgeUniqueid | None = None
    number: str = ""
    exten: str = ""

    @property
    def extension(self) -> str:
        return self.name.partition("/")[2].partition("-")[0]


@dataclass(eq=False)
class Truth:
    """A customer's call as it really is. *held*: by the operator he talks with; *holds*: by whom, and taken back by
    whom, as long as it went on. *overheard*: the link was there for all of it."""

    customer: Channel
    incoming: bool
    caller: Channel | None = None
    ringing: list[Channel] = field(default_factory=list)
    talking: Channel | None = None
    parked: bool = False
    held: bool = False
    holds: list[tuple[str, str]] = field(default_factory=list)
    operators: list[str] = field(default_factory=list)
    transfers: list[tuple[str, str, bool]] = field(default_factory=list)
    settled: int = 0
    over: bool = False
    overheard: bool = True

    @property
    def id(self) -> str:
        return f"pbx:{self.customer.linkedid}"


class ToyPbx:
    def __init__(self, hear: Callable[[AmiEvent], None], seed: int) -> None:
        self.calls: list[Truth] = []
        self.deaf = False
        self._hear = hear
        self._random = Random(seed)
        self._now = datetime(2026, 11, 24, 9, tzinfo=UTC)
        self._serial = 0
        self._channels: list[Channel] = []
        self._said: list[tuple[object, AmiEvent]] = []

    def live(self) -> list[Truth]:
        return [call for call in self.calls if not call.over]

    # -- what people do

    def customer_calls(self) -> None:
        customer = self._new("PJSIP/trunk", ChannelState.RING, number=f"7916{self._serial:07}", exten=LINE)
        self.calls.append(Truth(customer, incoming=True, overheard=not self.deaf))
        self._happen()

    def operator_calls(self, extension: str) -> None:
        caller = self._new(f"PJSIP/{extension}", ChannelState.RING, number=extension, exten="89161112233")
        self._happen()
        customer = self._new("PJSIP/trunk", ChannelState.DOWN, caller, number="89161112233")
        self._say(customer, DialBegin(
            self._now, caller.uniqueid, LINE, customer.name, customer.uniqueid, customer.linkedid, "89161112233",
            "89161112233@trunk",
        ))  # fmt: skip
        self._state(customer, ChannelState.RINGING)
        call = Truth(customer, incoming=False, caller=caller, overheard=not self.deaf)
        self.calls.append(call)
        self._happen()

    def customer_answers(self, call: Truth) -> None:
        assert call.caller is not None
        self._state(call.customer, ChannelState.UP)
        self._state(call.caller, ChannelState.UP)
        self._dial_end(call.caller, call.customer, "ANSWER")
        self._join(call, call.caller)
        self._happen()

    def phone_rings(self, call: Truth, extension: str) -> None:
        self._dial(call, extension)
        self._happen()

    def operator_answers(self, call: Truth, phone: Channel) -> None:
        self._state(phone, ChannelState.UP)
        self._state(call.customer, ChannelState.UP)
        self._dial_end(call.customer, phone, "ANSWER")
        call.ringing.remove(phone)
        for other in call.ringing:
            self._dial_end(call.customer, other, "CANCEL")
            self._hang_up(other, 26)
        call.ringing.clear()
        self._join(call, phone)
        self._happen()

    def operator_refuses(self, call: Truth, phone: Channel) -> None:
        self._dial_end(call.customer, phone, "BUSY")
        self._hang_up(phone, 17)
        call.ringing.remove(phone)
        self._happen()

    def colleague_picks_up(self, call: Truth, phone: Channel, extension: str) -> None:
        colleague = self._new(f"PJSIP/{extension}", ChannelState.RING, number=extension, exten="*8")
        self._state(colleague, ChannelState.UP)
        self._happen()
        self._say(colleague, Pickup(self._now, colleague.name, colleague.uniqueid, colleague.linkedid, phone.uniqueid))
        self._hang_up(phone, 16)
        call.ringing.remove(phone)
        for other in call.ringing:
            self._dial_end(call.customer, other, "CANCEL")
            self._hang_up(other, 26)
        call.ringing.clear()
        self._state(call.customer, ChannelState.UP)
        call.transfers.append((phone.extension, extension, True))
        self._join(call, colleague)
        self._happen()

    def transfers_blind(self, call: Truth, extension: str) -> None:
        operator = call.talking
        assert operator is not None
        self._say(operator, BlindTransfer(self._now, operator.uniqueid, extension))
        self._part(call)
        self._hang_up(operator, 16)
        self._happen()
        call.transfers.append((operator.extension, extension, False))
        self._dial(call, extension)
        self._happen()

    def holds(self, call: Truth) -> None:
        """Some phones say it again and again."""
        operator = call.talking
        assert operator is not None
        self._say(operator, Hold(self._now, operator.name, operator.uniqueid, operator.linkedid))
        if not call.held:
            call.held = True
            call.holds.append(("call.held", operator.extension))
        self._happen()

    def takes_back(self, call: Truth) -> None:
        operator = call.talking
        assert operator is not None
        self._say(operator, Unhold(self._now, operator.name, operator.uniqueid, operator.linkedid))
        self._no_longer_held(call)
        self._happen()

    def customer_holds(self, call: Truth) -> None:
        """That is nothing to us."""
        one = call.customer
        self._say(one, Hold(self._now, one.name, one.uniqueid, one.linkedid))
        self._happen()

    def transfers_attended(self, call: Truth, extension: str) -> None:
        """He holds his customer, asks a colleague by a second call, and joins the two."""
        operator = call.talking
        assert operator is not None
        self.holds(call)
        second = self._new(
            operator.name.rpartition("-")[0], ChannelState.RING, number=operator.extension, exten=extension
        )
        self._happen()
        phone = self._call(second, extension)
        self._happen()
        for one in (phone, second):
            self._state(one, ChannelState.UP)
        self._dial_end(second, phone, "ANSWER")
        room = BridgeUniqueid(f"bridge-{self._next()}")
        self._enter(second, room, "basic")
        self._enter(phone, room, "basic")
        self._happen()
        self._say(operator, Unhold(self._now, operator.name, operator.uniqueid, operator.linkedid))
        self._no_longer_held(call)
        self._happen()
        self._leave(call.customer)
        self._leave(second)
        phone.linkedid = second.linkedid = call.customer.linkedid
        self._enter(call.customer, room, "basic")
        self._happen(soon=True)
        self._say(None, AttendedTransfer(self._now, operator.uniqueid, second.uniqueid, extension))
        self._happen(soon=True)
        self._leave(operator)
        self._hang_up(operator, 16)
        self._hang_up(second, 16)
        call.transfers.append((operator.extension, extension, True))
        call.settled = len(call.transfers)
        call.talking = phone
        if call.operators[-1:] != [extension]:
            call.operators.append(extension)
        self._happen()

    def parks(self, call: Truth) -> None:
        operator, lot = call.talking, BridgeUniqueid("parking-lot")
        assert operator is not None
        self._say(call.customer, ParkedCall(self._now, call.customer.uniqueid, f"PJSIP/{operator.extension}", "701"))
        self._part(call)
        self._enter(call.customer, lot, "parking")
        self._hang_up(operator, 16)
        call.parked = True
        call.transfers.append((operator.extension, "701", False))
        self._happen()

    def fetches(self, call: Truth, extension: str) -> None:
        fetcher = self._new(f"PJSIP/{extension}", ChannelState.RING, number=extension, exten="701")
        self._state(fetcher, ChannelState.UP)
        self._happen()
        self._leave(call.customer)
        call.parked = False
        self._join(call, fetcher)
        self._happen()

    def customer_hangs_up(self, call: Truth) -> None:
        self._wish(call.customer)
        self._end(call)
        self._happen()

    def operator_hangs_up(self, call: Truth) -> None:
        operator = call.talking or call.caller
        assert operator is not None
        self._wish(operator)
        self._end(call)
        self._happen()

    # -- what the link does

    def goes_deaf(self) -> None:
        self._hear(Disconnected(self._now))
        self.deaf = True
        for call in self.live():
            call.overheard = False

    def hears_again(self) -> None:
        self._tick()
        self.deaf = False
        self._hear(Connected(self._now, "11.0.0"))
        self._hear(ChannelSnapshot(self._now, tuple(self._shown(one) for one in self._channels)))

    # -- what Asterisk does

    def _dial(self, call: Truth, extension: str) -> None:
        call.ringing.append(self._call(call.customer, extension))

    def _call(self, dialler: Channel, extension: str) -> Channel:
        phone = self._new(f"PJSIP/{extension}", ChannelState.DOWN, dialler, number=extension)
        self._say(phone, DialBegin(
            self._now, dialler.uniqueid, dialler.number, phone.name, phone.uniqueid, phone.linkedid, extension,
            extension,
        ))  # fmt: skip
        self._state(phone, ChannelState.RINGING)
        return phone

    def _join(self, call: Truth, operator: Channel) -> None:
        bridge = BridgeUniqueid(f"bridge-{self._next()}")
        self._enter(operator, bridge, "basic")
        self._enter(call.customer, bridge, "basic")
        operator.linkedid = call.customer.linkedid = min(operator.linkedid, call.customer.linkedid, key=_age)
        call.talking = operator
        if call.operators[-1:] != [operator.extension]:
            call.operators.append(operator.extension)
        for number in range(call.settled, len(call.transfers)):
            from_, to, answered = call.transfers[number]
            call.transfers[number] = (from_, to, answered or to == "701" or operator.extension != from_)
        call.settled = len(call.transfers)

    def _no_longer_held(self, call: Truth) -> None:
        if call.held:
            assert call.talking is not None
            call.holds.append(("call.resumed", call.talking.extension))
        call.held = False

    def _part(self, call: Truth) -> None:
        assert call.talking is not None
        self._no_longer_held(call)
        self._leave(call.talking)
        self._leave(call.customer)
        call.talking = None

    def _end(self, call: Truth) -> None:
        for phone in call.ringing:
            self._dial_end(call.customer, phone, "CANCEL")
            self._hang_up(phone, 127)
        for channel in (call.talking, call.caller, call.customer):
            if channel in self._channels:
                assert channel is not None
                self._leave(channel)
                self._hang_up(channel, 16)
        call.ringing.clear()
        call.talking, call.over = None, True

    def _new(
        self, endpoint: str, state: ChannelState, by: Channel | None = None, *, number: str = "", exten: str = ""
    ) -> Channel:
        serial = self._next()
        uniqueid = Uniqueid(f"1795491044.{serial}")
        linkedid = Linkedid(uniqueid) if by is None else by.linkedid
        name = f"{endpoint}-{serial:08x}"
        channel = Channel(name, uniqueid, linkedid, state, self._now, by is not None, None, number, exten)
        self._channels.append(channel)
        self._say(channel, Newchannel(self._now, name, uniqueid, linkedid, state, number or None, None, "plan", exten))
        return channel

    def _state(self, channel: Channel, state: ChannelState) -> None:
        channel.state = state
        self._say(channel, Newstate(self._now, channel.name, channel.uniqueid, channel.linkedid, state))

    def _dial_end(self, dialler: Channel, phone: Channel, status: str) -> None:
        self._say(phone, DialEnd(
            self._now, dialler.uniqueid, phone.name, phone.uniqueid, phone.linkedid, status, None
        ))  # fmt: skip

    def _enter(self, channel: Channel, bridge: BridgeUniqueid, kind: str) -> None:
        channel.bridge = bridge
        self._say(channel, BridgeEnter(
            self._now, channel.name, channel.uniqueid, channel.linkedid, bridge, kind
        ))  # fmt: skip

    def _leave(self, channel: Channel) -> None:
        if channel.bridge is not None:
            self._say(channel, BridgeLeave(
                self._now, channel.name, channel.uniqueid, channel.linkedid, channel.bridge
            ))  # fmt: skip
        channel.bridge = None

    def _wish(self, channel: Channel) -> None:
        self._say(channel, HangupRequest(self._now, channel.name, channel.uniqueid, channel.linkedid, None))
        self._happen()

    def _hang_up(self, channel: Channel, cause: int) -> None:
        self._channels.remove(channel)
        self._say(channel, Hangup(self._now, channel.name, channel.uniqueid, channel.linkedid, cause))

    def _shown(self, one: Channel) -> CoreShowChannel:
        age = (self._now - one.began) // timedelta(seconds=1) * timedelta(seconds=1)
        return CoreShowChannel(
            one.name, one.uniqueid, one.linkedid, one.state, one.number or None, None, None, "plan", one.exten,
            one.bridge, "AppDial" if one.dialled else "Dial", age,
        )  # fmt: skip

    # -- what is heard of it

    def _say(self, channel: object, event: AmiEvent) -> None:
        self._said.append((channel, event))

    def _happen(self, *, soon: bool = False) -> None:
        """One instant is over: its events are heard, each channel's in order. *soon*: the next is of the same act."""
        queues: dict[object, list[AmiEvent]] = {}
        for channel, event in self._said:
            queues.setdefault(channel, []).append(event)
        self._said.clear()
        while queues:
            channel = self._random.choice(list(queues))
            event = queues[channel].pop(0)
            if not queues[channel]:
                del queues[channel]
            if not self.deaf:
                self._hear(event)
        self._tick(timedelta(milliseconds=1) if soon else timedelta(seconds=2))

    def _tick(self, span: timedelta = timedelta(seconds=2)) -> None:
        self._now += span

    def _next(self) -> int:
        self._serial += 1
        return self._serial


def _age(linkedid: Linkedid) -> int:
    return int(linkedid.partition(".")[2])
