"""What changed in an account, one record for each field, as the history methods tell it. Time is passed in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from amibridge.sandbox.crm_forms import DATE_FORMAT


@dataclass(frozen=True, slots=True)
class Doer:
    """Who changed something: a person in the CRM, an API key (*own*: the one who asks), or the CRM's own rules."""

    source: Literal["user", "api", "code"]
    user: int | None = None
    own: bool = False


OUR_KEY = Doer("api", own=True)
ANOTHER_KEY = Doer("api")


def person(user: int) -> Doer:
    return Doer("user", user)


class History:
    """Records of one kind of entity, *of* ``customer`` or ``order``; ids grow and are never used again."""

    def __init__(self, of: Literal["customer", "order"], zone: ZoneInfo) -> None:
        self.records: list[dict[str, Any]] = []
        self._of = of
        self._zone = zone

    def local(self, at: datetime) -> str:
        """*at* as the account writes it."""
        return at.astimezone(self._zone).strftime(DATE_FORMAT)

    def note(
        self,
        at: datetime,
        by: Doer,
        entity: Mapping[str, Any],
        field: str,
        old: object,
        new: object,
        **marks: object,
    ) -> None:
        """*marks*: ``created``, ``deleted``, ``combinedTo``."""
        record: dict[str, Any] = {"id": len(self.records) + 1, "createdAt": self.local(at)} | marks
        record |= {"source": by.source, "field": field, "oldValue": old, "newValue": new, self._of: dict(entity)}
        if by.source == "user":
            record["user"] = {"id": by.user}
        elif by.source == "api":
            record["apiKey"] = {"current": by.own}
        self.records.append(record)

    def note_edit(
        self, at: datetime, by: Doer, stub: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]
    ) -> None:
        for field, old, new in _differences(before, after):
            self.note(at, by, stub, field, old, new)

    def since(
        self, since_id: int, start: str | None, end: str | None, entity: Mapping[str, object]
    ) -> list[dict[str, Any]]:
        """Records behind *since_id*, between *start* and *end* in the account's time, of whom *entity* names."""
        return [
            record
            for record in self.records[since_id:]
            if (start is None or start <= record["createdAt"])
            and (end is None or record["createdAt"] <= end)
            and all(record[self._of].get(name) == value for name, value in entity.items())
        ]


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, object, object]]:
    for name in after:
        old, new = before.get(name), after[name]
        if old == new:
            continue
        if name == "phones":
            was, becomes = ([item["number"] for item in items or []] for items in (old, new))
            yield from (("phones", phone, None) for phone in was if phone not in becomes)
            yield from (("phones", None, phone) for phone in becomes if phone not in was)
        elif name == "customFields":
            yield from (
                (f"custom_{code}", (old or {}).get(code), value)
                for code, value in new.items()
                if (old or {}).get(code) != value
            )
        elif name in ("status", "orderType", "orderMethod"):
            yield snake(name), _wrapped("code", old), _wrapped("code", new)
        elif name in ("managerId", "customer"):
            yield snake(name.removesuffix("Id")), _wrapped("id", old), _wrapped("id", new)
        else:
            yield snake(name), old, new


def _wrapped(name: str, value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    return {name: value[name] if isinstance(value, dict) else value}


def snake(name: str) -> str:
    """``external_id`` for ``externalId``."""
    return re.sub(r"(?=[A-Z])", "_", name).lower()
