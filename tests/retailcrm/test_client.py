"""The wire: failures by script, everything that touches a socket against a real server."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aioresponses import aioresponses
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from amibridge import __version__
from amibridge.enterprises import Account
from amibridge.redact import Secret
from amibridge.retailcrm.client import CrmSettings, RetailCrm, open_crm
from amibridge.retailcrm.errors import CrmBroken, CrmBusy, CrmError, CrmLockedOut, CrmRefused, CrmUnreachable
from amibridge.retailcrm.replies import CallEventReply, CredentialsReply
from amibridge.retailcrm.requests import EventType, call_event, credentials, settings
from tests.retailcrm.mocked import scripted_fixture as scripted_fixture
from tests.retailcrm.samples import KEY

EVENT = call_event(type=EventType.IN, phone="+79161234567", codes=["101"])
URL = "https://romashka.example"
ACCOUNT = Account(URL, Secret(KEY))
HASTY = CrmSettings(connect=timedelta(seconds=1), total=timedelta(seconds=0.3))

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def crm_at(handler: Handler, **kwargs: Any) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(app, host="127.0.0.1", **kwargs) as server:
        yield str(server.make_url("")).rstrip("/")


async def refusal(crm: RetailCrm, account: Account, kind: type[CrmError]) -> CrmError:
    with pytest.raises(kind) as caught:
        await crm.send(account, EVENT)
    assert KEY not in str(caught.value)
    assert KEY not in repr(caught.value)
    return caught.value


async def content(_: web.Request) -> web.Response:
    return web.json_response({"success": True})


# by script


async def test_a_yes_is_a_reply(scripted: aioresponses) -> None:
    scripted.post(f"{URL}/api/v5/telephony/call/event", payload={"success": True, "notExistCodes": ["101"]})
    scripted.get(f"{URL}/api/credentials", payload={"success": True, "scopes": ["order_read"]})
    async with open_crm(CrmSettings()) as crm:
        assert await crm.send(ACCOUNT, EVENT) == CallEventReply(("101",))
        assert await crm.send(ACCOUNT, credentials()) == CredentialsReply(frozenset({"order_read"}))


async def test_whoever_listens_hears_the_headers_of_every_answer(scripted: aioresponses) -> None:
    scripted.get(f"{URL}/api/credentials", payload={"success": True}, headers={"Date": "today"})
    scripted.get(f"{URL}/api/credentials", status=502, headers={"Date": "tomorrow"})
    heard: list[str] = []
    async with open_crm(CrmSettings(), tap=lambda exchange: heard.append(exchange.headers["date"])) as crm:
        await crm.send(ACCOUNT, credentials())
        with pytest.raises(CrmBroken):
            await crm.send(ACCOUNT, credentials())
    assert heard == ["today", "tomorrow"]


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        (503, "<html>busy</html>", CrmBusy),
        (502, "<html>bad gateway</html>", CrmBroken),
        (200, "<html>welcome</html>", CrmBroken),
        (403, '{"success":false,"errorMsg":"Wrong \\"apiKey\\" value."}', CrmLockedOut),
        (400, '{"success":false,"errorMsg":"Validation error","errors":{"phone":"bad"}}', CrmRefused),
    ],
)
async def test_a_no_is_asked_once_and_named(
    scripted: aioresponses, status: int, body: str, meaning: type[CrmError]
) -> None:
    scripted.post(f"{URL}/api/v5/telephony/call/event", status=status, body=body, repeat=True)
    async with open_crm(CrmSettings()) as crm:
        error = await refusal(crm, ACCOUNT, meaning)
    assert error.status == status
    assert sum(len(calls) for calls in scripted.requests.values()) == 1


async def test_retry_after_reaches_the_error(scripted: aioresponses) -> None:
    scripted.post(f"{URL}/api/v5/telephony/call/event", status=503, headers={"Retry-After": "7"})
    async with open_crm(CrmSettings()) as crm:
        error = await refusal(crm, ACCOUNT, CrmBusy)
    assert isinstance(error, CrmBusy)
    assert error.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize(
    ("failure", "meaning"),
    [
        (TimeoutError(), CrmUnreachable),
        (UnicodeError("label too long"), CrmUnreachable),
        (aiohttp.ServerTimeoutError(), CrmUnreachable),
        (aiohttp.ServerDisconnectedError(), CrmUnreachable),
        (aiohttp.ClientPayloadError("cut"), CrmUnreachable),
        (aiohttp.ClientOSError(104, "Connection reset by peer"), CrmUnreachable),
        (ConnectionResetError(104, "Connection reset by peer"), CrmUnreachable),
        (aiohttp.InvalidURL("https://x"), CrmBroken),
    ],
)
async def test_a_failure_of_the_network_is_named(
    scripted: aioresponses, failure: Exception, meaning: type[CrmError]
) -> None:
    scripted.post(f"{URL}/api/v5/telephony/call/event", exception=failure)
    async with open_crm(CrmSettings()) as crm:
        error = await refusal(crm, ACCOUNT, meaning)
    assert error.status is None


@pytest.mark.parametrize(
    ("url", "key", "why"),
    [
        ("http://romashka.example", KEY, "only towards this machine"),
        (f"https://romashka.example?apiKey={KEY}", KEY, "query"),
        (URL, "", "API key"),
        (URL, KEY + "\n", "API key"),
        (URL, KEY + "\r\nX-Evil: 1", "API key"),
        (URL, "ключ-" + KEY, "API key"),
        (URL, f"two {KEY}", "API key"),
    ],
)
async def test_an_unusable_account_is_locked_out_unasked(scripted: aioresponses, url: str, key: str, why: str) -> None:
    async with open_crm(CrmSettings()) as crm:
        error = await refusal(crm, Account(url, Secret(key)), CrmLockedOut)
    assert why in str(error)
    assert not scripted.requests


# against a real server


async def test_the_key_travels_in_a_header_only() -> None:
    seen: list[tuple[str, str, dict[str, str], str]] = []

    async def remember(request: web.Request) -> web.Response:
        seen.append((request.method, request.path_qs, dict(request.headers), await request.text()))
        return web.json_response({"success": True}, headers={"Set-Cookie": "session=1; Path=/"})

    async with crm_at(remember) as url, open_crm(CrmSettings()) as crm:
        await crm.send(Account(url, Secret(KEY)), EVENT)
        await crm.send(Account(url, Secret(KEY)), credentials())
    (method, path, headers, body), (get, where, plain, nothing) = seen
    assert (method, path) == ("POST", "/api/v5/telephony/call/event")
    assert headers["X-API-KEY"] == KEY
    assert headers["User-Agent"] == f"amibridge/{__version__}"
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert body.startswith("event=%7B")
    assert KEY not in path + body
    assert (get, where, nothing) == ("GET", "/api/credentials", "")
    assert "Cookie" not in plain


async def test_one_connection_serves_many_requests() -> None:
    ports: set[object] = set()

    async def remember(request: web.Request) -> web.Response:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername"))
        return web.json_response({"success": True})

    async with crm_at(remember) as url, open_crm(CrmSettings()) as crm:
        for _ in range(5):
            await crm.send(Account(url, Secret(KEY)), EVENT)
    assert len(ports) == 1


async def test_a_redirect_is_not_followed_and_the_key_not_carried_off() -> None:
    asked: list[str] = []

    async def redirect(request: web.Request) -> web.Response:
        asked.append(request.path)
        raise web.HTTPTemporaryRedirect("/elsewhere")

    async with crm_at(redirect) as url, open_crm(CrmSettings()) as crm:
        error = await refusal(crm, Account(url, Secret(KEY)), CrmBroken)
    assert error.status == 307
    assert asked == ["/api/v5/telephony/call/event"]


async def test_a_key_that_the_crm_repeats_is_struck_out() -> None:
    async def tell(request: web.Request) -> web.Response:
        text = f'Wrong "apiKey" value {request.headers["X-API-KEY"]}'
        return web.json_response({"success": False, "errorMsg": text}, status=403)

    async with crm_at(tell) as url, open_crm(CrmSettings()) as crm:
        error = await refusal(crm, Account(url, Secret(KEY)), CrmLockedOut)
    assert "******" in str(error)


async def test_a_key_of_few_letters_does_not_spoil_answers() -> None:
    async with crm_at(content) as url, open_crm(CrmSettings()) as crm:
        assert await crm.send(Account(url, Secret("true")), EVENT) == CallEventReply()


async def test_a_crm_that_never_answers_costs_the_total_timeout() -> None:
    leave = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await leave.wait()
        return web.Response()

    async with crm_at(hang) as url, open_crm(HASTY) as crm:
        error = await refusal(crm, Account(url, Secret(KEY)), CrmUnreachable)
        leave.set()
    assert "in time" in str(error)


async def test_a_body_that_drips_for_ever_costs_the_total_timeout() -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(500):
            await response.write(b" ")
            await asyncio.sleep(0.01)
        return response

    async with crm_at(drip) as url, open_crm(HASTY) as crm:
        await refusal(crm, Account(url, Secret(KEY)), CrmUnreachable)


@pytest.mark.parametrize("packed", [False, True])
async def test_an_oversized_body_is_not_swallowed(packed: bool) -> None:
    sent = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"Content-Encoding": "gzip"} if packed else {})
        await response.prepare(request)
        piece = gzip.compress(b" " * 64 * 1024 * 1024) if packed else b" " * 64 * 1024
        for _ in range(1 if packed else 1024):
            await response.write(piece)
            sent += len(piece)
        return response

    async with crm_at(flood) as url, open_crm(CrmSettings(max_body=100_000)) as crm:
        error = await refusal(crm, Account(url, Secret(KEY)), CrmBroken)
    assert "more than 100000 bytes" in str(error)
    assert sent < 64 * 1024 * 1024


async def test_a_body_of_just_the_bound_is_read() -> None:
    body = b'{"success":true}'.ljust(1000)

    async def fill(_: web.Request) -> web.Response:
        return web.Response(body=body)

    async with crm_at(fill) as url:
        async with open_crm(CrmSettings(max_body=1000)) as crm:
            assert await crm.send(Account(url, Secret(KEY)), EVENT) == CallEventReply()
        async with open_crm(CrmSettings(max_body=999)) as crm:
            await refusal(crm, Account(url, Secret(KEY)), CrmBroken)


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", CrmBroken),
        (b"HTTP/1.1 abc\r\n\r\n", CrmBroken),
        (b"\x00\xff\x00\xff\r\n\r\n", CrmBroken),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", CrmUnreachable),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", CrmUnreachable),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", CrmBusy),
        (b"", CrmUnreachable),
    ],
)
async def test_whatever_a_socket_says_is_a_crm_error(said: bytes, meaning: type[CrmError]) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, open_crm(CrmSettings()) as crm:
        await refusal(crm, Account(f"http://127.0.0.1:{port}", Secret(KEY)), meaning)


async def test_a_closed_port_is_unreachable() -> None:
    async with crm_at(content) as url:
        pass
    async with open_crm(CrmSettings()) as crm:
        await refusal(crm, Account(url, Secret(KEY)), CrmUnreachable)


def self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def test_an_untrusted_certificate_gets_no_key(tmp_path: Path) -> None:
    asked = 0

    async def count(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.json_response({"success": True})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", count)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server(ssl=self_signed(tmp_path))
    try:
        async with open_crm(CrmSettings()) as crm:
            error = await refusal(crm, Account(f"https://127.0.0.1:{server.port}", Secret(KEY)), CrmUnreachable)
    finally:
        await server.close()
    assert "certificate" in str(error).lower()
    assert asked == 0


async def test_a_dead_crm_holds_its_own_connections_and_no_other() -> None:
    held, full, leave = 0, asyncio.Event(), asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        nonlocal held
        held += 1
        if held == 2:
            full.set()
        await leave.wait()
        return web.json_response({"success": True})

    settings = CrmSettings(connections=2)
    async with crm_at(hang) as dead, crm_at(content) as well, open_crm(settings) as crm, asyncio.TaskGroup() as tasks:
        for n in range(8):
            tasks.create_task(crm.send(Account(dead, Secret(KEY)), EVENT), name=f"hang {n}")
        await full.wait()
        async with asyncio.timeout(4):
            assert await crm.send(Account(well, Secret(KEY)), EVENT) == CallEventReply()
        assert held == 2
        leave.set()


async def test_settings_of_an_account_are_read_over_the_wire() -> None:
    async def tell(_: web.Request) -> web.Response:
        return web.json_response({"success": True, "settings": {"timezone": {"value": "Europe/Minsk"}}})

    async with crm_at(tell) as url, open_crm(CrmSettings()) as crm:
        reply = await crm.send(Account(url, Secret(KEY)), settings())
    assert reply.time_zone.key == "Europe/Minsk"
