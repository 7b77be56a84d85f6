"""Webhooks of ours in the database: as files describe them, and what is left of those that are no more.

Laws: secrets are sealed for their row; whoever is given none gets one made; deliveries outlive the webhook that they
were for, as dropped ones.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import asyncpg

from amibridge.enterprises import EnterpriseId, Webhook
from amibridge.redact import Secret
from amibridge.secrets import Keyring
from amibridge.store.db import beside_all_else, load_queries

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

SQL = load_queries(__file__)

SECRET_PREFIX = "whsec_"
"""As Standard Webhooks has it, with base64 behind."""

SECRET_BYTES = 32

REMOVED = "the webhook was removed"
"""The answer of a delivery that nobody will ever take."""

PIECE = 1_000
"""Rows that are dropped in one statement."""


def make_secret() -> Secret:
    return Secret(SECRET_PREFIX + b64encode(os.urandom(SECRET_BYTES)).decode("ascii"))


def with_secrets(wanted: Sequence[Webhook], known: Sequence[Webhook]) -> tuple[Webhook, ...]:
    """*wanted*, where those without a secret keep that of the *known* one of their name, or get one made."""
    had = {one.name: one.secret for one in known}
    return tuple(replace(one, secret=one.secret or had.get(one.name) or make_secret()) for one in wanted)


async def load_webhooks(connection: PoolConnectionProxy, number: EnterpriseId | None) -> list[asyncpg.Record]:
    return await connection.fetch(SQL["load_webhooks"], number)


def webhook_of(row: asyncpg.Record, unseal: Callable[[bytes, str], Secret]) -> Webhook:
    """*unseal*: opens what is sealed for a place."""
    number, name = EnterpriseId(row["enterprise_id"]), row["name"]
    previous = row["previous_secret"]
    return Webhook(
        name=name,
        url=row["url"],
        secret=unseal(row["secret"], secret_of(number, name)),
        previous_secret=None if previous is None else unseal(previous, previous_secret_of(number, name)),
        events=None if row["events"] is None else tuple(row["events"]),
    )


async def write_webhooks(
    connection: PoolConnectionProxy, number: EnterpriseId, webhooks: Iterable[Webhook], keyring: Keyring
) -> None:
    webhooks = tuple(webhooks)
    await connection.execute(SQL["drop_other_webhooks"], number, [one.name for one in webhooks])
    await connection.executemany(
        SQL["put_webhook"],
        [
            (
                number,
                one.name,
                one.url,
                keyring.seal(one.secret, about=secret_of(number, one.name)),
                one.previous_secret and keyring.seal(one.previous_secret, about=previous_secret_of(number, one.name)),
                None if one.events is None else list(one.events),
            )
            for one in webhooks
        ],
    )


async def drop_ownerless(pool: asyncpg.Pool) -> Counter[tuple[EnterpriseId, str]]:
    """Drop what waits for webhooks that are no more; how many rows of which. Raises what a database raises."""
    dropped: Counter[tuple[EnterpriseId, str]] = Counter()
    while True:
        async with beside_all_else(pool) as connection:
            rows = await connection.fetch(SQL["drop_ownerless"], datetime.now(UTC), REMOVED, PIECE)
        dropped.update((EnterpriseId(row["enterprise_id"]), row["webhook"]) for row in rows)
        if len(rows) < PIECE:
            return dropped


def secret_of(number: EnterpriseId, name: str) -> str:
    """The place that a webhook's secret is bound to."""
    return f"{number}:webhooks:{name}"


def previous_secret_of(number: EnterpriseId, name: str) -> str:
    return f"{number}:webhooks:{name}:previous"
