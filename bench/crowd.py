"""Thousands of deliveries that are due, put into the table as the recorder would have put them: one call, renamed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import asyncpg

from amibridge.ami.session import Reply, Session
from amibridge.calls.board import Board
from amibridge.calls.facts import AnyFact, CallEnded, FactKey, OperatorRang
from amibridge.calls.record import CallId
from amibridge.enterprises import EnterpriseId, HostName
from amibridge.sandbox.library import TRACES
from amibridge.store.ledger import HeardFact, Ledger

MISSED = TRACES / "asterisk22" / "c_inbound_noanswer_timeout.ami"
HOST = HostName("crowd")
BATCH = 1_000

STRANGERS = 6
"""Numbers that all these calls come from."""


def stranger(number: int) -> str:
    return f"+7916555{number % STRANGERS:04}"


def missed(number: int) -> AnyFact:
    """A call that is over and that nobody took: history, and an errand."""
    fact = next(fact for fact in _recorded() if isinstance(fact, CallEnded))
    call, phone = CallId(f"{HOST}:missed{number}"), stranger(number)
    record = replace(fact.record, call_id=call, external_number=phone, phone=phone)
    brief = replace(fact.brief, external_number=phone, phone=phone)
    return replace(fact, key=FactKey(f"ended:{call}"), call=call, brief=brief, record=record)


def ringing(number: int) -> AnyFact:
    """A phone that rings, and of which nobody will hear any more: a popup."""
    fact = next(fact for fact in _recorded() if isinstance(fact, OperatorRang))
    call = CallId(f"{HOST}:ringing{number}")
    return replace(fact, key=FactKey(f"rang:{call}"), call=call)


async def put(
    pool: asyncpg.Pool[asyncpg.Record],
    enterprise: str,
    fact: Callable[[int], AnyFact],
    facts: int,
    *,
    age: timedelta = timedelta(),
) -> int:
    """How many deliveries they made. *age*: since when they are known."""
    heard_at = datetime.now(UTC) - age
    heard = [HeardFact(EnterpriseId(enterprise), HOST, fact(number), heard_at) for number in range(facts)]
    rows = 0
    for start in range(0, len(heard), BATCH):
        rows += len(await Ledger(pool).record(heard[start : start + BATCH]))
    return rows


@cache
def _recorded() -> Sequence[AnyFact]:
    session, board = Session(), Board(HOST)
    received = session.receive_data(MISSED.read_bytes())
    return [fact for one in received if not isinstance(one, Reply) for fact in board.apply(one)]
