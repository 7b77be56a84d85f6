"""What RetailCRM tells us unasked, read out of its forms; nothing in them is signed.

Laws: a form that is not exactly what its contract says is refused (ValueError), for whoever sent it may be anybody; an
address in it is followed only to RetailCRM itself. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from amibridge.calls.record import Extension
from amibridge.enterprises import Enterprise
from amibridge.retailcrm.account_url import check_account_url, check_moved_url
from amibridge.retailcrm.history import LARGEST_ID
from amibridge.retailcrm.text import excerpt
from amibridge.retailcrm.users import UserStatus

_USER_ID = re.compile(r"[0-9]{1,19}")
_CODE = re.compile(r"[0-9A-Za-z_.*#+-]{1,64}")
"""What an extension looks like; this one goes nowhere but into a row."""


@dataclass(frozen=True, slots=True)
class Activity:
    """Our module was switched on or off, or *frozen* for unpaid bills. *system_url*: where the account is, if said."""

    active: bool
    frozen: bool
    system_url: str | None = None

    @classmethod
    def of(cls, form: Mapping[str, str]) -> Self:
        said = _json(form, "activity")
        active, frozen = said.get("active"), said.get("freeze", False)
        if not isinstance(active, bool) or not isinstance(frozen, bool):
            raise ValueError("activity says neither yes nor no")
        return cls(active, frozen, form.get("systemUrl") or None)


@dataclass(frozen=True, slots=True)
class UserStatusChange:
    """A user of the CRM went to dinner, or is back. *code*: his extension, if one was named."""

    user: int
    status: UserStatus
    code: Extension | None = None

    @classmethod
    def of(cls, form: Mapping[str, str]) -> Self:
        user, code, status = form.get("userId", ""), form.get("code", ""), form.get("status", "")
        if _USER_ID.fullmatch(user) is None or not 0 < int(user) <= LARGEST_ID:
            raise ValueError("userId is no user's")
        if code and _CODE.fullmatch(code) is None:
            raise ValueError("code is no extension")
        if status not in set(UserStatus):
            raise ValueError("status is none of free, busy, dinner and break")
        return cls(int(user), UserStatus(status), Extension(code) if code else None)


@dataclass(frozen=True, slots=True)
class Move:
    """What comes of an address that the CRM named for its account.

    *to*: where it is asked from now on, empty for where its file says, None for where it is asked already.
    *unheeded*: an address that is not followed, fit to be shown; empty when there is none, None when none was named.
    """

    to: str | None = None
    unheeded: str | None = None


def move(system_url: str | None, enterprise: Enterprise) -> Move:
    """The address in the file is followed; any other only to RetailCRM itself."""
    if system_url is None:
        return Move()
    try:
        named = check_account_url(system_url)
        if named == enterprise.account.url:
            return Move(None, "")
        if named == enterprise.module.moved_from:
            return Move("", "")
        return Move(check_moved_url(system_url), "")
    except ValueError:
        return Move(None, _host(system_url))


def _json(form: Mapping[str, str], name: str) -> Mapping[str, object]:
    try:
        said = json.loads(form.get(name, ""))
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise ValueError(f"{name} is no JSON object")
    return said


def _host(url: str) -> str:
    """The host alone: the rest of what somebody made up may be anything."""
    try:
        return excerpt(urlsplit(url).hostname or "") or "an address that cannot be read"
    except ValueError:
        return "an address that cannot be read"
