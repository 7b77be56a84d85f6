"""Facts and call records in RetailCRM's words: the only place that knows both worlds.

Laws: an internal call is never told; nobody outside is ever addressed; an operator whose CRM user is known is named
by user, any other by extension; an unanswered call is credited to nobody but the one who placed it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import assert_never
from zoneinfo import ZoneInfo

from amibridge.calls.facts import (
    AnyFact,
    CallAnswered,
    CallBrief,
    CallEnded,
    CallHeld,
    CallMerged,
    CallResumed,
    CallStarted,
    CallTransferred,
    CustomerRang,
    OperatorJoined,
    OperatorLeft,
    OperatorRang,
    OperatorStopped,
    RecordingStarted,
    StopCause,
)
from amibridge.calls.record import CallId, CallRecord, Direction, Extension, Outcome
from amibridge.enterprises import Credit, Enterprise, Line
from amibridge.retailcrm.customers import CustomerFields
from amibridge.retailcrm.names import name_of
from amibridge.retailcrm.replies import CallEventReply, CallsUploadReply
from amibridge.retailcrm.requests import (
    CallResult,
    CallType,
    EventType,
    HangupStatus,
    Request,
    UploadedCall,
    call_event,
    calls_upload,
)

WITHHELD = "0"
"""The number of a caller who hides it, in the history: the call is still counted. Digits only, by the contract's
schema `Phone`; nobody has this one."""

MAX_PHONE = 64
"""Characters of a number that the CRM takes; what was dialled may be any text."""

MAX_TEXT = 255
"""Characters of any other text that the CRM takes."""

RESULTS: Mapping[Outcome | None, CallResult] = {
    Outcome.ANSWERED: CallResult.ANSWERED,
    Outcome.MISSED: CallResult.NO_ANSWER,
    Outcome.NO_ANSWER: CallResult.NO_ANSWER,
    Outcome.CANCELLED: CallResult.NO_ANSWER,
    Outcome.BUSY: CallResult.BUSY,
    Outcome.FAILED: CallResult.FAILED,
    None: CallResult.UNKNOWN,
}
"""A missed call stays `no answer` for whatever reason: `busy` in the CRM is the customer who was busy."""

HANGUPS: Mapping[Outcome | None, HangupStatus] = {
    Outcome.ANSWERED: HangupStatus.ANSWERED,
    Outcome.MISSED: HangupStatus.NO_ANSWERED,
    Outcome.NO_ANSWER: HangupStatus.NO_ANSWERED,
    Outcome.CANCELLED: HangupStatus.CANCEL,
    Outcome.BUSY: HangupStatus.BUSY,
    Outcome.FAILED: HangupStatus.FAILED,
    None: HangupStatus.FAILED,
}

STOPS: Mapping[StopCause, HangupStatus] = {
    StopCause.NO_ANSWER: HangupStatus.NO_ANSWERED,
    StopCause.BUSY: HangupStatus.BUSY,
    StopCause.DECLINED: HangupStatus.BUSY,
    StopCause.UNAVAILABLE: HangupStatus.FAILED,
    StopCause.CONGESTION: HangupStatus.FAILED,
    StopCause.UNALLOCATED: HangupStatus.FAILED,
    StopCause.ANSWERED_ELSEWHERE: HangupStatus.ANSWERED,
    StopCause.CALLER_LEFT: HangupStatus.CANCEL,
}
"""The status is the call's, not the phone's: one that a colleague took is answered, nobody missed it."""

_PHONE = re.compile(r"\+?[0-9][0-9 ()\-.]*")
"""The contract's schema `Phone`."""


def popup(facts: Sequence[AnyFact], enterprise: Enterprise) -> Request[CallEventReply] | None:
    """One event for *facts* of one call and one type, said together; None when nobody is to be told.

    If phones stopped for different causes the last one gives the status. Raises ValueError for mixed facts.
    """
    if not facts:
        return None
    last = facts[-1]
    if any(type(fact) is not type(last) or fact.call != last.call for fact in facts):
        raise ValueError("a popup is about facts of one type and one call")
    brief = last.brief
    match last:
        case OperatorRang():
            if brief.direction is not Direction.INCOMING:
                return None
            return _event(EventType.IN, None, last.call, brief, _phones(facts), enterprise)
        case OperatorStopped():
            # An outgoing call has one popup, its caller's, and the end of the call closes that.
            if brief.direction is not Direction.INCOMING:
                return None
            return _event(EventType.HANGUP, STOPS[last.cause], last.call, brief, _phones(facts), enterprise)
        case CallStarted():
            if brief.direction is not Direction.OUTGOING:
                return None
            return _event(EventType.OUT, None, last.call, brief, [brief.caller], enterprise)
        case CallEnded():
            if brief.direction is Direction.INTERNAL:
                return None
            told: list[Extension | None] = [*last.record.operators]
            if brief.direction is Direction.OUTGOING:
                told.append(last.record.caller)
            return _event(EventType.HANGUP, HANGUPS[last.record.outcome], last.call, brief, told, enterprise)
        case CallMerged():
            # A consultation with somebody outside had a popup of its own.
            if brief.direction is not Direction.OUTGOING:
                return None
            return _event(EventType.HANGUP, HangupStatus.ANSWERED, last.call, brief, [brief.caller], enterprise)
        case OperatorJoined() | OperatorLeft() | CallAnswered() | RecordingStarted():
            return None
        case CustomerRang() | CallHeld() | CallResumed() | CallTransferred():
            return None
        case _ as never:
            assert_never(never)


def history(
    records: Sequence[CallRecord],
    enterprise: Enterprise,
    zone: ZoneInfo,
    record_url: Callable[[CallRecord], str | None],
) -> Request[CallsUploadReply]:
    """Upload of 1 to 50 finished calls, dated in the account's *zone*. Raises ValueError, also for an internal call."""
    return calls_upload([_uploaded(record, enterprise, zone, record_url) for record in records])


def customer(record: CallRecord, phone: str, enterprise: Enterprise) -> CustomerFields:
    """Whoever called from *phone*, or was called there, as a new customer of whom nothing but this call is known.

    Named as the PBX showed him, if that is a name, else by his number; looked after by who is credited with the call.
    """
    credited = _credited(record, enterprise)
    return CustomerFields(
        first_name=name_of(record.caller_name) or phone,
        phones=(phone,),
        manager_id=None if credited is None else _user(credited, enterprise),
    )


def _event(
    type: EventType,
    status: HangupStatus | None,
    call: CallId,
    brief: CallBrief,
    told: Iterable[Extension | None],
    enterprise: Enterprise,
) -> Request[CallEventReply] | None:
    phone = _phone(brief.phone, brief.external_number)
    ours = [e for e in dict.fromkeys(told) if e is not None and _is_ours(e, enterprise)]
    if phone is None or not ours:
        return None
    users = {extension: _user(extension, enterprise) for extension in ours}
    return call_event(
        type=type,
        phone=phone,
        codes=[extension for extension, user in users.items() if user is None],
        # Two phones of one person are one user.
        user_ids=list(dict.fromkeys(user for user in users.values() if user is not None)),
        hangup_status=status,
        external_phone=_external_phone(brief.line),
        call_external_id=call,
        site=site_of(brief.line, enterprise),
    )


def _uploaded(
    record: CallRecord,
    enterprise: Enterprise,
    zone: ZoneInfo,
    record_url: Callable[[CallRecord], str | None],
) -> UploadedCall:
    if record.direction is Direction.INTERNAL:
        raise ValueError(f"an internal call is never sent to the CRM: {record.call_id}")
    credited = _credited(record, enterprise)
    user = None if credited is None else _user(credited, enterprise)
    return UploadedCall(
        date=_nearest_second(record.started_at).astimezone(zone),
        type=CallType.IN if record.direction is Direction.INCOMING else CallType.OUT,
        phone=_phone(record.phone, record.external_number) or WITHHELD,
        result=RESULTS[record.outcome],
        external_id=record.call_id,
        duration=round(record.talked.total_seconds()),
        duration_waiting=round(record.waited.total_seconds()),
        code=credited if user is None else None,
        user_id=user,
        record_url=record_url(record) if record.outcome is Outcome.ANSWERED else None,
        external_phone=_external_phone(record.line),
        site=site_of(record.line, enterprise),
    )


def _credited(record: CallRecord, enterprise: Enterprise) -> Extension | None:
    if record.direction is Direction.OUTGOING and record.caller:
        return record.caller
    if record.outcome is not Outcome.ANSWERED:
        return None
    # An outgoing call without a known caller is credited to the one who began it, whatever the enterprise prefers.
    last = record.direction is Direction.INCOMING and enterprise.credit is Credit.LAST
    talked = reversed(record.operators) if last else record.operators
    return next((extension for extension in talked if _is_ours(extension, enterprise)), None)


def _phones(facts: Sequence[AnyFact]) -> list[Extension | None]:
    return [fact.extension for fact in facts if isinstance(fact, OperatorRang | OperatorStopped)]


def _phone(phone: str | None, external_number: str | None) -> str | None:
    """E.164, else the number as the PBX saw it if the contract allows that, else the digits in it."""
    number = phone or (external_number or "").strip()[:MAX_PHONE]
    if _PHONE.fullmatch(number):
        return number
    return "".join(char for char in number if char.isascii() and char.isdigit()) or None


def _external_phone(line: str | None) -> str | None:
    return (line or "")[:MAX_TEXT] or None


def _is_ours(extension: Extension, enterprise: Enterprise) -> bool:
    """False for a person outside who took a forwarded call and appears by the number dialled."""
    return extension in enterprise.operators or any(host.numbering.is_internal(extension) for host in enterprise.hosts)


def _user(extension: Extension, enterprise: Enterprise) -> int | None:
    operator = enterprise.operators.get(extension)
    return None if operator is None else operator.user


def site_of(number: str | None, enterprise: Enterprise) -> str | None:
    """The store to which calls on that line of ours belong."""
    line = _line(number, enterprise)
    return (line.site if line else None) or enterprise.account.site


def _line(number: str | None, enterprise: Enterprise) -> Line | None:
    """The line, whether the PBX and the configuration write its number with a plus or without."""
    if not number:
        return None
    digits = number.removeprefix("+")
    return enterprise.lines.get(number) or enterprise.lines.get(digits) or enterprise.lines.get(f"+{digits}")


def _nearest_second(at: datetime) -> datetime:
    return (at.astimezone(UTC) + timedelta(milliseconds=500)).replace(microsecond=0)
