"""Who may: tokens, client ids, scopes, limits; and what is written of it."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from amibridge.enterprises import ApiToken, EnterpriseId, Scope
from amibridge.store.audit import AuditRow, AuditTrail
from amibridge.store.db import open_pool
from amibridge.store.tokens import digest_of
from amibridge.web import access
from amibridge.web.access import Gate
from amibridge.web.answers import identified
from amibridge.web.tenants import Tenants
from amibridge.web.visitors import ADDRESS_OF, address_of
from tests.store.enterprises import romashka
from tests.web.serving import Answer, Site, serving
from tests.web.test_answers import is_error, logged  # noqa: F401

HERE, THERE = EnterpriseId("0123"), EnterpriseId("0124")
YESTERDAY, TOMORROW = (datetime.now(UTC) + timedelta(days=days) for days in (-1, 1))
TOKENS = {
    "hush-read": ApiToken(1, digest_of("hush-read"), frozenset({Scope.READ})),
    "hush-all": ApiToken(2, digest_of("hush-all"), frozenset(Scope), TOMORROW),
    "hush-old": ApiToken(3, digest_of("hush-old"), frozenset(Scope), YESTERDAY),
}
THEIRS = ApiToken(1, digest_of("hush-there"), frozenset(Scope))


@pytest.fixture
async def pool() -> AsyncIterator[asyncpg.Pool]:
    """Nothing here asks a database."""
    async with open_pool("postgresql://127.0.0.1:1/absent") as pool:
        yield pool


class Door:
    """A site with a route for each scope, and what it noted."""

    def __init__(self, site: Site, tenants: Tenants, trail: AuditTrail) -> None:
        self.site, self.tenants, self.trail = site, tenants, trail

    @property
    def rows(self) -> list[AuditRow]:
        return list(self.trail._rows)

    async def knock(self, token: str | None, scope: str = "read", *, of: str = "", query: str = "") -> Answer:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return await self.site.ask(f"/probe/{scope}{query}", headers=headers | ({"X-Forwarded-For": of} if of else {}))


@pytest.fixture
async def door(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    """As many at once as there are, and then hardly any: no test hangs on how fast the machine is."""
    for name in ("OF_CREDENTIAL", "GUESSES"):
        monkeypatch.setattr(access, name, (0.001, getattr(access, name)[1]))
    tenants, trail = Tenants(), AuditTrail(pool, room=500)
    tenants.enterprises(
        [replace(romashka(), tokens=tuple(TOKENS.values())), replace(romashka(THERE), tokens=(THEIRS,))]
    )
    gate = Gate(tenants, trail)

    async def probe(request: web.Request) -> web.Response:
        caller = gate.admit(request, Scope(request.match_info["scope"]), request.query.get("clientId"))
        caller.did("probe", "a thing", "done")
        return web.json_response({"enterprise": caller.enterprise.id, "who": caller.who})

    app = web.Application(middlewares=[identified])
    app[ADDRESS_OF] = address_of(["127.0.0.1"])
    app.router.add_get("/probe/{scope}", probe)
    async with serving(pool, app) as site:
        yield Door(site, tenants, trail)


@pytest.fixture
def lines() -> Iterator[list[dict[str, object]]]:
    with capture_logs() as lines:
        yield lines  # type: ignore[misc]


async def test_a_token_opens_its_enterprise_and_its_scopes(door: Door) -> None:
    answer = await door.knock("hush-read")
    assert (answer.status, answer.json) == (200, {"enterprise": HERE, "who": "token 1"})
    assert (await door.knock("hush-there")).json == {"enterprise": THERE, "who": "token 1"}
    for scope in Scope:
        assert (await door.knock("hush-all", scope)).status == 200
    for scope in set(Scope) - {Scope.READ}:
        assert is_error(await door.knock("hush-read", scope), 403, "wrong_scope")


async def test_a_client_id_calls_and_does_nothing_else(door: Door) -> None:
    for token, query in (("client-of-0123", ""), (None, "?clientId=client-of-0123")):
        assert (await door.knock(token, "call", query=query)).json == {"enterprise": HERE, "who": "client_id"}
    for scope in set(Scope) - {Scope.CALL}:
        assert is_error(await door.knock("client-of-0123", scope), 403, "wrong_scope")


async def test_a_token_may_stand_where_the_client_id_stood(door: Door) -> None:
    answer = await door.knock(None, "supervise", query="?clientId=hush-all")
    assert answer.json == {"enterprise": HERE, "who": "token 2"}


@pytest.mark.parametrize(
    "token",
    ["hush-rea", "hush-read-", "HUSH-READ", "0123", "token 1", "'; --", "%00", "x" * 7000, "hush-webhook-secret"],
)
async def test_what_is_not_known_opens_nothing_and_leaves_no_row(door: Door, token: str) -> None:
    answer = await door.knock(token)
    assert is_error(answer, 401, "unknown_token")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert door.rows == []


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer  ", "Basic aHVzaC1yZWFk", "hush-read", "Bearerhush-read"])
async def test_nothing_presented_is_said_to_be_missing(door: Door, header: str) -> None:
    assert is_error(await door.site.ask("/probe/read", headers={"Authorization": header}), 401, "unauthorized")


async def test_what_has_expired_opens_nothing_and_is_written_down(door: Door) -> None:
    assert is_error(await door.knock("hush-old"), 401, "token_expired")
    [row] = door.rows
    assert (row.enterprise, row.who, row.action, row.outcome) == (HERE, "token 3", "read", "token_expired")


async def test_two_are_good_at_once_and_one_that_was_revoked_is_gone(door: Door) -> None:
    assert {(await door.knock(token)).status for token in ("hush-read", "hush-all")} == {200}
    door.tenants.enterprises([replace(romashka(), tokens=(TOKENS["hush-all"],))])
    assert is_error(await door.knock("hush-read"), 401, "unknown_token")
    assert (await door.knock("hush-all")).status == 200


async def test_the_audit_says_who_from_where_what_and_how_it_ended(door: Door) -> None:
    answer = await door.knock("hush-read", of="6.6.6.6, 198.51.100.7")
    await door.knock("hush-read", "call", of="198.51.100.7")
    done, refused = door.rows
    assert done.at - datetime.now(UTC) < timedelta(minutes=1)
    assert replace(done, at=TOMORROW) == AuditRow(
        HERE, TOMORROW, "token 1", "198.51.100.7", "probe", "a thing", "done", answer.headers["X-Request-ID"]
    )
    assert (refused.action, refused.target, refused.outcome) == ("call", "/probe/{scope}", "wrong_scope")


async def test_nothing_is_done_that_cannot_be_written_down(door: Door) -> None:
    for _ in range(500):
        door.trail.note(AuditRow(HERE, TOMORROW, "", "", "", "", ""))
    answer = await door.knock("hush-read")
    assert is_error(answer, 503, "audit_unavailable")
    assert answer.headers["Retry-After"] == "5"
    assert len(door.trail) == 500


async def test_a_token_has_its_own_pace_and_the_others_go_on(door: Door) -> None:
    answers = [await door.knock("hush-read", of=f"198.51.100.{number}") for number in range(101)]
    assert [answer.status for answer in answers] == [200] * 100 + [429]
    hasty = answers[100]
    assert is_error(hasty, 429, "too_many_requests")
    assert int(hasty.headers["Retry-After"]) >= 1
    assert (await door.knock("hush-all")).status == 200


async def test_whoever_guesses_is_slowed_down_and_his_neighbours_are_not(
    door: Door, lines: list[dict[str, object]]
) -> None:
    statuses = [(await door.knock(f"guess-{number}", of="203.0.113.9")).status for number in range(60)]
    assert statuses == [401] * 20 + [429] * 40
    assert is_error(await door.knock("hush-read", of="203.0.113.9"), 429, "too_many_requests")
    assert (await door.knock("hush-read", of="203.0.113.10")).status == 200
    said = [line for line in lines if line["event"] in ("api_request_refused", "api_request_limited")]
    assert len(said) <= 4  # together, not one by one
    assert said[0]["peer"] == "203.0.113.9"


async def test_no_credential_is_ever_logged_or_written(door: Door, logged: io.StringIO) -> None:  # noqa: F811
    for token in ("hush-read", "hush-old", "hush-nobody", "client-of-0123"):
        await door.knock(token, "supervise")
        await door.knock(None, "supervise", query=f"?clientId={token}")
    written = logged.getvalue() + repr(door.rows)
    assert "api_request_refused" in written
    for token in ("hush", "client-of"):
        assert token not in written


async def test_no_page_of_another_origin_is_let_in(door: Door) -> None:
    answer = await door.site.ask("/probe/read", headers={"Origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    assert (await door.site.ask("/probe/read", "OPTIONS", headers={"Origin": "https://evil.example"})).status == 405


async def test_a_bridge_that_has_just_begun_says_so_and_calls_no_token_unknown(pool: asyncpg.Pool) -> None:
    async with serving(pool) as site:
        for _ in range(100):
            answer = await site.ask("/api/v1/calls", headers={"Authorization": "Bearer hush-read"})
            assert (answer.status, answer.json["error"]) == (503, "starting"), "nor is it a guess"
            assert answer.headers["Retry-After"] == "1"
        site.tenants.enterprises([])
        assert (await site.ask("/api/v1/calls", headers={"Authorization": "Bearer hush-read"})).status == 401
