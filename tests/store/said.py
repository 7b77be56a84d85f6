"""Facts for the tests of the store: by hand, out of recorded traces, and every one that can be."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from typing import TypeVar, cast

import asyncpg
from hypothesis import strategies as st

from amibridge.calls.board import Board, replay
from amibridge.calls.facts import (
    AnyFact,
    CallAnswered,
    CallBrief,
    CallEnded,
    CallHeld,
    CallMerged,
    CallResumed,
    CallStarted,
    CallTransferred,
    FactKey,
    OperatorJoined,
    OperatorLeft,
    OperatorRang,
    OperatorStopped,
    RecordingStarted,
    StopCause,
)
from amibridge.calls.record import (
    Attempt,
    CallId,
    CallRecord,
    Direction,
    Extension,
    HangupBy,
    Outcome,
    Transfer,
    TransferKind,
)
from amibridge.enterprises import EnterpriseId, HostName
from amibridge.store.ledger import HeardFact
from tests.calls.truth import events_of
from tests.corpus import TRACES, Trace

HEARD_AT = datetime(2026, 3, 10, 12, 0, 0, 123456, tzinfo=UTC)

Shape = TypeVar("Shape")


def heard(*facts: AnyFact, enterprise: str = "0123", host: str = "pbx", at: datetime = HEARD_AT) -> list[HeardFact]:
    return [HeardFact(EnterpriseId(enterprise), HostName(host), fact, at) for fact in facts]


def facts_of(trace: Trace, host: str = "pbx") -> list[AnyFact]:
    """What the core says of a recorded trace."""
    return replay(Board(host), events_of(trace.path))


def trace(name: str) -> Trace:
    return next(one for one in TRACES if str(one) == name)


def started(call: str, direction: Direction = Direction.INCOMING, at: datetime = HEARD_AT) -> CallStarted:
    brief = CallBrief(direction, "+79161234567", "+79161234567", "Иван", "74951110001", None)
    return CallStarted(FactKey(f"call.started:{call}"), CallId(call), at, brief)


def merged(call: str, into: str, at: datetime = HEARD_AT) -> CallMerged:
    return CallMerged(FactKey(f"call.merged:{call}"), CallId(call), at, started(call).brief, CallId(into))


def without_nul(value: Shape) -> Shape:
    """*value* as PostgreSQL can keep it."""
    if isinstance(value, str) and "\x00" in value:
        return cast(Shape, value.replace("\x00", "\ufffd"))
    if isinstance(value, tuple):
        return cast(Shape, tuple(without_nul(one) for one in value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: without_nul(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return dataclasses.replace(value, **fields)
    return value


TABLES = ("facts", "live_calls", "calls", "attempts", "deliveries", "rejected_facts")


async def rows(pool: asyncpg.Pool, tables: Iterable[str] = TABLES) -> dict[str, list[str]]:
    """All that the ledger holds."""
    return {
        table: [row[0] for row in await pool.fetch(f"SELECT {table}::text FROM {table} ORDER BY 1")] for table in tables
    }


texts = st.text(st.characters(codec="utf-8"), max_size=20)
extensions = st.builds(Extension, texts)
times = st.datetimes(
    datetime(1980, 1, 1),
    datetime(2100, 1, 1),
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=3)), timezone(-timedelta(hours=9, minutes=30))]),
)
spans = st.timedeltas(timedelta(0), timedelta(days=3))
briefs = st.builds(
    CallBrief, st.sampled_from(Direction), *(st.none() | texts for _ in range(4)), st.none() | extensions
)
transfers = st.builds(Transfer, st.sampled_from(TransferKind), extensions, texts, times, st.booleans())
attempts = st.builds(Attempt, extensions, *(st.none() | times for _ in range(3)), texts)
records = st.builds(
    CallRecord,
    call_id=st.builds(CallId, texts),
    direction=st.sampled_from(Direction),
    outcome=st.sampled_from(Outcome),
    **{
        name: st.none() | texts
        for name in ("reason", "external_number", "phone", "caller_name", "line", "queue", "click_to_call")
    },
    rang=st.lists(extensions, max_size=3).map(tuple),
    operators=st.lists(extensions, max_size=3).map(tuple),
    caller=st.none() | extensions,
    started_at=times,
    rang_at=st.none() | times,
    answered_at=st.none() | times,
    ended_at=times,
    waited=spans,
    talked=spans,
    hangup_by=st.none() | st.sampled_from(HangupBy),
    transfers=st.lists(transfers, max_size=2).map(tuple),
    recordings=st.lists(texts, max_size=2).map(tuple),
    complete=st.booleans(),
    notes=st.lists(texts, max_size=2).map(tuple),
    attempts=st.lists(attempts, max_size=3).map(tuple),
)
_common = (st.builds(FactKey, texts), st.builds(CallId, texts), times, briefs)
living = st.one_of(
    st.builds(CallStarted, *_common),
    *(
        st.builds(kind, *_common, extensions)
        for kind in (OperatorRang, OperatorJoined, OperatorLeft, CallAnswered, CallHeld, CallResumed)
    ),
    st.builds(CallTransferred, *_common, st.sampled_from(TransferKind), extensions, texts, st.none() | st.booleans()),
    st.builds(OperatorStopped, *_common, extensions, st.sampled_from(StopCause)),
    st.builds(RecordingStarted, *_common, texts),
)
"""Facts of calls that go on."""
ending = st.builds(CallMerged, *_common, st.builds(CallId, texts)) | st.builds(CallEnded, *_common, records)
