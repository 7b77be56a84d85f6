"""What is old goes by itself, in pieces, and a database that is away costs a line."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from structlog.testing import capture_logs

from amibridge.config import KeepSettings
from amibridge.enterprises import EnterpriseId
from amibridge.runtime import retention as module
from amibridge.runtime.retention import forget, forget_all
from amibridge.store.audit import AuditRow, AuditTrail
from amibridge.store.directory import Directory
from amibridge.store.requests import CrmRequest, CrmRequests
from amibridge.store.retention import Forgettable, Piece, Retention
from tests.delivery.waiting import until
from tests.store.enterprises import romashka
from tests.web.serving import KEYRING

KEEP = KeepSettings(requests=timedelta(days=30), deliveries=timedelta(days=90), audit=timedelta(days=40))
NOW = datetime.now(UTC)
NUMBERS = [EnterpriseId("0123"), EnterpriseId("0124")]


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_AFTER", "EVERY", "BETWEEN"):
        monkeypatch.setattr(module, name, timedelta(milliseconds=1))


@pytest.fixture(autouse=True)
async def _served(pool: asyncpg.Pool) -> None:
    """How operators stand is only known of enterprises that there are."""
    for number in NUMBERS:
        await Directory(pool, KEYRING).apply(romashka(number))


async def kept(pool: asyncpg.Pool, ages: list[int]) -> None:
    for number in NUMBERS:
        made = [NOW - timedelta(days=age) for age in ages]
        await CrmRequests(pool).record(
            [CrmRequest(number, at, "GET", "/", (), (), 1, 200, timedelta(), None, None, None, "", "") for at in made]
        )
        await pool.executemany(
            "INSERT INTO deliveries (enterprise_id, host, call_id, fact_key, kind, status, settled_at, created_at)"
            " VALUES ($1, 'pbx1', 'pbx1:1', $2, 'popup', 'sent', $3, $3)",
            [(number, str(at), at) for at in made],
        )
        await pool.executemany(
            "INSERT INTO follow_ups (enterprise_id, call_id, phone, kind, account, mark, missed_at, closed_at, ending)"
            " VALUES ($1, $2, $2, 'task', 'https://a', 'm', $3, $3, 'reached')",
            [(number, str(at), at) for at in made],
        )
        await pool.executemany(
            "INSERT INTO operator_statuses (enterprise_id, crm_user, status, told_at) VALUES ($1, $2, 'busy', $3)",
            [
                (number, user, at)
                for user, at in enumerate(made, await pool.fetchval("SELECT count(*) FROM operator_statuses"))
            ],
        )
        trail, stop = AuditTrail(pool), asyncio.Event()
        for at in made:
            trail.note(AuditRow(number, at, "token 3", "203.0.113.7", "read", "calls", "shown"))
        stop.set()
        await trail.write(stop)


async def ages(pool: asyncpg.Pool, table: str, at: str) -> list[int]:
    rows = await pool.fetch(f"SELECT {at} AS at FROM {table} ORDER BY {at}")
    return [(NOW - row["at"]).days for row in rows]


async def test_each_has_its_own_time_and_goes_for_every_enterprise(pool: asyncpg.Pool) -> None:
    await kept(pool, [200, 91, 60, 31, 29, 1])
    gone = await forget_all(Retention(pool), KEEP, NOW, asyncio.Event())
    assert +gone == Counter(
        {
            Forgettable.REQUESTS: 8,
            Forgettable.DELIVERIES: 4,
            Forgettable.AUDIT: 6,
            Forgettable.FOLLOW_UPS: 4,
            Forgettable.OPERATOR_STATUSES: 4,
        }
    )
    assert await ages(pool, "crm_requests", "at") == [29, 29, 1, 1]
    assert await ages(pool, "deliveries", "settled_at") == [60, 60, 31, 31, 29, 29, 1, 1]
    assert await ages(pool, "audit", "at") == [31, 31, 29, 29, 1, 1]
    for table, at in (("follow_ups", "closed_at"), ("operator_statuses", "told_at")):
        assert await ages(pool, table, at) == [60, 60, 31, 31, 29, 29, 1, 1]


async def test_it_goes_on_by_itself_and_ends_at_the_stop(pool: asyncpg.Pool) -> None:
    stop = asyncio.Event()
    await kept(pool, [200])
    with capture_logs() as lines:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(forget(Retention(pool), KEEP, stop), name="retention under test")
            await until(lambda: lines)
            await kept(pool, [300])
            await until(lambda: all(sum(line[what] for line in lines) == 4 for what in ("requests", "deliveries")))
            stop.set()
    assert {line["event"] for line in lines} == {"old_rows_deleted"}
    assert await ages(pool, "crm_requests", "at") == []


class Broken(Retention):
    """*faults*: what the first questions end with."""

    def __init__(self, pool: asyncpg.Pool, faults: list[Exception]) -> None:
        super().__init__(pool)
        self.faults = faults

    async def enterprises(self, what: Forgettable) -> list[EnterpriseId]:
        if self.faults:
            raise self.faults.pop()
        return await super().enterprises(what)


async def test_a_database_that_is_away_is_said_once_and_asked_again(pool: asyncpg.Pool) -> None:
    stop = asyncio.Event()
    await kept(pool, [200])
    with capture_logs() as lines:
        async with asyncio.TaskGroup() as tasks:
            broken = Broken(pool, [ConnectionError("gone"), asyncpg.CannotConnectNowError("starting"), TimeoutError()])
            tasks.create_task(forget(broken, KEEP, stop), name="retention under test")
            await until(lambda: len(lines) > 1)
            stop.set()
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("old_rows_not_deleted", "warning"),
        ("old_rows_deleted", "info"),
    ]


async def test_a_stop_does_not_wait_for_all_that_is_old(monkeypatch: pytest.MonkeyPatch, pool: asyncpg.Pool) -> None:
    stop = asyncio.Event()

    class Endless(Retention):
        pieces = 0

        async def enterprises(self, what: Forgettable) -> list[EnterpriseId]:
            return NUMBERS

        async def forget(self, *_: object, **__: object) -> Piece:
            self.pieces += 1
            if self.pieces == 3:
                stop.set()
            return Piece(1000, self.pieces)

    endless = Endless(pool)
    assert (await forget_all(endless, KEEP, NOW, stop)).total() == 3000
    assert endless.pieces == 3
