"""Parking and fetching over HTTP: who may ask, for what, and what is answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from structlog.testing import capture_logs

from amibridge.calls.clicks import ClickRefused
from amibridge.calls.clicks import Why as Unasked
from amibridge.calls.parking import AskedToFetch, AskedToPark, Fetched, ParkedThere
from amibridge.calls.record import CallId, Extension
from amibridge.calls.transfers import TransferFailed, TransferRefused, Why
from amibridge.enterprises import ApiToken, Enterprise, Scope
from amibridge.store.tokens import digest_of
from tests.web.serving import Answer, Site
from tests.web.test_clicks import ONE, TWO

CALL, HOST, ANNA = CallId("pbx1:1795491044.6"), "10.0.0.5", Extension("101")
PARKED = ParkedThere(
    CALL, HOST, ANNA, "701", datetime(2026, 11, 25, 10, 0, 45, 250000, UTC), timedelta(milliseconds=4.2)
)
FETCHED = Fetched(CALL, HOST, ANNA, "701", timedelta(seconds=3))
REST = {"enterprise": "Ромашка", "enterprise_number": "0123", "host_ip": HOST, "call": CALL}
PARK = {"from_ext": "101", "clientId": "client-one"}
PICKUP = PARK | {"space": "701"}
WAYS = [("park", PARK), ("pickup", PICKUP)]


@dataclass
class Hands:
    """Who parks and fetches: as he is told."""

    fails: Exception | None = None
    parked: ParkedThere = PARKED
    fetched: Fetched = FETCHED
    asked: list[tuple[str, AskedToPark | AskedToFetch]] = field(default_factory=list)

    async def park(self, enterprise: Enterprise, asked: AskedToPark) -> ParkedThere:
        self._take(enterprise, asked)
        return self.parked

    async def fetch(self, enterprise: Enterprise, asked: AskedToFetch) -> Fetched:
        self._take(enterprise, asked)
        return self.fetched

    def _take(self, enterprise: Enterprise, asked: AskedToPark | AskedToFetch) -> None:
        self.asked.append((enterprise.id, asked))
        if self.fails is not None:
            raise self.fails


@pytest.fixture
def hands(site: Site) -> Hands:
    site.tenants.enterprises([ONE, TWO])
    hands = Hands()
    site.park, site.fetch = hands.park, hands.fetch
    return hands


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines
    assert not any(secret in str(lines) for secret in ("client-one", "client-two", "29123"))


async def ask(site: Site, way: str, query: dict[str, str], **more: Any) -> Answer:
    return await site.ask(f"/api/{way}?{urlencode(query)}", **more)


async def test_who_is_parked_is_told_where_and_until_when(site: Site, hands: Hands, lines: list[Any]) -> None:
    answer = await ask(site, "park", PARK | {"from_ext": " 101 ", "timeout": "45", "call": CALL, "display": "x"})
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    assert answer.json == REST | {
        "success": True, "message": "Parked", "from_ext": "101", "space": "701",
        "parked_until": "2026-11-25T10:00:45+00:00", "response_time_ms": 4.2,
    }  # fmt: skip
    assert hands.asked == [("0123", AskedToPark("101", "45", CALL))]
    hands.parked = replace(PARKED, until=None)
    assert (await ask(site, "park", PARK)).json["parked_until"] is None
    assert lines == []


@pytest.mark.parametrize(("name", "place"), [("space", "701"), ("target", "102")])
async def test_who_is_fetched_is_told_from_where(site: Site, hands: Hands, name: str, place: str) -> None:
    hands.fetched = replace(FETCHED, place=Extension(place))
    answer = await ask(site, "pickup", PARK | {name: place})
    assert answer.json == REST | {
        "success": True, "message": "Picked up", "from_ext": "101", name: place, "response_time_ms": 3000.0,
    }  # fmt: skip
    assert hands.asked == [("0123", AskedToFetch("101", **{name: place}))]


@pytest.mark.parametrize(("way", "query"), WAYS)
async def test_what_is_done_stands_in_the_audit(site: Site, hands: Hands, way: str, query: dict[str, str]) -> None:
    await ask(site, way, query)
    hands.fails = TransferRefused(Why.BUSY, "A sentence.")
    await ask(site, way, query)
    hands.fails = TransferFailed("pbx1: it is away")
    await ask(site, way, query)
    done = {"park": (f"{CALL}: 101 at 701", "parked"), "pickup": (f"{CALL}: 101 from 701", "picked_up")}
    assert [(row.enterprise, row.who, row.action, row.target, row.outcome) for row in site.trail._rows] == [
        ("0123", "client_id", way, *done[way]), ("0123", "client_id", way, "", "busy"),
        ("0123", "client_id", way, "", "failed"),
    ]  # fmt: skip


@pytest.mark.parametrize(("way", "query"), WAYS)
async def test_a_token_needs_the_scope(site: Site, hands: Hands, way: str, query: dict[str, str]) -> None:
    tokens = {"hush-call": frozenset({Scope.CALL}), "hush-read": frozenset(Scope) - {Scope.CALL}}
    made = tuple(ApiToken(at, digest_of(one), scopes) for at, (one, scopes) in enumerate(tokens.items(), 1))
    site.tenants.enterprises([replace(ONE, tokens=made), TWO])
    assert (await ask(site, way, query | {"clientId": "hush-call"})).status == 200
    answer = await ask(site, way, query | {"clientId": "hush-read"})
    assert (answer.status, answer.json["error"], len(hands.asked)) == (403, "wrong_scope", 1)


@pytest.mark.parametrize(("way", "query"), WAYS)
async def test_each_enterprise_is_asked_for_its_own(site: Site, hands: Hands, way: str, query: dict[str, str]) -> None:
    await ask(site, way, query | {"clientId": "client-two"})
    assert [who for who, _ in hands.asked] == ["0124"]


@pytest.mark.parametrize(("way", "query"), WAYS)
@pytest.mark.parametrize("name", ["from_ext", "clientId"])
async def test_what_is_missing_or_empty_is_said(
    site: Site, hands: Hands, way: str, query: dict[str, str], name: str
) -> None:
    missing = await ask(site, way, {key: value for key, value in query.items() if key != name})
    assert (missing.status, [one["loc"] for one in missing.json["detail"]]) == (422, [["query", name]])
    assert (await ask(site, way, query | {name: " "})).status == 400
    assert hands.asked == []


@pytest.mark.parametrize(("way", "query"), WAYS)
async def test_strangers_learn_nothing(
    site: Site, hands: Hands, lines: list[Any], way: str, query: dict[str, str]
) -> None:
    answer = await ask(site, way, query | {"clientId": "client-three", "timeout": "x" * 4096})
    assert (answer.status, answer.json) == (401, {"detail": "Invalid clientId"})
    assert hands.asked == []
    assert [line["event"] for line in lines] == ["api_request_refused"]


@pytest.mark.parametrize(("way", "query"), WAYS)
async def test_only_what_somebody_means_is_done(site: Site, hands: Hands, way: str, query: dict[str, str]) -> None:
    assert (await ask(site, way, query, headers={"Sec-Purpose": "prefetch"})).json["error"] == "prefetch"
    assert (await ask(site, way, query, method="HEAD")).status == 405
    assert (await ask(site, way, query, method="POST")).status == 405
    assert hands.asked == []


@pytest.mark.parametrize(("way", "query"), WAYS)
async def test_refusals_and_failures_have_the_legacy_shape(
    site: Site, hands: Hands, lines: list[Any], way: str, query: dict[str, str]
) -> None:
    hands.fails = TransferRefused(Why.GONE, "A sentence.")
    answer = await ask(site, way, query)
    assert (answer.status, answer.json) == (409, {"detail": "A sentence.", "error": "gone_meanwhile"})
    hands.fails = TransferFailed("pbx1: it is away")
    answer = await ask(site, way, query)
    said = "Parking failed" if way == "park" else "Pickup failed"
    assert (answer.status, answer.json) == (500, {"detail": f"{said}: pbx1: it is away"})
    assert lines == []
    hands.fails = ClickRefused(Unasked.UNKNOWN_EXTENSION, "A sentence.", smells=True)
    for _ in range(3):
        answer = await ask(site, way, query | {"from_ext": "101\r\nAction: Hangup"})
        assert (answer.status, answer.json) == (400, {"detail": "A sentence.", "error": "unknown_extension"})
    [line] = lines
    assert (line["event"], line["enterprise"], line["way"]) == ("call_request_suspicious", "0123", way)
