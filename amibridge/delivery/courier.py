"""Sees to the errands of one enterprise: each is done, put back, or parked.

Law: what one errand meets holds up neither popups nor history; a right that an errand lacks, least of all.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import assert_never

from structlog.typing import FilteringBoundLogger

from amibridge.calls.facts import CallEnded
from amibridge.calls.notices import NoticeKind
from amibridge.delivery.customers import Acquaintance
from amibridge.delivery.errands import Errands, NotYet
from amibridge.delivery.follow_ups import FollowUpErrand
from amibridge.delivery.judge import UNSPEAKABLE, Judge
from amibridge.delivery.policy import GIVEN_UP, PATIENCE, Done, Drop, Park, PauseEnterprise, Retry, Verdict
from amibridge.delivery.standing import Standing
from amibridge.retailcrm.errors import CrmError, CrmForbids
from amibridge.store.db import DATABASE_FAILURES
from amibridge.store.outbox import Delivery, DeliveryStatus

DATABASE_AGAIN = timedelta(seconds=5)
"""Until an errand that met an absent database is tried again."""

FORBIDDEN_AGAIN = timedelta(minutes=15)
"""Until an errand for which the key lacks a right is tried again: a person has to give it."""


class Courier:
    """One errand at a time."""

    def __init__(
        self,
        judge: Judge,
        errands: Errands,
        acquaintance: Acquaintance,
        follow_up: FollowUpErrand,
        log: FilteringBoundLogger,
    ) -> None:
        self._judge = judge
        self._errands = errands
        self._acquaintance = acquaintance
        self._follow_up = follow_up
        self._log = log

    async def see_to(self, row: Delivery) -> None:
        """To its end, whatever that is."""
        standing = self._judge.standing
        try:
            answer = await self._do(row, standing)
        except NotYet as wait:
            self._put_back(wait.until, str(wait), tried=False)
        except CrmError as error:
            self._judge_errand(row, error, standing)
        except DATABASE_FAILURES as error:
            self._put_back(self._judge.now() + DATABASE_AGAIN, str(error) or type(error).__name__, tried=False)
        except Exception as error:
            self._log.error("call_not_expressible", call=row.call, fact=row.fact.kind, exc_info=error)
            self._park(row, f"{UNSPEAKABLE}{error}")
        else:
            self._errands.done()
            self._judge.write([row], DeliveryStatus.SENT, answer)

    async def _do(self, row: Delivery, standing: Standing) -> str:
        """What came of it, for people."""
        if not isinstance(row.fact, CallEnded):
            raise ValueError(f"an errand is about an ended call, not about {row.fact.kind}")
        record, enterprise = row.fact.record, self._judge.enterprise
        if record.phone is None:
            return "no number"
        if row.kind is NoticeKind.FOLLOW_UP:
            return await self._follow_up.do(record, record.phone, enterprise, standing, heard_at=row.created_at)
        return (await self._acquaintance.make(record, record.phone, enterprise, standing)).how

    def _judge_errand(self, row: Delivery, error: CrmError, standing: Standing) -> None:
        verdict = self._verdict(row, error, standing)
        match verdict:
            case PauseEnterprise():
                self._judge.pause(verdict, standing)
                self._put_back(self._judge.now(), verdict.why, tried=False)
            case Retry(at):
                if not isinstance(error, CrmForbids):
                    self._judge.note(error, standing, holds_history=True)
                self._put_back(at, str(error), tried=True)
            case Park(why) | Drop(why):
                if not isinstance(error, CrmForbids):
                    self._judge.note(error, standing, holds_history=False)
                self._park(row, why)
            case Done():
                raise AssertionError("an error is never done")
            case _ as never:
                assert_never(never)

    def _verdict(self, row: Delivery, error: CrmError, standing: Standing) -> Verdict:
        if not isinstance(error, CrmForbids):
            return self._judge.verdict(error, row, standing, attempts=row.attempts, fresh_until=None)
        now = self._judge.now()
        if now - (row.first_tried_at or now) >= PATIENCE:
            return Park(f"{GIVEN_UP}{PATIENCE.days} days: {error}")
        return Retry(now + FORBIDDEN_AGAIN)

    def _put_back(self, at: datetime, why: str, *, tried: bool) -> None:
        row = self._errands.again(at, tried_at=self._judge.now() if tried else None)
        self._judge.write([row], DeliveryStatus.DUE, why)

    def _park(self, row: Delivery, why: str) -> None:
        self._errands.done()
        self._judge.write([row], DeliveryStatus.PARKED, why)
        is_customer = row.kind is NoticeKind.CUSTOMER
        self._log.warning("customer_parked" if is_customer else "follow_up_parked", call=row.call, reason=why)
