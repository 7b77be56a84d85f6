"""Rows as the recorder hands them over, made short for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from amibridge.calls.facts import (
    AnyFact,
    CallBrief,
    CallEnded,
    CallStarted,
    FactKey,
    OperatorRang,
    OperatorStopped,
    StopCause,
)
from amibridge.calls.notices import NoticeKind
from amibridge.calls.record import CallId, CallRecord, Direction, Extension, Outcome
from amibridge.enterprises import EnterpriseId, HostName
from amibridge.store.outbox import Delivery

NOON = datetime(2026, 3, 10, 12, 0, 0, tzinfo=UTC)
PHONE = "+79161234567"
RING_NEWS = timedelta(seconds=20)
STOP_NEWS = timedelta(minutes=2)


def brief(direction: Direction = Direction.INCOMING, caller: str | None = None, phone: str = PHONE) -> CallBrief:
    return CallBrief(direction, phone, phone, None, "74951110001", None if caller is None else Extension(caller))


def rang(call: str, extension: str, at: datetime = NOON) -> OperatorRang:
    return OperatorRang(FactKey(f"rang:{call}:{extension}:{at}"), CallId(call), at, brief(), Extension(extension))


def stopped(
    call: str, extension: str, at: datetime = NOON, cause: StopCause = StopCause.ANSWERED_ELSEWHERE
) -> OperatorStopped:
    key = FactKey(f"stopped:{call}:{extension}:{at}")
    return OperatorStopped(key, CallId(call), at, brief(), Extension(extension), cause)


def dialled(call: str, caller: str, at: datetime = NOON) -> CallStarted:
    return CallStarted(FactKey(f"call:{call}"), CallId(call), at, brief(Direction.OUTGOING, caller))


def record(
    call: str,
    *,
    operators: Sequence[str] = ("101",),
    caller: str | None = None,
    outcome: Outcome = Outcome.ANSWERED,
    at: datetime = NOON,
    phone: str = PHONE,
) -> CallRecord:
    talked = timedelta(seconds=30) if outcome is Outcome.ANSWERED else timedelta()
    return CallRecord(
        call_id=CallId(call),
        direction=Direction.INCOMING if caller is None else Direction.OUTGOING,
        outcome=outcome,
        reason=None,
        external_number=phone,
        phone=phone,
        caller_name=None,
        line="74951110001",
        queue=None,
        rang=(),
        operators=tuple(Extension(operator) for operator in operators),
        caller=None if caller is None else Extension(caller),
        started_at=at - timedelta(seconds=40),
        rang_at=at - timedelta(seconds=39),
        answered_at=at - timedelta(seconds=30) if talked else None,
        ended_at=at,
        waited=timedelta(seconds=10),
        talked=talked,
        hangup_by=None,
        transfers=(),
        recordings=(),
        click_to_call=None,
        complete=True,
        notes=(),
        attempts=(),
    )


def ended(verdict: CallRecord, at: datetime = NOON) -> CallEnded:
    told = replace(brief(verdict.direction, verdict.caller), phone=verdict.phone, external_number=verdict.phone)
    return CallEnded(FactKey(f"ended:{verdict.call_id}"), verdict.call_id, at, told, verdict)


def popup(
    id: int, fact: AnyFact, *, at: datetime = NOON, attempts: int = 0, fresh_for: timedelta | None = None
) -> Delivery:
    if fresh_for is None:
        fresh_for = RING_NEWS if isinstance(fact, OperatorRang | CallStarted) else STOP_NEWS
    return Delivery(
        EnterpriseId("0001"), id, HostName("pbx"), fact.call, NoticeKind.POPUP, fact, attempts, at, at + fresh_for, at
    )


def history(id: int, call: str, *, at: datetime = NOON, attempts: int = 0) -> Delivery:
    return Delivery(
        EnterpriseId("0001"),
        id,
        HostName("pbx"),
        CallId(call),
        NoticeKind.HISTORY,
        ended(record(call)),
        attempts,
        at,
        None,
        at,
    )
