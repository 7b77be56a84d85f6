"""The tables: which change of a leg or of a call is which fact. docs/calls.md has them as pictures.

Laws: every pair of states that real traffic produces is listed; None means "nothing to say"; a pair that is not
listed is an anomaly, recorded and never raised, for Asterisk is the witness and cannot be refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from amibridge.calls.model import Phase, Presence


class Edge(StrEnum):
    """What a change means. The board makes the fact of it."""

    RANG = "rang"
    STOPPED = "stopped"
    JOINED = "joined"
    LEFT = "left"
    ANSWERED = "answered"
    ENDED = "ended"


_NEW, _RINGING, _UP, _TALKING, _ASIDE, _GONE = Presence

CALLEE_EDGES: Mapping[tuple[Presence, Presence], Edge | None] = {
    (_NEW, _RINGING): Edge.RANG,
    (_NEW, _UP): None,  # picked up without ringing: auto-answer, or the ring was not seen
    (_NEW, _TALKING): Edge.JOINED,
    (_NEW, _ASIDE): None,  # first seen in a snapshot, past unknown
    (_NEW, _GONE): None,
    (_RINGING, _UP): None,
    (_RINGING, _TALKING): Edge.JOINED,
    (_RINGING, _ASIDE): None,  # answered while the link was down
    (_RINGING, _GONE): Edge.STOPPED,
    (_UP, _TALKING): Edge.JOINED,
    (_UP, _ASIDE): None,
    (_UP, _GONE): Edge.STOPPED,  # picked up, but the customer had left: the popup must close
    (_TALKING, _ASIDE): Edge.LEFT,  # consults, transferred, parked the customer
    (_TALKING, _GONE): Edge.LEFT,
    (_ASIDE, _TALKING): Edge.JOINED,
    (_ASIDE, _GONE): None,
}

CALLER_EDGES: Mapping[tuple[Presence, Presence], Edge | None] = {
    **CALLEE_EDGES,
    (_UP, _GONE): None,  # he took it, and the customer did not
}
"""The operator who placed the call; only a click rings his own phone."""

CALL_EDGES: Mapping[tuple[Phase, Phase], Edge | None] = {
    (Phase.WAITING, Phase.RINGING): None,
    (Phase.WAITING, Phase.TALKING): Edge.ANSWERED,
    (Phase.WAITING, Phase.ENDED): Edge.ENDED,
    (Phase.RINGING, Phase.WAITING): None,
    (Phase.RINGING, Phase.TALKING): Edge.ANSWERED,
    (Phase.RINGING, Phase.ENDED): Edge.ENDED,
    (Phase.TALKING, Phase.WAITING): None,
    (Phase.TALKING, Phase.RINGING): None,
    (Phase.TALKING, Phase.ENDED): Edge.ENDED,
}
"""`ANSWERED` is said once: a later conversation of the same call is a stretch, told by who joins."""
