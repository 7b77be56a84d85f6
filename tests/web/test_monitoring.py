"""Listening in over HTTP: who may, for what, and what is answered and written down."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import asyncpg
import pytest
from structlog.testing import capture_logs

from amibridge.calls.clicks import ClickRefused
from amibridge.calls.clicks import Why as Unasked
from amibridge.calls.monitoring import Begun, Mode, MonitoringFailed, MonitoringRefused, Wanted, Why
from amibridge.calls.record import CallId, Extension
from amibridge.enterprises import ApiToken, Enterprise, Scope
from amibridge.store.tokens import digest_of
from tests.web.serving import Answer, Site
from tests.web.test_clicks import ONE, TWO

HUNDRED, TOKEN, OLD, READS = Extension("100"), "amibridge_supervise", "amibridge_old", "amibridge_read"
BEGUN = Begun(
    Mode.WHISPER, CallId("pbx1:1795491044.6"), "PJSIP/101-0000001c", "10.0.0.5", Extension("101"), HUNDRED,
    timedelta(milliseconds=4.2),
)  # fmt: skip
BODY = {
    "success": True, "action": "01", "action_name": "Подсказка оператору", "mode": "whisper", "target": "101",
    "monitor_from": "100", "target_channel": "PJSIP/101-0000001c", "enterprise": "Ромашка",
    "enterprise_number": "0123", "host_ip": "10.0.0.5", "response_time_ms": 4.2, "call": "pbx1:1795491044.6",
}  # fmt: skip

SUPERVISED = replace(
    ONE,
    supervisors=(HUNDRED,),
    tokens=(
        ApiToken(1, digest_of(TOKEN), frozenset({Scope.SUPERVISE})),
        ApiToken(2, digest_of(OLD), frozenset({Scope.SUPERVISE}), datetime(2026, 1, 1, tzinfo=UTC)),
        ApiToken(3, digest_of(READS), frozenset({Scope.READ, Scope.CALL, Scope.RECORDINGS})),
    ),
)


@dataclass
class Ears:
    """Who lets phones listen in: as he is told."""

    answers: Begun | Exception = BEGUN
    wanted: list[tuple[str, Wanted]] = field(default_factory=list)

    async def __call__(self, enterprise: Enterprise, wanted: Wanted) -> Begun:
        self.wanted.append((enterprise.id, wanted))
        if isinstance(self.answers, Exception):
            raise self.answers
        return self.answers


@pytest.fixture
def ears(site: Site) -> Ears:
    site.tenants.enterprises([SUPERVISED, TWO])
    site.monitor = ears = Ears()
    return ears


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines
    assert not any(secret in str(lines) for secret in ("client-one", "client-two", TOKEN))


def asked(**changes: str) -> dict[str, str]:
    return {"action": "01", "target": "101", "monitor_from": "100", "clientId": "client-one"} | changes


async def ask(site: Site, query: dict[str, str], **more: Any) -> Answer:
    return await site.ask(f"/api/monitor?{urlencode(query)}", **more)


async def audited(site: Site, pool: asyncpg.Pool) -> list[tuple[str, ...]]:
    """Who, action, target, outcome of all that was done."""
    stop = asyncio.Event()
    stop.set()
    await site.trail.write(stop)
    rows = await pool.fetch("SELECT who, action, target, outcome FROM audit ORDER BY id")
    return [tuple(row) for row in rows]


@pytest.mark.parametrize(
    ("action", "mode"),
    [
        ("09", Mode.LISTEN), ("listen", Mode.LISTEN), ("01", Mode.WHISPER), ("whisper", Mode.WHISPER),
        ("02", Mode.BARGE), ("barge", Mode.BARGE),
    ],
)  # fmt: skip
async def test_the_answer_says_who_hears_whom(
    site: Site, ears: Ears, lines: list[Any], action: str, mode: Mode
) -> None:
    answer = await ask(site, asked(action=action, target=" 101 ", call="pbx1:1.1"))
    assert (answer.status, answer.json, answer.headers["Cache-Control"]) == (200, BODY, "no-store")
    assert ears.wanted == [("0123", Wanted(mode, "101", "100", "pbx1:1.1"))]
    assert lines == []


async def test_a_client_id_is_good_where_extensions_are_named_and_a_token_with_the_scope_always(
    site: Site, ears: Ears, pool: asyncpg.Pool
) -> None:
    assert (await ask(site, asked())).status == 200
    assert (await ask(site, asked(clientId=TOKEN))).status == 200
    site.tenants.enterprises([replace(SUPERVISED, supervisors=()), TWO])
    assert (await ask(site, asked(clientId=TOKEN))).status == 200
    refused = await ask(site, asked())
    assert (refused.status, refused.json["error"]) == (403, "wrong_scope")
    assert [who for who, _ in ears.wanted] == ["0123"] * 3
    assert (await audited(site, pool))[-1] == ("client_id", "supervise", "/api/monitor", "wrong_scope")


@pytest.mark.parametrize(
    ("secret", "status", "error"),
    [("client-two", 403, "wrong_scope"), (READS, 403, "wrong_scope"), (OLD, 401, None), ("client-three", 401, None)],
)
async def test_who_may_not_is_kept_out(site: Site, ears: Ears, secret: str, status: int, error: str | None) -> None:
    for action in ("09", "nonsense"):
        answer = await ask(site, asked(clientId=secret, action=action))
        assert (answer.status, answer.json.get("error")) == (status, error)
    assert ears.wanted == []


@pytest.mark.parametrize("name", ["action", "target", "monitor_from", "clientId"])
async def test_what_is_missing_or_empty_is_said(site: Site, ears: Ears, name: str) -> None:
    missing = await ask(site, {key: value for key, value in asked().items() if key != name})
    assert (missing.status, [one["loc"] for one in missing.json["detail"]]) == (422, [["query", name]])
    assert (await ask(site, asked(**{name: " "}))).status == 400
    assert ears.wanted == []


@pytest.mark.parametrize("action", ["03", "9", "Listen", "bqw", "09\r\nAction: Hangup", "09,o", "x" * 4096])
async def test_other_actions_are_refused_and_never_repeated(site: Site, ears: Ears, action: str) -> None:
    answer = await ask(site, asked(action=action))
    assert (answer.status, answer.json["error"]) == (400, "unknown_action")
    assert "Hangup" not in answer.json["detail"]
    assert len(answer.json["detail"]) < 100
    assert ears.wanted == []


async def test_only_what_somebody_means_rings(site: Site, ears: Ears) -> None:
    assert (await ask(site, asked(), headers={"Sec-Purpose": "prefetch"})).json["error"] == "prefetch"
    assert (await ask(site, asked(), headers={"Purpose": "prefetch"})).status == 400
    for method in ("HEAD", "POST", "PUT", "OPTIONS"):
        assert (await ask(site, asked(), method=method)).status == 405
    assert ears.wanted == []


async def test_of_what_is_given_twice_the_last_counts_for_all_alike(site: Site, ears: Ears) -> None:
    """So that nobody is let in for one thing and asks for another."""
    query = urlencode(asked()) + "&monitor_from=102&clientId=client-three"
    assert (await site.ask(f"/api/monitor?{query}")).status == 401
    assert ears.wanted == []


@pytest.mark.parametrize("why", Why)
async def test_every_refusal_has_a_status_a_code_and_a_row(
    site: Site, ears: Ears, pool: asyncpg.Pool, why: Why
) -> None:
    ears.answers = MonitoringRefused(why, "A sentence.")
    answer = await ask(site, asked())
    assert answer.status in (400, 403, 404, 409)
    assert (answer.status == 404) is (why is Why.NO_CALL)
    assert (answer.status == 403) is (why is Why.NOT_A_SUPERVISOR)
    assert answer.json == {"detail": "A sentence.", "error": why}
    assert await audited(site, pool) == [("client_id", "monitor", "100 on 101", why)]


async def test_what_smells_is_told_once_and_not_written_down(
    site: Site, ears: Ears, pool: asyncpg.Pool, lines: list[Any]
) -> None:
    ears.answers = ClickRefused(Unasked.UNKNOWN_EXTENSION, "A sentence.", smells=True)
    for target in ("101\r\nAction: Hangup", "${SHELL(id)}", "101\0", "1" * 4096):
        answer = await site.ask(f"/api/monitor?{urlencode(asked() | {'target': ''})}&target={quote(target)}")
        assert (answer.status, answer.json) == (400, {"detail": "A sentence.", "error": "unknown_extension"})
    [line] = lines
    assert (line["event"], line["enterprise"], line["way"]) == ("call_request_suspicious", "0123", "monitor")
    assert set(await audited(site, pool)) == {("client_id", "monitor", "", "unknown_extension")}


async def test_what_was_begun_is_a_row(site: Site, ears: Ears, pool: asyncpg.Pool) -> None:
    await ask(site, asked(clientId=TOKEN))
    assert await audited(site, pool) == [("token 1", "monitor", "pbx1:1795491044.6: 100 on 101", "whisper")]


async def test_a_failure_is_a_legacy_500(site: Site, ears: Ears, pool: asyncpg.Pool) -> None:
    ears.answers = MonitoringFailed("pbx1: Permission denied")
    answer = await ask(site, asked())
    assert (answer.status, answer.json) == (500, {"detail": "Monitoring failed: pbx1: Permission denied"})
    assert await audited(site, pool) == [("client_id", "monitor", "100 on 101", "failed")]
