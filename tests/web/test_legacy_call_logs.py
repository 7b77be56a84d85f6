"""`/api/calllogs`: some days of calls in the older service's words, for those who may read."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import aiohttp
import asyncpg
import pytest

from amibridge.calls.record import Direction, Extension, Outcome
from amibridge.enterprises import ApiToken, Scope
from amibridge.store.tokens import digest_of
from amibridge.web import legacy_call_logs
from tests.delivery.rows import record
from tests.store.enterprises import romashka
from tests.store.proxy import Proxy
from tests.web.api_calls import HERE, THERE, live, token_of, write
from tests.web.serving import Answer, Site

pytestmark = pytest.mark.postgres

MINSK = ZoneInfo("Europe/Minsk")
NOT_READING = ApiToken(2, digest_of("hush-calls"), frozenset(Scope) - {Scope.READ})


def introduce(site: Site) -> None:
    site.tenants.enterprises(
        replace(romashka(one), tokens=(ApiToken(1, digest_of(token_of(one)), frozenset({Scope.READ})), NOT_READING))
        for one in (HERE, THERE)
    )


@pytest.fixture
def door(site: Site) -> Site:
    introduce(site)
    return site


def asked(**changes: str) -> dict[str, str]:
    return {"start": "2026-03-10", "end": "2026-03-10", "clientId": token_of(HERE)} | changes


async def ask(site: Site, query: dict[str, str] | None = None, **more: Any) -> Answer:
    return await site.ask(f"/api/calllogs?{urlencode(asked() if query is None else query)}", **more)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=MINSK).astimezone(UTC)


async def test_a_call_in_the_words_that_its_readers_know(door: Site, pool: asyncpg.Pool) -> None:
    one = record("pbx1:1795491044.6", at=at("2026-03-10 15:00:40"))
    incoming = replace(one, operators=(Extension("101"), Extension("102")), talked=timedelta(seconds=30.6))
    await write(pool, [incoming])
    door.live_calls[HERE] = [live("pbx1:9.9", at("2026-03-10 16:00:00"), "101")]
    answer = await ask(door, asked(page="2"))
    assert answer.status == 200
    assert (answer.headers["Content-Type"], answer.headers["Cache-Control"]) == (
        "application/json; charset=utf-8",
        "no-store",
    )
    assert answer.json == [
        {
            "CallLogId": "pbx1:1795491044.6",
            "Start": "2026-03-10 15:00:00",
            "End": "2026-03-10 15:00:40",
            "Duration": 31,
            "Destination": "102",
            "CallerId": "+79161234567",
            "UniqueId": "1795491044.6",
            "CallStatusId": 2,
            "CallType": 0,
            "TrunkName": "74951110001",
        }
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"outcome": Outcome.MISSED, "operators": (), "rang": (Extension("103"), Extension("104")), "line": None},
            {"CallStatusId": 1, "Destination": "103", "TrunkName": "", "CallType": 0},
        ),
        ({"operators": (), "rang": (), "external_number": None}, {"Destination": "", "CallerId": ""}),
        (
            {"direction": Direction.OUTGOING, "caller": Extension("101"), "outcome": Outcome.BUSY},
            {"CallType": 1, "CallerId": "101", "Destination": "+79161234567", "CallStatusId": 1},
        ),
        (
            {"direction": Direction.INTERNAL, "caller": Extension("101"), "operators": (Extension("102"),)},
            {"CallType": 2, "CallerId": "101", "Destination": "102", "CallStatusId": 2},
        ),
    ],
)
async def test_who_called_whom(door: Site, pool: asyncpg.Pool, changes: dict[str, Any], told: dict[str, Any]) -> None:
    await write(pool, [replace(record("pbx1:1.1"), **changes)])
    [row] = (await ask(door)).json
    assert {name: row[name] for name in told} == told


async def test_days_are_those_of_the_enterprise(door: Site, pool: asyncpg.Pool) -> None:
    begun = {"before": "2026-03-09 23:59:59", "first": "2026-03-10 00:00:00", "last": "2026-03-11 23:59:59"}
    begun["after"] = "2026-03-12 00:00:00"
    await write(pool, [replace(record(f"pbx1:{name}"), started_at=at(time)) for name, time in begun.items()])
    rows = (await ask(door, asked(end="2026-03-11"))).json
    assert [(row["UniqueId"], row["Start"]) for row in rows] == [(name, begun[name]) for name in ("last", "first")]
    assert [row["UniqueId"] for row in (await ask(door, asked(start="2026-03-12", end="2026-03-12"))).json] == ["after"]


async def test_an_hour_that_comes_twice_is_listed_once_and_a_short_day_is_whole(door: Site, pool: asyncpg.Pool) -> None:
    door.zones[HERE] = ZoneInfo("Europe/Warsaw")
    midnight = datetime(2026, 10, 24, 22, tzinfo=UTC)
    hours = [midnight + timedelta(hours=hour, minutes=30) for hour in range(26)]
    await write(pool, [replace(record(f"pbx1:{hour:%d%H}"), started_at=hour) for hour in hours])
    rows = (await ask(door, asked(start="2026-10-25", end="2026-10-25"))).json
    assert [row["Start"][11:13] for row in rows].count("02") == 2
    assert len(rows) == 25


async def test_each_enterprise_has_its_own(door: Site, pool: asyncpg.Pool) -> None:
    await write(pool, [record("pbx1:1.1")], HERE)
    await write(pool, [record("pbx1:1.1"), record("pbx1:2.2")], THERE)
    assert len((await ask(door)).json) == 1
    assert len((await ask(door, asked(clientId=token_of(THERE)))).json) == 2


@pytest.mark.parametrize("many", [0, 1, 6, 7, 8, 23])
async def test_however_many_there_are_each_is_told_once(
    door: Site, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr(legacy_call_logs, "PIECE", 7)
    begun = at("2026-03-10 10:00:00")
    await write(
        pool, [replace(record(f"pbx1:{n:02}"), started_at=begun + timedelta(seconds=n // 3)) for n in range(many)]
    )
    assert [row["UniqueId"] for row in (await ask(door)).json] == [f"{n:02}" for n in reversed(range(many))]


async def test_a_client_id_is_told_how_to_have_a_token_made(door: Site) -> None:
    answer = await ask(door, asked(clientId="client-of-0123"))
    assert (answer.status, answer.json["error"]) == (403, "wrong_scope")
    assert "amibridge token add 0123 --scope read" in answer.json["detail"]
    assert (await ask(door, asked(clientId="hush-calls"))).json["error"] == "wrong_scope"
    assert [row.outcome for row in door.trail._rows] == ["wrong_scope"] * 2


async def test_whoever_is_not_known_learns_nothing(door: Site) -> None:
    for client in ("0123", "hush", "' OR 1=1", "\0", "9" * 4000):
        answer = await ask(door, asked(clientId=client, start="nonsense"))
        assert (answer.status, answer.json) == (401, {"detail": "Invalid clientId"})
    assert len(door.trail) == 0


@pytest.mark.parametrize("name", ["start", "end", "clientId"])
async def test_what_is_missing_or_empty_is_refused_as_ever(door: Site, name: str) -> None:
    missing = await ask(door, {key: value for key, value in asked().items() if key != name})
    assert missing.status == 422
    assert missing.json["detail"] == [
        {"type": "missing", "loc": ["query", name], "msg": "Field required", "input": None}
    ]
    empty = await ask(door, asked(**{name: " "}))
    assert (empty.status, empty.json) == (400, {"detail": "start, end and clientId must not be empty"})


@pytest.mark.parametrize(
    "day",
    [
        "2026-3-1", "2026-02-30", "20260301", "2026-W10-1", "01.03.2026", "2026-03-10T00:00:00", "2026-03-10 ; --",
        "٢٠٢٦-٠٣-١٠", "0000-01-01", "-001-01-01", "${EXTEN}-01-01", "2026-03-10\r\n2026-03-10", "\0", "9" * 4000,
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["start", "end"])
async def test_what_is_no_date_is_refused(door: Site, name: str, day: str) -> None:
    answer = await ask(door, asked(**{name: day}))
    assert (answer.status, answer.json["error"]) == (400, "bad_date")
    assert answer.json["detail"] == "start and end must be dates as 2026-11-25"
    [row] = door.trail._rows
    assert (row.action, row.target, row.outcome) == ("calls.logs", "", "bad_date")


@pytest.mark.parametrize(
    ("start", "end", "error"),
    [
        ("2026-03-10", "2026-03-09", "range_refused"),
        ("2026-01-01", "2026-02-01", "range_refused"),
        ("0001-01-01", "9999-12-31", "range_refused"),
        ("0001-01-01", "0001-01-01", "bad_date"),
        ("9999-12-31", "9999-12-31", "bad_date"),
    ],
)
async def test_days_that_are_too_many_or_nobodys(door: Site, start: str, end: str, error: str) -> None:
    answer = await ask(door, asked(start=start, end=end))
    assert (answer.status, answer.json["error"]) == (400, error)
    assert (await ask(door, asked(start="2026-01-01", end="2026-01-31"))).status == 200


async def test_only_a_get_asks(door: Site) -> None:
    for method in ("HEAD", "POST", "PUT"):
        assert (await ask(door, method=method)).status == 405


async def test_local_times_need_a_zone(door: Site) -> None:
    door.zones[HERE] = None
    answer = await ask(door)
    assert (answer.status, answer.json["error"], answer.headers["Retry-After"]) == (503, "zone_unknown", "5")


async def test_a_database_that_is_away_is_said(way: Proxy, far_site: Site) -> None:
    introduce(far_site)
    assert (await ask(far_site)).json == []
    way.close()
    answer = await ask(far_site)
    assert (answer.status, answer.json["error"], answer.headers["Retry-After"]) == (503, "database_away", "5")
    assert [row.outcome for row in far_site.trail._rows] == ["done", "database_away"]


async def test_what_cannot_be_read_to_its_end_is_not_taken_for_the_whole(
    way: Proxy, far_site: Site, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    introduce(far_site)
    monkeypatch.setattr(legacy_call_logs, "PIECE", 5)
    await write(pool, [record(f"pbx1:{number}") for number in range(20)])
    asked_for = legacy_call_logs.CallLogs._read

    async def away_at_the_second(self: legacy_call_logs.CallLogs, behind: Any) -> Any:
        if behind.call == "pbx1:5":
            way.close()
        return await asked_for(self, behind)

    monkeypatch.setattr(legacy_call_logs.CallLogs, "_read", away_at_the_second)
    with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError, json.JSONDecodeError)):
        await ask(far_site)
