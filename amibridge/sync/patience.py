"""How long a CRM that does not answer properly is left alone, and when that is worth a line in the log.

Laws: what only a person can mend is asked about rarely and said at once; what passes by itself is tried soon, then
less and less, and said when it lasts. Pure: time and chance are passed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from amibridge.retailcrm.errors import (
    CrmBroken,
    CrmBusy,
    CrmError,
    CrmForbids,
    CrmLockedOut,
    CrmMissing,
    CrmNotEnabled,
    CrmRefused,
    CrmUnreachable,
)

PASSING = 5.0, 300.0
LASTING = 60.0, 900.0
"""Seconds: the first wait and the longest; each is twice the one before. A database that is away passes, too."""

WORTH_SAYING = 2
"""Failures in a row: one lost request is nobody's news."""


class Concerns(Enum):
    """What an error says something of."""

    ACCOUNT = "account"
    HISTORY = "history"


CONCERNS: dict[type[CrmError], tuple[Concerns, bool]] = {
    CrmBusy: (Concerns.ACCOUNT, False),
    CrmUnreachable: (Concerns.ACCOUNT, False),
    CrmLockedOut: (Concerns.ACCOUNT, True),
    CrmNotEnabled: (Concerns.ACCOUNT, True),
    CrmBroken: (Concerns.HISTORY, False),
    CrmForbids: (Concerns.HISTORY, True),
    CrmRefused: (Concerns.HISTORY, True),
    CrmMissing: (Concerns.HISTORY, True),
}
"""Of each error: whom it concerns, and whether a person must mend it."""


@dataclass(slots=True)
class Patience:
    """With one history. *closed_till*: before that it is not asked for, in seconds of the loop's clock.

    *reason*: why it is not followed, None while it is, or while nobody has to know.
    """

    closed_till: float = 0.0
    reason: str | None = None
    _failures: int = 0

    def failed(self, error: Exception, now: float, jitter: float) -> None:
        """*error*: the CRM's, or the database's. *jitter*: from [0, 1)."""
        self._failures += 1
        lasting = isinstance(error, CrmError) and CONCERNS[type(error)][1]
        first, longest = LASTING if lasting else PASSING
        wait = min(longest, first * 2.0 ** min(self._failures - 1, 20)) * (0.75 + 0.25 * jitter)
        if isinstance(error, CrmBusy) and error.retry_after is not None:
            wait = max(wait, error.retry_after.total_seconds())
        self.closed_till = now + wait
        if lasting or self._failures >= WORTH_SAYING:
            self.reason = str(error) or type(error).__name__

    def answered(self) -> None:
        self.closed_till, self.reason, self._failures = 0.0, None, 0

    def hurry(self) -> None:
        """The account's settings were changed: whatever failed may work now."""
        self.closed_till, self._failures = 0.0, 0
