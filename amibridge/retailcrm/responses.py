"""Reads an answer of RetailCRM: a reply, or a CrmError that says what to do next.

Laws: only a status of 2xx together with ``success: true`` is a yes; a text the CRM is known to say outranks its
status, save for 503 and 429; a body may be anything at all. Sources of the texts: RetailCRM's own API clients.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from amibridge.retailcrm.errors import (
    CrmBroken,
    CrmBusy,
    CrmError,
    CrmForbids,
    CrmLockedOut,
    CrmMissing,
    CrmNotEnabled,
    CrmRefused,
)
from amibridge.retailcrm.requests import ReplyT, Request
from amibridge.retailcrm.tolerant import as_text, mapping, number

BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})

PARTLY_DONE = 460
"""RetailCRM's own status: of an upload some was taken and some was not."""

NOT_FOUND = "not found"
"""What it says, under 404 or 400, when there is nothing by that id."""

TEXTS: tuple[tuple[str, type[CrmError]], ...] = (
    ('wrong "apikey" value', CrmLockedOut),
    ('"apikey" is missing', CrmLockedOut),
    ("access denied", CrmForbids),
    ("account does not exist", CrmLockedOut),
    ("telephony not enabled", CrmNotEnabled),
    ("internal server error", CrmBroken),
)
"""Beginning of the CRM's `errorMsg`, in lower case → what it means, whatever the status."""

STATUSES: Mapping[int, type[CrmError]] = {
    HTTPStatus.UNAUTHORIZED: CrmLockedOut,
    HTTPStatus.FORBIDDEN: CrmForbids,
    HTTPStatus.REQUEST_TIMEOUT: CrmBroken,
}
"""Statuses that mean one thing with any text, or none."""

MAX_RETRY_AFTER = timedelta(hours=1)
"""A server that asks for more is asked again after this: a wrong clock there must not stop deliveries for days."""


def read(request: Request[ReplyT], status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> ReplyT:
    """*headers* in any letter case; *now* is aware and used only for a `Retry-After` that is a date."""
    if status in BUSY:
        raise CrmBusy("the CRM is busy", status=status, retry_after=retry_after(headers, now))
    answer = _object(body)
    if answer is None:
        raise _without_json(status, headers, body)
    if 200 <= status < 300 and answer.get("success") is True:
        return _reply(request.reply, status, answer)
    if status == PARTLY_DONE and request.partial:
        with suppress(CrmBroken):  # it names nothing that was taken or not: then all was refused
            return request.reply.of(answer)
    raise _refusal(status, answer)


def retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """The wait asked for by seconds or by HTTP date, within [0, 1 h]; None if absent or unreadable."""
    text = next((value.strip() for name, value in headers.items() if name.lower() == "retry-after"), "")
    if text.isascii() and text.isdigit():
        # Nine digits are thirty years: more would not fit a timedelta.
        wait = timedelta(seconds=int(text[:9]))
    else:
        try:
            until = parsedate_to_datetime(text)
            wait = (until if until.tzinfo else until.replace(tzinfo=UTC)) - now
        except Exception:  # email.utils raises whatever it stumbles over: OverflowError, IndexError, TypeError
            return None
    return min(max(wait, timedelta()), MAX_RETRY_AFTER)


def _object(body: bytes) -> Mapping[str, object] | None:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _reply(reply: type[ReplyT], status: int, answer: Mapping[str, object]) -> ReplyT:
    try:
        return reply.of(answer)
    except CrmBroken as error:
        error.status = status
        raise


def _without_json(status: int, headers: Mapping[str, str], body: bytes) -> CrmError:
    text = body[:1000].decode("utf-8", "replace").strip()
    if 300 <= status < 400:
        return CrmBroken("the CRM redirects elsewhere: is this the account's address?", status=status)
    if status == HTTPStatus.METHOD_NOT_ALLOWED and text.startswith("<"):
        # RetailCRM's front server answers so for a subdomain that is no account.
        return CrmLockedOut("Account does not exist", status=status)
    meaning = STATUSES.get(status, CrmBroken)
    return meaning(f"not an API answer: {text}" if text else "an empty answer", status=status)


def _refusal(status: int, answer: Mapping[str, object]) -> CrmError:
    message = answer.get("errorMsg")
    text = message.strip() if isinstance(message, str) else ""
    if text.lower().startswith(NOT_FOUND):
        survivor = number(mapping(answer.get("combinedTo")).get("id"))
        return CrmMissing(text, status=status, combined_to=survivor)
    for beginning, meaning in TEXTS:
        if text.lower().startswith(beginning):
            return meaning(text, status=status)
    if status in STATUSES:
        return STATUSES[status](text or "the CRM gives no reason", status=status)
    if 300 <= status < 400:
        return CrmBroken("the CRM redirects elsewhere: is this the account's address?", status=status)
    complaints = _complaints(answer.get("errors"))
    if not 200 <= status < 500 or (status < 400 and not complaints):
        # A yes by its status and a no by its word: without a complaint about what was asked, something broke there.
        return CrmBroken(text or "an answer without `success: true`", status=status)
    return CrmRefused(text or "the CRM gives no reason", status=status, errors=complaints)


def _complaints(errors: object) -> dict[str, str]:
    """A map of field → text from a map, a list or a lone text; nested values become JSON."""
    if isinstance(errors, Mapping):
        pairs = [(str(name), value) for name, value in errors.items()]
    elif isinstance(errors, list):
        pairs = [(str(index), value) for index, value in enumerate(errors)]
    else:
        pairs = [] if errors is None else [("0", errors)]
    return {name: as_text(value) for name, value in pairs}
