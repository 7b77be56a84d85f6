"""Facts as rows: JSON that PostgreSQL takes and that comes back as the same fact.

Laws: lossless, but for NUL, which PostgreSQL cannot store and which becomes U+FFFD; a key that an older version of us
does not know is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import TypeAdapter

from amibridge.calls.facts import (
    AnyFact,
    CallAnswered,
    CallEnded,
    CallHeld,
    CallMerged,
    CallResumed,
    CallStarted,
    CallTransferred,
    CustomerRang,
    OperatorJoined,
    OperatorLeft,
    OperatorRang,
    OperatorStopped,
    RecordingStarted,
)

FACT_TYPES: Mapping[str, type[AnyFact]] = {
    "call.incoming": CallStarted,
    "call.outgoing": CallStarted,
    "call.internal": CallStarted,
    "call.answered": CallAnswered,
    "call.held": CallHeld,
    "call.resumed": CallResumed,
    "call.transferred": CallTransferred,
    "call.merged": CallMerged,
    "call.finished": CallEnded,
    "call.missed": CallEnded,
    "customer.rang": CustomerRang,
    "operator.rang": OperatorRang,
    "operator.stopped": OperatorStopped,
    "operator.joined": OperatorJoined,
    "operator.left": OperatorLeft,
    "recording.started": RecordingStarted,
}
"""The word in a row's ``kind`` and the fact it stands for."""

_ADAPTERS: Mapping[type[AnyFact], TypeAdapter[AnyFact]] = {
    fact_type: TypeAdapter(fact_type) for fact_type in dict.fromkeys(FACT_TYPES.values())
}

_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


class UnknownKind(ValueError):
    """A row of a newer version: leave it to that version."""


def encode_fact(fact: AnyFact) -> str:
    """The fact as the JSON text of a row's body."""
    text = _ADAPTERS[type(fact)].dump_json(fact).decode()
    return _ESCAPED_NUL.sub(r"\1\\ufffd", text) if r"\u0000" in text else text


def decode_fact(kind: str, body: str) -> AnyFact:
    """The fact of a row. Raises UnknownKind, and ValueError for a body that is no such fact."""
    fact_type = FACT_TYPES.get(kind)
    if fact_type is None:
        raise UnknownKind(kind)
    return _ADAPTERS[fact_type].validate_json(body)


def storable(text: str) -> str:
    """*text* as PostgreSQL can keep it."""
    return text.replace("\x00", "\ufffd") if "\x00" in text else text
