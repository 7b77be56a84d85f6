"""Questions to folders that may never answer: a mount whose server is gone blocks whoever touches it, for ever.

Laws: each question has a thread of its own which nobody waits for, not even at the stop; a folder that does not
answer keeps a few threads and no other folder waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from threading import Thread
from typing import TypeVar

Answer = TypeVar("Answer")

AT_ONCE = 8


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
                            _begin(folder, lambda: unwanted(result))  # type: ignore[arg-type]
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

                _begin(folder, work)
                return await answer
        except TimeoutError as error:
            raise DiskBusy(f"{folder} does not answer") from error

    def leave(self, folder: str, close: Callable[[], None]) -> None:
        """Close what is open there, whenever it answers."""
        _begin(folder, close)


def _begin(folder: str, work: Callable[[], None]) -> None:
    Thread(target=work, name=f"disk {folder}", daemon=True).start()
