"""Thousands of deliveries that are due, put into the table as a recorder would have put them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import asyncpg

from amibridge.calls.facts import AnyFact
from amibridge.calls.record import Outcome
from amibridge.enterprises import EnterpriseId, HostName
from amibridge.store.ledger import HeardFact, Ledger
from tests.delivery.rows import ended, rang, record

BATCH = 1_000

STRANGERS = 12
"""Numbers that all those calls came from."""


def stranger(number: int) -> str:
    return f"+7916555{number % STRANGERS:04}"


def missed(number: int) -> AnyFact:
    """A call that is over and that nobody took: history, and an errand."""
    return ended(record(f"pbx:missed{number}", operators=(), outcome=Outcome.MISSED, phone=stranger(number)))


def ringing(number: int) -> AnyFact:
    """A phone that rings, and that nobody will hear of any more: a popup."""
    return rang(f"pbx:ringing{number}", "101")


async def put(
    pool: asyncpg.Pool[asyncpg.Record], enterprise: str, facts: Sequence[AnyFact], *, age: timedelta = timedelta()
) -> int:
    """How many deliveries they made. *age*: since when they are known."""
    heard_at = datetime.now(UTC) - age
    heard = [HeardFact(EnterpriseId(enterprise), HostName("pbx"), fact, heard_at) for fact in facts]
    rows = 0
    for start in range(0, len(heard), BATCH):
        rows += len(await Ledger(pool).record(heard[start : start + BATCH]))
    return rows
