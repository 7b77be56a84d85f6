"""A lane tells each call once and in order, reads its table in pages, and ends when it is told to."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from amibridge.delivery import lane as lane_module
from amibridge.delivery import stock
from amibridge.enterprises import Account, Enterprise
from amibridge.retailcrm.client import RetailCrm
from amibridge.retailcrm.limits import RATES
from amibridge.retailcrm.requests import LimitClass, ReplyT, Request
from amibridge.store.outbox import DeliveryStatus
from tests.delivery.lane_at_work import KEY, Clock, Table, now, running
from tests.delivery.rows import dialled, ended, history, popup, rang, record, stopped
from tests.delivery.scripted_crm import (
    EVENT,
    UPLOAD,
    ScriptedCrm,
    hang,
)
from tests.delivery.waiting import until


async def test_a_call_is_told_from_ring_to_history_in_order(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    table, at = Table(), now()
    with capture_logs() as logs:
        async with running(enterprise, crm, table) as lane:
            lane.offer([popup(1, rang("pbx:1", "101", at), at=at), popup(2, rang("pbx:1", "102", at), at=at)])
            await until(lambda: table.all(DeliveryStatus.SENT, [1, 2]))
            lane.offer([popup(3, stopped("pbx:1", "102", at), at=at)])
            lane.offer([popup(4, ended(record("pbx:1", at=at)), at=at), history(5, "pbx:1", at=at)])
            await until(lambda: table.all(DeliveryStatus.SENT, [1, 2, 3, 4, 5]))
    assert scripted.types("pbx:1") == ["in", "hangup", "hangup", "history"]
    assert scripted.of(EVENT)[0].said["codes"] == ["101", "102"]
    assert scripted.calls[KEY]["pbx:1"]["result"] == "answered"
    delivered = [line for line in logs if line["event"] == "call_delivered"]
    assert [(line["call"], line["result"], line["enterprise"]) for line in delivered] == [("pbx:1", "answered", "0001")]
    assert table.verdicts[5].attempts == 1


async def test_calls_overtake_each_other_but_never_themselves(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    scripted.delay = 0.02
    table, at = Table(), now()
    rows = []
    for call in range(30):
        name, id = f"pbx:{call}", 10 * call
        rows += [popup(id + 1, dialled(name, "101", at), at=at), popup(id + 2, rang(name, "102", at), at=at)]
    async with running(enterprise, crm, table) as lane:
        lane.offer(rows)
        await until(lambda: table.all(DeliveryStatus.SENT, [row.id for row in rows if row.id % 10 == 1]))
        closing = [popup(10 * call + 3, stopped(f"pbx:{call}", "102", at), at=at) for call in range(30)]
        lane.offer(closing)
        lane.offer([history(10 * call + 4, f"pbx:{call}", at=at) for call in range(30)])
        await until(lambda: table.all(DeliveryStatus.SENT, [10 * call + 4 for call in range(30)]))
    for call in range(30):
        heard = scripted.types(f"pbx:{call}")
        assert heard[0] == "out"
        assert heard[-1] == "history"
        assert heard in (["out", "history"], ["out", "in", "hangup", "history"])
    assert len(scripted.of(UPLOAD)) < 30


async def test_rows_in_the_table_come_before_rows_just_offered(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    at = now()
    table = Table([popup(1, rang("pbx:1", "101", at), at=at)])
    async with running(enterprise, crm, table) as lane:
        lane.offer([popup(2, rang("pbx:1", "102", at), at=at)])
        # The recorder hands over late what the reading has seen already.
        await until(lambda: table.status(2) == DeliveryStatus.SENT)
        lane.offer([popup(1, rang("pbx:1", "101", at), at=at)])
        lane.offer([popup(3, rang("pbx:3", "101", at), at=at)])
        await until(lambda: table.status(3) == DeliveryStatus.SENT)
    assert [heard.said["codes"] for heard in scripted.of(EVENT)] == [["101", "102"], ["101"]]


async def test_memory_is_bounded_and_nothing_is_lost(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stock, "HELD_MAX", 100)
    monkeypatch.setattr(stock, "PAGE", 30)
    at = now()
    table = Table([history(i, f"pbx:{i}", at=at) for i in range(1, 251)])
    most = 0
    async with running(enterprise, crm, table) as lane:
        for i in range(251, 401):
            table.due[i] = history(i, f"pbx:{i}", at=at)
            lane.offer([table.due[i]])
            most = max(most, lane._stock.waiting)
        await until(lambda: len(scripted.calls[KEY]) == 400)
        await until(lambda: not table.due)
    assert most <= 100
    assert scripted.duplicates == 0


async def test_an_unreadable_table_stops_nothing_that_is_in_memory(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "READ_AGAIN_AFTER", timedelta(milliseconds=50))
    table, clock, at = Table(), Clock(), now()
    with capture_logs() as logs:
        async with running(enterprise, crm, table, now=clock) as lane:
            await until(lambda: table.pages == 1)
            table.broken = ConnectionError("the database is away")
            clock.ahead = timedelta(minutes=2)
            lane.offer([history(1, "pbx:1", at=at)])
            await until(lambda: table.pages >= 4)
            await until(lambda: table.status(1) == DeliveryStatus.SENT)
            table.broken = None
            table.due[2] = history(2, "pbx:2", at=at)
            await until(lambda: table.status(2) == DeliveryStatus.SENT)
    said = [line["event"] for line in logs if line["event"].startswith("deliveries_")]
    assert said == ["deliveries_unreadable", "deliveries_readable_again"]


async def test_closing_waits_for_answers_and_leaves_the_rest_due(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    over = asyncio.Event()
    scripted.always[UPLOAD] = hang(over)
    table, at = Table(), now()
    async with running(enterprise, crm, table) as lane:
        lane.offer([history(1, "pbx:1", at=at)])
        await until(lambda: scripted.heard)
        lane.offer([history(2, "pbx:2", at=at)])
        lane.close()
        lane.offer([history(3, "pbx:3", at=at)])
        over.set()
    assert table.status(1) == DeliveryStatus.SENT
    assert len(scripted.heard) == 1
    assert table.status(2) is None
    assert table.status(3) is None


async def test_closing_does_not_wait_for_ever(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "GRACE", timedelta(milliseconds=50))
    over = asyncio.Event()
    scripted.always[UPLOAD] = scripted.always[EVENT] = hang(over)
    table, at = Table(), now()
    async with running(enterprise, crm, table) as lane:
        lane.offer([history(1, "pbx:1", at=at), popup(2, rang("pbx:2", "101", at), at=at)])
        await until(lambda: len(scripted.heard) == 2)
    over.set()
    assert table.verdicts == {}


async def test_a_request_cancelled_by_a_library_is_a_failure_of_the_lane(
    enterprise: Enterprise, scripted: ScriptedCrm
) -> None:
    class Cancelling(RetailCrm):
        def __init__(self) -> None:
            pass

        async def send(self, account: Account, request: Request[ReplyT]) -> ReplyT:
            raise asyncio.CancelledError

    table, at = Table([history(1, "pbx:1", at=now())]), now()

    async def live() -> None:
        async with running(enterprise, Cancelling(), table) as lane:
            lane.offer([popup(2, rang("pbx:2", "101", at), at=at)])
            await asyncio.sleep(0.05)

    with pytest.raises(ExceptionGroup) as failure:
        await live()
    assert failure.group_contains(RuntimeError, match="nobody in charge")
    assert table.verdicts == {}


def test_a_lane_alone_finds_room_for_all_it_starts_at_once() -> None:
    """Popups, an upload and an errand: see `retailcrm.limits.RATES`."""
    assert RATES[LimitClass.TELEPHONY].unanswered >= lane_module.POPUPS_IN_FLIGHT + 2
