"""What is known of callers, in memory: bounded, and forgotten when it is old. Pure: times are seconds of one clock."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from amibridge.calls.record import Extension
from amibridge.responsible.decision import Known

FRESH = 600.0
"""Seconds for which what is known is not looked up again. A customer who is changed in the CRM is forgotten at once."""

KEPT = 12 * 3600.0
"""Seconds: what is older is not even answered from."""

MOST = 1000
"""Phones of one enterprise, 1.2 kB each, so that 77 enterprises have 100 MB at most; the one that was asked for longest
ago goes first. Nobody is called by as many while what is known is fresh."""


@dataclass(frozen=True, slots=True)
class Remembered:
    known: Known
    at: float


class Memory:
    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._by_phone: dict[str, Remembered] = {}

    def __len__(self) -> int:
        return len(self._by_phone)

    def of(self, phone: str, now: float) -> Remembered | None:
        found = self._by_phone.pop(phone, None)
        if found is None or now - found.at >= KEPT:
            return None
        self._by_phone[phone] = found  # the last one, now
        return found

    def keep(self, phone: str, known: Known, now: float) -> None:
        self._by_phone.pop(phone, None)
        self._by_phone[phone] = Remembered(known, now)
        while len(self._by_phone) > self._most:
            del self._by_phone[next(iter(self._by_phone))]

    def talked(self, phone: str, operators: tuple[Extension, ...]) -> None:
        """*operators* have just talked with whoever has *phone*."""
        found = self._by_phone.get(phone)
        if found is not None:
            self._by_phone[phone] = Remembered(replace(found.known, talked=operators), found.at)

    def forget(self, phones: Collection[str], customers: Collection[int]) -> None:
        """*customers* are others now, and have *phones*."""
        for phone, found in list(self._by_phone.items()):
            customer = found.known.customer
            if phone in phones or (customer is not None and customer.id in customers):
                del self._by_phone[phone]
