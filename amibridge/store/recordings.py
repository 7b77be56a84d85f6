"""What the ledger knows of a call's recordings: their paths as the PBX wrote them, and where its host keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from amibridge.calls.record import CallId
from amibridge.enterprises import EnterpriseId
from amibridge.redact import Secret
from amibridge.secrets import Keyring
from amibridge.store.codec import storable
from amibridge.store.db import UNHURRIED, fetch_within, load_queries
from amibridge.store.directory import recordings_password_of

SQL = load_queries(__file__)


@dataclass(frozen=True, slots=True)
class CallRecordings:
    """*paths*: in order, as the PBX named them. *place*: the host's `recordings`, None when we cannot reach them.

    *keep*: for how long after the call; None: as long as they are there.
    """

    paths: tuple[str, ...]
    place: str | None
    ended_at: datetime
    password: Secret | None = None
    keep: timedelta | None = None


async def recordings_of_call(
    pool: asyncpg.Pool, keyring: Keyring, enterprise: EnterpriseId, call: CallId, *, within: timedelta = UNHURRIED
) -> CallRecordings | None:
    """None: the call is not known, or not over. Raises TimeoutError when that is not known *within* the time, and
    SealBroken."""
    rows = await fetch_within(pool, within, SQL["recordings_of_call"], enterprise, storable(call))
    if not rows:
        return None
    [row] = rows
    sealed = row["recordings_password"]
    return CallRecordings(
        tuple(row["recordings"]),
        row["place"],
        row["ended_at"],
        None if sealed is None else keyring.open(sealed, about=recordings_password_of(enterprise, row["host"])),
        row["recordings_keep"],
    )
