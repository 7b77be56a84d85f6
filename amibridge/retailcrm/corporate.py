"""Companies: who calls is a contact of theirs, an ordinary customer; there is no way to find one by phone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from amibridge.retailcrm.errors import CrmBroken
from amibridge.retailcrm.fields import Paging, page_of, positive, query, records_in
from amibridge.retailcrm.requests import LimitClass, Request
from amibridge.retailcrm.tolerant import mapping, number, text


@dataclass(frozen=True, slots=True)
class Company:
    """*name*: what it is called among us. *main_contact*: id of a customer."""

    id: int
    name: str | None = None
    site: str | None = None
    manager_id: int | None = None
    main_contact: int | None = None

    @classmethod
    def of(cls, said: Mapping[str, object]) -> Self:
        """Raises CrmBroken without an id."""
        found = number(said.get("id"))
        if found is None:
            raise CrmBroken("the CRM tells of a company without an id")
        contact = mapping(said.get("mainCustomerContact"))
        return cls(
            found,
            text(said.get("nickName")),
            text(said.get("site")),
            number(said.get("managerId")),
            number(mapping(contact.get("customer")).get("id")),
        )


@dataclass(frozen=True, slots=True)
class CompaniesReply:
    companies: tuple[Company, ...]
    paging: Paging

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        return cls(tuple(map(Company.of, records_in(body, "customersCorporate"))), Paging.of(body))


def companies(
    *, contact_ids: Sequence[int] = (), sites: Sequence[str] = (), page: int = 1, limit: int = 20
) -> Request[CompaniesReply]:
    """Companies that the customers of *contact_ids* speak for."""
    asked = query(filter_contactIds=[positive(id) for id in contact_ids], filter_sites=sites)
    asked = page_of(page, limit) | asked
    return Request("GET", "/api/v5/customers-corporate", CompaniesReply, LimitClass.ORDINARY, True, asked)
