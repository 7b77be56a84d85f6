"""`amibridge deliveries`: what the CRM of an enterprise was told, or is still to be told, newest first."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime

import asyncpg

from amibridge.calls.record import CallId
from amibridge.cli.configured import begin, in_loop
from amibridge.cli.stored import open_store, show, unknown
from amibridge.config import Settings
from amibridge.enterprises import EnterpriseId
from amibridge.store.directory import enterprise_numbers
from amibridge.store.outbox import DeliveryRow, DeliveryStatus, Outbox

SHOWN = 100


def deliveries(args: argparse.Namespace) -> int:
    settings, number = begin(args), EnterpriseId(args.number)
    if args.resend:
        return in_loop(_resend(settings, number, args.resend))
    status = DeliveryStatus(args.state) if args.state else None
    return in_loop(_list(settings, number, status, CallId(args.call) if args.call else None))


async def _list(settings: Settings, number: EnterpriseId, status: DeliveryStatus | None, call: CallId | None) -> int:
    async with open_store(settings) as pool:
        rows = await Outbox(pool).find(number, status=status, call=call, limit=SHOWN + 1)
        if not rows:
            await _must_be_known(number, pool)
    for row in rows[:SHOWN]:
        show(_described(row))
    if not rows:
        nothing = "has no deliveries yet" if status is None and call is None else "has no such deliveries"
        print(f"amibridge: {number} {nothing}", file=sys.stderr)
    elif len(rows) > SHOWN:
        print(f"amibridge: there are more; these are the newest {SHOWN}", file=sys.stderr)
    return 0


async def _resend(settings: Settings, number: EnterpriseId, ids: list[int]) -> int:
    async with open_store(settings) as pool:
        resent = await Outbox(pool).resend(number, ids)
        if not resent:
            await _must_be_known(number, pool)
    for one in resent:
        show({"id": one, "status": DeliveryStatus.DUE})
    left = sorted(set(ids) - set(resent))
    if left:
        what = ", ".join(str(one) for one in left)
        print(f"amibridge: not resent: {what}; only parked or dropped history can be", file=sys.stderr)
    return 1 if left else 0


async def _must_be_known(number: EnterpriseId, pool: asyncpg.Pool) -> None:
    """What an enterprise was told outlives it, so this is asked only where nothing was found. Raises CommandFailed."""
    known = await enterprise_numbers(pool)
    if number not in known:
        raise unknown(number, known)


def _described(row: DeliveryRow) -> dict[str, object]:
    return {
        "id": row.id,
        "call": row.call,
        "host": row.host,
        "kind": row.kind,
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
    return None if at is None else at.isoformat(timespec="milliseconds")
