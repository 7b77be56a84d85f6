"""Forgets what is old, now and then, a little at a time.

Law: it is never in a hurry: between two pieces the recorder and the lanes have the database, and what fails today is
done tomorrow.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import structlog

from amibridge.config import KeepSettings
from amibridge.store.db import DATABASE_FAILURES
from amibridge.store.retention import Forgettable, Retention

log = structlog.get_logger()

FIRST_AFTER = timedelta(minutes=2)
"""A start has more urgent things to do."""

EVERY = timedelta(hours=1)
BETWEEN = timedelta(milliseconds=50)
"""Two pieces: at most a third of one connection's time, and still a million rows a minute and a half."""


async def forget(retention: Retention, keep: KeepSettings, stop: asyncio.Event) -> None:
    """Until *stop*."""
    wait, failing = FIRST_AFTER, False
    while not await _stopped(stop, wait):
        wait = EVERY
        try:
            gone = await forget_all(retention, keep, datetime.now(UTC), stop)
        except DATABASE_FAILURES as error:
            if not failing:
                failing = True
                log.warning("old_rows_not_deleted", reason=str(error) or type(error).__name__)
            continue
        failing = False
        if gone.total():
            log.info("old_rows_deleted", **{what.name.lower(): gone[what] for what in Forgettable})


async def forget_all(
    retention: Retention, keep: KeepSettings, now: datetime, stop: asyncio.Event
) -> Counter[Forgettable]:
    """Once through all that is kept; how many rows are gone. Raises what a database raises."""
    gone = Counter[Forgettable]()
    lengths = {
        Forgettable.REQUESTS: keep.requests,
        Forgettable.DELIVERIES: keep.deliveries,
        Forgettable.AUDIT: keep.audit,
        Forgettable.FOLLOW_UPS: keep.deliveries,
        Forgettable.OPERATOR_STATUSES: keep.deliveries,
    }
    for what, kept in lengths.items():
        for enterprise in await retention.enterprises(what):
            after: int | None = 0
            while after is not None:
                piece = await retention.forget(what, enterprise, before=now - kept, after=after)
                gone[what] += piece.gone
                after = piece.after
                if piece.gone and await _stopped(stop, BETWEEN):
                    return gone
    return gone


async def _stopped(stop: asyncio.Event, within: timedelta) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(within.total_seconds()):
            await stop.wait()
    return stop.is_set()
