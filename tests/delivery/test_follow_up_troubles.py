"""Whatever the CRM, the database or a crash does to it: one follow-up of a missed call, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from amibridge.sandbox.crm_faults import BadGateway, Busy, Cut, Fault, Hang, Nonsense
from amibridge.sandbox.crm_history import person
from amibridge.store.outbox import DeliveryStatus, Outbox
from tests.delivery.bench import CUT_THE_OTHERS
from tests.delivery.rows import PHONE, ended, record
from tests.delivery.shop import BOSS, NUMBER, Shop, missed
from tests.delivery.waiting import until

pytestmark = pytest.mark.postgres

STRANGER = "+79160000001"
TASKS, ORDERS = "/api/v5/tasks", "/api/v5/orders"


@pytest.mark.parametrize("fault", [Cut(done=True), Cut(), BadGateway(), Nonsense(), Busy(0)], ids=repr)
async def test_an_answer_that_was_lost_makes_no_second_task(shop: Shop, fault: Fault) -> None:
    shop.sandbox.faults.give(fault, path=f"{TASKS}/create")
    async with shop.open():
        await shop.missed("pbx:1")
        await shop.called_back("pbx:2")
    assert [one["complete"] for one in shop.tasks] == [True]


@pytest.mark.parametrize("fault", [Cut(done=True), Cut(), BadGateway(), Nonsense(), Busy(0)], ids=repr)
async def test_an_answer_that_was_lost_makes_no_second_order(shop: Shop, fault: Fault) -> None:
    await shop.wants(create_orders=True, order_status_reached="client-confirmed")
    shop.sandbox.faults.give(fault, path=f"{ORDERS}/create")
    async with shop.open():
        await shop.missed("pbx:1", STRANGER)
        await shop.called_back("pbx:2", STRANGER)
    assert [one["status"] for one in shop.orders] == ["client-confirmed"]
    assert shop.tasks == []


async def test_a_lost_task_is_found_among_many_and_not_taken_for_another(shop: Shop) -> None:
    shop.sandbox.faults.give(Cut(done=True), path=f"{TASKS}/create")
    for number in range(250):
        shop.crm.tasks[number + 1] = shop_task(number + 1, f"Пропущенный звонок: {PHONE}, 01.01.2020 00:00:00")
    async with shop.open():
        await shop.missed("pbx:1")
        await shop.called_back("pbx:2")
    assert [one["id"] for one in shop.tasks if one["complete"]] == [251]


async def test_where_a_filter_is_passed_over_it_is_not_guessed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of tasks come instead of those of two days: it is tried again, and nothing is made meanwhile."""
    monkeypatch.setattr("amibridge.delivery.missed_tasks.MOST_PAGES", 1)
    shop.sandbox.faults.give(Cut(), path=f"{TASKS}/create")
    for number in range(101):
        shop.crm.tasks[number + 1] = shop_task(number + 1, "another")
    async with shop.open():
        await shop.record(ended(missed("pbx:1", shop.later()), shop.at))
        await said(shop, "which one is ours?")
    assert len(shop.tasks) == 101


async def test_reached_before_an_answer_that_was_lost_came_again_it_is_ended_all_the_same(shop: Shop) -> None:
    shop.sandbox.faults.give(Cut(done=True), path=f"{TASKS}/create")
    shop.sandbox.faults.give(BadGateway(), times=None, path=TASKS)
    async with shop.open():
        await shop.record(ended(missed("pbx:1", shop.later()), shop.at))
        await said(shop, "Bad Gateway")
        await shop.record(ended(record("pbx:2", caller="101", at=shop.later()), shop.at))
        shop.sandbox.faults.clear()
        await shop.settled()
    assert [one["complete"] for one in shop.tasks] == [True]


async def test_reached_while_the_crm_is_down_it_is_ended_when_it_is_back(shop: Shop) -> None:
    async with shop.open():
        await shop.missed("pbx:1")
        shop.sandbox.faults.give(BadGateway(), times=None)
        await shop.record(ended(record("pbx:2", caller="101", at=shop.later()), shop.at))
        await said(shop, "HTTP 502")
        assert [one["complete"] for one in shop.tasks] == [False]
        shop.sandbox.faults.clear()
        await shop.settled()
    assert [one["complete"] for one in shop.tasks] == [True]


async def test_an_end_whose_answer_was_lost_is_an_end(shop: Shop) -> None:
    async with shop.open():
        await shop.missed("pbx:1")
        shop.sandbox.faults.give(Cut(done=True), path=f"{TASKS}/1/edit")
        await shop.called_back("pbx:2")
    assert ([one["complete"] for one in shop.tasks], shop.asked(f"{TASKS}/1/edit")) == ([True], 1)


@pytest.mark.parametrize(("phone", "path"), [(PHONE, TASKS), (STRANGER, ORDERS)], ids=["task", "order"])
async def test_killed_between_the_crms_answer_and_our_row_it_is_known_after_the_next_start(
    shop: Shop, phone: str, path: str
) -> None:
    await shop.wants(create_orders=True, order_status_reached="client-confirmed")
    await shop.record(ended(missed("pbx:1", shop.later(), phone), shop.at))
    shop.sandbox.faults.give(Hang(done=True), path=f"{path}/create")
    await killed_when(shop, lambda: shop.tasks or shop.orders)
    async with shop.open():
        await shop.settled()
        await shop.record(ended(record("pbx:2", caller="101", at=shop.later(), phone=phone), shop.at))
    made = [*shop.tasks, *shop.orders]
    shop.sandbox.faults.give(Hang(done=True), path=f"{path}/1/edit")
    await killed_when(shop, lambda: shop.asked(f"{path}/1/edit"))
    async with shop.open():
        await shop.settled()
    assert made == [*shop.tasks, *shop.orders]
    assert [one.get("complete") or one["status"] for one in made] in ([True], ["client-confirmed"])
    assert len(await shop.endings()) == 1


async def test_a_customer_whom_a_run_that_died_has_made_is_new_all_the_same(shop: Shop) -> None:
    await shop.wants(create_orders=True)
    await shop.record(ended(missed("pbx:1", shop.later(), STRANGER), shop.at))
    shop.sandbox.faults.give(Hang(done=True), path="/api/v5/customers/create")
    await killed_when(shop, lambda: len(shop.crm.customers.by_id) == 2)
    async with shop.open():
        await shop.settled()
    assert ([one["phone"] for one in shop.orders], shop.tasks) == ([STRANGER], [])


@pytest.mark.slow
async def test_killed_again_and_again_each_missed_call_is_one_task_and_ends(shop: Shop) -> None:
    """Killed at any moment between a question and the row that says it is done."""
    await shop.wants(create_orders=True, order_status_reached="client-confirmed")
    numbers = [f"+7916000{number:04}" for number in range(8)]
    for number in numbers[::2]:
        shop.crm.customers.create({"phones": [{"number": number}]}, shop.at)
    await shop.record(*(ended(missed(f"pbx:{n}", shop.at, n), shop.at) for n in numbers))
    await killed_again_and_again(shop)
    async with shop.open():
        await shop.settled()
    assert sorted(one["phone"] for one in shop.tasks) == numbers[::2]
    assert sorted(one["phone"] for one in shop.orders) == numbers[1::2]
    await shop.record(
        *(ended(record(f"pbx:back{n}", caller="101", at=shop.later(), phone=n), shop.at) for n in numbers)
    )
    await killed_again_and_again(shop)
    async with shop.open():
        await shop.settled()
    assert all(one["complete"] for one in shop.tasks)
    assert {one["status"] for one in shop.orders} == {"client-confirmed"}
    assert (len(shop.tasks), len(shop.orders), len(shop.crm.customers.by_id)) == (4, 4, 9)


async def test_a_database_that_goes_away_in_between_doubles_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amibridge.delivery.courier.DATABASE_AGAIN", timedelta(milliseconds=20))
    numbers = [f"+7916000{number:04}" for number in range(20)]
    async with shop.open():
        for place, number in enumerate(numbers):
            await shop.record(ended(missed(f"pbx:{place}", shop.at, number), shop.at))
            if place % 4 == 3:
                await shop.fetch(CUT_THE_OTHERS)
        await shop.settled()
    assert sorted(one["phone"] for one in shop.tasks) == numbers


class TestRefusals:
    async def test_a_right_that_the_key_lacks_stops_nothing_else(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("amibridge.delivery.courier.FORBIDDEN_AGAIN", timedelta(milliseconds=50))
        every = shop.crm.account
        shop.crm.account = replace(every, scopes=frozenset(needed_but("task_write", shop)))
        with capture_logs() as logs:
            async with shop.open():
                await shop.record(ended(missed("pbx:1", shop.later()), shop.at))
                await said(shop, "Access denied")
                await shop.record(ended(record("pbx:2", phone=STRANGER, at=shop.later()), shop.at))
                async with asyncio.timeout(20):
                    while len(shop.crm.calls) < 2:
                        await asyncio.sleep(0.01)
                shop.crm.account = every
                await shop.settled()
        assert len(shop.tasks) == 1
        assert [line["rights"] for line in logs if line["event"] == "crm_key_lacks_rights"] == [("task_write",)]
        assert [line for line in logs if line["event"] == "crm_paused"] == []

    async def test_days_without_that_right_are_enough(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("amibridge.delivery.courier.FORBIDDEN_AGAIN", timedelta(milliseconds=10))
        monkeypatch.setattr("amibridge.delivery.courier.PATIENCE", timedelta(milliseconds=50))
        shop.crm.account = replace(shop.crm.account, scopes=frozenset(needed_but("task_write", shop)))
        async with shop.open():
            await shop.missed("pbx:1")
        [parked] = await Outbox(shop.pool).find(NUMBER, status=DeliveryStatus.PARKED)
        assert parked.kind == "follow_up"

    async def test_what_the_crm_refuses_is_parked_and_can_be_sent_again(self, shop: Shop) -> None:
        await shop.wants(performer=4)
        with capture_logs() as logs:
            async with shop.open():
                await shop.missed("pbx:1")
        assert await shop.answers() == ["Task is not loaded: performerId: This user does not exist. (HTTP 400)"]
        assert [line["call"] for line in logs if line["event"] == "follow_up_parked"] == ["pbx:1"]
        assert await shop.endings() == []
        [parked] = await Outbox(shop.pool).find(NUMBER, status=DeliveryStatus.PARKED)
        await Outbox(shop.pool).resend(NUMBER, [parked.id])
        await shop.wants(performer=BOSS)
        async with shop.open():
            await shop.settled()
        assert len(shop.tasks) == 1

    async def test_sent_again_by_hand_it_is_not_made_again(self, shop: Shop) -> None:
        async with shop.open():
            await shop.missed("pbx:1")
            await shop.called_back("pbx:2")
        await shop.pool.execute("UPDATE deliveries SET status = 'due', settled_at = NULL WHERE kind = 'follow_up'")
        await shop.pool.execute("DELETE FROM calls WHERE call_id = 'pbx:2'")
        async with shop.open():
            await shop.settled()
        assert len(shop.tasks) == 1
        assert (await shop.answers())[0] == "made before"

    async def test_a_customer_whom_the_crm_has_no_more_does_not_keep_it_from_being_made(self, shop: Shop) -> None:
        async with shop.open():
            await shop.called_back("pbx:0")
            shop.crm.customers.delete(1, shop.at, person(BOSS))
            await shop.missed("pbx:1")
        assert [("customer" in one, one["phone"]) for one in shop.tasks] == [(False, PHONE)]


async def test_a_zone_that_nobody_told_is_awaited(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amibridge.delivery.follow_ups.ZONE_AGAIN", timedelta(milliseconds=20))
    await shop.wants(time_zone=None)
    shop.sandbox.faults.give(BadGateway(), times=3, path="/api/v5/settings")
    async with shop.open():
        await shop.missed("pbx:1")
    [task] = shop.tasks
    assert f"{(shop.at - timedelta(seconds=40)).astimezone(shop.crm.account.time_zone):%H:%M:%S}" in task["text"]


def shop_task(id: int, text: str) -> dict[str, object]:
    return {
        "id": id, "text": text, "createdAt": "2099-01-01 00:00:00", "complete": False,
        "performer": BOSS, "performerType": "user",
    }  # fmt: skip


def needed_but(right: str, shop: Shop) -> set[str]:
    from amibridge.retailcrm.rights import needed

    return set(needed(shop.enterprise)) - {right}


async def killed_again_and_again(shop: Shop) -> None:
    for kill in range(20):
        task = asyncio.create_task(shop.make().run(asyncio.Event()), name="deliveries to be killed")
        await asyncio.sleep(0.02 + 0.004 * kill)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def killed_when(shop: Shop, holds: Callable[[], object]) -> None:
    task = asyncio.create_task(shop.make().run(asyncio.Event()), name="deliveries to be killed")
    await until(holds)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def said(shop: Shop, why: str) -> None:
    """An errand has been put back, because of that."""
    async with asyncio.timeout(20):
        while not any(why in (answer or "") for answer in await shop.answers()):
            await asyncio.sleep(0.01)
