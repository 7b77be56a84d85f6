"""When a CRM that did not answer properly may be asked again who looks after a caller. Pure: times are seconds."""

from __future__ import annotations

from amibridge.retailcrm.errors import CrmBusy, CrmError, CrmForbids, CrmLockedOut, CrmNotEnabled

FIRST, LONGEST = 5.0, 60.0
"""After a failure that may pass; doubled while it lasts. Meanwhile calls are answered from what is known."""

UNTIL_MENDED = 600.0
"""After one that only a person can end; applying the enterprise's file asks at once."""


class Silence:
    def __init__(self) -> None:
        self._till = 0.0
        self._failures = 0

    def lasts(self, now: float) -> bool:
        return now < self._till

    def answered(self) -> bool:
        """Whether that is news."""
        failures, self._failures, self._till = self._failures, 0, 0.0
        return failures > 0

    def failed(self, error: CrmError, now: float) -> bool:
        """Whether that is news."""
        self._failures += 1
        pause = min(LONGEST, FIRST * 2.0 ** min(self._failures - 1, 10))
        if isinstance(error, CrmForbids | CrmLockedOut | CrmNotEnabled):
            pause = UNTIL_MENDED
        elif isinstance(error, CrmBusy) and error.retry_after is not None:
            pause = max(pause, error.retry_after.total_seconds())
        self._till = now + pause
        return self._failures == 1
