"""How often an account is really asked: turns, answers that are awaited, and requests that a library would repeat."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from amibridge.enterprises import Account
from amibridge.redact import Secret
from amibridge.retailcrm.client import CrmSettings, open_crm
from amibridge.retailcrm.errors import CrmUnreachable
from amibridge.retailcrm.limits import Rate
from amibridge.retailcrm.phone_lookup import telephony_manager
from amibridge.retailcrm.requests import EventType, LimitClass, Request, call_event, credentials
from tests.delivery.waiting import until
from tests.retailcrm.samples import KEY
from tests.retailcrm.test_client import EVENT, content, crm_at

SLOW = CrmSettings(
    rates={
        LimitClass.TELEPHONY: Rate(3, timedelta(milliseconds=300), unanswered=9),
        LimitClass.ORDINARY: Rate(1, timedelta(seconds=60), unanswered=9),
    }
)


async def test_requests_beyond_the_rate_wait_their_turn_in_order() -> None:
    arrived: list[tuple[float, str]] = []

    async def note(request: web.Request) -> web.Response:
        arrived.append((asyncio.get_running_loop().time(), str((await request.post())["event"])))
        return web.json_response({"success": True})

    requests = [call_event(type=EventType.IN, phone=str(n), codes=["1"]) for n in range(9)]
    async with crm_at(note) as url, open_crm(SLOW) as crm:
        account = Account(url, Secret(KEY))
        await asyncio.gather(*(crm.send(account, request) for request in requests))
    times = sorted(at for at, _ in arrived)
    assert times[-1] - times[0] > 0.5
    by_turn = [{int(said.split('"')[3]) for _, said in sorted(arrived)[turn : turn + 3]} for turn in (0, 3, 6)]
    assert by_turn == [{0, 1, 2}, {3, 4, 5}, {6, 7, 8}]


async def test_classes_and_accounts_have_rates_of_their_own() -> None:
    async with crm_at(content) as url, open_crm(SLOW) as crm:
        account = Account(url, Secret(KEY))
        other = replace(account, api_key=Secret("another-" + KEY))
        async with asyncio.timeout(10):
            await crm.send(account, credentials())
            await crm.send(other, credentials())
            await crm.send(account, EVENT)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await crm.send(replace(account, url=url + "/"), credentials())


async def test_a_caller_who_gives_up_waiting_costs_nobody_a_turn() -> None:
    arrived = 0

    async def count(_: web.Request) -> web.Response:
        nonlocal arrived
        arrived += 1
        return web.json_response({"success": True})

    async with crm_at(count) as url, open_crm(SLOW) as crm:
        account = Account(url, Secret(KEY))
        async with asyncio.TaskGroup() as tasks:
            sent = [tasks.create_task(crm.send(account, EVENT), name=f"send {n}") for n in range(6)]
            await asyncio.sleep(0)  # one step each: three are under way, the fourth waits for its time
            sent[3].cancel()
        assert arrived == 5
        assert [task.cancelled() for task in sent] == [False, False, False, True, False, False]


@pytest.mark.parametrize(("question", "most"), [(EVENT, 8), (credentials(), 2)])
async def test_no_more_is_unanswered_than_the_limits_reckon_with(question: Request[Any], most: int) -> None:
    """Whoever asks: two enterprises of one account, popups, history and errands together."""
    held, leave = 0, asyncio.Event()

    async def hold(_: web.Request) -> web.Response:
        nonlocal held
        held += 1
        await leave.wait()
        return web.json_response({"success": True})

    async with crm_at(hold) as url, open_crm(CrmSettings()) as crm, asyncio.TaskGroup() as tasks:
        account = Account(url, Secret(KEY))
        for n in range(most + 3):
            tasks.create_task(crm.send(account, question), name=f"ask {n}")
        await until(lambda: held == most)
        await asyncio.sleep(0.6)  # longer than two turns take: the others had theirs, were it not for the answers
        assert held == most
        leave.set()
    assert held == most + 3


async def test_a_request_on_a_connection_that_was_closed_meanwhile_is_not_repeated_unseen() -> None:
    """aiohttp does that with a GET: it would be one request more than was counted."""
    asked: list[str] = []

    async def once_then_close(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        if len(asked) == 2:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"success": True})

    async with crm_at(once_then_close) as url, open_crm(CrmSettings()) as crm:
        account, lookup = Account(url, Secret(KEY)), telephony_manager("+79161234567")
        await crm.send(account, lookup)
        with pytest.raises(CrmUnreachable):
            await crm.send(account, lookup)
        assert len(asked) == 2
        await crm.send(account, lookup)
