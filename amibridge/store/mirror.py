"""Customers and orders as the CRM tells of them, and how far its histories are read. `sync` writes, `known` reads.

Laws: a cursor moves in the same transaction as the rows it stands for; whoever was overtaken, or follows an account
that the enterprise has no more, writes nothing. What the CRM said last holds. Ids and users are RetailCRM's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

import asyncpg

from amibridge.enterprises import EnterpriseId
from amibridge.store.customers import follow_merge, forget
from amibridge.store.db import load_queries

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

SQL = load_queries(__file__)

WRITERS = 2
"""Transactions of ours at once: the recorder and the lanes need connections, too."""


class History(StrEnum):
    CUSTOMERS = "customers"
    ORDERS = "orders"


class Overtaken(Exception):
    """Read the cursor again: another process moved it, or another account is followed by now."""


@dataclass(frozen=True, slots=True)
class Place:
    """A history that is followed for *enterprise*. *account*: its address in the enterprise's file."""

    enterprise: EnterpriseId
    account: str
    history: History


@dataclass(frozen=True, slots=True)
class Cursor:
    """*since_id*: the last change that was read, None: none since *started_at*. *backfilled_from*: see schema.sql."""

    started_at: datetime
    since_id: int | None = None
    backfilled_from: date | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """How a write moves the cursor: from *since* to *to*, None for not at all; or the backfill to *backfilled_from*."""

    since: int | None = None
    to: int | None = None
    backfilled_from: date | None = None


NO_STEP = Step()


@dataclass(frozen=True, slots=True)
class MirroredCustomer:
    """*phones*: E.164. Texts are what PostgreSQL can keep."""

    id: int
    external_id: str | None
    name: str
    site: str | None
    manager_id: int | None
    is_contact: bool
    vip: bool
    created_at: datetime | None
    phones: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MirroredOrder:
    """A row of `crm_orders`; see schema.sql. Times are aware."""

    id: int
    number: str | None
    external_id: str | None
    site: str | None
    customer_id: int | None
    company_id: int | None
    phone: str | None
    manager_id: int | None
    status: str | None
    status_group: str | None
    total: Decimal | None
    currency: str | None
    order_method: str | None
    created_at: datetime | None
    status_changed_at: datetime | None
    paid_at: datetime | None


Changed: TypeAlias = Callable[[EnterpriseId, Collection[str], Collection[int]], None]
"""Hears, once they are written, whose rows changed, by id, and which phones they have now."""


def _nobody_asks(enterprise: EnterpriseId, phones: Collection[str], customers: Collection[int]) -> None:
    pass


class Mirror:
    """*at*: when the CRM was asked. Raises what the database raises, and Overtaken where something is written."""

    def __init__(self, pool: asyncpg.Pool, changed: Changed = _nobody_asks) -> None:
        self._pool = pool
        self._changed = changed
        self._writing = asyncio.Semaphore(WRITERS)

    async def account(self, enterprise: EnterpriseId) -> str | None:
        """The account that is followed for *enterprise*, None if none ever was."""
        account: str | None = await self._pool.fetchval(SQL["account_followed"], enterprise)
        return account

    async def begin(self, place: Place, at: datetime, *, instead_of: str | None = None) -> Cursor:
        """Where to go on in *place*; from *at*, if it was never followed. Raises Overtaken beside another account.

        *instead_of*: an account that was followed before; whatever came from it is forgotten.
        """
        enterprise = place.enterprise
        async with self._writing, self._pool.acquire() as connection, connection.transaction():
            followed = await connection.fetch(SQL["accounts_followed"], enterprise)
            others = {row["account"] for row in followed} - {place.account}
            if others - {instead_of}:
                raise Overtaken("another account is followed by now")
            if others:
                for left in ("cursors", "customers", "phones", "orders", "links"):
                    await connection.execute(SQL[f"forget_{left}"], enterprise)
            await connection.execute(SQL["begin"], enterprise, place.history, place.account, at)
            row = await connection.fetchrow(SQL["cursor"], enterprise, place.history)
        assert row is not None
        return Cursor(row["started_at"], row["since_id"], row["backfilled_from"])

    async def write_customers(
        self,
        place: Place,
        at: datetime,
        customers: Iterable[MirroredCustomer],
        *,
        deleted: Sequence[int] = (),
        merged: Sequence[tuple[int, int]] = (),
        absent: Sequence[int] = (),
        step: Step = NO_STEP,
    ) -> None:
        """*merged*: who became a part of whom, in order. *absent*: who is spoken of and whom the CRM does not have."""
        enterprise, rows = place.enterprise, list({one.id: one for one in customers}.values())
        async with self._moving(place, at, step) as connection:
            gone = [*deleted, *(lost for lost, _ in merged)]
            for lost, into in merged:
                await connection.execute(SQL["merge_customer"], enterprise, at, lost, into)
                await connection.execute(SQL["give_orders"], enterprise, lost, into)
                await follow_merge(connection, enterprise, lost, into)
            await connection.execute(SQL["delete_customers"], enterprise, at, list(deleted))
            for lost in deleted:
                await forget(connection, enterprise, lost)
            await connection.execute(
                SQL["put_customers"],
                enterprise,
                at,
                [one.id for one in rows],
                [one.external_id for one in rows],
                [one.name for one in rows],
                [one.site for one in rows],
                [one.manager_id for one in rows],
                [one.is_contact for one in rows],
                [one.vip for one in rows],
                [one.created_at for one in rows],
            )
            await connection.execute(SQL["put_absent"], enterprise, at, list(absent))
            await connection.execute(SQL["drop_phones"], enterprise, [*gone, *(one.id for one in rows)])
            phones = [(one.id, phone) for one in rows for phone in one.phones]
            await connection.execute(
                SQL["put_phones"], enterprise, [id for id, _ in phones], [phone for _, phone in phones]
            )
            await connection.execute(SQL["release_links"], enterprise, at, [one.id for one in rows])
        self._changed(enterprise, {phone for _, phone in phones}, {*gone, *(one.id for one in rows)})

    async def write_orders(
        self,
        place: Place,
        at: datetime,
        orders: Iterable[MirroredOrder],
        *,
        deleted: Sequence[int] = (),
        step: Step = NO_STEP,
    ) -> None:
        rows = list({one.id: one for one in orders}.values())
        async with self._moving(place, at, step) as connection:
            await connection.execute(SQL["delete_orders"], place.enterprise, at, list(deleted))
            await connection.execute(
                SQL["put_orders"],
                place.enterprise,
                at,
                [one.id for one in rows],
                [one.number for one in rows],
                [one.external_id for one in rows],
                [one.site for one in rows],
                [one.customer_id for one in rows],
                [one.company_id for one in rows],
                [one.phone for one in rows],
                [one.manager_id for one in rows],
                [one.status for one in rows],
                [one.status_group for one in rows],
                [one.total for one in rows],
                [one.currency for one in rows],
                [one.order_method for one in rows],
                [one.created_at for one in rows],
                [one.status_changed_at for one in rows],
                [one.paid_at for one in rows],
            )

    async def regroup(self, place: Place, at: datetime, groups: dict[str, str | None]) -> None:
        """The group of each status, by code: what orders are counted by follows the account's dictionary."""
        async with self._moving(place, at, NO_STEP) as connection:
            await connection.execute(SQL["regroup_orders"], place.enterprise, list(groups), list(groups.values()))

    async def known(self, place: Place, ids: Sequence[int]) -> set[int]:
        """Those of *ids* that we have a row of, deleted or not."""
        rows = await self._pool.fetch(SQL[f"known_{place.history}"], place.enterprise, list(ids))
        return {row["id"] for row in rows}

    async def strangers(self, enterprise: EnterpriseId, limit: int) -> list[int]:
        """Customers of whom orders and calls speak, and of whom we have no row; at most *limit*."""
        rows = await self._pool.fetch(SQL["strangers"], enterprise, limit)
        return [row["customer_id"] for row in rows]

    @asynccontextmanager
    async def _moving(self, place: Place, at: datetime, step: Step) -> AsyncIterator[PoolConnectionProxy]:
        async with self._writing, self._pool.acquire() as connection, connection.transaction():
            moved = await connection.fetchval(
                SQL["move_cursor"],
                place.enterprise,
                place.history,
                place.account,
                step.since,
                step.to,
                step.backfilled_from,
                at,
            )
            if moved is None:
                raise Overtaken("somebody else has read on")
            yield connection
