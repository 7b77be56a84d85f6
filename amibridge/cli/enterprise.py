"""`amibridge enterprise`: the declarative files into the database, and what is there.

Laws: all files are right, or none is applied; what is printed never holds a secret, but for one that was just made for
a webhook: that is told once, for nobody else can tell it to its receiver.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from amibridge.cli.configured import begin, in_loop
from amibridge.cli.enterprise_file import read_enterprise
from amibridge.cli.stored import open_directory, show, unknown
from amibridge.config import ConfigError, Settings
from amibridge.enterprises import Enterprise, EnterpriseId
from amibridge.store.directory import Directory, EnterpriseRefused

HIDDEN = "******"
MINUTE = timedelta(minutes=1)


def apply(args: argparse.Namespace) -> int:
    """What changed: a JSON line for each enterprise, and in words on stderr."""
    settings = begin(args)
    return in_loop(_apply(settings, _read_all(args.files)))


def list_all(args: argparse.Namespace) -> int:
    return in_loop(_list(begin(args)))


def show_one(args: argparse.Namespace) -> int:
    return in_loop(_show(begin(args), EnterpriseId(args.number)))


def remove(args: argparse.Namespace) -> int:
    return in_loop(_remove(begin(args), EnterpriseId(args.number)))


def _read_all(files: Sequence[Path]) -> list[Enterprise]:
    """Raises ConfigError with the mistakes of every file."""
    found: list[Enterprise] = []
    problems: list[str] = []
    first: dict[EnterpriseId, Path] = {}
    for file in files:
        try:
            enterprise = read_enterprise(file)
        except ConfigError as error:
            problems += error.problems
            continue
        if enterprise.id in first:
            problems.append(f"{file}: number: {enterprise.id} is described by {first[enterprise.id]} already")
        first.setdefault(enterprise.id, file)
        found.append(enterprise)
    if problems:
        raise ConfigError(problems)
    return found


async def _apply(settings: Settings, enterprises: Sequence[Enterprise]) -> int:
    failed = 0
    async with open_directory(settings) as directory:
        for enterprise in enterprises:
            try:
                changes = await directory.apply(enterprise)
            except EnterpriseRefused as error:
                print(f"amibridge: {error}", file=sys.stderr)
                failed = 1
                continue
            made = await _secrets_made(directory, enterprise, changes)
            told = {"webhook_secrets": made} if made else {}
            show({"enterprise": enterprise.id, "changes": changes, **told})
            print(f"{enterprise.id} {enterprise.name}: {'; '.join(changes) or 'nothing to change'}", file=sys.stderr)
            for name in made:
                print(f"{enterprise.id}: the secret of webhook {name} is shown this once", file=sys.stderr)
    return failed


async def _secrets_made(directory: Directory, enterprise: Enterprise, changes: Sequence[str]) -> dict[str, str]:
    """Those of webhooks that are new and came without one, by name."""
    bare = {one.name for one in enterprise.webhooks if not one.secret and f"webhook {one.name} added" in changes}
    stored = await directory.load_one(enterprise.id) if bare else None
    return {one.name: str(one.secret) for one in (stored.webhooks if stored else ()) if one.name in bare}


async def _list(settings: Settings) -> int:
    async with open_directory(settings) as directory:
        readable = {one.id: one for one in await directory.load()}
        for number in await directory.numbers():
            one = readable.get(number)
            if one is None:
                show({"enterprise": number, "readable": False})
                continue
            show(
                {
                    "enterprise": number,
                    "readable": True,
                    "name": one.name,
                    "crm": one.account.url,
                    "hosts": [host.name for host in one.hosts],
                    "operators": len(one.operators),
                }
            )
    return 0


async def _show(settings: Settings, number: EnterpriseId) -> int:
    async with open_directory(settings) as directory:
        enterprise = await directory.load_one(number)
        if enterprise is None:
            raise unknown(number, await directory.numbers())
        show(dict(_described(enterprise)))
    return 0


async def _remove(settings: Settings, number: EnterpriseId) -> int:
    async with open_directory(settings) as directory:
        if not await directory.remove(number):
            raise unknown(number, await directory.numbers())
    show({"enterprise": number, "removed": True})
    print(f"{number}: no longer served; its calls and deliveries stay in the database", file=sys.stderr)
    return 0


def _described(one: Enterprise) -> Iterator[tuple[str, Any]]:
    """In the words and the order of an enterprise file."""
    yield "number", one.id
    yield "name", one.name
    yield "timezone", one.time_zone and one.time_zone.key
    yield "region", one.region
    yield "client_id", one.client_id
    yield (
        "retailcrm",
        {
            "url": one.account.url,
            "api_key": HIDDEN,
            "site": one.account.site,
            "create_customers": one.create_customers,
            "create_orders": one.create_orders,
            "create_tasks": one.create_tasks,
            "credit": one.credit,
            "webhook_secret": HIDDEN,
            "module_code": one.module_code,
        },
    )
    missed = one.missed_calls
    yield (
        "missed_calls",
        {
            "wait_minutes": missed.wait // MINUTE,
            "never_for": list(missed.never_for),
            "performer": missed.performer,
            "text": missed.text,
            "task_minutes": missed.task_within // MINUTE,
            "order_method": missed.order_method,
            "order_type": missed.order_type,
            "order_status": missed.order_status,
            "order_status_reached": missed.order_status_reached,
        },
    )
    yield (
        "asterisk",
        [
            {
                "name": host.name,
                "host": host.host,
                "port": host.port,
                "username": host.username,
                "secret": HIDDEN,
                "internal": host.numbering.internal,
                "trunks": list(host.numbering.trunks),
                "originate_channel": host.originate_channel,
                "originate_context": host.originate_context,
                "originate_number": host.originate_number,
                "recordings": host.recordings,
                "recordings_password": host.recordings_password and HIDDEN,
            }
            for host in one.hosts
        ],
    )
    yield "recordings", {"keep_days": _days(one.recordings_keep), "links_valid_days": _days(one.links_valid)}
    wanted = one.responsible
    yield (
        "responsible",
        {"mode": wanted.mode, "dialplan": wanted.dialplan, "fallback": wanted.fallback, "name": list(wanted.name)},
    )
    yield "supervision", {"extensions": list(one.supervisors)}
    yield (
        "webhooks",
        [
            {
                "name": webhook.name,
                "url": webhook.url,
                "secret": HIDDEN,
                "previous_secret": webhook.previous_secret and HIDDEN,
                "events": None if webhook.events is None else list(webhook.events),
            }
            for webhook in one.webhooks
        ],
    )
    yield "operators", {who: {"user": operator.user, "name": operator.name} for who, operator in one.operators.items()}
    yield "lines", {number: {"site": line.site, "name": line.name} for number, line in one.lines.items()}


def _days(span: timedelta | None) -> int | None:
    return None if span is None else span.days
