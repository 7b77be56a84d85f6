"""One operator does one thing at a time, and who asks for it again meanwhile gets the same answer.

Nothing is remembered beyond that: a moment later the same may have to be done anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class AnotherIsUnderWay(Exception):
    """Ask again when it is over."""


class OneAtATime:
    def __init__(self) -> None:
        self._under_way: dict[Hashable, tuple[object, asyncio.Future[Any]]] = {}

    async def do(self, who: Hashable, asked: object, work: Callable[[], Awaitable[Answer]]) -> Answer:
        """What *work* returns or raises, for all who ask the same for *who* meanwhile. Raises AnotherIsUnderWay."""
        if who in self._under_way:
            same, answer = self._under_way[who]
            if same != asked:
                raise AnotherIsUnderWay
            done: Answer = await asyncio.shield(answer)
            return done
        answer = asyncio.get_running_loop().create_future()
        self._under_way[who] = (asked, answer)
        try:
            done = await work()
            answer.set_result(done)
        except Exception as error:
            answer.set_exception(error)
            answer.exception()  # seen, though nobody else may have asked
            raise
        finally:
            answer.cancel()  # unless it is there
            del self._under_way[who]
        return done
