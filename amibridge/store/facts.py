"""Facts as they were written, read on from any place; as old as they are, for they are never deleted.

Laws: places are `seq`, and whoever has read up to one misses nothing before it (`facts_in_turn` in schema.sql,
docs/adr/0034); every question has a deadline; a page reads a bounded number of rows, whatever is wanted of them.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import structlog

from amibridge.calls.facts import AnyFact
from amibridge.calls.record import CallId
from amibridge.enterprises import EnterpriseId
from amibridge.store.codec import decode_fact, storable
from amibridge.store.db import fetch_within, load_queries

log = structlog.get_logger()

SQL = load_queries(__file__)

WITHIN = timedelta(seconds=8)

PAGE = 100
"""Facts: 2 to 5 ms of the loop until they are told."""


@dataclass(frozen=True, slots=True)
class WrittenFact:
    seq: int
    fact: AnyFact


@dataclass(frozen=True, slots=True)
class Page:
    """*to*: the place up to which it was read. *is_last*: nothing was behind it when it was read."""

    facts: tuple[WrittenFact, ...]
    to: int
    is_last: bool


class WrittenFacts:
    """Raises any of `DATABASE_FAILURES`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def newest(self, enterprise: EnterpriseId) -> int:
        """The place behind all that was said so far; 0 where nothing was."""
        [row] = await fetch_within(self._pool, WITHIN, SQL["newest_fact"], enterprise)
        return int(row["seq"])

    async def after(
        self, enterprise: EnterpriseId, place: int, *, call: CallId | None = None, words: Set[str] | None = None
    ) -> Page:
        """What was said behind *place*, in order; of one *call*, or in some *words* only."""
        if call is None:
            rows = await fetch_within(self._pool, WITHIN, SQL["facts_after"], enterprise, place, PAGE)
        else:
            rows = await fetch_within(
                self._pool, WITHIN, SQL["facts_of_call_after"], enterprise, place, PAGE, storable(call)
            )
        wanted = (_read(enterprise, row) for row in rows if words is None or row["kind"] in words)
        return Page(
            tuple(one for one in wanted if one is not None), rows[-1]["seq"] if rows else place, len(rows) < PAGE
        )


def _read(enterprise: EnterpriseId, row: asyncpg.Record) -> WrittenFact | None:
    try:
        return WrittenFact(row["seq"], decode_fact(row["kind"], row["body"]))
    except ValueError:
        log.warning("fact_unreadable", enterprise=enterprise, host=row["host"], call=row["call_id"], kind=row["kind"])
        return None
