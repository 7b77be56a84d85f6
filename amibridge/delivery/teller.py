"""Tells one CRM one thing at a time: render, send, judge the answer, settle the rows.

Laws: a popup is looked at again right before it is sent; a refused upload is halved until only the guilty call is
parked; what stops the whole enterprise settles no row; each call that arrived is one line in the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import assert_never
from zoneinfo import ZoneInfo

from structlog.typing import FilteringBoundLogger

from amibridge.calls.facts import CallEnded
from amibridge.calls.notices import NoticeKind
from amibridge.calls.record import CallRecord
from amibridge.delivery.plan import Agenda, History, Popup
from amibridge.delivery.policy import Done, Drop, Park, PauseEnterprise, Retry, Verdict, decide
from amibridge.delivery.standing import Mood, Standing
from amibridge.enterprises import CrmStanding, Enterprise
from amibridge.retailcrm import render
from amibridge.retailcrm.client import RetailCrm
from amibridge.retailcrm.errors import CrmBroken, CrmBusy, CrmError, CrmMissing, CrmRefused, CrmUnreachable
from amibridge.retailcrm.replies import CallEventReply, CallsUploadReply
from amibridge.store.outbox import Delivery, DeliveryStatus, Settlement

POPUP_PATIENCE = timedelta(seconds=10)
"""An answer to a popup is awaited no longer: its place is worth more to the next call."""

ANSWER_MAX = 500
"""Characters of an answer kept with the row."""

RecordUrl = Callable[[Enterprise, CallRecord], str | None]


class Teller:
    """*settle* takes verdicts to be written soon; *jitter* gives a number from [0, 1)."""

    def __init__(
        self,
        enterprise: Enterprise,
        agenda: Agenda,
        *,
        crm: RetailCrm,
        settle: Callable[[Sequence[Settlement]], None],
        record_url: RecordUrl,
        now: Callable[[], datetime],
        jitter: Callable[[], float],
        log: FilteringBoundLogger,
    ) -> None:
        self.enterprise = enterprise
        self.standing = Standing()
        self._agenda = agenda
        self._crm = crm
        self._settle = settle
        self._record_url = record_url
        self._now = now
        self._jitter = jitter
        self._log = log
        self._unknown: set[str] = set()
        self._since, self._reason = now(), ""

    def crm_standing(self) -> CrmStanding:
        """How the account stands, since when, and why."""
        return CrmStanding(self.enterprise.id, self.standing.mood, self._since, self._reason or None)

    def reconfigure(self, enterprise: Enterprise) -> None:
        """A new account is a new beginning."""
        if enterprise.account != self.enterprise.account:
            if self.standing.mood is not Mood.WELL:
                self._log.info("crm_resumed", reason="the account's settings were changed")
            self.standing = Standing()
            self._since, self._reason = self._now(), ""
        if (enterprise.account, enterprise.operators) != (self.enterprise.account, self.enterprise.operators):
            self._unknown.clear()
        self.enterprise = enterprise

    def drop(self, row: Delivery, why: str) -> None:
        """A row the agenda has given up already."""
        self._write([row], DeliveryStatus.DROPPED, why)
        self._log.debug("popup_dropped", call=row.call, fact=row.fact.kind, reason=why)

    # -- popups

    async def tell(self, popup: Popup) -> None:
        rows, now = popup.rows, self._now()
        fresh_until = min((row.fresh_until for row in rows if row.fresh_until is not None), default=None)
        if fresh_until is not None and fresh_until <= now:
            self._give_up(rows, DeliveryStatus.DROPPED, "no longer news")
            return
        try:
            request = render.popup([row.fact for row in rows], self.enterprise)
        except Exception as error:
            self._unspeakable(rows, error)
            return
        if request is None:
            self._give_up(rows, DeliveryStatus.DROPPED, "nobody to tell")
            return
        patience = POPUP_PATIENCE if fresh_until is None else min(POPUP_PATIENCE, fresh_until - now)
        standing = self.standing
        try:
            async with asyncio.timeout(patience.total_seconds()):
                reply = await self._crm.send(self.enterprise.account, request)
        except TimeoutError:
            self._judge_popup(rows, fresh_until, CrmUnreachable("the CRM did not answer in time"), standing)
        except CrmError as error:
            self._judge_popup(rows, fresh_until, error, standing)
        else:
            self._told(rows, reply, standing)

    def _told(self, rows: Sequence[Delivery], reply: CallEventReply, standing: Standing) -> None:
        self._announce(standing, standing.answered(), "the CRM answers again")
        self._agenda.settled(rows, reached=True)
        self._write(rows, DeliveryStatus.SENT, "accepted")
        self._log.debug("popup_delivered", call=rows[0].call, facts=[row.fact.kind for row in rows])
        for code in (*reply.not_exist_codes, *map(str, reply.not_exist_users)):
            if code not in self._unknown:
                self._unknown.add(code)
                self._log.warning("crm_knows_no_such_extension", extension=code, call=rows[0].call)

    def _judge_popup(
        self, rows: Sequence[Delivery], fresh_until: datetime | None, error: CrmError, standing: Standing
    ) -> None:
        verdict = self._decide(error, rows[0], max(row.attempts for row in rows), fresh_until, standing)
        if isinstance(verdict, PauseEnterprise):
            self._pause(rows, verdict, standing)
            return
        self._note(error, standing, history_from=None)
        match verdict:
            case Retry(at):
                self._put_back(rows, at, str(error), tried=True)
            case Drop(why) | Park(why):
                # Without a proper answer it may have opened all the same: its end must be told.
                self._give_up(rows, DeliveryStatus.DROPPED, why, reached=isinstance(error, CrmUnreachable | CrmBroken))
                self._log.debug("popup_dropped", call=rows[0].call, fact=rows[0].fact.kind, reason=why)
            case Done():
                raise AssertionError("an error is never done")
            case _ as never:
                assert_never(never)

    # -- history

    async def upload(self, history: History, zone: ZoneInfo) -> None:
        """*zone*: the account's, in which dates are written."""
        rows, enterprise, standing = history.rows, self.enterprise, self.standing
        try:
            records = [row.fact.record for row in rows if isinstance(row.fact, CallEnded)]
            request = render.history(records, enterprise, zone, lambda record: self._record_url(enterprise, record))
        except Exception as error:
            self._unspeakable(rows, error)
            return
        try:
            reply = await self._crm.send(enterprise.account, request)
        except CrmError as error:
            self._judge_history(rows, error, standing)
            return
        if reply.processed == 0 and not reply.duplicates:
            # It took none and knows none. Sent again nothing is doubled, for `externalId` is what it knows them by.
            self._judge_history(rows, CrmBroken("the CRM says that it took none of the calls"), standing)
            return
        self._uploaded(rows, reply, standing)

    def _uploaded(self, rows: Sequence[Delivery], reply: CallsUploadReply, standing: Standing) -> None:
        self._announce(standing, standing.answered(), "the CRM answers again")
        self._agenda.settled(rows, reached=True)
        known = set(reply.duplicates)
        for row in rows:
            duplicate = row.call in known
            self._write([row], DeliveryStatus.SENT, "known already" if duplicate else "accepted")
            result = row.fact.record.outcome if isinstance(row.fact, CallEnded) else None
            self._log.info("call_delivered", call=row.call, result=result, **({"duplicate": True} if duplicate else {}))

    def _judge_history(self, rows: Sequence[Delivery], error: CrmError, standing: Standing) -> None:
        if isinstance(error, CrmRefused | CrmMissing) and len(rows) > 1:
            self._note(error, standing, history_from=None)
            self._agenda.split(rows)
            return
        verdicts = [self._decide(error, row, row.attempts, None, standing) for row in rows]
        if isinstance(verdicts[0], PauseEnterprise):
            self._pause(rows, verdicts[0], standing)
            return
        self._note(error, standing, history_from=self._history_from(error, standing))
        for row, verdict in zip(rows, verdicts, strict=True):
            match verdict:
                case Retry(at):
                    self._put_back([row], at, str(error), tried=True)
                case Park(why) | Drop(why):
                    self._park(row, why)
                case Done() | PauseEnterprise():
                    raise AssertionError("an error is never done, and a pause is for all rows")
                case _ as never:
                    assert_never(never)

    def _history_from(self, error: CrmError, standing: Standing) -> datetime | None:
        """One upload after another must not run into the same wall: history as a whole backs off as a row does."""
        now = self._now()
        verdict = decide(
            error,
            perishable_until=None,
            attempts=standing.failures + 1,
            first_tried=now,
            now=now,
            jitter=self._jitter(),
        )
        return verdict.at if isinstance(verdict, Retry) else None

    # -- verdicts

    def fail_beside(self, error: CrmError, *, standing: Standing) -> None:
        """A request beside deliveries failed, which says as much of the account as theirs do."""
        now = self._now()
        verdict = decide(
            error,
            perishable_until=None,
            attempts=standing.pauses + 1,
            first_tried=now,
            now=now,
            jitter=self._jitter(),
        )
        if isinstance(verdict, PauseEnterprise):
            self._announce(standing, standing.pause(now, verdict.until), verdict.why)
        else:
            self._note(error, standing, history_from=self._history_from(error, standing))

    def _decide(
        self, error: CrmError, row: Delivery, attempts: int, fresh_until: datetime | None, standing: Standing
    ) -> Verdict:
        now, jitter = self._now(), self._jitter()
        verdict = decide(
            error,
            perishable_until=fresh_until,
            attempts=attempts + 1,
            first_tried=standing.tried_since(row.first_tried_at or now, now),
            now=now,
            jitter=jitter,
        )
        if not isinstance(verdict, PauseEnterprise):
            return verdict
        return decide(
            error, perishable_until=fresh_until, attempts=standing.pauses + 1, first_tried=now, now=now, jitter=jitter
        )

    def _note(self, error: CrmError, standing: Standing, *, history_from: datetime | None) -> None:
        if isinstance(error, CrmRefused):
            self._announce(standing, standing.answered(), "the CRM answers again")
            return
        retry_after = error.retry_after if isinstance(error, CrmBusy) else None
        mood = standing.failed(self._now(), retry_after=retry_after, history_from=history_from)
        self._announce(standing, mood, str(error))

    def _pause(self, rows: Sequence[Delivery], verdict: PauseEnterprise, standing: Standing) -> None:
        now = self._now()
        self._announce(standing, standing.pause(now, verdict.until), verdict.why)
        self._put_back(rows, now, verdict.why, tried=False)

    def _announce(self, standing: Standing, mood: Mood | None, reason: str) -> None:
        if standing is not self.standing:
            # The answer to a request made with settings that were changed meanwhile.
            return
        if mood is None:
            return
        self._since, self._reason = self._now(), "" if mood is Mood.WELL else reason
        match mood:
            case Mood.WELL:
                self._log.info("crm_resumed", reason=reason)
            case Mood.TROUBLED:
                self._log.warning("crm_in_trouble", reason=reason)
            case Mood.PAUSED:
                self._log.error("crm_paused", reason=reason)
            case _ as never:
                assert_never(never)

    def _put_back(self, rows: Sequence[Delivery], at: datetime, why: str, *, tried: bool) -> None:
        back = self._agenda.again(rows, at, tried_at=self._now() if tried else None)
        self._write(back, DeliveryStatus.DUE, why)

    def _give_up(self, rows: Sequence[Delivery], status: DeliveryStatus, why: str, *, reached: bool = False) -> None:
        self._agenda.settled(rows, reached=reached)
        self._write(rows, status, why)

    def _park(self, row: Delivery, why: str) -> None:
        self._give_up([row], DeliveryStatus.PARKED, why)
        self._log.warning("call_parked", call=row.call, reason=why)

    def _unspeakable(self, rows: Sequence[Delivery], error: Exception) -> None:
        """A fact that cannot be put into the CRM's words: a person must look, the others go on."""
        if len(rows) > 1 and rows[0].kind is NoticeKind.HISTORY:
            self._agenda.split(rows)
            return
        self._log.error("call_not_expressible", call=rows[0].call, fact=rows[0].fact.kind, exc_info=error)
        why = f"cannot be put into the CRM's words: {error}"
        if rows[0].kind is NoticeKind.HISTORY:
            self._park(rows[0], why)
        else:
            self._give_up(rows, DeliveryStatus.DROPPED, why)

    def _write(self, rows: Iterable[Delivery], status: DeliveryStatus, answer: str) -> None:
        due = status is DeliveryStatus.DUE
        tries = 1 if status in (DeliveryStatus.SENT, DeliveryStatus.PARKED) else 0
        # What a server says may be anything; what the table takes is valid UTF-8 without NUL.
        text = answer[:ANSWER_MAX].replace("\0", "?").encode("utf-8", "replace").decode("utf-8")
        self._settle(
            [
                Settlement(
                    row.enterprise,
                    row.id,
                    status,
                    row.due_at if due else None,
                    row.attempts + tries,
                    text,
                    row.first_tried_at,
                )
                for row in rows
            ]
        )
