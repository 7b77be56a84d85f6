"""Pieces of requests: fields that are given, lists in a query, dates, and which record is meant.

Law: what the contract forbids raises ValueError. Sources of the bounds: RetailCRM's API rules and its own clients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Self
from urllib.parse import quote

from amibridge.retailcrm.errors import CrmBroken
from amibridge.retailcrm.tolerant import TIME_FORMAT, mapping, mappings, number

PAGE_SIZES = (20, 50, 100)
MOST_LISTED = 100
"""Values of one filter."""

MOST_WRITTEN = 50
"""Records in one upload."""

LONGEST_ID = 255
METHODS = frozenset({"create", "upload", "history", "statuses", "fix-external-ids", "combine", "notes", "merge"})
"""Words that stand where an id stands in a path: an externalId like them can be asked for by filter only."""


@dataclass(frozen=True, slots=True)
class Paging:
    """Which of *pages* this is. *total*: records on all of them."""

    page: int
    pages: int
    total: int | None

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        said = mapping(body.get("pagination"))
        return cls(
            number(said.get("currentPage")) or 1,
            number(said.get("totalPageCount")) or 1,
            number(said.get("totalCount")),
        )


def listed_in(body: Mapping[str, object], name: str) -> object:
    """What the answer holds by *name*, which it was asked for. Raises CrmBroken without it."""
    if body.get(name) is None:
        raise CrmBroken(f"the CRM's answer names no {name}")
    return body[name]


def records_in(body: Mapping[str, object], name: str) -> list[Mapping[str, object]]:
    """Those of a list that have an id; the others are nobody. Raises CrmBroken without the list."""
    return [one for one in mappings(listed_in(body, name)) if number(one.get("id")) is not None]


def filled(**fields: object) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


def local(at: datetime) -> str:
    """*at* is aware, in the account's time zone."""
    if at.tzinfo is None:
        raise ValueError("a date must be in the account's time zone, not naive")
    return at.strftime(TIME_FORMAT)


def query(**arguments: object) -> dict[str, str]:
    """Arguments that are given: truth as 1 or 0, a list with its indexes, as PHP reads it.

    Names are those of the API; of ``filter_name`` the first underscore begins brackets: ``filter[name]``.
    """
    found: dict[str, str] = {}
    for name, value in arguments.items():
        group, _, inner = name.partition("_")
        name = f"{group}[{inner}]" if inner else group
        match value:
            case None:
                continue
            case bool():
                found[name] = str(int(value))
            case datetime():
                found[name] = local(value)
            case date():
                found[name] = value.isoformat()
            case str() | int():
                found[name] = str(value)
            case Sequence():
                found |= {f"{name}[{index}]": str(one) for index, one in enumerate(value)}
            case _:
                raise TypeError(f"{name} cannot be written into a query")
    return found


def page_of(page: int, limit: int) -> dict[str, str]:
    """Which page of a list. Raises ValueError for a size that RetailCRM does not have."""
    if page < 1:
        raise ValueError("pages are counted from 1")
    return {"limit": page_size(limit), "page": str(page)}


def page_size(limit: int) -> str:
    if limit not in PAGE_SIZES:
        raise ValueError(f"a page has {', '.join(map(str, PAGE_SIZES))} records, not {limit}")
    return str(limit)


def at_most(values: Sequence[object], most: int, what: str) -> None:
    if len(values) > most:
        raise ValueError(f"at most {most} {what} in one request, not {len(values)}")


def some(values: Sequence[object], most: int, what: str) -> None:
    if not values:
        raise ValueError(f"there must be {what}")
    at_most(values, most, what)


def external(name: str | None) -> str | None:
    """An externalId that the contract allows."""
    if name is not None and not 1 <= len(name) <= LONGEST_ID:
        raise ValueError(f"an externalId has 1 to {LONGEST_ID} characters")
    return name


def which(key: int | str) -> tuple[str, str]:
    """(how it stands in a path, what `by` says): a number is RetailCRM's own id, a text is an externalId.

    `by` is always said: without it RetailCRM takes an id for an externalId and finds nothing, or somebody else.
    """
    if isinstance(key, int):
        return str(positive(key)), "id"
    external(key)
    if key in METHODS or set(key) <= {"."}:
        raise ValueError(f"{key!r} cannot stand in a path: ask for it by filter")
    return quote(key, safe=""), "externalId"


def positive(number: int) -> int:
    if number < 1:
        raise ValueError("ids are counted from 1")
    return number
