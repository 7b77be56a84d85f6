"""Which customers have a number: what to look for, and who of those found really has it.

Laws: a number is the same however it is written, so both sides are compared as E.164; RetailCRM keeps numbers as they
were typed and searches texts, so each usual way to write one is looked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import phonenumbers

from amibridge.calls.phones import to_e164
from amibridge.retailcrm.customers import Customer


class FoundBy(StrEnum):
    """How a customer was found."""

    LOOKUP = "telephony/manager"
    INTERNATIONAL = "digits of E.164"
    NATIONAL = "national form"
    SIGNIFICANT = "national number"


@dataclass(frozen=True, slots=True)
class PhoneForms:
    """The usual ways to write *e164* in digits: 79161234567, 89161234567, 9161234567."""

    e164: str
    international: str
    national: str
    significant: str

    def searches(self) -> Sequence[tuple[FoundBy, str]]:
        """What to look for, in order, nothing twice."""
        ways = {
            self.international: FoundBy.INTERNATIONAL,
            self.national: FoundBy.NATIONAL,
            self.significant: FoundBy.SIGNIFICANT,
        }
        return [(found_by, digits) for digits, found_by in ways.items()]


def phone_forms(phone: str, region: str) -> PhoneForms | None:
    """None for what cannot be a public number, such as an extension: no customer has it."""
    e164 = to_e164(phone, region)
    if e164 is None:
        return None
    parsed = phonenumbers.parse(e164, None)
    national = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.NATIONAL)
    return PhoneForms(
        e164,
        e164.removeprefix("+"),
        "".join(char for char in national if char.isdigit()),
        phonenumbers.national_significant_number(parsed),
    )


def having(customers: Iterable[Customer], e164: str, region: str) -> list[Customer]:
    """Those of *customers* one of whose phones is *e164*, each once."""
    found = {
        customer.id: customer
        for customer in customers
        if any(to_e164(phone, region) == e164 for phone in customer.phones)
    }
    return list(found.values())
