"""Which popups of a call are still worth telling.

Laws: stale news is no news; nobody is told that a phone rings when it already stopped; a popup that never opened is
not closed. A screen nobody knows about (we were restarted, the call was picked up) counts as open: closing it is
harmless, leaving it open is not. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from amibridge.calls.facts import AnyFact, CallEnded, CallStarted, OperatorRang, OperatorStopped
from amibridge.calls.record import Direction, Extension
from amibridge.store.outbox import Delivery

Screens: TypeAlias = dict[Extension, bool]
"""Of one call: True, a popup is or may be open there; False, it certainly never opened."""


@dataclass(frozen=True, slots=True)
class Dropped:
    row: Delivery
    why: str


def worth_telling(rows: Sequence[Delivery], screens: Screens, now: datetime) -> tuple[list[Delivery], list[Dropped]]:
    """*rows* of one call: those to tell, in the same order, and those not to. *screens* are left as they are."""
    kept: list[Delivery] = []
    dropped: list[Dropped] = []
    screens = dict(screens)
    for place, row in enumerate(rows):
        why = _why_not(row, rows[place + 1 :], screens, now)
        if why is None:
            kept.append(row)
        else:
            dropped.append(Dropped(row, why))
        note(screens, row, reached=why is None)
    return kept, dropped


def note(screens: Screens, row: Delivery, reached: bool) -> None:
    """A popup is done. *reached*: the CRM has got it; it may have got one that was tried before, too, also by a run of
    us that was killed."""
    opened = _opens(row.fact)
    if opened is not None:
        screens[opened] = reached or row.attempts > 0 or row.perhaps_told or screens.get(opened, False)
    elif isinstance(row.fact, OperatorStopped):
        screens.pop(row.fact.extension, None)


def say_the_same(first: AnyFact, second: AnyFact) -> bool:
    """Two facts of one call, one right after the other, that one request can tell."""
    if isinstance(first, OperatorRang):
        return isinstance(second, OperatorRang)
    if isinstance(first, OperatorStopped):
        return isinstance(second, OperatorStopped) and first.cause is second.cause
    return False


def _why_not(row: Delivery, later: Sequence[Delivery], screens: Screens, now: datetime) -> str | None:
    opened = _opens(row.fact)
    if opened is not None and any(_silences(other.fact, opened) for other in later):
        return "the phone was quiet again before the CRM could be told"
    if row.fresh_until is not None and row.fresh_until <= now:
        return "no longer news"
    if opened is None and _never_opened(row.fact, screens):
        return "it would close a popup that never opened"
    return None


def _opens(fact: AnyFact) -> Extension | None:
    if isinstance(fact, OperatorRang):
        return fact.extension
    if isinstance(fact, CallStarted):
        return fact.brief.caller or Extension("")
    return None


def _silences(fact: AnyFact, extension: Extension) -> bool:
    return isinstance(fact, CallEnded) or (isinstance(fact, OperatorStopped) and fact.extension == extension)


def _never_opened(fact: AnyFact, screens: Screens) -> bool:
    if isinstance(fact, OperatorStopped):
        return not screens.get(fact.extension, True)
    if isinstance(fact, CallEnded):
        told = set(fact.record.operators)
        if fact.record.direction is Direction.OUTGOING:
            told.add(fact.record.caller or Extension(""))
        return bool(told) and not any(screens.get(extension, True) for extension in told)
    return False
