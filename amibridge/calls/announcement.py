"""A fact as other software hears of it, live or later: one shape for streams and webhooks, whatever the fact.

Laws: every key is always there, null where it does not apply; keys may be added and never change their meaning. Pure.
"""

from __future__ import annotations

from typing import Any, assert_never

from amibridge.calls.facts import (
    AnyFact,
    CallAnswered,
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
)

ABSENT: dict[str, Any] = {"extension": None, "cause": None, "transfer": None, "into": None, "call": None}


def announced(seq: int, fact: AnyFact) -> dict[str, Any]:
    """*seq*: the place of the fact in the ledger, by which it is known again. *call*: the record, once there is one."""
    brief = fact.brief
    return {
        "id": seq,
        "event": fact.word,
        "at": fact.at.isoformat(timespec="microseconds"),
        "call_id": fact.call,
        "direction": brief.direction,
        "phone": brief.phone,
        "external_number": brief.external_number,
        "caller_name": brief.caller_name,
        "line": brief.line,
        "caller": brief.caller,
        **ABSENT,
        **_its_own(fact),
    }


def _its_own(fact: AnyFact) -> dict[str, Any]:
    match fact:
        case OperatorStopped():
            return {"extension": fact.extension, "cause": fact.cause}
        case OperatorRang() | OperatorJoined() | OperatorLeft() | CallAnswered() | CallHeld() | CallResumed():
            return {"extension": fact.extension}
        case CallTransferred():
            return {
                "transfer": {"kind": fact.way, "from": fact.from_, "to": fact.to, "answered": fact.answered},
            }
        case CallMerged():
            return {"into": fact.into}
        case CallEnded():
            return {"call": fact.record.as_json()}
        case CallStarted() | CustomerRang() | RecordingStarted():
            return {}
        case _ as never:
            assert_never(never)
