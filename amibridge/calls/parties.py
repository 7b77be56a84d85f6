"""Who is on a call at this moment, and where each of them is: read off its channels, never kept.

So a click shows its truth as it goes: the operator's phone rings, then the customer's beside an operator who listens to
it, then both talk.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from amibridge.calls.model import Call, Presence
from amibridge.calls.numbering import Role
from amibridge.calls.record import Extension


class Side(StrEnum):
    CUSTOMER = "customer"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Party:
    """One phone. *extension*: whom it stands for, None for the customer."""

    side: Side
    extension: Extension | None
    presence: Presence


def parties_of(call: Call) -> list[Party]:
    """In the order they came. Whoever left is not there any more; who has several phones is there several times."""
    return [
        Party(Side.CUSTOMER, None, leg.said)
        if call.is_customer_side(leg)
        else Party(Side.OPERATOR, call.extension_of(leg), leg.said)
        for leg in call.legs.values()
        if leg.role is not Role.PLUMBING and leg.gone_at is None
    ]
