"""A CRM that is away, refuses, misbehaves or lies, and a bridge that is killed: nothing is lost, nothing is doubled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from amibridge.sandbox.crm_faults import BadGateway, Busy, Cut, Fault, Nonsense
from amibridge.store.mirror import History, Mirror, Overtaken, Place, Step
from amibridge.sync import patience, walk
from amibridge.sync.watcher import Watcher
from amibridge.sync.worker import Watchers
from tests.delivery.waiting import until
from tests.sync.following import BOSS, NUMBER, Office, account, enterprise, office

pytestmark = pytest.mark.postgres

ORDERS = "/api/v5/orders/history"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits that a test can wait for."""
    monkeypatch.setattr(patience, "PASSING", (0.01, 0.05))
    monkeypatch.setattr(patience, "LASTING", (0.05, 0.1))


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


def unfollowed(lines: list[Any]) -> list[str]:
    """Which histories were said not to be followed, each as often as it was."""
    return sorted(what for line in said(lines, "crm_not_followed") for what in line["what"].split(", "))


def said(lines: list[Any], event: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["event"] == event]


async def test_whoever_is_killed_between_pages_goes_on_where_he_was(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at each of the first steps in turn: before a page, after it was told, after it was written."""
    monkeypatch.setattr(walk, "PAGE", 20)
    async with office.followed():
        await office.begun()
    orders = [office.new_order() for _ in range(60)]
    for order in orders:
        office.edit_order(order, status="complete")
    written: list[int] = []
    for killed_after in range(8):
        asked = len(office.sandbox.requests)
        async with asyncio.TaskGroup() as tasks:
            watchers = Watchers(
                Mirror(office.pool), office.client, [enterprise(office.url)], pace=timedelta(0), jitter=lambda: 0.0
            )
            running = tasks.create_task(watchers.run(asyncio.Event()), name="to be killed")
            await until(lambda asked=asked, after=killed_after: len(office.sandbox.requests) > asked + after)  # type: ignore[misc]
            running.cancel()
        rows = await office.fetch("SELECT coalesce(since_id, 0) AS since FROM crm_cursors WHERE history = 'orders'")
        written.append(rows[0]["since"])
    assert written == sorted(written), "a cursor never goes back"
    async with office.followed():
        await office.until_read()
    assert await office.statuses() == office.statuses_there()


async def test_a_cursor_moves_with_its_rows_or_not_at_all(pool: asyncpg.Pool) -> None:
    mirror, at = Mirror(pool), datetime.now(UTC)
    place = Place(NUMBER, "romashka.retailcrm.ru", History.CUSTOMERS)
    await mirror.begin(place, at)
    await mirror.write_customers(place, at, [], step=Step(None, 7))
    for step in (Step(None, 9), Step(5, 9)):
        with pytest.raises(Overtaken):
            await mirror.write_customers(place, at, [], absent=[1], step=step)
    other = Place(NUMBER, "vasilek.retailcrm.ru", History.CUSTOMERS)
    with pytest.raises(Overtaken):
        await mirror.write_customers(other, at, [], absent=[1])
    assert await pool.fetch("SELECT FROM crm_customers") == []
    assert (await mirror.begin(place, at)).since_id == 7
    await mirror.write_customers(place, at, [], absent=[1], step=Step(7, 9))
    assert (await mirror.begin(place, at)).since_id == 9


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "fault", [BadGateway(), Busy(), Busy(retry_after=0), Cut(), Nonsense(), Nonsense("<html>")], ids=repr
)
async def test_a_crm_that_fails_for_a_while_is_said_once_and_followed_again(
    office: Office, lines: list[Any], fault: Fault
) -> None:
    async with office.followed():
        await office.begun()
        office.sandbox.faults.give(fault, times=None)
        await until(lambda: unfollowed(lines) == ["customers", "orders"])
        office.new_customer("Ольга")
        order = office.new_order()
        asked = office.asked(ORDERS)
        await office.until_asked("/api/v5/", asked + 5)
        office.sandbox.faults.clear()
        await office.until_alike()
        office.edit_order(order, status="complete")
        await office.until_alike()
        await until(lambda: said(lines, "crm_followed_again"))
    assert unfollowed(lines) == ["customers", "orders"]
    assert 1 <= len(said(lines, "crm_followed_again")) <= 2
    assert said(lines, "sync_failed") == []


@pytest.mark.usefixtures("impatient")
async def test_a_crm_that_is_down_is_found_when_it_is_back(office: Office, lines: list[Any]) -> None:
    """Its address answers nobody, then the same account answers there again."""
    gone = enterprise("http://127.0.0.1:9")
    async with office.followed(gone) as watchers:
        await until(lambda: said(lines, "crm_not_followed"))
        office.new_customer("Ольга")
        watchers.enterprises([enterprise(office.url)])
        await office.begun()
        office.new_order()
        office.new_customer("Вера")
        await until(lambda: said(lines, "crm_followed_again"))
    assert len(said(lines, "crm_not_followed")) == 1


async def test_silence_that_is_asked_for_is_kept(office: Office) -> None:
    async with office.followed():
        await office.begun()
        await office.until_asked(ORDERS, 1)
        office.sandbox.faults.give(Busy(retry_after=1), times=1)
        await until(lambda: any(seen.status == 503 for seen in office.sandbox.requests))
        count = len(office.sandbox.requests)
        await office.until_asked("/api/", count + 1)
        [busy] = [place for place, seen in enumerate(office.sandbox.requests) if seen.status == 503]
        requests = list(office.sandbox.requests)
        assert requests[busy + 1].arrived - requests[busy].arrived >= 1


async def test_a_wrong_key_is_asked_about_rarely_and_the_right_one_at_once(office: Office, lines: list[Any]) -> None:
    async with office.followed(enterprise(office.url, key="wrong-key")) as watchers:
        await until(lambda: said(lines, "crm_not_followed"))
        for _ in range(50):
            office.hint()
            await asyncio.sleep(0)
        assert len(office.sandbox.requests) == 1
        watchers.enterprises([enterprise(office.url)])
        await office.begun()
        office.new_customer("Ольга")
        await office.until_alike()
        await until(lambda: said(lines, "crm_followed_again"))
    [line] = said(lines, "crm_not_followed")
    assert line["what"] == "customers, orders"
    assert 'Wrong "apiKey" value' in line["reason"]
    assert line["log_level"] == "warning"


async def test_a_missing_right_to_one_history_does_not_stop_the_other(pool: asyncpg.Pool, lines: list[Any]) -> None:
    rights = frozenset({"order_read"})
    async with office(pool, [account(scopes=rights)]) as here, here.followed():
        here.new_customer("Ольга")
        await here.begun()
        here.new_order()
        await here.until_rows("SELECT FROM crm_orders", 1)
        await until(lambda: said(lines, "crm_not_followed"))
        assert here.asked("/api/v5/customers") <= 2
    assert [line["what"] for line in said(lines, "crm_not_followed")] == ["customers"]
    assert len(said(lines, "crm_tells_no_statuses")) == 1


async def test_an_unknown_time_zone_is_asked_for(office: Office) -> None:
    async with office.followed(enterprise(office.url, time_zone=None)):
        await office.begun()
        office.new_order()
        await office.until_alike()
    [row] = await office.fetch("SELECT created_at FROM crm_orders")
    assert abs(row["created_at"] - datetime.now(UTC)) < timedelta(minutes=5)
    assert office.asked("/api/v5/settings") == 1


def page(*records: object, pages: int = 1) -> Nonsense:
    return Nonsense(json.dumps({"success": True, "history": records, "pagination": {"totalPageCount": pages}}))


def changed(id: object, order: object, **more: object) -> dict[str, object]:
    return {"id": id, "createdAt": "2026-11-24 12:00:00", "source": "user", "field": "status", "order": order} | more


@pytest.mark.usefixtures("impatient")
async def test_a_crm_that_repeats_a_full_page_is_not_asked_in_circles(office: Office, lines: list[Any]) -> None:
    order = office.new_order()
    async with office.followed(every=timedelta(hours=1)):
        await office.begun()
        await office.until_asked(ORDERS, 1)
        office.sandbox.faults.give(page(changed(5, {"id": order}), pages=9), times=None, path=ORDERS)
        office.hint()
        await until(lambda: said(lines, "crm_not_followed"))
        [row] = await office.fetch("SELECT since_id FROM crm_cursors WHERE history = 'orders'")
    assert row["since_id"] == 5
    assert "repeats" in said(lines, "crm_not_followed")[0]["reason"]


async def test_disorder_gaps_repetitions_and_senseless_records_do_not_stop_the_rest(
    office: Office, lines: list[Any]
) -> None:
    one, two = office.new_order(), office.new_order()
    hostile = [
        changed(900, {"id": two}),
        changed(70, {"id": one}),
        changed(70, {"id": one}),
        changed(80, {"id": -1}),
        changed(81, {"id": 10**30}),
        changed(82, {}),
        changed(83, None),
        changed(84, {"id": 404}),
        changed("ninety", {"id": one}),
        changed(10**40, {"id": one}),
        changed(85, {"id": one}, deleted=True),
        changed(86, {"id": one}, combinedTo={"id": one}),
        changed(87, {"id": 10**11}, createdAt="31.02.2026"),
        {},
        None,
        7,
    ]
    async with office.followed(every=timedelta(hours=1)):
        await office.begun()
        await office.until_asked(ORDERS, 1)
        office.sandbox.faults.give(page(*hostile, pages=1), path=ORDERS)
        office.hint()
        await office.until_rows("SELECT FROM crm_cursors WHERE since_id = 900", 1)
        assert two in await office.statuses()
    assert said(lines, "crm_changes_set_aside") == [
        {"event": "crm_changes_set_aside", "what": "orders", "changes": 8, "enterprise": NUMBER, "log_level": "error"}
    ]
    assert [line["record"] for line in said(lines, "crm_record_set_aside")] == [10**11]


async def test_one_order_that_breaks_its_answer_is_set_aside_and_the_others_are_not(
    office: Office, lines: list[Any]
) -> None:
    async with office.followed():
        await office.begun()
        for _ in range(30):
            office.new_order()
        office.crm.orders.by_id[17]["managerComment"] = "x" * 1_100_000
        await office.until_rows("SELECT FROM crm_orders", 29)
        await office.until_read()
        office.crm.orders.by_id[17]["managerComment"] = ""
        office.edit_order(17, status="complete")
        await office.until_alike()
    assert {line["record"] for line in said(lines, "crm_record_set_aside")} == {17}


async def test_absurd_orders_and_customers_become_rows(office: Office) -> None:
    async with office.followed():
        await office.begun()
        olga, order = office.new_customer("Ольга\0 \ud800" + "я" * 1000, "\0", "5" * 500), office.new_order()
        absurd: dict[str, object] = {
            "totalSumm": 10**30,
            "createdAt": "0001-01-01 00:00:00",
            "statusUpdatedAt": "9999-12-31 23:59:59",
            "fullPaidAt": "2026-02-31 00:00:00",
            "managerId": 10**25,
            "number": ["7"],
            "customer": {"id": 10**25, "type": 5},
            "currency": "₽" * 999,
            "phone": {"number": 1},
        }
        office.edit_order(order, BOSS, **{name: value for name, value in absurd.items() if name != "customer"})
        office.crm.orders.by_id[order] |= absurd
        await office.until_read()
        await office.until_rows("SELECT FROM crm_orders", 1)
    [row] = await office.fetch("SELECT * FROM crm_orders")
    assert (row["total"], row["created_at"], row["status_changed_at"], row["paid_at"]) == (None, None, None, None)
    assert (row["manager_id"], row["customer_id"], row["phone"]) == (None, None, None)
    [row] = await office.fetch("SELECT name FROM crm_customers WHERE customer_id = $1", olga)
    assert row["name"].startswith("Ольга ?я")
    assert len(row["name"]) <= 255


async def test_a_database_that_is_away_is_waited_for(
    office: Office, lines: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PASSING", (0.01, 0.05))
    async with office.followed():
        await office.begun()
        await office.pool.execute("ALTER TABLE crm_orders RENAME TO hidden")
        office.new_order()
        await until(lambda: said(lines, "crm_not_followed"))
        await office.pool.execute("ALTER TABLE hidden RENAME TO crm_orders")
        await office.until_alike()


async def test_a_watcher_that_fails_is_started_anew(
    office: Office, lines: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from amibridge.sync import worker

    monkeypatch.setattr(worker, "RESTART_FIRST", 0.01)
    real, failures = Watcher._turn, iter([ZeroDivisionError("a defect"), ZeroDivisionError("a defect")])

    async def turn(watcher: Watcher) -> None:
        for failure in failures:
            raise failure
        await real(watcher)

    monkeypatch.setattr(Watcher, "_turn", turn)
    async with office.followed():
        await office.begun()
        office.new_order()
        await office.until_alike()
    assert len(said(lines, "sync_failed")) == 2


async def test_the_stop_waits_for_no_crm(office: Office) -> None:
    from amibridge.sandbox.crm_faults import Hang

    office.sandbox.faults.give(Hang(), times=None)
    async with asyncio.timeout(5):
        async with office.followed():
            await office.until_asked("/api/", 1)


async def test_a_page_of_the_backfill_that_stays_broken_is_passed_over(
    office: Office, lines: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PASSING", (0.01, 0.05))
    now = datetime.now(UTC)
    orders = [office.new_order(at=now - timedelta(days=2)) for _ in range(25)]
    office.crm.orders.by_id[orders[-1]]["managerComment"] = "x" * 1_100_000  # newest first: on the first page
    async with office.followed():
        await office.until_rows("SELECT FROM crm_cursors WHERE backfilled_from <= started_at - interval '30 days'", 1)
    assert len(said(lines, "crm_page_set_aside")) >= 1
    assert len(await office.statuses()) == 5
