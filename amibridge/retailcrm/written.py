"""What RetailCRM answers to whoever writes: that it was taken, under which id, and of many, which were not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from amibridge.retailcrm.errors import CrmBroken
from amibridge.retailcrm.tolerant import as_text, entries, mapping, mappings, number, text


@dataclass(frozen=True, slots=True)
class Accepted:
    """It was taken, and there is nothing more to say."""

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        return cls()


@dataclass(frozen=True, slots=True)
class Created:
    id: int

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        found = number(body.get("id"))
        if found is None:
            raise CrmBroken("the CRM does not say under which id it was created")
        return cls(found)


@dataclass(frozen=True, slots=True)
class Edited:
    """*id*: None where the CRM does not repeat it."""

    id: int | None = None

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        return cls(number(body.get("id")))


@dataclass(frozen=True, slots=True)
class Uploaded:
    """*ids*: RetailCRM's own by externalId. *failed*: externalIds of those it did not take. *complaints*: why.

    Some may have failed although the CRM calls it a success, and some may be taken although it does not.
    """

    ids: Mapping[str, int] = field(default_factory=dict)
    failed: tuple[str, ...] = ()
    complaints: tuple[str, ...] = ()

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        taken = next((value for name, value in body.items() if name.startswith("uploaded")), None)
        failed = next((value for name, value in body.items() if name.startswith("failed")), None)
        if taken is None and failed is None:
            raise CrmBroken("the CRM does not say what it took")
        pairs = [(text(one.get("externalId")), number(one.get("id"))) for one in mappings(taken)]
        errors = body.get("errors")
        said = [f"{name}: {as_text(value)}" for name, value in mapping(errors).items()]
        return cls(
            {name: id for name, id in pairs if name is not None and id is not None},
            tuple(name for one in mappings(failed) if (name := text(one.get("externalId"))) is not None),
            tuple(said or map(as_text, entries(errors))),
        )
