"""A click: somebody asks that an operator's phone be rung and then a customer's. What is asked, refused and answered.

Laws: only an extension of the enterprise's own and only a public number get further; what is dialled is digits and at
most one plus before them; a refusal says in a sentence what would be right, and never repeats what it was given. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import assert_never

from amibridge.calls.numbering import Numbering
from amibridge.calls.phones import LONGEST, in_plain_characters, national, to_e164
from amibridge.calls.record import CallId, Extension

LONGEST_EXTENSION = 64

LONGEST_NAME = 40
"""Characters of a name that a phone can show."""


class Why(StrEnum):
    """Why a click is refused: a code that programs may compare."""

    UNKNOWN_EXTENSION = "unknown_extension"
    NO_NUMBER = "not_a_number"
    KEY_USED = "idempotency_key_used"
    PREFETCH = "prefetch"


class Dialling(StrEnum):
    """How a dialplan wants the number of a click: as whoever clicked wrote it, or in one form whoever wrote it.

    ``+79161112233``, ``79161112233``, or as somebody in the enterprise's country dials: ``89161112233``, and
    ``810375291234567`` abroad.
    """

    AS_GIVEN = "as_given"
    E164 = "e164"
    DIGITS = "digits"
    NATIONAL = "national"


class ClickRefused(Exception):
    """Ask for something else: one sentence for whoever asked. *smells*: nobody writes that by mistake."""

    def __init__(self, why: Why, sentence: str, *, smells: bool = False) -> None:
        super().__init__(sentence)
        self.why = why
        self.smells = smells


class ClickFailed(Exception):
    """Ask again later, or mend the PBX: one sentence. *placed*: it may have been called all the same."""

    def __init__(self, sentence: str, *, placed: bool = False) -> None:
        super().__init__(sentence)
        self.placed = placed


@dataclass(frozen=True, slots=True)
class Click:
    """What was asked, as it came: *code*, the operator's extension; *phone*, the customer's number.

    *line*: our number that the customer should see, if one was named. *key*: by which it is known when it comes again.
    *way*: how it came, for the log.
    """

    code: str
    phone: str
    way: str
    line: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """A call that Asterisk has taken on. *host*: its address. *number*: as it is dialled; *phone*: the same in E.164.
    *name*, *customer*: whose it is in the CRM, if that is known. *took*: from the request to Asterisk's answer."""

    call: CallId
    host: str
    extension: Extension
    number: str
    phone: str
    name: str | None
    customer: int | None
    took: timedelta


def asked_extension(code: str, operators: Container[Extension], plans: Sequence[Numbering]) -> Extension:
    """The extension *code*: one of the *operators*, or what one looks like on a host. Raises ClickRefused."""
    extension = Extension(code.strip())
    is_one = _EXTENSION.fullmatch(extension) and (
        extension in operators or any(plan.extension_in(extension) == extension for plan in plans)
    )
    if not is_one:
        smells = len(extension) > LONGEST_EXTENSION or _SMELL.search(extension) is not None
        raise ClickRefused(Why.UNKNOWN_EXTENSION, "There is no such extension.", smells=smells)
    return extension


def asked_number(phone: str, region: str) -> tuple[str, str]:
    """What to dial for *phone*, in its own form, and the same in E.164. Raises ClickRefused.

    A plus that was not encoded arrives as a blank, and is not missed. Extensions, service numbers and feature codes are
    no customer's.
    """
    text = in_plain_characters(phone[: LONGEST + 1])
    e164 = to_e164(text, region) if _NUMBER.fullmatch(text) else None
    if e164 is None:
        smells = len(phone) > LONGEST or _SMELL.search(text) is not None
        raise ClickRefused(Why.NO_NUMBER, "The phone must be a public telephone number.", smells=smells)
    plus = "+" if text.startswith("+") else ""
    return plus + re.sub(r"[^0-9]", "", text), e164


def dialled(how: Dialling, number: str, phone: str, region: str) -> str:
    """What is dialled for *number*, which is *phone* (E.164)."""
    match how:
        case Dialling.AS_GIVEN:
            return number
        case Dialling.E164:
            return phone
        case Dialling.DIGITS:
            return phone.removeprefix("+")
        case Dialling.NATIONAL:
            return national(phone, region)
        case _ as never:
            assert_never(never)


def name_to_show(name: str) -> str | None:
    """*name* without what a phone or a dialplan could stumble over; None when nothing is left of it."""
    plain = " ".join(_UNSHOWN.sub(" ", name).split())
    return plain[:LONGEST_NAME].rstrip() or None


def number_to_show(number: str) -> str | None:
    """The same of a number."""
    return re.sub(r"[^0-9A-Za-z+*#]", "", number)[:LONGEST] or None


_EXTENSION = re.compile(rf"[0-9A-Za-z_.*#+-]{{1,{LONGEST_EXTENSION}}}")
_NUMBER = re.compile(r"\+?[0-9 ().-]+")
_SMELL = re.compile(r"[^\w .*#+()-]")
"""What no number and no extension is written with, in whatever script: line breaks, NUL, `${}`, `&`, `/`, `@`."""
_UNSHOWN = re.compile(r"[^\w '.’-]")
