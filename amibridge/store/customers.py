"""Which customer of the CRM has which phone, as we have found or made them.

Law: one phone of an enterprise leads to one customer; what the CRM merged or deleted is followed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NewType

import asyncpg

from amibridge.calls.record import CallId
from amibridge.enterprises import EnterpriseId
from amibridge.store.db import load_queries

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

SQL = load_queries(__file__)

CustomerId = NewType("CustomerId", int)
"""RetailCRM's own id of a customer, within one account."""


class Customers:
    """*phone* is E.164 everywhere."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def of_phone(self, enterprise: EnterpriseId, phone: str) -> CustomerId | None:
        found = await self._pool.fetchval(SQL["customer_of_phone"], enterprise, phone)
        return None if found is None else CustomerId(found)

    async def link(
        self, enterprise: EnterpriseId, phone: str, customer: CustomerId, made_for: CallId | None = None
    ) -> None:
        """*phone* is *customer*'s from now on, whoever had it before. *made_for*: the call for which we made him."""
        await self._pool.execute(SQL["link_customer"], enterprise, phone, customer, made_for)

    async def was_made_for(self, enterprise: EnterpriseId, phone: str, call: CallId) -> bool:
        """The customer with *phone* was nobody before *call*."""
        made_for: str | None = await self._pool.fetchval(SQL["customer_made_for"], enterprise, phone)
        return made_for == call


async def follow_merge(connection: PoolConnectionProxy, enterprise: EnterpriseId, gone: int, into: int) -> None:
    """The CRM made one customer of two: whatever led to *gone* leads to *into*."""
    await connection.execute(SQL["merge_customers"], enterprise, gone, into)


async def forget(connection: PoolConnectionProxy, enterprise: EnterpriseId, gone: int) -> None:
    """The CRM knows *gone* no more: the next call of that phone is a stranger's."""
    await connection.execute(SQL["forget_customer"], enterprise, gone)
