"""To which group each status of an order belongs: the account's own dictionary, kept for an hour.

Law: without it orders are followed all the same, and counted in no group; it may be had later.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from structlog.typing import FilteringBoundLogger

from amibridge.retailcrm.errors import CrmBroken, CrmForbids, CrmMissing, CrmRefused
from amibridge.retailcrm.reference import statuses
from amibridge.store.mirror import Mirror, Place
from amibridge.sync.asker import Asker
from amibridge.sync.rows import group_words

KEPT_FOR = timedelta(hours=1)
AGAIN_AFTER = timedelta(minutes=5)
"""When the CRM did not tell them."""


class Statuses:
    def __init__(self, asker: Asker, mirror: Mirror, place: Place, log: FilteringBoundLogger) -> None:
        self._asker = asker
        self._mirror = mirror
        self._place = place
        self._log = log
        self._groups: dict[str, str | None] | None = None
        self._ask_at: datetime | None = None
        self._said = False

    async def groups(self, now: datetime) -> Mapping[str, str | None]:
        """The group of each status, by code; orders that we have follow a change. Raises CrmError for the account's
        troubles, and what the database raises."""
        if self._ask_at is not None and now < self._ask_at:
            return self._groups or {}
        try:
            reply = await self._asker.ask(statuses())
        except (CrmBroken, CrmForbids, CrmMissing, CrmRefused) as error:
            self._ask_at = now + AGAIN_AFTER
            if not self._said:
                self._said = True
                self._log.warning("crm_tells_no_statuses", reason=str(error))
            return self._groups or {}
        groups = group_words({code: status.group for code, status in reply.statuses.items()})
        if groups != self._groups:
            await self._mirror.regroup(self._place, now, groups)
        self._groups, self._ask_at, self._said = groups, now + KEPT_FOR, False
        return groups
