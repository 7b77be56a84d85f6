"""A receiver is told one ping; what waits for it, and what was given up, is told by its reasons."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest
from aiohttp import web

from amibridge.doctor import ledger, webhooks
from amibridge.doctor.findings import Level
from amibridge.enterprises import EnterpriseId
from amibridge.store.outbox import DeliveryStatus, Outbox, Settlement
from amibridge.store.survey import Survey
from tests.delivery.rows import ended, record
from tests.delivery.webhooks.desk import Desk, webhook
from tests.delivery.webhooks.receiver import Receiver, Told
from tests.doctor.looking import all_of, unwell
from tests.store.said import started

pytestmark = pytest.mark.postgres

ONE = EnterpriseId("0001")


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver().serve() as receiver:
        yield receiver


async def test_a_ping_that_is_taken_says_nothing_else(receiver: Receiver) -> None:
    [found] = await all_of(webhooks.receiver(ONE, webhook("erp", receiver.url)))
    assert (found.level, found.about, found.found) == (Level.OK, "webhook erp", "127.0.0.1 takes what we sign (204)")
    [told] = receiver.told
    assert receiver.forged == []
    assert told.id.startswith("ping_")
    assert {**told.event, "at": ""} == {"event": "ping", "at": "", "enterprise": "0001"}


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "compare the secret there with the one in the file"),
        (410, "take it out of the file, or give it its new address; until then it is asked once an hour"),
        (302, "it sends us elsewhere, where we do not go: write the address itself into the file"),
        (404, "look whether the address is the right one, and at the receiver's log"),
        (500, "look whether it runs, at its log, and at names, certificates and firewalls in between"),
    ],
)
async def test_a_ping_that_is_not_taken_says_what_to_do(receiver: Receiver, status: int, advice: str) -> None:
    async def answer(told: Told) -> web.Response:
        return web.Response(status=status)

    receiver.answer = answer
    [found] = await all_of(webhooks.receiver(ONE, webhook("erp", receiver.url)))
    assert (found.level, found.advice) == (Level.FAIL, advice)
    assert found.found == f"127.0.0.1 did not take a ping: {status}"


async def test_numbers_in_the_clear_are_warned_of_and_nobody_there_is_said(unused_tcp_port: int) -> None:
    found = await all_of(webhooks.receiver(ONE, webhook("erp", f"http://nobody.invalid:{unused_tcp_port}/")))
    assert unwell(found) == [
        (
            Level.WARN,
            "webhook erp",
            "nobody.invalid is told of calls in the clear: whoever listens on the way reads numbers",
        ),
        (Level.FAIL, "webhook erp", "nobody.invalid did not take a ping: its name has no address"),
    ]


async def test_what_waits_and_what_is_parked_is_told_and_the_crms_apart(
    pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    desk, outbox, survey = Desk(pool), Outbox(pool), Survey(pool)
    erp = webhook("erp", "http://127.0.0.1:9/")
    await desk.apply({ONE: (erp, webhook("dwh", erp.url))})
    [found] = await all_of(webhooks.events(ONE, erp, outbox, survey))
    assert (found.level, found.found) == (Level.OK, "none was told yet")

    desk.clock.ahead = -timedelta(hours=3)
    rows = await desk.record(ONE, started("pbx:1"), ended(record("pbx:1")))
    first, second = [row.id for row in rows if row.webhook == "erp"]
    await outbox.settle([Settlement(ONE, first, DeliveryStatus.PARKED, None, 3, "given up after an hour: 404")])
    await outbox.settle([Settlement(ONE, second, DeliveryStatus.DUE, rows[0].due_at, 3, "503: not now")])
    assert unwell(await all_of(webhooks.events(ONE, erp, outbox, survey))) == [
        (Level.WARN, "events for erp", "1 parked, the oldest made 3 h ago: given up after an hour: 404"),
        (
            Level.FAIL,
            "events for erp",
            "1 wait, the oldest since 3 h ago; of the newest the receiver said: 503: not now",
        ),
    ]
    await pool.execute("UPDATE deliveries SET status = 'sent', settled_at = now() WHERE webhook = ''")
    assert unwell(await all_of(ledger.deliveries(ONE, outbox, survey))) == [], "the CRM's are well"
