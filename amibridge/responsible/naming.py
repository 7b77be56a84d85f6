"""What an operator's phone shows of a caller, and the context of the dialplan that rings his manager. Pure.

Law: what is shown passes through dialplans that know neither JSON nor quoting, so nothing in it may end a word there.
"""

from __future__ import annotations

import re
import unicodedata
from typing import assert_never

from amibridge.calls.record import Extension
from amibridge.enterprises import Enterprise, Line, NamePart
from amibridge.responsible.decision import Known

LONGEST = 100
"""Characters of a name that is shown."""

BETWEEN = " | "

_ENDS_A_WORD = frozenset(',"\\<>{}$`;')
_LINE_ID = re.compile(r"[0-9A-Za-z_-]{1,40}")
_CONTEXT = re.compile(r"[0-9A-Za-z_-]{1,79}")
"""Asterisk cuts the name of a context off at 79 characters."""


def shown(enterprise: Enterprise, line: str | None, known: Known) -> str:
    """The parts that the enterprise wants and that are known, in its order."""
    ours = line_of(enterprise, line)
    parts = (tidy(_part(part, enterprise, ours, known)) for part in enterprise.responsible.name)
    return BETWEEN.join(part for part in parts if part)[:LONGEST].rstrip(" |")


def tidy(text: str | None) -> str:
    """*text* on one line, without what would end a word in a dialplan."""
    if text is None:
        return ""
    plain = "".join(" " if char in _ENDS_A_WORD or unicodedata.category(char)[0] == "C" else char for char in text)
    return " ".join(plain.split())


def dialplan(enterprise: Enterprise, extension: Extension, line: str) -> str | None:
    """Where the legacy dialplan goes for *extension*; None when that can be no context."""
    if _LINE_ID.fullmatch(line) is None:
        return None
    context = enterprise.responsible.dialplan.replace("{extension}", extension).replace("{line}", line)
    return context if _CONTEXT.fullmatch(context) else None


def line_of(enterprise: Enterprise, line: str | None) -> Line | None:
    """Of ours the one that is meant, with or without a plus."""
    return None if line is None else enterprise.lines.get(line) or enterprise.lines.get(line.lstrip("+ "))


def _part(part: NamePart, enterprise: Enterprise, line: Line | None, known: Known) -> str | None:
    match part:
        case NamePart.LINE:
            return line.name if line is not None else None
        case NamePart.CUSTOMER:
            return known.name
        case NamePart.SHOP:
            ours = line.site if line is not None else None
            return ours or (known.customer.site if known.customer is not None else None) or enterprise.account.site
        case _ as never:
            assert_never(never)
