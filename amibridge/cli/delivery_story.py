"""Deliveries as a person reads them: the story of a call from its first ring on, or a table of many.

Times are those of this machine. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from amibridge.log import escape
from amibridge.store.outbox import DeliveryRow, DeliveryStatus
from amibridge.store.requests import CrmRequest

LONGEST = 160
"""Characters of a request or an answer on one line."""

INDENT = " " * 14


def story_lines(rows: Sequence[DeliveryRow], tries: Mapping[int, Sequence[CrmRequest]]) -> Iterator[str]:
    """What the CRM and webhooks heard of each call, in order, with each try to tell the CRM."""
    ordered = sorted(rows, key=lambda row: row.id)
    for call in dict.fromkeys(row.call for row in ordered):
        yield from _story([row for row in ordered if row.call == call], tries)


def _story(rows: Sequence[DeliveryRow], tries: Mapping[int, Sequence[CrmRequest]]) -> Iterator[str]:
    first = rows[0]
    yield f"{escape(first.call)} on {escape(first.host)}, {_day(first.created_at)}"
    for row in rows:
        yield f"{_time(row.created_at):<13} {row.id} {_kind(row)}: {_state(row)}"
        for request in tries.get(row.id, ()):
            yield from (f"{INDENT}{line}" for line in _try(request))


def table_lines(rows: Sequence[DeliveryRow]) -> Iterator[str]:
    """The newest last, where a person looks."""
    width = max(len(str(row.id)) for row in rows)
    call = max(len(row.call) for row in rows)
    kind = max(8, *(len(_kind(row)) for row in rows))
    for row in reversed(rows):
        made = f"{_day(row.created_at)} {_time(row.created_at)}"
        yield f"{row.id:>{width}}  {made}  {escape(row.call):<{call}}  {_kind(row):<{kind}}  {_state(row)}"


def request_lines(request: CrmRequest) -> Iterator[str]:
    """One request, whatever it was about."""
    about = f", about {_short(', '.join(request.calls))}" if request.calls else ""
    first, *others = _try(request)
    yield f"{_day(request.at)} {first}{about}"
    yield from (f"{INDENT}{line}" for line in others)


def _kind(row: DeliveryRow) -> str:
    return f"{row.kind} {row.webhook}" if row.webhook else str(row.kind)


def _state(row: DeliveryRow) -> str:
    answer = f": {escape(row.answer)}" if row.answer else ""
    tries = f" after {row.attempts} tries" if row.attempts > 1 else ""
    if row.status is DeliveryStatus.DUE:
        return f"due{tries}, next attempt {_day(row.due_at)} {_time(row.due_at)}{answer}"
    return f"{row.status}{tries}{answer}"


def _try(request: CrmRequest) -> Iterator[str]:
    answered = f"{request.status} in" if request.status is not None else "no answer in"
    what = f"{_time(request.at)} try {request.attempt}: {request.verb} {_short(request.address)}"
    others = f" with {len(request.calls)} calls" if len(request.calls) > 1 else ""
    yield f"{what}{others}: {answered} {request.took.total_seconds():.2f} s{_verdict(request)}"
    if request.request:
        yield f"  → {_short(request.request)}"
    said = request.failure or request.answer
    if said:
        yield f"  ← {_short(said)}"


def _verdict(request: CrmRequest) -> str:
    if request.verdict is None:
        return ""
    again = f", next attempt {_time(request.next_attempt_at)}" if request.next_attempt_at is not None else ""
    return f"; {request.verdict}{again}"


def _short(text: str) -> str:
    return escape(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…")


def _day(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d}"


def _time(at: datetime) -> str:
    return f"{at.astimezone():%H:%M:%S.%f}"[:-3]
