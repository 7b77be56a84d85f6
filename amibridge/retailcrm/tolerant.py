"""RetailCRM's values as PHP writes them: an empty map is a list, an id may be text, money may be a float.

Law: nothing is raised here; what cannot be read is None or empty.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import NewType
from zoneinfo import ZoneInfo

AccountTime = NewType("AccountTime", datetime)
"""A time as RetailCRM writes it: without an offset, in the account's zone. `moment` makes it aware."""

TIME_FORMAT = "%Y-%m-%d %H:%M:%S"

_AMOUNT = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,9})?")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}(:[0-9]{2})?")


def as_text(value: object) -> str:
    """A text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:  # what was just deep enough to be read is too deep to be written
        return "…"


def mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def entries(value: object) -> list[object]:
    """A list; PHP writes one with a hole in it as a map."""
    if isinstance(value, Mapping):
        return list(value.values())
    return value if isinstance(value, list) else []


def mappings(value: object) -> list[Mapping[str, object]]:
    return [entry for entry in entries(value) if isinstance(entry, Mapping)]


def texts(value: object) -> tuple[str, ...]:
    return tuple(as_text(entry) for entry in entries(value) if entry is not None)


def text(value: object) -> str | None:
    """A text that says something; a number is one, too: codes may look like numbers."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18 else None


def number(value: object) -> int | None:
    """A whole number, also when written as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    return None


def ids(value: object) -> tuple[int, ...]:
    return tuple(found for entry in entries(value) if (found := number(entry)) is not None)


def flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def amount(value: object) -> Decimal | None:
    """Money as it was written: 1395.16 for a float 1395.16."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, float):
        value = format(value, "f") if abs(value) < 1e18 else ""
        value = value.rstrip("0").rstrip(".")
    elif isinstance(value, int):
        value = str(value) if abs(value) < 10**18 else ""
    return Decimal(value) if _AMOUNT.fullmatch(value) else None


def time(value: object) -> AccountTime | None:
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        return None
    try:
        return AccountTime(datetime.strptime(value, TIME_FORMAT if len(value) == 19 else TIME_FORMAT[:-3]))
    except ValueError:  # 31 February
        return None


def moment(at: AccountTime, zone: ZoneInfo) -> datetime:
    """*at* as an aware time; of an hour that the clock shows twice, the first."""
    return at.replace(tzinfo=zone)
