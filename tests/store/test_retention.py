"""What is forgotten, what never is, and that nothing which is forgotten is told again."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from amibridge.calls.facts import AnyFact
from amibridge.calls.record import CallId
from amibridge.enterprises import EnterpriseId, HostName
from amibridge.store.ledger import HeardFact, Ledger
from amibridge.store.outbox import Delivery, DeliveryStatus, Outbox, Settlement
from amibridge.store.requests import CrmRequest, CrmRequests
from amibridge.store.retention import Forgettable, Retention
from tests.delivery.rows import ended, rang, record
from tests.store.test_schema import QUERIES

ONE, OTHER = EnterpriseId("0123"), EnterpriseId("0124")
NOW = datetime.now(UTC)
LONG_AGO, LATELY = NOW - timedelta(days=100), NOW - timedelta(days=80)
HORIZON = NOW - timedelta(days=90)


async def heard(pool: asyncpg.Pool, *facts: AnyFact, number: EnterpriseId = ONE, at: datetime = NOW) -> list[Delivery]:
    return await Ledger(pool).record([HeardFact(number, HostName("pbx1"), fact, at) for fact in facts])


async def settled(pool: asyncpg.Pool, rows: Sequence[Delivery], status: DeliveryStatus, at: datetime) -> None:
    await Outbox(pool).settle([Settlement(row.enterprise, row.id, status, None, 1, "answer") for row in rows])
    await pool.execute(
        "UPDATE deliveries SET settled_at = $2, created_at = $2 WHERE id = ANY ($1)", [row.id for row in rows], at
    )


async def forgotten(
    pool: asyncpg.Pool, what: Forgettable, number: EnterpriseId = ONE, *, limit: int = 1000, before: datetime = HORIZON
) -> int:
    retention, after, gone = Retention(pool), 0, 0
    while True:
        piece = await retention.forget(what, number, before=before, after=after, limit=limit)
        gone += piece.gone
        if piece.after is None:
            return gone
        after = piece.after


async def left(pool: asyncpg.Pool, number: EnterpriseId = ONE) -> list[int]:
    return [
        row["id"] for row in await pool.fetch("SELECT id FROM deliveries WHERE enterprise_id = $1 ORDER BY id", number)
    ]


def asked(call: str, at: datetime, number: EnterpriseId = ONE) -> CrmRequest:
    calls = (CallId(call), CallId(f"{call}-too"))
    return CrmRequest(
        number, at, "POST", "/api", calls, (1, 2), 1, 200, timedelta(seconds=1), None, "sent", None, "a", "b"
    )


@pytest.mark.parametrize("limit", [1, 2, 1000])
async def test_what_was_settled_long_ago_is_forgotten_and_all_else_stays(pool: asyncpg.Pool, limit: int) -> None:
    rows = [(await heard(pool, rang(f"pbx1:{number}.1", "101")))[0] for number in range(8)]
    parked, sent, dropped, due, late, fresh, waits, last = rows
    await settled(pool, [parked], DeliveryStatus.PARKED, LONG_AGO)
    await settled(pool, [sent], DeliveryStatus.SENT, LONG_AGO)
    await settled(pool, [dropped], DeliveryStatus.DROPPED, LONG_AGO)
    await pool.execute("UPDATE deliveries SET created_at = $2 WHERE id = ANY ($1)", [due.id, waits.id], LONG_AGO)
    await settled(pool, [late], DeliveryStatus.SENT, LATELY)
    await pool.execute("UPDATE deliveries SET created_at = $2 WHERE id = $1", late.id, LONG_AGO)
    await settled(pool, [fresh], DeliveryStatus.SENT, LATELY)
    await settled(pool, [last], DeliveryStatus.SENT, LONG_AGO)
    theirs = await heard(pool, rang("pbx1:1.1", "101"), number=OTHER)
    await settled(pool, theirs, DeliveryStatus.SENT, LONG_AGO)

    assert await forgotten(pool, Forgettable.DELIVERIES, limit=limit) in (2, 3)
    stays = {parked.id, due.id, late.id, fresh.id, waits.id}
    assert stays <= set(await left(pool)) <= stays | {last.id}
    assert await left(pool, OTHER) == [theirs[0].id]


async def test_of_many_rows_exactly_the_old_ones_go(pool: asyncpg.Pool) -> None:
    await pool.execute(
        """
        INSERT INTO deliveries (enterprise_id, host, call_id, fact_key, kind, status, settled_at, created_at)
        SELECT '0123', 'pbx1', 'pbx1:' || n, 'key ' || n, 'popup',
               (ARRAY['sent', 'dropped', 'parked', 'due'])[1 + n % 4]::delivery_status,
               CASE WHEN n % 4 < 3 THEN $1::timestamptz + n * interval '1 minute' END,
               $1::timestamptz + n * interval '1 minute'
          FROM generate_series(1, 20000) AS n
        """,
        HORIZON - timedelta(minutes=15_000),
    )
    assert await forgotten(pool, Forgettable.DELIVERIES) == 7_499
    kept = "SELECT count(*) FROM deliveries WHERE status IN ('parked', 'due')"
    assert await pool.fetchval(kept) == 10_000
    old = "SELECT count(*) FROM deliveries WHERE status IN ('sent', 'dropped') AND settled_at < $1"
    assert await pool.fetchval(old, HORIZON) == 0
    assert await pool.fetchval("SELECT count(*) FROM deliveries") == 20_000 - 7_499


async def test_a_piece_is_found_by_the_key_however_many_rows_there_are(pool: asyncpg.Pool) -> None:
    await pool.execute(
        """
        INSERT INTO deliveries (enterprise_id, host, call_id, fact_key, kind, status, settled_at, created_at)
        SELECT (ARRAY['0123', '0124', '0125'])[1 + n % 3], 'pbx1', 'pbx1:' || n, 'key ' || n, 'popup', 'sent', $1, $1
          FROM generate_series(1, 60000) AS n
        """,
        LONG_AGO,
    )
    await pool.execute("ANALYZE deliveries")
    arguments = ("'0123'", "0", f"'{HORIZON.isoformat()}'", "1000")
    sql = re.sub(r"\$(\d)", lambda found: arguments[int(found[1]) - 1], QUERIES["retention/forget_deliveries"])
    plan = "\n".join(row[0] for row in await pool.fetch(f"EXPLAIN {sql}"))
    assert "Seq Scan on deliveries" not in plan
    assert "deliveries_pkey" in plan


async def test_a_call_whose_deliveries_are_forgotten_is_told_to_nobody_again(pool: asyncpg.Pool) -> None:
    """A restart, a resync and a replay all say the same facts again."""
    facts: list[AnyFact] = [rang("pbx1:1.1", "101"), ended(record("pbx1:1.1"))]
    rows = await heard(pool, *facts, at=LONG_AGO)
    assert len(rows) > 2
    await settled(pool, rows, DeliveryStatus.SENT, LONG_AGO)
    assert await forgotten(pool, Forgettable.DELIVERIES) == len(rows)
    assert await left(pool) == []

    assert await heard(pool, *facts) == []
    again = [HeardFact(ONE, HostName("pbx1"), fact, NOW) for fact in facts]
    assert await Ledger(pool).due_of(again) == []
    assert await Outbox(pool).load_due(ONE) == []
    assert await Outbox(pool).resend(ONE, [row.id for row in rows]) == []
    assert await left(pool) == []


def test_nothing_ever_deletes_a_fact() -> None:
    """They are what keeps a call from being told twice."""
    assert [name for name, sql in QUERIES.items() if re.search(r"DELETE\s+FROM\s+facts|TRUNCATE", sql)] == []


async def test_history_that_is_sent_again_at_that_moment_stays(pool: asyncpg.Pool) -> None:
    row = (await heard(pool, ended(record("pbx1:1.1"))))[-1]
    await settled(pool, [row], DeliveryStatus.DROPPED, LONG_AGO)
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("UPDATE deliveries SET status = 'due', settled_at = NULL WHERE id = $1", row.id)
        forgetting = asyncio.create_task(forgotten(pool, Forgettable.DELIVERIES), name="forgetting")
        waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        async with asyncio.timeout(20):
            while not await pool.fetchval(waits):
                await asyncio.sleep(0.01)
        await transaction.commit()
    assert await forgetting == 0
    assert row.id in await left(pool)


class TestRequests:
    async def test_old_ones_go_with_all_that_finds_them(self, pool: asyncpg.Pool) -> None:
        requests = CrmRequests(pool)
        await requests.record([asked(f"pbx1:{number}", LONG_AGO) for number in range(5)])
        await requests.record([asked("pbx1:1", LATELY), asked("pbx1:1", LONG_AGO, OTHER)])
        assert await forgotten(pool, Forgettable.REQUESTS, limit=2) == 5
        assert [one.at for one in await requests.of_calls(ONE, [CallId("pbx1:1")])] == [LATELY]
        links = await pool.fetch("SELECT enterprise_id, call_id FROM crm_requests_of_calls ORDER BY 1, 2")
        assert [tuple(link) for link in links] == [
            (number, call) for number in (ONE, OTHER) for call in ("pbx1:1", "pbx1:1-too")
        ]

    async def test_those_of_an_enterprise_that_was_removed_are_found(self, pool: asyncpg.Pool) -> None:
        retention = Retention(pool)
        assert await retention.enterprises(Forgettable.REQUESTS) == []
        assert await retention.enterprises(Forgettable.DELIVERIES) == []
        await CrmRequests(pool).record([asked("x", NOW, EnterpriseId(number)) for number in ("b", "a", "b", "ж")])
        await heard(pool, rang("pbx1:1.1", "101"), number=EnterpriseId("c"))
        assert sorted(await retention.enterprises(Forgettable.REQUESTS)) == ["a", "b", "ж"]
        assert await retention.enterprises(Forgettable.DELIVERIES) == ["c"]


class TestFollowUps:
    async def put(self, pool: asyncpg.Pool, call: str, closed: datetime | None, number: EnterpriseId = ONE) -> None:
        await pool.execute(
            "INSERT INTO follow_ups (enterprise_id, call_id, phone, kind, account, mark, missed_at, closed_at, ending)"
            " VALUES ($1, $2, $2, 'task', 'https://a', 'm', $3, $4, $5)",
            number,
            call,
            LONG_AGO,
            closed,
            None if closed is None else "reached",
        )

    @pytest.mark.parametrize("limit", [1, 2, 3, 1000])
    async def test_what_is_over_for_long_goes_and_what_is_open_never(self, pool: asyncpg.Pool, limit: int) -> None:
        for number in range(3):
            await self.put(pool, f"over {number}", LONG_AGO)
        await self.put(pool, "late", LATELY)
        await self.put(pool, "open", None)
        await self.put(pool, "theirs", LONG_AGO, OTHER)
        assert sorted(await Retention(pool).enterprises(Forgettable.FOLLOW_UPS)) == [ONE, OTHER]
        assert await forgotten(pool, Forgettable.FOLLOW_UPS, limit=limit) == 3
        rows = await pool.fetch("SELECT call_id FROM follow_ups ORDER BY call_id")
        assert [row["call_id"] for row in rows] == ["late", "open", "theirs"]
