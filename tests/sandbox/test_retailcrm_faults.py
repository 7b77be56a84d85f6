"""Each fault of the sandbox CRM is what it says, for the requests it was given for, and for no other."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal, get_args

import aiohttp
import pytest

from amibridge.sandbox.crm_faults import (
    BadGateway,
    Busy,
    Cut,
    Fault,
    Faults,
    Hang,
    Held,
    Nonsense,
    Partly,
    Slow,
    TelephonyOff,
    Torn,
    WrongKey,
)
from amibridge.sandbox.retailcrm import SandboxCrm
from tests.delivery.waiting import until
from tests.sandbox.crm_asker import EVENT, KEY, OTHER_KEY, UPLOAD, Asker, finished, ringing, romashka, sandbox_crm

VERSIONS = "/api/api-versions"
KEYED = {"X-API-KEY": KEY}
ALL: tuple[Fault, ...] = (
    *(Busy(), BadGateway(), Nonsense(), Hang(), Cut(), Torn(), Partly(1), Held(asyncio.Event()), Slow(0.0)),
    *(WrongKey(), TelephonyOff()),
)


async def upload(asker: Asker) -> tuple[int, dict[str, str], bytes]:
    form = {"calls": json.dumps([finished()])}
    async with asker.session.post(asker.url + UPLOAD, data=form, headers={"X-API-KEY": KEY}) as response:
        return response.status, dict(response.headers), await response.read()


@asynccontextmanager
async def given_up(asker: Asker) -> AsyncIterator[asyncio.Task[Any]]:
    """An upload on which a fault has begun, and whose asker has no more patience in the end."""
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(upload(asker), name="an impatient asker")
        await until(lambda: not asker.crm.faults)
        yield asking
        asking.cancel()


def stored(asker: Asker) -> int:
    return len(asker.crm.accounts[0].calls)


def test_every_fault_is_tried_here() -> None:
    assert {type(fault) for fault in ALL} == set(get_args(Fault))


@pytest.mark.parametrize(("after", "header"), [(None, None), (7, "7"), ("Tue, 24 Nov 2026 09:00:00 GMT",) * 2])
async def test_busy_is_503_with_or_without_a_time_to_come_back(
    asker: Asker, after: int | str | None, header: str | None
) -> None:
    asker.crm.faults.give(Busy(after))
    status, headers, body = await upload(asker)
    assert (status, headers.get("Retry-After")) == (503, header)
    assert json.loads(body)["success"] is False
    assert stored(asker) == 0
    assert asker.crm.violations == []
    assert json.loads(await asker.text("/state.json"))["counters"]["refused"] == 0


async def test_bad_gateway_is_a_page_for_people(asker: Asker) -> None:
    asker.crm.faults.give(BadGateway())
    status, headers, body = await upload(asker)
    assert (status, headers["Content-Type"].partition(";")[0]) == (502, "text/html")
    assert body.startswith(b"<html>")
    assert stored(asker) == 0


@pytest.mark.parametrize("fault", [Nonsense(), Nonsense("{not json"), Nonsense("")])
async def test_nonsense_is_a_200_that_means_nothing(asker: Asker, fault: Nonsense) -> None:
    asker.crm.faults.give(fault)
    status, headers, body = await upload(asker)
    assert (status, headers["Content-Type"].partition(";")[0]) == (200, "application/json")
    assert body.decode() == fault.body
    assert stored(asker) == 0


@pytest.mark.parametrize("done", [False, True])
async def test_hang_never_answers_and_may_have_done_what_was_asked(asker: Asker, done: bool) -> None:
    asker.crm.faults.give(Hang(done))
    async with given_up(asker) as asking:
        assert (await asker.get(VERSIONS))[0] == 200
        assert not asking.done()
        assert stored(asker) == done
    assert asker.crm.requests[0].status is None
    assert (await upload(asker))[0] == 200


@pytest.mark.parametrize("done", [False, True])
async def test_cut_ends_the_connection_and_may_have_done_what_was_asked(asker: Asker, done: bool) -> None:
    asker.crm.faults.give(Cut(done))
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await upload(asker)
    assert stored(asker) == done
    assert asker.crm.requests[-1].status is None
    assert json.loads((await upload(asker))[2])["processedCallsCount"] == (not done)


@pytest.mark.parametrize("done", [False, True])
async def test_torn_is_half_an_answer_and_may_have_done_what_was_asked(asker: Asker, done: bool) -> None:
    asker.crm.faults.give(Torn(done))
    async with asker.session.post(asker.url + UPLOAD, data={"calls": json.dumps([finished()])}, headers=KEYED) as half:
        assert half.status == 200
        with pytest.raises(aiohttp.ClientError):
            await half.read()
    assert stored(asker) == done
    assert asker.crm.requests[-1].status is None


@pytest.mark.parametrize("status", [200, 460])
async def test_partly_takes_the_first_calls_and_says_how_many(asker: Asker, status: Literal[200, 460]) -> None:
    asker.crm.faults.give(Partly(1, status))
    form = {"calls": json.dumps([finished(externalId="taken"), finished(externalId="left")])}
    async with asker.session.post(asker.url + UPLOAD, data=form, headers=KEYED) as response:
        assert response.status == status
        said = json.loads(await response.text())
    assert (said["success"], said["processedCallsCount"]) == (status == 200, 1)
    assert [call.external_id for call in asker.crm.accounts[0].calls] == ["taken"]


@pytest.mark.parametrize("done", [False, True])
async def test_held_answers_rightly_when_it_is_let_go(asker: Asker, done: bool) -> None:
    released = asyncio.Event()
    asker.crm.faults.give(Held(released, done))
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(upload(asker), name="who waits")
        await until(lambda: not asker.crm.faults)
        await asker.get(VERSIONS)
        assert (asking.done(), stored(asker)) == (False, done)
        released.set()
    assert (asking.result()[0], stored(asker)) == (200, 1)


async def test_what_would_be_refused_is_not_done(asker: Asker) -> None:
    asker.crm.faults.give(Cut(done=True))
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await asker.post(UPLOAD, calls=[finished(result="cancel")])
    assert stored(asker) == 0
    assert asker.crm.requests[-1].status is None


async def test_slow_answers_rightly_and_late(asker: Asker) -> None:
    asker.crm.faults.give(Slow(0.1))
    began = time.monotonic()
    status, _, body = await upload(asker)
    assert time.monotonic() - began >= 0.1
    assert (status, json.loads(body)["processedCallsCount"], stored(asker)) == (200, 1, 1)


async def test_slow_does_not_do_what_nobody_waits_for() -> None:
    """A server that closes lets requests finish: this one was given up already."""
    async with sandbox_crm() as asker:
        asker.crm.faults.give(Slow(0.5))
        async with given_up(asker):
            pass
    assert (asker.crm.requests[-1].status, stored(asker)) == (None, 0)


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [(WrongKey(), 403, 'Wrong "apiKey" value.'), (TelephonyOff(), 400, "Telephony not enabled")],
)
async def test_a_refusal_is_said_in_the_contracts_words(asker: Asker, fault: Fault, status: int, text: str) -> None:
    asker.crm.faults.give(fault)
    assert await asker.post(UPLOAD, calls=[finished()]) == (status, {"success": False, "errorMsg": text})
    assert stored(asker) == 0
    assert asker.crm.requests[-1].complaint == text


class TestGiven:
    async def test_for_so_many_requests_and_no_more(self, asker: Asker) -> None:
        asker.crm.faults.give(Busy(), times=2)
        assert [(await asker.get(VERSIONS))[0] for _ in range(3)] == [503, 503, 200]
        assert not asker.crm.faults

    async def test_until_it_is_cleared(self, asker: Asker) -> None:
        asker.crm.faults.give(Busy(), times=None)
        assert [(await asker.get(VERSIONS))[0] for _ in range(4)] == [503] * 4
        assert asker.crm.faults
        asker.crm.faults.clear()
        assert (await asker.get(VERSIONS))[0] == 200

    async def test_one_after_the_other_in_the_order_they_were_given(self, asker: Asker) -> None:
        asker.crm.faults.give(WrongKey())
        asker.crm.faults.give(Busy())
        asker.crm.faults.give(TelephonyOff())
        assert [(await asker.get(VERSIONS))[0] for _ in range(4)] == [403, 503, 400, 200]

    async def test_for_one_path(self, asker: Asker) -> None:
        asker.crm.faults.give(Busy(), path="/api/v5/telephony/")
        assert (await asker.get(VERSIONS))[0] == 200
        assert (await asker.post(EVENT, event=ringing()))[0] == 503
        assert (await asker.post(EVENT, event=ringing()))[0] == 200

    async def test_for_a_whole_path(self, asker: Asker) -> None:
        asker.crm.faults.give(Busy(), path="/api/v5/customers", whole=True)
        assert (await asker.get("/api/v5/customers/history"))[0] == 200
        assert (await asker.get("/api/v5/customers"))[0] == 503

    async def test_for_one_account(self, asker: Asker) -> None:
        asker.crm.faults.give(Busy(), times=None, api_key=OTHER_KEY)
        assert [(await asker.get(VERSIONS, key))[0] for key in (KEY, OTHER_KEY, KEY)] == [200, 503, 200]

    async def test_is_not_used_up_by_who_was_not_let_in(self, asker: Asker) -> None:
        asker.crm.faults.give(Busy())
        assert (await asker.get(VERSIONS, "wrong"))[0] == 403
        assert (await asker.get(VERSIONS))[0] == 503

    async def test_does_not_touch_the_page(self, asker: Asker) -> None:
        asker.crm.faults.give(BadGateway(), times=None)
        assert "Ромашка" in await asker.text("/")

    @pytest.mark.parametrize("times", [0, -1])
    def test_for_one_request_at_least(self, times: int) -> None:
        with pytest.raises(ValueError, match="one request at least"):
            Faults().give(Busy(), times=times)


async def test_a_crm_that_was_down_comes_back_with_what_it_knew() -> None:
    crm = SandboxCrm([romashka()])
    for round in range(2):
        async with crm.serve() as url, aiohttp.ClientSession() as session:
            asker = Asker(crm, url, session)
            await asker.post(EVENT, event=ringing(callExternalId=str(round)))
            await asker.post(UPLOAD, calls=[finished(externalId=str(round)), finished(externalId="both")])
        with pytest.raises(OSError, match="Connect call failed"):
            await asyncio.open_connection(*url.removeprefix("http://").split(":"))
    [account] = crm.accounts
    assert (len(account.popups), len(account.open_popups())) == (2, 2)
    assert [call.external_id for call in account.calls] == ["0", "both", "1"]
    assert account.duplicates == ["both"]


async def test_a_crm_that_goes_down_lets_go_of_who_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amibridge.sandbox.retailcrm.GRACE", 30.0)
    crm = SandboxCrm([romashka()])
    crm.faults.give(Hang(), times=None)

    async def ask(asker: Asker) -> None:
        with pytest.raises(aiohttp.ClientError):
            await asker.get(VERSIONS)

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
        async with crm.serve() as url:
            tasks.create_task(ask(Asker(crm, url, session)), name="who hangs")
            await until(lambda: crm.requests)
            began = time.monotonic()
        assert time.monotonic() - began < 15
