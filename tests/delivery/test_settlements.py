from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from amibridge.delivery import settlements as module
from amibridge.delivery.settlements import Settlements
from amibridge.enterprises import EnterpriseId
from amibridge.store.outbox import DeliveryStatus, Settlement
from tests.delivery.rows import NOON
from tests.delivery.waiting import until

ONE = EnterpriseId("0001")


class Table:
    def __init__(self) -> None:
        self.writes: list[list[int]] = []
        self.answers: dict[int, str | None] = {}
        self.written: list[int] = []
        self.away = False
        self.free = asyncio.Event()
        self.free.set()

    async def write(self, rows: Sequence[Settlement]) -> None:
        await self.free.wait()
        if self.away:
            raise ConnectionError("the database is away")
        self.writes.append([row.id for row in rows])
        self.answers.update((row.id, row.answer) for row in rows)

    def tell(self, rows: Sequence[Settlement]) -> None:
        self.written += [row.id for row in rows]


def sent(id: int, answer: str = "accepted") -> Settlement:
    return Settlement(ONE, id, DeliveryStatus.SENT, None, 1, answer)


def due(id: int) -> Settlement:
    return Settlement(ONE, id, DeliveryStatus.DUE, NOON, 1, "busy")


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_FIRST", 0.001)
    monkeypatch.setattr(module, "BACKOFF_CAP", 0.01)


async def test_what_gathers_while_a_commit_runs_goes_with_the_next() -> None:
    table = Table()
    settlements = Settlements(table.write, table.tell)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(settlements.run(), name="settlements")
        table.free.clear()
        settlements.put([sent(1)])
        await asyncio.sleep(0.01)
        for id in range(2, 50):
            settlements.put([sent(id)])
        table.free.set()
        await until(lambda: len(table.written) == 49)
        settlements.close()
    assert table.writes == [[1], list(range(2, 50))]


async def test_a_row_is_written_once_with_its_newest_verdict() -> None:
    table = Table()
    settlements = Settlements(table.write, table.tell)
    settlements.put([due(1), sent(2)])
    settlements.put([sent(1, "in the end")])
    assert settlements.unwritten(ONE) == {1, 2}
    settlements.close()
    await settlements.run()
    assert table.writes == [[1, 2]]
    assert table.answers[1] == "in the end"
    assert settlements.unwritten() == set()


async def test_a_verdict_put_in_while_the_one_before_is_written_is_not_lost() -> None:
    table = Table()
    settlements = Settlements(table.write, table.tell)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(settlements.run(), name="settlements")
        table.free.clear()
        settlements.put([due(1)])
        await asyncio.sleep(0.01)
        settlements.put([sent(1)])
        table.free.set()
        settlements.close()
    assert table.writes == [[1], [1]]
    assert table.written == [1]


async def test_a_row_that_stays_due_is_not_reported_as_done() -> None:
    table = Table()
    settlements = Settlements(table.write, table.tell)
    settlements.put([due(1)])
    assert settlements.unwritten() == set()
    settlements.close()
    await settlements.run()
    assert table.writes == [[1]]
    assert table.written == []


async def test_a_lost_database_is_said_once_and_loses_nothing() -> None:
    table = Table()
    table.away = True
    settlements = Settlements(table.write, table.tell)
    with capture_logs() as logs:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(settlements.run(), name="settlements")
            for id in range(1, 6):
                settlements.put([sent(id)])
                await asyncio.sleep(0.01)
            settlements.close()
            await asyncio.sleep(0.01)
            table.away = False
    assert table.written == [1, 2, 3, 4, 5]
    assert [line["event"] for line in logs] == ["settlements_wait", "settlements_written_again"]


async def test_statements_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 10)
    table = Table()
    settlements = Settlements(table.write, table.tell)
    settlements.put(sent(id) for id in range(25))
    settlements.close()
    await settlements.run()
    assert [len(write) for write in table.writes] == [10, 10, 5]


async def test_a_write_cancelled_by_a_library_is_tried_again() -> None:
    tries = []

    async def write(rows: Sequence[Settlement]) -> None:
        tries.append(len(rows))
        if len(tries) == 1:
            raise asyncio.CancelledError

    settlements = Settlements(write, lambda _: None)
    settlements.put([sent(1)])
    settlements.close()
    await settlements.run()
    assert tries == [1, 1]
