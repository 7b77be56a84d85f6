"""The ledger of requests, on a real PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg

from amibridge.calls.record import CallId
from amibridge.enterprises import EnterpriseId
from amibridge.store.requests import CrmRequest, CrmRequests

ONE, OTHER = EnterpriseId("0123"), EnterpriseId("0124")
AT = datetime(2026, 11, 25, 10, 41, 22, 123456, UTC)

FULL = CrmRequest(
    enterprise=ONE,
    at=AT,
    verb="POST",
    address="/api/v5/telephony/calls/upload",
    calls=(CallId("pbx1:1.1"), CallId("pbx1:2.2"), CallId("pbx1:1.1")),
    deliveries=(3, 9_000_000_000),
    attempt=2,
    status=503,
    took=timedelta(milliseconds=1234),
    failure="the CRM is busy (HTTP 503)",
    verdict="due",
    next_attempt_at=AT + timedelta(seconds=5),
    request='calls=[{"phone":"+375•••••1234"}]',
    answer="",
)
BARE = replace(FULL, calls=(), deliveries=(), status=None, failure=None, verdict=None, next_attempt_at=None, verb="GET")


async def test_a_request_comes_back_as_it_was_written(pool: asyncpg.Pool) -> None:
    requests = CrmRequests(pool)
    await requests.record([FULL, BARE])
    assert await requests.newest(ONE, 10) == [BARE, FULL]
    assert await requests.newest(ONE, 1) == [BARE]
    assert await requests.newest(OTHER, 10) == []


async def test_a_call_finds_all_its_requests_in_order_and_no_others(pool: asyncpg.Pool) -> None:
    requests = CrmRequests(pool)
    first, second = replace(FULL, calls=(CallId("pbx1:2.2"),), attempt=1), replace(FULL, attempt=3)
    await requests.record([first, replace(FULL, enterprise=OTHER)])
    await requests.record([BARE, second])
    assert await requests.of_calls(ONE, [CallId("pbx1:2.2")]) == [first, second]
    assert await requests.of_calls(ONE, [CallId("pbx1:1.1"), CallId("pbx1:2.2")]) == [first, second]
    assert await requests.of_calls(ONE, [CallId("pbx1:3.3")]) == []


async def test_what_postgresql_cannot_keep_is_written_all_the_same(pool: asyncpg.Pool) -> None:
    requests = CrmRequests(pool)
    await requests.record(
        [replace(FULL, calls=(CallId("a\x00b"),), failure="\x00", request="'\"\\\\n\n{}", answer="\\u0000")]
    )
    [found] = await requests.of_calls(ONE, [CallId("a\x00b")])
    assert (found.request, found.answer, found.failure) == ("'\"\\\\n\n{}", "\\u0000", "\ufffd")
