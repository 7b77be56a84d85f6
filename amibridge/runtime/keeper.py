"""Makes the followers that run equal the hosts that the directory wants, while enterprises come, change and go.

Laws: one follower per host, each a supervised task of its own; what was said of a host's live calls is written, and
taken up, before its next link; a directory that cannot be read changes nothing; what a host's voice has not got rid
of yet outlives a change of the host.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import NamedTuple

import structlog

from amibridge.ami.actions import Action
from amibridge.ami.errors import HostUnreachable
from amibridge.ami.link import LinkSettings
from amibridge.ami.session import Reply
from amibridge.calls.board import Board
from amibridge.calls.parties import Party
from amibridge.calls.record import CallId, CallRecord
from amibridge.enterprises import AmiHost, Enterprise, EnterpriseId, HostStanding
from amibridge.runtime.follower import ROOM_AGAIN, Follower
from amibridge.runtime.ring import HostKey, Traces
from amibridge.runtime.supervise import spawn
from amibridge.runtime.voice import Voice
from amibridge.store.db import DATABASE_FAILURES
from amibridge.store.directory import Directory
from amibridge.store.ledger import Ledger
from amibridge.store.recorder import FactQueue

log = structlog.get_logger()

TICK_EVERY = timedelta(minutes=1)


class _Running(NamedTuple):
    host: AmiHost
    follower: Follower
    task: asyncio.Task[None]


class Keeper:
    """*on_enterprises* is told of every reading of the directory, the first before any host is followed."""

    def __init__(
        self,
        directory: Directory,
        ledger: Ledger,
        queue: FactQueue,
        traces: Traces,
        on_enterprises: Callable[[Sequence[Enterprise]], None],
        settings: LinkSettings,
    ) -> None:
        self._directory = directory
        self._ledger = ledger
        self._queue = queue
        self._traces = traces
        self._on_enterprises = on_enterprises
        self._settings = settings
        self._running: dict[HostKey, _Running] = {}
        self._voices: dict[HostKey, Voice] = {}

    def standings(self) -> list[HostStanding]:
        """How each followed host stands."""
        return [running.follower.standing() for running in self._running.values()]

    async def send(self, host: AmiHost, action: Action) -> Reply:
        """As `Follower.send`. Raises HostUnreachable also when *host* is not followed."""
        return await self._follower_of(host).send(action)

    def board(self, host: AmiHost) -> Board:
        """As `Follower.board`. Raises HostUnreachable also when *host* is not followed."""
        return self._follower_of(host).board()

    def _follower_of(self, host: AmiHost) -> Follower:
        running = self._running.get(HostKey(host.enterprise, host.name))
        if running is None:
            raise HostUnreachable("it is not followed")
        return running.follower

    def live_calls(self, enterprise: EnterpriseId) -> list[CallRecord]:
        """Records so far of the calls of *enterprise* that go on."""
        of_it = (running for running in self._running.values() if running.host.enterprise == enterprise)
        return [record for running in of_it for record in running.follower.live_calls()]

    def parties(self, enterprise: EnterpriseId, call: CallId) -> list[Party]:
        """Who is on a *call* of *enterprise* now; nobody, if it does not go on."""
        of_it = (running for running in self._running.values() if running.host.enterprise == enterprise)
        return [party for running in of_it for party in running.follower.parties(call)]

    async def keep(self, stop: asyncio.Event) -> None:
        """Until *stop*; then every follower has said goodbye to its host."""
        try:
            async with asyncio.TaskGroup() as tasks:
                watching = spawn(tasks, "directory", partial(self._watch, tasks))
                ticking = spawn(tasks, "tick", self._tick)
                await stop.wait()
                watching.cancel()
                ticking.cancel()
                for running in self._running.values():
                    running.task.cancel()
        finally:
            self._running.clear()  # or the next time, after a failure, would take them for followed

    async def _watch(self, tasks: asyncio.TaskGroup) -> None:
        async with contextlib.aclosing(self._directory.changed()) as changes:
            readable = True
            async for _ in changes:
                try:
                    await self._reconcile(tasks)
                except DATABASE_FAILURES as error:
                    if readable:
                        log.warning("directory_not_read", reason=str(error) or type(error).__name__)
                    readable = False
                else:
                    if not readable:
                        log.info("directory_read_again")
                    readable = True

    async def _reconcile(self, tasks: asyncio.TaskGroup) -> None:
        enterprises = await self._directory.load()
        self._on_enterprises(enterprises)
        wanted = {HostKey(host.enterprise, host.name): host for one in enterprises for host in one.hosts}
        for key, running in list(self._running.items()):
            if wanted.get(key) != running.host:
                del self._running[key]
                running.task.cancel()
                await asyncio.wait({running.task})
                log.info("host_left_alone" if key not in wanted else "host_changed", enterprise=key[0], host=key[1])
        for key, host in wanted.items():
            if key not in self._running:
                follower = await self._follower(host)
                task = spawn(tasks, f"follow {key.enterprise}/{key.host}", follower.follow)
                self._running[key] = _Running(host, follower, task)

    async def _follower(self, host: AmiHost) -> Follower:
        voice = self._voices.get(HostKey(host.enterprise, host.name))
        if voice is None:
            voice = self._voices[HostKey(host.enterprise, host.name)] = Voice(host, self._queue)
        else:
            while not voice.has_caught_up():
                await asyncio.sleep(ROOM_AGAIN.total_seconds())
            await self._queue.safe()
        board = Board(host.name, host.numbering)
        facts = await self._ledger.facts_of_live_calls(host.enterprise, host.name)
        board.adopt(facts)
        if facts:
            calls = len({fact.call for fact in facts})
            log.info("live_calls_taken_up", enterprise=host.enterprise, host=host.name, calls=calls)
        return Follower(host, board, voice, self._traces.ring(host.enterprise, host.name), settings=self._settings)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_EVERY.total_seconds())
            for running in self._running.values():
                running.follower.tick()
