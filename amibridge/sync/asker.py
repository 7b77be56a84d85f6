"""Questions to one account, at a pace that leaves the other half of its rate to deliveries; many records by their ids.

Law: a record that breaks the answer it stands in, or cannot be asked for, is found, said, and left out; a CRM that is
broken as a whole is not taken for a broken record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import TypeVar

from structlog.typing import FilteringBoundLogger

from amibridge.enterprises import Account
from amibridge.retailcrm.client import RetailCrm
from amibridge.retailcrm.errors import CrmBroken, CrmRefused
from amibridge.retailcrm.limits import RATES
from amibridge.retailcrm.requests import LimitClass, ReplyT, Request

AT_ONCE = 50
"""Records fetched together: a hundred big orders would be more than the megabyte that an answer may have."""

NOBODY = 999_999_999
"""An id that nobody has, for a question that any sound CRM can answer."""

_ORDINARY = RATES[LimitClass.ORDINARY]
PACE = 2 * _ORDINARY.per / _ORDINARY.limit
"""Between two of our questions: half of what an account may be asked."""

EntityT = TypeVar("EntityT")


class Asker:
    """*pace*: from the start of one question to the next; whoever asks waits for his turn."""

    def __init__(self, crm: RetailCrm, account: Account, log: FilteringBoundLogger, pace: timedelta = PACE) -> None:
        self._crm = crm
        self._account = account
        self._log = log
        self._pace = pace.total_seconds()
        self._next = 0.0

    async def ask(self, request: Request[ReplyT]) -> ReplyT:
        """Raises CrmError."""
        clock = asyncio.get_running_loop().time
        now = clock()
        self._next, turn = max(now, self._next) + self._pace, max(now, self._next)
        await asyncio.sleep(turn - now)
        return await self._crm.send(self._account, request)

    async def whole(
        self,
        what: str,
        ids: Iterable[int],
        listed: Callable[[Sequence[int]], Request[ReplyT]],
        entities: Callable[[ReplyT], Iterable[EntityT]],
    ) -> list[EntityT]:
        """The records of *ids* that there are, of one kind, *what*; in no order, and maybe others among them.

        Raises CrmError.
        """
        ahead = _parts(list(dict.fromkeys(ids)), AT_ONCE)
        found: list[EntityT] = []
        while ahead:
            part = ahead.pop()
            try:
                found += entities(await self.ask(listed(part)))
            except (CrmBroken, CrmRefused) as error:
                if len(part) > 1:
                    ahead += _parts(part, (len(part) + 1) // 2)
                    continue
                await self.ask(listed([NOBODY]))
                self._log.error("crm_record_set_aside", what=what, record=part[0], reason=str(error))
        return found


def _parts(ids: list[int], most: int) -> list[list[int]]:
    return [ids[start : start + most] for start in range(0, len(ids), most)]
