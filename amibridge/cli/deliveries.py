"""`amibridge deliveries`: what the CRM and the webhooks of an enterprise were told, or are still to be told, and each
try to tell the CRM.

JSON lines, newest first; on a terminal, or with ``--text``, for people.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from amibridge.calls.record import CallId
from amibridge.cli.configured import begin, in_loop
from amibridge.cli.delivery_story import request_lines, story_lines, table_lines
from amibridge.cli.resend import resend_ids
from amibridge.cli.stored import must_be_known, open_store, show
from amibridge.config import Settings
from amibridge.enterprises import EnterpriseId
from amibridge.store.outbox import DeliveryRow, DeliveryStatus, Outbox
from amibridge.store.requests import CrmRequest, CrmRequests

SHOWN = 100

CALLS = 20
"""Of one number, the newest."""


def deliveries(args: argparse.Namespace) -> int:
    settings, number = begin(args), EnterpriseId(args.number)
    as_text = args.text or (sys.stdout.isatty() and not args.json)
    if args.resend:
        return in_loop(resend_ids(settings, number, args.resend))
    if args.requests:
        return in_loop(_requests(settings, number, as_text))
    wanted = _Wanted(number, DeliveryStatus(args.state) if args.state else None, args.call, args.phone)
    return in_loop(_list(settings, wanted, as_text))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """*call*: an id. *digits*: how the number outside ends. None: any."""

    number: EnterpriseId
    status: DeliveryStatus | None
    call: str | None
    digits: str | None

    async def calls(self, outbox: Outbox) -> list[CallId] | None:
        if self.call is not None:
            return [CallId(self.call)]
        return await outbox.calls_of_number(self.number, self.digits, limit=CALLS) if self.digits is not None else None


async def _list(settings: Settings, wanted: _Wanted, as_text: bool) -> int:
    number = wanted.number
    async with open_store(settings) as pool:
        outbox = Outbox(pool)
        calls = await wanted.calls(outbox)
        found = await outbox.find(number, status=wanted.status, calls=calls, limit=SHOWN + 1)
        rows = found[:SHOWN]
        tries = await _tries(pool, number, rows)
        if not rows:
            await must_be_known(number, pool)
    if not as_text:
        for row in rows:
            show(_described(row, tries.get(row.id, ())))
    elif rows:
        print("\n".join(table_lines(rows) if calls is None else story_lines(rows, tries)))
    if not rows:
        nothing = "has no deliveries yet" if wanted.status is None and calls is None else "has no such deliveries"
        print(f"amibridge: {number} {nothing}", file=sys.stderr)
    elif len(found) > SHOWN:
        print(f"amibridge: there are more; these are the newest {SHOWN}", file=sys.stderr)
    return 0


async def _tries(
    pool: asyncpg.Pool, number: EnterpriseId, rows: Sequence[DeliveryRow]
) -> Mapping[int, Sequence[CrmRequest]]:
    """By delivery, each request that told of it, in order."""
    tries: defaultdict[int, list[CrmRequest]] = defaultdict(list)
    for request in await CrmRequests(pool).of_calls(number, list(dict.fromkeys(row.call for row in rows))):
        for delivery in request.deliveries:
            tries[delivery].append(request)
    return tries


async def _requests(settings: Settings, number: EnterpriseId, as_text: bool) -> int:
    async with open_store(settings) as pool:
        requests = await CrmRequests(pool).newest(number, SHOWN)
        if not requests:
            await must_be_known(number, pool)
    for request in requests:
        if as_text:
            print("\n".join(request_lines(request)))
        else:
            show({"calls": list(request.calls), "deliveries": list(request.deliveries), **_asked(request)})
    if not requests:
        print(f"amibridge: of {number} the CRM was asked nothing yet", file=sys.stderr)
    return 0


def _described(row: DeliveryRow, tries: Sequence[CrmRequest]) -> dict[str, object]:
    return {
        "id": row.id,
        "call": row.call,
        "host": row.host,
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
        "requests": [_asked(request) for request in tries],
    }


def _asked(request: CrmRequest) -> dict[str, object]:
    return {
        "at": _iso(request.at),
        "verb": request.verb,
        "address": request.address,
        "attempt": request.attempt,
        "http_status": request.status,
        "took": request.took.total_seconds(),
        "failure": request.failure,
        "verdict": request.verdict,
        "next_attempt_at": _iso(request.next_attempt_at),
        "request": request.request,
        "answer": request.answer,
    }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="milliseconds")
