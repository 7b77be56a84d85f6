"""The account's dictionaries: stores, statuses and their groups, types and methods of orders. Keep them for an hour."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self, TypeVar

from amibridge.retailcrm.fields import listed_in
from amibridge.retailcrm.requests import LimitClass, ReplyT, Request
from amibridge.retailcrm.tolerant import flag, mapping, number, text, texts

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Site:
    """A store."""

    code: str
    name: str | None
    id: int | None
    country: str | None
    currency: str | None


@dataclass(frozen=True, slots=True)
class Status:
    code: str
    name: str | None
    group: str | None
    active: bool


@dataclass(frozen=True, slots=True)
class StatusGroup:
    """*process*: its orders are being worked on; False for new ones and for those that are over."""

    code: str
    name: str | None
    process: bool
    statuses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Word:
    """A type or a method of orders. *default*: what an order made by API gets that says nothing."""

    code: str
    name: str | None
    active: bool
    default: bool


@dataclass(frozen=True, slots=True)
class SitesReply:
    sites: Mapping[str, Site]

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        return cls(_words(body, "sites", _site))


@dataclass(frozen=True, slots=True)
class StatusesReply:
    statuses: Mapping[str, Status]

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        return cls(_words(body, "statuses", _status))


@dataclass(frozen=True, slots=True)
class StatusGroupsReply:
    groups: Mapping[str, StatusGroup]

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        return cls(_words(body, "statusGroups", _status_group))


@dataclass(frozen=True, slots=True)
class OrderTypesReply:
    types: Mapping[str, Word]

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        return cls(_words(body, "orderTypes", _word))


@dataclass(frozen=True, slots=True)
class OrderMethodsReply:
    methods: Mapping[str, Word]

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        return cls(_words(body, "orderMethods", _word))


def sites() -> Request[SitesReply]:
    return _dictionary("sites", SitesReply)


def statuses() -> Request[StatusesReply]:
    return _dictionary("statuses", StatusesReply)


def status_groups() -> Request[StatusGroupsReply]:
    return _dictionary("status-groups", StatusGroupsReply)


def order_types() -> Request[OrderTypesReply]:
    return _dictionary("order-types", OrderTypesReply)


def order_methods() -> Request[OrderMethodsReply]:
    return _dictionary("order-methods", OrderMethodsReply)


def _dictionary(name: str, reply: type[ReplyT]) -> Request[ReplyT]:
    return Request("GET", f"/api/v5/reference/{name}", reply, LimitClass.ORDINARY, True)


def _words(body: Mapping[str, object], name: str, read: Callable[[str, Mapping[str, object]], T]) -> dict[str, T]:
    """By code; a code that looks like a number stays text."""
    return {code: read(code, mapping(said)) for code, said in mapping(listed_in(body, name)).items()}


def _site(code: str, said: Mapping[str, object]) -> Site:
    return Site(
        code, text(said.get("name")), number(said.get("id")), text(said.get("countryIso")), text(said.get("currency"))
    )


def _status(code: str, said: Mapping[str, object]) -> Status:
    return Status(code, text(said.get("name")), text(said.get("group")), flag(said.get("active")) is not False)


def _status_group(code: str, said: Mapping[str, object]) -> StatusGroup:
    return StatusGroup(code, text(said.get("name")), flag(said.get("process")) or False, texts(said.get("statuses")))


def _word(code: str, said: Mapping[str, object]) -> Word:
    default = flag(said.get("defaultForApi")) or False
    return Word(code, text(said.get("name")), flag(said.get("active")) is not False, default)
