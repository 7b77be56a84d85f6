"""How a call goes from hand to hand: transfers, forwards, pickups, parking.

Laws: Asterisk's own word comes first; where it has none (AMI `Redirect`, a consultation that came to nothing, a
filter that holds the event back), the dial that follows tells; a handover is answered by who talks next; what was
spoken of stays as it is, and is spoken of in the order of the record.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from amibridge.ami.events import (
    AttendedTransfer,
    BlindTransfer,
    DialEnd,
    ParkedCall,
    Pickup,
    Uniqueid,
)
from amibridge.calls.model import MOST_OF_A_KIND, ONE_INSTANT, Call, Handover, Leg, Phase, Presence
from amibridge.calls.numbering import Role, endpoint_of
from amibridge.calls.record import Extension, Transfer, TransferKind

AT_ONCE = timedelta(seconds=1)
"""Two events of one act are closer together than that, and come in any order."""


def note_blind(call: Call, event: BlindTransfer) -> None:
    last = call.handovers[-1] if call.handovers else None
    if last is not None and last.kind is TransferKind.PARK and event.at - last.at < AT_ONCE:
        return
    from_ = _who(call, event.transferer)
    _note(call, Handover(TransferKind.BLIND, from_, event.exten, event.at, settling_since=event.at))


def note_attended(call: Call, event: AttendedTransfer) -> None:
    from_ = _who(call, event.transferer)
    derived = next((one.to for one in reversed(call.handovers) if one.derived), None)
    called = next((call.extension_of(leg) for leg in call.callees() if leg.dialled_by == event.second), "")
    _note(call, Handover(TransferKind.ATTENDED, from_, event.consulted or derived or called, event.at))
    if any(leg.said is Presence.TALKING and call.extension_of(leg) != from_ for leg in call.callees()):
        call.handovers[-1].answered = call.handovers[-1].over = True


def note_parked(call: Call, event: ParkedCall) -> None:
    """A blind transfer to the parking lot is how phones park; of its two events either comes first. After a silence a
    list tells again who is parked."""
    parkee = call.legs[event.parkee]
    again = parkee.parked is not None and (parkee.parked.lot, parkee.parked.space) == (event.lot, event.space)
    parkee.parked, parkee.silent = event, parkee.silent or parkee.from_snapshot
    if again:
        return
    last = _unsettled(call, event.at)
    legs = [leg for leg in call.operator_legs() if endpoint_of(leg.channel) == event.parker]
    from_ = call.extension_of(legs[-1]) if legs else _named(event.parker)
    if last is not None and last.kind is TransferKind.BLIND and event.at - last.at < AT_ONCE:
        call.handovers.pop()
        from_ = last.from_
    _note(call, Handover(TransferKind.PARK, from_, event.space, event.at))


def note_picked_up(call: Call, picker: Leg, event: Pickup) -> None:
    to = call.extension_of(picker)
    _note(call, Handover(TransferKind.PICKUP, _who(call, event.target), to, event.at, answered=True, over=True))


def note_forwarded(call: Call, leg: Leg, event: DialEnd) -> None:
    if event.forward is not None:
        _note(call, Handover(TransferKind.FORWARD, call.extension_of(leg), event.forward, event.at))


def note_dialled_on(call: Call, leg: Leg) -> None:
    """*leg* is dialled. If the conversation is over or on hold, and no event told of a handover, this is one."""
    since, at = call.talk_ended_at, leg.dialled_at
    if call.handovers and at is not None:
        sent = call.handovers[-1]
        if sent.kind is TransferKind.BLIND and not sent.derived and at >= sent.at:
            sent.settled = True  # whoever is parked dials nobody
    if since is None or at is None or leg.role is Role.PLUMBING or call.said is Phase.TALKING:
        return
    if call.handovers and call.handovers[-1].at > since - AT_ONCE:
        return
    last = next((one for one in reversed(call.operator_legs()) if one.joined_at is not None), None)
    if last is not None:
        # Handed on blind, the customer's own channel dials; a consultation is dialled by whoever consults.
        blind = call.customer is None or call.is_dialled_by(leg, call.customer)
        kind = TransferKind.BLIND if blind else TransferKind.ATTENDED
        from_, to = call.extension_of(last), call.extension_of(leg)
        if to != from_:
            call.handovers.append(Handover(kind, from_, to, at, derived=True))
            call.leaver = None


def note_talk_ended(call: Call, at: datetime) -> None:
    """The dial that goes with it may have been heard of first."""
    for leg in call.operator_legs():
        is_tried = leg.joined_at is None and leg.gone_at is None
        if is_tried and leg.dialled_at is not None and at - leg.dialled_at < ONE_INSTANT:
            note_dialled_on(call, leg)


def note_joined(call: Call, who: Extension, at: datetime) -> None:
    """*who* talks with the customer now: that ends every handover under way, as of a phone that forwards to another.
    Whoever hands him on may be seen with them for an instant."""
    for n, one in enumerate(call.handovers):
        just_asked = one.kind is TransferKind.ATTENDED and at - one.at < AT_ONCE
        if one.over and not just_asked:
            continue
        if one.derived and who != one.from_ and n >= call.handovers_told:
            one.to = who  # several were called at once, and nothing names them together
        one.over = True
        one.settling_since = one.settling_since or at
        one.answered = one.answered or one.kind is TransferKind.PARK or one.from_ != who


def settled_handovers(call: Call, at: datetime) -> Iterator[Handover]:
    """Those that are to be spoken of by now and were not, in order. One that is followed by another is settled, and so
    are all when the call is over."""
    over = call.ended_at is not None
    count = next((n for n in range(len(call.handovers), 0, -1) if over or _is_settled(call.handovers[n - 1])), 0)
    for one in call.handovers[call.handovers_told : count]:
        call.handovers_told += 1
        yield one


def outcome_of(call: Call, one: Handover, at: datetime) -> bool | None:
    """Whether it led to somebody else; None while that is open."""
    if one.answered or call.ended_at is not None:
        return one.answered
    return False if one.over and at - one.at >= AT_ONCE else None


def settle_handovers(call: Call) -> None:
    """Asterisk has had time to say more about the last one, and did not."""
    if call.handovers and call.handovers[-1].settling_since is not None:
        call.handovers[-1].settled = True


def join_handovers(kept: Call, lost: Call) -> None:
    """Both are one call now. What was spoken of stays before what was not."""
    told = [*kept.handovers[: kept.handovers_told], *lost.handovers[: lost.handovers_told]]
    untold = [*kept.handovers[kept.handovers_told :], *lost.handovers[lost.handovers_told :]]
    kept.handovers = [*sorted(told, key=_moment), *sorted(untold, key=_moment)]
    kept.handovers_told = len(told)


def transfers_of(call: Call) -> tuple[Transfer, ...]:
    return tuple(Transfer(one.kind, one.from_, one.to, one.at, one.answered) for one in call.handovers)


def _named(dial_string: str) -> Extension:
    """The extension in ``PJSIP/101`` and ``Local/101@from-internal/n``."""
    return Extension(endpoint_of(dial_string).partition("/")[2].partition("@")[0])


def _note(call: Call, handover: Handover) -> None:
    """In place of what was derived of the same act. What is said twice is one act."""
    if any(_is_the_same(one, handover) for one in call.handovers):
        return
    last = _unsettled(call, handover.at)
    if last is not None and last.derived and last.from_ == handover.from_:
        call.handovers.pop()
        handover.answered, handover.over = last.answered, last.over
    if len(call.handovers) < MOST_OF_A_KIND:
        call.handovers.append(handover)
    if call.is_handed_on:
        call.leaver = None


def _unsettled(call: Call, at: datetime) -> Handover | None:
    """The last handover, if what Asterisk says *at* that moment may be another word about the same act, which takes its
    place. Whether a `Tick` has come since makes no difference."""
    last = call.handovers[-1] if len(call.handovers) > call.handovers_told else None
    if last is None or (last.settling_since is not None and at - last.settling_since > AT_ONCE):
        return None
    return last


def _is_settled(one: Handover) -> bool:
    return one.settled or (not one.derived and (one.over or one.kind is not TransferKind.BLIND))


def _is_the_same(one: Handover, other: Handover) -> bool:
    return (one.kind, one.from_, one.to, one.at) == (other.kind, other.from_, other.to, other.at)


def _moment(one: Handover) -> datetime:
    return one.at


def _who(call: Call, uniqueid: Uniqueid) -> Extension:
    leg = call.legs.get(uniqueid)
    return Extension("") if leg is None else call.extension_of(leg)
