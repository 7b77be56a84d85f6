"""Lanes that are kept running: one for each key that is wanted, started anew after a failure, closed when it is wanted
no more.

Law: a lane that fails hurts no other, and is started anew ever more rarely while it goes on failing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Hashable, Iterator
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

RESTART_FIRST, RESTART_CAP = 1.0, 60.0
"""Seconds before a failed lane is started anew; doubled while it fails again within a minute."""

Key = TypeVar("Key", bound=Hashable)


class Runs(Protocol):
    async def run(self) -> None:
        """Until `close`."""

    def close(self) -> None: ...


Lane = TypeVar("Lane", bound=Runs)


class Lanes(Generic[Key, Lane]):
    """*make*: a lane for a key that is wanted. *name*: of its task. *failed*: says what failed, and in how many seconds
    it is started anew."""

    def __init__(
        self,
        make: Callable[[Key], Lane],
        name: Callable[[Key], str],
        failed: Callable[[Key, float, Exception], None],
    ) -> None:
        self._make = make
        self._name = name
        self._failed = failed
        self._wanted: Collection[Key] = ()
        self._running: dict[Key, Lane] = {}
        self._keepers: dict[Key, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._stopping = asyncio.Event()

    def __iter__(self) -> Iterator[tuple[Key, Lane]]:
        return iter(self._running.items())

    def get(self, key: Key) -> Lane | None:
        return self._running.get(key)

    def want(self, keys: Collection[Key]) -> None:
        """These from now on."""
        self._wanted = keys
        for key, lane in self._running.items():
            if key not in keys:
                lane.close()
        self._open()

    async def run(self, stop: asyncio.Event) -> None:
        """Until *stop*, and until every lane has come to its end then."""
        async with asyncio.TaskGroup() as self._tasks:
            self._open()
            await stop.wait()
            self._stopping.set()
            for lane in self._running.values():
                lane.close()
        self._tasks = None

    def _open(self) -> None:
        if self._tasks is None or self._stopping.is_set():
            return
        for key in self._wanted:
            if key not in self._keepers:
                self._keepers[key] = self._tasks.create_task(self._keep(key), name=self._name(key))

    async def _keep(self, key: Key) -> None:
        clock = asyncio.get_running_loop().time
        failures = 0
        while not self._stopping.is_set() and key in self._wanted:
            begun = clock()
            lane = self._running[key] = self._make(key)
            try:
                await lane.run()
            except Exception as error:
                failures = failures + 1 if clock() - begun < 60 else 1
                wait = min(RESTART_CAP, RESTART_FIRST * 2 ** min(failures - 1, 10))
                self._failed(key, wait, error)
                del self._running[key]
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._stopping.wait()
        self._running.pop(key, None)
        del self._keepers[key]
