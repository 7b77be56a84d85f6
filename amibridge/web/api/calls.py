"""`/api/v1/calls`: call records, live ones and those that are over, and what the CRM and webhooks were told of each.

Law: a call that goes on, or has just ended, is told by memory, one that is written by the database; so it is never in
neither. All stand in one order, and keep their place in it when they end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from amibridge.calls.parties import Party
from amibridge.calls.phones import to_e164
from amibridge.calls.record import Attempt, CallId, CallRecord
from amibridge.enterprises import Enterprise, EnterpriseId, Scope
from amibridge.store.call_records import CallRecords, Position, Told, Wanted
from amibridge.web.access import Caller
from amibridge.web.answers import Refused
from amibridge.web.api.endpoint import Endpoint, endpoint
from amibridge.web.api.ledger import Find, delivery_told, iso
from amibridge.web.api.shapes import CallAnswer, CallAsk, CallsAnswer, CallsAsk, DeliveriesAnswer
from amibridge.web.api.texts import microseconds, moment_of

LiveCalls: TypeAlias = Callable[[EnterpriseId], Sequence[CallRecord]]
"""Those that go on, and those that are over and not written yet."""
Parties: TypeAlias = Callable[[EnterpriseId, CallId], Sequence[Party]]


def finding(records: CallRecords, live_calls: LiveCalls) -> Find:
    """One call, whether it goes on or is over."""

    async def find(caller: Caller, id: str) -> CallId:
        call = CallId(id)
        remembered = live_calls(caller.enterprise.id)
        if not await records.is_over(caller.enterprise.id, call):
            _of_live(call, remembered)
        return call

    return find


def _of_live(call: CallId, going_on: Sequence[CallRecord]) -> CallRecord:
    """Raises Refused."""
    found = next((one for one in going_on if one.call_id == call), None)
    if found is None:
        raise Refused(404, "unknown_call", "There is no such call.")
    return found


def call_endpoints(
    records: CallRecords, live_calls: LiveCalls, parties: Parties, find: Find
) -> Sequence[Endpoint[Any]]:
    @endpoint("/api/v1/calls", Scope.READ, "calls.list", CallsAsk, CallsAnswer)
    async def calls(caller: Caller, ask: CallsAsk) -> str:
        """Call records, the newest first.

        Calls that go on are among them, with `outcome` and `ended_at` null. The next page is asked for with `cursor`;
        what happens meanwhile moves nothing from one page to another.
        """
        phone = None if ask.phone is None else _e164(ask.phone, caller.enterprise)
        wanted = Wanted(phone, ask.operator, ask.direction, ask.outcome, ask.since, ask.until)
        behind = Position() if ask.cursor is None else _position(ask.cursor)
        remembered = [one for one in live_calls(caller.enterprise.id) if ask.live in (None, one.ended_at is None)]
        found = {one.call_id: _told(one) for one in remembered if wanted.fits(one) and behind.is_before(one)}
        if ask.live is not True:
            over = await records.page(caller.enterprise.id, wanted, behind=behind, limit=ask.limit + 1)
            found |= {one.call: one for one in over}
        ordered = sorted(found.values(), reverse=True)
        page = ordered[: ask.limit]
        following = _cursor(page[-1]) if len(ordered) > ask.limit else None
        return f'{{"calls": [{", ".join(one.record for one in page)}], "next": {json.dumps(following)}}}'

    @endpoint("/api/v1/calls/{id}", Scope.READ, "calls.show", CallAsk, CallAnswer)
    async def call(caller: Caller, ask: CallAsk) -> dict[str, Any] | str:
        """One call with its attempts, and what the CRM and webhooks were told of it.

        Also while it goes on; then `parties` says who is on it, and where each of them is.
        """
        enterprise, id = caller.enterprise.id, CallId(ask.id)
        remembered = live_calls(enterprise)
        over = await records.whole(enterprise, id)
        if over is not None:
            return f'{over.record[:-1]}, "attempts": {over.attempts}, "parties": [], "deliveries": {over.deliveries}}}'
        found = _of_live(id, remembered)
        deliveries = await records.deliveries(enterprise, id)
        there = parties(enterprise, id)
        return {
            **found.as_json(),
            "attempts": [_attempt(attempt) for attempt in found.attempts],
            "parties": [{"side": one.side, "extension": one.extension, "presence": one.presence} for one in there],
            "deliveries": [delivery_told(row) for row in deliveries],
        }

    @endpoint("/api/v1/calls/{id}/deliveries", Scope.READ, "calls.deliveries", CallAsk, DeliveriesAnswer)
    async def deliveries(caller: Caller, ask: CallAsk) -> dict[str, Any]:
        """What the CRM and webhooks were told of one call, or are still to be told, and what they answered."""
        rows = await records.deliveries(caller.enterprise.id, await find(caller, ask.id))
        return {"deliveries": [delivery_told(row) for row in rows]}

    return calls, call, deliveries


def _e164(text: str, enterprise: Enterprise) -> str:
    digits = text.strip(" +")
    if re.match("[ +]", text):  # a plus that nobody encoded arrives as a space
        return f"+{digits}"
    return to_e164(digits, enterprise.region) or f"+{digits}"


def _told(going_on: CallRecord) -> Told:
    return Told(going_on.started_at, going_on.call_id, json.dumps(going_on.as_json(), ensure_ascii=False))


def _cursor(last: Told) -> str:
    return f"{microseconds(last.started_at)}~{last.call}"


def _position(cursor: str) -> Position:
    since_epoch, _, call = cursor.partition("~")
    return Position(moment_of(int(since_epoch)), call)


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "extension": attempt.extension,
        "rang_at": iso(attempt.rang_at),
        "joined_at": iso(attempt.joined_at),
        "left_at": iso(attempt.left_at),
        "outcome": attempt.outcome,
    }
