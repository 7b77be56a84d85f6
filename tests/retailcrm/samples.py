"""An enterprise, facts and records to render: synthetic, and short to vary."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from amibridge.calls.facts import CallBrief, CallEnded, FactKey, OperatorRang, OperatorStopped, StopCause
from amibridge.calls.numbering import Numbering
from amibridge.calls.record import CallId, CallRecord, Direction, Extension, HangupBy, Outcome
from amibridge.enterprises import Account, AmiHost, Enterprise, EnterpriseId, HostName, Line, Operator
from amibridge.redact import Secret

KEY = "k3y-of-this-enterprise-0123456789"
CALL = CallId("pbx1:1795491186.91")
AT = datetime(2026, 11, 24, 9, 33, 6, 437_000, tzinfo=UTC)

BRIEF = CallBrief(Direction.INCOMING, "79161234567", "+79161234567", "Анна", "74951110001", None)

RECORD = CallRecord(
    call_id=CALL,
    direction=Direction.INCOMING,
    outcome=Outcome.ANSWERED,
    reason=None,
    external_number="79161234567",
    phone="+79161234567",
    caller_name="Анна",
    line="74951110001",
    queue=None,
    rang=(Extension("101"), Extension("102")),
    operators=(Extension("101"),),
    caller=None,
    started_at=AT,
    rang_at=AT + timedelta(seconds=1),
    answered_at=AT + timedelta(seconds=3.4),
    ended_at=AT + timedelta(seconds=10),
    waited=timedelta(seconds=3.4),
    talked=timedelta(seconds=6.6),
    hangup_by=HangupBy.CUSTOMER,
    transfers=(),
    recordings=("/rec/1.wav",),
    click_to_call=None,
    complete=True,
    notes=(),
    attempts=(),
)


def enterprise(**changes: Any) -> Enterprise:
    number = EnterpriseId("0123")
    host = AmiHost(number, HostName("pbx1"), "10.0.0.5", 5038, "amibridge", Secret("s"), Numbering(r"^\d{2,5}$"))
    sample = Enterprise(
        id=number,
        name="Ромашка",
        account=Account("https://romashka.example", Secret(KEY), site="main"),
        hosts=(host,),
        client_id="client",
        webhook_secret=Secret("w"),
        operators={
            Extension("101"): Operator(Extension("101"), user=27),
            Extension("102"): Operator(Extension("102"), user=31),
            Extension("103"): Operator(Extension("103")),
            Extension("201"): Operator(Extension("201"), user=27),
        },
        lines={"74951110001": Line("74951110001", site="romashka"), "74951110002": Line("74951110002")},
    )
    return replace(sample, **changes)


def brief(**changes: Any) -> CallBrief:
    return replace(BRIEF, **changes)


def record(**changes: Any) -> CallRecord:
    return replace(RECORD, **changes)


def rang(*extensions: str, brief: CallBrief = BRIEF, call: CallId = CALL) -> list[OperatorRang]:
    return [OperatorRang(FactKey(f"operator.rang:{e}"), call, AT, brief, Extension(e)) for e in extensions]


def stopped(*stops: tuple[str, StopCause], brief: CallBrief = BRIEF) -> list[OperatorStopped]:
    return [OperatorStopped(FactKey(f"operator.stopped:{e}"), CALL, AT, brief, Extension(e), why) for e, why in stops]


def ended(record: CallRecord = RECORD) -> CallEnded:
    said = CallBrief(
        record.direction, record.external_number, record.phone, record.caller_name, record.line, record.caller
    )
    return CallEnded(FactKey("call.ended"), record.call_id, AT, said, record)
