"""The audit is written beside the answer, in order, and not lost while the database is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from structlog.testing import capture_logs

from amibridge.enterprises import EnterpriseId
from amibridge.store import audit
from amibridge.store.audit import AuditRow, AuditTrail
from amibridge.store.db import open_pool
from tests.delivery.waiting import until
from tests.store.proxy import proxy

pytestmark = pytest.mark.postgres


def row(target: str = "a", enterprise: str = "0123") -> AuditRow:
    now = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
    return AuditRow(EnterpriseId(enterprise), now, "token 1", "198.51.100.1", "calls.list", target, "done", "r1")


@asynccontextmanager
async def writing(trail: AuditTrail) -> AsyncIterator[asyncio.Task[None]]:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(trail.write(stop), name="audit under test")
        yield work
        stop.set()


async def targets(pool: asyncpg.Pool) -> list[str]:
    return [one["target"] for one in await pool.fetch("SELECT target FROM audit ORDER BY enterprise_id, id")]


async def test_what_is_noted_is_written_in_order_also_at_the_stop(pool: asyncpg.Pool) -> None:
    trail = AuditTrail(pool)
    async with writing(trail):
        for number in range(1200):
            trail.note(row(f"{number:04}"))
    assert await targets(pool) == [f"{number:04}" for number in range(1200)]
    [one, *_] = await pool.fetch("SELECT who, address, action, outcome, request, enterprise_id FROM audit")
    assert list(one) == ["token 1", "198.51.100.1", "calls.list", "done", "r1", "0123"]


@pytest.mark.parametrize("text", ["\0", "\ud800", "x" * 100_000, "'; DROP TABLE audit; --", "Ромашка"])
async def test_nothing_that_somebody_sends_keeps_the_others_from_being_written(pool: asyncpg.Pool, text: str) -> None:
    trail = AuditTrail(pool)
    async with writing(trail):
        trail.note(row(text))
        trail.note(row("after"))
    first, last = await targets(pool)
    assert last == "after"
    assert len(first) <= 500


async def test_while_the_database_is_away_rows_wait_and_then_all_are_there(
    dsn: str, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "AGAIN", timedelta(milliseconds=20))
    async with proxy(dsn) as way, open_pool(way.dsn) as far:
        trail = AuditTrail(far, room=3)
        with capture_logs() as lines:
            async with writing(trail):
                way.close()
                for number in range(3):
                    trail.note(row(str(number)))
                await until(lambda: "audit_not_written" in [line["event"] for line in lines])
                full = not trail.has_room
                way.open = True
                await until(lambda: not len(trail))
        assert full
        assert trail.has_room
        assert [line["event"] for line in lines] == ["audit_not_written", "audit_written_again"]
    assert await targets(pool) == ["0", "1", "2"]


async def test_what_is_lost_at_the_stop_is_counted() -> None:
    async with open_pool("postgresql://127.0.0.1:1/absent") as nowhere:
        trail, stop = AuditTrail(nowhere), asyncio.Event()
        with capture_logs() as lines:
            async with asyncio.TaskGroup() as tasks:
                work = tasks.create_task(trail.write(stop), name="audit under test")
                trail.note(row())
                await until(lambda: lines)
                stop.set()
                work.cancel()
    assert [line["event"] for line in lines] == ["audit_not_written", "audit_rows_lost"]
    assert lines[1]["rows"] == 1
