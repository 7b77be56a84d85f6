"""Telephone numbers: E.164 from what a PBX shows, by the habits of the enterprise's region.

Laws: what cannot be a public number stays None (extensions, service codes, withheld callers); a number is never
guessed from fewer digits than a number of its country has.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import phonenumbers

WITHHELD = frozenset(
    {"", "<unknown>", "unknown", "anonymous", "restricted", "private", "withheld", "unavailable", "blocked", "s"}
)
"""What PBXs and carriers write instead of a number that its owner hides."""

NEIGHBOURS = ("RU", "BY", "KZ", "UA")
"""Regions whose national forms reach each other's PBXs: carriers pass `8029…` and `8916…` across the border."""


def shown(number: str | None) -> str | None:
    """*number* as the PBX saw it, or None when its owner withheld it."""
    return None if number is None or number.strip().lower() in WITHHELD else number


@lru_cache(maxsize=16_384)
def to_e164(number: str | None, region: str) -> str | None:
    """``+79161234567`` for any usual way to write it in *region*, or None if it cannot be a public number."""
    if shown(number) is None or number is None:
        return None
    return next((found for text, where in _readings(number, region) if (found := _parse(text, where))), None)


def _readings(number: str, region: str) -> Iterator[tuple[str, str | None]]:
    """Ways to read *number*, the likeliest first."""
    yield number, region
    text = number.partition(";")[0].removeprefix("tel:").removeprefix("sip:").partition("@")[0]
    digits = "".join(char for char in text if char.isdigit() and char.isascii())
    if text.strip().startswith("+"):
        yield "+" + digits, None
    elif len(digits) >= 11:
        for prefix in ("810", "00"):
            if digits.startswith(prefix):
                yield "+" + digits.removeprefix(prefix), None
        # Eleven digits after an 8 are a neighbour's trunk call, not a call to Vietnam.
        national = [(digits, neighbour) for neighbour in NEIGHBOURS]
        international = [("+" + digits, None)]
        trunk_call = len(digits) == 11 and digits.startswith("8")
        yield from (national + international if trunk_call else international + national)
    elif len(digits) >= 9:
        yield digits, region


def _parse(text: str, region: str | None) -> str | None:
    try:
        parsed = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(parsed):
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
