"""Tells one CRM one thing at a time: render, send, settle the rows as the answer is judged.

Laws: a popup is looked at again right before it is sent; a refused upload is halved until only the guilty call is
parked, and one of which the CRM took a part until it is known which; each call that arrived is one line in the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import assert_never
from zoneinfo import ZoneInfo

from structlog.typing import FilteringBoundLogger

from amibridge.calls.facts import CallEnded, CallStarted, OperatorRang
from amibridge.calls.notices import NoticeKind
from amibridge.calls.record import CallRecord
from amibridge.delivery.judge import UNSPEAKABLE, Judge
from amibridge.delivery.plan import Agenda, History, Popup
from amibridge.delivery.policy import Done, Drop, Park, PauseEnterprise, Retry
from amibridge.delivery.standing import Standing
from amibridge.enterprises import Enterprise
from amibridge.retailcrm import render
from amibridge.retailcrm.client import RetailCrm
from amibridge.retailcrm.errors import CrmBroken, CrmError, CrmMissing, CrmRefused, CrmUnreachable
from amibridge.retailcrm.replies import CallEventReply, CallsUploadReply
from amibridge.store.outbox import USER, Delivery, DeliveryStatus, knows_not

POPUP_PATIENCE = timedelta(seconds=10)
"""An answer to a popup is awaited no longer: its place is worth more to the next call."""

RecordUrl = Callable[[Enterprise, CallRecord], str | None]


class Teller:
    def __init__(
        self, judge: Judge, agenda: Agenda, *, crm: RetailCrm, record_url: RecordUrl, log: FilteringBoundLogger
    ) -> None:
        self._judge = judge
        self._agenda = agenda
        self._crm = crm
        self._record_url = record_url
        self._log = log
        self._unknown: set[str] = set()

    def forget_unknown(self) -> None:
        """Extensions that the CRM did not know are news again: somebody has changed them, or the account."""
        self._unknown.clear()

    def drop(self, row: Delivery, why: str) -> None:
        """A row the agenda has given up already."""
        self._judge.write([row], DeliveryStatus.DROPPED, why)
        self._log.debug("popup_dropped", call=row.call, fact=row.fact.kind, reason=why)

    # -- popups

    async def tell(self, popup: Popup) -> None:
        rows, now = popup.rows, self._judge.now()
        fresh_until = min((row.fresh_until for row in rows if row.fresh_until is not None), default=None)
        if fresh_until is not None and fresh_until <= now:
            self._give_up(rows, DeliveryStatus.DROPPED, "no longer news")
            return
        try:
            request = render.popup([row.fact for row in rows], self._judge.enterprise)
        except Exception as error:
            self._unspeakable(rows, error)
            return
        if request is None:
            self._give_up(rows, DeliveryStatus.DROPPED, "nobody to tell")
            return
        patience = POPUP_PATIENCE if fresh_until is None else min(POPUP_PATIENCE, fresh_until - now)
        standing = self._judge.standing
        try:
            async with asyncio.timeout(patience.total_seconds()):
                reply = await self._crm.send(self._judge.enterprise.account, request)
        except TimeoutError:
            self._judge_popup(rows, fresh_until, CrmUnreachable("the CRM did not answer in time"), standing)
        except CrmError as error:
            self._judge_popup(rows, fresh_until, error, standing)
        else:
            self._told(rows, reply, standing)

    def _told(self, rows: Sequence[Delivery], reply: CallEventReply, standing: Standing) -> None:
        self._judge.answered(standing)
        self._agenda.settled(rows, reached=True)
        self._time(rows)
        unknown = (*reply.not_exist_codes, *(f"{USER}{user}" for user in reply.not_exist_users))
        self._judge.write(rows, DeliveryStatus.SENT, knows_not(unknown) if unknown else "accepted")
        self._log.debug("popup_delivered", call=rows[0].call, facts=[row.fact.kind for row in rows])
        new = [name for name in unknown if name not in self._unknown]
        self._unknown.update(new)
        for name in new:
            if name.startswith(USER):
                self._log.warning("crm_knows_no_such_user", user=name.removeprefix(USER), call=rows[0].call)
            else:
                self._log.warning("crm_knows_no_such_extension", extension=name, call=rows[0].call)

    def _time(self, rows: Sequence[Delivery]) -> None:
        """How long ringing phones waited for their popups: by our clock, from the event on."""
        now = self._judge.now()
        for row in rows:
            if isinstance(row.fact, OperatorRang | CallStarted):
                self._judge.tally.popup_delays.add(max(0.0, (now - row.created_at).total_seconds()))

    def _judge_popup(
        self, rows: Sequence[Delivery], fresh_until: datetime | None, error: CrmError, standing: Standing
    ) -> None:
        attempts = max(row.attempts for row in rows)
        verdict = self._judge.verdict(error, rows[0], standing, attempts=attempts, fresh_until=fresh_until)
        if isinstance(verdict, PauseEnterprise):
            self._pause(rows, verdict, standing)
            return
        self._judge.note(error, standing, holds_history=False)
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
        rows, enterprise, standing = history.rows, self._judge.enterprise, self._judge.standing
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
        accounted_for = len(rows) if reply.processed is None else reply.processed + len(reply.duplicates)
        # It may have taken fewer than it got. Sent again nothing is doubled: `externalId` is what it knows calls by.
        if accounted_for == 0:
            self._judge_history(rows, CrmBroken("the CRM says that it took none of the calls"), standing)
        elif accounted_for < len(rows):
            self._judge.answered(standing)
            self._agenda.split(rows)
        else:
            self._uploaded(rows, reply, standing)

    def _uploaded(self, rows: Sequence[Delivery], reply: CallsUploadReply, standing: Standing) -> None:
        self._judge.answered(standing)
        self._agenda.settled(rows, reached=True)
        known = set(reply.duplicates)
        for row in rows:
            duplicate = row.call in known
            self._judge.write([row], DeliveryStatus.SENT, "known already" if duplicate else "accepted")
            result = row.fact.record.outcome if isinstance(row.fact, CallEnded) else None
            self._log.info("call_delivered", call=row.call, result=result, **({"duplicate": True} if duplicate else {}))

    def _judge_history(self, rows: Sequence[Delivery], error: CrmError, standing: Standing) -> None:
        if isinstance(error, CrmRefused | CrmMissing) and len(rows) > 1:
            self._judge.note(error, standing, holds_history=False)
            self._agenda.split(rows)
            return
        verdicts = [self._judge.verdict(error, row, standing, attempts=row.attempts, fresh_until=None) for row in rows]
        if isinstance(verdicts[0], PauseEnterprise):
            self._pause(rows, verdicts[0], standing)
            return
        self._judge.note(error, standing, holds_history=True)
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

    # -- verdicts

    def _pause(self, rows: Sequence[Delivery], verdict: PauseEnterprise, standing: Standing) -> None:
        self._judge.pause(verdict, standing)
        self._put_back(rows, self._judge.now(), verdict.why, tried=False)

    def _put_back(self, rows: Sequence[Delivery], at: datetime, why: str, *, tried: bool) -> None:
        back = self._agenda.again(rows, at, tried_at=self._judge.now() if tried else None)
        self._judge.write(back, DeliveryStatus.DUE, why)

    def _give_up(self, rows: Sequence[Delivery], status: DeliveryStatus, why: str, *, reached: bool = False) -> None:
        self._agenda.settled(rows, reached=reached)
        self._judge.write(rows, status, why)

    def _park(self, row: Delivery, why: str) -> None:
        self._give_up([row], DeliveryStatus.PARKED, why)
        self._log.warning("call_parked", call=row.call, reason=why)

    def _unspeakable(self, rows: Sequence[Delivery], error: Exception) -> None:
        """A fact that cannot be put into the CRM's words: a person must look, the others go on."""
        if len(rows) > 1 and rows[0].kind is NoticeKind.HISTORY:
            self._agenda.split(rows)
            return
        self._log.error("call_not_expressible", call=rows[0].call, fact=rows[0].fact.kind, exc_info=error)
        why = f"{UNSPEAKABLE}{error}"
        if rows[0].kind is NoticeKind.HISTORY:
            self._park(rows[0], why)
        else:
            self._give_up(rows, DeliveryStatus.DROPPED, why)
