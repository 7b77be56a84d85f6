"""`/health`: alive as long as the loop turns, ready as long as the database answers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from amibridge.enterprises import CrmStanding, HistoryStanding, HostStanding, LinkState, WebhookStanding
from amibridge.store.ledger import HeardFact, Ledger
from amibridge.store.outbox import Outbox
from amibridge.web.health import AT_MOST
from tests.delivery.rows import ended, record
from tests.runtime.following import host_at
from tests.store.proxy import Proxy
from tests.web.serving import Answer, Site

NOW = datetime.now(UTC)
WITHIN = 3.0
"""Seconds: whoever asks for health has a timeout of his own."""


def standing(state: LinkState, reason: str | None = None) -> HostStanding:
    return HostStanding(host_at(("10.0.0.5", 5038), "pbx1"), state, NOW, reason, "11.0.0", 17, 2)


async def first_that_knows(site: Site) -> Answer:
    """That the database is away. What it answered a moment ago may still be told."""
    async with asyncio.timeout(AT_MOST + WITHIN):
        while (answer := await site.ask("/health/ready")).status != 503:
            await asyncio.sleep(0.05)
        return answer


async def test_alive(site: Site) -> None:
    answer = await site.ask("/health/live")
    assert (answer.status, answer.json) == (200, {"status": "live"})


async def test_ready_tells_each_thing_we_depend_on(site: Site, pool: asyncpg.Pool) -> None:
    host = host_at(("10.0.0.5", 5038), "pbx1")
    fact = ended(record("pbx1:1.1"))
    await Ledger(pool).record([HeardFact(host.enterprise, host.name, fact, NOW)])
    site.standings = [standing(LinkState.UP), standing(LinkState.REFUSED, "Authentication failed")]
    site.crms = [CrmStanding(host.enterprise, "paused", NOW, "Access denied.")]
    site.histories = [
        HistoryStanding(host.enterprise, "customers", NOW, None),
        HistoryStanding(host.enterprise, "orders", None, "Access denied."),
    ]
    site.webhooks = [WebhookStanding(host.enterprise, "erp", "paused", NOW, "410")]
    site.queue.put(HeardFact(host.enterprise, host.name, fact, NOW))
    site.stall = timedelta(milliseconds=12.34)
    answer = await site.ask("/health/ready")
    assert answer.status == 200
    told = dict(answer.json)
    [due, *rest] = told.pop("deliveries")
    at = NOW.isoformat(timespec="seconds")
    assert told == {
        "status": "ready",
        "database": {"state": "up"},
        "hosts": [
            {
                "enterprise": "0123",
                "host": "pbx1",
                "state": state,
                "since": at,
                "reason": reason,
                "ami": "11.0.0",
                "events": 17,
                "garbled": 2,
            }
            for state, reason in (("up", None), ("refused", "Authentication failed"))
        ],
        "enterprises": [
            {
                "enterprise": "0123",
                "crm": {"state": "paused", "since": at, "reason": "Access denied."},
            }
        ],
        "histories": [
            {"enterprise": "0123", "history": "customers", "read_at": at, "reason": None},
            {"enterprise": "0123", "history": "orders", "read_at": None, "reason": "Access denied."},
        ],
        "webhooks": [
            {"enterprise": "0123", "webhook": "erp", "state": "paused", "since": at, "reason": "410"},
        ],
        "facts_waiting": 1,
        "longest_stall_ms": 12.3,
    }
    assert rest == []
    assert (due["enterprise"], due["webhook"], due["status"], due["rows"]) == ("0123", None, "due", 3)
    assert datetime.fromisoformat(due["oldest"]) == NOW.replace(microsecond=0)


async def test_a_pbx_that_is_away_does_not_make_the_bridge_unready(site: Site) -> None:
    site.standings = [standing(LinkState.UNREACHABLE, "Connection refused")]
    answer = await site.ask("/health/ready")
    assert (answer.status, answer.json["status"]) == (200, "ready")


async def test_no_secret_of_a_host_is_told(site: Site) -> None:
    site.standings = [replace(standing(LinkState.UP), host=host_at(("10.0.0.5", 5038)))]
    answer = await site.ask("/health/ready")
    assert site.standings[0].host.secret.encode() not in answer.body


async def test_a_database_that_is_gone_is_said_in_time(far_site: Site, way: Proxy) -> None:
    assert (await far_site.ask("/health/ready")).status == 200
    way.close()
    answer = await first_that_knows(far_site)
    assert (answer.json["status"], answer.json["database"]["state"]) == ("not_ready", "away")
    assert answer.json["database"]["reason"]
    assert answer.json["deliveries"] == []
    assert (await far_site.ask("/health/live")).status == 200


async def test_a_database_that_says_nothing_any_more_is_said_in_time(far_site: Site, way: Proxy) -> None:
    """A cable that was pulled: connections stay, and nobody answers on them."""
    assert (await far_site.ask("/health/ready")).status == 200
    way.silent = True
    await first_that_knows(far_site)
    for _ in range(3):
        async with asyncio.timeout(WITHIN):
            answer = await far_site.ask("/health/ready")
        assert answer.status == 503
        assert answer.json["database"] == {"state": "away", "reason": "no answer within 2 s"}
    assert (await far_site.ask("/health/live")).status == 200


async def test_health_comes_back_with_the_database(site: Site, pool: asyncpg.Pool) -> None:
    await pool.execute("ALTER TABLE deliveries RENAME TO deliveries_away")
    answer = await site.ask("/health/ready")
    assert (answer.status, answer.json["database"]["state"]) == (503, "away")
    await pool.execute("ALTER TABLE deliveries_away RENAME TO deliveries")
    assert (await site.ask("/health/ready")).status == 200


async def test_however_many_ask_the_database_is_asked_by_one_of_them_at_a_time(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody may ask, and a long backlog is long to count: a crowd would keep facts from being written."""
    asked, at_once, most, backlogs = 0, 0, 0, Outbox.backlogs

    async def slowly(outbox: Outbox, within: timedelta) -> object:
        nonlocal asked, at_once, most
        asked, at_once = asked + 1, at_once + 1
        most = max(most, at_once)
        await asyncio.sleep(0.3)
        at_once -= 1
        return await backlogs(outbox, within)

    monkeypatch.setattr(Outbox, "backlogs", slowly)
    for _ in range(3):
        answers = await asyncio.gather(*(site.ask("/health/ready") for _ in range(40)))
        assert {answer.status for answer in answers} == {200}
    assert most == 1
    assert asked < 6


async def test_a_database_that_is_away_is_said_to_a_whole_crowd_in_time(far_site: Site, way: Proxy) -> None:
    way.silent = True
    async with asyncio.timeout(2 * WITHIN):
        answers = await asyncio.gather(*(far_site.ask("/health/ready") for _ in range(30)))
    assert {answer.status for answer in answers} == {503}
