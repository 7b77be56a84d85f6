"""The enterprises in the database: put there from files, read by everyone who serves them, watched for changes.

Laws: a file is applied whole or not at all; secrets are sealed for their row and never leave as text; an enterprise
that cannot be read does not keep the others from being served; a change is told by NOTIFY, and looked for anyway.
An account that moved, as its CRM says, is served where it is now, until a file names another address.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias
from zoneinfo import ZoneInfo

import asyncpg
import structlog

from amibridge.calls.clicks import Dialling
from amibridge.calls.numbering import Numbering
from amibridge.calls.record import Extension
from amibridge.enterprises import (
    Account,
    AmiHost,
    ApiToken,
    Credit,
    Enterprise,
    EnterpriseId,
    HostName,
    Line,
    Operator,
)
from amibridge.redact import Secret
from amibridge.secrets import Keyring, SealBroken
from amibridge.store import bell
from amibridge.store.changes import changes
from amibridge.store.db import DATABASE_FAILURES, load_queries
from amibridge.store.enterprise_rows import missed_calls_of, module_of, responsible_of
from amibridge.store.tokens import load_tokens
from amibridge.store.webhooks import load_webhooks, webhook_of, with_secrets, write_webhooks

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

log = structlog.get_logger()

CHANNEL = "amibridge_directory"
LOOK_ANYWAY = timedelta(seconds=30)
"""A notification may be lost with its connection; this is how long a change may then go unseen."""
AGAIN = timedelta(seconds=1)
"""Between two attempts to watch again."""

SQL = load_queries(__file__)

Rows: TypeAlias = Iterable[asyncpg.Record]


class EnterpriseRefused(Exception):
    """The file is right by itself, but cannot stand beside the other enterprises. The text says why."""


async def enterprise_numbers(pool: asyncpg.Pool) -> tuple[EnterpriseId, ...]:
    """The numbers of all enterprises; needs no keyring."""
    rows = await pool.fetch(SQL["load_enterprises"], None)
    return tuple(EnterpriseId(row["enterprise_id"]) for row in rows)


class Directory:
    """Reads and writes enterprises through *pool*; what *keyring* sealed can be opened with it only."""

    def __init__(self, pool: asyncpg.Pool, keyring: Keyring) -> None:
        self._pool = pool
        self._keyring = keyring
        self._unreadable: frozenset[EnterpriseId] = frozenset()

    async def apply(self, enterprise: Enterprise) -> list[str]:
        """Make the database say what *enterprise* says; what that changed, in words, nothing if it did already.

        An empty client id or secret of webhooks keeps the one there is, or makes one. Raises EnterpriseRefused.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(SQL["lock_enterprise"], enterprise.id)
            stored = (await self._read(connection, enterprise.id)).get(enterprise.id)
            old = stored.enterprise if stored else None
            new = replace(
                enterprise,
                client_id=enterprise.client_id or (old.client_id if old else "") or secrets.token_hex(16),
                webhook_secret=enterprise.webhook_secret
                or (old.webhook_secret if old else Secret(""))
                or Secret(secrets.token_urlsafe(24)),
                webhooks=with_secrets(enterprise.webhooks, old.webhooks if old else ()),
            )
            said = changes(old, new)
            if stored and not stored.is_current:
                said.append("secrets encrypted anew")
            if said:
                await self._write(connection, new)
                if old and old.account.url != new.account.url:
                    await connection.execute(SQL["account_moved"], new.id, new.account.url)
                    await connection.execute(SQL["forget_module"], new.id, new.account.url)
                    await connection.execute(SQL["settle_move"], new.id)
                await connection.execute(SQL["tell_change"], new.id)
        return said

    async def remove(self, number: EnterpriseId) -> bool:
        """Stop serving an enterprise; what was said and delivered for it stays. False if there is none."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(SQL["lock_enterprise"], number)
            removed = await connection.fetchval(SQL["remove_enterprise"], number) is not None
            if removed:
                await connection.execute(SQL["tell_change"], number)
        return removed

    async def load(self) -> tuple[Enterprise, ...]:
        """Every enterprise that can be read, by number. One that cannot is logged, once."""
        async with self._pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
            found = await self._read(connection, None)
        unreadable = {number: stored.broken for number, stored in found.items() if stored.broken}
        for number in sorted(unreadable.keys() - self._unreadable):
            log.error("enterprise_unreadable", enterprise=number, reason=unreadable[number])
        self._unreadable = frozenset(unreadable)
        return tuple(stored.served for number, stored in found.items() if number not in unreadable)

    async def load_one(self, number: EnterpriseId) -> Enterprise | None:
        """One enterprise, None if there is none. Raises SealBroken."""
        async with self._pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
            stored = (await self._read(connection, number)).get(number)
        if stored and stored.broken:
            raise SealBroken(stored.broken)
        return stored.served if stored else None

    async def numbers(self) -> tuple[EnterpriseId, ...]:
        """The numbers of all enterprises, readable or not."""
        return await enterprise_numbers(self._pool)

    async def changed(self, look_anyway: timedelta = LOOK_ANYWAY) -> AsyncGenerator[None]:
        """Yield when the directory may have changed: once it is listened for, told so, *look_anyway* later, or after
        a lost connection.

        Holds one connection of the pool; close it (`contextlib.aclosing`) to give that back.
        """
        watched = True
        while True:
            try:
                async with (
                    self._pool.acquire() as connection,
                    aclosing(bell.rings(connection, CHANNEL, look_anyway)) as rings,
                ):
                    async for _ in rings:
                        if not watched:
                            log.info("directory_watched_again")
                            watched = True
                        yield
                reason = "the connection was lost"
            except DATABASE_FAILURES as error:
                reason = str(error) or type(error).__name__
            if watched:
                log.warning("directory_not_watched", reason=reason)
            watched = False
            await asyncio.sleep(min(AGAIN.total_seconds(), look_anyway.total_seconds()))
            yield

    async def _read(self, connection: PoolConnectionProxy, number: EnterpriseId | None) -> dict[EnterpriseId, _Stored]:
        hosts = _by_enterprise(await connection.fetch(SQL["load_hosts"], number))
        operators = _by_enterprise(await connection.fetch(SQL["load_operators"], number))
        lines = _by_enterprise(await connection.fetch(SQL["load_lines"], number))
        webhooks = _by_enterprise(await load_webhooks(connection, number))
        tokens = await load_tokens(connection, number)
        found = {}
        for row in await connection.fetch(SQL["load_enterprises"], number):
            key = EnterpriseId(row["enterprise_id"])
            found[key] = self._opened(row, hosts[key], operators[key], lines[key], webhooks[key], tokens.get(key, ()))
        return found

    def _opened(
        self,
        row: asyncpg.Record,
        hosts: Rows,
        operators: Rows,
        lines: Rows,
        webhooks: Rows,
        tokens: Sequence[ApiToken],
    ) -> _Stored:
        number = EnterpriseId(row["enterprise_id"])
        reading = _Reading(self._keyring)
        enterprise = Enterprise(
            id=number,
            name=row["name"],
            account=Account(
                row["crm_url"], reading.open(row["crm_api_key"], _about(number, "crm_api_key")), row["crm_site"], number
            ),
            hosts=tuple(_host(host, row["region"], reading) for host in hosts),
            client_id=row["client_id"],
            webhook_secret=reading.open(row["webhook_secret"], _about(number, "webhook_secret")),
            time_zone=reading.time_zone(row["time_zone"]) if row["time_zone"] else None,
            region=row["region"],
            operators={
                Extension(one["extension"]): Operator(Extension(one["extension"]), one["crm_user"], one["name"])
                for one in operators
            },
            lines={one["number"]: Line(one["number"], one["site"], one["name"]) for one in lines},
            credit=Credit(row["credit"]),
            create_customers=row["create_customers"],
            create_orders=row["create_orders"],
            create_tasks=row["create_tasks"],
            missed_calls=missed_calls_of(row),
            module_code=row["module_code"],
            module=module_of(row),
            recordings_keep=row["recordings_keep"],
            links_valid=row["links_valid"],
            supervisors=tuple(Extension(one) for one in row["supervisors"]),
            responsible=responsible_of(row),
            tokens=tuple(tokens),
            webhooks=tuple(webhook_of(one, reading.open) for one in webhooks),
        )
        return _Stored(enterprise, row["moved_to"], reading.all_current, reading.broken)

    async def _write(self, connection: PoolConnectionProxy, new: Enterprise) -> None:
        seal, number = self._keyring.seal, new.id
        try:
            await connection.execute(
                SQL["put_enterprise"],
                number,
                new.name,
                new.time_zone.key if new.time_zone else None,
                new.region,
                new.client_id,
                seal(new.webhook_secret, about=_about(number, "webhook_secret")),
                new.account.url,
                seal(new.account.api_key, about=_about(number, "crm_api_key")),
                new.account.site,
                new.credit.value,
                new.create_customers,
                new.create_orders,
                new.module_code,
                new.responsible.mode.value,
                new.responsible.dialplan,
                new.responsible.fallback.value,
                [part.value for part in new.responsible.name],
                new.create_tasks,
                new.missed_calls.wait,
                list(new.missed_calls.never_for),
                new.missed_calls.performer,
                new.missed_calls.text,
                new.missed_calls.task_within,
                new.missed_calls.order_method,
                new.missed_calls.order_type,
                new.missed_calls.order_status,
                new.missed_calls.order_status_reached,
                new.recordings_keep,
                new.links_valid,
                list(new.supervisors),
            )
        except asyncpg.UniqueViolationError:
            raise EnterpriseRefused(f"{number}: client_id is that of another enterprise already") from None
        await connection.execute(SQL["drop_other_hosts"], number, [host.name for host in new.hosts])
        await connection.executemany(
            SQL["put_host"],
            [
                (
                    number,
                    host.name,
                    host.host,
                    host.port,
                    host.username,
                    seal(host.secret, about=_about(number, "hosts", host.name)),
                    host.numbering.internal,
                    list(host.numbering.trunks),
                    host.originate_channel,
                    host.originate_context,
                    host.recordings,
                    host.originate_number,
                    host.recordings_password
                    and seal(host.recordings_password, about=recordings_password_of(number, host.name)),
                )
                for host in new.hosts
            ],
        )
        await connection.execute(SQL["drop_other_operators"], number, list(new.operators))
        await connection.executemany(
            SQL["put_operator"], [(number, one.extension, one.user, one.name) for one in new.operators.values()]
        )
        await connection.execute(SQL["drop_other_lines"], number, list(new.lines))
        await connection.executemany(
            SQL["put_line"], [(number, one.number, one.site, one.name) for one in new.lines.values()]
        )
        await write_webhooks(connection, number, new.webhooks, self._keyring)


@dataclass(frozen=True, slots=True)
class _Stored:
    """An enterprise as its file says. *broken*: why a part could not be read (a stand-in is there), else empty."""

    enterprise: Enterprise
    moved_to: str | None
    is_current: bool
    broken: str

    @property
    def served(self) -> Enterprise:
        """At the address that its account moved to."""
        if self.moved_to is None:
            return self.enterprise
        account, module = self.enterprise.account, self.enterprise.module
        return replace(
            self.enterprise,
            account=replace(account, url=self.moved_to),
            module=replace(module, moved_from=account.url),
        )


class _Reading:
    """Reads one enterprise, and remembers what could not be read, and whether the first key opened every secret."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self.all_current = True
        self.broken = ""

    def open(self, sealed: bytes, about: str) -> Secret:
        try:
            self.all_current = self._keyring.is_current(sealed) and self.all_current
            return self._keyring.open(sealed, about=about)
        except SealBroken as error:
            self.broken = str(error)
            return Secret("")

    def time_zone(self, name: str) -> ZoneInfo | None:
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            self.broken = f"this machine does not know the time zone {name}"
            return None

    def numbering(self, internal: str, trunks: tuple[str, ...], region: str) -> Numbering:
        try:
            return Numbering(internal, trunks, region)
        except re.error as error:
            self.broken = f"the pattern of extensions {internal} cannot be read: {error}"
            return Numbering(trunks=trunks, region=region)


def _host(row: asyncpg.Record, region: str, reading: _Reading) -> AmiHost:
    number = EnterpriseId(row["enterprise_id"])
    return AmiHost(
        enterprise=number,
        name=HostName(row["host"]),
        host=row["address"],
        port=row["port"],
        username=row["username"],
        secret=reading.open(row["secret"], _about(number, "hosts", row["host"])),
        numbering=reading.numbering(row["internal"], tuple(row["trunks"]), region),
        originate_channel=row["originate_channel"],
        originate_context=row["originate_context"],
        originate_number=Dialling(row["originate_number"]),
        recordings=row["recordings"],
        recordings_password=row["recordings_password"]
        and reading.open(row["recordings_password"], recordings_password_of(number, row["host"])),
    )


def recordings_password_of(number: EnterpriseId, host: str) -> str:
    """The place that the password for a host's recordings is bound to."""
    return _about(number, "hosts", host, "recordings")


def _about(*place: str) -> str:
    """The place that a sealed value is bound to: ``enterprise:column``, or ``enterprise:hosts:host``."""
    return ":".join(place)


def _by_enterprise(rows: Rows) -> defaultdict[str, list[asyncpg.Record]]:
    found: defaultdict[str, list[asyncpg.Record]] = defaultdict(list)
    for row in rows:
        found[row["enterprise_id"]].append(row)
    return found
