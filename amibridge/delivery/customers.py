"""Errands in the CRM about the person of a call that is over: who is it?

Laws: a stranger is looked for before he is made, and made once; a number that we know costs no request; what one errand
meets holds up neither popups nor history.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import assert_never

from structlog.typing import FilteringBoundLogger

from amibridge.calls.facts import CallEnded
from amibridge.calls.record import CallRecord
from amibridge.delivery.errands import Errands
from amibridge.delivery.judge import UNSPEAKABLE, Judge
from amibridge.delivery.policy import Done, Drop, Park, PauseEnterprise, Retry
from amibridge.delivery.standing import Standing
from amibridge.enterprises import Enterprise
from amibridge.retailcrm import render
from amibridge.retailcrm.client import RetailCrm
from amibridge.retailcrm.errors import CrmError
from amibridge.retailcrm.service import RetailCRMService
from amibridge.store.customers import CustomerId, Customers
from amibridge.store.db import DATABASE_FAILURES
from amibridge.store.outbox import Delivery, DeliveryStatus

DATABASE_AGAIN = timedelta(seconds=5)
"""Until an errand that met an absent database is tried again."""


class Acquaintance:
    """Sees to one errand at a time for one enterprise."""

    def __init__(
        self, judge: Judge, errands: Errands, *, crm: RetailCrm, customers: Customers, log: FilteringBoundLogger
    ) -> None:
        self._judge = judge
        self._errands = errands
        self._crm = crm
        self._customers = customers
        self._log = log

    async def see_to(self, row: Delivery) -> None:
        """To its end, whatever that is: done, put back, or parked."""
        standing = self._judge.standing
        try:
            answer = await self._acquaint(_record_of(row), self._judge.enterprise, standing)
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

    async def _acquaint(self, record: CallRecord, enterprise: Enterprise, standing: Standing) -> str:
        """Know the customer of the call; what came of it, for people."""
        phone = record.phone
        if phone is None:
            return "no number"
        known = await self._customers.of_phone(enterprise.id, phone)
        if known is not None:
            return f"customer {known}, as before"
        service = RetailCRMService(self._crm, enterprise.account, region=enterprise.region)
        found = (await service.search_customer_by_phone(phone)).customer
        self._judge.answered(standing)
        if found is not None:
            await self._customers.link(enterprise.id, phone, CustomerId(found.id))
            self._log.debug("customer_found", call=record.call_id, customer=found.id)
            return f"customer {found.id}, found"
        if not enterprise.create_customers:
            return "nobody in the CRM has this number"
        made = await service.create_customer(render.customer(record, phone, enterprise))
        await self._customers.link(enterprise.id, phone, CustomerId(made.customer.id))
        self._log.info("customer_made", call=record.call_id, customer=made.customer.id)
        return f"customer {made.customer.id}, {'made' if made.created else 'made before'}"

    def _judge_errand(self, row: Delivery, error: CrmError, standing: Standing) -> None:
        verdict = self._judge.verdict(error, row, standing, attempts=row.attempts, fresh_until=None)
        match verdict:
            case PauseEnterprise():
                self._judge.pause(verdict, standing)
                self._put_back(self._judge.now(), verdict.why, tried=False)
            case Retry(at):
                self._judge.note(error, standing, holds_history=True)
                self._put_back(at, str(error), tried=True)
            case Park(why) | Drop(why):
                self._judge.note(error, standing, holds_history=False)
                self._park(row, why)
            case Done():
                raise AssertionError("an error is never done")
            case _ as never:
                assert_never(never)

    def _put_back(self, at: datetime, why: str, *, tried: bool) -> None:
        row = self._errands.again(at, tried_at=self._judge.now() if tried else None)
        self._judge.write([row], DeliveryStatus.DUE, why)

    def _park(self, row: Delivery, why: str) -> None:
        self._errands.done()
        self._judge.write([row], DeliveryStatus.PARKED, why)
        self._log.warning("customer_parked", call=row.call, reason=why)


def _record_of(row: Delivery) -> CallRecord:
    if not isinstance(row.fact, CallEnded):
        raise ValueError(f"an errand is about an ended call, not about {row.fact.kind}")
    return row.fact.record
