"""What RetailCRM answers when it is content, read tolerantly: PHP writes an empty map as a list and ids as text.

Law: only a reply without the one thing it was asked for is broken; anything else missing is empty.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from amibridge.retailcrm.errors import CrmBroken

REQUIRED_SCOPES = (
    "telephony_read",
    "telephony_write",
    "integration_read",
    "integration_write",
    "customer_read",
    "customer_write",
    "order_read",
    "user_read",
    "reference_read",
)
"""The rights an API key must have; creating orders and setting users' status would need two more."""


class Reply(Protocol):
    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        """The reply in a body whose `success` is true. Raises CrmBroken."""


@dataclass(frozen=True, slots=True)
class CallEventReply:
    """Whom the CRM does not know: a configuration to mend, not an error."""

    not_exist_codes: tuple[str, ...] = ()
    not_exist_users: tuple[int, ...] = ()

    @classmethod
    def of(cls, body: Mapping[str, object]) -> CallEventReply:
        return cls(_texts(body.get("notExistCodes")), _ids(body.get("notExistUsers")))


@dataclass(frozen=True, slots=True)
class CallsUploadReply:
    """*processed*: how many calls were taken, None if not said. *duplicates*: `externalId` of those known before."""

    processed: int | None
    duplicates: tuple[str, ...] = ()

    @classmethod
    def of(cls, body: Mapping[str, object]) -> CallsUploadReply:
        known = (
            entry.get("externalId", entry) if isinstance(entry, Mapping) else entry
            for entry in _entries(body.get("duplicateCalls"))
        )
        return cls(_number(body.get("processedCallsCount")), _texts(list(known)))


@dataclass(frozen=True, slots=True)
class SettingsReply:
    """*time_zone*: in which every date without offset is read and written."""

    time_zone: ZoneInfo
    currency: str | None = None
    language: str | None = None

    @classmethod
    def of(cls, body: Mapping[str, object]) -> SettingsReply:
        settings = _map(body.get("settings"))
        name = _setting(settings, "timezone")
        if name is None:
            raise CrmBroken("the CRM's settings name no time zone")
        try:
            zone = ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise CrmBroken(f"the CRM's time zone is unknown here: {name}") from error
        return cls(zone, _setting(settings, "default_currency"), _setting(settings, "system_language"))


@dataclass(frozen=True, slots=True)
class CredentialsReply:
    """What a key may do. *site_access*: `access_full` or `access_selective`, then *sites* names the stores."""

    scopes: frozenset[str]
    site_access: str | None = None
    sites: tuple[str, ...] = ()

    @classmethod
    def of(cls, body: Mapping[str, object]) -> CredentialsReply:
        access = body.get("siteAccess")
        return cls(
            frozenset(_texts(body.get("scopes"))),
            access if isinstance(access, str) else None,
            _texts(body.get("sitesAvailable")),
        )


@dataclass(frozen=True, slots=True)
class VersionsReply:
    """Like ``5.0``."""

    versions: tuple[str, ...]

    @classmethod
    def of(cls, body: Mapping[str, object]) -> VersionsReply:
        return cls(_texts(body.get("versions")))


@dataclass(frozen=True, slots=True)
class User:
    """*active*: he can sign in. RetailCRM tells no extension here."""

    id: int
    name: str
    active: bool


@dataclass(frozen=True, slots=True)
class UsersReply:
    """One page of *pages*."""

    users: tuple[User, ...]
    pages: int

    @classmethod
    def of(cls, body: Mapping[str, object]) -> UsersReply:
        if "users" not in body:
            raise CrmBroken("the CRM's answer names no users")
        found = [
            User(number, " ".join(_texts([entry.get("firstName"), entry.get("lastName")])), entry.get("active") is True)
            for entry in _entries(body["users"])
            if isinstance(entry, Mapping) and (number := _number(entry.get("id"))) is not None
        ]
        return cls(tuple(found), _number(_map(body.get("pagination")).get("totalPageCount")) or 1)


def as_text(value: object) -> str:
    """A text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:  # what was just deep enough to be read is too deep to be written
        return "…"


def missing_scopes(reply: CredentialsReply) -> tuple[str, ...]:
    return tuple(scope for scope in REQUIRED_SCOPES if scope not in reply.scopes)


def _map(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _entries(value: object) -> list[object]:
    """A list; PHP writes one with a hole in it as a map."""
    if isinstance(value, Mapping):
        return list(value.values())
    return value if isinstance(value, list) else []


def _texts(value: object) -> tuple[str, ...]:
    return tuple(as_text(entry) for entry in _entries(value) if entry is not None)


def _number(value: object) -> int | None:
    """A whole number, also when written as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    return None


def _ids(value: object) -> tuple[int, ...]:
    return tuple(number for entry in _entries(value) if (number := _number(entry)) is not None)


def _setting(settings: Mapping[str, object], name: str) -> str | None:
    value = _map(settings.get(name)).get("value")
    return value if isinstance(value, str) and value else None
