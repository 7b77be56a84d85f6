"""The stream of events over a real socket: each fact once, in order, from any place, for whoever may hear it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from amibridge.calls.announcement import announced
from amibridge.calls.facts import AnyFact
from amibridge.enterprises import ApiToken, EnterpriseId, Scope
from amibridge.store.ledger import Ledger
from amibridge.store.tokens import digest_of
from amibridge.web import streams
from tests.delivery.rows import NOON, brief, ended, rang, record
from tests.delivery.waiting import until
from tests.store.enterprises import romashka
from tests.store.said import heard
from tests.web.api_calls import HERE, THERE, bearer, introduce, token_of
from tests.web.listening import Listener, listening
from tests.web.serving import Site

pytestmark = pytest.mark.postgres

PATH = "/api/v1/events"


@pytest.fixture(autouse=True)
def _known(site: Site) -> None:
    introduce(site)


async def say(site: Site, pool: asyncpg.Pool, *facts: AnyFact, enterprise: EnterpriseId = HERE) -> None:
    """As the recorder does it."""
    written = heard(*facts, enterprise=enterprise)
    await Ledger(pool).record(written)
    site.streams.written(written)


def call(number: int) -> list[AnyFact]:
    return [rang(f"pbx:{number}", "101"), ended(record(f"pbx:{number}"))]


@asynccontextmanager
async def listens(site: Site, enterprise: EnterpriseId = HERE, **more: Any) -> AsyncIterator[Listener]:
    async with listening(f"http://{site.host}:{site.port}", token_of(enterprise), **more) as listener:
        await until(lambda: listener.last)
        yield listener


async def test_whoever_listens_hears_each_fact_from_then_on_in_the_shape_of_all(site: Site, pool: asyncpg.Pool) -> None:
    await say(site, pool, *call(1))
    async with listens(site) as listener:
        assert (listener.last, listener.retry) == ("2", 1000)
        assert listener.response.headers["Cache-Control"] == "no-store"
        assert listener.response.headers["X-Accel-Buffering"] == "no"
        assert listener.response.headers["X-Request-ID"]
        said = call(2)
        await say(site, pool, *said)
        await until(lambda: len(listener.events) == 2)
    assert [told for _, _, told in listener.events] == [announced(3, said[0]), announced(4, said[1])]
    assert listener.words == ["operator.rang", "call.finished"]


async def test_any_old_id_resumes_and_nothing_is_missed_or_told_twice(site: Site, pool: asyncpg.Pool) -> None:
    for number in range(150):
        await say(site, pool, *call(number))
    for after in (0, 1, 150, 299, 300):
        async with listens(site, after=after) as listener:
            await until(lambda listener=listener, after=after: len(listener.events) == 300 - after)  # type: ignore[misc]
            assert listener.ids == list(range(after + 1, 301))
    async with listens(site, after=120) as listener:
        await say(site, pool, *call(1000))
        await until(lambda: 302 in listener.ids)
        assert listener.ids == list(range(121, 303))


async def test_a_client_that_heard_nothing_yet_knows_where_it_is(site: Site, pool: asyncpg.Pool) -> None:
    """It is cut off, something is said, and it comes again."""
    await say(site, pool, *call(1))
    async with listens(site) as first:
        pass
    await say(site, pool, *call(2))
    async with listens(site, after=first.last) as second:
        await until(lambda: len(second.events) == 2)
    assert second.ids == [3, 4]


async def test_the_header_goes_before_the_query_and_both_must_be_ids(site: Site, pool: asyncpg.Pool) -> None:
    await say(site, pool, *call(1), *call(2))
    async with listens(site, params={"last_event_id": "2"}) as listener:
        await until(lambda: len(listener.events) == 2)
        assert listener.ids == [3, 4]
    async with listens(site, after=3, params={"last_event_id": "0"}) as listener:
        await until(lambda: listener.events)
        assert listener.ids == [4]


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "-1",
        "+1",
        "1.5",
        "1e3",
        "0x1",
        "abc",
        "%D9%A3",
        "1 2",
        "9" * 20,
        "9" * 4096,
        str(2**63),
        "${1}",
        "1&2",
        "%00",
        "1/2",
    ],
)
async def test_what_is_no_id_is_refused_and_not_repeated(site: Site, wrong: str) -> None:
    answers = [
        await site.ask(f"{PATH}?last_event_id={wrong.replace('&', '%26').replace(' ', '%20')}", headers=bearer())
    ]
    answers.append(await site.ask(PATH, headers=bearer() | {"Last-Event-ID": wrong}))
    for answer in answers:
        assert (answer.status, answer.json["error"]) == (400, "bad_parameter")
        assert len(wrong) < 3 or wrong not in answer.json["detail"]
    assert site.streams.listening() == {}


@pytest.mark.parametrize(
    "query",
    [
        "?events=", "?events=call.missed,", "?events=call.lost", "?events=call.missed&events=call.finished",
        "?events=call.missed;call.finished", "?events=CALL.MISSED", "?call=", "?operator=101", "?Last-Event-ID=1",
        "?last_event_id=0&last_event_id=0", "?call=" + "1" * 4096, "?events=" + "call.missed," * 300,
    ],
)  # fmt: skip
async def test_parameters_that_make_no_sense_are_refused(site: Site, query: str) -> None:
    answer = await site.ask(f"{PATH}{query}", headers=bearer())
    assert (answer.status, answer.json["error"]) == (400, "bad_parameter")


async def test_an_id_that_was_never_told_is_refused_rather_than_waited_for(site: Site, pool: asyncpg.Pool) -> None:
    """As after a restore: who was told more than there is must not take silence for quiet."""
    await say(site, pool, *call(1))
    await say(site, pool, *call(1), enterprise=THERE)
    answer = await site.ask(PATH, headers=bearer() | {"Last-Event-ID": "3"})
    assert (answer.status, answer.json["error"]) == (404, "unknown_event")
    assert site.streams.listening() == {}


async def test_only_what_is_wanted_is_told_old_or_new(site: Site, pool: asyncpg.Pool) -> None:
    for number in range(120):
        await say(site, pool, *call(number))
    async with AsyncExitStack() as stack:

        async def open_one(**params: str) -> Listener:
            return await stack.enter_async_context(listens(site, after=0, params=params))

        missed = await open_one(events="call.missed")
        both = await open_one(events="call.missed,call.finished", call="pbx:7")
        one = await open_one(call="pbx:7")
        many = await open_one(events="call.finished")
        await say(site, pool, *call(200), rang("pbx:7", "102"))
        await until(lambda: len(many.events) == 121 and len(one.events) == 3)
        assert (missed.events, both.words) == ([], ["call.finished"])
        assert one.words == ["operator.rang", "call.finished", "operator.rang"]
        assert {told["call_id"] for _, _, told in one.events} == {"pbx:7"}
        assert set(many.words) == {"call.finished"}


async def test_keep_alives_say_how_far_a_stream_is_that_wants_little(
    site: Site, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "KEEP_ALIVE", timedelta(milliseconds=50))
    monkeypatch.setattr(streams, "LOOK", timedelta(milliseconds=20))
    async with listens(site, params={"events": "call.missed"}) as listener:
        await say(site, pool, *call(1))
        await until(lambda: listener.last == "2")
        await until(lambda: len(listener.comments) > 3)
    assert set(listener.comments) == {"keep-alive"}
    assert listener.events == []


async def test_two_enterprises_with_the_same_calls_never_hear_each_other(site: Site, pool: asyncpg.Pool) -> None:
    async with listens(site, after=0) as here, listens(site, THERE, after=0) as there:
        await say(site, pool, *call(1))
        await say(site, pool, *call(1), enterprise=THERE)
        await say(site, pool, *call(2), enterprise=THERE)
        await until(lambda: len(here.events) == 2 and len(there.events) == 4)
        assert (here.ids, there.ids) == ([1, 2], [3, 4, 5, 6])
    async with listens(site, after=0, params={"call": "pbx:2"}) as here:
        await say(site, pool, *call(3))
        await say(site, pool, *call(2))
        await until(lambda: len(here.events) == 2)
        assert here.ids == [9, 10]


async def test_names_that_would_be_lines_are_not(site: Site, pool: asyncpg.Pool) -> None:
    name = "\r\n\nid: 999\r\nevent: call.missed\ndata: {}\n\n\u2028\u0085\x1b"
    fact = replace(rang("pbx:1\r\n\nid: 7", "101"), brief=replace(brief(), caller_name=name))
    async with listens(site) as listener:
        await say(site, pool, fact)
        await until(lambda: listener.events)
        assert [(told["caller_name"], told["call_id"]) for _, _, told in listener.events] == [(name, fact.call)]
        assert listener.ids == [1]


async def test_an_old_proxy_gets_it_too(site: Site, pool: asyncpg.Pool) -> None:
    """HTTP/1.0, as nginx asks where nobody told it otherwise: no pieces with their lengths between them."""
    async with site.connected() as (reader, writer):
        writer.write(f"GET {PATH} HTTP/1.0\r\nAuthorization: Bearer {token_of(HERE)}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"chunked" not in head.lower()
        assert await reader.readuntil(b"\n\n") == b"retry: 1000\nid: 0\n\n"
        await say(site, pool, *call(1))
        assert (await reader.readuntil(b"\n\n")).startswith(b"id: 1\nevent: operator.rang\ndata: {")


async def test_without_a_token_for_it_nobody_listens(site: Site) -> None:
    knocked = [
        (await site.ask(PATH)).status,
        (await site.ask(PATH, headers={"Authorization": "Bearer nothing"})).status,
        (await site.ask(PATH, headers={"Authorization": f"Bearer {romashka(HERE).client_id}"})).status,
        (await site.ask(PATH, "HEAD", headers=bearer())).status,
        (await site.ask(PATH, "POST", headers=bearer())).status,
    ]
    assert knocked == [401, 401, 403, 405, 405]


@pytest.mark.parametrize("how", ["revoked", "expired", "less", "removed"])
async def test_a_stream_ends_with_what_opened_it_and_tells_nothing_more(
    site: Site, pool: asyncpg.Pool, how: str
) -> None:
    async with listens(site) as listener:
        await say(site, pool, *call(1))
        await until(lambda: len(listener.events) == 2)
        digest, yesterday = digest_of(token_of(HERE)), datetime.now(UTC) - timedelta(days=1)
        left = {
            "revoked": [replace(romashka(HERE), tokens=())],
            "expired": [replace(romashka(HERE), tokens=(ApiToken(1, digest, frozenset(Scope), yesterday),))],
            "less": [replace(romashka(HERE), tokens=(ApiToken(1, digest, frozenset({Scope.CALL})),))],
            "removed": [],
        }
        site.tenants.enterprises(left[how])
        await say(site, pool, *call(2))
        await until(lambda: listener.over)
        assert listener.ids == [1, 2]
    await until(lambda: site.streams.listening() == {})


async def test_opening_stands_in_the_audit_and_what_is_told_does_not(site: Site, pool: asyncpg.Pool) -> None:
    async with listens(site, params={"call": "pbx:1"}) as listener:
        await say(site, pool, *call(1))
        await until(lambda: len(listener.events) == 2)
    rows = [(row.who, row.action, row.target, row.outcome) for row in site.trail._rows]
    assert rows == [("token 1", "events.listen", "call=pbx:1", "done")]
    assert site.trail._rows[0].request == listener.response.headers["X-Request-ID"]
    assert NOON.isoformat() not in str(rows)
