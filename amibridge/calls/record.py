"""The call record: one business call as the customer lived it. Its fields are a published interface.

`docs/call-record.md` defines every field; adding one is fine, renaming one is a breaking change.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NewType

CallId = NewType("CallId", str)
"""``<host>:<Uniqueid of the call's first channel>``; also RetailCRM's ``externalId``."""

Extension = NewType("Extension", str)
"""An operator's internal number, or the number dialled of a person outside who took a forwarded call."""


class Direction(StrEnum):
    INCOMING = "incoming"
    OUTGOING = "outgoing"
    INTERNAL = "internal"


class Outcome(StrEnum):
    ANSWERED = "answered"
    MISSED = "missed"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    CANCELLED = "cancelled"
    FAILED = "failed"


class HangupBy(StrEnum):
    CUSTOMER = "customer"
    OPERATOR = "operator"
    SYSTEM = "system"


class TransferKind(StrEnum):
    BLIND = "blind"
    ATTENDED = "attended"
    FORWARD = "forward"
    PICKUP = "pickup"
    PARK = "park"


@dataclass(frozen=True, slots=True)
class Transfer:
    kind: TransferKind
    from_: Extension
    to: str
    at: datetime
    answered: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """One ring of one phone: not part of the printed record, but of the `attempts` rows."""

    extension: Extension
    rang_at: datetime | None
    joined_at: datetime | None
    left_at: datetime | None
    outcome: str


@dataclass(frozen=True, slots=True)
class CallRecord:
    call_id: CallId
    direction: Direction
    outcome: Outcome | None
    reason: str | None
    external_number: str | None
    phone: str | None
    caller_name: str | None
    line: str | None
    queue: str | None
    rang: tuple[Extension, ...]
    operators: tuple[Extension, ...]
    caller: Extension | None
    started_at: datetime
    rang_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    waited: timedelta
    talked: timedelta
    hangup_by: HangupBy | None
    transfers: tuple[Transfer, ...]
    recordings: tuple[str, ...]
    click_to_call: str | None
    complete: bool
    notes: tuple[str, ...]
    attempts: tuple[Attempt, ...]

    @property
    def is_missed(self) -> bool:
        return self.outcome is Outcome.MISSED

    def as_json(self) -> dict[str, Any]:
        """The published object: ISO 8601 times with offset, seconds as numbers, lists for tuples."""
        return {
            "call_id": self.call_id,
            "direction": self.direction,
            "outcome": self.outcome,
            "reason": self.reason,
            "external_number": self.external_number,
            "phone": self.phone,
            "caller_name": self.caller_name,
            "line": self.line,
            "queue": self.queue,
            "rang": list(self.rang),
            "operators": list(self.operators),
            "caller": self.caller,
            "started_at": _iso(self.started_at),
            "rang_at": _iso(self.rang_at),
            "answered_at": _iso(self.answered_at),
            "ended_at": _iso(self.ended_at),
            "waited_seconds": _seconds(self.waited),
            "talk_seconds": _seconds(self.talked),
            "hangup_by": self.hangup_by,
            "transfers": [
                {"kind": t.kind, "from": t.from_, "to": t.to, "at": _iso(t.at), "answered": t.answered}
                for t in self.transfers
            ],
            "recordings": list(self.recordings),
            "click_to_call": self.click_to_call,
            "complete": self.complete,
            "notes": list(self.notes),
        }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="microseconds")


def _seconds(span: timedelta) -> float:
    return round(span.total_seconds(), 6)
