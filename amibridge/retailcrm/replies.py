"""What RetailCRM answers when it is content, read tolerantly: PHP writes an empty map as a list and ids as text.

Law: only a reply without the one thing it was asked for is broken; anything else missing is empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from amibridge.retailcrm.errors import CrmBroken
from amibridge.retailcrm.tolerant import entries, ids, mapping, number, texts

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
        return cls(texts(body.get("notExistCodes")), ids(body.get("notExistUsers")))


@dataclass(frozen=True, slots=True)
class CallsUploadReply:
    """*processed*: how many calls were taken, None if not said. *duplicates*: `externalId` of those known before."""

    processed: int | None
    duplicates: tuple[str, ...] = ()

    @classmethod
    def of(cls, body: Mapping[str, object]) -> CallsUploadReply:
        known = (
            entry.get("externalId", entry) if isinstance(entry, Mapping) else entry
            for entry in entries(body.get("duplicateCalls"))
        )
        return cls(number(body.get("processedCallsCount")), texts(list(known)))


@dataclass(frozen=True, slots=True)
class SettingsReply:
    """*time_zone*: in which every date without offset is read and written."""

    time_zone: ZoneInfo
    currency: str | None = None
    language: str | None = None

    @classmethod
    def of(cls, body: Mapping[str, object]) -> SettingsReply:
        settings = mapping(body.get("settings"))
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
            frozenset(texts(body.get("scopes"))),
            access if isinstance(access, str) else None,
            texts(body.get("sitesAvailable")),
        )


def _setting(settings: Mapping[str, object], name: str) -> str | None:
    value = mapping(settings.get(name)).get("value")
    return value if isinstance(value, str) and value else None
