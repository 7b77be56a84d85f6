"""`amibridge token`: what opens the API of an enterprise. A token is printed once, when it is made."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime, timedelta

from amibridge.cli.configured import begin, in_loop
from amibridge.cli.failure import CommandFailed
from amibridge.cli.stored import open_store, show, unknown
from amibridge.config import ConfigError, Settings
from amibridge.enterprises import EnterpriseId, Scope
from amibridge.store.directory import enterprise_numbers
from amibridge.store.tokens import TokenRow, Tokens


def add(args: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    expires_at = now + args.expires if isinstance(args.expires, timedelta) else args.expires
    if expires_at is not None and expires_at <= now:
        raise ConfigError([f"--expires: {expires_at.isoformat(timespec='minutes')} is over already"])
    scopes = {Scope(name) for name in args.scope}
    return in_loop(_add(begin(args), EnterpriseId(args.number), scopes, now, expires_at))


def list_all(args: argparse.Namespace) -> int:
    return in_loop(_list(begin(args), EnterpriseId(args.number)))


def revoke(args: argparse.Namespace) -> int:
    return in_loop(_revoke(begin(args), EnterpriseId(args.number), args.id))


async def _add(
    settings: Settings, number: EnterpriseId, scopes: set[Scope], now: datetime, expires_at: datetime | None
) -> int:
    async with open_store(settings) as pool:
        made = await Tokens(pool).add(number, scopes, at=now, expires_at=expires_at)
        if made is None:
            raise unknown(number, await enterprise_numbers(pool))
    id, token = made
    show({"enterprise": number, "id": id, "token": token, "scopes": sorted(scopes), "expires_at": _iso(expires_at)})
    print("amibridge: keep it now: it is not shown again", file=sys.stderr)
    return 0


async def _list(settings: Settings, number: EnterpriseId) -> int:
    async with open_store(settings) as pool:
        rows = await Tokens(pool).find(number)
        if not rows and number not in (known := await enterprise_numbers(pool)):
            raise unknown(number, known)
    now = datetime.now(UTC)
    for row in rows:
        show(_described(row, now))
    if not rows:
        print(f"amibridge: {number} has no tokens yet: amibridge token add {number} --scope read", file=sys.stderr)
    return 0


async def _revoke(settings: Settings, number: EnterpriseId, id: int) -> int:
    async with open_store(settings) as pool:
        if not await Tokens(pool).revoke(number, id, at=datetime.now(UTC)):
            known = await enterprise_numbers(pool)
            if number not in known:
                raise unknown(number, known)
            raise CommandFailed(f"{number} has no token {id} that could be revoked: amibridge token list {number}")
    show({"enterprise": number, "id": id, "state": "revoked"})
    return 0


def _described(row: TokenRow, now: datetime) -> dict[str, object]:
    expired = row.expires_at is not None and row.expires_at <= now
    return {
        "id": row.id,
        "state": "revoked" if row.revoked_at is not None else "expired" if expired else "good",
        "scopes": list(row.scopes),
        "created_at": _iso(row.created_at),
        "expires_at": _iso(row.expires_at),
        "revoked_at": _iso(row.revoked_at),
    }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")
