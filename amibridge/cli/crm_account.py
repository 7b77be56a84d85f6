"""One enterprise and the way to its CRM, for commands: our module there, its users, and what is kept of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg

from amibridge.cli.failure import CommandFailed
from amibridge.cli.stored import open_store, unknown
from amibridge.config import Settings
from amibridge.enterprises import Enterprise, EnterpriseId
from amibridge.retailcrm.client import CrmSettings, RetailCrm, open_crm
from amibridge.retailcrm.errors import CrmBroken, CrmBusy, CrmError, CrmMissing, CrmRefused, CrmUnreachable
from amibridge.retailcrm.exchange import Exchange
from amibridge.retailcrm.limits import BESIDE
from amibridge.retailcrm.module_wish import module_code
from amibridge.retailcrm.modules import (
    IntegrationModule,
    ModuleEdited,
    edit_integration_module,
    integration_module,
    says_there_is_none,
)
from amibridge.retailcrm.requests import ReplyT, Request
from amibridge.retailcrm.users import User
from amibridge.retailcrm.users import users as list_users
from amibridge.runtime.request_log import row_of
from amibridge.secrets import open_keyring
from amibridge.store.db import DATABASE_FAILURES
from amibridge.store.directory import Directory
from amibridge.store.modules import tell_module
from amibridge.store.requests import CrmRequests

PATIENT_TRIES = 3

BUSY_AGAIN, LONGEST_WAIT = timedelta(seconds=1), timedelta(seconds=10)
"""RetailCRM counts requests by the second; a person who gave a command waits no hour for it."""

MOST_PAGES = 100
"""Of users; ten thousand people work in no account."""


@dataclass(frozen=True, slots=True)
class CrmAccount:
    """Methods raise CrmError, which `open_account` makes a sentence of."""

    enterprise: Enterprise
    crm: RetailCrm
    pool: asyncpg.Pool

    async def module(self) -> IntegrationModule | None:
        """Our module as it stands in the account, None if it does not."""
        request = integration_module(module_code(self.enterprise))
        try:
            return (await self._ask(request)).module
        except (CrmMissing, CrmRefused) as error:
            if says_there_is_none(error):
                return None
            raise

    async def write(self, module: IntegrationModule) -> ModuleEdited:
        try:
            request = edit_integration_module(module)
        except ValueError as error:
            raise CommandFailed(f"{self.enterprise.id}: {error}") from error
        return await self._ask(request)

    async def users(self) -> list[User]:
        found: list[User] = []
        for page in range(1, MOST_PAGES + 1):
            reply = await self._ask(list_users(page=page))
            found += reply.users
            if page >= reply.paging.pages or not reply.users:
                break
        return found

    async def _ask(self, request: Request[ReplyT]) -> ReplyT:
        """A running bridge asks the same account, and its rate is for both: a busy CRM is asked again in a moment."""
        for _ in range(PATIENT_TRIES):
            try:
                return await self.crm.send(self.enterprise.account, request)
            except CrmBusy as error:
                await asyncio.sleep(min(error.retry_after or BUSY_AGAIN, LONGEST_WAIT).total_seconds())
        return await self.crm.send(self.enterprise.account, request)

    async def keep(self, module: IntegrationModule) -> None:
        """How the module stands is known now: a running bridge goes by it at once."""
        await tell_module(
            self.pool,
            self.enterprise.id,
            active=module.active,
            frozen=module.frozen or False,
            at=datetime.now(UTC),
            unheeded="",
        )


@asynccontextmanager
async def open_account(settings: Settings, number: EnterpriseId) -> AsyncIterator[CrmAccount]:
    """Raises CommandFailed, also for what the CRM refuses meanwhile."""
    async with open_store(settings) as pool:
        directory = Directory(pool, open_keyring(settings.secrets.key_file, guarded=settings.secrets.guarded))
        enterprise = await directory.load_one(number)
        if enterprise is None:
            raise unknown(number, await directory.numbers())
        heard: list[Exchange] = []
        async with open_crm(CrmSettings(rates=BESIDE), tap=heard.append) as crm:
            try:
                yield CrmAccount(enterprise, crm, pool)
            except CrmError as error:
                raise CommandFailed(f"{number}: {_said(error)}; amibridge doctor {number} says what to do") from error
            finally:
                with suppress(*DATABASE_FAILURES):  # what was done in the CRM is done
                    await CrmRequests(pool).record([row_of(exchange) for exchange in heard])


def _said(error: CrmError) -> str:
    match error:
        case CrmBusy() | CrmUnreachable():
            return str(error)
        case CrmBroken():
            return f"the CRM's answer cannot be used: {error}"
        case _:
            return f"the CRM says: {error}"
