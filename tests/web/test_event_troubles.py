"""Streams that nobody reads, too many of them, a database that is away, a stop: bounded, said, and over in time."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from amibridge.calls.record import CallId
from amibridge.enterprises import ApiToken, EnterpriseId, Scope
from amibridge.store.facts import Page, WrittenFacts
from amibridge.store.ledger import Ledger
from amibridge.store.tokens import digest_of
from amibridge.web import streams, tail
from amibridge.web.connection import MOST
from amibridge.web.tail import FactsAway, Reading, Tail
from tests.delivery.rows import ended, rang, record
from tests.delivery.waiting import until
from tests.store.proxy import Proxy
from tests.store.said import heard
from tests.web.api_calls import HERE, THERE, bearer, introduce, token_of
from tests.web.listening import listening
from tests.web.scraping import scrape
from tests.web.serving import Site, serving
from tests.web.test_events import PATH, call, listens, say

pytestmark = pytest.mark.postgres


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "AGAIN", 0.05)
    monkeypatch.setattr(streams, "AGAIN", 0.05)
    monkeypatch.setattr(streams, "LOOK", timedelta(milliseconds=200))


async def test_one_token_and_one_enterprise_have_so_many_and_whoever_leaves_makes_room(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "OF_TOKEN", 2)
    monkeypatch.setattr(streams, "OF_ENTERPRISE", 3)
    monkeypatch.setattr(streams, "OF_ALL", 4)
    other = ApiToken(2, digest_of("hush-other"), frozenset(Scope))
    third = ApiToken(3, digest_of("hush-third"), frozenset(Scope))
    introduce(site)
    ours = site.tenants.of_number(HERE)
    theirs = site.tenants.of_number(THERE)
    assert ours is not None
    assert theirs is not None
    site.tenants.enterprises([replace(ours, tokens=(*ours.tokens, other, third)), theirs])
    url = f"http://{site.host}:{site.port}"

    async def knock(token: str) -> tuple[int, str | None]:
        answer = await site.ask(PATH, headers={"Authorization": f"Bearer {token}"})
        assert answer.json["error"] == "too_many_streams"
        return answer.status, answer.headers.get("Retry-After")

    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(listening(url, token_of(HERE)))
        assert await knock(token_of(HERE)) == (429, "5")
        await stack.enter_async_context(listening(url, "hush-other"))
        assert await knock("hush-third") == (429, "5")
        await stack.enter_async_context(listening(url, token_of(THERE)))
        assert await knock(token_of(THERE)) == (429, "5")
        assert site.streams.listening() == {HERE: 3, THERE: 1}
        told = await scrape(site)
        assert told.value("amibridge_event_streams", enterprise=HERE) == 3
    await until(lambda: site.streams.listening() == {})
    async with listens(site):
        pass
    outcomes = [row.outcome for row in site.trail._rows]
    assert outcomes.count("too_many_streams") == 3


async def test_a_hundred_listeners_are_one_question_for_what_is_new(
    site: Site, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "OF_TOKEN", 100)
    monkeypatch.setattr(streams, "LOOK", timedelta(minutes=1))
    monkeypatch.setattr(tail, "LOOK", timedelta(minutes=1))
    introduce(site)
    asked: list[int] = []
    after = WrittenFacts.after

    async def counted(self: WrittenFacts, enterprise: EnterpriseId, place: int, **more: Any) -> Page:
        asked.append(place)
        return await after(self, enterprise, place, **more)

    monkeypatch.setattr(WrittenFacts, "after", counted)
    async with AsyncExitStack() as stack:
        listeners = [await stack.enter_async_context(listens(site)) for _ in range(100)]
        await until(lambda: site.streams.listening() == {HERE: 100})
        asked.clear()
        for number in range(5):
            await say(site, pool, *call(number))
            await until(lambda number=number: all(len(one.events) == 2 * number + 2 for one in listeners))  # type: ignore[misc]
    assert all(one.ids == list(range(1, 11)) for one in listeners)
    assert len(asked) <= 10, asked


async def test_what_nobody_rang_for_is_told_all_the_same(
    site: Site, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another instance wrote it."""
    monkeypatch.setattr(tail, "LOOK", timedelta(milliseconds=100))
    introduce(site)
    async with listens(site) as listener:
        await Ledger(pool).record(heard(*call(1)))
        await until(lambda: listener.ids == [1, 2])


async def test_streams_outlast_a_database_that_is_away_and_miss_nothing(
    far_site: Site, way: Proxy, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "KEEP_ALIVE", timedelta(milliseconds=100))
    introduce(far_site)
    await say(far_site, pool, *call(1))
    with capture_logs() as lines:
        async with listens(far_site) as new, listens(far_site, after=0) as old:
            await until(lambda: old.ids == [1, 2])
            way.close()
            await say(far_site, pool, *call(2))
            await until(lambda: any(line["event"] == "events_not_read" for line in lines))
            heard_before = len(new.comments)
            await until(lambda: len(new.comments) > heard_before + 3)
            answer = await far_site.ask(PATH, headers=bearer())
            assert (answer.status, answer.json["error"]) == (503, "database_away")
            assert answer.headers["Retry-After"] == "5"
            way.open = True
            await until(lambda: (new.ids, old.ids) == ([3, 4], [1, 2, 3, 4]))
            await say(far_site, pool, *call(3))
            await until(lambda: (new.ids, old.ids) == ([3, 4, 5, 6], [1, 2, 3, 4, 5, 6]))
    told = [line["event"] for line in lines if line["event"].startswith("events_")]
    assert told == ["events_not_read", "events_read_again"]
    await until(lambda: far_site.streams.listening() == {})


async def test_while_the_database_is_away_one_asks_it_for_all(pool: asyncpg.Pool) -> None:
    tries: list[int] = []

    class Silent(WrittenFacts):
        async def after(self, enterprise: EnterpriseId, place: int, **_: Any) -> Page:
            tries.append(place)
            await asyncio.sleep(0.01)
            raise TimeoutError

    reading = Reading(Silent(pool))
    tails = [Tail(reading, EnterpriseId(str(number)), 5) for number in range(20)]
    asked = [asyncio.wait_for(one.after(place), 5) for one in tails for place in (0, 5) * 5]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(one) for one in answers} == {FactsAway}
    assert len(tries) <= 6


async def test_many_of_one_enterprise_that_read_what_is_old_keep_another_waiting_for_one_page(
    pool: asyncpg.Pool,
) -> None:
    read: list[EnterpriseId] = []

    class Noted(WrittenFacts):
        async def after(self, enterprise: EnterpriseId, place: int, **wanted: Any) -> Page:
            read.append(enterprise)
            return await super().after(enterprise, place, **wanted)

    for enterprise in (HERE, THERE):
        await Ledger(pool).record(heard(*(rang(f"pbx:{number}", "101") for number in range(20)), enterprise=enterprise))
    reading = Reading(Noted(pool))
    here, there = (Tail(reading, enterprise, 10**6) for enterprise in (HERE, THERE))
    crowd = [asyncio.create_task(here.after(0), name="one of many") for _ in range(30)]
    await asyncio.sleep(0)
    await there.after(0)
    await asyncio.gather(*crowd)
    assert len(read) == 31
    assert read.index(THERE) <= 1


async def test_who_does_not_read_is_left_and_holds_up_nobody(
    site: Site, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "READ_WITHIN", timedelta(seconds=1))
    introduce(site)
    many = [rang(f"pbx:{number}", "1" * 3000) for number in range(4000)]
    for start in range(0, len(many), 500):
        await say(site, pool, *many[start : start + 500])
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect((site.host, site.port))
        deaf.send(
            f"GET {PATH}?last_event_id=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token_of(HERE)}\r\n\r\n".encode()
        )
        await until(lambda: site.streams.listening() == {HERE: 1})
        async with listens(site) as quick:
            await say(site, pool, *call(9999))
            await until(lambda: len(quick.events) == 2)
            await until(lambda: site.streams.listening() == {HERE: 1}, 30)
    await until(lambda: site.streams.listening() == {})


async def test_whoever_leaves_in_the_middle_is_noticed_though_nothing_is_said(site: Site) -> None:
    introduce(site)
    with socket.socket() as rude:
        rude.connect((site.host, site.port))
        rude.send(f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token_of(HERE)}\r\n\r\n".encode())
        await until(lambda: site.streams.listening() == {HERE: 1})
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await until(lambda: site.streams.listening() == {})


async def test_a_stop_ends_streams_at_once_and_in_order(pool: asyncpg.Pool) -> None:
    clock = asyncio.get_running_loop().time
    async with AsyncExitStack() as stack:
        async with serving(pool) as site:
            introduce(site)
            listeners = [await stack.enter_async_context(listens(site)) for _ in range(10)]
            await say(site, pool, *call(1))
            await until(lambda: all(one.ids == [1, 2] for one in listeners))
            stopped_at = clock()
        assert all(one.over for one in listeners)
        assert clock() - stopped_at < 10


async def test_a_stream_is_over_after_its_time_and_goes_on_in_the_next(pool: asyncpg.Pool) -> None:
    async with serving(pool, streams_last=timedelta(milliseconds=300)) as site:
        introduce(site)
        told: list[int] = []
        last: str | None = None
        for number in range(4):
            async with listens(site, after=last) as listener:
                await say(site, pool, *call(number))
                await until(lambda listener=listener: listener.over)  # type: ignore[misc]
            await say(site, pool, *call(100 + number))
            told, last = told + listener.ids, listener.last
        async with listens(site, after=last) as listener:
            await until(lambda: told + listener.ids == list(range(1, 17)))


async def test_a_tail_forgets_what_is_old_and_whoever_is_behind_still_gets_it(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "REMEMBERED", 10)
    one = Tail(Reading(WrittenFacts(pool)), HERE, 0)
    read: dict[int, list[int]] = {pace: [] for pace in (1, 3, 7)}
    places = dict.fromkeys(read, 0)
    for number in range(1, 60):
        await Ledger(pool).record(heard(*(rang(f"pbx:{number}", str(extension)) for extension in range(100, 105))))
        one.ring()
        for pace in read:
            if number % pace == 0:
                news = await one.after(places[pace])
                read[pace] += [told.seq for told in news.told]
                places[pace] = news.to
    for pace, seqs in read.items():
        is_last = False
        while not is_last:
            news = await one.after(places[pace])
            seqs += [told.seq for told in news.told]
            places[pace], is_last = news.to, news.is_last
    assert all(seqs == list(range(1, 296)) for seqs in read.values())
    assert len(one._told) == 10


async def test_a_stream_of_one_old_call_is_at_the_tip_like_the_others(pool: asyncpg.Pool) -> None:
    """It does not ask by itself for ever."""
    await Ledger(pool).record(heard(rang("pbx:1", "101"), *(rang(f"pbx:{number}", "101") for number in range(2, 50))))
    one = Tail(Reading(WrittenFacts(pool)), HERE, 49)
    wanted = tail.Wanted(call=CallId("pbx:1"))
    news = await one.after(0, wanted)
    assert ([told.seq for told in news.told], news.to, news.is_last) == ([1], 49, True)
    await Ledger(pool).record(heard(ended(record("pbx:1"))))
    one.ring()
    assert [told.seq for told in (await one.after(news.to, wanted)).told] == [50]


def test_limits_leave_room_for_what_cannot_wait() -> None:
    assert streams.OF_TOKEN < streams.OF_ENTERPRISE < streams.OF_ALL <= MOST / 2
