"""Telephone numbers: E.164 from what a PBX shows, by the habits of the enterprise's region.

Laws: what cannot be a public number stays None (extensions, service codes, withheld callers); a number is never
guessed from fewer digits than a number of its country has; no country but the region's own is read into a number
that is not written internationally, save the trunk calls across the border of RU, BY and KZ.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneMetadata

WITHHELD = frozenset(
    {
        "", "s", "o", "p", "asterisk", "anonymous", "anonymous caller", "unknown", "unknown caller", "restricted",
        "private", "private number", "private caller", "withheld", "number withheld", "unavailable", "not available",
        "blocked", "hidden", "hidden number", "no number", "no caller id", "out of area", "invalid", "null", "none",
        "аноним", "анонимно", "анонимный", "анонимный номер", "скрыт", "скрытый", "скрытый номер", "номер скрыт",
        "неизвестен", "неизвестно", "неизвестный", "неизвестный номер", "номер неизвестен", "не определен",
        "неопределен", "номер не определен", "номер неопределен", "недоступен", "закрытый номер",
        "схаваны", "схаваны нумар", "невядомы", "невядомы нумар", "анонім", "приховано", "прихований",
        "прихований номер", "невідомо", "невідомий", "невідомий номер", "жасырын", "жасырын нөмір", "белгісіз",
        "anonym", "unbekannt", "unterdrückt", "prywatny", "zastrzeżony", "numer zastrzeżony", "nieznany",
    }
)  # fmt: skip
"""What PBXs, gateways and carriers write instead of a number that its owner hides, in the form of `_plainly`. ``o``
and ``p`` are Caller ID's own letters for "out of area" and "private", ``asterisk`` is chan_sip's default caller."""

LONGEST = 64
"""Characters of a caller ID that may be a number: no writing of the 15 digits of E.164 is longer."""

SHORTEST_WITH_PREFIX = 8
"""Digits, prefix included, where lengths differ: an area code of three and a subscriber's number of four."""

ACROSS_THE_BORDER = ("RU", "BY", "KZ")
"""Regions whose carriers pass each other's trunk calls on as they were dialled: `8029…` and `8916…`."""

TRUNK_EIGHT = frozenset({"AM", "AZ", "BY", "GE", "KG", "KZ", "MD", "RU", "TJ", "TM", "UA", "UZ"})
"""Where 8 was or is dialled before an area code, and 810 before a country code."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """A region's numbering: its trunk *prefix*, its country *code*, and the *length* of its numbers if there is one."""

    prefix: str
    code: str
    length: int | None

    def is_whole(self, digits: str) -> bool:
        """Whether nothing of a national number can be missing from *digits*."""
        if self.length is not None:
            return len(digits) >= self.length
        return len(digits) >= SHORTEST_WITH_PREFIX and digits.startswith(self.prefix)


def in_plain_characters(text: str) -> str:
    """*text* with the digits, blanks and dashes of any script as ours, and no blanks around it."""
    return "".join(map(_plain_character, text)).strip()


def shown(number: str | None) -> str | None:
    """*number* (or name) as the PBX saw it, or None when its owner withheld it."""
    return None if number is None or (len(number) <= LONGEST and _is_withheld(number)) else number


def to_e164(number: str | None, region: str) -> str | None:
    """``+79161234567`` for any usual way to write it in *region*, or None if it cannot be a public number."""
    return None if number is None or len(number) > LONGEST else _to_e164(number, region)


def national(phone: str, region: str) -> str:
    """*phone* (E.164) as somebody in *region* dials it: ``89161112233`` in RU, and ``810375291234567`` abroad."""
    written = phonenumbers.format_out_of_country_calling_number(phonenumbers.parse(phone), region)
    return re.sub("[^0-9]", "", written)


@lru_cache(maxsize=16_384)
def _to_e164(number: str, region: str) -> str | None:
    written = _NUMBER.fullmatch(_number_in(number))
    if written is None:
        return None
    digits = re.sub("[^0-9]", "", written["digits"])
    readings = _international(digits, region) if written["plus"] else _as_dialled(digits, region)
    return next((found for text, where in readings if (found := _parse(text, where))), None)


@lru_cache(maxsize=16_384)
def _is_withheld(number: str) -> bool:
    plain = _plainly(number)
    return plain in WITHHELD or not plain.strip("0 ")


def _plainly(number: str) -> str:
    """Small letters with single blanks: what is left when gateways have put their marks around a word."""
    user = _SCHEME.sub("", number.strip(" \t\"'<>")).partition("@")[0]
    return " ".join(re.sub(r"[\"'<>+_.\-]", " ", user).casefold().replace("ё", "е").split())


def _number_in(text: str) -> str:
    """The part of *text* that may be a number, in ASCII digits: no scheme, host, parameters or extension."""
    text = _SCHEME.sub("", in_plain_characters(text))
    return _EXTENSION.sub("", re.split("[@;]", text, maxsplit=1)[0]).strip()


def _plain_character(char: str) -> str:
    """A digit of any script as ours, any blank or dash as a blank, and nothing for the invisible marks of direction
    that copied numbers carry."""
    match unicodedata.category(char):
        case "Nd":
            return str(unicodedata.decimal(char))
        case "Zs" | "Pd":
            return " "
        case "Cf":
            return ""
        case _:
            return "+" if char == "\N{FULLWIDTH PLUS SIGN}" else char


def _international(digits: str, region: str) -> Iterator[tuple[str, str | None]]:
    """Ways to read what follows a plus: some gateways put one before whatever they are given."""
    yield "+" + digits, None
    if digits.startswith("00"):
        yield "+" + digits[2:], None
    elif digits.startswith("8") and region in TRUNK_EIGHT:
        yield from _as_dialled(digits, region)


def _as_dialled(digits: str, region: str) -> Iterator[tuple[str, str | None]]:
    """Ways to read a number without a plus, the likeliest first.

    Where national numbers have no one length, only what begins with the trunk prefix or the country's own code can be
    told: the rest may lack its area code, or be another country's.
    """
    plan = _plan_of(region)
    if plan.is_whole(digits):
        yield digits, region
    if len(digits) < 10:
        return
    if region in TRUNK_EIGHT and digits.startswith("810"):
        yield "+" + digits[3:], None
    elif digits.startswith("00"):
        yield "+" + digits[2:], None
    elif digits.startswith("8") and len(digits) <= 11:
        # A trunk call, and not one from Vietnam or Japan.
        if region in ACROSS_THE_BORDER and len(digits) == 11:
            yield from ((digits, neighbour) for neighbour in ACROSS_THE_BORDER)
        elif region in TRUNK_EIGHT:
            yield digits[1:], region
    elif len(digits) >= 11 and (plan.length is not None or digits.startswith(plan.code)):
        yield "+" + digits, None


@lru_cache(maxsize=256)
def _plan_of(region: str) -> _Plan:
    country = PhoneMetadata.metadata_for_region(region, None)
    if country is None or country.mobile is None:
        return _Plan("unknown", "unknown", None)
    lengths = country.mobile.possible_length
    length = lengths[0] if len(lengths) == 1 else None
    return _Plan(country.national_prefix or "0", str(country.country_code), length)


def _parse(text: str, region: str | None) -> str | None:
    try:
        parsed = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(parsed):
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


_SCHEME = re.compile(r"^(?:tel|sips?):", re.IGNORECASE)
_EXTENSION = re.compile(r"\s*(?:#|[,x]|ext\.?|доб\.?|вн\.?)\s*[0-9]{0,7}#?$", re.IGNORECASE)
_NUMBER = re.compile(r"(?P<plus>\+)?(?P<digits>[0-9 ()./~]*)")
