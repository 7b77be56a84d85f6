"""`/api/v1/calls`: the records as they are, each enterprise its own, page by page, live ones in their place."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest

from amibridge.calls.model import Presence
from amibridge.calls.parties import Party, Side
from amibridge.calls.record import CallId, CallRecord, Extension, Outcome
from amibridge.store.db import open_pool
from amibridge.web import access
from amibridge.web.api.shapes import AttemptShape, CallShape, DeliveryShape
from tests.delivery.rows import NOON, record
from tests.store.proxy import Proxy
from tests.web.api_calls import HERE, THERE, all_pages, ask, bearer, introduce, live, some, whole, write
from tests.web.serving import Site, serving
from tests.web.test_answers import is_error

pytestmark = pytest.mark.postgres


@pytest.fixture(autouse=True)
def _unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of pages are turned here; how many may be asked for is not the question."""
    for name in ("OF_ADDRESS", "OF_CREDENTIAL"):
        monkeypatch.setattr(access, name, (1e6, 1_000_000))


@pytest.fixture
def door(site: Site) -> Site:
    introduce(site)
    return site


class TestRecords:
    async def test_a_record_is_told_field_by_field_as_it_was(self, door: Site, pool: asyncpg.Pool) -> None:
        await write(pool, [whole()])
        answer = await ask(door)
        assert (answer.status, answer.json["next"]) == (200, None)
        told = json.loads(json.dumps(whole().as_json()))
        assert answer.json["calls"] == [told]
        assert set(told) == {field.alias or name for name, field in CallShape.model_fields.items()}

    async def test_one_call_with_its_attempts_and_deliveries(self, door: Site, pool: asyncpg.Pool) -> None:
        await write(pool, [whole()])
        answer = await door.ask("/api/v1/calls/pbx1:1.1", headers=bearer())
        assert answer.status == 200
        assert {name: answer.json[name] for name in whole().as_json()} == json.loads(json.dumps(whole().as_json()))
        [attempt] = answer.json["attempts"]
        assert (attempt["extension"], attempt["outcome"], set(attempt)) == (
            "101",
            "answered",
            set(AttemptShape.model_fields),
        )
        kinds = [one["kind"] for one in answer.json["deliveries"]]
        assert "history" in kinds
        assert set(answer.json["deliveries"][0]) == set(DeliveryShape.model_fields)
        alone = await door.ask("/api/v1/calls/pbx1:1.1/deliveries", headers=bearer())
        assert alone.json == {"deliveries": answer.json["deliveries"]}

    async def test_a_call_that_goes_on(self, door: Site) -> None:
        door.live_calls[HERE] = [live("pbx1:9.9", NOON, "101")]
        door.parties[HERE, CallId("pbx1:9.9")] = [
            Party(Side.OPERATOR, Extension("101"), Presence.UP),
            Party(Side.CUSTOMER, None, Presence.RINGING),
        ]
        answer = await door.ask("/api/v1/calls/pbx1:9.9", headers=bearer())
        assert answer.json["parties"] == [
            {"side": "operator", "extension": "101", "presence": "up"},
            {"side": "customer", "extension": None, "presence": "ringing"},
        ]
        assert (answer.json["outcome"], answer.json["ended_at"], answer.json["rang"]) == (None, None, ["101"])
        assert is_error(await door.ask("/api/v1/calls/pbx1:9.9", headers=bearer(THERE)), 404, "unknown_call")

    async def test_a_call_that_is_over_and_not_written_yet(self, door: Site) -> None:
        door.live_calls[HERE] = [whole()]
        answer = await door.ask("/api/v1/calls/pbx1:1.1", headers=bearer())
        assert (answer.json["outcome"], answer.json["parties"]) == ("answered", [])
        assert [one["call_id"] for one in (await ask(door, "?live=false")).json["calls"]] == ["pbx1:1.1"]
        assert (await ask(door, "?live=true")).json["calls"] == []

    @pytest.mark.parametrize(
        "id", ["pbx1:2.2", "%00", "%ED%A0%80", "..", "%2e%2e%2f", "'--", "x" * 201, "%F0%9F%92%A9"]
    )
    async def test_what_is_no_call(self, door: Site, id: str) -> None:
        for path in (f"/api/v1/calls/{id}", f"/api/v1/calls/{id}/deliveries"):
            answer = await door.ask(path, headers=bearer())
            assert (answer.status, answer.json["success"]) in ((404, False), (400, False)), path


async def test_two_enterprises_with_everything_alike_never_see_each_other(door: Site, pool: asyncpg.Pool) -> None:
    await write(pool, [record("pbx1:1.1", at=NOON)], HERE)
    await write(pool, [record("pbx1:1.1", at=NOON + timedelta(days=1)), record("pbx1:3.3")], THERE)
    door.live_calls[THERE] = [live("pbx1:1.2", NOON, "101")]
    await pool.execute("UPDATE calls SET caller_name = enterprise_id")
    await pool.execute("UPDATE deliveries SET last_answer = enterprise_id")
    for mine, calls in ((HERE, {"pbx1:1.1"}), (THERE, {"pbx1:1.1", "pbx1:3.3", "pbx1:1.2"})):
        for query in ("", "?operator=101", "?phone=%2B79161234567", "?direction=incoming", "?limit=1", "?live=true"):
            told = (await ask(door, query, mine)).json["calls"]
            assert {one["call_id"] for one in told} <= calls
            assert {one["caller_name"] for one in told} <= {mine, None}
        assert {one["call_id"] for one in (await ask(door, "", mine)).json["calls"]} == calls
        one = (await door.ask("/api/v1/calls/pbx1:1.1", headers=bearer(mine))).json
        assert one["caller_name"] == mine
        assert {delivery["answer"] for delivery in one["deliveries"]} == {mine}
    assert is_error(await door.ask("/api/v1/calls/pbx1:3.3", headers=bearer(HERE)), 404, "unknown_call")


MANY = some(120)
FILTERS: dict[str, Callable[[CallRecord], bool]] = {
    "": lambda one: True,
    "&outcome=missed": lambda one: one.outcome == "missed",
    "&direction=outgoing": lambda one: one.direction == "outgoing",
    "&direction=internal&outcome=busy": lambda one: one.direction == "internal" and one.outcome == "busy",
    "&direction=incoming&outcome=busy": lambda one: False,
    "&operator=103": lambda one: "103" in one.operators,
    "&operator=103&outcome=missed": lambda one: "103" in one.operators and one.outcome == "missed",
    "&operator=nobody": lambda one: False,
    "&phone=%2B79160000003": lambda one: one.phone == "+79160000003",
    "&phone=+79160000003": lambda one: one.phone == "+79160000003",
    "&phone=%2B79160000003&operator=101": lambda one: one.phone == "+79160000003" and "101" in one.operators,
    "&since=2026-03-10T12:00:10Z": lambda one: one.started_at >= NOON + timedelta(seconds=10),
    "&until=2026-03-10T15:00:10+03:00": lambda one: one.started_at < NOON + timedelta(seconds=10),
    "&since=2026-03-10T12:00:05Z&until=2026-03-10T12:00:05.000001Z&live=false": lambda one: (
        one.started_at == NOON + timedelta(seconds=5)
    ),
}


class TestPages:
    @pytest.mark.parametrize("limit", [1, 7, 200])
    async def test_every_call_that_fits_once_the_newest_first(self, door: Site, pool: asyncpg.Pool, limit: int) -> None:
        await write(pool, MANY)
        await write(pool, some(30), THERE)
        for query, fits in FILTERS.items():
            wanted = sorted((one for one in MANY if fits(one)), key=lambda one: (one.started_at, one.call_id))
            if limit > 1 or len(wanted) < 40:
                assert await all_pages(door, query, limit) == [one.call_id for one in reversed(wanted)], query

    async def test_a_call_keeps_its_place_when_it_ends(self, door: Site, pool: asyncpg.Pool) -> None:
        await write(pool, MANY[:30])
        door.live_calls[HERE] = [live("pbx1:live", NOON + timedelta(seconds=5, microseconds=1), "101")]
        before = await all_pages(door, "", 4)
        door.live_calls.clear()
        await write(pool, [*MANY[:30], *[_ended(live("pbx1:live", NOON + timedelta(seconds=5, microseconds=1)))]])
        assert await all_pages(door, "", 4) == before
        assert before.count("pbx1:live") == 1

    async def test_what_comes_meanwhile_moves_nothing(self, door: Site, pool: asyncpg.Pool) -> None:
        await write(pool, MANY[:30])
        first = (await ask(door, "?limit=10")).json
        await write(pool, [record("pbx1:new", at=NOON + timedelta(days=1))])
        second = (await ask(door, f"?limit=200&cursor={first['next']}")).json
        seen = [one["call_id"] for one in [*first["calls"], *second["calls"]]]
        assert seen == [one.call_id for one in sorted(MANY[:30], key=_place, reverse=True)]

    async def test_only_live_or_only_over(self, door: Site, pool: asyncpg.Pool) -> None:
        await write(pool, MANY[:3])
        door.live_calls[HERE] = [live("pbx1:a", NOON, "101"), live("pbx1:b", NOON, "102")]
        assert await all_pages(door, "&live=true", 1) == ["pbx1:b", "pbx1:a"]
        assert await all_pages(door, "&live=true&operator=101", 1) == ["pbx1:a"]
        assert await all_pages(door, "&live=true&outcome=missed", 1) == []
        assert len(await all_pages(door, "&live=false", 2)) == 3


def _place(one: CallRecord) -> tuple[object, str]:
    return one.started_at, one.call_id


def _ended(one: CallRecord) -> CallRecord:
    return replace(one, outcome=Outcome.MISSED, ended_at=NOON + timedelta(minutes=1))


class TestRefusals:
    @pytest.mark.parametrize(
        "query",
        [
            "limit=0", "limit=201", "limit=-1", "limit=1e2", "limit=%D9%A3", "limit=", "limit=1&limit=2",
            "limit=9999999",
            "live=1", "live=yes", "live=TRUE", "direction=in", "outcome=", "outcome=Missed", "phone=", "phone=101a",
            "phone=" + "1" * 5000, "phone=%00", "since=2026-11-25", "since=1795491044", "since=2026-02-30T00:00:00Z",
            "since=2026-11-25T10:00:00", "since=0000-01-01T00:00:00Z", "until=9999-12-31T23:59:59-14:00", "until=now",
            "cursor=x", "cursor=~", "cursor=1~", "cursor=-1~a", "cursor=1~%00", "operator=", "operator=" + "1" * 201,
            "nonsense=1", "id=pbx1:1.1", "clientId=hush-0123", "%00=1", "since[]=1", "limit%5B%5D=1",
        ],
    )  # fmt: skip
    async def test_bad_input_is_named_and_never_repeated(self, door: Site, query: str) -> None:
        answer = await ask(door, f"?{query}")
        assert is_error(answer, 400, "bad_parameter"), answer.body
        assert b"hush" not in answer.body
        assert b"9999" not in answer.body
        [row] = door.trail._rows
        assert (row.outcome, row.target) == ("bad_parameter", "")

    async def test_without_a_token_nothing_is_read(self, door: Site) -> None:
        for path in ("/api/v1/calls", "/api/v1/calls/x", "/api/v1/calls/x/deliveries"):
            assert is_error(await door.ask(f"{path}?limit=nonsense"), 401, "unauthorized")
            answer = await door.ask(path, headers={"Authorization": "Bearer client-of-0123"})
            assert is_error(answer, 403, "wrong_scope")
            assert is_error(await door.ask(path, "POST", headers=bearer()), 405, "method_not_allowed")

    async def test_a_database_that_is_away(self, way: Proxy) -> None:
        async with open_pool(way.dsn) as pool, serving(pool) as site:
            introduce(site)
            way.close()
            answer = await ask(site)
            assert is_error(answer, 503, "database_away")
            assert answer.headers["Retry-After"] == "5"
            assert [row.outcome for row in site.trail._rows] == ["database_away"]


async def test_the_audit_says_what_was_asked_for(door: Site, pool: asyncpg.Pool) -> None:
    await write(pool, [whole()])
    answer = await ask(door, "?operator=101&limit=5")
    await door.ask("/api/v1/calls/pbx1:1.1", headers=bearer())
    await door.ask("/api/v1/calls/pbx1:2.2", headers=bearer())
    rows = list(door.trail._rows)
    assert [(row.who, row.action, row.target, row.outcome) for row in rows] == [
        ("token 1", "calls.list", "operator=101 limit=5", "done"),
        ("token 1", "calls.show", "id=pbx1:1.1", "done"),
        ("token 1", "calls.show", "id=pbx1:2.2", "unknown_call"),
    ]
    assert rows[0].request == answer.headers["X-Request-ID"]
