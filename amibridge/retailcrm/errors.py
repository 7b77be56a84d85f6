"""What may come of asking RetailCRM, named by what the caller does next.

CrmError
├── CrmBusy         ask again, not before *retry_after*
├── CrmUnreachable  ask again: nobody answered, the request may or may not have arrived
├── CrmBroken       ask again: an answer came that makes no sense
├── CrmRefused      do not repeat it: the request is wrong, a person must look
├── CrmMissing      ask for another: there is nothing by that id, or it was merged into *combined_to*
├── CrmLockedOut    stop asking for this enterprise: the key or the account's address is wrong
├── CrmForbids      stop asking this: the key is known and lacks the right to it
└── CrmNotEnabled   pause this enterprise: its telephony module is not active; nothing is lost by waiting
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar

from amibridge.retailcrm.masking import masked_text
from amibridge.retailcrm.text import excerpt


class CrmError(Exception):
    """*status*: HTTP status, None when there was no answer. *text*: at most 200 printable characters, never the key,
    and nobody's number. *kind*: its word where errors are counted.
    """

    kind: ClassVar[str]

    def __init__(self, text: str, *, status: int | None = None) -> None:
        self.text = masked_text(excerpt(text))
        self.status = status
        super().__init__(self.text)

    def __str__(self) -> str:
        return self.text if self.status is None else f"{self.text} (HTTP {self.status})"


class CrmBusy(CrmError):
    """*retry_after*: what the CRM asked for, None when it named no time."""

    kind = "busy"

    def __init__(self, text: str, *, status: int | None = None, retry_after: timedelta | None = None) -> None:
        super().__init__(text, status=status)
        self.retry_after = retry_after


class CrmUnreachable(CrmError):
    kind = "unreachable"


class CrmBroken(CrmError):
    kind = "broken"


class CrmRefused(CrmError):
    """*message*: the CRM's verdict. *errors*: its complaints by field, or by position where it sent a list."""

    kind = "refused"

    def __init__(self, message: str, *, status: int | None = None, errors: Mapping[str, str] | None = None) -> None:
        self.message = excerpt(message)
        self.errors = dict(errors or {})
        complaints = "; ".join(f"{field}: {complaint}" for field, complaint in self.errors.items())
        super().__init__(f"{self.message}: {complaints}" if complaints else self.message, status=status)


class CrmMissing(CrmError):
    """*combined_to*: the id of the customer that the one asked for was merged into; None if it never was."""

    kind = "missing"

    def __init__(self, text: str, *, status: int | None = None, combined_to: int | None = None) -> None:
        super().__init__(text, status=status)
        self.combined_to = combined_to


class CrmLockedOut(CrmError):
    kind = "locked_out"


class CrmForbids(CrmError):
    kind = "forbidden"


class CrmNotEnabled(CrmError):
    kind = "not_enabled"
