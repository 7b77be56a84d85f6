"""Whether an account's API key may do what its enterprise wants done: asked beside deliveries, which never wait for it.

Law: what is missing is said once, all of it in one line, and again only when it is something else.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from structlog.typing import FilteringBoundLogger

from amibridge.enterprises import Enterprise
from amibridge.retailcrm.client import RetailCrm
from amibridge.retailcrm.errors import CrmError
from amibridge.retailcrm.requests import credentials
from amibridge.retailcrm.rights import missing

AGAIN_AFTER = timedelta(hours=6)
"""A person may have changed the key's rights."""

FAILED_AGAIN_AFTER = timedelta(minutes=15)
"""Why there was no answer is for deliveries to find out and to say."""


class KeyRights:
    """*ask_at*: when to ask, None for at once."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self.ask_at: datetime | None = None
        self._log = log
        self._said: tuple[str, ...] = ()

    async def ask(self, crm: RetailCrm, enterprise: Enterprise, now: Callable[[], datetime]) -> None:
        try:
            reply = await crm.send(enterprise.account, credentials())
        except CrmError:
            self.ask_at = now() + FAILED_AGAIN_AFTER
            return
        self.ask_at = now() + AGAIN_AFTER
        lacking = missing(enterprise, reply)
        if lacking and lacking != self._said:
            self._log.warning(
                "crm_key_lacks_rights", rights=lacking, advice="give them to the key in the CRM, or make another key"
            )
        self._said = lacking
