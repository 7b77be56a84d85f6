"""Anomalies on their way into the database and out of it: bounded, in order, and never in the way of a fact."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest
from structlog.testing import capture_logs

from amibridge.calls.record import CallId
from amibridge.calls.telling import Anomaly
from amibridge.enterprises import EnterpriseId, HostName
from amibridge.store import anomalies as module
from amibridge.store.anomalies import HeardAnomaly, anomalies_of_call, latest_anomalies, record_anomalies
from amibridge.store.ledger import Ledger
from amibridge.store.recorder import MOST_ANOMALIES, FactQueue
from tests.databases import command
from tests.store.recorder_at_work import recording, rings, written
from tests.store.said import HEARD_AT

TRACE = b"Event: Hangup\r\nUniqueid: 1.1\r\n\r\n\x00\xff"


def wondered(number: int, host: str = "pbx1", enterprise: str = "0123") -> HeardAnomaly:
    anomaly = Anomaly(HEARD_AT + timedelta(seconds=number), CallId(f"{host}:{number}.1"), f"change {number}")
    return HeardAnomaly(EnterpriseId(enterprise), HostName(host), anomaly, number, TRACE)


async def kept(pool: asyncpg.Pool, **which: str) -> list[str]:
    return [row.text for row in await latest_anomalies(pool, **which)]  # type: ignore[arg-type]


class TestTable:
    async def test_what_is_recorded_comes_back_the_newest_first(self, pool: asyncpg.Pool) -> None:
        for heard in ([wondered(1), wondered(2, "pbx2")], [wondered(3, enterprise="0124")]):
            await record_anomalies(pool, heard)
        assert await kept(pool) == ["change 3", "change 2", "change 1"]
        assert await kept(pool, enterprise="0123") == ["change 2", "change 1"]
        assert await kept(pool, enterprise="0123", host="pbx1") == ["change 1"]
        assert await kept(pool, host="pbx1") == ["change 3", "change 1"]
        assert await kept(pool, enterprise="0125") == []
        [row] = await latest_anomalies(pool, host=HostName("pbx2"))
        assert (row.enterprise, row.host, row.call, row.at, row.passed_over, row.trace) == (
            "0123", "pbx2", "pbx2:2.1", HEARD_AT + timedelta(seconds=2), 2, TRACE,
        )  # fmt: skip
        assert len(await latest_anomalies(pool, limit=2)) == 2

    async def test_those_of_one_call(self, pool: asyncpg.Pool) -> None:
        await record_anomalies(pool, [wondered(1), wondered(1, enterprise="0124"), wondered(2)])
        call = CallId("pbx1:1.1")
        assert [row.enterprise for row in await anomalies_of_call(pool, call)] == ["0124", "0123"]
        assert [row.text for row in await anomalies_of_call(pool, call, EnterpriseId("0123"))] == ["change 1"]
        assert await anomalies_of_call(pool, CallId("pbx1:9\x00'; DROP TABLE anomalies")) == []

    async def test_of_each_host_the_newest_are_kept(self, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "KEPT", 3)
        await record_anomalies(pool, [wondered(number) for number in range(10)] + [wondered(10, "pbx2")])
        await record_anomalies(pool, [wondered(11)])
        assert await kept(pool) == ["change 11", "change 10", "change 9", "change 8"]

    async def test_whatever_its_text_is(self, pool: asyncpg.Pool) -> None:
        odd = Anomaly(HEARD_AT, CallId("pbx1:\x00"), "channel \x00 from new to gone")
        await record_anomalies(pool, [replace(wondered(1), anomaly=odd)])
        assert await kept(pool) == ["channel \ufffd from new to gone"]


class TestRecorder:
    async def test_facts_and_anomalies_are_written_while_it_runs(self, pool: asyncpg.Pool) -> None:
        async with recording(Ledger(pool)) as one:
            one.queue.wonder(wondered(1))
            await until_kept(pool, 1)
            one.put(*rings(3))
            one.queue.wonder(wondered(2))
        assert len(await written(pool)) == 3
        assert await kept(pool) == ["change 2", "change 1"]

    async def test_those_that_postgresql_will_not_take_are_said_and_cost_no_fact(self, pool: asyncpg.Pool) -> None:
        broken = replace(wondered(1), anomaly=replace(wondered(1).anomaly, text="\ud800"))
        with capture_logs() as lines:
            async with recording(Ledger(pool)) as one:
                one.queue.wonder(broken)
                one.put(*rings(3))
        assert len(await written(pool)) == 3
        assert [(line["event"], line["log_level"], line["anomalies"]) for line in lines] == [
            ("anomalies_not_recorded", "warning", 1)
        ]

    async def test_a_missing_table_holds_up_no_fact_that_came_before(self, pool: asyncpg.Pool, dsn: str) -> None:
        """Somebody dropped it: that is waited for, as a database that is away is."""
        await command(dsn, "ALTER TABLE amibridge.anomalies RENAME TO elsewhere")
        async with recording(Ledger(pool)) as one:
            one.put(*rings(3))
            one.queue.wonder(wondered(1))
            await one.emptied()
            assert len(await written(pool)) == 3
            await command(dsn, "ALTER TABLE amibridge.elsewhere RENAME TO anomalies")
        assert await kept(pool) == ["change 1"]

    async def test_those_that_wait_are_bounded(self) -> None:
        queue = FactQueue()
        for number in range(MOST_ANOMALIES + 5):
            queue.wonder(wondered(number))
        taken = queue.take_anomalies()
        assert [one.passed_over for one in taken] == list(range(5, MOST_ANOMALIES + 5))
        assert queue.take_anomalies() == []
        assert len(queue) == 0


async def until_kept(pool: asyncpg.Pool, count: int) -> None:
    found: list[str] = []

    while len(found) < count:
        found = await kept(pool)
