"""What the core says about calls: frozen, self-contained, in the order it happened.

Laws: a fact carries everything a reader needs (`brief` tells which call it is about), so nobody looks the call
up again; its `key` is natural, made only of what Asterisk said, so two observers of one host say the same key;
`kind` is the word used in rows, logs and streams.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, NewType, TypeAlias

from amibridge.calls.record import CallId, CallRecord, Direction, Extension, Outcome, TransferKind

FactKey = NewType("FactKey", str)


class StopCause(StrEnum):
    """Why a phone stopped ringing without its owner talking."""

    NO_ANSWER = "no_answer"
    BUSY = "busy"
    DECLINED = "declined"
    UNAVAILABLE = "unavailable"
    CONGESTION = "congestion"
    UNALLOCATED = "unallocated"
    ANSWERED_ELSEWHERE = "answered_elsewhere"
    CALLER_LEFT = "caller_left"


@dataclass(frozen=True, slots=True)
class CallBrief:
    """Who is on the call, as far as known when the fact was said."""

    direction: Direction
    external_number: str | None
    phone: str | None
    caller_name: str | None
    line: str | None
    caller: Extension | None


@dataclass(frozen=True, slots=True)
class Fact:
    kind: ClassVar[str] = ""

    key: FactKey
    call: CallId
    at: datetime
    brief: CallBrief

    @property
    def word(self) -> str:
        """The word used for it in rows, logs and streams."""
        return self.kind


@dataclass(frozen=True, slots=True)
class CallStarted(Fact):
    """The direction of a call is known: `call.incoming`, `call.outgoing` or `call.internal` in rows and logs."""

    kind: ClassVar[str] = "call.started"

    @property
    def word(self) -> str:
        return f"call.{self.brief.direction}"


@dataclass(frozen=True, slots=True)
class OperatorRang(Fact):
    """A phone rings for the call; in an outgoing one his own, by a click."""

    kind: ClassVar[str] = "operator.rang"

    extension: Extension


@dataclass(frozen=True, slots=True)
class CustomerRang(Fact):
    """The phone of whom an operator calls rings."""

    kind: ClassVar[str] = "customer.rang"


@dataclass(frozen=True, slots=True)
class OperatorStopped(Fact):
    """A phone that rang, or was picked up in vain, is quiet again: its popup must close."""

    kind: ClassVar[str] = "operator.stopped"

    extension: Extension
    cause: StopCause


@dataclass(frozen=True, slots=True)
class OperatorJoined(Fact):
    kind: ClassVar[str] = "operator.joined"

    extension: Extension


@dataclass(frozen=True, slots=True)
class OperatorLeft(Fact):
    kind: ClassVar[str] = "operator.left"

    extension: Extension


@dataclass(frozen=True, slots=True)
class CallAnswered(Fact):
    kind: ClassVar[str] = "call.answered"

    extension: Extension


@dataclass(frozen=True, slots=True)
class CallHeld(Fact):
    """The other party waits, because *extension* put him on hold or asks a colleague first.

    Ended by `CallResumed` of the same extension, or by the end of the call.
    """

    kind: ClassVar[str] = "call.held"

    extension: Extension


@dataclass(frozen=True, slots=True)
class CallResumed(Fact):
    """*extension* makes him wait no longer: took him back, handed him on, or left him."""

    kind: ClassVar[str] = "call.resumed"

    extension: Extension


@dataclass(frozen=True, slots=True)
class CallTransferred(Fact):
    """One of the record's transfers, with the moment of it. *answered*: whether it led to somebody else; None while
    that is open."""

    kind: ClassVar[str] = "call.transferred"

    way: TransferKind
    from_: Extension
    to: str
    answered: bool | None


@dataclass(frozen=True, slots=True)
class RecordingStarted(Fact):
    kind: ClassVar[str] = "recording.started"

    path: str


@dataclass(frozen=True, slots=True)
class CallMerged(Fact):
    """This call turned out to be a part of *into*, which goes on alone: it gets no verdict of its own."""

    kind: ClassVar[str] = "call.merged"

    into: CallId


@dataclass(frozen=True, slots=True)
class CallEnded(Fact):
    """The verdict: `call.finished` if somebody talked, `call.missed` if not."""

    kind: ClassVar[str] = "call.ended"

    record: CallRecord

    @property
    def word(self) -> str:
        return "call.finished" if self.record.outcome is Outcome.ANSWERED else "call.missed"


AnyFact: TypeAlias = (
    CallStarted
    | OperatorRang
    | CustomerRang
    | OperatorStopped
    | OperatorJoined
    | OperatorLeft
    | CallAnswered
    | CallHeld
    | CallResumed
    | CallTransferred
    | RecordingStarted
    | CallMerged
    | CallEnded
)
