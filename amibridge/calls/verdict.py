"""What became of a call: outcome, reason and who ended it, from how each leg ended.

Laws: channel state `Up` is no answer, only a conversation is; DialStatus alone lies (a decline and a wrong number
come as NOANSWER), so the Q.850 cause speaks first; a leg's first DialStatus counts, a queue sends a second one; whoever
picked up and was not put through, as a mobile that has to accept the call, did not answer.
Source: Q.850 causes as in Asterisk's `causes.h`; sequences recorded on Asterisk 16 and 22.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from amibridge.ami.events import ChannelState, Uniqueid
from amibridge.calls.facts import StopCause
from amibridge.calls.model import ONE_INSTANT, Call, Leg
from amibridge.calls.numbering import Role
from amibridge.calls.record import Direction, HangupBy, Outcome

CAUSE_STOPS: Mapping[int, StopCause] = {
    1: StopCause.UNALLOCATED,
    2: StopCause.CONGESTION,
    3: StopCause.UNAVAILABLE,
    17: StopCause.BUSY,
    18: StopCause.NO_ANSWER,
    19: StopCause.NO_ANSWER,
    20: StopCause.UNAVAILABLE,
    21: StopCause.DECLINED,
    22: StopCause.UNALLOCATED,
    26: StopCause.ANSWERED_ELSEWHERE,
    27: StopCause.UNAVAILABLE,
    28: StopCause.UNALLOCATED,
    34: StopCause.CONGESTION,
    38: StopCause.CONGESTION,
    41: StopCause.CONGESTION,
    42: StopCause.CONGESTION,
    44: StopCause.CONGESTION,
    58: StopCause.CONGESTION,
}
"""Causes that say why a leg failed. 0, 16, 31 and 127 say nothing: the DialStatus does."""

UNSAID_BY_STATUS = frozenset({1, 18, 19, 20, 21, 22, 28})
"""Causes with which a dial ends as NOANSWER: unallocated, not there, declined."""

STATUS_STOPS: Mapping[str, StopCause] = {
    "NOANSWER": StopCause.NO_ANSWER,
    "CANCEL": StopCause.CALLER_LEFT,
    "BUSY": StopCause.BUSY,
    "CONGESTION": StopCause.CONGESTION,
    "CHANUNAVAIL": StopCause.UNAVAILABLE,
    "DONTCALL": StopCause.DECLINED,
    "TORTURE": StopCause.DECLINED,
}

GAVE_UP_BEFORE_ANSWER = 127
"""The cause chan_pjsip gives a call that was cancelled without a Reason header."""

WEIGHTS = (
    StopCause.CALLER_LEFT,
    StopCause.NO_ANSWER,
    StopCause.DECLINED,
    StopCause.BUSY,
    StopCause.UNAVAILABLE,
    StopCause.CONGESTION,
    StopCause.UNALLOCATED,
    StopCause.ANSWERED_ELSEWHERE,
)
"""When several phones were tried, the first of these that happened is the reason: a phone that rang outweighs
one that was busy, and that one a phone that was not there."""

MISSED_REASONS: Mapping[StopCause, str] = {
    StopCause.CALLER_LEFT: "abandoned",
    StopCause.NO_ANSWER: "no_answer",
    StopCause.DECLINED: "declined",
    StopCause.BUSY: "busy",
    StopCause.UNAVAILABLE: "unavailable",
    StopCause.CONGESTION: "congestion",
    StopCause.UNALLOCATED: "unavailable",
    StopCause.ANSWERED_ELSEWHERE: "no_answer",
}

DIALLED_OUTCOMES: Mapping[StopCause, tuple[Outcome, str]] = {
    StopCause.CALLER_LEFT: (Outcome.CANCELLED, "abandoned"),
    StopCause.NO_ANSWER: (Outcome.NO_ANSWER, "no_answer"),
    StopCause.DECLINED: (Outcome.NO_ANSWER, "declined"),
    StopCause.BUSY: (Outcome.BUSY, "busy"),
    StopCause.UNAVAILABLE: (Outcome.FAILED, "unavailable"),
    StopCause.CONGESTION: (Outcome.FAILED, "congestion"),
    StopCause.UNALLOCATED: (Outcome.FAILED, "unallocated"),
    StopCause.ANSWERED_ELSEWHERE: (Outcome.NO_ANSWER, "no_answer"),
}
"""Outgoing and internal calls that nobody took, by how the called party's last leg ended."""

OWN_LEG_REASONS: Mapping[StopCause, str] = {
    StopCause.BUSY: "busy",
    StopCause.DECLINED: "declined",
    StopCause.UNAVAILABLE: "unavailable",
    StopCause.CONGESTION: "unavailable",
    StopCause.UNALLOCATED: "unavailable",
}
"""Click-to-call whose operator never took his own leg; any other end is `operator_no_answer`."""


@dataclass(frozen=True, slots=True)
class Verdict:
    outcome: Outcome
    reason: str | None
    hangup_by: HangupBy | None


def stop_of(call: Call, leg: Leg) -> StopCause:
    """Why *leg* ended without a conversation, or what it would be called if it ended now."""
    if leg.dial_status == "CANCEL" and call.answered_at is not None:
        return StopCause.ANSWERED_ELSEWHERE
    cause = leg.cause
    if cause is None and leg.dial_status == "NOANSWER" and call.customer is not None:
        # The two Hangups of a decline come in any order; the caller's carries the cause of the last who refused.
        cause = call.customer.cause if call.customer.cause in UNSAID_BY_STATUS else None
    if cause is not None and cause in CAUSE_STOPS:
        stop = CAUSE_STOPS[cause]
        # A phone of ours that refuses before it rings, as one with "do not disturb" does, sends the same 480.
        silent = stop is StopCause.NO_ANSWER and leg.role is Role.OPERATOR and leg.rang_at is None
        return StopCause.UNAVAILABLE if silent else stop
    status = _dial_status(call, leg)
    if status is None or status == "ANSWER":
        if call.answered_at is not None:
            return StopCause.ANSWERED_ELSEWHERE
        picked_up_in_vain = leg.up_at is not None and leg.gone_at is not None and not leg.placed
        return StopCause.NO_ANSWER if picked_up_in_vain else StopCause.CALLER_LEFT
    return STATUS_STOPS.get(status, StopCause.UNAVAILABLE)


def _dial_status(call: Call, leg: Leg) -> str | None:
    """How the dial of *leg* ended. A phone behind a Local channel is cancelled with it: why, the dial of that tells."""
    outer = leg
    for _ in call.legs:
        before = call.local_before(outer)
        if before is None or outer.dial_status not in (None, "CANCEL"):
            break
        outer = before
    if outer.dial_status is None and outer.gone_at is not None and call.knows_who_hung_up:
        # FollowMe never says how its dials ended.
        return "CANCEL" if call.customer is not None and call.hangup_leg == call.customer.uniqueid else "NOANSWER"
    return outer.dial_status or leg.dial_status


def judge(call: Call) -> Verdict:
    """The verdict on an ended call whose direction is known."""
    if call.answered_at is not None:
        return Verdict(Outcome.ANSWERED, None, _who_left(call))
    if call.direction is Direction.INCOMING:
        return _judge_missed(call)
    return _judge_untaken(call)


def _judge_missed(call: Call) -> Verdict:
    customer = call.customer
    if customer is None:
        return Verdict(Outcome.MISSED, None, None)
    gave_up = call.hangup_leg == customer.uniqueid
    by = HangupBy.CUSTOMER if gave_up or not customer.cause else HangupBy.SYSTEM
    if call.queue is not None and call.queue_left_at is None and gave_up:
        return Verdict(Outcome.MISSED, "abandoned", HangupBy.CUSTOMER)
    if call.queue_left_at is not None:
        at_once = (call.customer_left_at() or call.queue_left_at) - call.queue_left_at < ONE_INSTANT
        if at_once and _gave_up_while_it_rang(call, call.queue_left_at):
            by = HangupBy.CUSTOMER
        reason = "abandoned" if by is HangupBy.CUSTOMER and at_once else "queue_timeout"
        return Verdict(Outcome.MISSED, reason, by)
    tried = [leg for leg in call.callees() if leg.dialled or leg.rang_at]
    if tried:
        return _judge_unanswered(call, customer, tried, gave_up)
    if customer.state is ChannelState.UP:
        return Verdict(Outcome.MISSED, "ivr", by)
    if by is HangupBy.CUSTOMER or customer.cause == GAVE_UP_BEFORE_ANSWER:
        return Verdict(Outcome.MISSED, "abandoned", HangupBy.CUSTOMER)
    stop = CAUSE_STOPS.get(customer.cause or 0, StopCause.CONGESTION)
    if stop is StopCause.UNAVAILABLE:
        # A phone that is not plugged in gets no channel and no event: only the caller's cause tells of the try.
        return Verdict(Outcome.MISSED, MISSED_REASONS[stop], HangupBy.SYSTEM)
    return Verdict(Outcome.FAILED, DIALLED_OUTCOMES[stop][1], HangupBy.SYSTEM)


def _gave_up_while_it_rang(call: Call, at: datetime) -> bool:
    """Whether a member's phone was cancelled *at* that moment, where nobody says who hung up: when the queue's time is
    over, its first word is NOANSWER."""
    if call.knows_who_hung_up:
        return False
    ends = [(leg.dial_ended_at, leg.dial_status) for leg in call.callees()]
    return any(status == "CANCEL" and ended is not None and at - ended < ONE_INSTANT for ended, status in ends)


def _judge_unanswered(call: Call, customer: Leg, tried: list[Leg], gave_up: bool) -> Verdict:
    stop = _weightiest(stop_of(call, leg) for leg in tried)
    if stop is StopCause.CALLER_LEFT:
        return Verdict(Outcome.MISSED, "abandoned", HangupBy.CUSTOMER)
    if _was_picked_up_after(customer, tried):
        by = HangupBy.CUSTOMER if gave_up or not customer.cause else HangupBy.SYSTEM
        return Verdict(Outcome.MISSED, "voicemail", by)
    ended_by = HangupBy.OPERATOR if stop is StopCause.DECLINED else HangupBy.SYSTEM
    return Verdict(Outcome.MISSED, MISSED_REASONS[stop], HangupBy.CUSTOMER if gave_up else ended_by)


def _judge_untaken(call: Call) -> Verdict:
    """An outgoing or internal call that nobody took."""
    own = call.caller
    if call.direction is Direction.OUTGOING:
        targets = [leg for leg in call.legs.values() if call.is_customer_side(leg)][-1:]
    else:
        targets = call.callees()
    if targets:
        stop = _weightiest(stop_of(call, leg) for leg in targets)
        outcome, reason = DIALLED_OUTCOMES[stop]
        return Verdict(outcome, reason, _who_ended_untaken(call, stop))
    if own is None or (not own.placed and own.up_at is None):
        rung = own or next((leg for leg in call.legs.values() if leg.originated), None)
        stop = StopCause.NO_ANSWER if rung is None else stop_of(call, rung)
        by = HangupBy.OPERATOR if stop is StopCause.DECLINED else HangupBy.SYSTEM
        return Verdict(Outcome.CANCELLED, OWN_LEG_REASONS.get(stop, "operator_no_answer"), by)
    if call.hangup_leg == own.uniqueid:
        return Verdict(Outcome.CANCELLED, "abandoned", HangupBy.OPERATOR)
    stop = CAUSE_STOPS.get(own.cause or 0, StopCause.UNALLOCATED)
    return Verdict(Outcome.FAILED, DIALLED_OUTCOMES[stop][1], HangupBy.SYSTEM)


def _who_ended_untaken(call: Call, stop: StopCause) -> HangupBy:
    if stop is StopCause.CALLER_LEFT:
        return HangupBy.OPERATOR
    if stop is StopCause.DECLINED:
        return HangupBy.CUSTOMER if call.direction is Direction.OUTGOING else HangupBy.OPERATOR
    return HangupBy.SYSTEM


def _who_left(call: Call) -> HangupBy | None:
    """Who asked to hang up first since somebody last joined, else who left that conversation first.

    The order of the `Hangup` events is chance; `HangupRequest` may be filtered away and does not come for timeouts.
    """
    leg = call.legs.get(call.hangup_leg or call.leaver or Uniqueid(""))
    if leg is None:
        return _who_ended_handover(call) if call.is_handed_on and call.customer is not None else None
    return HangupBy.CUSTOMER if call.is_customer_side(leg) else HangupBy.OPERATOR


def _who_ended_handover(call: Call) -> HangupBy:
    """The customer was on his way to somebody: if all who were tried had refused or rung in vain, he was let go."""
    since = call.handovers[-1].at - ONE_INSTANT
    tried = [leg for leg in call.callees() if leg.dialled_at is not None and leg.dialled_at >= since]
    if not tried or any(leg.dial_status in (None, "CANCEL") for leg in tried):
        return HangupBy.CUSTOMER
    declined = all(stop_of(call, leg) is StopCause.DECLINED for leg in tried)
    return HangupBy.OPERATOR if declined else HangupBy.SYSTEM


def _was_picked_up_after(customer: Leg, tried: list[Leg]) -> bool:
    """Something answered the caller once all phones had been tried: voicemail, or a machine like it."""
    if customer.up_at is None:
        return False
    return all(leg.dial_ended_at is not None and leg.dial_ended_at <= customer.up_at for leg in tried)


def _weightiest(stops: Iterable[StopCause]) -> StopCause:
    return min(stops, key=WEIGHTS.index)
