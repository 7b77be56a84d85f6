"""Which caller ID names are names of people or companies, and not a number, a line, or a carrier's word for nothing."""

from __future__ import annotations

import re
import unicodedata

from amibridge.calls.phones import WITHHELD

LONGEST = 100
"""Characters of a name that is kept."""

_WORDLESS = re.compile(r"[\W\d_]*")
_NUMBER_IN_IT = re.compile(r"\d(?:[\s().\-]*\d){4}")
"""Five digits in a row, however they are grouped: ``Sales 4951112233`` is a line."""

_CARRIERS_WORDS = frozenset(
    {"asterisk", "cell phone", "cid", "mobile", "mobile caller", "no name", "noname", "out of area", "sip", "test",
     "toll free caller", "trunk", "unknown caller", "unknown name", "unknown number", "v", "wireless caller",
     "аноним", "мобильный", "неизвестно", "неизвестный", "скрыт", "скрытый номер"}
)  # fmt: skip


def name_of(shown: str | None) -> str | None:
    """*shown*, tidied, if it is a name; None if not. Of whatever a PBX shows: control characters never stay."""
    if shown is None:
        return None
    printable = "".join(char if unicodedata.category(char)[0] != "C" else " " for char in shown)
    name = " ".join(printable.split()).strip("\"'<>").strip()[:LONGEST]
    if len(name) < 2 or _WORDLESS.fullmatch(name) or _NUMBER_IN_IT.search(name):
        return None
    return None if name.lower() in _CARRIERS_WORDS | WITHHELD else name
