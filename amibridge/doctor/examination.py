"""What is looked at, in which order, and what of it is told.

Laws: what was asked for is told finding by finding; of the rest only what is not well, and that all else is. The
database is looked at as it is: nothing is made in it, and nothing upgraded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from enum import Enum
from functools import partial
from pathlib import Path

import asyncpg

from amibridge.config import KeepSettings, SecretsSettings, Settings
from amibridge.doctor import bridge, crm, database, ledger, machine, pbx, public_url, recordings, webhooks
from amibridge.doctor.bridge import Health
from amibridge.doctor.findings import Check, Finding, Level, fail, findings_of, ok, warn
from amibridge.doctor.live.examination import ask_live
from amibridge.doctor.neighbours import shared_hosts
from amibridge.enterprises import Enterprise, EnterpriseId
from amibridge.recordings.library import library_settings
from amibridge.recordings.sftp import SftpSettings
from amibridge.secrets import KeyringUnusable, SealBroken, find_keyring
from amibridge.store.db import DATABASE_FAILURES, DatabaseMissing, open_pool, place_of
from amibridge.store.directory import Directory, enterprise_numbers
from amibridge.store.embedded import EmbeddedUnusable
from amibridge.store.opening import DatabaseNotMade, open_as_it_is
from amibridge.store.outbox import Outbox
from amibridge.store.survey import Survey

PATIENCE = timedelta(seconds=5)
"""With a database that does not answer: a person waits."""

AT_ONCE = 16
"""Checks. Each may hold a connection to the database for a while, of which there are ten."""

Say = Callable[[Finding], None]


class Live(Enum):
    """How an account is asked about what we only assume: so that nothing is changed there, or all questions."""

    READ = "read"
    WRITE = "write"


class UnknownEnterprise(Exception):
    """There is none of that number; *known* are there."""

    def __init__(self, known: Sequence[EnterpriseId]) -> None:
        super().__init__()
        self.known = known


async def examine(
    settings: Settings, file: Path | None, number: EnterpriseId | None, say: Say, live: Live | None = None
) -> None:
    """Tell *say* about the installation that *settings*, read from *file*, describe, or about one enterprise on it.

    *live*: that enterprise's account is asked, too, how it behaves. Raises UnknownEnterprise.
    """
    health = await bridge.health_of(settings.web)
    installation = await _findings(
        [
            Check("settings", partial(machine.settings_told, settings, file)),
            Check("keyring", partial(machine.keyring, settings.secrets)),
            Check("disk", partial(machine.disk, settings.data_dir)),
            Check("bridge", partial(bridge.running, health, settings.web)),
            Check("public_url", partial(public_url.public_url, settings.web, health)),
        ]
    )
    place = "private" if settings.database.dsn is None else place_of(settings.database.dsn)
    async with AsyncExitStack() as stack:
        try:
            opened = await stack.enter_async_context(
                open_as_it_is(settings.database, settings.data_dir, patience=PATIENCE)
            )
            pool = await stack.enter_async_context(open_pool(opened.dsn))
        except (DatabaseMissing, EmbeddedUnusable, OSError) as error:
            _tell([*installation, _unopened(error)], "installation", number is None, say)
            _not_looked_at(number, say)
            return
        tables = await findings_of(Check("tables", partial(database.tables, pool)))
        installation += await findings_of(Check("database", partial(database.server, pool, opened, place)))
        installation += tables
        usable = all(finding.level is not Level.FAIL for finding in tables)
        if usable:
            installation += await _findings(
                [
                    Check("database rights", partial(database.rights, pool)),
                    Check("table sizes", partial(database.largest, pool)),
                    Check("rejected facts", partial(database.rejected, Survey(pool))),
                ]
            )
        _tell(installation, "installation", number is None, say)
        if usable:
            await _enterprises(pool, settings, number, health, say, live)
        else:
            _not_looked_at(number, say)


def _unopened(error: Exception) -> Finding:
    match error:
        case DatabaseNotMade():
            return warn("database", str(error), "the first start of the bridge makes it, and `enterprise apply`, too")
        case EmbeddedUnusable():
            return fail("database", str(error), "its own words are in postgresql/server.log below data_dir")
        case OSError():
            return fail("database", f"{error.filename}: {error.strerror}", "ask as the user of the bridge, or as root")
        case _:
            return fail("database", str(error), "without it nothing goes on: look whether it runs, and at database.dsn")


def _not_looked_at(number: EnterpriseId | None, say: Say) -> None:
    if number is not None:
        found = fail("enterprise", "it could not be looked at without its database", "mend that, and ask again")
        say(replace(found, enterprise=number))


async def _enterprises(
    pool: asyncpg.Pool,
    settings: Settings,
    number: EnterpriseId | None,
    health: Health,
    say: Say,
    live: Live | None,
) -> None:
    sftp = library_settings(settings.data_dir, settings.recordings).sftp
    try:
        known, broken = await _loaded(pool, settings.secrets)
    except DATABASE_FAILURES as error:
        say(fail("enterprises", f"they could not be read: {error}", "mend the database, and ask again"))
        return
    everybody = sorted([*known, *broken])
    if number is not None and number not in everybody:
        raise UnknownEnterprise(everybody)
    if not everybody:
        say(warn("enterprises", "there are none yet", "amibridge enterprise apply FILE"))
    outbox, survey, turns = Outbox(pool), Survey(pool), asyncio.Semaphore(AT_ONCE)
    chosen = [one for one in everybody if number in (None, one)]
    async with asyncio.TaskGroup() as tasks:
        looks = [
            tasks.create_task(
                _about_one(one, known, broken, health, outbox, survey, settings.keep, sftp, turns),
                name=f"doctor of {one}",
            )
            for one in chosen
        ]
    for one, look in zip(chosen, looks, strict=True):
        _tell(look.result(), known[one].name if one in known else "the rest", number is not None, say, one)
    if live is not None and number in known:
        async for finding in ask_live(known[number], write=live is Live.WRITE):
            say(replace(finding, enterprise=number))


async def _loaded(
    pool: asyncpg.Pool, secrets: SecretsSettings
) -> tuple[dict[EnterpriseId, Enterprise], dict[EnterpriseId, str]]:
    """(those that can be read, why others cannot)."""
    known: dict[EnterpriseId, Enterprise] = {}
    broken: dict[EnterpriseId, str] = {}
    try:
        keyring = find_keyring(secrets.key_file, guarded=secrets.guarded)
    except KeyringUnusable:
        keyring = None
    if keyring is None:
        return {}, dict.fromkeys(await enterprise_numbers(pool), "without the keyring nobody can read them")
    directory = Directory(pool, keyring)
    for number in await directory.numbers():
        try:
            enterprise = await directory.load_one(number)
        except SealBroken as error:
            broken[number] = str(error)
        else:
            if enterprise is not None:  # it was removed just now
                known[number] = enterprise
    return known, broken


async def _about_one(
    number: EnterpriseId,
    known: dict[EnterpriseId, Enterprise],
    broken: dict[EnterpriseId, str],
    health: Health,
    outbox: Outbox,
    survey: Survey,
    keep: KeepSettings,
    sftp: SftpSettings,
    turns: asyncio.Semaphore,
) -> list[Finding]:
    ledgers = [
        Check("deliveries", partial(ledger.deliveries, number, outbox, survey)),
        Check("retention", partial(ledger.retention, number, survey, keep)),
        Check("CRM extensions", partial(ledger.unknown_to_crm, number, survey)),
        Check("calls", partial(ledger.calls, number, survey)),
        Check("odd calls", partial(ledger.riddles, number, survey)),
        Check("live calls", partial(ledger.long_calls, number, survey)),
        Check("bridge", partial(bridge.following, health, number)),
    ]
    if number in broken:
        advice = "restore the keyring that it was applied with, or apply its file again"
        return [fail("secrets", broken[number], advice), *await _findings(ledgers, turns)]
    enterprise = known[number]
    checks = [
        check
        for host in enterprise.hosts
        for check in (
            Check(f"{host.name} login", partial(pbx.pbx, host, enterprise, survey), pbx.WITHIN),
            Check(f"{host.name} recordings", partial(recordings.recordings, host, survey, sftp)),
        )
    ]
    checks += [
        check
        for webhook in enterprise.webhooks
        for check in (
            Check(f"webhook {webhook.name}", partial(webhooks.receiver, number, webhook)),
            Check(f"events for {webhook.name}", partial(webhooks.events, number, webhook, outbox, survey)),
        )
    ]
    checks += [Check("CRM", partial(crm.crm, enterprise), crm.WITHIN), *ledgers]
    found = [ok("secrets", "they open with the keyring"), *shared_hosts(enterprise, known.values())]
    return [*found, *await _findings(checks, turns)]


async def _findings(checks: Sequence[Check], turns: asyncio.Semaphore | None = None) -> list[Finding]:
    """What *checks* find, in their order, though they are done at the same time."""
    turns = turns or asyncio.Semaphore(AT_ONCE)

    async def one(check: Check) -> list[Finding]:
        async with turns:
            return await findings_of(check)

    async with asyncio.TaskGroup() as tasks:
        looks = [tasks.create_task(one(check), name=f"check of {check.about}") for check in checks]
    return [finding for look in looks for finding in look.result()]


def _tell(
    findings: Iterable[Finding], title: str, whole: bool, say: Say, enterprise: EnterpriseId | None = None
) -> None:
    for finding in findings if whole else _folded(list(findings), title):
        say(replace(finding, enterprise=enterprise))


def _folded(findings: Sequence[Finding], title: str) -> Iterator[Finding]:
    """What is not well, and in one line all that is."""
    unwell = [finding for finding in findings if finding.level is not Level.OK]
    yield from unwell
    well = len(findings) - len(unwell)
    if well:
        yield ok(title, f"{well} things looked at are well" if unwell else f"all {well} things looked at are well")
