"""The ledger for other software: deliveries and requests to the CRM, page by page.

Laws: deliveries stand in the order in which they were made, the newest first, requests of a call in the order in which
they were asked; every page is served by an index, however rare what is wanted; every question has a deadline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from amibridge.calls.notices import NoticeKind
from amibridge.calls.record import CallId
from amibridge.enterprises import EnterpriseId
from amibridge.store.call_records import BEGINNING, END, WITHIN
from amibridge.store.codec import storable
from amibridge.store.db import fetch_within, load_queries
from amibridge.store.outbox import DeliveryRow, DeliveryStatus, delivery_row
from amibridge.store.requests import CrmRequest, crm_request

SQL = load_queries(__file__)


@dataclass(frozen=True, slots=True)
class DeliveryPosition:
    """In the order of pages: what is asked for lies behind it."""

    created_at: datetime = END
    id: int = 0


@dataclass(frozen=True, slots=True)
class WantedDeliveries:
    """None: whatever it is. *since* is in it, *until* is not."""

    status: DeliveryStatus | None = None
    kind: NoticeKind | None = None
    call: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class LedgerPages:
    """Raises any of `DATABASE_FAILURES`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def deliveries(
        self, enterprise: EnterpriseId, wanted: WantedDeliveries, *, behind: DeliveryPosition, limit: int
    ) -> Sequence[DeliveryRow]:
        """At most *limit* that lie *behind* a place."""
        until = DeliveryPosition(wanted.until or END)
        behind = min(behind, until, key=lambda place: (place.created_at, place.id))
        statuses = [*DeliveryStatus] if wanted.status is None else [wanted.status]
        kinds = [*NoticeKind] if wanted.kind is None else [wanted.kind]
        span = (enterprise, wanted.since or BEGINNING, behind.created_at, behind.id, limit, statuses, kinds)
        if wanted.call is None:
            rows = await self._ask("deliveries_of_state", *span)
        else:
            rows = await self._ask("deliveries_of_state_of_call", *span, storable(wanted.call))
        return [delivery_row(row) for row in rows]

    async def requests(
        self, enterprise: EnterpriseId, call: CallId, *, behind: int, limit: int
    ) -> Sequence[tuple[int, CrmRequest]]:
        """At most *limit* with ids over *behind*, each with its id."""
        rows = await self._ask("requests_of_call", enterprise, storable(call), behind, limit)
        return [(row["id"], crm_request(row)) for row in rows]

    async def _ask(self, query: str, *args: Any) -> list[asyncpg.Record]:
        return await fetch_within(self._pool, WITHIN, SQL[query], *args)
