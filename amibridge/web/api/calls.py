"""`/api/v1/calls`: call records, live ones and those that are over, and what the CRM and webhooks were told of each.

Law: a call that goes on is told by memory, one that is over by the database; both stand in one order, and keep their
place in it when they end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from amibridge.calls.parties import Party
from amibridge.calls.phones import to_e164
from amibridge.calls.record import Attempt, CallId, CallRecord
from amibridge.enterprises import Enterprise, EnterpriseId, Scope
from amibridge.store.call_records import CallRecords, Position, Wanted
from amibridge.store.outbox import DeliveryRow
from amibridge.web.access import Caller
from amibridge.web.answers import Refused
from amibridge.web.api.endpoint import Endpoint, endpoint
from amibridge.web.api.shapes import CallAnswer, CallAsk, CallsAnswer, CallsAsk, DeliveriesAnswer

LiveCalls: TypeAlias = Callable[[EnterpriseId], Sequence[CallRecord]]
Parties: TypeAlias = Callable[[EnterpriseId, CallId], Sequence[Party]]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def call_endpoints(records: CallRecords, live_calls: LiveCalls, parties: Parties) -> Sequence[Endpoint[Any]]:
    @endpoint("/api/v1/calls", Scope.READ, "calls.list", CallsAsk, CallsAnswer)
    async def calls(caller: Caller, ask: CallsAsk) -> dict[str, Any]:
        """Call records, the newest first.

        Calls that go on are among them, with `outcome` and `ended_at` null. The next page is asked for with `cursor`;
        what happens meanwhile moves nothing from one page to another.
        """
        phone = None if ask.phone is None else _e164(ask.phone, caller.enterprise)
        wanted = Wanted(phone, ask.operator, ask.direction, ask.outcome, ask.since, ask.until)
        behind = Position() if ask.cursor is None else _position(ask.cursor)
        found: dict[CallId, CallRecord] = {}
        if ask.live is not False:
            going_on = live_calls(caller.enterprise.id)
            found = {one.call_id: one for one in going_on if wanted.fits(one) and behind.is_before(one)}
        if ask.live is not True:
            over = await records.page(caller.enterprise.id, wanted, behind=behind, limit=ask.limit + 1)
            found |= {one.call_id: one for one in over}
        ordered = sorted(found.values(), key=lambda one: (one.started_at, one.call_id), reverse=True)
        page = ordered[: ask.limit]
        more = len(ordered) > ask.limit
        return {"calls": [one.as_json() for one in page], "next": _cursor(page[-1]) if more else None}

    async def one(caller: Caller, call: CallId) -> CallRecord:
        found = await records.find(caller.enterprise.id, call)
        found = found or next((one for one in live_calls(caller.enterprise.id) if one.call_id == call), None)
        if found is None:
            raise Refused(404, "unknown_call", "There is no such call.")
        return found

    @endpoint("/api/v1/calls/{id}", Scope.READ, "calls.show", CallAsk, CallAnswer)
    async def call(caller: Caller, ask: CallAsk) -> dict[str, Any]:
        """One call with its attempts, and what the CRM and webhooks were told of it.

        Also while it goes on; then `parties` says who is on it, and where each of them is.
        """
        found = await one(caller, CallId(ask.id))
        deliveries = await records.deliveries(caller.enterprise.id, found.call_id)
        attempts = [_attempt(attempt) for attempt in found.attempts]
        going_on = parties(caller.enterprise.id, found.call_id) if found.ended_at is None else ()
        return {
            **found.as_json(),
            "attempts": attempts,
            "parties": [{"side": one.side, "extension": one.extension, "presence": one.presence} for one in going_on],
            "deliveries": [_delivery(row) for row in deliveries],
        }

    @endpoint("/api/v1/calls/{id}/deliveries", Scope.READ, "calls.deliveries", CallAsk, DeliveriesAnswer)
    async def deliveries(caller: Caller, ask: CallAsk) -> dict[str, Any]:
        """What the CRM and webhooks were told of one call, or are still to be told, and what they answered."""
        found = await one(caller, CallId(ask.id))
        rows = await records.deliveries(caller.enterprise.id, found.call_id)
        return {"deliveries": [_delivery(row) for row in rows]}

    return calls, call, deliveries


def _e164(text: str, enterprise: Enterprise) -> str:
    digits = text.strip(" +")
    if re.match("[ +]", text):  # a plus that nobody encoded arrives as a space
        return f"+{digits}"
    return to_e164(digits, enterprise.region) or f"+{digits}"


def _cursor(last: CallRecord) -> str:
    return f"{(last.started_at - EPOCH) // MICROSECOND}~{last.call_id}"


def _position(cursor: str) -> Position:
    since_epoch, _, call = cursor.partition("~")
    return Position(EPOCH + int(since_epoch) * MICROSECOND, call)


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "extension": attempt.extension,
        "rang_at": _iso(attempt.rang_at),
        "joined_at": _iso(attempt.joined_at),
        "left_at": _iso(attempt.left_at),
        "outcome": attempt.outcome,
    }


def _delivery(row: DeliveryRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind,
        "webhook": row.webhook or None,
        "fact": row.fact,
        "status": row.status,
        "attempts": row.attempts,
        "due_at": _iso(row.due_at),
        "fresh_until": _iso(row.fresh_until),
        "answer": row.answer,
        "created_at": _iso(row.created_at),
        "settled_at": _iso(row.settled_at),
    }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="microseconds")
