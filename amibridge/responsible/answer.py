"""Who should take a call, as it is answered. A closed union: somebody, or nobody and why. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from amibridge.calls.record import Extension


class Because(StrEnum):
    """Why somebody should take it."""

    RESPONSIBLE = "responsible"
    LAST_CALL = "last_call"


class Why(StrEnum):
    """Why nobody should, so that the call goes its normal way."""

    NO_NUMBER = "no_number"
    """The caller hides his number, or it is no public one."""
    UNKNOWN_CUSTOMER = "unknown_customer"
    NO_MANAGER = "no_manager"
    """Nobody looks after this customer."""
    NO_EXTENSION = "no_extension"
    """Whoever does has no extension that we may dial."""
    BUSY = "busy"
    DINNER = "dinner"
    BREAK = "break"
    NOT_TOLD = "not_told"
    """The CRM has not said: it was not asked, or did not answer in time."""


@dataclass(frozen=True, slots=True)
class Somebody:
    """*operator*: his name, for people."""

    extension: Extension
    because: Because
    operator: str | None = None


@dataclass(frozen=True, slots=True)
class Nobody:
    why: Why


Verdict: TypeAlias = Somebody | Nobody


@dataclass(frozen=True, slots=True)
class Answer:
    """*shown*: the name for the operator's phone, empty if there is none. *customer*: the caller's own, if known."""

    verdict: Verdict
    shown: str = ""
    customer: str | None = None

    @property
    def extension(self) -> Extension | None:
        return self.verdict.extension if isinstance(self.verdict, Somebody) else None

    @property
    def operator(self) -> str | None:
        return self.verdict.operator if isinstance(self.verdict, Somebody) else None

    @property
    def reason(self) -> Because | Why:
        return self.verdict.because if isinstance(self.verdict, Somebody) else self.verdict.why
