"""One question to the CRM and what came of it, for whoever keeps a ledger of them.

Law: whoever asks on an *occasion* says what follows from the answer before anything else is awaited, so that a ledger
which is written a moment later knows it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    """Why the CRM is asked: *calls* and *deliveries* (ids of rows) that are told, and for which time. *last*: the
    question that was asked last."""

    calls: Sequence[CallId] = ()
    deliveries: Sequence[int] = ()
    attempt: int = 1
    last: Exchange | None = None


Tap: TypeAlias = Callable[[Exchange], None]
"""Hears of every request, when it is over, however it ended. Must not raise, and not wait."""
