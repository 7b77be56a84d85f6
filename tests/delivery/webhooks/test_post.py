"""Receivers that do what they like: each answer is heard, bounded in size and time, and nobody is followed anywhere."""

from __future__ import annotations

import asyncio
import ssl
from datetime import timedelta
from pathlib import Path

import pytest

from amibridge.delivery.webhooks.post import Heard, open_post
from amibridge.enterprises import Webhook
from amibridge.redact import Secret
from tests.delivery.webhooks.receiver import SECRET, Receiver, raw_server

WITHIN = timedelta(seconds=2)


async def heard_from(url: str, within: timedelta = WITHIN) -> Heard:
    async with open_post(within) as post:
        return await post.send(Webhook("erp", url, Secret(SECRET)), "17", b'{"id":17}')


async def heard_of(answer: bytes, *, then_wait: float = 0.0) -> Heard:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b'{"id":17}')
        writer.write(answer)
        await writer.drain()
        await asyncio.sleep(then_wait)

    async with raw_server(talk) as url:
        return await heard_from(url)


@pytest.mark.parametrize(
    ("answer", "heard"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", Heard(204, "204")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK", Heard(200, "200")),
        (b"HTTP/1.1 500 X\r\nContent-Length: 10\r\n\r\n no\n\x00\x1b[31m", Heard(500, "500: no ??[31m")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nshort", Heard(200, "200")),
        (b"HTTP/1.1 503 X\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", Heard(503, "503", timedelta(seconds=7))),
        (b"HTTP/1.1 429 X\r\nRetry-After: 9999999\r\nContent-Length: 0\r\n\r\n", Heard(429, "429", timedelta(hours=1))),
        (b"HTTP/1.1 429 X\r\nRetry-After: never\r\nContent-Length: 0\r\n\r\n", Heard(429, "429")),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Heard(None, "it does not speak HTTP as it should: ClientResponseError")),
        (b"", Heard(None, "the connection broke: ServerDisconnectedError")),
    ],
)
async def test_what_is_answered_is_heard(answer: bytes, heard: Heard) -> None:
    found = await heard_of(answer)
    assert (found.status, found.retry_after) == (heard.status, heard.retry_after)
    assert found.said.startswith(heard.said[:40])
    assert found.said.isprintable()


async def test_a_huge_answer_is_not_read() -> None:
    sent = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b'{"id":17}')
        writer.write(b"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n")
        while sent < 200_000_000:
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()
            sent += 65536

    async with raw_server(talk) as url:
        heard = await heard_from(url)
    assert heard.said == "500: " + "x" * 300
    assert sent < 50_000_000


async def test_an_answer_that_drips_is_not_waited_for() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b'{"id":17}')
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with raw_server(talk) as url:
        assert await heard_from(url, timedelta(seconds=30)) == Heard(200, "200")


async def test_headers_that_drip_are_no_answer() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b'{"id":17}')
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X: y\r\n")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with raw_server(talk) as url:
        assert await heard_from(url, timedelta(seconds=1)) == Heard(None, "no answer within 10 s")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_nobody_is_followed(status: int) -> None:
    async with Receiver().serve() as elsewhere:
        answer = f"HTTP/1.1 {status} X\r\nLocation: {elsewhere.url}\r\nContent-Length: 0\r\n\r\n".encode()
        assert await heard_of(answer) == Heard(status, str(status))
        assert elsewhere.told == []


async def test_who_is_not_there(unused_tcp_port: int) -> None:
    assert await heard_from(f"http://127.0.0.1:{unused_tcp_port}/") == Heard(None, "no connection: Connection refused")
    assert await heard_from("http://nobody.invalid/") == Heard(None, "its name has no address")


async def test_a_certificate_that_nobody_signed_is_not_believed(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    process = await asyncio.create_subprocess_exec(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"),
        *("-keyout", str(key), "-out", str(certificate)),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await process.wait() == 0
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    try:
        assert await heard_from(f"https://localhost:{port}/") == Heard(
            None, "its TLS certificate: self-signed certificate"
        )
    finally:
        server.close()
    async with Receiver().serve() as plain:
        heard = await heard_from(plain.url.replace("http:", "https:"))
        assert (heard.status, plain.told) == (None, [])
