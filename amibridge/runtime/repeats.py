"""What was asked twice is done once: who asks again in time gets what the first was answered, or will be.

Laws: bounded, the oldest is forgotten first; what certainly failed may be tried again at once. In memory, so a restart
forgets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Asked(Generic[Answer]):
    answer: asyncio.Future[Answer]
    asked_at: float


class Repeats(Generic[Answer]):
    """*remembered*: for how long from the first time on. *most*: at once. *is_over*: whether after that failure it may
    be tried anew."""

    def __init__(self, remembered: timedelta, most: int, is_over: Callable[[BaseException], bool]) -> None:
        self._remembered = remembered.total_seconds()
        self._most = most
        self._is_over = is_over
        self._asked: dict[Hashable, _Asked[Answer]] = {}

    def __len__(self) -> int:
        return len(self._asked)

    async def once(self, key: Hashable, do: Callable[[], Awaitable[Answer]]) -> Answer:
        """What *do* returns or raises, now or when *key* was asked for before."""
        loop = asyncio.get_running_loop()
        self._forget(loop.time())
        known = self._asked.get(key)
        if known is not None:
            return await asyncio.shield(known.answer)
        asked = self._asked[key] = _Asked(loop.create_future(), loop.time())
        try:
            answer = await do()
        except BaseException as error:
            if self._is_over(error) and self._asked.get(key) is asked:
                del self._asked[key]
            if isinstance(error, Exception):
                asked.answer.set_exception(error)
                asked.answer.exception()  # seen, though nobody else may have asked
            else:
                asked.answer.cancel()
            raise
        asked.answer.set_result(answer)
        return answer

    def _forget(self, now: float) -> None:
        for key, asked in list(self._asked.items()):
            if len(self._asked) < self._most and now - asked.asked_at <= self._remembered:
                break
            del self._asked[key]
