"""Deliveries as rows: read in order, settled once, seen by people, and only ever those of one enterprise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from amibridge.calls.facts import AnyFact
from amibridge.calls.notices import RING_NEWS, STOP_NEWS
from amibridge.calls.record import CallId, CallRecord
from amibridge.enterprises import EnterpriseId
from amibridge.store import ledger as ledger_module
from amibridge.store import outbox as module
from amibridge.store.ledger import Ledger
from amibridge.store.outbox import (
    KNOWS_NOT,
    Backlog,
    Delivery,
    DeliveryRow,
    DeliveryStatus,
    Outbox,
    Settlement,
    knows_not,
)
from tests.delivery.rows import ended, rang, record
from tests.store.said import HEARD_AT, heard

pytestmark = pytest.mark.postgres

ONE, TWO = EnterpriseId("0123"), EnterpriseId("0456")
DUE, SENT, DROPPED, PARKED = DeliveryStatus.DUE, DeliveryStatus.SENT, DeliveryStatus.DROPPED, DeliveryStatus.PARKED
TOMORROW = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def outbox(pool: asyncpg.Pool) -> Outbox:
    return Outbox(pool)


def nobody(call: str) -> CallRecord:
    """Whose caller hides his number, so that no errand hangs on it."""
    return replace(record(call), phone=None)


async def write(pool: asyncpg.Pool, calls: int = 3, enterprise: str = ONE) -> list[Delivery]:
    """One popup for each of so many calls, then one history entry and a closing popup for the first."""
    facts: list[AnyFact] = [*(rang(f"pbx:{number}", "101") for number in range(calls)), ended(nobody("pbx:0"))]
    return await Ledger(pool).record(heard(*facts, enterprise=enterprise))


def settled(
    rows: Sequence[Delivery], status: DeliveryStatus, answer: str | None = "accepted", due_at: datetime | None = None
) -> list[Settlement]:
    return [Settlement(row.enterprise, row.id, status, due_at, row.attempts + 1, answer) for row in rows]


async def test_due_rows_are_read_oldest_first_and_page_by_page(pool: asyncpg.Pool, outbox: Outbox) -> None:
    made = await write(pool, 7)
    assert [row.id for row in made] == sorted(row.id for row in made)
    assert await outbox.load_due(ONE) == made
    pages: list[list[Delivery]] = []
    while page := await outbox.load_due(ONE, after=pages[-1][-1].id if pages else 0, limit=4):
        pages.append(page)
    assert [len(page) for page in pages] == [4, 4, 1]
    assert [row for page in pages for row in page] == made


async def test_what_was_made_while_our_clock_was_ahead_does_not_wait_for_that_future(
    pool: asyncpg.Pool, outbox: Outbox
) -> None:
    ahead = datetime.now(UTC) + timedelta(days=300)
    await Ledger(pool).record(heard(rang("pbx:1", "101"), ended(nobody("pbx:1")), at=ahead))
    found = await outbox.load_due(ONE)
    assert found
    for row in found:
        assert row.created_at == row.due_at <= datetime.now(UTC)
        assert row.fresh_until is None or row.fresh_until - row.created_at in (RING_NEWS, STOP_NEWS)


async def test_what_is_done_is_not_due_and_what_is_put_off_still_is(pool: asyncpg.Pool, outbox: Outbox) -> None:
    sent, dropped, parked, again, left = await write(pool, 3)
    await outbox.settle(
        [
            *settled([sent], SENT),
            *settled([dropped], DROPPED, "too late"),
            *settled([parked], PARKED, "refused"),
            *settled([again], DUE, "busy\x00", TOMORROW),
        ]
    )
    first, second = await outbox.load_due(ONE)
    assert (first.id, first.attempts, first.due_at) == (again.id, 1, TOMORROW)
    assert second == left
    found = {row.id: row for row in await outbox.find(ONE)}
    assert [(found[row.id].status, found[row.id].answer) for row in (sent, dropped, parked, again, left)] == [
        (SENT, "accepted"),
        (DROPPED, "too late"),
        (PARKED, "refused"),
        (DUE, "busy\ufffd"),
        (DUE, None),
    ]
    assert [row.id for row in found.values() if row.settled_at is None] == [left.id, again.id]


async def test_since_when_a_row_is_tried_outlives_us_until_somebody_sends_it_again(
    pool: asyncpg.Pool, outbox: Outbox
) -> None:
    row = next(one for one in await write(pool) if one.kind == "history")
    assert row.first_tried_at is None
    tried = [replace(one, first_tried_at=HEARD_AT) for one in settled([row], DUE, "busy", HEARD_AT)]
    await outbox.settle(tried)
    assert [one.first_tried_at for one in await outbox.load_due(ONE) if one.id == row.id] == [HEARD_AT]
    await outbox.settle([replace(tried[0], status=PARKED, due_at=None)])
    assert await outbox.resend(ONE, [row.id]) == [row.id]
    assert [one.first_tried_at for one in await outbox.load_due(ONE) if one.id == row.id] == [None]


@pytest.mark.parametrize("final", [SENT, DROPPED, PARKED])
async def test_a_late_verdict_changes_nothing(pool: asyncpg.Pool, outbox: Outbox, final: DeliveryStatus) -> None:
    [row, *_] = await write(pool)
    await outbox.settle(settled([row], final, "the first"))
    before = await outbox.find(ONE)
    for late in DeliveryStatus:
        await outbox.settle(settled([row], late, "late", TOMORROW))
    assert await outbox.find(ONE) == before


async def test_no_verdicts_are_nothing_to_write(outbox: Outbox) -> None:
    await outbox.settle([])


async def test_verdicts_of_one_enterprise_touch_no_row_of_another(pool: asyncpg.Pool, outbox: Outbox) -> None:
    ours, theirs = await write(pool), await write(pool, enterprise=TWO)
    await outbox.settle([Settlement(TWO, row.id, SENT, None, 1, None) for row in ours])
    await outbox.settle(settled(theirs[:1], SENT))
    assert await outbox.load_due(ONE) == ours
    assert await outbox.load_due(TWO) == theirs[1:]
    assert {row.enterprise for row in await outbox.find(ONE)} == {ONE}
    assert await outbox.resend(TWO, [row.id for row in ours]) == []
    assert await outbox.load_due(EnterpriseId("0789")) == []
    assert await outbox.find(EnterpriseId("0789")) == []


async def test_a_backlog_counts_what_somebody_may_have_to_look_at(pool: asyncpg.Pool, outbox: Outbox) -> None:
    ours, theirs = await write(pool, 4), await write(pool, 1, enterprise=TWO)
    await outbox.settle([*settled(ours[:1], SENT), *settled(ours[1:2], DROPPED), *settled(ours[2:4], PARKED)])
    await outbox.settle(settled(theirs, SENT))
    old = HEARD_AT - timedelta(days=9)
    await pool.execute("UPDATE deliveries SET created_at = $1 WHERE id = ANY ($2)", old, [ours[2].id, ours[5].id])
    assert sorted(await outbox.backlogs(), key=lambda one: one.status) == [
        Backlog(ONE, DUE, 2, old),
        Backlog(ONE, PARKED, 2, old),
    ]


async def test_people_find_rows_by_state_and_by_call_newest_first(pool: asyncpg.Pool, outbox: Outbox) -> None:
    made = await write(pool, 3)
    await outbox.settle(settled(made[:2], SENT))
    assert [row.id for row in await outbox.find(ONE)] == [row.id for row in reversed(made)]
    assert [row.id for row in await outbox.find(ONE, limit=2)] == [made[4].id, made[3].id]
    assert [row.id for row in await outbox.find(ONE, status=SENT)] == [made[1].id, made[0].id]
    of_call = await outbox.find(ONE, calls=[CallId("pbx:0")])
    assert [row.id for row in of_call] == [made[4].id, made[3].id, made[0].id]
    assert [row.id for row in await outbox.find(ONE, calls=[CallId("pbx:0")], status=DUE)] == [made[4].id, made[3].id]
    assert await outbox.find(ONE, calls=[CallId("pbx:'")]) == []
    [oldest] = await outbox.find(ONE, calls=[CallId("pbx:1")])
    assert oldest == DeliveryRow(
        enterprise=ONE,
        id=made[1].id,
        host=made[1].host,
        call=CallId("pbx:1"),
        fact=rang("pbx:1", "101").key,
        kind=made[1].kind,
        status=SENT,
        attempts=1,
        due_at=made[1].due_at,
        fresh_until=made[1].fresh_until,
        answer="accepted",
        created_at=made[1].created_at,
        settled_at=oldest.settled_at,
    )
    assert oldest.settled_at is not None


async def test_history_is_sent_again_when_somebody_mended_the_reason(pool: asyncpg.Pool, outbox: Outbox) -> None:
    """Popups are not: their phone has stopped ringing. Five days of new tries begin now."""
    facts: list[AnyFact] = [rang("pbx:0", "101"), *(ended(nobody(f"pbx:{number}")) for number in range(4))]
    made = await Ledger(pool).record(heard(*facts))
    histories = [row for row in made if row.kind == "history"]
    popups = [row for row in made if row.kind == "popup"]
    parked, dropped, sent, due = histories
    await outbox.settle(
        [*settled([parked, *popups], PARKED, "refused"), *settled([dropped], DROPPED), *settled([sent], SENT)]
    )
    await pool.execute("UPDATE deliveries SET created_at = $1, due_at = $1", HEARD_AT)
    asked_at = datetime.now(UTC)
    again = await outbox.resend(ONE, [*(row.id for row in made), 999_999])
    assert sorted(again) == [parked.id, dropped.id]
    rows = {row.id: row for row in await outbox.find(ONE)}
    for row in (parked, dropped):
        found = rows[row.id]
        assert (found.status, found.attempts, found.settled_at) == (DUE, 0, None)
        assert found.due_at >= asked_at
        assert found.created_at >= asked_at
    assert [row.id for row in await outbox.load_due(ONE)] == [parked.id, dropped.id, due.id]
    assert rows[sent.id].status is SENT
    assert {rows[row.id].status for row in popups} == {PARKED}
    assert await outbox.resend(ONE, []) == []


async def test_a_row_that_cannot_be_read_holds_up_no_other_and_is_said_once(pool: asyncpg.Pool, outbox: Outbox) -> None:
    """One of a newer version, one that was damaged; the rest of the page is told, and so is the next page."""
    made = await write(pool, 6)
    await pool.execute("UPDATE facts SET kind = 'operator.sang' WHERE key = $1", made[0].fact.key)
    await pool.execute("UPDATE facts SET body = '{}' WHERE key = $1", made[1].fact.key)
    with capture_logs() as logs:
        assert await outbox.load_due(ONE, limit=2) == made[2:4]
        assert await outbox.load_due(ONE, limit=3) == made[2:3]
        assert await outbox.load_due(ONE) == made[2:]
    assert [(line["event"], line["call"], line["delivery"], line["kind"]) for line in logs] == [
        ("delivery_unreadable", "pbx:0", made[0].id, "operator.sang"),
        ("delivery_unreadable", "pbx:1", made[1].id, "operator.rang"),
    ]
    assert {row.status for row in await outbox.find(ONE)} == {DUE}


@pytest.fixture
async def crowded(pool: asyncpg.Pool) -> asyncpg.Pool:
    """20,000 rows of two enterprises, of which 100 are due, as after months of work."""
    facts = heard(*(rang(f"pbx:{number}", "101") for number in range(2)))
    await Ledger(pool).record(facts)
    await pool.execute(
        """
        INSERT INTO facts (enterprise_id, host, key, call_id, kind, at, body)
        SELECT (ARRAY['0123', '0456'])[n % 2 + 1], 'pbx', 'many ' || n, 'pbx:' || n, 'operator.rang', at, body
          FROM facts, generate_series(1, 20000) AS n WHERE call_id = 'pbx:0'
        """
    )
    await pool.execute(
        """
        INSERT INTO deliveries (enterprise_id, host, call_id, fact_key, kind, status, settled_at)
        SELECT enterprise_id, host, call_id, key, 'popup',
               CASE WHEN n % 200 = 0 THEN 'due' ELSE 'sent' END::delivery_status,
               CASE WHEN n % 200 = 0 THEN NULL ELSE now() END
          FROM (SELECT facts.*, substr(key, 6)::int AS n FROM facts WHERE key LIKE 'many %') AS f
        """
    )
    await pool.execute("ANALYZE")
    return pool


async def explained(pool: asyncpg.Pool, sql: str, *arguments: Any) -> list[dict[str, Any]]:
    """Every node of the plan that PostgreSQL makes for any arguments."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        text = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {sql}", *arguments)
    nodes, found = [json.loads(text)[0]["Plan"]], []
    while nodes:
        node = nodes.pop()
        nodes += node.pop("Plans", [])
        found.append(node)
    return found


def indexes(plan: list[dict[str, Any]]) -> set[str]:
    return {node["Index Name"] for node in plan if "Index Name" in node}


def scanned(plan: list[dict[str, Any]]) -> set[str]:
    """Tables that are read from end to end."""
    return {node["Relation Name"] for node in plan if node["Node Type"] == "Seq Scan"}


async def test_no_question_about_deliveries_reads_a_table_from_end_to_end(crowded: asyncpg.Pool) -> None:
    verdicts = ([ONE] * 50, list(range(50)), ["sent"] * 50, [None] * 50, [1] * 50, [None] * 50, [None] * 50, HEARD_AT)
    for sql, arguments, by in (
        (module.SQL["load_due"], (ONE, 0, 500, ""), {"deliveries_unfinished"}),
        (module.SQL["load_due"], (ONE, 0, 500, "erp"), {"deliveries_unfinished"}),
        (module.SQL["settle"], verdicts, {"deliveries_pkey", "deliveries_unfinished"}),
        (module.SQL["list_deliveries"], (ONE, None, None, 100), {"deliveries_pkey"}),
        (module.SQL["count_deliveries"], (), {"deliveries_unfinished"}),
        (module.SQL["resend"], (ONE, [1, 2], HEARD_AT), {"deliveries_pkey", "deliveries_unfinished"}),
        (ledger_module.SQL["due_of_facts"], ([ONE], ["pbx"], ["many 1"]), {"deliveries_once", "deliveries_unfinished"}),
        (ledger_module.SQL["facts_of_live_calls"], (ONE, "pbx"), {"facts_by_call"}),
    ):
        plan = await explained(crowded, sql, *arguments)
        assert scanned(plan) & {"deliveries", "facts"} == set(), sql
        assert indexes(plan) & by, sql


@pytest.mark.parametrize("extensions", [[f"1{number:03}" for number in range(150)], ["1" * 64] * 30, ["101"]])
def test_what_the_crm_does_not_know_is_named_and_no_name_is_cut(extensions: list[str]) -> None:
    said = knows_not(extensions)
    assert len(said) < 500
    assert set(said.removeprefix(KNOWS_NOT).split(", ")) <= set(extensions)
