"""The CRM itself: which versions of the API it has, which release it is, and where its pages are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from amibridge.retailcrm.requests import LimitClass, Request
from amibridge.retailcrm.tolerant import text, texts


@dataclass(frozen=True, slots=True)
class VersionsReply:
    """Like ``5.0``."""

    versions: tuple[str, ...]

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        return cls(texts(body.get("versions")))


@dataclass(frozen=True, slots=True)
class InstallationReply:
    """*public_url*: where people work. *technical_url*: a host of RetailCRM's own, whatever domain the account has."""

    version: str | None = None
    public_url: str | None = None
    technical_url: str | None = None

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        return cls(text(body.get("systemVersion")), text(body.get("publicUrl")), text(body.get("technicalUrl")))


def api_versions() -> Request[VersionsReply]:
    return Request("GET", "/api/api-versions", VersionsReply, LimitClass.ORDINARY, True)


def installation() -> Request[InstallationReply]:
    return Request("GET", "/api/system-info", InstallationReply, LimitClass.ORDINARY, True)
