"""A transfer that somebody asks for: an operator's customer is to go to somebody else. What is asked and answered.

Laws: only an operator of the enterprise's own hands on, and only to an extension of its own or a public number; what
is refused changes nothing. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from amibridge.calls.clicks import ClickRefused, Dialling, asked_extension, asked_number, dialled
from amibridge.calls.numbering import Numbering
from amibridge.calls.record import CallId, Extension


class Step(StrEnum):
    """*blind*: at once. *attended*: he asks first, then ends it by *complete* or *cancel*, or by hanging up."""

    BLIND = "blind"
    ATTENDED = "attended"
    COMPLETE = "complete"
    CANCEL = "cancel"

    @property
    def has_target(self) -> bool:
        return self in (Step.BLIND, Step.ATTENDED)


class Why(StrEnum):
    """Why a transfer, parking or fetching is refused, beside what `clicks.Why` has: a code for programs to compare."""

    NO_CALL = "no_call"
    SEVERAL = "several_calls"
    CONSULTING = "already_consulting"
    NOT_CONSULTING = "not_consulting"
    BUSY = "busy"
    TO_HIMSELF = "to_himself"
    NOT_KEYS = "not_on_keys"
    NOT_TWO = "not_two"
    NO_TIMEOUT = "not_a_timeout"
    NO_SPACE = "not_a_space"
    ONE_PLACE = "one_place"
    NOT_RINGING = "not_ringing"
    NOT_PARKED = "not_parked"
    GONE = "gone_meanwhile"
    NOT_TAKEN = "not_taken"


class TransferRefused(Exception):
    """Ask for something else, or at another time: one sentence for whoever asked."""

    def __init__(self, why: Why, sentence: str) -> None:
        super().__init__(sentence)
        self.why = why


class TransferFailed(Exception):
    """Look at the PBX: one sentence."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A step as it was asked for. *to*: empty where a step has no target. *call*: in which of several conversations."""

    step: Step
    from_: str
    to: str = ""
    call: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What the PBX did of it. *host*: its address. *to*: as it is dialled, empty where a step has no target."""

    step: Step
    call: CallId
    host: str
    from_: Extension
    to: str
    took: timedelta


@dataclass(frozen=True, slots=True)
class Target:
    """An extension, or a public *number* in its own form, which is *phone* in E.164."""

    extension: Extension | None = None
    number: str = ""
    phone: str = ""

    def dialled(self, how: Dialling, region: str) -> str:
        return self.extension or dialled(how, self.number, self.phone, region)


def asked_target(to: str, operators: Container[Extension], plans: Sequence[Numbering], region: str) -> Target:
    """Raises ClickRefused."""
    try:
        return Target(asked_extension(to, operators, plans))
    except ClickRefused:
        number, phone = asked_number(to, region)
        return Target(None, number, phone)


def on_keys(exten: str) -> str:
    """*exten*, which an attended transfer presses on a phone's keys. Raises TransferRefused."""
    if _KEYS.fullmatch(exten) is None:
        raise TransferRefused(Why.NOT_KEYS, "An attended transfer presses keys: digits, * and # alone, and no plus.")
    return exten


_KEYS = re.compile(r"[0-9*#]+")
