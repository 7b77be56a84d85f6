"""Questions that somebody waits for are answered by an index, however many rows there are."""

from __future__ import annotations

from datetime import UTC, datetime

import asyncpg
import pytest

from amibridge.enterprises import EnterpriseId
from amibridge.store import ledger_pages, whereabouts
from tests.store.test_outbox import explained, indexes, scanned

ONE = EnterpriseId("0123")
NOW = datetime.now(UTC)


@pytest.fixture
async def crowded(pool: asyncpg.Pool) -> asyncpg.Pool:
    await pool.execute(
        """
        INSERT INTO deliveries (enterprise_id, host, call_id, fact_key, kind, status, settled_at, created_at)
        SELECT '0123', 'pbx1', 'pbx1:' || n, 'key ' || n, (ARRAY['popup', 'history'])[1 + n % 2]::delivery_kind,
               (ARRAY['sent', 'dropped'])[1 + n / 2 % 2]::delivery_status, $1, $1::timestamptz - n * interval '1 second'
          FROM generate_series(1, 20000) AS n
        """,
        NOW,
    )
    await pool.execute(
        """
        INSERT INTO calls (enterprise_id, call_id, host, direction, outcome, rang, operators, started_at, ended_at,
                           waited, talked, transfers, recordings, complete, notes)
        SELECT '0123', 'pbx1:' || n, 'pbx1', 'incoming', 'missed', '{}', '{}',
               $1::timestamptz - n * interval '1 second', $1, '1s', '1s', '[]', '{}', true, '{}'
          FROM generate_series(1, 20000) AS n
        """,
        NOW,
    )
    await pool.execute(
        "INSERT INTO call_extensions SELECT enterprise_id, call_id, '1' || right(call_id, 2), started_at FROM calls"
    )
    await pool.execute("ANALYZE")
    return pool


async def test_a_page_of_deliveries_is_a_few_of_each_heap(crowded: asyncpg.Pool) -> None:
    span = (ONE, NOW, NOW, 0, 51, ["sent", "parked"], ["popup", "follow_up"])
    plan = await explained(crowded, ledger_pages.SQL["deliveries_of_state"], *span)
    assert (indexes(plan), scanned(plan)) == ({"deliveries_by_state"}, set())
    plan = await explained(crowded, ledger_pages.SQL["deliveries_of_state_of_call"], *span, "pbx1:1")
    assert (indexes(plan), scanned(plan)) == ({"deliveries_by_call"}, set())


async def test_where_a_phone_was_met_is_known_without_reading_a_month_of_calls(crowded: asyncpg.Pool) -> None:
    plan = await explained(crowded, whereabouts.SQL["host_of_extension"], ONE, "101", NOW)
    assert (indexes(plan), scanned(plan)) == ({"call_extensions_by_time", "calls_pkey"}, set())
