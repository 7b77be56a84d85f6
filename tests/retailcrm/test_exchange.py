"""Whoever listens at the client hears of every request, however it ended, without the key and without its end."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from amibridge.calls.record import CallId
from amibridge.enterprises import Account, EnterpriseId
from amibridge.redact import Secret
from amibridge.retailcrm.client import CrmSettings, RetailCrm, open_crm
from amibridge.retailcrm.errors import CrmBroken, CrmBusy, CrmError, CrmLockedOut, CrmUnreachable
from amibridge.retailcrm.exchange import HEARD_MAX, SENT_MAX, Exchange, Occasion, occasion
from amibridge.retailcrm.history import customers_history, orders_history
from amibridge.retailcrm.requests import EventType, Request, call_event, credentials
from tests.retailcrm.test_client import crm_at

KEY = "key-of-the-exchange"
EVENT = call_event(type=EventType.IN, phone="+79161234567", codes=["101"])
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def account(url: str, key: str = KEY) -> Account:
    return Account(url, Secret(key), enterprise=EnterpriseId("0123"))


async def heard_of(crm: RetailCrm, heard: list[Exchange], url: str, request: Request[Any]) -> Exchange:
    said = None
    try:
        await crm.send(account(url), request)
    except CrmError as error:
        said = str(error)
    assert heard[-1].failure == said
    return heard[-1]


def saying(status: int, body: str) -> Any:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=body, content_type="application/json")

    return answer


@pytest.mark.parametrize(
    ("status", "body", "failure"),
    [
        (200, '{"success":true}', None),
        (503, "busy", CrmBusy),
        (200, "{", CrmBroken),
        (403, '{"success":false,"errorMsg":"Wrong \\"apiKey\\" value."}', CrmLockedOut),
    ],
)
async def test_each_answer_is_heard_of(status: int, body: str, failure: type[CrmError] | None) -> None:
    heard: list[Exchange] = []
    async with crm_at(saying(status, body)) as url, open_crm(CrmSettings(), tap=heard.append) as crm:
        one = await heard_of(crm, heard, url, EVENT)
    assert len(heard) == 1
    assert (one.enterprise, one.method, one.address) == ("0123", "POST", "/api/v5/telephony/call/event")
    assert (one.status, one.heard.decode(), one.failure is None) == (status, body, failure is None)
    assert one.sent.startswith(b"event=%7B")
    assert timedelta() < one.took < timedelta(seconds=30)
    assert abs(one.began - datetime.now(UTC)) < timedelta(minutes=1)


async def test_a_crm_that_is_not_there_is_heard_of(unused_tcp_port: int) -> None:
    heard: list[Exchange] = []
    async with open_crm(CrmSettings(), tap=heard.append) as crm:
        with pytest.raises(CrmUnreachable):
            await crm.send(account(f"http://127.0.0.1:{unused_tcp_port}"), EVENT)
    assert (heard[0].status, heard[0].heard, "cannot be reached" in str(heard[0].failure)) == (None, b"", True)


async def test_whoever_gives_up_is_heard_of() -> None:
    asked, heard = asyncio.Event(), list[Exchange]()

    async def hang(_: web.Request) -> web.Response:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with crm_at(hang) as url, open_crm(CrmSettings(), tap=heard.append) as crm, asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(crm.send(account(url), EVENT), name="asking")
        await asked.wait()
        asking.cancel()
    assert [one.failure for one in heard] == ["the answer was awaited no longer"]


async def test_what_is_not_asked_is_not_heard_of() -> None:
    heard: list[Exchange] = []
    async with open_crm(CrmSettings(), tap=heard.append) as crm:
        for url, key in (("ftp://shop", KEY), ("https://shop.example", "")):
            with pytest.raises(CrmLockedOut):
                await crm.send(account(url, key), EVENT)
    assert heard == []


async def test_bodies_are_kept_up_to_a_bound_and_without_the_key() -> None:
    heard: list[Exchange] = []
    body = f'{{"success":true,"said":"{KEY}","more":"{"x" * HEARD_MAX}"}}'
    request = call_event(type=EventType.IN, phone="+79161234567", codes=[str(code) for code in range(SENT_MAX)])
    async with crm_at(saying(200, body)) as url, open_crm(CrmSettings(), tap=heard.append) as crm:
        one = await heard_of(crm, heard, url, request)
    assert (len(one.heard), len(one.sent)) == (HEARD_MAX, SENT_MAX)
    assert KEY.encode() not in one.heard
    assert b"******" in one.heard


@pytest.mark.parametrize("asked", [customers_history(since_id=1), orders_history(start=NOON)])
@pytest.mark.parametrize(
    ("body", "news"),
    [
        ('{"success":true,"history":[],"pagination":{"totalPageCount":0}}', False),
        ('{"success":true,"history":[{"id":7,"customer":{"id":1},"order":{"id":1}}]}', True),
        ('{"success":true,"history":[{"nobody":1}]}', True),
        ('{"success":false,"errorMsg":"Errors in the input parameters"}', True),
    ],
)
async def test_a_poll_that_brought_nothing_is_no_news(asked: Request[Any], body: str, news: bool) -> None:
    heard: list[Exchange] = []
    async with crm_at(saying(200, body)) as url, open_crm(CrmSettings(), tap=heard.append) as crm:
        assert (await heard_of(crm, heard, url, asked)).news is news


async def test_other_questions_are_always_news() -> None:
    heard: list[Exchange] = []
    async with crm_at(saying(200, '{"success":true}')) as url, open_crm(CrmSettings(), tap=heard.append) as crm:
        assert (await heard_of(crm, heard, url, credentials())).news


async def test_each_task_asks_on_its_own_occasion() -> None:
    heard: list[Exchange] = []

    async def tell(crm: RetailCrm, url: str, call: str) -> None:
        with Occasion((CallId(call),), attempt=2).surrounding():
            await crm.send(account(url), EVENT)
            await crm.send(account(url), credentials())
            told = occasion()
            assert told is not None
            told.decided("sent", 1, None)

    async with crm_at(saying(200, '{"success":true}')) as url, open_crm(CrmSettings(), tap=heard.append) as crm:
        async with asyncio.TaskGroup() as tasks:
            for call in ("a", "b", "c"):
                tasks.create_task(tell(crm, url, call), name=call)
        await crm.send(account(url), EVENT)
    told = [(tuple(one.occasion.calls), one.method, one.verdict) for one in heard[:-1]]
    assert sorted(told, key=repr) == sorted(
        ((call,), *how) for call in "abc" for how in (("GET", "sent"), ("POST", None))
    )
    assert tuple(heard[-1].occasion.calls) == ()


def test_a_verdict_about_nothing_that_was_asked_is_none() -> None:
    Occasion().decided("dropped", 1, None)
