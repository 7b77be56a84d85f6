"""Parking a customer, and fetching him or a call that rings elsewhere: what is asked and answered.

Laws: only for an operator of the enterprise's own; a space is a number, and a call is fetched from one place; what is
refused changes nothing. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from amibridge.calls.record import CallId, Extension
from amibridge.calls.transfers import TransferRefused, Why

LONGEST_PATIENCE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class AskedToPark:
    """*timeout*: seconds until whoever parks is called back; None as the parking lot has it."""

    from_: str
    timeout: str | None = None
    call: str | None = None


@dataclass(frozen=True, slots=True)
class AskedToFetch:
    """For whom: *from_*. One of *target*, at whose phone it rings, and *space*, where somebody is parked."""

    from_: str
    target: str | None = None
    space: str | None = None
    call: str | None = None


@dataclass(frozen=True, slots=True)
class ParkedThere:
    """*host*: its address. *until*: when whoever parked is called back; None: never."""

    call: CallId
    host: str
    from_: Extension
    space: str
    until: datetime | None
    took: timedelta


@dataclass(frozen=True, slots=True)
class Fetched:
    """*place*: the extension at which it rang, or the parking space."""

    call: CallId
    host: str
    from_: Extension
    place: str
    took: timedelta


def asked_patience(timeout: str | None) -> timedelta | None:
    """Raises TransferRefused."""
    if timeout is None:
        return None
    seconds = int(timeout) if _SECONDS.fullmatch(timeout.strip()) else 0
    if not 0 < seconds <= LONGEST_PATIENCE.total_seconds():
        raise TransferRefused(Why.NO_TIMEOUT, "The timeout is in seconds: from 1 to 86400.")
    return timedelta(seconds=seconds)


def asked_space(space: str) -> str:
    """Raises TransferRefused."""
    space = space.strip()
    if _SPACE.fullmatch(space) is None:
        raise TransferRefused(Why.NO_SPACE, "A parking space is a number, such as 701.")
    return space


_SECONDS = re.compile(r"[0-9]{1,5}")
_SPACE = re.compile(r"[0-9]{1,9}")
