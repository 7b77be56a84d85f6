"""Parameters are text: each form that one may have, strictly, with the JSON schema that says the same."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeAlias

from pydantic import BeforeValidator, Field, WithJsonSchema

from amibridge.store.codec import FACT_TYPES

MOST = 200
"""Of anything on one page."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})", re.IGNORECASE
)


def microseconds(at: datetime) -> int:
    """Since 1970: a time as a cursor has it."""
    return (at - EPOCH) // MICROSECOND


def moment_of(since_epoch: int) -> datetime:
    """The other way round."""
    return EPOCH + since_epoch * MICROSECOND


def _moment(text: object) -> datetime:
    """RFC 3339. A plus that nobody encoded arrives as a space. What is finer than microseconds is cut off."""
    match = _MOMENT.fullmatch(re.sub(r" (?=[0-9:]{5}$)", "+", str(text)))
    if match is None:
        raise ValueError("must be a time with its zone, as 2026-11-25T10:00:00+03:00")
    day, time, fraction, zone = match.groups()
    try:
        at = datetime.fromisoformat(f"{day}T{time}{(fraction or '')[:7]}{zone.upper()}")
        return at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be a time that there is") from None


def _count(text: object) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", str(text)):
        raise ValueError("must be a whole number")
    return int(str(text))


def _place(text: object) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", str(text)):
        raise ValueError("must be the id of an event")
    return int(str(text))


def _words(text: object) -> tuple[str, ...]:
    words = tuple(str(text).split(","))
    if not FACT_TYPES.keys() >= set(words):
        raise ValueError(f"must be words of {', '.join(FACT_TYPES)}, with commas between them")
    return words


def _flag(text: object) -> bool:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


Moment: TypeAlias = Annotated[
    datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})
]
Limit: TypeAlias = Annotated[int, Field(ge=1, le=MOST), BeforeValidator(_count)]
Place: TypeAlias = Annotated[int, Field(ge=0, le=2**63 - 1), BeforeValidator(_place)]
Words: TypeAlias = Annotated[
    tuple[str, ...],
    BeforeValidator(_words),
    WithJsonSchema({"type": "array", "items": {"type": "string", "enum": [*FACT_TYPES]}, "minItems": 1}),
]
Flag: TypeAlias = Annotated[bool, BeforeValidator(_flag), WithJsonSchema({"type": "boolean"})]
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
