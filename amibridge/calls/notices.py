"""Which facts the CRM must hear, as a popup or as history, for how long the news is fresh, and what else is to be done
there. This is the only place.

See docs/adr/0005 and 0006.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import assert_never

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
from amibridge.calls.record import Direction, Outcome

RING_NEWS = timedelta(seconds=20)
"""Longer than that, and the phone has stopped ringing."""

STOP_NEWS = timedelta(minutes=2)
"""A popup that stays open is worth closing for a while, then its reader has closed it himself."""


class NoticeKind(StrEnum):
    POPUP = "popup"
    HISTORY = "history"
    CUSTOMER = "customer"
    """An errand: who is that, and what does he need?"""
    FOLLOW_UP = "follow_up"
    """An errand, where it is wanted: is he to be called back, or was he reached?"""
    WEBHOOK = "webhook"
    """Not for the CRM: a system of the enterprise's own hears of the fact, whatever it is."""


@dataclass(frozen=True, slots=True)
class Notice:
    """*fresh_for*: how long after it was heard the news is worth telling; None, for ever."""

    kind: NoticeKind
    fresh_for: timedelta | None


OPENING = Notice(NoticeKind.POPUP, RING_NEWS)
CLOSING = Notice(NoticeKind.POPUP, STOP_NEWS)
HISTORY = Notice(NoticeKind.HISTORY, None)
CUSTOMER = Notice(NoticeKind.CUSTOMER, None)
FOLLOW_UP = Notice(NoticeKind.FOLLOW_UP, None)


def notices_of(fact: AnyFact) -> tuple[Notice, ...]:
    """What the CRM must hear of *fact*: nothing of an internal call, nothing of most facts."""
    if fact.brief.direction is Direction.INTERNAL:
        return ()
    incoming = fact.brief.direction is Direction.INCOMING
    match fact:
        case CallStarted():
            return () if incoming else (OPENING,)
        case OperatorRang():
            return (OPENING,) if incoming else ()
        case OperatorStopped():
            return (CLOSING,) if incoming else ()
        case CallEnded(record=record):
            somebody_looks = not incoming or record.answered_at is not None
            notices = (CLOSING, HISTORY) if somebody_looks else (HISTORY,)
            return notices if record.phone is None else (*notices, CUSTOMER)
        case CallMerged():
            return () if incoming else (CLOSING,)
        case CallAnswered() | OperatorJoined() | OperatorLeft() | RecordingStarted():
            return ()
        case CustomerRang() | CallHeld() | CallResumed() | CallTransferred():
            return ()
        case _ as never:
            assert_never(never)


def wished_notices_of(fact: AnyFact) -> tuple[Notice, ...]:
    """What is to be done of *fact* besides, for an enterprise that has missed calls followed up."""
    if not isinstance(fact, CallEnded) or fact.brief.direction is Direction.INTERNAL or fact.record.phone is None:
        return ()
    return (FOLLOW_UP,) if fact.record.outcome in (Outcome.MISSED, Outcome.ANSWERED) else ()
