"""The composition root: what is built from what, who is started, in which order it stops. It contains no rules.

Stopping follows the data's path: the web takes no more questions, CRMs are asked no more, hosts say goodbye, the queue
drains into the ledger, the lanes finish what is in flight; all within ten seconds, and what did not make it is resumed
by the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from amibridge import __version__
from amibridge.agi.server import AgiAddressTaken, AgiServer
from amibridge.ami.link import LinkSettings
from amibridge.calls.record import CallRecord
from amibridge.config import Settings, WebSettings
from amibridge.delivery.webhooks.post import open_post
from amibridge.delivery.webhooks.worker import Webhooks
from amibridge.delivery.worker import Deliveries
from amibridge.enterprises import Enterprise, EnterpriseId
from amibridge.recordings.library import Library, library_settings
from amibridge.recordings.places import is_within_reach
from amibridge.responsible.desks import Desks
from amibridge.retailcrm.client import CrmSettings, open_crm
from amibridge.runtime.fetching import Fetcher
from amibridge.runtime.keeper import Keeper
from amibridge.runtime.monitoring import Monitoring
from amibridge.runtime.one_at_a_time import OneAtATime
from amibridge.runtime.originate import Originator
from amibridge.runtime.parking import Parker
from amibridge.runtime.pulse import Pulse
from amibridge.runtime.request_log import RequestLog
from amibridge.runtime.retention import forget
from amibridge.runtime.ring import Traces
from amibridge.runtime.ring_files import RING
from amibridge.runtime.supervise import Hopeless, spawn
from amibridge.runtime.systemd import notify
from amibridge.runtime.transfer import Transferor
from amibridge.secrets import Keyring, find_keyring, open_keyring
from amibridge.store.audit import AuditTrail
from amibridge.store.customers import Customers
from amibridge.store.db import DatabaseMissing, open_pool, place_of
from amibridge.store.directory import Directory
from amibridge.store.embedded import EmbeddedStopped, EmbeddedUnusable
from amibridge.store.facts import WrittenFacts
from amibridge.store.follow_ups import FollowUps
from amibridge.store.ledger import Ledger
from amibridge.store.mirror import Mirror
from amibridge.store.opening import open_database
from amibridge.store.outbox import Delivery, Outbox
from amibridge.store.recorder import FactQueue, StoreHopeless, record
from amibridge.store.requests import CrmRequests
from amibridge.store.retention import Retention
from amibridge.sync.worker import Watchers
from amibridge.web.app import AddressTaken, WebServices, make_app, serve, taken
from amibridge.web.recordings import record_url as signed_record_url
from amibridge.web.streams import Streams
from amibridge.web.tenants import Tenants

log = structlog.get_logger()

GONE_WITHIN = timedelta(seconds=2)
"""For the goodbyes to all hosts, which are said at once."""

DRAINED_WITHIN = timedelta(seconds=2)
"""For the facts in the queue at the stop; if the database is away, the next start learns of their calls otherwise."""

LOGGED_WITHIN = timedelta(milliseconds=500)
"""For the last requests to the CRMs, which are told anyway."""

MIGRATED_WITHIN = timedelta(seconds=60)
"""Which is asked for again every `migrations.SAID_EVERY`."""

LISTEN_FOR = timedelta(days=3 * 365)
"""How long the CRM's player may ask for a recording where nobody says otherwise: as long as companies keep them."""

_FATAL = (Hopeless, StoreHopeless, EmbeddedStopped, EmbeddedUnusable, DatabaseMissing, AddressTaken, AgiAddressTaken)


class DaemonFailed(Exception):
    """The daemon could not start, or cannot go on. One sentence for whoever started it."""


@dataclass(frozen=True, slots=True)
class Running:
    """The parts of a daemon that runs, for whoever plays with it in one process."""

    directory: Directory
    keeper: Keeper
    outbox: Outbox
    queue: FactQueue
    pulse: Pulse


async def run(settings: Settings, reload: Callable[[], Settings] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reads the settings of the log again. Raises DaemonFailed."""
    stop, ready, whole = asyncio.Event(), asyncio.Event(), asyncio.current_task()
    assert whole is not None
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, _stop_or_leave, stop, ready, whole)
    if reload is not None:
        loop.add_signal_handler(signal.SIGHUP, _reload_log, reload, ready)
    try:
        async with serving(settings, stop):
            # What is there now stays: to look through all of it takes a tenth of a second, and calls would wait.
            gc.collect()
            gc.freeze()
            ready.set()
            notify("READY=1", "STATUS=serving")
            await stop.wait()
            notify("STOPPING=1", "STATUS=stopping")
            log.info("stopping")
    except asyncio.CancelledError:
        if ready.is_set() or not stop.is_set():
            raise
        whole.uncancel()
    log.info("stopped")


@contextlib.asynccontextmanager
async def serving(settings: Settings, stop: asyncio.Event) -> AsyncIterator[Running]:
    """The whole daemon, from its database up; leaving it stops everything in order. Raises DaemonFailed.

    *stop* is set on the way out, and may be set from inside or outside to end it.
    """
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    secrets = settings.secrets
    found = find_keyring(secrets.key_file, guarded=secrets.guarded)
    library = Library(library_settings(settings.data_dir, settings.recordings))
    requests = RequestLog()
    try:
        async with (
            taken(settings.web) as address,
            open_database(settings.database, settings.data_dir, migrating=_ask_for_time) as server,
            open_pool(server.dsn) as pool,
            open_crm(CrmSettings(), tap=requests.hear) as crm,
            open_post() as post,
            library.serving(),
        ):
            keyring = found or open_keyring(secrets.key_file, guarded=secrets.guarded)
            directory, ledger, outbox = Directory(pool, keyring), Ledger(pool), Outbox(pool)
            record_url = record_urls(settings.web, keyring)
            deliveries = Deliveries(outbox, crm, Customers(pool), FollowUps(pool), record_url=record_url)
            webhooks = Webhooks(pool, post, record_url=record_url)
            desks = Desks(pool, crm, deliveries.may_ask)
            queue, pulse, tenants, trail = FactQueue(hear=desks.hear), Pulse(), Tenants(), AuditTrail(pool)
            streams = Streams(WrittenFacts(pool))
            traces = Traces(settings.data_dir / RING, settings.traces)
            watchers = Watchers(Mirror(pool, desks.customers_changed), crm)

            def deliver(rows: Sequence[Delivery]) -> None:
                deliveries.offer(rows)
                webhooks.offer(rows)

            def know(enterprises: Sequence[Enterprise]) -> None:
                deliveries.enterprises(enterprises)
                webhooks.enterprises(enterprises)
                watchers.enterprises(enterprises)
                desks.enterprises(enterprises)
                tenants.enterprises(enterprises)
                library.enterprises({one.id: one.recordings_keep for one in enterprises})

            def forget_zone(enterprise: EnterpriseId) -> None:
                deliveries.forget_zone(enterprise)
                watchers.forget_zone(enterprise)

            keeper, turns = Keeper(directory, ledger, queue, traces, know, LinkSettings()), OneAtATime()
            services = WebServices(
                pool=pool,
                outbox=outbox,
                hosts=keeper.standings,
                crms=deliveries.standings,
                queue=queue,
                longest_stall=lambda: pulse.longest_stall,
                keyring=keyring,
                tenants=tenants,
                zone_changed=forget_zone,
                hint=watchers.hint,
                call=Originator(pool, keeper.send, keeper.standings).call,
                transfer=Transferor(keeper.send, keeper.board, turns).transfer,
                park=Parker(keeper.send, keeper.board, turns).park,
                fetch=Fetcher(keeper.send, keeper.board, turns).fetch,
                monitor=Monitoring(keeper.send, keeper.board).begin,
                keep_status=desks.tell_status,
                responsible=desks.answer,
                library=library,
                trail=trail,
                live_calls=lambda one: [*keeper.live_calls(one), *queue.records_of(one)],
                parties=keeper.parties,
                public_url=settings.web.public_url,
                streams=streams,
                histories=watchers.standings,
                metrics_token=settings.web.metrics_token,
                trusted_proxies=settings.web.trusted_proxies,
                zone_of=deliveries.zone_of,
                webhooks=webhooks.standings,
            )
            lanes_stop, web_stop, traces_stop, audit_stop, listening, agi_listening = (
                asyncio.Event() for _ in range(6)
            )
            async with asyncio.TaskGroup() as tasks:
                watching = spawn(tasks, "database watch", server.watch, final=(EmbeddedStopped,))
                recording = spawn(
                    tasks,
                    "recorder",
                    lambda: record(queue, ledger, deliver, written=streams.written),
                    final=(StoreHopeless,),
                )
                spawn(tasks, "traces", lambda: traces.write(traces_stop))
                auditing = spawn(tasks, "audit", lambda: trail.write(audit_stop))
                logging_requests = spawn(tasks, "request log", lambda: requests.run(CrmRequests(pool).record))
                forgetting = spawn(tasks, "retention", lambda: forget(Retention(pool), settings.keep, stop))
                delivering = spawn(tasks, "deliveries", lambda: deliveries.run(lanes_stop))
                calling = spawn(tasks, "webhooks", lambda: webhooks.run(lanes_stop))
                following = spawn(tasks, "keeper", lambda: keeper.keep(stop))
                watching_crms = spawn(tasks, "sync", lambda: watchers.run(stop))
                spawn(
                    tasks,
                    "web",
                    lambda: serve(make_app(services), address, web_stop, listening),
                    final=(AddressTaken,),
                )
                answering = spawn(tasks, "responsible", lambda: desks.run(web_stop))
                if settings.agi is not None:
                    agi = AgiServer(settings.agi, tenants.of_client_id, desks.answer, trail)
                    spawn(tasks, "agi", lambda: agi.serve(web_stop, agi_listening), final=(AgiAddressTaken,))
                else:
                    agi_listening.set()
                beating = spawn(tasks, "pulse", pulse.beat)
                try:
                    await listening.wait()
                    await agi_listening.wait()
                    log.info(
                        "started",
                        version=__version__,
                        instance=settings.instance,
                        pid=os.getpid(),
                        data_dir=str(settings.data_dir),
                        database="private" if settings.database.dsn is None else place_of(settings.database.dsn),
                    )
                    yield Running(directory, keeper, outbox, queue, pulse)
                finally:
                    stop.set()
                    web_stop.set()
                    watching.cancel()
                    going = {following, watching_crms, answering, forgetting}
                    await asyncio.wait(going, timeout=GONE_WITHIN.total_seconds())
                    traces_stop.set()
                    audit_stop.set()
                    queue.close()
                    await asyncio.wait({recording, auditing}, timeout=DRAINED_WITHIN.total_seconds())
                    if not all(task.done() for task in (*going, recording, auditing)):
                        # A server that went silent: asyncpg would wait for it to confirm that a query is cancelled.
                        pool.terminate()
                    if not recording.done():
                        log.error("facts_left", facts=len(queue), advice="the next start settles their calls anew")
                        recording.cancel()
                    auditing.cancel()
                    lanes_stop.set()
                    await asyncio.wait({delivering, calling})
                    requests.close()
                    await asyncio.wait({logging_requests}, timeout=LOGGED_WITHIN.total_seconds())
                    if not logging_requests.done():
                        pool.terminate()
                        logging_requests.cancel()
                    beating.cancel()
    except* _FATAL as failed:
        raise DaemonFailed(_why(failed)) from failed


def record_urls(settings: WebSettings, keyring: Keyring) -> Callable[[Enterprise, CallRecord], str | None]:
    """Where one can listen to a call; nowhere, if the host's recordings are not within our reach."""

    def url_of(enterprise: Enterprise, record: CallRecord) -> str | None:
        host = next((host for host in enterprise.hosts if record.call_id.startswith(f"{host.name}:")), None)
        if host is None or host.recordings is None or not record.recordings:
            return None
        if not is_within_reach(host.recordings, host.recordings_password):
            return None
        expires_at = datetime.now(UTC) + (enterprise.links_valid or enterprise.recordings_keep or LISTEN_FOR)
        return signed_record_url(settings.public_url, keyring, enterprise.id, record.call_id, expires_at)

    return url_of


def _ask_for_time() -> None:
    """systemd would kill us, the migration be rolled back, and the next start begin it anew, for ever."""
    notify(f"EXTEND_TIMEOUT_USEC={MIGRATED_WITHIN // timedelta(microseconds=1)}", "STATUS=bringing tables up to date")


def _stop_or_leave(stop: asyncio.Event, ready: asyncio.Event, whole: asyncio.Task[None]) -> None:
    """The first signal asks for an orderly stop, the second one for none. A start is broken off."""
    if stop.is_set():
        log.warning("left_at_once")
        os._exit(1)
    stop.set()
    if not ready.is_set():
        whole.cancel()


def _reload_log(reload: Callable[[], Settings], ready: asyncio.Event) -> None:
    from amibridge import log as logging

    if ready.is_set():  # for systemd, who has reloaded is ready
        notify("RELOADING=1", f"MONOTONIC_USEC={int(asyncio.get_running_loop().time() * 1_000_000)}")
    try:
        settings = reload()
        logging.configure(settings.log.format, settings.log.level)
        log.info("settings_reloaded", level=settings.log.level)
    except Exception as error:
        log.error("settings_not_reloaded", reason=str(error))
    if ready.is_set():
        notify("READY=1")


def _why(group: BaseExceptionGroup[Exception]) -> str:
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    # Whatever else ends us says its reason itself.
    return f"{first}: {first.__cause__}" if isinstance(first, Hopeless) else str(first)
