"""What every answer carries, whoever asks, and whatever he sends instead of a question."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import structlog

from amibridge import log
from amibridge.calls.record import CallId
from amibridge.config import WebSettings
from amibridge.enterprises import EnterpriseId
from amibridge.secrets import Keyring
from amibridge.store.db import open_pool
from amibridge.store.recordings import CallRecordings
from amibridge.web import app, connection, recordings
from amibridge.web.app import Address, AddressTaken, make_app, serve, taken
from amibridge.web.recordings import record_url
from tests.web.serving import KEYRING, Answer, Site, idle_services, serving

ID = re.compile(r"[0-9a-f]{16}")


@pytest.fixture
async def pool() -> AsyncIterator[asyncpg.Pool]:
    """Of a database that is not there: nothing here needs one."""
    async with open_pool("postgresql://127.0.0.1:1/absent") as pool:
        yield pool


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """All that is logged, ours and foreign, as finely as can be."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    written = io.StringIO()
    log.configure("json", "debug", written)
    yield written
    for added in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(added)
    root.setLevel(level)
    for name in ("aiohttp.access", "alembic", "asyncio", "panoramisk", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.reset_defaults()


def lines(logged: io.StringIO, event: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, logged.getvalue().splitlines()) if line["event"] == event]


def token_of(call: str = "pbx1:1.1", good_for: timedelta = timedelta(hours=1)) -> str:
    address = record_url("", KEYRING, EnterpriseId("0123"), CallId(call), datetime.now(UTC) + good_for)
    return address.removeprefix("/recordings/")


def is_error(answer: Answer, status: int, error: str) -> bool:
    shape = {"success": False, "error": error, "detail": answer.json["detail"]}
    return answer.status == status and answer.json == shape and answer.json["detail"].endswith(".")


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect of ours, wherever a recording is asked for."""

    async def fail(*args: object, **more: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(recordings, "recordings_of_call", fail)


class TestErrors:
    async def test_what_is_not_there(self, site: Site) -> None:
        for path in ("/", "/nothing", "/healthy", "/health/live/", "/recordings/", "/recordings/a/b", "/%00", "/?q=1"):
            assert is_error(await site.ask(path), 404, "not_found"), path

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
    async def test_what_may_not_be_done(self, site: Site, method: str) -> None:
        for path in ("/health/live", "/health/ready", "/recordings/token"):
            answer = await site.ask(path, method)
            assert is_error(answer, 405, "method_not_allowed")
            assert set(answer.headers["Allow"].split(",")) == {"GET", "HEAD"}

    @pytest.mark.usefixtures("broken")
    async def test_a_defect_of_ours_tells_nothing_outside_and_all_in_the_log(
        self, site: Site, logged: io.StringIO
    ) -> None:
        answer = await site.ask(f"/recordings/{token_of()}")
        assert is_error(answer, 500, "internal_error")
        assert b"ZeroDivisionError" not in answer.body
        [line] = lines(logged, "request_failed")
        assert (line["level"], line["method"], line["resource"]) == ("error", "GET", "/recordings/{token}")
        assert line["request"] == answer.headers["X-Request-ID"]
        assert "ZeroDivisionError: a defect" in line["exception"]

    async def test_a_connection_of_ours_that_broke_is_no_visitor_who_left(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise ConnectionResetError("something of ours has gone")

        monkeypatch.setattr(Keyring, "read_link", fail)
        assert is_error(await site.ask(f"/recordings/{token_of()}"), 500, "internal_error")

    @pytest.mark.usefixtures("broken")
    async def test_every_answer_has_an_id_of_its_own(self, site: Site) -> None:
        asked = [
            ("GET", "/health/live", 200),
            ("HEAD", "/health/live", 200),
            ("GET", "/health/ready", 503),
            ("GET", "/nothing", 404),
            ("HEAD", "/nothing", 404),
            ("POST", "/health/live", 405),
            ("GET", "/recordings/forged", 404),
            ("GET", f"/recordings/{token_of(good_for=timedelta(0))}", 410),
            ("GET", f"/recordings/{token_of()}", 500),
        ]
        ids = set()
        for method, path, status in asked:
            answer = await site.ask(path, method, headers={"X-Request-ID": "of-the-visitor"})
            assert answer.status == status
            assert ID.fullmatch(answer.headers["X-Request-ID"])
            ids.add(answer.headers["X-Request-ID"])
        assert len(ids) == len(asked)

    @pytest.mark.usefixtures("broken")
    async def test_no_token_is_ever_logged(self, site: Site, logged: io.StringIO) -> None:
        tokens = [token_of(), token_of("pbx1:2.2", timedelta(0)), token_of()[:-1]]
        for token in tokens:
            for method in ("GET", "HEAD", "POST"):
                await site.ask(f"/recordings/{token}", method)
            for request in (
                f"GET /recordings/{token}\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
                f"GET /recordings/{token}{'x' * 10_000} HTTP/1.1\r\nHost: x\r\n\r\n",
                f"GET /recordings/{token} HTTP/9.9.9\r\n\r\n",
                f"GET /recordings/{token} HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
                f"GET\t/recordings/{token}\r\n\r\n",
            ):
                await said_to(site, request.encode())
        written = logged.getvalue()
        assert "request_failed" in written
        for token in tokens:
            assert token.split(".")[0] not in written
            assert token.split(".")[-1] not in written


async def said_to(site: Site, raw: bytes) -> bytes:
    """All that comes back until the other side closes; nothing, if it closed while we were still talking."""
    async with site.connected() as (reader, writer):
        writer.write(raw)
        async with asyncio.timeout(20):
            try:
                return await reader.read(-1)
            except ConnectionResetError:
                return b""


def parsed(raw: bytes) -> Answer:
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *rest = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in rest)
    return Answer(int(status.split(" ")[1]), headers, body, json.loads(body))


MEGABYTE = 1024 * 1024

NOT_HTTP = {
    "a header of a megabyte": b"GET /health/live HTTP/1.1\r\nHost: x\r\nX: " + b"x" * MEGABYTE + b"\r\n\r\n",
    "a path of a megabyte": b"GET /" + b"x" * MEGABYTE + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "ten thousand headers": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
    "TLS": bytes.fromhex("16030102000100 01fc0303") + bytes(range(256)) + b"\r\n\r\n",
    "AMI": b"Asterisk Call Manager/11.0.0\r\nAction: Login\r\n\r\n",
    "noise": bytes(range(256)) * 20 + b"\r\n\r\n",
    "zeros": bytes(1000) + b"\r\n\r\n",
    "no method": b"BREW /health/live HTTP/1.1\r\nHost: x\r\n\r\n",
    "a header without a colon": b"GET /health/live HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
    "a NUL in the path": b"GET /health/\0live HTTP/1.1\r\nHost: x\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a length and chunks": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0",
    "a negative length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
}


class TestHostileInput:
    @pytest.mark.parametrize("raw", NOT_HTTP.values(), ids=NOT_HTTP)
    async def test_what_is_not_http_is_refused_in_our_shape_and_costs_one_quiet_line(
        self, site: Site, logged: io.StringIO, raw: bytes
    ) -> None:
        said = await said_to(site, raw)
        [line] = lines(logged, "request_not_understood")
        assert line["level"] == "info"
        assert ID.fullmatch(line["request"])
        if said or len(raw) < MEGABYTE:
            assert is_error(answer := parsed(said), 400, "bad_request")
            assert line["request"] == answer.headers["X-Request-ID"]
        assert len(logged.getvalue().splitlines()) == 1
        assert "xxxx" not in logged.getvalue()
        assert (await site.ask("/health/live")).status == 200

    async def test_a_second_question_that_is_none(self, site: Site, logged: io.StringIO) -> None:
        async with site.connected() as (reader, writer):
            writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")
            writer.write(b"nonsense\r\n\r\n")
            async with asyncio.timeout(20):
                assert is_error(parsed(await reader.read(-1)), 400, "bad_request")
        assert len(lines(logged, "request_not_understood")) == 1

    async def test_an_expectation_that_nobody_knows(self, site: Site) -> None:
        request = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: wonders\r\n\r\n"
        answer = parsed(await said_to(site, request))
        assert is_error(answer, 417, "expectation_failed")
        assert ID.fullmatch(answer.headers["X-Request-ID"])

    async def test_a_body_that_never_comes_is_not_waited_for(self, site: Site) -> None:
        async with site.connected() as (reader, writer):
            writer.write(b"POST /health/live HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nx")
            async with asyncio.timeout(5):
                assert (await reader.readline()).startswith(b"HTTP/1.1 405 ")
            assert (await site.ask("/health/live")).status == 200

    async def test_a_large_body_is_not_kept(self, site: Site) -> None:
        answer = await site.ask("/health/live", "POST", data=io.BytesIO(b"x" * (8 * MEGABYTE)))
        assert is_error(answer, 405, "method_not_allowed")

    async def test_whoever_writes_slowly_holds_up_nobody(self, site: Site) -> None:
        async with asyncio.TaskGroup() as tasks:
            slow = [tasks.create_task(self.dawdle(site), name=f"slow visitor {number}") for number in range(50)]
            for _ in range(20):
                async with asyncio.timeout(5):
                    assert (await site.ask("/health/live")).status == 200
            for one in slow:
                one.cancel()

    async def dawdle(self, site: Site) -> None:
        async with site.connected() as (_, writer):
            for byte in b"GET /health/live HTTP/1.1\r\nX: " + b"x" * 1_000_000:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.01)


class TestServing:
    async def test_an_address_that_is_taken_is_said(self, pool: asyncpg.Pool) -> None:
        services = idle_services(pool)
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            settings = WebSettings("127.0.0.1", port, "https://bridge.example")
            with pytest.raises(AddressTaken) as taken:
                await serve(make_app(services), Address(settings), asyncio.Event(), asyncio.Event())
        assert str(taken.value) == f"cannot listen on 127.0.0.1:{port}: Address already in use"

    async def test_an_address_that_is_none_is_said(self, pool: asyncpg.Pool) -> None:
        services = idle_services(pool)
        settings = WebSettings("no-such-host.invalid", 8019, "https://bridge.example")
        with pytest.raises(AddressTaken, match=r"no-such-host\.invalid:8019: "):
            await serve(make_app(services), Address(settings), asyncio.Event(), asyncio.Event())

    async def test_an_address_that_is_only_taken_lets_nobody_in_and_is_left_at_the_end(
        self, unused_tcp_port: int
    ) -> None:
        settings = WebSettings("127.0.0.1", unused_tcp_port, "https://bridge.example")
        for _ in range(2):
            async with taken(settings):
                with pytest.raises(OSError, match="111"):
                    await asyncio.open_connection("127.0.0.1", unused_tcp_port)

    async def test_serving_may_begin_anew_on_an_address(self, pool: asyncpg.Pool, unused_tcp_port: int) -> None:
        services = idle_services(pool)
        async with taken(WebSettings("localhost", unused_tcp_port, "https://bridge.example")) as address:
            for _ in range(2):
                stop, listening = asyncio.Event(), asyncio.Event()
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(serve(make_app(services), address, stop, listening), name="serving")
                    await listening.wait()
                    _, writer = await asyncio.open_connection("localhost", unused_tcp_port)
                    writer.close()
                    stop.set()

    @pytest.mark.parametrize("said", [b"", b"GET /health/live HTTP/1.1\r\nHost:"])
    async def test_who_does_not_come_to_ask_is_not_kept(
        self, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch, said: bytes
    ) -> None:
        monkeypatch.setattr(connection, "FIRST_WITHIN", 0.1)
        async with serving(pool) as site, site.connected() as (reader, writer):
            writer.write(said)
            async with asyncio.timeout(20):
                assert await reader.read() == b""

    @pytest.mark.parametrize("said", [b"", b"GET /health/live HTTP/1.1\r\nHost:"])
    async def test_who_asks_no_more_is_not_kept(
        self, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch, said: bytes
    ) -> None:
        monkeypatch.setattr(connection, "NEXT_WITHIN", 0.1)
        async with serving(pool) as site, site.connected() as (reader, writer):
            writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n" + said)
            async with asyncio.timeout(20):
                assert (await reader.read()).startswith(b"HTTP/1.1 200 ")

    async def test_there_is_an_end_to_how_many_are_kept(
        self, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connection, "MOST", 2)
        async with serving(pool) as site, site.connected() as first, site.connected() as second:
            for reader, writer in (first, second):
                writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
            async with asyncio.timeout(20), site.connected() as (reader, _):
                assert await reader.read() == b""
            first[1].close()
            async with asyncio.timeout(20):
                while True:
                    async with site.connected() as (reader, writer):
                        writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
                        with suppress(ConnectionError):
                            if (await reader.readline()).startswith(b"HTTP/1.1 200 "):
                                break
                    await asyncio.sleep(0.01)

    async def test_nobody_holds_up_the_stop(
        self, pool: asyncpg.Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A half request, a connection that is kept, and a player that has stopped reading."""
        with (tmp_path / "long.ogg").open("wb") as file:
            file.truncate(200 * MEGABYTE)

        async def any_file(*args: object, **more: object) -> CallRecordings:
            return CallRecordings(("long.ogg",), str(tmp_path), datetime.now(UTC) - timedelta(hours=1))

        monkeypatch.setattr(app, "GRACE", 0.2)
        monkeypatch.setattr(recordings, "recordings_of_call", any_file)
        loop = asyncio.get_running_loop()
        async with serving(pool) as site:
            half, kept, player = [await asyncio.open_connection(site.host, site.port) for _ in range(3)]
            half[1].write(b"GET /health/live HTTP/1.1\r\nHost:")
            kept[1].write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            player[1].write(f"GET /recordings/{token_of()} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert (await kept[0].readline()).startswith(b"HTTP/1.1 200 ")
            assert (await player[0].readline()).startswith(b"HTTP/1.1 200 ")
            begun = loop.time()
        assert loop.time() - begun < 2
        for _, writer in (half, kept, player):
            writer.transport.abort()
