"""Questions to folders that may never answer: a mount whose server is gone blocks whoever touches it, for ever.

Laws: each question has a thread to itself which nobody waits for, not even at the stop; a folder that does not answer
keeps a few threads and no other folder waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from queue import Empty, SimpleQueue
from threading import Semaphore, Thread
from typing import TypeVar

Answer = TypeVar("Answer")

AT_ONCE = 8

IDLE = timedelta(seconds=30)
"""That a thread waits for another question."""


class DiskBusy(Exception):
    """Ask again later: the folder has not answered, or has too many questions to answer already."""


class Disk:
    """*at_once*: questions to one folder."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._places: dict[str, asyncio.Semaphore] = {}

    async def ask(
        self,
        folder: str,
        question: Callable[[], Answer],
        *,
        within: timedelta,
        unwanted: Callable[[Answer], None] = lambda _: None,
    ) -> Answer:
        """What *question* returns or raises. Raises DiskBusy; the question then goes on with nobody listening, and
        what it returns in the end is given to *unwanted*, in a thread."""
        places = self._places.setdefault(folder, asyncio.Semaphore(self._at_once))
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(within.total_seconds()):
                await places.acquire()
                answer: asyncio.Future[Answer] = loop.create_future()

                def settle(result: Answer | None, error: BaseException | None) -> None:
                    places.release()
                    if answer.done():
                        if error is None:
                            _THREADS.begin(lambda: unwanted(result))  # type: ignore[arg-type]
                        return
                    if error is None:
                        answer.set_result(result)  # type: ignore[arg-type]
                    else:
                        answer.set_exception(error)

                def work() -> None:
                    result, error = None, None
                    try:
                        result = question()
                    except Exception as failure:
                        error = failure
                    with suppress(RuntimeError):  # the loop is closed: we have stopped meanwhile
                        loop.call_soon_threadsafe(settle, result, error)

                _THREADS.begin(work)
                return await answer
        except TimeoutError as error:
            raise DiskBusy(f"{folder} does not answer") from error

    def leave(self, close: Callable[[], None]) -> None:
        """Close what is open in a folder, whenever it answers."""
        _THREADS.begin(close)


class _Threads:
    """A thread whose question is answered waits for the next one: to start another, the loop would have to stand still
    until it runs, which takes milliseconds where all processors are busy."""

    def __init__(self) -> None:
        self._free = Semaphore(0)
        self._works: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def begin(self, work: Callable[[], None]) -> None:
        if self._free.acquire(blocking=False):
            self._works.put(work)
        else:
            Thread(target=self._run, args=(work,), name="disk", daemon=True).start()

    def _run(self, work: Callable[[], None]) -> None:
        while True:
            work()
            self._free.release()
            try:
                work = self._works.get(timeout=IDLE.total_seconds())
            except Empty:
                if self._free.acquire(blocking=False):
                    return
                work = self._works.get()  # whoever has taken our place is about to put it


_THREADS = _Threads()
