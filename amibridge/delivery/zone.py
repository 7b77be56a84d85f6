"""In which time zone an account writes its dates, when nobody configured it: the CRM's settings know.

Law: not knowing it holds back history and nothing else, for a date cannot be guessed and a popup has none.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from structlog.typing import FilteringBoundLogger

from amibridge.delivery.policy import PauseEnterprise, Retry, decide
from amibridge.enterprises import Account
from amibridge.retailcrm.client import RetailCrm
from amibridge.retailcrm.errors import CrmError, CrmForbids, CrmMissing, CrmRefused
from amibridge.retailcrm.requests import settings

REFUSED_AGAIN_AFTER = timedelta(minutes=15)
"""The key has no right to read settings: until somebody mends it, asking more often changes nothing."""


class AccountZone:
    """*zone*: None until the account has told it. *ask_at*: when to ask, None for at once."""

    def __init__(self, account: Account, log: FilteringBoundLogger) -> None:
        self.zone: ZoneInfo | None = None
        self.ask_at: datetime | None = None
        self._account = account
        self._log = log
        self._failures = 0
        self._said = False

    async def ask(
        self,
        crm: RetailCrm,
        now: Callable[[], datetime],
        jitter: Callable[[], float],
        failed: Callable[[CrmError], None],
    ) -> None:
        """*failed* is told of what concerns the account as a whole, not the settings alone."""
        try:
            reply = await crm.send(self._account, settings())
        except CrmError as error:
            self._failures += 1
            at = now()
            verdict = decide(
                error, perishable_until=None, attempts=self._failures, first_tried=at, now=at, jitter=jitter()
            )
            match verdict:
                case Retry(again) | PauseEnterprise(again):
                    self.ask_at = again
                case _:
                    self.ask_at = at + REFUSED_AGAIN_AFTER
            if not isinstance(error, CrmForbids | CrmRefused | CrmMissing):
                failed(error)
            elif not self._said:
                self._said = True
                self._log.warning(
                    "crm_tells_no_time_zone",
                    reason=str(error),
                    advice="history waits: set `timezone` for the enterprise, or let the key read settings",
                )
        else:
            self.zone = reply.time_zone
            self._log.info("crm_tells_time_zone", time_zone=reply.time_zone.key)
