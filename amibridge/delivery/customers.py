"""Who was that? The customer of a call, found in the CRM or made there.

Laws: a stranger is looked for before he is made, and made once; a number that we know costs no request.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from structlog.typing import FilteringBoundLogger

from amibridge.calls.record import CallId, CallRecord
from amibridge.delivery.judge import Judge
from amibridge.delivery.standing import Standing
from amibridge.enterprises import Enterprise
from amibridge.retailcrm import render
from amibridge.retailcrm.client import RetailCrm
from amibridge.retailcrm.customers import Customer
from amibridge.retailcrm.errors import CrmMissing
from amibridge.retailcrm.service import RetailCRMService
from amibridge.store.customers import CustomerId, Customers

JUST_MADE = timedelta(days=6)
"""A customer under our externalId who is younger may be one that a run of ours made and did not live to write down: an
errand is tried for five days, and the CRM's zone is not ours. The CRM's own lookup tells no age, so he is read."""


@dataclass(frozen=True, slots=True)
class Acquainted:
    """*customer* None: nobody in the CRM has the number. *how* he was found, for people."""

    customer: CustomerId | None
    how: str


class Acquaintance:
    def __init__(self, judge: Judge, *, crm: RetailCrm, customers: Customers, log: FilteringBoundLogger) -> None:
        self._judge = judge
        self._crm = crm
        self._customers = customers
        self._log = log

    async def make(self, record: CallRecord, phone: str, enterprise: Enterprise, standing: Standing) -> Acquainted:
        """Know the customer with *phone*. Raises CrmError, and what the database raises."""
        known = await self._customers.of_phone(enterprise.id, phone)
        if known is not None:
            return Acquainted(known, f"customer {known}, as before")
        service = RetailCRMService(self._crm, enterprise.account, region=enterprise.region)
        found = (await service.search_customer_by_phone(phone)).customer
        self._judge.answered(standing)
        if found is not None:
            just_made = found.external_id == service.external_id(phone) and await self._is_just_made(found.id, service)
            await self._link(enterprise, phone, found, record.call_id if just_made else None)
            self._log.debug("customer_found", call=record.call_id, customer=found.id)
            return Acquainted(CustomerId(found.id), f"customer {found.id}, found")
        if not enterprise.create_customers:
            return Acquainted(None, "nobody in the CRM has this number")
        made = await service.create_customer(render.customer(record, phone, enterprise))
        await self._link(enterprise, phone, made.customer, record.call_id)
        self._log.info("customer_made", call=record.call_id, customer=made.customer.id)
        how = "made" if made.created else "made before"
        return Acquainted(CustomerId(made.customer.id), f"customer {made.customer.id}, {how}")

    async def _link(self, enterprise: Enterprise, phone: str, customer: Customer, made_for: CallId | None) -> None:
        await self._customers.link(enterprise.id, phone, CustomerId(customer.id), made_for)

    async def _is_just_made(self, ours: int, service: RetailCRMService) -> bool:
        try:
            made_at = (await service.customer(ours)).created_at
        except CrmMissing:
            return False
        return made_at is not None and self._judge.now().replace(tzinfo=None) - made_at < JUST_MADE
