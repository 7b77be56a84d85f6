"""`GET /api/calllogs`: the calls of some days as the older service listed them, in its words and in local time.

Laws: a call stands here when it is over; what it said of people is for those who may read, so the client id alone
opens nothing; a month that is long is sent as it is read, so that none of it waits in memory. Shapes: docs/api.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import structlog
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from amibridge.calls.record import CallRecord, Direction, Outcome
from amibridge.enterprises import Enterprise, EnterpriseId, Scope
from amibridge.store.call_records import CallRecords, Position
from amibridge.store.db import DATABASE_FAILURES
from amibridge.web.access import Caller, Gate
from amibridge.web.legacy_questions import UNCACHED, TurnedAway, admitted, given, legacy_refusal

log = structlog.get_logger()

ZoneOf: TypeAlias = Callable[[Enterprise], ZoneInfo | None]
Span: TypeAlias = tuple[datetime, datetime]
"""From one moment until before another."""

MOST_DAYS = 31
"""Of one question: a month."""

PIECE = 500
"""Calls that are read and sent at once: some milliseconds."""

AGAIN = {"Retry-After": "5"}

STATUS = {Outcome.ANSWERED: 2}
OTHER_STATUS = 1
"""The older service's 5, a call that goes on, is not listed."""

TYPE = {Direction.INCOMING: 0, Direction.OUTGOING: 1, Direction.INTERNAL: 2}


def configured_zone(enterprise: Enterprise) -> ZoneInfo | None:
    return enterprise.time_zone


@dataclass(frozen=True, slots=True)
class CallLogRoutes:
    """*zone_of*: as `Deliveries.zone_of`."""

    gate: Gate
    records: CallRecords
    zone_of: ZoneOf

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get("/api/calllogs", self._call_logs, allow_head=False)

    async def _call_logs(self, request: web.Request) -> web.StreamResponse:
        try:
            start, end, client = given(request, "start", "end", "clientId")
            caller = admitted(self.gate, request, Scope.READ, client)
        except TurnedAway as away:
            return away.answer
        outcome = "done"
        try:
            return await self._told(caller, start, end)
        except _Unanswered as unanswered:
            outcome = unanswered.error
            return legacy_refusal(unanswered.status, str(unanswered), unanswered.headers, error=outcome)
        finally:
            asked = f"{start} to {end}" if outcome in ("done", "database_away") else ""
            caller.did("calls.logs", asked, outcome)

    async def _told(self, caller: Caller, start: str, end: str) -> web.StreamResponse:
        """Raises _Unanswered."""
        days = _day(start), _day(end)
        if not 0 <= (days[1] - days[0]).days < MOST_DAYS:
            raise _Unanswered(
                400, "range_refused", f"end must be start or up to {MOST_DAYS - 1} days later: ask for each month alone"
            )
        zone = self.zone_of(caller.enterprise)
        if zone is None:
            words = "The account has not told its time zone yet; timezone in the enterprise's file would"
            raise _Unanswered(503, "zone_unknown", words, AGAIN)
        told = CallLogs(self.records, caller.enterprise.id, _span(*days, zone), zone)
        try:
            await told.begin()
        except DATABASE_FAILURES as error:
            log.warning("api_not_answered", action="calls.logs", reason=str(error) or type(error).__name__)
            raise _Unanswered(503, "database_away", "This cannot be looked up now.", AGAIN) from error
        return told


class CallLogs(web.StreamResponse):
    """A JSON array, the newest call first; to be begun before it is returned."""

    def __init__(self, records: CallRecords, enterprise: EnterpriseId, span: Span, zone: ZoneInfo) -> None:
        super().__init__(headers=UNCACHED)
        self.content_type, self.charset = "application/json", "utf-8"
        self._records = records
        self._enterprise = enterprise
        self._since, self._until = span
        self._zone = zone
        self._piece: Sequence[CallRecord] = ()

    async def begin(self) -> None:
        """Raises what a database raises."""
        self._piece = await self._read(Position(self._until))

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Raises ConnectionError when the rest cannot be read: an array that is cut off is no array."""
        writer = await super().prepare(request)
        between = b"["
        while self._piece:
            rows = ",\n".join(json.dumps(row_of(one, self._zone), ensure_ascii=False) for one in self._piece)
            await self.write(between + rows.encode())
            between, last = b",\n", self._piece[-1]
            try:
                full = len(self._piece) == PIECE
                self._piece = await self._read(Position(last.started_at, last.call_id)) if full else ()
            except DATABASE_FAILURES as error:
                log.warning("api_not_answered", action="calls.logs", reason=str(error) or type(error).__name__)
                raise ConnectionError("the rest of the calls cannot be read") from error
        await self.write_eof(b"[]" if between == b"[" else b"]")
        return writer

    async def _read(self, behind: Position) -> Sequence[CallRecord]:
        return await self._records.of_span(self._enterprise, self._since, behind=behind, limit=PIECE)


def row_of(record: CallRecord, zone: ZoneInfo) -> dict[str, Any]:
    """Whoever called is the CallerId, whoever was called the Destination; of several operators who talked, the last."""
    customer = record.external_number or ""
    operator = next(iter((*reversed(record.operators), *record.rang)), "")
    caller, destination = {
        Direction.INCOMING: (customer, operator),
        Direction.OUTGOING: (record.caller or operator, customer),
        Direction.INTERNAL: (record.caller or "", operator),
    }[record.direction]
    return {
        "CallLogId": record.call_id,
        "Start": _local(record.started_at, zone),
        "End": _local(record.ended_at, zone),
        "Duration": round(record.talked.total_seconds()),
        "Destination": destination,
        "CallerId": caller,
        "UniqueId": record.call_id.partition(":")[2],
        "CallStatusId": OTHER_STATUS if record.outcome is None else STATUS.get(record.outcome, OTHER_STATUS),
        "CallType": TYPE[record.direction],
        "TrunkName": record.line or "",
    }


class _Unanswered(Exception):
    def __init__(self, status: int, error: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.error, self.headers = status, error, headers


def _day(text: str) -> date:
    """Raises _Unanswered. `fromisoformat` alone takes weeks, too."""
    try:
        if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise _Unanswered(400, "bad_date", "start and end must be dates as 2026-11-25")


def _span(first: date, last: date, zone: ZoneInfo) -> Span:
    """From midnight to midnight there. Raises _Unanswered."""
    try:
        since = datetime.combine(first, time(), zone).astimezone(UTC)
        return since, datetime.combine(last + timedelta(days=1), time(), zone).astimezone(UTC)
    except OverflowError:
        raise _Unanswered(400, "bad_date", "start and end must be dates that anybody calls on") from None


def _local(at: datetime | None, zone: ZoneInfo) -> str:
    return "" if at is None else f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S}"
