"""What a CRM's history must hold, told by the phones of the recorded calls, and whether it does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from amibridge.calls.phones import to_e164
from amibridge.sandbox.crm_account import CrmAccount, StoredCall
from tests.calls.truth import expected, truths
from tests.corpus import Trace

RESULTS = {
    "answered": "answered",
    "missed": "no answer",
    "no_answer": "no answer",
    "cancelled": "no answer",
    "busy": "busy",
    "failed": "failed",
}
NOBODY = "0"
"""The number of a caller who withheld it: RetailCRM's contract takes only digits."""

CLOSE = timedelta(seconds=1)
"""Dates and durations in the CRM are whole seconds."""


@dataclass(frozen=True)
class Wanted:
    trace: str
    kind: str
    result: str
    phone: str
    operator: str | None
    talked: timedelta
    began: datetime


def wanted_of(traces: Iterable[Trace], region: str = "RU") -> list[Wanted]:
    """One for each call with somebody outside; internal calls are never told."""
    return [wanted for trace in traces for wanted in _wanted(trace, region)]


def _wanted(trace: Trace, region: str) -> Iterable[Wanted]:
    for truth in truths(trace.truth):
        told = expected(truth)
        if told.fields["direction"] == "internal":
            continue
        outgoing = told.fields["direction"] == "outgoing"
        number = told.fields["external_number"]
        began = told.times["started_at"]
        assert began is not None
        talked = next(iter(told.fields["operators"]), None)
        yield Wanted(
            trace=str(trace),
            kind="out" if outgoing else "in",
            result=RESULTS[told.fields["outcome"]],
            phone=NOBODY if number is None else to_e164(number, region) or number,
            operator=told.fields["caller"] if outgoing else talked,
            talked=timedelta(seconds=told.talk_seconds),
            began=began,
        )


def assert_history(
    account: CrmAccount, wanted: Sequence[Wanted], *, stored: Sequence[StoredCall] | None = None
) -> None:
    """Exactly one entry for each wanted call, right in every field, and no other."""
    left = list(account.calls if stored is None else stored)
    missing = []
    for one in wanted:
        fitting = [call for call in left if _is(call, account, one)]
        match = min(fitting, key=lambda call: abs(call.date - one.began), default=None)
        if match is None:
            missing.append(one)
        else:
            left.remove(match)
    assert not missing, f"{missing}\n\nleft in the CRM: {left}"
    assert not left, f"too much in the CRM: {left}"


def _is(call: StoredCall, account: CrmAccount, wanted: Wanted) -> bool:
    user = account.user(call.user_id, call.code)
    operator = call.code if user is None else user.code
    return (
        (call.kind, call.result, call.phone, operator) == (wanted.kind, wanted.result, wanted.phone, wanted.operator)
        and abs(timedelta(seconds=call.duration or 0) - wanted.talked) <= CLOSE
        and abs(call.date.astimezone(UTC) - wanted.began) <= CLOSE
    )
