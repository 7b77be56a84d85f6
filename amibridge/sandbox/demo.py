"""`amibridge demo`: a private PostgreSQL, PBXs that replay real calls, a RetailCRM with a page, the daemon between.

Nothing needs to be installed and nothing is left behind: all lives in a folder that goes with the demo.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from amibridge import log
from amibridge.config import DatabaseSettings, LogSettings, SecretsSettings, Settings, WebSettings
from amibridge.daemon import Running, serving
from amibridge.enterprises import EnterpriseId, HostName
from amibridge.redact import Secret
from amibridge.sandbox.crm_account import CrmAccount, PopupOpened
from amibridge.sandbox.crm_witness import Change
from amibridge.sandbox.library import demo_traces
from amibridge.sandbox.pbx import SandboxPbx
from amibridge.sandbox.retailcrm import SandboxCrm
from amibridge.sandbox.shops import SECRET, SHOPS, USERNAME
from amibridge.sandbox.truth import differences, played_calls, true_calls
from amibridge.store.embedded import open_embedded
from amibridge.store.outbox import DeliveryStatus

PAGE_PORT = 8020
"""Beside the bridge's own 8019."""

TOLD_WITHIN = timedelta(seconds=30)
"""How long `--once` waits, when all has been played, for the CRM to have been told."""


class Interrupted(Exception):
    """Go no further: *stop* was set while all this was being set up."""


class Steps:
    """Tells a person what is being done, when, and how long each step took. No step begins after *stop*."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._begun = time.monotonic()
        self._stop = stop

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._begun:5.1f} s] {text}", file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Raises Interrupted."""
        if self._stop.is_set():
            raise Interrupted
        begun = time.monotonic()
        yield
        self.say(f"{text} ({time.monotonic() - begun:.1f} s)")


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs, what changes in the CRM from the beginning on, and where its page is.

    *exported*: what a shell says so that commands given there ask this bridge.
    """

    crm: SandboxCrm
    changes: AsyncIterator[Change]
    accounts: Mapping[EnterpriseId, CrmAccount]
    pbxs: Mapping[HostName, SandboxPbx]
    running: Running
    page: str
    exported: str


async def demo(*, port: int | None = None, speed: float = 1.0, once: bool = False) -> int:
    """Run until Ctrl-C; with *once* until all recorded calls have been played, then 0 if the CRM has every one right.

    Raises OSError when *port* cannot be had, EmbeddedUnusable, and DaemonFailed.
    """
    log.configure()
    stop = asyncio.Event()
    steps = Steps(stop)
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # a terminal that is closed leaves nothing behind, too
        asyncio.get_running_loop().add_signal_handler(name, _stop, stop, steps)
    played: Stage | None = None
    with contextlib.suppress(Interrupted):
        async with _stage(steps, stop, port=port, speed=speed, once=once) as stage:
            steps.say(f"open {stage.page} and watch calls arrive" + ("" if once else "; Ctrl-C ends the demo"))
            if not once:
                steps.say(f"for commands in another terminal: {stage.exported}")
            async with asyncio.TaskGroup() as tasks:
                first = tasks.create_task(_first_popup(stage, steps), name="first popup")
                if once:
                    await _until(stop, _all_told(stage))
                else:
                    await stop.wait()
                first.cancel()
            played = None if stop.is_set() else stage
    steps.say("stopped; nothing is left behind")
    if not once:
        return 0
    if played is None:
        steps.say("interrupted: not all calls were played")
        return 1
    return 0 if _summarise(played, steps) else 1


def _stop(stop: asyncio.Event, steps: Steps) -> None:
    if not stop.is_set():
        stop.set()
        steps.say("stopping")


@contextlib.asynccontextmanager
async def _stage(
    steps: Steps, stop: asyncio.Event, *, port: int | None, speed: float, once: bool
) -> AsyncIterator[Stage]:
    if port is not None:
        _free_port(port, wanted=True)  # before anything else is begun
    accounts = {shop.number: shop.account() for shop in SHOPS}
    crm = SandboxCrm(list(accounts.values()))
    with tempfile.TemporaryDirectory(prefix="amibridge-demo-") as name:
        folder = Path(name)
        (recordings := folder / "monitor").mkdir()
        async with contextlib.AsyncExitStack() as stack:
            with steps.step("a private PostgreSQL"):
                database = await stack.enter_async_context(open_embedded(folder, throwaway=True))
            with steps.step("a sandbox RetailCRM"):
                chosen = _free_port(PAGE_PORT) if port is None else port
                crm_url = await stack.enter_async_context(crm.serve("127.0.0.1", chosen))
            changes = crm.listen()
            pbxs = _pbxs(speed=speed, once=once, recordings=recordings)
            with steps.step(f"{len(pbxs)} sandbox PBXs"):
                addresses = {name: await stack.enter_async_context(pbx.serve()) for name, pbx in pbxs.items()}
            with steps.step(f"the bridge, its tables, {len(SHOPS)} enterprises"):
                settings = _settings(folder, database.dsn, _free_port(_beside(crm_url)))
                running = await stack.enter_async_context(serving(settings, stop))
                for shop in SHOPS:
                    enterprise = shop.enterprise(accounts[shop.number], crm_url, addresses, recordings)
                    await running.directory.apply(enterprise)
            of_crm = {number: crm.account(account.api_key) for number, account in accounts.items()}
            exported = f"export AMIBRIDGE_DATA_DIR={folder} AMIBRIDGE_WEB__LISTEN=127.0.0.1:{settings.web.listen_port}"
            yield Stage(crm, changes, of_crm, pbxs, running, f"{crm_url}/", exported)


def _pbxs(*, speed: float, once: bool, recordings: Path) -> dict[HostName, SandboxPbx]:
    return {
        HostName(name): SandboxPbx(
            traces, username=USERNAME, secret=SECRET, speed=speed, loop=not once, monitor_dir=recordings
        )
        for name, traces in demo_traces().items()
    }


def _settings(folder: Path, dsn: str, port: int) -> Settings:
    return Settings(
        data_dir=folder,
        instance="demo",
        database=DatabaseSettings(Secret(dsn)),
        web=WebSettings("127.0.0.1", port, f"http://127.0.0.1:{port}"),
        secrets=SecretsSettings(folder / "keyring"),
        log=LogSettings(),
    )


async def _first_popup(stage: Stage, steps: Steps) -> None:
    async for change in stage.changes:
        if isinstance(change, PopupOpened):
            steps.say(f"the first popup is on {stage.page}")
            return


async def _all_told(stage: Stage) -> None:
    """Until everything has been played, has reached the CRM, and nothing is on its way there any more."""
    for pbx in stage.pbxs.values():
        await pbx.played()
    running = stage.running
    expected = {shop.number: len(true_calls(shop.traces(), shop.region)) for shop in SHOPS}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(TOLD_WITHIN.total_seconds()):
            while (
                any(len(stage.accounts[number].calls) < calls for number, calls in expected.items())
                or len(running.queue)
                or any(one.status is DeliveryStatus.DUE for one in await running.outbox.backlogs())
            ):
                await asyncio.sleep(0.1)


async def _until(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Wait for *work*, or for *stop*, which ends it."""
    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(work, name="demo")
        stopping = tasks.create_task(stop.wait(), name="demo stop")
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        working.cancel()
        stopping.cancel()


def _summarise(stage: Stage, steps: Steps) -> bool:
    """Hold the CRM's history against what the phones did: a JSON line per shop, and in words; whether all is right."""
    complete = True
    for shop in SHOPS:
        account = stage.accounts[shop.number]
        wanted = true_calls(shop.traces(), shop.region)
        wrong = differences(account.calls, account, wanted)
        violations = sum(violation.account == shop.name for violation in stage.crm.violations)
        complete = complete and not wrong and not violations
        summary = {
            "enterprise": shop.number,
            "calls_played": played_calls(shop.traces()),
            "external_calls": len(wanted),
            "history_entries": len(account.calls),
            "answered": sum(call.result == "answered" for call in account.calls),
            "popup_events": len(account.popups),
            "above_rate_limit": violations,
            "wrong": wrong,
        }
        print(json.dumps(summary, ensure_ascii=False), flush=True)
        steps.say(
            f"{shop.name}: calls with customers: {len(wanted)} played, {len(account.calls)} in the CRM, "
            + ("each once and right" if not wrong else f"{len(wrong)} differences:")
        )
        for line in wrong:
            steps.say(f"  {line}")
    return complete


def _beside(url: str) -> int:
    """The next port, 0 behind the last one."""
    return (int(url.rpartition(":")[2]) + 1) % 2**16


def _free_port(first: int, *, wanted: bool = False) -> int:
    """*first*, or any free port when it cannot be had and nobody insisted on it. Raises OSError."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", first))
        except OSError as error:
            if wanted:
                raise OSError(f"port {first} cannot be had ({error.strerror}): choose another with --port") from error
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
