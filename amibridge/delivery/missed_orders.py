"""A missed call of somebody new as an order in the CRM: made once, moved on where there is a status for it.

Law: an order whose status is not the one we left, or that is not ours any more, is left alone.
"""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

from amibridge.enterprises import Enterprise
from amibridge.retailcrm.client import RetailCrm
from amibridge.retailcrm.errors import CrmMissing
from amibridge.retailcrm.missed_call import MissedCall
from amibridge.retailcrm.orders import Order, OrderFields, edit_order, order
from amibridge.retailcrm.service import RetailCRMService
from amibridge.store.follow_ups import Ending, FollowUp, Made


class MissedOrders:
    """Every method raises CrmError."""

    def __init__(self, crm: RetailCrm) -> None:
        self._crm = crm

    def mark(self, missed: MissedCall) -> str:
        return missed.external_id

    async def make(self, missed: MissedCall) -> Made:
        """Now, or before."""
        enterprise = missed.enterprise
        service = RetailCRMService(self._crm, replace(enterprise.account, site=missed.site), region=enterprise.region)
        made = (await service.create_order(missed.order())).order
        if made.status is None:
            made = await self._read(made.id, enterprise, missed.site)
        return Made(made.id, made.status)

    async def find(self, one: FollowUp, enterprise: Enterprise, zone: ZoneInfo) -> Made | None:
        """The one that was asked for; None if it was never made."""
        try:
            found = await self._read(one.mark, enterprise, one.site)
        except CrmMissing:
            return None
        return Made(found.id, found.status)

    async def end(self, one: FollowUp, made: Made, enterprise: Enterprise, *, reached: bool) -> Ending | None:
        """How it ended; *reached*: it ends now. None: it goes on."""
        try:
            found = await self._read(made.id, enterprise, one.site)
        except CrmMissing:
            return Ending.GONE
        if found.status != made.status or found.external_id != one.mark:
            return Ending.BY_OTHERS
        if not reached:
            return None
        status = enterprise.missed_calls.order_status_reached
        if status is not None:
            await self._crm.send(enterprise.account, edit_order(made.id, OrderFields(status=status), one.site))
        return Ending.REACHED

    async def _read(self, key: int | str, enterprise: Enterprise, site: str | None) -> Order:
        return (await self._crm.send(enterprise.account, order(key, site))).order
