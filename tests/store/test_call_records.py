"""Pages of call records: what PostgreSQL writes of a record is what the record says of itself."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import asyncpg

from amibridge.calls.record import CallId, CallRecord, Direction, HangupBy, Outcome
from amibridge.store.call_records import CallRecords, Position, Wanted
from tests.delivery.rows import NOON, record
from tests.web.api_calls import HERE, whole, write

EVERYTHING = whole("pbx1:1.1")
BARE = replace(
    record("pbx1:1.2"),
    outcome=Outcome.MISSED,
    reason=None,
    phone=None,
    rang=(),
    operators=(),
    rang_at=None,
    answered_at=None,
    hangup_by=None,
    waited=timedelta(0),
    talked=timedelta(0),
)
ODD = replace(
    EVERYTHING,
    call_id=CallId("pbx1:1.3"),
    caller_name='ООО "Ромашка" \\ \u2028 ☎ {}\n',
    line="",
    started_at=NOON.replace(microsecond=7),
    waited=timedelta(microseconds=1),
    talked=timedelta(days=3, microseconds=999_999),
    notes=("a", '"', "{,}", ""),
)
EVERY_WORD = [
    replace(
        EVERYTHING,
        call_id=CallId(f"pbx1:2.{number}"),
        direction=[*Direction][number % len(Direction)],
        outcome=[*Outcome][number % len(Outcome)],
        hangup_by=[*HangupBy][number % len(HangupBy)],
    )
    for number in range(6)
]


async def test_a_page_tells_each_record_as_the_record_does(pool: asyncpg.Pool) -> None:
    records: list[CallRecord] = [EVERYTHING, BARE, ODD, *EVERY_WORD]
    await write(pool, records)
    page = await CallRecords(pool).page(HERE, Wanted(), behind=Position(), limit=50)
    assert {one.call: json.loads(one.record) for one in page} == {one.call_id: one.as_json() for one in records}
    assert {one.call: one.started_at for one in page} == {one.call_id: one.started_at for one in records}
    told = {one.call: list(json.loads(one.record)) for one in page}
    assert all(names == list(EVERYTHING.as_json()) for names in told.values()), "in the published order, too"
