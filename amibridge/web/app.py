"""The routes of the side server, and serving them until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import structlog
from aiohttp import web

from amibridge.config import WebSettings
from amibridge.enterprises import HostStanding
from amibridge.secrets import Keyring
from amibridge.store.outbox import Outbox
from amibridge.store.recorder import FactQueue
from amibridge.web.answers import identified
from amibridge.web.connection import Connection
from amibridge.web.health import live, readiness
from amibridge.web.recordings import serve_recordings

log = structlog.get_logger()

LARGEST_BODY = 64 * 1024
"""Bytes. Nobody has more than a form to send us."""

GRACE = 1.0
"""Seconds that requests under way get at the stop: a recording that is being played may be cut."""


class AddressTaken(Exception):
    """Stop until a person has looked: the address to listen on cannot be had."""


@dataclass(frozen=True, slots=True)
class WebServices:
    """What the routes ask."""

    pool: asyncpg.Pool
    outbox: Outbox
    standings: Callable[[], Sequence[HostStanding]]
    queue: FactQueue
    longest_stall: Callable[[], timedelta]
    keyring: Keyring


def make_app(services: WebServices) -> web.Application:
    app = web.Application(middlewares=[identified], client_max_size=LARGEST_BODY)
    app.router.add_get("/health/live", live)
    app.router.add_get(
        "/health/ready", readiness(services.outbox, services.standings, services.queue, services.longest_stall)
    )
    app.router.add_get("/recordings/{token}", serve_recordings(services.pool, services.keyring))
    return app


async def serve(app: web.Application, settings: WebSettings, stop: asyncio.Event) -> None:
    """Until *stop*. Raises AddressTaken."""
    runner = web.AppRunner(app, shutdown_timeout=GRACE)
    await runner.setup()
    try:
        with contextlib.closing(await _listen(runner, settings)) as listener:
            for host, port, *_ in (listening.getsockname() for listening in listener.sockets):
                log.info("web_listening", address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
            await stop.wait()
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, settings: WebSettings) -> asyncio.Server:
    loop, server = asyncio.get_running_loop(), runner.server
    assert server is not None
    address = settings.listen_host, settings.listen_port
    try:
        return await loop.create_server(lambda: Connection(server, loop=loop), *address)
    except OSError as error:
        raise AddressTaken(f"cannot listen on {address[0]}:{address[1]}: {_reason(error)}") from None


def _reason(error: OSError) -> str:
    """In the system's words: asyncio's own name the address once more."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)
