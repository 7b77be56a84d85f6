"""What is heard is written once, with everything that hangs on it."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from amibridge.calls.facts import AnyFact, CallEnded, CallMerged, FactKey, OperatorJoined, RecordingStarted
from amibridge.calls.notices import notices_of
from amibridge.calls.record import CallId, CallRecord, Direction, Extension
from amibridge.enterprises import EnterpriseId, HostName
from amibridge.store.ledger import HeardFact, Ledger
from amibridge.store.outbox import Delivery, DeliveryStatus, Outbox, Settlement
from tests.corpus import TRACES
from tests.delivery.rows import brief, dialled, ended, rang, record, stopped
from tests.store.said import HEARD_AT, facts_of, heard, living, merged, rows, started, trace, without_nul

pytestmark = pytest.mark.postgres

ONE, PBX = EnterpriseId("0123"), HostName("pbx")

RING_NEWS, STOP_NEWS = timedelta(seconds=20), timedelta(minutes=2)
"""docs/adr/0006: how long an opening and a closing popup are fresh."""


@pytest.fixture
def ledger(pool: asyncpg.Pool) -> Ledger:
    return Ledger(pool)


def whole_call(call: str = "pbx:1700.1") -> list[AnyFact]:
    return [
        started(call),
        rang(call, "101"),
        rang(call, "102"),
        OperatorJoined(FactKey(f"joined:{call}"), CallId(call), HEARD_AT, brief(), Extension("101")),
        stopped(call, "102"),
        RecordingStarted(FactKey(f"recording:{call}"), CallId(call), HEARD_AT, brief(), "/monitor/1.wav"),
        ended(record(call)),
    ]


def batches(facts: Sequence[HeardFact], size: int = 500) -> Iterator[Sequence[HeardFact]]:
    for start in range(0, len(facts), size):
        yield facts[start : start + size]


async def written_record(pool: asyncpg.Pool, enterprise: str, call: str) -> dict[str, Any]:
    """A row of `calls`, in the words of the call record."""
    row = await pool.fetchrow("SELECT * FROM calls WHERE enterprise_id = $1 AND call_id = $2", enterprise, call)
    assert row is not None
    found = dict(row)
    found["waited_seconds"] = found.pop("waited").total_seconds()
    found["talk_seconds"] = found.pop("talked").total_seconds()
    found["transfers"] = json.loads(found["transfers"])
    return found


def as_columns(told: CallRecord) -> dict[str, Any]:
    """The published object, its times as times."""
    published = told.as_json()
    for name in ("started_at", "rang_at", "answered_at", "ended_at"):
        published[name] = getattr(told, name)
    return published


async def test_a_call_is_written_with_all_that_hangs_on_it(ledger: Ledger, pool: asyncpg.Pool) -> None:
    facts = whole_call()
    deliveries = await ledger.record(heard(*facts))
    found = await pool.fetch("SELECT * FROM facts ORDER BY seq")
    assert [(row["key"], row["call_id"], row["kind"], row["at"]) for row in found] == [
        (fact.key, fact.call, fact.word, fact.at) for fact in facts
    ]
    assert await pool.fetchval("SELECT count(*) FROM live_calls") == 0
    verdict = facts[-1]
    assert isinstance(verdict, CallEnded)
    row = await written_record(pool, ONE, verdict.call)
    assert (row.pop("enterprise_id"), row.pop("host")) == (ONE, PBX)
    assert row == as_columns(verdict.record)
    assert [(one.kind, one.fact, one.fresh_until) for one in deliveries] == [
        ("popup", facts[1], HEARD_AT + RING_NEWS),
        ("popup", facts[2], HEARD_AT + RING_NEWS),
        ("popup", facts[4], HEARD_AT + STOP_NEWS),
        ("popup", verdict, HEARD_AT + STOP_NEWS),
        ("history", verdict, None),
        ("customer", verdict, None),
    ]
    assert await Outbox(pool).load_due(ONE) == deliveries


async def test_rows_are_due_by_our_clock_when_the_databases_is_ahead(ledger: Ledger, pool: asyncpg.Pool) -> None:
    await pool.execute(
        "ALTER TABLE deliveries ALTER due_at SET DEFAULT now() + interval '25 s',"
        " ALTER created_at SET DEFAULT now() + interval '25 s'"
    )
    facts = heard(*whole_call())
    written = await ledger.record(facts)
    assert {(one.due_at, one.created_at) for one in written} == {(HEARD_AT, HEARD_AT)}
    assert await ledger.due_of(facts) == written
    assert await Outbox(pool).load_due(ONE) == written


async def test_attempts_are_rows_in_their_order(ledger: Ledger, pool: asyncpg.Pool) -> None:
    facts = facts_of(trace("asterisk22/i_queue_second_member"))
    await ledger.record(heard(*facts))
    told = [fact.record for fact in facts if isinstance(fact, CallEnded)]
    assert any(len(one.attempts) > 1 for one in told)
    found = await pool.fetch("SELECT * FROM attempts ORDER BY call_id, ordinal")
    assert [tuple(row) for row in found] == [
        (ONE, one.call_id, ordinal, try_.extension, try_.rang_at, try_.joined_at, try_.left_at, try_.outcome)
        for one in sorted(told, key=lambda one: one.call_id)
        for ordinal, try_ in enumerate(one.attempts)
    ]


async def test_every_recorded_trace_is_kept_whole(ledger: Ledger, pool: asyncpg.Pool) -> None:
    """Stacks are enterprises and traces are hosts. Two stacks saw the same calls, by the same Uniqueids."""
    assert len({(one.stack, one.kind) for one in TRACES}) == len(TRACES)
    every = [(one, facts_of(one, one.kind)) for one in TRACES]
    deliveries: list[Delivery] = []
    for one, facts in every:
        for batch in batches(heard(*facts, enterprise=one.stack, host=one.kind)):
            deliveries += await ledger.record(batch)
    assert await pool.fetchval("SELECT count(*) FROM facts") == sum(len(facts) for _, facts in every)
    assert await pool.fetchval("SELECT count(*) FROM live_calls") == 0
    for one, facts in every:
        for fact in facts:
            if isinstance(fact, CallEnded) and one.kind != "z3_load_readall":
                row = await written_record(pool, one.stack, fact.call)
                assert (row.pop("enterprise_id"), row.pop("host")) == (one.stack, one.kind)
                assert row == as_columns(fact.record)
    verdicts = [fact for _, facts in every for fact in facts if isinstance(fact, CallEnded)]
    assert await pool.fetchval("SELECT count(*) FROM calls") == len(verdicts)
    assert await pool.fetchval("SELECT count(*) FROM attempts") == sum(len(one.record.attempts) for one in verdicts)
    assert Counter((one.enterprise, one.host, one.fact.key, one.kind) for one in deliveries) == Counter(
        (one.stack, one.kind, fact.key, notice.kind)
        for one, facts in every
        for fact in facts
        for notice in notices_of(fact)
    )
    assert len(verdicts) > 500


async def test_a_call_among_operators_is_told_to_nobody(ledger: Ledger, pool: asyncpg.Pool) -> None:
    facts = facts_of(trace("asterisk22/m_internal_answered"))
    assert {fact.brief.direction for fact in facts} == {Direction.INTERNAL}
    assert await ledger.record(heard(*facts)) == []
    assert await pool.fetchval("SELECT count(*) FROM calls") == 1


async def test_the_same_batch_twice_changes_nothing(ledger: Ledger, pool: asyncpg.Pool) -> None:
    facts = heard(*whole_call(), *facts_of(trace("asterisk22/i_queue_second_member")))
    assert await ledger.record(facts) != []
    before = await rows(pool)
    assert await ledger.record(facts) == []
    assert await ledger.record(facts[3:]) == []
    assert [await ledger.record([one]) for one in facts] == [[]] * len(facts)
    assert await rows(pool) == before


async def test_a_batch_of_old_and_new_facts_tells_the_new_ones_only(ledger: Ledger) -> None:
    facts = heard(*whole_call())
    assert [one.fact for one in await ledger.record(facts[:2])] == [facts[1].fact]
    assert [one.fact for one in await ledger.record(facts[:4])] == [facts[2].fact]


async def test_of_two_facts_with_one_key_the_first_is_kept_and_told(ledger: Ledger, pool: asyncpg.Pool) -> None:
    first, later = ended(record("pbx:1", operators=["101"])), ended(record("pbx:1", operators=["102"]))
    [popup, history, errand] = await ledger.record(heard(first, first, later))
    assert (popup.fact, history.fact, errand.fact) == (first, first, first)
    assert [one.fact for one in await Outbox(pool).load_due(ONE)] == [first, first, first]
    assert (await written_record(pool, ONE, "pbx:1"))["operators"] == ["101"]
    assert await ledger.record(heard(later)) == []
    assert (await written_record(pool, ONE, "pbx:1"))["operators"] == ["101"]


async def test_nothing_heard_is_nothing_written(ledger: Ledger, pool: asyncpg.Pool) -> None:
    assert await ledger.record([]) == []
    assert await ledger.due_of([]) == []
    assert all(found == [] for found in (await rows(pool)).values())


async def test_two_writers_at_once_make_every_row_once(ledger: Ledger, pool: asyncpg.Pool) -> None:
    facts = heard(*facts_of(trace("asterisk22/z3_load_readall"))[:600])

    async def write(size: int) -> list[Delivery]:
        return [one for batch in batches(facts, size) for one in await ledger.record(batch)]

    made = [one for part in await asyncio.gather(write(7), write(11), write(600)) for one in part]
    assert sorted(one.id for one in made) == [one.id for one in await Outbox(pool).load_due(ONE)]
    assert Counter((one.fact.key, one.kind) for one in made) == Counter(
        (one.fact.key, notice.kind) for one in facts for notice in notices_of(one.fact)
    )
    assert await pool.fetchval("SELECT count(*) FROM facts") == len(facts)


async def test_equal_uniqueids_of_two_enterprises_and_of_two_hosts_stay_apart(
    ledger: Ledger, pool: asyncpg.Pool
) -> None:
    """Two PBXs that started in the same second."""
    here, there = heard(*whole_call(), enterprise="0123"), heard(*whole_call(), enterprise="0456")
    twin = [
        replace(one, host=HostName("pbx2"), fact=replace(one.fact, call=CallId("pbx2:1700.1")))
        for one in heard(*whole_call()[:-1])
    ]
    made = await ledger.record([one for three in zip(here, there, [*twin, twin[0]], strict=True) for one in three])
    counted = Counter((one.enterprise, one.host) for one in made)
    assert counted == {("0123", "pbx"): 6, ("0456", "pbx"): 6, ("0123", "pbx2"): 3}
    assert await pool.fetchval("SELECT count(*) FROM facts") == 7 + 7 + 6
    calls = await pool.fetch("SELECT enterprise_id, call_id FROM calls ORDER BY 1")
    assert [tuple(row) for row in calls] == [("0123", "pbx:1700.1"), ("0456", "pbx:1700.1")]
    assert [row["call_id"] for row in await pool.fetch("SELECT call_id FROM live_calls")] == ["pbx2:1700.1"]


@pytest.mark.parametrize(
    "call",
    ["pbx:\x00", "'; DROP TABLE facts; --", '"{}\\', "пбх:☎️🇧🇾", "x" * 5_000, "a,b\n{c}\tNULL", " "],
    ids=["NUL", "SQL", "JSON", "emoji", "5 kB", "array", "blank"],
)
async def test_any_call_id_is_kept_as_it_is(ledger: Ledger, pool: asyncpg.Pool, call: str) -> None:
    facts = whole_call(call)
    deliveries = await ledger.record(heard(*facts[:-1]))
    assert await ledger.facts_of_live_calls(ONE, PBX) == [without_nul(fact) for fact in facts[:-1]]
    deliveries += await ledger.record(heard(facts[-1]))
    assert [one.fact for one in deliveries] == [fact for fact in facts for _ in notices_of(fact)]
    assert await ledger.due_of(heard(*facts)) == deliveries
    loaded = await Outbox(pool).load_due(ONE)
    assert [one.fact for one in loaded] == [without_nul(one.fact) for one in deliveries]
    assert await pool.fetchval("SELECT count(*) FROM live_calls") == 0
    assert (await written_record(pool, ONE, without_nul(call)))["call_id"] == without_nul(call)


async def test_live_calls_come_and_go(ledger: Ledger, pool: asyncpg.Pool) -> None:
    second = timedelta(seconds=1)

    async def live() -> dict[str, tuple[Any, ...]]:
        found = await pool.fetch("SELECT * FROM live_calls")
        return {
            row["call_id"]: (
                row["host"], row["direction"], row["started_at"], row["updated_at"], json.loads(row["body"])["key"]
            )
            for row in found
        }  # fmt: skip

    first, ring = started("pbx:1"), rang("pbx:1", "101", HEARD_AT + second)
    other = dialled("pbx:2", "103", HEARD_AT)
    await ledger.record(heard(first, other, ring))
    assert await live() == {
        "pbx:1": ("pbx", "incoming", HEARD_AT, HEARD_AT + second, ring.key),
        "pbx:2": ("pbx", "outgoing", HEARD_AT, HEARD_AT, other.key),
    }
    stop = stopped("pbx:1", "101", HEARD_AT + 2 * second)
    await ledger.record(heard(stop))
    assert (await live())["pbx:1"] == ("pbx", "incoming", HEARD_AT, HEARD_AT + 2 * second, stop.key)
    await ledger.record(heard(merged("pbx:2", into="pbx:1")))
    assert (await live()).keys() == {"pbx:1"}
    await ledger.record(heard(ended(record("pbx:1"))))
    assert await live() == {}
    await ledger.record(heard(started("pbx:3"), ended(record("pbx:3"))))
    assert await live() == {}


async def test_the_end_of_a_call_is_the_end_of_no_other_enterprises_call(ledger: Ledger, pool: asyncpg.Pool) -> None:
    await ledger.record(heard(started("pbx:1")) + heard(started("pbx:1"), enterprise="0456"))
    await ledger.record(heard(ended(record("pbx:1"))))
    assert [row["enterprise_id"] for row in await pool.fetch("SELECT enterprise_id FROM live_calls")] == ["0456"]


async def test_a_late_repetition_does_not_bring_an_ended_call_back(ledger: Ledger, pool: asyncpg.Pool) -> None:
    """A second observer of the same host lags behind."""
    facts = heard(*whole_call(), merged("pbx:9", into="pbx:1700.1"))
    await ledger.record([*heard(started("pbx:9")), *facts])
    await ledger.record(facts[:3])
    await ledger.record(heard(started("pbx:9")))
    assert await pool.fetchval("SELECT count(*) FROM live_calls") == 0


async def test_facts_of_live_calls_are_those_of_the_host_in_the_order_they_were_said(ledger: Ledger) -> None:
    facts = facts_of(trace("asterisk22/i_queue_second_member"))
    living = [fact for fact in facts if not isinstance(fact, CallEnded | CallMerged)]
    await ledger.record(heard(*living[:3]))
    await ledger.record(heard(*whole_call("pbx:8"), *(fact for fact in whole_call("pbx:9")[:-1])))
    await ledger.record(heard(started("pbx:7"), host="pbx2") + heard(started("pbx:7"), enterprise="0456"))
    await ledger.record(heard(*living))
    ninth = whole_call("pbx:9")[:-1]
    assert await ledger.facts_of_live_calls(ONE, PBX) == [*living[:3], *ninth, *living[3:]]
    assert await ledger.facts_of_live_calls(ONE, HostName("pbx2")) == [started("pbx:7")]
    assert await ledger.facts_of_live_calls(EnterpriseId("0456"), PBX) == [started("pbx:7")]
    assert await ledger.facts_of_live_calls(EnterpriseId("0789"), PBX) == []


async def test_a_call_with_the_id_of_an_earlier_one_is_not_lost_in_silence(ledger: Ledger) -> None:
    """A PBX that starts anew counts from nought; if its clock was set back, its Uniqueids are those of before."""
    now = datetime.now(HEARD_AT.tzinfo)
    told = ended(record("pbx:1700.1"))
    length = told.at - told.record.started_at
    assert await ledger.record(heard(told, at=now))
    with capture_logs() as logs:
        await ledger.record(heard(told, at=now))
        await ledger.record(heard(told, at=now + length + timedelta(minutes=4)))
        await ledger.record(heard(told, enterprise="0456", at=now + timedelta(days=1)))
        assert logs == [], "it may have been heard twice"
        await ledger.record(heard(told, rang("pbx:2", "101"), at=now + length + timedelta(minutes=6)))
    [line] = logs
    assert (line["event"], line["enterprise"], line["host"], line["call"]) == (
        *("call_id_used_again", ONE, PBX),
        "pbx:1700.1",
    )


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(facts=st.lists(living, min_size=1, max_size=8, unique_by=lambda fact: without_nul(fact.key)))
async def test_any_facts_come_back_from_the_table_as_they_were(ledger: Ledger, facts: list[AnyFact]) -> None:
    number = secrets.token_hex(8)
    await ledger.record(heard(*facts, enterprise=number))
    assert await ledger.facts_of_live_calls(EnterpriseId(number), PBX) == [without_nul(fact) for fact in facts]


async def test_a_fact_of_a_newer_version_does_not_keep_a_host_from_being_followed(
    ledger: Ledger, pool: asyncpg.Pool
) -> None:
    await ledger.record(heard(started("pbx:1"), rang("pbx:1", "101"), rang("pbx:1", "102")))
    await pool.execute("UPDATE facts SET kind = 'operator.sang' WHERE key = $1", rang("pbx:1", "101").key)
    with capture_logs() as logs:
        assert await ledger.facts_of_live_calls(ONE, PBX) == [started("pbx:1"), rang("pbx:1", "102")]
    assert [(line["event"], line["call"], line["kind"]) for line in logs] == [
        ("fact_unreadable", "pbx:1", "operator.sang")
    ]


async def test_due_of_finds_what_a_lost_commit_made_and_nothing_that_is_done(
    ledger: Ledger, pool: asyncpg.Pool
) -> None:
    facts = heard(*whole_call())
    made = await ledger.record(facts)
    await ledger.record(heard(rang("pbx:2", "101")) + heard(*whole_call(), enterprise="0456"))
    assert await ledger.due_of(facts) == made
    assert await ledger.due_of(facts[2:3]) == made[1:2]
    await Outbox(pool).settle([Settlement(ONE, made[0].id, DeliveryStatus.SENT, None, 1, "accepted")])
    assert await ledger.due_of(facts) == made[1:]


@pytest.mark.parametrize(
    "impossible",
    [
        rang("pbx:1", "101", datetime.max.replace(tzinfo=HEARD_AT.tzinfo)),
        ended(replace(record("pbx:1"), outcome=None)),
        ended(replace(record("pbx:1"), ended_at=None)),
        replace(rang("pbx:1", "101"), key=FactKey(secrets.token_hex(5_000))),
        replace(rang("pbx:\x00", "101"), key=FactKey("\x00" * 5_000 + "'")),
    ],
    ids=["a time without end", "no outcome", "no end", "a long key", "a key of NULs"],
)
async def test_what_is_rejected_is_set_aside_once(ledger: Ledger, pool: asyncpg.Pool, impossible: AnyFact) -> None:
    [one] = heard(impossible)
    await ledger.reject(one, "because\x00")
    await ledger.reject(one, "because")
    [row] = await pool.fetch("SELECT * FROM rejected_facts")
    assert (row["enterprise_id"], row["host"], row["kind"]) == (ONE, PBX, impossible.word)
    assert without_nul(impossible.key)[:500] in row["key"]
    assert (row["body"], row["error"]) == (repr(impossible), "because\ufffd")


async def test_long_keys_that_differ_late_are_set_aside_apart(ledger: Ledger, pool: asyncpg.Pool) -> None:
    fact = rang("pbx:1", "101")
    for tail in ("1", "2"):
        await ledger.reject(heard(replace(fact, key=FactKey("x" * 5_000 + tail)))[0], "too long")
    assert await pool.fetchval("SELECT count(*) FROM rejected_facts") == 2


async def test_a_batch_that_is_refused_leaves_nothing_behind(ledger: Ledger, pool: asyncpg.Pool) -> None:
    with pytest.raises(asyncpg.NotNullViolationError):
        await ledger.record(heard(*whole_call(), ended(replace(record("pbx:2"), outcome=None))))
    assert all(found == [] for found in (await rows(pool)).values())
