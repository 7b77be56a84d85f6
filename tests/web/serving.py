"""The side server on a real port, with what it asks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import asyncpg
from aiohttp import web
from structlog.testing import capture_logs
from yarl import URL

from amibridge.calls.clicks import Click, Placed
from amibridge.calls.monitoring import Begun, Wanted
from amibridge.calls.parking import AskedToFetch, AskedToPark, Fetched, ParkedThere
from amibridge.calls.parties import Party
from amibridge.calls.record import CallId, CallRecord
from amibridge.calls.transfers import Asked, Done
from amibridge.config import RecordingSettings, WebSettings
from amibridge.enterprises import CrmStanding, Enterprise, EnterpriseId, HistoryStanding, HostStanding, WebhookStanding
from amibridge.recordings.library import Library, library_settings
from amibridge.redact import Secret
from amibridge.responsible.answer import Answer as Told
from amibridge.responsible.answer import Nobody, Why
from amibridge.retailcrm.triggers import Hint
from amibridge.secrets import Key, Keyring
from amibridge.store.audit import AuditTrail
from amibridge.store.facts import WrittenFacts
from amibridge.store.operator_statuses import keep_status
from amibridge.store.outbox import Outbox
from amibridge.store.recorder import FactQueue
from amibridge.web.app import Address, WebServices, make_app, serve
from amibridge.web.clicks import Call
from amibridge.web.monitoring import Monitor
from amibridge.web.parking import Fetch as Pickup
from amibridge.web.parking import Park
from amibridge.web.recordings import Fetch
from amibridge.web.streams import LASTS, Streams
from amibridge.web.tenants import Tenants
from amibridge.web.transfers import Transfer
from tests.delivery.waiting import until

NOBODY = Told(Nobody(Why.NOT_TOLD))
PUBLIC_URL = "https://bridge.example"
KEYRING = Keyring([Key("web", bytes(range(32)))])


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    json: Any


async def no_call(enterprise: Enterprise, click: Click) -> Placed:
    raise AssertionError(f"nobody was to be called: {click}")


async def no_transfer(enterprise: Enterprise, asked: Asked) -> Done:
    raise AssertionError(f"nobody was to be handed on: {asked}")


async def no_parking(enterprise: Enterprise, asked: AskedToPark) -> ParkedThere:
    raise AssertionError(f"nobody was to be parked: {asked}")


async def no_fetching(enterprise: Enterprise, asked: AskedToFetch) -> Fetched:
    raise AssertionError(f"nobody was to be fetched: {asked}")


async def no_monitoring(enterprise: Enterprise, wanted: Wanted) -> Begun:
    raise AssertionError(f"nobody was to be listened in on: {wanted}")


@dataclass
class Site:
    """*standings*, *crms*, *histories*, *webhooks*, *queue*, *stall*: what health and metrics tell. *zones_changed*:
    whose was said to be; *hints*: what came by webhook; *call*, *transfer*, *monitor*: who places calls, hands on,
    listens in. *asked*: who should take a call, which *responsible* answers. *fetches*: who was given which recording.
    *cache*: of recordings."""

    host: str
    port: int
    client: aiohttp.ClientSession
    queue: FactQueue
    cache: Path
    trail: AuditTrail
    streams: Streams
    live_calls: dict[EnterpriseId, list[CallRecord]] = field(default_factory=dict)
    parties: dict[tuple[EnterpriseId, CallId], list[Party]] = field(default_factory=dict)
    tenants: Tenants = field(default_factory=Tenants)
    standings: list[HostStanding] = field(default_factory=list)
    crms: list[CrmStanding] = field(default_factory=list)
    histories: list[HistoryStanding] = field(default_factory=list)
    webhooks: list[WebhookStanding] = field(default_factory=list)
    stall: timedelta = timedelta(0)
    zones_changed: list[EnterpriseId] = field(default_factory=list)
    hints: list[tuple[EnterpriseId, Hint]] = field(default_factory=list)
    fetches: list[Fetch] = field(default_factory=list)
    call: Call = no_call
    transfer: Transfer = no_transfer
    park: Park = no_parking
    fetch: Pickup = no_fetching
    monitor: Monitor = no_monitoring
    asked: list[tuple[EnterpriseId, str, str | None]] = field(default_factory=list)
    responsible: Told | Exception = NOBODY
    zones: dict[EnterpriseId, ZoneInfo | None] = field(default_factory=dict)

    async def who(self, enterprise: EnterpriseId, phone: str, line: str | None) -> Told:
        self.asked.append((enterprise, phone, line))
        if isinstance(self.responsible, Exception):
            raise self.responsible
        return self.responsible

    async def ask(self, path: str, method: str = "GET", **more: Any) -> Answer:
        """*path* is sent as it is."""
        address = URL(f"http://{self.host}:{self.port}{path}", encoded=True)
        async with self.client.request(method, address, **more) as response:
            body = await response.read()
            is_json = response.content_type == "application/json" and body
            return Answer(response.status, response.headers, body, await response.json() if is_json else None)

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A bare connection, for what no client would send."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


def idle_services(pool: asyncpg.Pool) -> WebServices:
    """For who is asked nothing."""

    async def nobody(*_: object) -> Any:
        raise AssertionError("nobody asks")

    library = Library(library_settings(Path("/nowhere"), RecordingSettings()))
    return WebServices(
        pool=pool,
        outbox=Outbox(pool),
        hosts=list,
        crms=list,
        queue=FactQueue(),
        longest_stall=timedelta,
        keyring=KEYRING,
        tenants=Tenants(),
        zone_changed=print,
        hint=print,
        call=nobody,
        transfer=nobody,
        park=nobody,
        fetch=nobody,
        monitor=nobody,
        keep_status=nobody,
        responsible=nobody,
        library=library,
        trail=AuditTrail(pool),
        live_calls=lambda _: (),
        parties=lambda *_: (),
        public_url=PUBLIC_URL,
        streams=Streams(WrittenFacts(pool)),
    )


@contextlib.asynccontextmanager
async def serving(
    pool: asyncpg.Pool,
    app: web.Application | None = None,
    *,
    metrics_token: str | None = None,
    trusted_proxies: Sequence[str] = (),
    streams_last: timedelta = LASTS,
) -> AsyncIterator[Site]:
    stop, listening, queue = asyncio.Event(), asyncio.Event(), FactQueue()
    async with contextlib.AsyncExitStack() as stack:
        # A stop waits for no thread that writes.
        folder = Path(stack.enter_context(TemporaryDirectory(ignore_cleanup_errors=True)))
        library = Library(library_settings(folder, RecordingSettings()))
        await stack.enter_async_context(library.serving())
        client = await stack.enter_async_context(aiohttp.ClientSession())
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        streams = Streams(WrittenFacts(pool), streams_last)
        site = Site("127.0.0.1", 0, client, queue, folder / "recordings", AuditTrail(pool), streams)
        services = WebServices(
            pool=pool,
            outbox=Outbox(pool),
            hosts=lambda: site.standings,
            crms=lambda: site.crms,
            queue=queue,
            longest_stall=lambda: site.stall,
            keyring=KEYRING,
            tenants=site.tenants,
            zone_changed=site.zones_changed.append,
            hint=lambda enterprise, hint: site.hints.append((enterprise, hint)),
            call=lambda enterprise, click: site.call(enterprise, click),
            transfer=lambda enterprise, asked: site.transfer(enterprise, asked),
            park=lambda enterprise, asked: site.park(enterprise, asked),
            fetch=lambda enterprise, asked: site.fetch(enterprise, asked),
            monitor=lambda enterprise, wanted: site.monitor(enterprise, wanted),
            keep_status=lambda told, within: keep_status(pool, told, within=within),
            responsible=site.who,
            library=library,
            trail=site.trail,
            live_calls=lambda enterprise: site.live_calls.get(enterprise, ()),
            parties=lambda enterprise, call: site.parties.get((enterprise, call), ()),
            public_url=PUBLIC_URL,
            streams=site.streams,
            histories=lambda: site.histories,
            metrics_token=None if metrics_token is None else Secret(metrics_token),
            trusted_proxies=trusted_proxies,
            fetched=site.fetches.append,
            zone_of=lambda enterprise: site.zones.get(enterprise.id, enterprise.time_zone),
            webhooks=lambda: site.webhooks,
        )
        settings = WebSettings("127.0.0.1", 0, PUBLIC_URL)
        with capture_logs() as lines:
            serving = serve(app or make_app(services), Address(settings), stop, listening)
            work = tasks.create_task(serving, name="site under test")
            await until(lambda: listening.is_set() or work.done())
        [line] = [line for line in lines if line["event"] == "web_listening"]
        site.host, _, port = line["address"].rpartition(":")
        site.port = int(port)
        try:
            yield site
        finally:
            stop.set()
