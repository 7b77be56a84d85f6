"""`/api/v1/deliveries` and `/api/v1/calls/{id}/requests`: the ledger, page by page, each enterprise its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from amibridge.calls.record import CallId
from amibridge.enterprises import EnterpriseId
from amibridge.store.db import open_pool
from amibridge.store.requests import CrmRequest, CrmRequests
from amibridge.web import access
from amibridge.web.api.shapes import DeliveryShape, RequestShape
from tests.delivery.rows import NOON, record
from tests.store.proxy import Proxy
from tests.web.api_calls import HERE, THERE, bearer, introduce, live, write
from tests.web.serving import Answer, Site, serving
from tests.web.test_answers import is_error

pytestmark = pytest.mark.postgres

CALL = CallId("pbx1:1.1")
ASKED = CrmRequest(
    enterprise=HERE,
    at=datetime(2026, 3, 10, 12, 0, 1, 250, UTC),
    verb="POST",
    address="/api/v5/telephony/calls/upload",
    calls=(CALL, CallId("pbx1:2.2")),
    deliveries=(3, 9_000_000_000),
    attempt=2,
    status=None,
    took=timedelta(milliseconds=1234.5),
    failure="no answer within 10 s",
    verdict="due",
    next_attempt_at=datetime(2026, 3, 10, 12, 0, 9, tzinfo=UTC),
    request='calls=[{"phone":"+375•••••1234"}]',
    answer="",
)


@pytest.fixture(autouse=True)
def _unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OF_ADDRESS", "OF_CREDENTIAL"):
        monkeypatch.setattr(access, name, (1e6, 1_000_000))


@pytest.fixture
def door(site: Site) -> Site:
    introduce(site)
    return site


async def ask(site: Site, path: str, enterprise: EnterpriseId = HERE) -> Answer:
    return await site.ask(f"/api/v1/{path}", headers=bearer(enterprise))


async def pages(site: Site, path: str, query: str, what: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = await ask(site, f"{path}?{query}{cursor}")
        assert answer.status == 200, answer.json
        found += answer.json[what]
        if answer.json["next"] is None:
            return found
        cursor = f"&cursor={answer.json['next']}"


KINDS, STATUSES = ("popup", "history", "customer", "follow_up"), ("due", "sent", "dropped", "parked")


async def deliver(pool: asyncpg.Pool, many: int, enterprise: EnterpriseId = HERE) -> list[dict[str, Any]]:
    """So many of all kinds and in all states, three at each second; as they are listed, the newest first."""
    await pool.execute(
        """
        INSERT INTO deliveries
               (enterprise_id, host, call_id, fact_key, kind, status, settled_at, created_at, last_answer)
        SELECT $1, 'pbx1', 'pbx1:' || n % 5, 'key ' || n, ($3::text[])[1 + n % 4]::delivery_kind,
               ($4::text[])[1 + n / 4 % 4]::delivery_status,
               CASE WHEN n / 4 % 4 > 0 THEN $5::timestamptz END,
               $5::timestamptz + n / 3 * interval '1 second', $1
          FROM generate_series(0, $2 - 1) AS n
        """,
        enterprise,
        many,
        KINDS,
        STATUSES,
        NOON,
    )
    rows = await pool.fetch(
        "SELECT id, call_id, kind::text, status::text, created_at FROM deliveries WHERE enterprise_id = $1"
        " ORDER BY created_at DESC, id DESC",
        enterprise,
    )
    return [dict(row) for row in rows]


FILTERS: Mapping[str, Callable[[dict[str, Any]], bool]] = {
    "": lambda one: True,
    "&status=parked": lambda one: one["status"] == "parked",
    "&kind=follow_up": lambda one: one["kind"] == "follow_up",
    "&status=sent&kind=history": lambda one: (one["status"], one["kind"]) == ("sent", "history"),
    "&call=pbx1:3": lambda one: one["call_id"] == "pbx1:3",
    "&call=pbx1:3&status=dropped&kind=popup": lambda one: (
        (one["call_id"], one["status"], one["kind"]) == ("pbx1:3", "dropped", "popup")
    ),
    "&call=nobody": lambda one: False,
    "&since=2026-03-10T12:00:10Z": lambda one: one["created_at"] >= NOON + timedelta(seconds=10),
    "&until=2026-03-10T15:00:10+03:00": lambda one: one["created_at"] < NOON + timedelta(seconds=10),
    "&since=2026-03-10T12:00:05Z&until=2026-03-10T12:00:05.000001Z&call=pbx1:0": lambda one: (
        one["created_at"] == NOON + timedelta(seconds=5) and one["call_id"] == "pbx1:0"
    ),
    "&since=2026-03-10T12:00:05Z&until=2026-03-10T12:00:04Z": lambda one: False,
}


class TestDeliveries:
    @pytest.mark.parametrize("limit", [1, 7, 200])
    async def test_each_that_fits_once_the_newest_first(self, door: Site, pool: asyncpg.Pool, limit: int) -> None:
        rows = await deliver(pool, 90)
        await deliver(pool, 30, THERE)
        for query, fits in FILTERS.items():
            wanted = [one["id"] for one in rows if fits(one)]
            if limit > 1 or len(wanted) < 30:
                found = await pages(door, "deliveries", f"limit={limit}{query}", "deliveries")
                assert [one["id"] for one in found] == wanted, query
                assert {one["answer"] for one in found} <= {HERE}

    async def test_one_as_it_is_kept(self, door: Site, pool: asyncpg.Pool) -> None:
        await write(pool, [record(CALL)])
        told = (await ask(door, "deliveries?kind=history")).json
        [one] = told["deliveries"]
        assert set(one) == set(DeliveryShape.model_fields)
        assert (one["call_id"], one["kind"], one["status"], one["settled_at"]) == (CALL, "history", "due", None)
        assert told["next"] is None
        assert one in (await ask(door, f"calls/{CALL}/deliveries")).json["deliveries"]

    async def test_what_settles_meanwhile_moves_nothing(self, door: Site, pool: asyncpg.Pool) -> None:
        rows = await deliver(pool, 30)
        first = (await ask(door, "deliveries?limit=10")).json
        await pool.execute("UPDATE deliveries SET status = 'parked', settled_at = now() WHERE id % 2 = 0")
        await pool.execute(
            "INSERT INTO deliveries (enterprise_id, host, call_id, fact_key, kind)"
            " VALUES ('0123', 'pbx1', 'x', 'new', 'popup')"
        )
        rest = (await ask(door, f"deliveries?limit=200&cursor={first['next']}")).json
        assert [one["id"] for one in [*first["deliveries"], *rest["deliveries"]]] == [one["id"] for one in rows]

    @pytest.mark.parametrize(
        "query",
        [
            "status=", "status=PARKED", "status=gone", "kind=call", "call=", "call=" + "1" * 201, "since=yesterday",
            "cursor=1", "cursor=~1", "cursor=1~", "cursor=1~a", "cursor=-1~1", "cursor=1~" + "9" * 19, "limit=0",
            "limit=201", "status=due&status=sent", "enterprise_id=0124", "id=1", "%00=1",
        ],
    )  # fmt: skip
    async def test_bad_input_is_refused(self, door: Site, query: str) -> None:
        assert is_error(await ask(door, f"deliveries?{query}"), 400, "bad_parameter")

    @pytest.mark.parametrize("query", ["call=%00", "call=%ED%A0%80", "call='--", f"cursor={'9' * 16}~{'9' * 18}"])
    async def test_odd_input_finds_nothing_else(self, door: Site, pool: asyncpg.Pool, query: str) -> None:
        await deliver(pool, 3)
        answer = await ask(door, f"deliveries?{query}")
        assert answer.status in (200, 400)
        assert "call" not in query or answer.status == 400 or answer.json["deliveries"] == []


class TestRequests:
    async def test_each_request_of_the_call_as_it_is_kept(self, door: Site, pool: asyncpg.Pool) -> None:
        await write(pool, [record(CALL)])
        other = replace(ASKED, calls=(CallId("pbx1:2.2"),))
        await CrmRequests(pool).record([ASKED, other, replace(ASKED, attempt=3, status=200, failure=None, answer="{}")])
        told = (await ask(door, f"calls/{CALL}/requests")).json
        first, second = told["requests"]
        assert told["next"] is None
        assert set(first) == set(RequestShape.model_fields)
        assert {name: first[name] for name in first if name != "id"} == {
            "at": "2026-03-10T12:00:01.000250+00:00",
            "verb": "POST",
            "address": "/api/v5/telephony/calls/upload",
            "calls": [CALL, "pbx1:2.2"],
            "deliveries": [3, 9_000_000_000],
            "attempt": 2,
            "http_status": None,
            "took_seconds": 1.2345,
            "failure": "no answer within 10 s",
            "verdict": "due",
            "next_attempt_at": "2026-03-10T12:00:09.000000+00:00",
            "request": 'calls=[{"phone":"+375•••••1234"}]',
            "answer": "",
        }
        assert (second["attempt"], second["http_status"], second["answer"]) == (3, 200, "{}")

    @pytest.mark.parametrize("limit", [1, 4, 200])
    async def test_pages_in_the_order_of_time(self, door: Site, pool: asyncpg.Pool, limit: int) -> None:
        await write(pool, [record(CALL)])
        await CrmRequests(pool).record([replace(ASKED, attempt=number) for number in range(9)])
        found = await pages(door, f"calls/{CALL}/requests", f"limit={limit}", "requests")
        assert [one["attempt"] for one in found] == list(range(9))

    async def test_each_enterprise_has_its_own(self, door: Site, pool: asyncpg.Pool) -> None:
        for number in (HERE, THERE):
            await write(pool, [record(CALL)], number)
        await CrmRequests(pool).record([replace(ASKED, enterprise=THERE, answer="theirs"), ASKED])
        for number, answer in ((HERE, ""), (THERE, "theirs")):
            [one] = (await ask(door, f"calls/{CALL}/requests", number)).json["requests"]
            assert one["answer"] == answer

    async def test_of_a_call_that_goes_on_and_of_none(self, door: Site, pool: asyncpg.Pool) -> None:
        await CrmRequests(pool).record([ASKED])
        assert is_error(await ask(door, f"calls/{CALL}/requests"), 404, "unknown_call")
        door.live_calls[HERE] = [live(CALL)]
        assert len((await ask(door, f"calls/{CALL}/requests")).json["requests"]) == 1
        assert is_error(await ask(door, f"calls/{CALL}/requests", THERE), 404, "unknown_call")

    @pytest.mark.parametrize("query", ["cursor=", "cursor=-1", "cursor=1~1", "cursor=" + "9" * 19, "limit=201", "a=1"])
    async def test_bad_input_is_refused(self, door: Site, query: str) -> None:
        assert is_error(await ask(door, f"calls/{CALL}/requests?{query}"), 400, "bad_parameter")


async def test_only_those_who_may_read_and_each_answer_is_written_down(door: Site, pool: asyncpg.Pool) -> None:
    await write(pool, [record(CALL)])
    for path in ("/api/v1/deliveries", f"/api/v1/calls/{CALL}/requests"):
        assert is_error(await door.ask(path), 401, "unauthorized")
        answer = await door.ask(path, headers={"Authorization": "Bearer client-of-0123"})
        assert is_error(answer, 403, "wrong_scope")
        assert is_error(await door.ask(path, "POST", headers=bearer()), 405, "method_not_allowed")
        assert (await door.ask(path, headers=bearer())).status == 200
    await ask(door, "deliveries?status=parked&limit=5")
    assert [(row.action, row.target, row.outcome) for row in door.trail._rows if row.who == "token 1"] == [
        ("deliveries.list", "", "done"),
        ("calls.requests", f"id={CALL}", "done"),
        ("deliveries.list", "status=parked limit=5", "done"),
    ]


async def test_a_database_that_is_away(way: Proxy) -> None:
    async with open_pool(way.dsn) as pool, serving(pool) as site:
        introduce(site)
        way.close()
        for path in ("deliveries", "deliveries?call=x", f"calls/{CALL}/requests"):
            assert is_error(await ask(site, path), 503, "database_away")
