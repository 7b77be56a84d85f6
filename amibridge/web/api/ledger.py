"""`/api/v1/deliveries`, and what was asked of the CRM for one call: the ledger, masked as it is kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from amibridge.calls.record import CallId
from amibridge.enterprises import Scope
from amibridge.store.ledger_pages import DeliveryPosition, LedgerPages, WantedDeliveries
from amibridge.store.outbox import DeliveryRow
from amibridge.store.requests import CrmRequest
from amibridge.web.access import Caller
from amibridge.web.api.endpoint import Endpoint, endpoint
from amibridge.web.api.shapes import CallRequestsAsk, DeliveriesAsk, DeliveryPageAnswer, RequestsAnswer
from amibridge.web.api.texts import microseconds, moment_of

Find: TypeAlias = Callable[[Caller, str], Awaitable[CallId]]
"""The call of an id, if there is one. Raises Refused."""


def ledger_endpoints(pages: LedgerPages, find: Find) -> Sequence[Endpoint[Any]]:
    @endpoint("/api/v1/deliveries", Scope.READ, "deliveries.list", DeliveriesAsk, DeliveryPageAnswer)
    async def deliveries(caller: Caller, ask: DeliveriesAsk) -> dict[str, Any]:
        """What the CRM and webhooks were told of all calls, or are still to be told, the newest first.

        `status=parked` is what was given up and waits for a person. What is sent again moves to the top; whatever else
        happens meanwhile moves nothing from one page to another.
        """
        wanted = WantedDeliveries(ask.status, ask.kind, ask.call, ask.since, ask.until)
        behind = DeliveryPosition() if ask.cursor is None else _position(ask.cursor)
        found = await pages.deliveries(caller.enterprise.id, wanted, behind=behind, limit=ask.limit + 1)
        page = found[: ask.limit]
        return {
            "deliveries": [delivery_told(row) for row in page],
            "next": _cursor(page[-1]) if len(found) > ask.limit else None,
        }

    @endpoint("/api/v1/calls/{id}/requests", Scope.READ, "calls.requests", CallRequestsAsk, RequestsAnswer)
    async def requests(caller: Caller, ask: CallRequestsAsk) -> dict[str, Any]:
        """What was asked of the CRM to tell it of one call, each time, in order, and what it answered.

        Secrets are stars, numbers and names are masked. One request may tell of other calls of the enterprise, too.
        """
        call = await find(caller, ask.id)
        behind = 0 if ask.cursor is None else int(ask.cursor)
        found = await pages.requests(caller.enterprise.id, call, behind=behind, limit=ask.limit + 1)
        page = found[: ask.limit]
        return {
            "requests": [_request(id, one) for id, one in page],
            "next": str(page[-1][0]) if len(found) > ask.limit else None,
        }

    return deliveries, requests


def delivery_told(row: DeliveryRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "call_id": row.call,
        "kind": row.kind,
        "webhook": row.webhook or None,
        "fact": row.fact,
        "status": row.status,
        "attempts": row.attempts,
        "due_at": iso(row.due_at),
        "fresh_until": iso(row.fresh_until),
        "answer": row.answer,
        "created_at": iso(row.created_at),
        "settled_at": iso(row.settled_at),
    }


def iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="microseconds")


def _request(id: int, one: CrmRequest) -> dict[str, Any]:
    return {
        "id": id,
        "at": iso(one.at),
        "verb": one.verb,
        "address": one.address,
        "calls": list(one.calls),
        "deliveries": list(one.deliveries),
        "attempt": one.attempt,
        "http_status": one.status,
        "took_seconds": round(one.took.total_seconds(), 6),
        "failure": one.failure,
        "verdict": one.verdict,
        "next_attempt_at": iso(one.next_attempt_at),
        "request": one.request,
        "answer": one.answer,
    }


def _cursor(last: DeliveryRow) -> str:
    return f"{microseconds(last.created_at)}~{last.id}"


def _position(cursor: str) -> DeliveryPosition:
    since_epoch, _, id = cursor.partition("~")
    return DeliveryPosition(moment_of(int(since_epoch)), int(id))
