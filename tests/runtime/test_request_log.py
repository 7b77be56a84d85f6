"""From the tap into the table: batched, bounded, beside everything else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from structlog.testing import capture_logs

from amibridge.calls.record import CallId
from amibridge.enterprises import EnterpriseId
from amibridge.retailcrm.exchange import Exchange, Occasion
from amibridge.runtime import request_log as module
from amibridge.runtime.request_log import RequestLog, row_of
from amibridge.store.requests import CrmRequest, CrmRequests
from tests.delivery.waiting import until

ONE = EnterpriseId("0123")
AT = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)


def exchange(number: int = 0, *, enterprise: EnterpriseId | None = ONE, news: bool = True) -> Exchange:
    occasion = Occasion((CallId(f"pbx1:{number}"),), (number,))
    heard = Exchange(
        enterprise, occasion, "POST", f"/api/{number}", b"phone=%2B375291231234", AT, status=200, news=news
    )
    heard.heard = b'{"success":true,"phone":"+375291231234"}'
    return heard


class Table:
    """*away*: whatever it says instead of writing. *refuses*: addresses of rows that it never takes."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.rows: list[CrmRequest] = []
        self.tries = 0
        self.away: Exception | None = None
        self.refuses: set[str] = set()

    async def write(self, rows: Sequence[CrmRequest]) -> None:
        self.tries += 1
        if self.away is not None:
            raise self.away
        if any(row.address in self.refuses for row in rows):
            raise asyncpg.DataError("no such row")
        self.rows += rows
        self.batches.append([row.address for row in rows])

    @property
    def addresses(self) -> list[str]:
        return [row.address for row in self.rows]


@asynccontextmanager
async def running(log: RequestLog, table: Table) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(log.run(table.write), name="request log under test")
        try:
            yield
        finally:
            log.close()


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHERED", 0.02)
    monkeypatch.setattr(module, "PAUSE_FIRST", 0.001)
    monkeypatch.setattr(module, "PAUSE_CAP", 0.01)


async def test_what_comes_together_is_written_together_masked_and_in_order() -> None:
    log, table = RequestLog(), Table()
    async with running(log, table):
        for number in range(20):
            log.hear(exchange(number))
    assert table.batches == [[f"/api/{number}" for number in range(20)]]
    row = table.rows[7]
    assert (row.calls, row.deliveries, row.status) == (("pbx1:7",), (7,), 200)
    assert (row.request, row.answer) == ("phone=+375•••••1234", '{"success":true,"phone":"+375•••••1234"}')


async def test_a_large_crowd_is_written_in_pieces() -> None:
    log, table = RequestLog(), Table()
    async with running(log, table):
        for number in range(3 * module.BATCH + 1):
            log.hear(exchange(number))
    assert [len(batch) for batch in table.batches] == [module.BATCH] * 3 + [1]


async def test_what_is_decided_right_after_the_answer_is_in_the_row() -> None:
    log, table = RequestLog(), Table()
    async with running(log, table):
        heard = exchange()
        heard.occasion.last = heard
        log.hear(heard)
        heard.occasion.decided("due", 2, AT + timedelta(seconds=9))
        heard.occasion.decided("sent", 1, None)
        heard.occasion.decided("due", 1, AT + timedelta(seconds=5))
    [row] = table.rows
    assert (row.verdict, row.next_attempt_at) == ("3 due, 1 sent", AT + timedelta(seconds=5))


async def test_nobodys_requests_and_those_without_news_are_not_kept() -> None:
    log, table = RequestLog(), Table()
    async with running(log, table):
        log.hear(exchange(1, enterprise=None))
        log.hear(exchange(2, news=False))
        log.hear(exchange(3))
    assert table.addresses == ["/api/3"]


@pytest.mark.parametrize("away", [ConnectionError("gone"), asyncpg.CannotConnectNowError("starting"), TimeoutError()])
async def test_a_database_that_is_away_loses_nothing_that_fits(away: Exception) -> None:
    log, table = RequestLog(), Table()
    table.away = away
    with capture_logs() as lines:
        async with running(log, table):
            log.hear(exchange(1))
            await until(lambda: table.tries > 3)
            log.hear(exchange(2))
            table.away = None
            await until(lambda: len(table.rows) == 2)
    assert table.addresses == ["/api/1", "/api/2"]
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("crm_requests_not_recorded", "warning"),
        ("crm_requests_recorded_again", "info"),
    ]
    assert lines[1]["lost"] == 0


async def test_what_does_not_fit_is_counted_and_the_newest_are_kept() -> None:
    log, table = RequestLog(most=5), Table()
    table.away = ConnectionError("gone")
    with capture_logs() as lines:
        async with running(log, table):
            log.hear(exchange(0))
            await until(lambda: table.tries > 1)
            for number in range(1, 13):
                log.hear(exchange(number))
            table.away = None
            await until(lambda: len(table.rows) == 6)
    assert table.addresses == [f"/api/{number}" for number in (0, 8, 9, 10, 11, 12)]
    assert sum(line.get("lost", 0) for line in lines) == 7


async def test_one_row_that_is_refused_holds_up_no_other() -> None:
    log, table = RequestLog(), Table()
    table.refuses = {"/api/3"}
    with capture_logs() as lines:
        async with running(log, table):
            for number in range(6):
                log.hear(exchange(number))
    assert table.addresses == [f"/api/{number}" for number in (0, 1, 2, 4, 5)]
    assert [line["event"] for line in lines] == ["crm_requests_not_recorded", "crm_requests_recorded_again"]
    assert lines[1]["lost"] == 1


async def test_at_the_stop_a_database_that_is_away_is_not_waited_for() -> None:
    log, table = RequestLog(), Table()
    table.away = ConnectionError("gone")
    async with running(log, table):
        log.hear(exchange(1))
    assert table.rows == []


async def test_hearing_never_waits_and_never_fails() -> None:
    log = RequestLog(most=3)
    for number in range(100):
        log.hear(exchange(number))


async def test_whatever_was_on_the_wire_is_a_row(pool: asyncpg.Pool) -> None:
    hostile = exchange()
    hostile.sent, hostile.heard, hostile.address = (
        b"\xff\x00=%00%ff&a=%ED%A0%80",
        b'\xff\xfe{"a":"\\ud800\\u0000',
        "/a%00b?\x00=\ud800",
    )
    await CrmRequests(pool).record([row_of(hostile)])
    [row] = await CrmRequests(pool).newest(ONE, 5)
    assert row.answer.startswith("\ufffd")
