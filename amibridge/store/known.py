"""What pages and reports ask of the CRM's customers and orders, without asking the CRM.

Law: what is deleted in the CRM is not told. As fresh as `sync` keeps it: seconds with triggers, minutes without.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from amibridge.calls.record import Extension
from amibridge.enterprises import EnterpriseId
from amibridge.store.customers import CustomerId
from amibridge.store.db import UNHURRIED, fetch_within, load_queries
from amibridge.store.mirror import MirroredOrder

SQL = load_queries(__file__)


@dataclass(frozen=True, slots=True)
class KnownCustomer:
    """*name*: empty when nobody wrote one. *manager_id*: the CRM's user who looks after him."""

    id: CustomerId
    name: str
    site: str | None
    manager_id: int | None
    vip: bool


async def customer_of_phone(
    pool: asyncpg.Pool, enterprise: EnterpriseId, phone: str, *, within: timedelta = UNHURRIED
) -> KnownCustomer | None:
    """*phone*: E.164. Of several customers with that phone the one whom calls were told of, or who ordered last.

    Raises TimeoutError when that is not known *within* the time.
    """
    rows = await fetch_within(pool, within, SQL["customer_of_phone"], enterprise, phone)
    if not rows:
        return None
    row = rows[0]
    return KnownCustomer(CustomerId(row["customer_id"]), row["name"], row["site"], row["manager_id"], row["vip"])


async def last_operators(
    pool: asyncpg.Pool, enterprise: EnterpriseId, phone: str, since: datetime, *, within: timedelta = UNHURRIED
) -> tuple[Extension, ...]:
    """Who talked in the last call of *phone* (E.164), begun after *since*, that somebody talked in; in order."""
    rows = await fetch_within(pool, within, SQL["last_operators"], enterprise, phone, since)
    return tuple(Extension(one) for one in rows[0]["operators"]) if rows else ()


async def orders_of_customer(
    pool: asyncpg.Pool, enterprise: EnterpriseId, customer: CustomerId, since: datetime, until: datetime
) -> list[MirroredOrder]:
    """What *customer* ordered from *since* to before *until*, in order."""
    rows = await pool.fetch(SQL["orders_of_customer"], enterprise, customer, since, until)
    return [MirroredOrder(*row.values()) for row in rows]
