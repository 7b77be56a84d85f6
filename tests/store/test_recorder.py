"""What is queued is written in order and once, and what PostgreSQL will not take is set aside alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import asyncpg
import pytest
from structlog.testing import capture_logs

from amibridge.calls.facts import AnyFact, FactKey
from amibridge.calls.notices import notices_of
from amibridge.enterprises import EnterpriseId
from amibridge.store import recorder as module
from amibridge.store.ledger import HeardFact, Ledger
from amibridge.store.outbox import Delivery, Outbox
from amibridge.store.recorder import FactQueue, QueueFull
from tests.delivery.rows import ended, rang
from tests.delivery.rows import record as verdict
from tests.store.recorder_at_work import Recorder, keys, recording, rings, written
from tests.store.said import facts_of, heard, trace

pytestmark = pytest.mark.postgres

ONE, OTHER = EnterpriseId("0123"), EnterpriseId("0124")


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_FIRST", 0.01)
    monkeypatch.setattr(module, "PAUSE_CAP", 0.02)


async def test_a_queue_keeps_the_order_and_what_was_not_removed() -> None:
    queue = FactQueue(size=3)
    facts = heard(*rings(4))
    for one in facts[:3]:
        queue.put(one)
    assert queue.first(2) == facts[:2]
    assert queue.first(9) == facts[:3]
    assert len(queue) == 3
    with pytest.raises(QueueFull, match="3 facts wait for the database"):
        queue.put(facts[3])
    queue.remove(2)
    queue.put(facts[3])
    assert queue.first(9) == facts[2:]


async def test_who_waits_for_what_is_written_is_told_after_each_commit(pool: asyncpg.Pool) -> None:
    queue, told = FactQueue(), list[str]()
    handed: list[Delivery] = []

    def hear(batch: Sequence[HeardFact]) -> None:
        assert len(handed) >= len(told) + len(batch), "popups go first"
        told.extend(one.fact.key for one in batch)

    facts = rings(1200)
    for one in heard(*facts):
        queue.put(one)
    queue.close()
    await module.record(queue, Ledger(pool), handed.extend, written=hear)
    assert told == keys(facts) == await written(pool)


async def test_whoever_listens_hears_a_fact_at_once_and_none_for_which_there_was_no_room() -> None:
    told: list[HeardFact] = []
    queue = FactQueue(size=1, hear=told.append)
    first, second = heard(*rings(2))
    queue.put(first)
    with pytest.raises(QueueFull):
        queue.put(second)
    assert told == [first]


async def test_a_call_that_is_over_is_told_by_the_queue_until_it_is_written() -> None:
    queue, ours, theirs = FactQueue(), verdict("pbx:1"), verdict("pbx:2")
    for one in (*heard(*rings(1), ended(ours)), *heard(ended(theirs), enterprise=OTHER)):
        queue.put(one)
    assert (queue.records_of(ONE), queue.records_of(OTHER)) == ([ours], [theirs])
    queue.remove(2)
    assert (queue.records_of(ONE), queue.records_of(OTHER)) == ([], [theirs])


async def test_who_waits_for_what_was_put_is_not_woken_by_half_of_it_nor_held_up_by_what_came_later() -> None:
    queue = FactQueue()
    facts = heard(*rings(3))
    await queue.safe()
    queue.put(facts[0])
    queue.put(facts[1])
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(queue.safe(), name="waiting")
        await asyncio.sleep(0)
        queue.put(facts[2])
        queue.remove(1)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
        queue.remove(1)
        await waiting
    assert len(queue) == 1


async def test_who_waits_at_a_queue_is_woken_by_a_fact_and_by_its_end() -> None:
    queue = FactQueue()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(queue.some(), name="waiting")
        await asyncio.sleep(0)
        assert not waiting.done()
        queue.put(heard(*rings(1))[0])
        assert await waiting
        queue.close()
        assert await queue.some(), "what is queued comes before the end"
        queue.remove(1)
        assert not await queue.some()
        waiting = tasks.create_task(FactQueue().some(), name="waiting in vain")
        await asyncio.sleep(0)
        waiting.cancel()


async def test_a_trace_is_written_in_order_and_its_deliveries_are_handed_over_in_order(pool: asyncpg.Pool) -> None:
    facts = facts_of(trace("asterisk22/i_queue_second_member"))
    async with recording(Ledger(pool)) as one:
        one.put(*facts)
    assert await written(pool) == keys(facts)
    assert one.handed == await Outbox(pool).load_due(ONE)
    assert [row.fact for row in one.handed] == [fact for fact in facts for _ in notices_of(fact)]
    assert len(one.queue) == 0


async def test_what_gathers_while_a_commit_runs_is_the_next_batch(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 10)
    sizes: list[int] = []

    class Sizing(Ledger):
        async def record(self, heard: Sequence[HeardFact]) -> list[Delivery]:
            sizes.append(len(heard))
            if len(sizes) == 1:
                one.put(*rings(24, 1))
            return await super().record(heard)

    async with recording(Sizing(pool)) as one:
        one.put(*rings(1))
        await one.emptied()
    assert sizes == [1, 10, 10, 4]
    assert await written(pool) == keys(rings(25))


async def test_a_fact_leaves_the_queue_only_when_it_is_written(pool: asyncpg.Pool) -> None:
    """A stop in the middle of a commit."""

    class Slow(Ledger):
        async def record(self, heard: Sequence[HeardFact]) -> list[Delivery]:
            busy.set()
            await asyncio.Event().wait()
            return []

    busy, one = asyncio.Event(), Recorder(Slow(pool))
    one.put(*rings(3))
    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(one.work, name="recorder")
        await busy.wait()
        assert len(one.queue) == 3
        working.cancel()
    assert len(one.queue) == 3


IMPOSSIBLE: dict[str, AnyFact] = {
    "a verdict without an outcome": ended(replace(verdict("pbx:x"), outcome=None)),
    "a key longer than an index takes": replace(
        rang("pbx:x", "101"), key=FactKey("".join(chr(0x100 + number) for number in range(3_000)))
    ),
    "half a letter": rang("pbx:\ud83d", "101"),
}


@pytest.mark.parametrize("impossible", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
async def test_one_fact_that_postgresql_will_not_take_is_set_aside_alone(
    pool: asyncpg.Pool, impossible: AnyFact
) -> None:
    with capture_logs() as logs:
        async with recording(Ledger(pool)) as one:
            one.put(*rings(20), impossible, *rings(17, 20))
    assert await written(pool) == keys(rings(37))
    assert one.handed == await Outbox(pool).load_due(ONE)
    assert [row.fact for row in one.handed] == rings(37)
    assert [line["event"] for line in logs] == ["fact_set_aside"]
    assert logs[0]["call"] == impossible.call
    assert one.queue.set_aside == {ONE: 1}
    assert one.queue.written == 38
    [row] = await pool.fetch("SELECT body, error FROM rejected_facts")
    assert row["body"] == repr(impossible)
    assert row["error"]


async def test_nothing_but_impossible_facts_ends_too(pool: asyncpg.Pool) -> None:
    impossible = [ended(replace(verdict(f"pbx:{number}"), outcome=None)) for number in range(9)]
    with capture_logs():
        async with recording(Ledger(pool)) as one:
            one.put(*impossible)
    assert await pool.fetchval("SELECT count(*) FROM rejected_facts") == 9
    assert one.handed == []


async def test_the_same_fact_twice_in_one_batch_is_one_fact_and_no_fault(pool: asyncpg.Pool) -> None:
    with capture_logs() as logs:
        async with recording(Ledger(pool)) as one:
            one.put(*rings(3), *rings(3))
    assert logs == []
    assert one.handed == await Outbox(pool).load_due(ONE)
    assert len(one.handed) == 3


async def test_a_database_that_goes_away_while_a_fact_is_set_aside_is_waited_for(pool: asyncpg.Pool) -> None:
    class Losing(Ledger):
        failures = 2

        async def reject(self, heard: HeardFact, error: str) -> None:
            if self.failures:
                self.failures -= 1
                raise ConnectionResetError("lost")
            await super().reject(heard, error)

    with capture_logs() as logs:
        async with recording(Losing(pool)) as one:
            one.put(IMPOSSIBLE["a verdict without an outcome"], *rings(2))
    assert await pool.fetchval("SELECT count(*) FROM rejected_facts") == 1
    assert await written(pool) == keys(rings(2))
    assert [line["event"] for line in logs] == ["fact_set_aside", "database_lost", "database_back"]
