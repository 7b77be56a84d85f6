"""What the sandbox CRM has seen: every request, every rate that was exceeded, and who wants to hear of changes.

Laws: a request is noted on arrival, whatever becomes of it; a key is never part of a note.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias
from weakref import WeakSet

from amibridge.sandbox.crm_account import AccountChange

KEPT_REQUESTS = 20_000
WINDOW = 1.0


class LimitClass(StrEnum):
    TELEPHONY = "telephony"
    ORDINARY = "ordinary"


LIMITS = {LimitClass.TELEPHONY: 40, LimitClass.ORDINARY: 10}
"""Requests of one key in any second; source: the limiter of RetailCRM's own Go client."""


@dataclass(slots=True, eq=False)
class SeenRequest:
    """*arrived*: seconds of the monotonic clock. *status*: None until answered, for ever if it never was.

    *account*: name of the account whose key was presented. *excerpt*: beginning of the body. *complaint*: why not.
    """

    at: datetime
    arrived: float
    method: str
    path: str
    account: str | None = None
    excerpt: str = ""
    status: int | None = None
    complaint: str | None = None


@dataclass(frozen=True, slots=True)
class Violation:
    """A request above the rate that its key is allowed."""

    at: datetime
    account: str
    limit: LimitClass
    path: str


@dataclass(frozen=True, slots=True)
class RequestAnswered:
    request: SeenRequest


Change: TypeAlias = AccountChange | RequestAnswered


class Witness:
    """*refused*: answers of status 400 and above, other than 503. *requests*: the latest, oldest first."""

    def __init__(self) -> None:
        self.requests: deque[SeenRequest] = deque(maxlen=KEPT_REQUESTS)
        self.violations: list[Violation] = []
        self.refused = 0
        self._taken: defaultdict[tuple[str, LimitClass], deque[float]] = defaultdict(deque)
        self._listeners: WeakSet[asyncio.Queue[Change | None]] = WeakSet()

    def within_rate(self, seen: SeenRequest, api_key: str) -> bool:
        """Count *seen*; False and a violation if its key has had its share of the last second."""
        limit = LimitClass.TELEPHONY if "/telephony" in seen.path else LimitClass.ORDINARY
        taken = self._taken[api_key, limit]
        while taken and taken[0] <= seen.arrived - WINDOW:
            taken.popleft()
        if len(taken) >= LIMITS[limit]:
            self.violations.append(Violation(seen.at, seen.account or "", limit, seen.path))
            return False
        taken.append(seen.arrived)
        return True

    def answered(self, seen: SeenRequest, status: int, complaint: str | None) -> None:
        seen.status, seen.complaint = status, complaint
        self.refused += status >= 400 and status != 503
        self.tell(RequestAnswered(seen))

    def tell(self, change: Change | None) -> None:
        """None: there will be no more changes."""
        for listener in self._listeners:
            listener.put_nowait(change)

    def subscribe(self) -> asyncio.Queue[Change | None]:
        """Changes from now on, for as long as the caller keeps the queue."""
        queue: asyncio.Queue[Change | None] = asyncio.Queue()
        self._listeners.add(queue)
        return queue

    def listen(self) -> AsyncIterator[Change]:
        """Changes from now on, until the server closes."""
        return _until_none(self.subscribe())


async def _until_none(queue: asyncio.Queue[Change | None]) -> AsyncIterator[Change]:
    while (change := await queue.get()) is not None:
        yield change
