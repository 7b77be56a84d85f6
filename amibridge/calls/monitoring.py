"""Listening in on an operator: what somebody may ask for, what is refused and answered.

Laws: only phones of the enterprise's own listen in, and only on its own people; nobody on himself, on a call in which
he talks, or on somebody who listens in. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from amibridge.calls.conversations import Conversation
from amibridge.calls.record import CallId, Extension

EVERY = "ubqES"
"""ChanSpy's options whatever is wanted: this very channel and no other that is named alike, which keys cannot change
either; only if it talks with somebody as the phone is taken; without a beep; and over when the channel is gone."""


class Mode(StrEnum):
    """*listen*: heard by nobody. *whisper*: heard by the operator alone. *barge*: heard by both."""

    LISTEN = "listen"
    WHISPER = "whisper"
    BARGE = "barge"

    @property
    def code(self) -> str:
        """What people dial for it, and the older service was asked by."""
        return _CODES[self]

    @property
    def shown(self) -> str:
        """On the supervisor's display."""
        return _SHOWN[self]

    @property
    def options(self) -> str:
        return EVERY + _OPTIONS[self]


_CODES = {Mode.LISTEN: "09", Mode.WHISPER: "01", Mode.BARGE: "02"}
_SHOWN = {Mode.LISTEN: "Прослушивание", Mode.WHISPER: "Подсказка оператору", Mode.BARGE: "Вмешательство в разговор"}
_OPTIONS = {Mode.LISTEN: "", Mode.WHISPER: "w", Mode.BARGE: "B"}


class Why(StrEnum):
    """Why it is refused, beside what `clicks.Why` has: a code that programs may compare."""

    NOT_A_SUPERVISOR = "not_a_supervisor"
    HIMSELF = "himself"
    NO_CALL = "no_call"
    SEVERAL = "several_calls"
    IN_THAT_CALL = "in_that_call"
    LISTENS_ALREADY = "already_listening"
    NOT_TWO = "not_two"


class MonitoringRefused(Exception):
    """Ask for something else, or at another time: one sentence for whoever asked."""

    def __init__(self, why: Why, sentence: str) -> None:
        super().__init__(sentence)
        self.why = why


class MonitoringFailed(Exception):
    """Look at the PBX: one sentence. *placed*: the phone may ring all the same."""

    def __init__(self, sentence: str, *, placed: bool = False) -> None:
        super().__init__(sentence)
        self.placed = placed


@dataclass(frozen=True, slots=True)
class Wanted:
    """As it was asked for: the phone *from_* is to hear *target*. *call*: in which of several conversations."""

    mode: Mode
    target: str
    from_: str
    call: str | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """The supervisor's phone rings. *call*: which is listened in on. *channel*: the operator's. *host*: its address."""

    mode: Mode
    call: CallId
    channel: str
    host: str
    target: Extension
    from_: Extension
    took: timedelta


def mode_of(action: str) -> Mode | None:
    """By its name or by its code."""
    return next((mode for mode in Mode if action in (mode, mode.code)), None)


def may_listen(target: Extension, from_: Extension, supervisors: Sequence[Extension]) -> None:
    """*supervisors*: those who may, where the enterprise names any. Raises MonitoringRefused."""
    if supervisors and from_ not in supervisors:
        raise MonitoringRefused(Why.NOT_A_SUPERVISOR, "This extension is not one that may listen in.")
    if target == from_:
        raise MonitoringRefused(Why.HIMSELF, "Nobody listens in on himself.")


def may_join(mode: Mode, conversation: Conversation, own: Sequence[Conversation], *, listens_already: bool) -> None:
    """*own*: what the supervisor himself talks in. Raises MonitoringRefused."""
    if listens_already:
        raise MonitoringRefused(Why.LISTENS_ALREADY, "This phone listens in already, or rings to do so; hang up first.")
    if any(one.call == conversation.call for one in own):
        raise MonitoringRefused(Why.IN_THAT_CALL, "The supervisor talks in that call himself.")
    if mode is Mode.BARGE and not conversation.of_two:
        raise MonitoringRefused(Why.NOT_TWO, "Only a conversation of two is barged in on; whisper, or listen.")
