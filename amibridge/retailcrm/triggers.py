"""What a trigger of RetailCRM sends us: that a customer or an order was changed, in whatever form it was told to.

Laws: nothing but the id is taken, for nobody signs the rest; what cannot be understood still says that something
changed. Nothing is raised here. Pure. Source: the contract's recipe for triggers; RetailCRM documents no form.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qsl

from amibridge.retailcrm.tolerant import mapping, number, text

MOST_FIELDS = 200
"""Of one form."""

LARGEST_ID = 2**63 - 1


class Subject(StrEnum):
    CUSTOMER = "customer"
    ORDER = "order"


@dataclass(frozen=True, slots=True)
class Hint:
    """Something changed. *subject*, *id*: None when we are not told; without a subject an id says nothing."""

    subject: Subject | None = None
    id: int | None = None


def read_hint(query: Mapping[str, str], body: bytes) -> Hint:
    """*body*: JSON, a form, or nothing. What stands in it comes before the query."""
    for fields in (*_bodies(body), query):
        hint = _hint(fields)
        if hint.subject is not None:
            return hint
    return Hint()


def client_id_in(query: Mapping[str, str], body: bytes) -> str | None:
    """Who says to be speaking: RetailCRM's `clientId`, or the enterprise's number."""
    for fields in (*_bodies(body), query):
        for name in ("clientId", "enterprise", "enterprise_number"):
            if found := text(fields.get(name)):
                return found
    return None


def _bodies(body: bytes) -> Iterator[Mapping[str, object]]:
    written = body.decode("utf-8", "replace").strip()
    if not written:
        return
    if written.startswith(("{", "[")):
        yield mapping(_json(written))
        return
    try:
        yield dict(parse_qsl(written, max_num_fields=MOST_FIELDS))
    except ValueError:
        return


def _hint(fields: Mapping[str, object]) -> Hint:
    """``event=order.edit&id=5``, ``{"order": {"id": 5}}``, ``order[id]=5``, ``orderId=5``."""
    said = text(fields.get("event")) or text(fields.get("type")) or ""
    for subject in Subject:
        if said.strip().lower().partition(".")[0] == subject:
            return Hint(subject, _id(fields.get("id")) or _inner_id(fields, subject))
    for subject in Subject:
        if (found := _inner_id(fields, subject)) is not None:
            return Hint(subject, found)
    return Hint()


def _inner_id(fields: Mapping[str, object], subject: Subject) -> int | None:
    inner = fields.get(subject)
    if isinstance(inner, str) and inner.lstrip().startswith("{"):
        inner = _json(inner)
    return _id(mapping(inner).get("id")) or _id(fields.get(f"{subject}[id]")) or _id(fields.get(f"{subject}Id"))


def _id(value: object) -> int | None:
    found = number(value.strip() if isinstance(value, str) else value)
    return found if found is not None and 0 < found <= LARGEST_ID else None


def _json(written: str) -> object:
    try:
        return json.loads(written)
    except (ValueError, RecursionError):
        return None
