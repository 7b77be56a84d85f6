"""The board of one host's calls: events in, facts out, no listener, no clock.

Each event is folded in three steps: *observe* writes what it literally says onto a leg; *direct* finds out, once,
which way the call goes; *tell* looks up what changed in the tables and says it. An ended call speaks no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import assert_never

from amibridge.ami.events import (
    CLICK_VARIABLE,
    AmiEvent,
    AttendedTransfer,
    BlindTransfer,
    BridgeEnter,
    BridgeLeave,
    ChannelEvent,
    ChannelSnapshot,
    Connected,
    DialBegin,
    DialEnd,
    Disconnected,
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
    Tick,
    Unhold,
    Uniqueid,
    VarSet,
    is_asked_for,
    is_fetch,
)
from amibridge.calls.conversations import Conversation, conversations_of
from amibridge.calls.directing import direct, note_dialled, note_originated, rejoin, undecided
from amibridge.calls.facts import AnyFact
from amibridge.calls.handovers import (
    note_attended,
    note_blind,
    note_dialled_on,
    note_forwarded,
    note_parked,
    note_picked_up,
)
from amibridge.calls.holds import note_hold, note_unhold, release, tell_resumed
from amibridge.calls.leaving import note_hangup_request, note_leaver
from amibridge.calls.model import MOST_OF_A_KIND, SILENT_BRIDGES, Call, Leg, advance
from amibridge.calls.numbering import Numbering, Role, endpoint_of
from amibridge.calls.parties import Party, parties_of
from amibridge.calls.record import CallId, CallRecord, Extension
from amibridge.calls.register import Register
from amibridge.calls.resync import observe_birth, observe_snapshot, recall
from amibridge.calls.summary import record_of
from amibridge.calls.telling import Anomaly, AnomalyKind, tell_changes, tell_recording, tell_started
from amibridge.calls.waiting import Fate, Parked, Ringing, fate_of, parked_in, ringing_at

UNREACHED = {3: "NOANSWER", 5: "BUSY", 8: "CONGESTION"}
"""The DialStatus for why an `Originate` failed; any other reason is that there is no channel to that phone."""


BORN_AGAIN = "has the Uniqueid of a channel that is gone: its call is not told"
"""Its clock was set back, or it was started twice within a second."""


class Board:
    """Folds the events of one host, named *host*, into facts about its calls."""

    def __init__(self, host: str, numbering: Numbering | None = None) -> None:
        self._numbering = numbering or Numbering()
        self._register = Register(host, self._numbering)
        self._anomalies: list[Anomaly] = []
        self._resumed: list[Call] = []
        self._blind_since: datetime | None = None

    def adopt(self, facts: Sequence[AnyFact]) -> None:
        """Take up calls that were live when an earlier run of us stopped, from what it had said of them, in order.

        To be called before the first snapshot, which tells which of them still are.
        """
        self._resumed = recall(facts)
        for call in self._resumed:
            self._register.take_up(call)
        self._blind_since = max((fact.at for fact in facts), default=None)

    def apply(self, event: AmiEvent) -> list[AnyFact]:
        """What *event* changed, in words; nothing, most of the time."""
        facts: list[AnyFact] = []
        call = self._observe(event, facts)
        if call is not None:
            self._settle(call, event.at, facts)
            if isinstance(event, ChannelEvent):
                self._follow_guests(call, event, facts)
        if self._register.owing:
            self._hurry(event.at, event.at, facts)
        for call in self._register.excess():
            self._give_up(call, event.at, facts)
        return facts

    def live_calls(self) -> list[CallRecord]:
        """Records so far of the calls that are not over, oldest first."""
        return [record_of(call) for call in self._register.live() if call.direction is not None]

    @property
    def is_waiting(self) -> bool:
        """Whether it keeps something back until another event has had an instant to come: a `Tick` will do."""
        return bool(self._register.owing)

    def parties(self, id: CallId) -> list[Party]:
        """Who is on the call *id* now; nobody, if it does not go on."""
        call = next((call for call in self._register.live() if call.id == id and call.direction is not None), None)
        return [] if call is None else parties_of(call)

    def conversations(self, extension: Extension) -> list[Conversation]:
        """What the phones of *extension* talk in now."""
        return [one for call in self._register.live() for one in conversations_of(call, extension)]

    def ringing(self, extension: Extension) -> list[Ringing]:
        """The calls for which a phone of *extension* rings now."""
        return [one for call in self._register.live() for one in ringing_at(call, extension)]

    def parked(self) -> list[Parked]:
        """Who is parked now."""
        return [one for call in self._register.live() for one in parked_in(call)]

    def fate(self, channel: Uniqueid) -> Fate:
        """How far a channel that we asked for has come."""
        call = self._register.find(channel)
        return Fate.UNSEEN if call is None else fate_of(call.legs[channel])

    def remembered(self) -> int:
        """How many channels are known, live and lately ended: what the board weighs."""
        return self._register.remembered()

    def take_anomalies(self) -> list[Anomaly]:
        """The anomalies since the last look."""
        taken, self._anomalies = self._anomalies, []
        return taken

    def _observe(self, event: AmiEvent, facts: list[AnyFact]) -> Call | None:
        """Write what *event* says onto its leg; the call it concerns, if it concerns one."""
        register = self._register
        call: Call | None = None
        match event:
            case Newchannel():
                call, leg = register.seat(event, facts)
                if leg.gone_at is not None and leg.began_at != event.at and not leg.from_snapshot:
                    self._anomalies.append(Anomaly(event.at, call.id, f"{event.channel} {BORN_AGAIN}"))
                self._observe_newchannel(call, leg, event)
            case Newstate():
                call, leg = register.seat(event, facts)
                advance(leg, event.state, event.at)
            case NewCallerid():
                call, leg = register.seat(event, facts)
                self._observe_caller_id(call, leg, event)
            case BridgeEnter():
                call, leg = register.seat_in_bridge(event, facts)
                leg.silent = event.bridge_type in SILENT_BRIDGES
                leg.parked = leg.parked if leg.silent else None
                leg.in_conference = event.bridge_type != "basic"
                if leg.holds_in == event.bridge:
                    leg.holds_in = None  # back from asking a colleague
                call.met = call.met or (call.direction is None and call.has_met())
            case BridgeLeave():
                call, leg = register.seat(event, facts)
                self._observe_bridge_leave(call, leg, event)
            case Hold():
                call, leg = register.seat(event, facts)
                note_hold(call, leg)
            case Unhold():
                call, leg = register.seat(event, facts)
                note_unhold(leg)
            case HangupRequest():
                call, leg = register.seat(event, facts)
                call.knows_who_hung_up = True
                note_hangup_request(call, leg, event)
            case Hangup():
                call, leg = register.seat(event, facts)
                register.move(leg, None)
                leg.gone_at, leg.cause = leg.gone_at or event.at, event.cause
            case VarSet():
                call, leg = register.seat(event, facts)
                if event.variable == CLICK_VARIABLE:
                    call.click_to_call = event.value
                else:
                    _observe_recording(call, event, facts)
            case QueueCallerJoin():
                call, leg = register.seat(event, facts)
                call.queue, call.queue_left_at = event.queue, None
            case QueueCallerAbandon() | QueueCallerLeave():
                # Asterisk says "abandoned" as well where the queue's time is over.
                call, leg = register.seat(event, facts)
                call.queue_left_at = call.queue_left_at or event.at
            case DialBegin():
                call, leg = register.seat_dialled(event, facts)
                self._observe_dial_begin(call, leg, event)
            case DialEnd():
                call, leg = register.seat_dialled(event, facts)
                leg.dialled_by = leg.dialled_by or event.uniqueid
                if leg.dial_status is None:
                    leg.dial_status, leg.dial_ended_at = event.dial_status, event.at
                note_forwarded(call, leg, event)
            case OriginateResponse():
                call = self._observe_originate_response(event, facts)
            case BlindTransfer():
                call = register.find(event.transferer)
                if call is not None:
                    note_blind(call, event)
            case AttendedTransfer():
                call = register.join_consulted(event, facts)
                if call is not None:
                    note_attended(call, event)
            case Pickup():
                call, leg = register.seat(event, facts)
                call = register.find(event.target) or call
                note_picked_up(call, leg, event)
            case ParkedCall():
                call = register.find(event.parkee)
                if call is not None:
                    note_parked(call, event)
            case ChannelSnapshot():
                self._resync(event, facts)
            case Connected() | Disconnected():
                self._hurry(None, event.at, facts)
                self._go_blind(event.at)
            case Tick():
                register.forget_before(event.at)
            case FullyBooted() | Shutdown():
                pass
            case _ as never:
                assert_never(never)
        return call

    def _observe_newchannel(self, call: Call, leg: Leg, event: Newchannel) -> None:
        if leg.from_snapshot:
            observe_birth(call, leg, event.at)
        leg.exten = event.exten
        leg.caller_id_num, leg.caller_id_name = event.caller_id_num, event.caller_id_name
        call.cast(leg, self._numbering.part_of(event.channel, event.caller_id_num, event.context))
        advance(leg, event.state, event.at)

    def _observe_caller_id(self, call: Call, leg: Leg, event: NewCallerid) -> None:
        """The first number stays: a transfer shows the transferring operator's in its place. A name may be looked up,
        and until it is known who calls, a phone may say whose it is."""
        leg.caller_id_num = leg.caller_id_num or event.caller_id_num
        if call.answered_at is None and event.caller_id_name is not None and leg.placed:
            leg.caller_id_name = event.caller_id_name
        if leg.placed and call.direction is None:
            call.cast(leg, self._numbering.part_when_it_speaks(leg.channel, leg.part, event.caller_id_num))

    def _observe_dial_begin(self, call: Call, leg: Leg, event: DialBegin) -> None:
        if event.uniqueid is None:
            leg.originated = True
            if not leg.fetches:
                note_originated(call, event, self._numbering)
        else:
            leg.dialled_by, leg.dialled_at = event.uniqueid, event.at
        if call.answered_at is not None:
            call.hangup_leg = None  # whoever transferred the caller and hung up did not end the call
        call.queue_left_at = None
        call.cast(leg, self._numbering.part_when_dialled(leg.channel, leg.part, event.dial_string))
        note_dialled_on(call, leg)
        if leg.role is Role.TRUNK:
            note_dialled(call, leg, event, self._numbering)

    def _observe_bridge_leave(self, call: Call, leg: Leg, event: BridgeLeave) -> None:
        if leg.bridge == event.bridge:
            self._register.move(leg, None)
            if leg.silent:
                leg.parked = None
        note_leaver(call, leg)

    def _observe_originate_response(self, event: OriginateResponse, facts: list[AnyFact]) -> Call | None:
        call = self._register.find_originated(event) or self._seat_unreached(event, facts)
        if call is not None and not is_fetch(event.action_id):  # after a pickup it may name another channel
            call.click_to_call = call.click_to_call or event.action_id or None
            call.originate_exten = event.exten or None
        return call

    def _seat_unreached(self, event: OriginateResponse, facts: list[AnyFact]) -> Call | None:
        """A call of ours for which no channel could be made, so that this is all that is heard of it."""
        uniqueid = event.uniqueid
        if event.success or uniqueid is None or not is_asked_for(event):
            return None
        seated = ChannelEvent(event.at, f"{event.channel}-00000000", uniqueid, Linkedid(uniqueid))
        call, leg = self._register.seat(seated, facts)
        leg.originated, leg.gone_at = True, event.at
        leg.dial_status = UNREACHED.get(event.reason, "CHANUNAVAIL")
        dialled = endpoint_of(event.channel).partition("/")[2]
        call.cast(leg, self._numbering.part_when_dialled(leg.channel, leg.part, dialled))
        return call

    def _settle(self, call: Call, at: datetime, facts: list[AnyFact]) -> None:
        """Direct the call if need be, then tell what changed."""
        if call.ended_at is not None:
            return
        if call.direction is None and direct(call, self._numbering):
            tell_started(call, at, facts)
        if call.direction is not None:
            self._anomalies += tell_changes(call, at, facts)
        elif call.is_deserted:
            # A feature code, an echo test, an announcement: channels came and went and no two parties met; or a riddle.
            call.ended_at = at
            if (doubt := undecided(call, self._numbering)) is not None:
                self._anomalies.append(Anomaly(at, call.id, doubt, AnomalyKind.DIRECTION))
        if call.ended_at is None:
            if call.owes_a_cause or (call.handovers and call.owes_since is not None):
                self._register.wait_for(call)
        else:
            self._register.bury(call)
            self._register.forget_before(at)

    def _follow_guests(self, call: Call, event: ChannelEvent, facts: list[AnyFact]) -> None:
        """Settle the calls in which the event's channel is a guest."""
        leg = call.legs.get(event.uniqueid)
        for other, guest in [] if leg is None else self._register.guests.follow(leg):
            if isinstance(event, HangupRequest):
                note_hangup_request(other, guest, event)
            elif isinstance(event, BridgeLeave):
                note_leaver(other, guest)
            self._settle(other, event.at, facts)

    def _hurry(self, overdue_at: datetime | None, at: datetime, facts: list[AnyFact]) -> None:
        """Settle the calls that have waited for a last cause until *overdue_at*, or all of them."""
        for call in self._register.overdue(overdue_at):
            self._settle(call, at, facts)

    def _give_up(self, call: Call, at: datetime, facts: list[AnyFact]) -> None:
        """End *call* although its channels live."""
        if call.ended_at is None:
            call.torn = True
            call.note("given up: the PBX has more channels than it can have")
            for leg in call.legs.values():
                leg.gone_at = leg.gone_at or at
            self._settle(call, at, facts)

    def _go_blind(self, at: datetime) -> None:
        self._blind_since = self._blind_since or at
        for call in self._register.live():
            call.torn = True
            call.note("the link to the PBX was down for a part of the call")

    def _resync(self, snapshot: ChannelSnapshot, facts: list[AnyFact]) -> None:
        left_at = self._blind_since or snapshot.at
        observe_snapshot(self._register, self._numbering, snapshot, left_at, facts)
        for call in self._register.live():
            release(call)
        resumed, self._resumed, self._blind_since = self._resumed, [], None
        for call in resumed:
            rejoin(call)
            if not call.is_deserted:
                tell_resumed(call, call.past_held, snapshot.at, facts)
        for call in [*(call for call in resumed if not call.legs), *self._register.live()]:
            self._settle(call, left_at if call.is_deserted else snapshot.at, facts)


def replay(board: Board, events: Iterable[AmiEvent]) -> list[AnyFact]:
    """All facts of *events*, in order."""
    return [fact for event in events for fact in board.apply(event)]


def _observe_recording(call: Call, event: VarSet, facts: list[AnyFact]) -> None:
    if event.value in call.recordings or len(call.recordings) >= MOST_OF_A_KIND:
        return
    if event.value and call.ended_at is None:
        call.recordings.append(event.value)
        if call.direction is not None:
            tell_recording(call, event.value, event.at, facts)
