"""What was asked twice is done once: who asks again in time gets what the first was answered, or will be.

Laws: bounded, for each who asks: nobody makes us forget what another asked for; the oldest is forgotten first; what
certainly failed may be tried again at once. In memory, so a restart forgets.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
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
    """*remembered*: for how long from the first time on. *most*: at once, of each owner. *is_over*: whether after that
    failure it may be tried anew."""

    def __init__(self, remembered: timedelta, most: int, is_over: Callable[[BaseException], bool]) -> None:
        self._remembered = remembered.total_seconds()
        self._most = most
        self._is_over = is_over
        self._owners: defaultdict[Hashable, dict[Hashable, _Asked[Answer]]] = defaultdict(dict)

    def __len__(self) -> int:
        return sum(map(len, self._owners.values()))

    async def once(self, owner: Hashable, key: Hashable, do: Callable[[], Awaitable[Answer]]) -> Answer:
        """What *do* returns or raises, now or when *owner* asked for *key* before."""
        loop, of_owner = asyncio.get_running_loop(), self._owners[owner]
        self._forget(of_owner, loop.time())
        known = of_owner.get(key)
        if known is not None:
            return await asyncio.shield(known.answer)
        asked = of_owner[key] = _Asked(loop.create_future(), loop.time())
        try:
            answer = await do()
        except BaseException as error:
            if self._is_over(error) and of_owner.get(key) is asked:
                del of_owner[key]
            if isinstance(error, Exception):
                asked.answer.set_exception(error)
                asked.answer.exception()  # seen, though nobody else may have asked
            else:
                asked.answer.cancel()
            raise
        asked.answer.set_result(answer)
        return answer

    def _forget(self, of_owner: dict[Hashable, _Asked[Answer]], now: float) -> None:
        while of_owner:
            key, oldest = next(iter(of_owner.items()))
            if len(of_owner) < self._most and now - oldest.asked_at <= self._remembered:
                break
            del of_owner[key]
