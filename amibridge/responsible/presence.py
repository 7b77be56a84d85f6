"""Who of an enterprise's operators is at his place, as RetailCRM told last.

Laws: what was told too long ago says nothing any more: nobody is at dinner for half a day, but a callback can be lost;
what is told is newer than what was kept, whatever a clock that was put right meanwhile makes of their dates. Pure: the
time is passed in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from amibridge.calls.record import Extension
from amibridge.retailcrm.users import UserStatus

HOLDS_FOR = timedelta(hours=12)
"""Longer than a shift, shorter than from one to the next."""


@dataclass(frozen=True, slots=True)
class OperatorStatus:
    """*user*: the CRM's. *extension*: what the CRM calls his code, None when it named none."""

    user: int
    extension: Extension | None
    status: UserStatus
    told_at: datetime


class Presence:
    """Of one enterprise."""

    def __init__(self, told: Iterable[OperatorStatus] = ()) -> None:
        self._by_user: dict[int, OperatorStatus] = {}
        for one in told:
            self.tell(one)

    def tell(self, told: OperatorStatus) -> None:
        """Now."""
        self._by_user[told.user] = told

    def recall(self, kept: OperatorStatus) -> None:
        """Told to an earlier run: it counts for who has not been told of since."""
        self._by_user.setdefault(kept.user, kept)

    def of(self, extension: Extension, user: int | None, now: datetime) -> UserStatus:
        """How whoever has *extension*, or is *user* there, stands: free unless the CRM says otherwise."""
        told = [
            one
            for one in self._by_user.values()
            if (one.user == user if user is not None else one.extension == extension)
            and abs(now - one.told_at) < HOLDS_FOR
        ]
        return max(told, key=lambda one: one.told_at).status if told else UserStatus.FREE
