"""A missed call as a task in the CRM: made once, ended when somebody reached the customer.

Laws: a task has no externalId, so one of which an answer was lost is looked for by its text; one that somebody has
ended or removed is left alone.
"""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

from amibridge.enterprises import Enterprise
from amibridge.retailcrm.client import RetailCrm
from amibridge.retailcrm.errors import CrmBroken, CrmMissing
from amibridge.retailcrm.missed_call import MissedCall
from amibridge.retailcrm.tasks import TaskFields, create_task, edit_task, task, tasks
from amibridge.store.follow_ups import Ending, FollowUp, Made

MOST_PAGES = 20
"""Of tasks that are looked through, a hundred each: all that anybody made in two days. More is a filter that the CRM
passes over."""


class MissedTasks:
    """Every method raises CrmError."""

    def __init__(self, crm: RetailCrm) -> None:
        self._crm = crm

    def mark(self, missed: MissedCall) -> str:
        return missed.text

    async def make(self, missed: MissedCall) -> Made:
        created = await self._crm.send(missed.enterprise.account, create_task(missed.task(), missed.site))
        return Made(created.id)

    async def find(self, one: FollowUp, enterprise: Enterprise, zone: ZoneInfo) -> Made | None:
        """The one that was asked for; None if it was never made."""
        day = one.missed_at.astimezone(zone).date() - timedelta(days=1)
        for page in range(1, MOST_PAGES + 1):
            reply = await self._crm.send(enterprise.account, tasks(created_from=day, page=page, limit=100))
            for found in reply.tasks:
                if " ".join((found.text or "").split()) == one.mark:
                    return Made(found.id)
            if page >= reply.paging.pages:
                return None
        raise CrmBroken(f"the CRM tells of more than {MOST_PAGES * 100} tasks in two days: which one is ours?")

    async def end(self, one: FollowUp, made: Made, enterprise: Enterprise, *, reached: bool) -> Ending | None:
        """How it ended; *reached*: it ends now. None: it goes on."""
        try:
            found = (await self._crm.send(enterprise.account, task(made.id))).task
        except CrmMissing:
            return Ending.GONE
        if found.complete:
            return Ending.BY_OTHERS
        if not reached:
            return None
        done = TaskFields(complete=True, performer=found.performer)
        await self._crm.send(enterprise.account, edit_task(made.id, done, one.site))
        return Ending.REACHED
