"""One question to the CRM and what came of it, for whoever keeps a ledger of them.

Laws: whoever asks about calls asks on an *occasion*, which surrounds his whole task, so that nobody on the way must
pass it on; what follows from an answer is said before anything else is awaited, so that a ledger that is written a
moment later knows it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

from amibridge.calls.record import CallId
from amibridge.enterprises import EnterpriseId

SENT_MAX, HEARD_MAX = 6 * 1024, 4 * 1024
"""Bytes of a request and of an answer that are kept: a ledger says what was asked, and is no copy of the CRM."""


@dataclass(slots=True, eq=False)
class Exchange:
    """*took*: without the wait for a turn. *status* None: no answer came. *sent* and *heard*: how the bodies begin.

    *failure*: why it was no success, in words. *news*: False when the same is asked again and again and the answer
    brought nothing. *verdict*: what became of the rows that were told; *next_attempt_at*: when the first of them is
    tried again.
    """

    enterprise: EnterpriseId | None
    occasion: Occasion
    method: str
    address: str
    sent: bytes
    began: datetime
    took: timedelta = timedelta()
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    heard: bytes = b""
    failure: str | None = None
    news: bool = True
    verdict: str | None = None
    next_attempt_at: datetime | None = None


@dataclass(slots=True, eq=False)
class Occasion:
    """Why the CRM is asked: *calls* and *deliveries* (ids of rows) that are told, for the *attempt*-th time.

    *last*: the question that was asked last.
    """

    calls: Sequence[CallId] = ()
    deliveries: Sequence[int] = ()
    attempt: int = 1
    last: Exchange | None = None
    _verdicts: Counter[str] = field(default_factory=Counter)

    def decided(self, verdict: str, rows: int, next_attempt_at: datetime | None) -> None:
        """What becomes of *rows* of those that were told, as far as anything was asked."""
        if self.last is None:
            return
        self._verdicts[verdict] += rows
        several = len(self._verdicts) > 1
        self.last.verdict = ", ".join(f"{n} {word}" if several else word for word, n in self._verdicts.items())
        if next_attempt_at is not None:
            self.last.next_attempt_at = min(next_attempt_at, self.last.next_attempt_at or next_attempt_at)

    @contextmanager
    def surrounding(self) -> Iterator[None]:
        """Whatever this task asks meanwhile it asks on this occasion."""
        before = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(before)


_CURRENT: ContextVar[Occasion | None] = ContextVar("occasion", default=None)


def occasion() -> Occasion | None:
    """The one that surrounds this task."""
    return _CURRENT.get()


Tap: TypeAlias = Callable[[Exchange], None]
"""Hears of every request, when it is over, however it ended. Must not raise, and not wait."""
