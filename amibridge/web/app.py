"""The routes of the side server, and serving them until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import structlog
from aiohttp import web

from amibridge.config import WebSettings
from amibridge.enterprises import CrmStanding, EnterpriseId, HistoryStanding, HostStanding, WebhookStanding
from amibridge.recordings.library import Library
from amibridge.redact import Secret
from amibridge.retailcrm.triggers import Hint
from amibridge.secrets import Keyring
from amibridge.store.audit import AuditTrail
from amibridge.store.call_records import CallRecords
from amibridge.store.ledger_pages import LedgerPages
from amibridge.store.outbox import Outbox
from amibridge.store.recorder import FactQueue
from amibridge.web.access import Gate
from amibridge.web.answers import identified
from amibridge.web.api.calls import LiveCalls, Parties, call_endpoints, finding
from amibridge.web.api.events import event_endpoint
from amibridge.web.api.ledger import ledger_endpoints
from amibridge.web.api.openapi import serve_document, serve_page
from amibridge.web.api.recordings import recordings_endpoint
from amibridge.web.clicks import Call, ClickRoutes
from amibridge.web.connection import Connection, Doors
from amibridge.web.health import Sources, live, readiness
from amibridge.web.legacy_call_logs import CallLogRoutes, ZoneOf, configured_zone
from amibridge.web.legacy_dialplan import LEGACY_PATH, answer_legacy_dialplan
from amibridge.web.legacy_doors import ShutDoors, tell_alive
from amibridge.web.module import KeepStatus, ModuleRoutes
from amibridge.web.monitoring import Monitor, MonitorRoutes
from amibridge.web.parking import Fetch, Park, ParkingRoutes
from amibridge.web.recordings import Tell, audited, log_fetch, serve_recordings
from amibridge.web.responsible import PATH as RESPONSIBLE_PATH
from amibridge.web.responsible import Ask, tell_responsible
from amibridge.web.scrape import expose
from amibridge.web.streams import Streams
from amibridge.web.tenants import Tenants
from amibridge.web.transfers import Transfer, TransferRoutes
from amibridge.web.visitors import ADDRESS_OF, address, address_of
from amibridge.web.webhook import take_hints

log = structlog.get_logger()

LARGEST_BODY = 64 * 1024
"""Bytes. Nobody has more than a form to send us."""

DOORS: web.AppKey[Doors] = web.AppKey("doors")

GRACE = 1.0
"""Seconds that requests under way get at the stop: a recording that is being played may be cut."""


class AddressTaken(Exception):
    """Stop until a person has looked: the address to listen on cannot be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebServices:
    """What the routes ask."""

    pool: asyncpg.Pool
    outbox: Outbox
    hosts: Callable[[], Sequence[HostStanding]]
    crms: Callable[[], Sequence[CrmStanding]]
    queue: FactQueue
    longest_stall: Callable[[], timedelta]
    keyring: Keyring
    tenants: Tenants
    zone_changed: Callable[[EnterpriseId], None]
    hint: Callable[[EnterpriseId, Hint], None]
    call: Call
    transfer: Transfer
    park: Park
    fetch: Fetch
    monitor: Monitor
    keep_status: KeepStatus
    responsible: Ask
    library: Library
    trail: AuditTrail
    live_calls: LiveCalls
    parties: Parties
    public_url: str
    streams: Streams
    histories: Callable[[], Sequence[HistoryStanding]] = tuple
    metrics_token: Secret | None = None
    trusted_proxies: Sequence[str] = ()
    fetched: Tell = log_fetch
    zone_of: ZoneOf = configured_zone
    webhooks: Callable[[], Sequence[WebhookStanding]] = tuple


def make_app(services: WebServices) -> web.Application:
    app = web.Application(middlewares=[identified], client_max_size=LARGEST_BODY)
    app[ADDRESS_OF] = address_of(services.trusted_proxies)
    app[DOORS] = Doors(services.trusted_proxies)
    app.router.add_get("/health/live", live)
    sources = Sources(
        services.hosts,
        services.crms,
        services.histories,
        services.queue,
        services.longest_stall,
        services.streams.listening,
        services.webhooks,
    )
    app.router.add_get("/health/ready", readiness(services.outbox, sources))
    for path in ("/health", "/api/status"):
        app.router.add_get(path, tell_alive)
    app.router.add_get("/metrics", expose(sources, services.outbox, services.metrics_token))
    fetched = audited(services.trail, services.fetched)
    playing = serve_recordings(services.pool, services.keyring, services.library, address, fetched)
    for path in ("/recordings/{token}", "/recordings/{token}/{number}"):
        app.router.add_get(path, playing)
    gate = Gate(services.tenants, services.trail)
    ModuleRoutes(services.pool, gate, services.tenants, services.zone_changed, services.keep_status).add_to(app.router)
    ClickRoutes(gate, services.tenants, services.call).add_to(app.router)
    TransferRoutes(gate, services.transfer).add_to(app.router)
    ParkingRoutes(gate, services.park, services.fetch).add_to(app.router)
    MonitorRoutes(gate, services.monitor).add_to(app.router)
    records = CallRecords(services.pool)
    CallLogRoutes(gate, records, services.zone_of).add_to(app.router)
    ShutDoors(services.tenants).add_to(app.router)
    dialplans = (services.responsible, services.trail)
    app.router.add_get(RESPONSIBLE_PATH, tell_responsible(services.tenants, *dialplans), allow_head=False)
    app.router.add_post(LEGACY_PATH, answer_legacy_dialplan(gate, *dialplans))
    find = finding(records, services.live_calls)
    endpoints = [
        *call_endpoints(records, services.live_calls, services.parties, find),
        *ledger_endpoints(LedgerPages(services.pool), find),
        recordings_endpoint(services.pool, services.keyring, services.public_url),
        event_endpoint(services.streams, gate.would_admit),
    ]
    app.on_shutdown.append(services.streams.end)
    for endpoint in endpoints:
        app.router.add_get(endpoint.path, endpoint.handler(gate), allow_head=False)
    app.router.add_get("/openapi.json", serve_document(endpoints))
    app.router.add_get("/docs", serve_page(endpoints))
    webhook = take_hints(services.tenants, services.hint)
    for path in ("/retailcrm/webhook", "/retailcrm/webhook/{secret}"):
        app.router.add_post(path, webhook)
        app.router.add_get(path, webhook, allow_head=False)  # some triggers can do no more
    return app


class Address:
    """Where we listen: taken before anything else is begun, listened on when there is something to serve."""

    def __init__(self, settings: WebSettings) -> None:
        self._settings = settings
        self._sockets: list[socket.socket] = []

    async def take(self) -> None:
        """Raises AddressTaken."""
        loop, settings = asyncio.get_running_loop(), self._settings
        try:
            found = await loop.getaddrinfo(
                settings.listen_host, settings.listen_port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            for family, kind, protocol, _, place in dict.fromkeys(found):
                self._sockets.append(_bound(family, kind, protocol, place))
        except OSError as error:
            self.leave()
            raise self._taken(error) from None

    def leave(self) -> None:
        """Close what nobody came to listen on."""
        while self._sockets:
            self._sockets.pop().close()

    async def listen(self, protocol: Callable[[], asyncio.Protocol]) -> list[asyncio.Server]:
        """Raises AddressTaken. Takes the address if nobody has done so, as when the serving begins anew."""
        if not self._sockets:
            await self.take()
        servers: list[asyncio.Server] = []
        try:
            while self._sockets:
                servers.append(await asyncio.get_running_loop().create_server(protocol, sock=self._sockets.pop(0)))
        except OSError as error:
            for server in servers:
                server.close()
            self.leave()
            raise self._taken(error) from None
        return servers

    def _taken(self, error: OSError) -> AddressTaken:
        return AddressTaken(
            f"cannot listen on {self._settings.listen_host}:{self._settings.listen_port}: {_reason(error)}"
        )


@contextlib.asynccontextmanager
async def taken(settings: WebSettings) -> AsyncIterator[Address]:
    """The address, which is left at the end if it is still only taken. Raises AddressTaken."""
    address = Address(settings)
    await address.take()
    try:
        yield address
    finally:
        address.leave()


async def serve(app: web.Application, address: Address, stop: asyncio.Event, listening: asyncio.Event) -> None:
    """Until *stop*; *listening* is set when questions are answered. Raises AddressTaken."""
    runner = web.AppRunner(app, shutdown_timeout=GRACE)
    await runner.setup()
    loop, server, doors = asyncio.get_running_loop(), runner.server, app.get(DOORS) or Doors()
    assert server is not None
    try:
        async with contextlib.AsyncExitStack() as stack:
            for listener in await address.listen(lambda: Connection(server, doors, loop=loop)):
                stack.callback(listener.close)
                for host, port, *_ in (one.getsockname() for one in listener.sockets):
                    log.info("web_listening", address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
            listening.set()
            await stop.wait()
    finally:
        await runner.cleanup()


def _bound(family: int, kind: int, protocol: int, place: Any) -> socket.socket:
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(place)
    except OSError:
        bound.close()
        raise
    return bound


def _reason(error: OSError) -> str:
    """In the system's words: asyncio's own name the address once more."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)
