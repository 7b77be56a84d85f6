"""A missed call becomes one task, or one order, and is over when anybody has reached the customer."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from amibridge.calls.facts import CallStarted, FactKey
from amibridge.calls.record import CallId, CallRecord, Direction, Outcome
from amibridge.enterprises import Line
from amibridge.sandbox.crm_history import person
from tests.delivery.rows import PHONE, brief, dialled, ended, record
from tests.delivery.shop import ANNA, BOSS, Shop, missed

pytestmark = pytest.mark.postgres

STRANGER = "+79160000001"


class TestTasks:
    async def test_a_missed_call_is_a_task_for_somebody(self, shop: Shop) -> None:
        async with shop.open():
            await shop.missed("pbx:1")
        [task] = shop.tasks
        began = (shop.at - timedelta(seconds=40)).astimezone(shop.crm.account.time_zone)
        assert task["text"] == f"Пропущенный звонок: {PHONE}, {began:%d.%m.%Y %H:%M:%S}, 74951110001"
        assert (task["performer"], task["complete"], task["phone"]) == (BOSS, False, PHONE)
        assert task["customer"]["id"] == 1
        until = shop.at.astimezone(shop.crm.account.time_zone) + timedelta(hours=1)
        assert task["datetime"] == f"{until:%Y-%m-%d %H:%M}"
        assert await shop.answers() == ["task 1, made"]

    async def test_it_is_for_his_manager_if_that_is_one_of_our_operators(self, shop: Shop) -> None:
        shop.crm.customers.edit(1, {"managerId": ANNA}, shop.at)
        stranger = shop.crm.customers.create({"phones": [{"number": STRANGER}], "managerId": 99}, shop.at)
        async with shop.open():
            await shop.missed("pbx:1")
            await shop.missed("pbx:2", STRANGER)
        assert [(one["customer"]["id"], one["performer"]) for one in shop.tasks] == [(1, ANNA), (stranger, BOSS)]

    async def test_ten_calls_at_one_moment_are_one_task(self, shop: Shop) -> None:
        async with shop.open():
            await shop.record(*(ended(missed(f"pbx:{number}", shop.at), shop.at) for number in range(10)))
            await shop.settled()
        assert len(shop.tasks) == 1
        assert (await shop.answers()).count("task 1 is open already") == 9

    async def test_however_often_he_calls_one_is_open_and_after_he_was_reached_another(self, shop: Shop) -> None:
        async with shop.open():
            for number in range(3):
                await shop.missed(f"pbx:{number}")
            await shop.called_back("pbx:4")
            assert [one["complete"] for one in shop.tasks] == [True]
            await shop.missed("pbx:5")
            await shop.missed("pbx:6")
        assert [one["complete"] for one in shop.tasks] == [True, False]
        assert await shop.endings() == ["reached", None]

    @pytest.mark.parametrize(
        "reaching",
        [
            record("pbx:2", operators=("102",)),
            record("pbx:2", caller="101"),
            record("pbx:2", operators=("+79160000077",)),
        ],
        ids=["he called again and was answered", "somebody called him", "a mobile outside took his call"],
    )
    async def test_whoever_reaches_him_ends_it(self, shop: Shop, reaching: CallRecord) -> None:
        async with shop.open():
            await shop.missed("pbx:1")
            await shop.call(moved(reaching, shop))
        assert [one["complete"] for one in shop.tasks] == [True]
        assert (await shop.answers())[1] == "task 1 closed: reached"

    @pytest.mark.parametrize("outcome", [Outcome.NO_ANSWER, Outcome.BUSY, Outcome.CANCELLED, Outcome.FAILED])
    async def test_who_was_called_in_vain_was_not_reached(self, shop: Shop, outcome: Outcome) -> None:
        async with shop.open():
            await shop.missed("pbx:1")
            await shop.call(moved(record("pbx:2", caller="101", operators=(), outcome=outcome), shop))
            await shop.called_back("pbx:3", STRANGER)
        assert [one["complete"] for one in shop.tasks] == [False]

    async def test_a_talk_that_began_before_he_was_missed_ends_nothing(self, shop: Shop) -> None:
        """A company with one number: a colleague of his was on the line."""
        async with shop.open():
            await shop.missed("pbx:1")
            long = record("pbx:2", at=shop.later())
            await shop.call(replace(long, answered_at=shop.at - timedelta(hours=1)))
        assert [one["complete"] for one in shop.tasks] == [False]

    async def test_once_reached_nothing_is_made_whichever_is_told_first(self, shop: Shop) -> None:
        async with shop.open():
            call, back = missed("pbx:1", shop.later()), record("pbx:2", caller="101", at=shop.later())
            await shop.call(back)
            await shop.call(call)
            call, back = missed("pbx:3", shop.later()), record("pbx:4", caller="101", at=shop.later())
            await shop.record(ended(call, shop.at), ended(back, shop.at))
            await shop.settled()
        assert shop.tasks == []
        assert (await shop.answers())[1::2] == ["somebody has reached him", "nothing was open"]

    @pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (2, 1, 0), (2, 0, 1), (1, 2, 0)])
    async def test_in_whatever_order_they_come_the_second_miss_is_open_alone(
        self, shop: Shop, order: tuple[int, ...]
    ) -> None:
        calls = [
            missed("pbx:1", shop.later()),
            record("pbx:2", caller="101", at=shop.later()),
            missed("pbx:3", shop.later()),
        ]
        async with shop.open():
            for number in order:
                await shop.call(calls[number])
        assert [one["complete"] for one in shop.tasks].count(False) == 1


class TestBefore:
    async def test_it_waits_whether_somebody_reaches_him(self, shop: Shop) -> None:
        await shop.wants(wait=timedelta(minutes=3))
        async with shop.open():
            await shop.record(ended(missed("pbx:1", shop.later()), shop.at))
            await said(shop, "somebody may reach him meanwhile")
            shop.ahead = timedelta(minutes=2)
            await shop.record(ended(record("pbx:2", phone=STRANGER), shop.later()))
            assert shop.tasks == []
            shop.ahead = timedelta(minutes=4)
            await shop.record(ended(record("pbx:3", phone=STRANGER), shop.later()))
            await shop.settled()
        assert len(shop.tasks) == 1

    async def test_while_a_call_with_him_goes_on_it_waits(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("amibridge.delivery.follow_ups.ON_THE_LINE_AGAIN", timedelta(milliseconds=50))
        async with shop.open():
            await shop.record(dialled("pbx:2", "101", shop.now()), ended(missed("pbx:1", shop.later()), shop.at))
            await said(shop, "a call with him goes on")
            await shop.record(ended(record("pbx:2", caller="101", at=shop.later()), shop.at))
            await shop.settled()
        assert shop.tasks == []

    async def test_a_call_that_never_ends_is_waited_for_no_longer(self, shop: Shop) -> None:
        started = CallStarted(FactKey("call:pbx:9"), CallId("pbx:9"), shop.now() - timedelta(hours=3), brief())
        async with shop.open():
            await shop.record(started)
            await shop.missed("pbx:1")
        assert len(shop.tasks) == 1


class TestNothing:
    async def test_where_nobody_wants_it_no_row_is_written(self, shop: Shop) -> None:
        await shop.wants(create_tasks=False)
        async with shop.open():
            await shop.missed("pbx:1")
            await shop.called_back("pbx:2")
        assert (await shop.answers(), shop.tasks, shop.orders) == ([], [], [])

    @pytest.mark.parametrize(
        "verdict",
        [
            replace(missed("pbx:1", record("x").started_at), direction=Direction.INTERNAL, phone=None),
            replace(missed("pbx:1", record("x").started_at), phone=None, external_number=None),
            record("pbx:1", caller="101", operators=(), outcome=Outcome.NO_ANSWER),
            replace(missed("pbx:1", record("x").started_at), outcome=Outcome.FAILED),
        ],
        ids=["internal", "withheld", "he was called in vain", "no such number of ours"],
    )
    async def test_for_calls_that_nobody_missed(self, shop: Shop, verdict: CallRecord) -> None:
        async with shop.open():
            await shop.call(verdict)
        assert (await shop.answers(), shop.tasks) == ([], [])

    async def test_for_numbers_that_the_file_names_and_for_customers_marked_as_bad(self, shop: Shop) -> None:
        shop.crm.customers.edit(1, {"bad": True}, shop.at)
        await shop.wants(never_for=(STRANGER,))
        async with shop.open():
            await shop.missed("pbx:1")
            await shop.missed("pbx:2", STRANGER)
        assert shop.tasks == []
        assert await shop.answers() == ["customer 1 is marked as bad", "nothing is made for this number"]


class TestOthers:
    async def test_what_somebody_ended_in_the_crm_is_left_alone(self, shop: Shop) -> None:
        async with shop.open():
            await shop.missed("pbx:1")
            shop.crm.tasks[1] |= {"complete": True, "text": "called from my own phone"}
            edits = shop.asked("/api/v5/tasks/1")
            await shop.called_back("pbx:2")
        assert shop.asked("/api/v5/tasks/1") == edits
        assert await shop.endings() == ["by others"]

    async def test_and_the_next_call_is_a_task_of_its_own(self, shop: Shop) -> None:
        async with shop.open():
            await shop.missed("pbx:1")
            shop.crm.tasks[1]["complete"] = True
            await shop.missed("pbx:2")
            del shop.crm.tasks[2]
            await shop.missed("pbx:3")
        assert [one["complete"] for one in shop.tasks] == [True, False]
        assert await shop.endings() == ["by others", "gone", None]

    async def test_who_was_given_it_meanwhile_has_done_it(self, shop: Shop) -> None:
        async with shop.open():
            await shop.missed("pbx:1")
            shop.crm.tasks[1]["performer"] = ANNA
            await shop.called_back("pbx:2")
        assert [(one["performer"], one["complete"]) for one in shop.tasks] == [(ANNA, True)]

    async def test_in_another_account_nothing_of_the_same_id_is_touched(self, shop: Shop) -> None:
        async with shop.open():
            await shop.missed("pbx:1")
            await shop.pool.execute("UPDATE follow_ups SET account = 'https://left.retailcrm.ru'")
            await shop.called_back("pbx:2")
        assert [one["complete"] for one in shop.tasks] == [False]
        assert await shop.endings() == ["account left"]

    async def test_an_account_that_moved_is_the_same_account(self, shop: Shop) -> None:
        async with shop.open():
            await shop.missed("pbx:1")
            await shop.pool.execute("UPDATE follow_ups SET account = 'https://old.retailcrm.ru'")
            module = replace(shop.enterprise.module, moved_from="https://old.retailcrm.ru")
            await shop.wants(module=module)
            await shop.called_back("pbx:2")
        assert await shop.endings() == ["reached"]


class TestOrders:
    async def test_a_new_number_is_an_order_and_a_known_one_a_task(self, shop: Shop) -> None:
        await shop.wants(create_orders=True, order_method="missed-call", order_status="availability-confirmed")
        async with shop.open():
            await shop.missed("pbx:1", STRANGER)
            await shop.missed("pbx:2", STRANGER)
            await shop.missed("pbx:3")
        [order] = shop.orders
        assert (order["orderMethod"], order["status"], order["phone"]) == (
            "missed-call", "availability-confirmed", STRANGER,
        )  # fmt: skip
        assert (order["customer"]["id"], order["firstName"]) == (2, STRANGER)
        assert order["managerComment"].startswith(f"Пропущенный звонок: {STRANGER}, ")
        assert [one["phone"] for one in shop.tasks] == [PHONE]
        assert await shop.answers() == ["order 1, made", "order 1 is open already", "task 1, made"]

    async def test_it_belongs_to_the_store_that_was_called(self, shop: Shop) -> None:
        nowhere = replace(shop.enterprise.account, site=None)
        line = Line("74951110001", "romashka")
        await shop.wants(
            account=nowhere, lines={line.number: line}, create_orders=True, order_status_reached="complete"
        )
        async with shop.open():
            await shop.missed("pbx:1", STRANGER)
            await shop.called_back("pbx:2", STRANGER)
        assert [(one["site"], one["status"]) for one in shop.orders] == [("romashka", "complete")]
        asked = [seen for seen in shop.sandbox.requests if seen.path.startswith("/api/v5/orders/")]
        assert ["site=romashka&" in seen.excerpt for seen in asked if seen.method == "POST"] == [True, True]

    async def test_without_tasks_a_known_number_is_nothing(self, shop: Shop) -> None:
        await shop.wants(create_orders=True, create_tasks=False)
        async with shop.open():
            await shop.missed("pbx:1")
            await shop.missed("pbx:2", STRANGER)
            await shop.called_back("pbx:3", STRANGER)
            await shop.missed("pbx:4", STRANGER)
        assert (len(shop.orders), shop.tasks) == (1, [])
        assert (await shop.answers())[::3] == ["nothing is to be made of it"] * 2

    async def test_ten_calls_of_a_stranger_at_one_moment_are_one_customer_and_one_order(self, shop: Shop) -> None:
        await shop.wants(create_orders=True)
        async with shop.open():
            await shop.record(*(ended(missed(f"pbx:{number}", shop.at, STRANGER), shop.at) for number in range(10)))
            await shop.settled()
        assert (len(shop.orders), len(shop.crm.customers.by_id), shop.tasks) == (1, 2, [])

    async def test_where_no_customers_are_made_the_order_has_none(self, shop: Shop) -> None:
        await shop.wants(create_orders=True, create_customers=False)
        async with shop.open():
            await shop.missed("pbx:1", STRANGER)
        assert "customer" not in shop.orders[0]

    @pytest.mark.parametrize(("wished", "then"), [("client-confirmed", "client-confirmed"), (None, "new")])
    async def test_it_is_moved_on_where_there_is_a_status_for_it(
        self, shop: Shop, wished: str | None, then: str
    ) -> None:
        await shop.wants(create_orders=True, order_status_reached=wished)
        async with shop.open():
            await shop.missed("pbx:1", STRANGER)
            await shop.called_back("pbx:2", STRANGER)
        assert [one["status"] for one in shop.orders] == [then]
        assert await shop.endings() == ["reached"]

    @pytest.mark.parametrize("change", [{"status": "complete"}, {"externalId": "shop-7"}, None], ids=str)
    async def test_one_that_moved_on_is_left_alone(self, shop: Shop, change: dict[str, Any] | None) -> None:
        await shop.wants(create_orders=True, order_status_reached="client-confirmed")
        async with shop.open():
            await shop.missed("pbx:1", STRANGER)
            if change is None:
                shop.crm.orders.delete(1, shop.at, person(BOSS))
            else:
                shop.crm.orders.edit(1, change, shop.at, person(BOSS))
            await shop.called_back("pbx:2", STRANGER)
        assert shop.asked("/api/v5/orders/1/edit") == 0
        assert await shop.endings() == ["by others" if change else "gone"]


def moved(verdict: CallRecord, shop: Shop) -> CallRecord:
    """The same call, now."""
    return record(
        verdict.call_id,
        operators=verdict.operators,
        caller=verdict.caller,
        outcome=verdict.outcome or Outcome.ANSWERED,
        at=shop.later(),
    )


async def said(shop: Shop, why: str) -> None:
    """An errand has been put back, because of that."""
    async with asyncio.timeout(20):
        while why not in await shop.answers():
            await asyncio.sleep(0.01)
