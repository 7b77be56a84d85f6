"""Facts read on from any place: whoever reads on misses none, however many write at once."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from structlog.testing import capture_logs

from amibridge.calls.facts import AnyFact
from amibridge.calls.record import CallId
from amibridge.enterprises import EnterpriseId
from amibridge.store.facts import PAGE, SQL, WrittenFacts
from amibridge.store.ledger import Ledger
from tests.delivery.rows import ended, rang, record
from tests.store.said import heard

pytestmark = pytest.mark.postgres

HERE, THERE = EnterpriseId("0123"), EnterpriseId("0124")

INSERT = (
    "INSERT INTO facts (enterprise_id, host, key, call_id, kind, at, body)"
    " VALUES ('0123', 'pbx', $1, 'pbx:1', 'operator.rang', now(), '{}') RETURNING seq"
)


async def read_on(facts: WrittenFacts, enterprise: EnterpriseId, place: int = 0, **wanted: object) -> list[str]:
    found: list[str] = []
    while True:
        page = await facts.after(enterprise, place, **wanted)  # type: ignore[arg-type]
        assert place <= page.to
        found += [one.fact.key for one in page.facts]
        place = page.to
        if page.is_last:
            return found


async def seqs_after(pool: asyncpg.Pool, place: int) -> list[int]:
    """As a reader sees them who knows all up to *place*."""
    return [row["seq"] for row in await pool.fetch("SELECT seq FROM facts WHERE seq > $1 ORDER BY seq", place)]


async def one_writes_while_another_has_not_committed(dsn: str, pool: asyncpg.Pool) -> tuple[list[int], list[int]]:
    """What a reader has read on, who looks between the two commits; and all that there is."""
    first = await asyncpg.connect(dsn, server_settings={"search_path": "amibridge"})
    second = await asyncpg.connect(dsn, server_settings={"search_path": "amibridge"})
    try:
        slow = first.transaction()
        await slow.start()
        await first.execute(INSERT, "slow")
        quick = asyncio.ensure_future(second.execute(INSERT, "quick"))
        await asyncio.wait({quick}, timeout=0.5)
        read = await seqs_after(pool, 0)
        await slow.commit()
        await quick
        read += await seqs_after(pool, read[-1] if read else 0)
        return read, await seqs_after(pool, 0)
    finally:
        await first.close()
        await second.close()


async def test_whoever_reads_on_misses_nothing_of_two_who_write_at_once(dsn: str, pool: asyncpg.Pool) -> None:
    read, all_there_is = await one_writes_while_another_has_not_committed(dsn, pool)
    assert len(all_there_is) == 2
    assert read == all_there_is


async def test_he_would_without_the_turns(dsn: str, pool: asyncpg.Pool) -> None:
    await pool.execute("DROP TRIGGER facts_in_turn ON facts")
    read, all_there_is = await one_writes_while_another_has_not_committed(dsn, pool)
    assert len(all_there_is) == 2
    assert read == all_there_is[1:]


async def test_a_reader_beside_many_ledgers_has_each_fact_once_in_order(pool: asyncpg.Pool) -> None:
    """As of several instances that hear different hosts."""
    facts, many, written = WrittenFacts(pool), 40, 0
    read: list[tuple[int, str]] = []

    async def write(host: str) -> None:
        nonlocal written
        for number in range(many):
            batch = [rang(f"{host}:{number}", extension) for extension in ("101", "102", "103")]
            await Ledger(pool).record(heard(*batch, host=host))
        written += 1

    async def follow() -> None:
        place, was_all = 0, False
        while not was_all:
            was_all = written == 4
            page = await facts.after(HERE, place)
            read.extend((one.seq, one.fact.key) for one in page.facts)
            place = page.to
            was_all = was_all and page.is_last

    async with asyncio.TaskGroup() as tasks:
        for host in ("pbx1", "pbx2", "pbx3", "pbx4"):
            tasks.create_task(write(host))
        tasks.create_task(follow())
    rows = await pool.fetch("SELECT seq, key FROM facts ORDER BY seq")
    assert read == [(row["seq"], row["key"]) for row in rows]
    assert len(read) == 4 * many * 3


async def test_a_turn_comes_before_the_first_number_of_a_batch(dsn: str, pool: asyncpg.Pool) -> None:
    """The recorder's own statement waits with no seq in its hand."""
    other = await asyncpg.connect(dsn, server_settings={"search_path": "amibridge"})
    try:
        slow = other.transaction()
        await slow.start()
        mine = await other.fetchval(INSERT, "slow")
        work = asyncio.ensure_future(Ledger(pool).record(heard(rang("pbx:2", "101"), ended(record("pbx:2")))))
        await _waits_for_a_turn(pool)
        last = await other.fetchval(INSERT, "slow too")
        await slow.commit()
        await work
    finally:
        await other.close()
    assert last == mine + 1
    assert await seqs_after(pool, last) == [last + 1, last + 2]


async def _waits_for_a_turn(pool: asyncpg.Pool) -> None:
    waiting = 0
    while not waiting:
        waiting = await pool.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")


async def test_pages_follow_each_other_and_tell_each_fact_once(pool: asyncpg.Pool) -> None:
    facts = WrittenFacts(pool)
    said = [rang(f"pbx:{number}", "101") for number in range(PAGE * 2 + PAGE // 2)]
    assert (await facts.newest(HERE), (await facts.after(HERE, 0)).is_last) == (0, True)
    await Ledger(pool).record(heard(*said))
    await Ledger(pool).record(heard(rang("pbx:1", "101"), enterprise=THERE))
    assert await read_on(facts, HERE) == [one.key for one in said]
    page = await facts.after(HERE, 0)
    assert (len(page.facts), page.is_last) == (PAGE, False)
    assert await read_on(facts, HERE, page.to) == [one.key for one in said[PAGE:]]
    assert await facts.newest(HERE) == await facts.newest(THERE) - 1
    assert (await facts.after(HERE, await facts.newest(HERE))).facts == ()


async def test_one_call_and_some_words_of_it(pool: asyncpg.Pool) -> None:
    facts = WrittenFacts(pool)
    said: list[AnyFact] = [rang("pbx:1", "101"), rang("pbx:2", "101"), ended(record("pbx:1")), ended(record("pbx:2"))]
    await Ledger(pool).record(heard(*said))
    await Ledger(pool).record(heard(*said, enterprise=THERE))
    assert await read_on(facts, HERE, call=CallId("pbx:1")) == [said[0].key, said[2].key]
    assert await read_on(facts, HERE, words={"call.finished"}) == [said[2].key, said[3].key]
    assert await read_on(facts, HERE, call=CallId("pbx:1"), words={"call.finished"}) == [said[2].key]
    assert await read_on(facts, HERE, call=CallId("pbx:\x00")) == []
    nothing = await facts.after(HERE, 0, words={"call.missed"})
    assert (nothing.facts, nothing.to) == ((), await facts.newest(HERE))


async def test_what_a_newer_version_wrote_is_passed_over(pool: asyncpg.Pool) -> None:
    await Ledger(pool).record(heard(rang("pbx:1", "101")))
    await pool.execute(INSERT.replace("operator.rang", "operator.sang"), "newer")
    await Ledger(pool).record(heard(rang("pbx:2", "101")))
    with capture_logs() as lines:
        found = await read_on(WrittenFacts(pool), HERE)
    assert len(found) == 2
    assert [(line["event"], line["kind"]) for line in lines] == [("fact_unreadable", "operator.sang")]


async def test_whatever_is_wanted_a_page_is_served_by_an_index(pool: asyncpg.Pool) -> None:
    """Also after years: nothing is sorted, and no row is read that lies before the place."""
    await pool.execute(
        "INSERT INTO facts (enterprise_id, host, key, call_id, kind, at, body)"
        " SELECT CASE WHEN n % 10 = 0 THEN '0123' ELSE '0124' END, 'pbx', n::text, 'pbx:' || n / 100,"
        " 'operator.rang', now(), '{}' FROM generate_series(1, 20000) AS n"
    )
    await pool.execute("ANALYZE facts")
    asked = (
        ("newest_fact", ("0123",)),
        ("facts_after", ("0123", 10, PAGE)),
        ("facts_of_call_after", ("0123", 10, PAGE, "pbx:7")),
    )
    for name, args in asked:
        plan = "\n".join(row[0] for row in await pool.fetch(f"EXPLAIN {SQL[name]}", *args))
        assert "Index" in plan, plan
        assert "Seq Scan" not in plan, plan
        assert "Sort" not in plan, plan
