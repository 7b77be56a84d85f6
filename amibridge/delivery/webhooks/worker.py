"""All lanes to receivers: events come in from the recorder, verdicts go back into the table, and webhooks come and go.

Laws: as of the CRMs' lanes: one that fails is started anew from the table and hurts no other; at the stop nothing new
is told, and every verdict is written. What waits for a webhook that is no more is dropped.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg
import structlog

from amibridge.delivery.lanes import Lanes
from amibridge.delivery.settlements import Settlements
from amibridge.delivery.teller import RecordUrl
from amibridge.delivery.webhooks.lane import Lane
from amibridge.delivery.webhooks.post import Post
from amibridge.delivery.worker import FLUSH, READERS, no_record_url, utc_now
from amibridge.enterprises import Enterprise, EnterpriseId, Webhook, WebhookStanding
from amibridge.store.db import DATABASE_FAILURES
from amibridge.store.outbox import Delivery, Outbox, Settlement
from amibridge.store.webhooks import drop_ownerless

log = structlog.get_logger()

SWEEP_AFTER = timedelta(seconds=5)
"""After a change of the webhooks: facts that were being written meanwhile are written, and the lane is closed."""

SWEEP_EVERY = timedelta(hours=1)


class Key(NamedTuple):
    enterprise: EnterpriseId
    name: str


class Webhooks:
    """*record_url*, *jitter*: as in `Deliveries`."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        post: Post,
        enterprises: Iterable[Enterprise] = (),
        *,
        record_url: RecordUrl = no_record_url,
        now: Callable[[], datetime] = utc_now,
        jitter: Callable[[], float] = random.random,
        sweep_after: timedelta = SWEEP_AFTER,
    ) -> None:
        self._pool = pool
        self._outbox = Outbox(pool)
        self._post = post
        self._record_url = record_url
        self._now = now
        self._jitter = jitter
        self._sweep_after = sweep_after
        self._wanted = _by_key(enterprises)
        self._lanes: Lanes[Key, Lane] = Lanes(self._lane, lambda key: f"webhook {'/'.join(key)}", _failed)
        self._lanes.want(self._wanted)
        self._settlements = Settlements(self._outbox.settle, self._written)
        self._changed = asyncio.Event()
        self._reading = asyncio.Semaphore(READERS)

    def offer(self, deliveries: Iterable[Delivery]) -> None:
        """Rows just committed, of which those for webhooks are taken."""
        by_key: defaultdict[Key, list[Delivery]] = defaultdict(list)
        for one in deliveries:
            if one.webhook:
                by_key[Key(one.enterprise, one.webhook)].append(one)
        for key, rows in by_key.items():
            if (lane := self._lanes.get(key)) is not None:
                lane.offer(rows)

    def standings(self) -> list[WebhookStanding]:
        return [lane.webhook_standing() for _, lane in self._lanes]

    def enterprises(self, known: Iterable[Enterprise]) -> None:
        """These are all enterprises from now on: lanes are opened, told of changes, or closed."""
        before, self._wanted = self._wanted.keys(), _by_key(known)
        for key, lane in self._lanes:
            if key in self._wanted:
                lane.reconfigure(*self._wanted[key])
        if before - self._wanted.keys():
            self._changed.set()
        self._lanes.want(self._wanted)

    async def run(self, stop: asyncio.Event) -> None:
        """Until *stop*, and then at most `lane.GRACE` and `FLUSH`."""
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(self._settlements.run(), name="settlements of webhooks")
            sweeping = group.create_task(self._sweep(), name="sweep of webhooks")
            await self._lanes.run(stop)
            sweeping.cancel()
            self._settlements.close()
            _, late = await asyncio.wait({writing}, timeout=FLUSH)
            if late:
                log.error("settlements_left", rows=len(self._settlements.unwritten()), advice="they will be sent again")
                writing.cancel()

    def _lane(self, key: Key) -> Lane:
        enterprise, webhook = self._wanted[key]

        async def read_due(after: int, limit: int) -> list[Delivery]:
            async with self._reading:
                return await self._outbox.load_due(key.enterprise, after=after, limit=limit, webhook=key.name)

        return Lane(
            enterprise,
            webhook,
            post=self._post,
            read_due=read_due,
            unwritten=self._settlements.unwritten(key.enterprise),
            settle=self._settlements.put,
            record_url=self._record_url,
            now=self._now,
            jitter=self._jitter,
        )

    def _written(self, settlements: Sequence[Settlement]) -> None:
        by_enterprise: defaultdict[EnterpriseId, list[int]] = defaultdict(list)
        for settlement in settlements:
            by_enterprise[settlement.enterprise].append(settlement.id)
        for key, lane in self._lanes:
            if ids := by_enterprise.get(key.enterprise):
                lane.written(ids)

    async def _sweep(self) -> None:
        """At the start, after a webhook has gone, and now and then, for a fact may have been written at that moment."""
        while True:
            await asyncio.sleep(self._sweep_after.total_seconds())
            self._changed.clear()
            try:
                for (enterprise, name), rows in (await drop_ownerless(self._pool)).items():
                    log.warning("webhook_deliveries_dropped", enterprise=enterprise, webhook=name, rows=rows)
            except DATABASE_FAILURES as error:
                log.debug("webhook_sweep_failed", reason=str(error) or type(error).__name__)
            with suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_EVERY.total_seconds()):
                    await self._changed.wait()


def _by_key(enterprises: Iterable[Enterprise]) -> dict[Key, tuple[Enterprise, Webhook]]:
    return {Key(one.id, webhook.name): (one, webhook) for one in enterprises for webhook in one.webhooks}


def _failed(key: Key, again_in: float, error: Exception) -> None:
    log.error("webhook_lane_failed", enterprise=key.enterprise, webhook=key.name, again_in=again_in, exc_info=error)
