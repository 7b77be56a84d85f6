"""How the sandbox PBX misbehaves on request: each mischief is what some real PBX or network did to somebody."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

GREETING = b"Asterisk Call Manager/11.0.0\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mischief:
    """Holds for every connection until it is changed; what cuts or freezes one strikes once and is then used up."""

    greeting: bytes = GREETING
    """Said first: what another service says, or nothing."""

    close_at_login: bool = False
    """The login is answered by the end of the connection."""

    refuses: frozenset[str] = frozenset()
    """Actions that this user may not do."""

    ignores: frozenset[str] = frozenset()
    """Actions that are never answered."""

    boots: bool = True
    """False: the user lacks the read class `system`, so nobody tells it FullyBooted."""

    stamps: bool = True
    """False: `timestampevents` is off."""

    ahead: timedelta = timedelta(0)
    """How far its clock is ahead of the truth, as a Pong tells it."""

    answers_after: timedelta = timedelta(0)
    """How long each answer takes."""

    piece: int = 65536
    """The longest segment that is written at once, in bytes."""

    garbage: bytes = b""
    """Said before every event."""

    cut_after_bytes: int | None = None
    """The connection ends when it has carried so many bytes."""

    cut_at_event: int | None = None
    """The connection ends in the middle of its so-manieth event."""

    freeze_at_event: int | None = None
    """From this event on the PBX is mute and deaf, and keeps the connection: half-open."""
