"""Who may scrape, and that no scraper is felt: proxies that hide, tokens that are nearly right, a silent database."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from amibridge.store.outbox import Backlog, Outbox
from amibridge.web import scrape as scraping
from tests.store.proxy import Proxy
from tests.web.scraping import read
from tests.web.serving import Site, serving

TOKEN = "a-token-that-is-long-enough"
FROM_A_PROXY = [
    {"X-Forwarded-For": "203.0.113.9"},
    {"x-forwarded-for": ""},
    {"X-Real-IP": "203.0.113.9"},
    {"Forwarded": "for=203.0.113.9"},
    {"Via": "1.1 bridge"},
    {"X-Forwarded-Proto": "https"},
    {"Host": "bridge.example"},
    {"Host": "bridge.example:8019"},
    {"Host": "127.0.0.1.bridge.example"},
    {"Host": "[2001:db8::1]:8019"},
    {"Host": "localhost@bridge.example"},
    {"Host": ""},
]


@pytest.mark.parametrize("headers", FROM_A_PROXY, ids=str)
async def test_nobody_is_told_through_a_proxy(site: Site, headers: dict[str, str]) -> None:
    answer = await site.ask("/metrics", headers=headers)
    assert (answer.status, answer.json["error"]) == (403, "metrics_are_local")
    assert b"amibridge_" not in answer.body


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8019", "LOCALHOST", "[::1]:8019", "127.0.0.1:80"])
async def test_this_machine_is_told_by_any_of_its_names(site: Site, host: str) -> None:
    answer = await site.ask("/metrics", headers={"Host": host})
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert read(answer.body.decode())


@pytest.mark.parametrize(
    ("peer", "ours"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.5", False),
        ("203.0.113.9", False),
        ("0.0.0.0", False),
        ("::", False),
        ("::ffff:10.0.0.5", False),
        ("2001:db8::1", False),
        ("fe80::1%eth0", False),
        ("localhost", False),
        ("127.0.0.1, 203.0.113.9", False),
        ("", False),
        (None, False),
    ],
)
def test_this_machine_is_known_by_its_address(peer: str | None, ours: bool) -> None:
    assert scraping.is_loopback(peer) is ours


def address_of_this_machine() -> str:
    """The one under which others know it; skips the test where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("this machine has no network")
        return str(asking.getsockname()[0])


async def test_nobody_is_told_who_comes_from_elsewhere(site: Site) -> None:
    request = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    elsewhere = (address_of_this_machine(), 0)
    reader, writer = await asyncio.open_connection(site.host, site.port, local_addr=elsewhere)
    writer.write(request)
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 403 ")


async def test_http_1_0_is_how_a_bare_nginx_asks(site: Site) -> None:
    async with site.connected() as (reader, writer):
        writer.write(b"GET /metrics HTTP/1.0\r\nHost: 127.0.0.1:8019\r\n\r\n")
        async with asyncio.timeout(20):
            answer = await reader.read()
    assert answer.startswith(b"HTTP/1.0 403 ")
    assert b"amibridge_" not in answer


async def test_whoever_has_the_token_is_told_from_anywhere(pool: asyncpg.Pool) -> None:
    async with serving(pool, metrics_token=TOKEN) as site:
        headers = {"Authorization": f"Bearer {TOKEN}", "X-Forwarded-For": "203.0.113.9", "Host": "bridge.example"}
        answer = await site.ask("/metrics", headers=headers)
        assert answer.status == 200
        assert read(answer.body.decode())


@pytest.mark.parametrize(
    "presented",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        TOKEN,
        f"Basic {TOKEN}",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN.upper()}",
        f"Bearer {TOKEN} {TOKEN}",
        "Bearer токен",
        "Bearer \udcff\udcfe",
        "Bearer " + "x" * 4000,
    ],
)
async def test_nobody_else_is_even_from_this_machine(pool: asyncpg.Pool, presented: str | None) -> None:
    async with serving(pool, metrics_token=TOKEN) as site, site.connected() as (reader, writer):
        line = "" if presented is None else f"Authorization: {presented}\r\n"
        request = f"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{line}\r\n"
        writer.write(request.encode("utf-8", "surrogateescape"))
        async with asyncio.timeout(20):
            answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"WWW-Authenticate: Bearer" in answer
    assert b"wrong_token" in answer
    assert b"amibridge_" not in answer


async def test_a_token_in_the_address_is_no_token(pool: asyncpg.Pool) -> None:
    async with serving(pool, metrics_token=TOKEN) as site:
        assert (await site.ask(f"/metrics?token={TOKEN}&access_token={TOKEN}")).status == 401


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_nothing_can_be_told_to_it(site: Site, method: str) -> None:
    assert (await site.ask("/metrics", method)).status == 405


@pytest.mark.parametrize(
    "headers",
    [
        {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4"},
        {"Accept": "application/openmetrics-text;version=9999999999999999999999.x"},
        {"Accept": ";" * 4000},
        {"Accept": "nothing/at-all"},
    ],
    ids=str,
)
async def test_one_text_is_told_whatever_is_asked_for(site: Site, headers: dict[str, str]) -> None:
    answer = await site.ask("/metrics?name[]=nothing", headers=headers)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert "amibridge_database_up" in read(answer.body.decode())


async def test_it_is_packed_for_who_can_unpack_it(site: Site) -> None:
    async with site.connected() as (reader, writer):
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(20):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert b"Content-Encoding: gzip" in head
    assert "amibridge_database_up" in read(gzip.decompress(body).decode())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with each question to the database."""
    asked: list[int] = []
    ask: Callable[..., Any] = Outbox.backlogs

    async def counted(*args: Any) -> list[Backlog]:
        asked.append(1)
        return list(await ask(*args))

    monkeypatch.setattr(Outbox, "backlogs", counted)
    return asked


async def test_however_many_scrape_the_database_is_asked_once(
    site: Site, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scraping, "FRESH", 3600.0)
    answers = await asyncio.gather(*(site.ask("/metrics") for _ in range(50)))
    assert [answer.status for answer in answers] == [200] * 50
    assert len(asked) == 1
    monkeypatch.setattr(scraping, "FRESH", 0.0)
    await site.ask("/metrics")
    assert len(asked) == 2


async def test_a_database_that_went_silent_is_waited_for_once(
    far_site: Site, way: Proxy, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scraping, "FRESH", 3600.0)
    assert (await far_site.ask("/health/ready")).status == 200
    asked.clear()
    way.silent = True
    async with asyncio.timeout(20):
        answers = await asyncio.gather(*(far_site.ask("/metrics") for _ in range(20)))
    assert {read(answer.body.decode()).value("amibridge_database_up") for answer in answers} == {0}
    assert len(asked) == 1
