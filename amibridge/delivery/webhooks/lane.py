"""One receiver's lane: what is due is told, the answer judged, the verdict settled, until closed.

Laws: nothing that one receiver does slows another's lane, or the CRM's; an event whose telling was cut off stays due.
What a bug breaks here, the owner of the lane starts anew from the table.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import assert_never

import structlog

from amibridge.delivery.judge import ANSWER_MAX
from amibridge.delivery.policy import Done, Park, Retry
from amibridge.delivery.standing import Mood
from amibridge.delivery.teller import RecordUrl
from amibridge.delivery.webhooks.body import body_of
from amibridge.delivery.webhooks.policy import PATIENCE, Meaning, decide, given_up, meaning
from amibridge.delivery.webhooks.post import Heard, Post
from amibridge.delivery.webhooks.standing import Standing
from amibridge.delivery.webhooks.stock import Stock
from amibridge.enterprises import Enterprise, Webhook, WebhookStanding
from amibridge.store.outbox import Delivery, DeliveryStatus, Settlement

GRACE = timedelta(seconds=4)
"""For what is on its way when the lane closes; the whole daemon has 10 s."""

READ_AGAIN_AFTER = timedelta(seconds=2)
"""After a reading of the table that failed."""

UNSPEAKABLE = "cannot be told: "
"""Begins the reason of a row that met a defect of ours."""


class Lane:
    """*read_due*, *unwritten*: as in `Stock`. *settle*: takes verdicts to be written soon."""

    def __init__(
        self,
        enterprise: Enterprise,
        webhook: Webhook,
        *,
        post: Post,
        read_due: Callable[[int, int], Awaitable[list[Delivery]]],
        unwritten: Iterable[int],
        settle: Callable[[Sequence[Settlement]], None],
        record_url: RecordUrl,
        now: Callable[[], datetime],
        jitter: Callable[[], float],
    ) -> None:
        self._log = structlog.get_logger(enterprise=enterprise.id, webhook=webhook.name)
        self._enterprise, self._webhook = enterprise, webhook
        self._post = post
        self._stock = Stock(read_due, unwritten, now())
        self._standing = Standing()
        self._since, self._reason = now(), ""
        self._settled: Counter[str] = Counter()
        self._settle = settle
        self._record_url = record_url
        self._now = now
        self._jitter = jitter
        self._awake = asyncio.Event()
        self._closing = self._unreadable = False
        self._reading: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[None]] = set()

    def webhook_standing(self) -> WebhookStanding:
        mood, reason = self._standing.mood, self._reason or None
        return WebhookStanding(self._enterprise.id, self._webhook.name, mood, self._since, reason, self._settled)

    def offer(self, rows: Iterable[Delivery]) -> None:
        """Take rows just committed; after `close` they are left to the next start."""
        if not self._closing:
            self._stock.offer(rows)
            self._awake.set()

    def written(self, ids: Iterable[int]) -> None:
        """These rows are done in the table, too."""
        self._stock.written(ids)

    def reconfigure(self, enterprise: Enterprise, webhook: Webhook) -> None:
        """What the old address answered, or to the old secret, says nothing of how the receiver stands now."""
        known, self._enterprise, self._webhook = self._webhook, enterprise, webhook
        if (known.url, known.secret, known.previous_secret) != (webhook.url, webhook.secret, webhook.previous_secret):
            self._standing = Standing()
            self._stock.shelf.hurry(self._now())
            if self._reason:
                self._become(Mood.WELL, "its settings were changed")
            self._awake.set()

    def close(self) -> None:
        """Start nothing new: `run` ends when what is on its way is answered, or its grace is over."""
        self._closing = True
        self._awake.set()

    async def run(self) -> None:
        """Once."""
        async with asyncio.TaskGroup() as tasks:
            while not self._closing:
                self._awake.clear()
                now = self._now()
                if self._reading is None and self._stock.wants_reading(now):
                    self._reading = tasks.create_task(self._read(now), name=f"reading for {self._webhook.name}")
                self._tell_due(tasks, now)
                await self._sleep(now)
            if self._reading is not None:
                self._reading.cancel()
            if self._telling:
                _, late = await asyncio.wait(self._telling, timeout=GRACE.total_seconds())
                for task in late:
                    task.cancel()

    async def _read(self, now: datetime) -> None:
        try:
            await self._stock.read(now)
        except Exception as error:
            if not self._unreadable:
                self._unreadable = True
                self._log.error("webhook_deliveries_unreadable", reason=str(error) or type(error).__name__)
            self._stock.read_at = self._now() + READ_AGAIN_AFTER
        else:
            if self._unreadable:
                self._unreadable = False
                self._log.info("webhook_deliveries_readable_again")
        finally:
            self._reading = None
            self._awake.set()

    def _tell_due(self, tasks: asyncio.TaskGroup, now: datetime) -> None:
        for _ in range(self._standing.room(now, in_flight=self._stock.shelf.in_flight)):
            row = self._stock.shelf.take(now)
            if row is None:
                return
            task = tasks.create_task(self._tell(row, self._standing), name=f"event {row.seq} for {self._webhook.name}")
            self._telling.add(task)
            task.add_done_callback(self._told)

    def _told(self, task: asyncio.Task[None]) -> None:
        self._telling.discard(task)
        self._awake.set()

    async def _sleep(self, now: datetime) -> None:
        silent_till = self._standing.wake_at(now)
        has_room = self._standing.room(now, in_flight=self._stock.shelf.in_flight) > 0
        due_at = self._stock.shelf.wake_at(now) if has_room else None
        # Late already, it waits for room, not for time.
        read_at = self._stock.read_at if self._reading is None and self._stock.read_at > now else None
        until = min((at for at in (silent_till, due_at, read_at) if at is not None), default=None)
        with suppress(TimeoutError):
            async with asyncio.timeout(None if until is None else (until - now).total_seconds()):
                await self._awake.wait()

    # -- one event

    async def _tell(self, row: Delivery, standing: Standing) -> None:
        """*standing*: as it was when this was begun; of a newer one the answer says nothing."""
        try:
            body = body_of(row, self._enterprise, self._record_url)
        except Exception as error:
            self._log.error("webhook_event_not_expressible", call=row.call, fact=row.fact.kind, exc_info=error)
            self._park(row, why := f"{UNSPEAKABLE}{error}", why)
            self._stock.shelf.done(row)
            return
        heard = await self._asked(str(row.seq), body)
        now = self._now()
        since = row.first_tried_at or now
        if standing.failing_since is not None and meaning(heard) is not Meaning.REFUSED:
            since = min(since, max(row.created_at, standing.failing_since))
        verdict = decide(heard, attempts=row.attempts + 1, since=since, now=now, jitter=self._jitter())
        self._judge(heard, standing, row, now)
        match verdict:
            case Done():
                self._write(row, DeliveryStatus.SENT, heard.said)
                self._stock.shelf.done(row)
                self._log.debug("webhook_event_delivered", call=row.call, fact=row.fact.word, id=row.seq)
            case Park(why):
                self._park(row, why, heard.plainly)
                self._stock.shelf.done(row)
                self._give_up(heard, standing, now)
            case Retry(at):
                back = self._stock.shelf.again(row, at, tried_at=now)
                self._write(back, DeliveryStatus.DUE, heard.said)
            case _ as never:
                assert_never(never)

    async def _asked(self, id: str, body: bytes) -> Heard:
        try:
            return await self._post.send(self._webhook, id, body)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # A future deep in a library was cancelled. To the group that would be an orderly end, with a row astray.
            raise RuntimeError("a request was cancelled by nobody in charge") from error

    def _judge(self, heard: Heard, standing: Standing, row: Delivery, now: datetime) -> None:
        tried_since, reason = row.first_tried_at or now, heard.plainly
        mood: Mood | None
        match meaning(heard):
            case Meaning.TAKEN:
                mood, reason = standing.taken(), "the receiver answers again"
            case Meaning.GONE:
                mood = standing.gone(now, tried_since=tried_since)
            case Meaning.TRY_AGAIN | Meaning.REFUSED:
                asked, jitter = heard.retry_after, self._jitter()
                mood = standing.failed(now, tried_since=tried_since, retry_after=asked, jitter=jitter)
            case _ as never:
                assert_never(never)
        if mood is not None and standing is self._standing:
            self._become(mood, reason)

    def _give_up(self, heard: Heard, standing: Standing, now: datetime) -> None:
        """A receiver that took nothing for days will not take what is as old, either; what it refuses is no sign."""
        if standing.failing_since is None or now - standing.failing_since < PATIENCE:
            return
        for row in self._stock.shelf.give_up(now - PATIENCE):
            self._park(row, given_up(PATIENCE, heard), heard.plainly)

    def _become(self, mood: Mood, reason: str) -> None:
        self._since, self._reason = self._now(), "" if mood is Mood.WELL else reason
        match mood:
            case Mood.WELL:
                self._log.info("webhook_resumed", reason=reason)
            case Mood.TROUBLED:
                self._log.warning("webhook_in_trouble", reason=reason)
            case Mood.PAUSED:
                self._log.error("webhook_paused", reason=reason)
            case _ as never:
                assert_never(never)

    def _park(self, row: Delivery, why: str, shown: str) -> None:
        """*shown*: of *why*, in the log."""
        self._write(row, DeliveryStatus.PARKED, why)
        self._log.warning("webhook_event_parked", call=row.call, delivery=row.id, reason=shown)

    def _write(self, row: Delivery, status: DeliveryStatus, answer: str) -> None:
        self._settled[str(status)] += 1
        due = status is DeliveryStatus.DUE
        # What a server says may be anything; what the table takes is valid UTF-8 without NUL.
        text = answer[:ANSWER_MAX].replace("\0", "?").encode("utf-8", "replace").decode("utf-8")
        self._settle(
            [
                Settlement(
                    row.enterprise,
                    row.id,
                    status,
                    row.due_at if due else None,
                    row.attempts + (0 if due else 1),
                    text,
                    row.first_tried_at,
                )
            ]
        )
