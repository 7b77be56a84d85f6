"""The ledger: what hosts say is written down once, with everything that hangs on it, in one transaction.

Laws: the first of two facts with one key is kept, so writing a batch twice is harmless; a delivery exists only for a
fact that was really inserted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import structlog

from amibridge.calls.facts import AnyFact, CallEnded, CallMerged, FactKey
from amibridge.calls.notices import HISTORY, NoticeKind, notices_of, wished_notices_of
from amibridge.calls.record import CallId
from amibridge.enterprises import EnterpriseId, HostName
from amibridge.store.anomalies import HeardAnomaly, record_anomalies
from amibridge.store.codec import decode_fact, encode_fact, storable
from amibridge.store.db import load_queries
from amibridge.store.outbox import Delivery

log = structlog.get_logger()

SQL = load_queries(__file__)

LONGEST_KEY = 500
"""Letters of a key that is set aside: an index of PostgreSQL takes 2704 bytes, and such a key may be why."""


SAME_CALL = timedelta(minutes=5)
"""Two runs of us that saw the end of one call have said so within that time."""


@dataclass(frozen=True, slots=True)
class HeardFact:
    """A fact and where it was said. *heard_at* is of our clock: it is due since then, and fresh from there."""

    enterprise: EnterpriseId
    host: HostName
    fact: AnyFact
    heard_at: datetime


class Ledger:
    """Writes facts through *pool*; raises asyncpg's errors, for the recorder knows what to do about each."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def record(self, heard: Sequence[HeardFact]) -> list[Delivery]:
        """Write the batch; the deliveries that it made, in the order of their facts."""
        heard = _first_of_each_key(heard)
        rows = await self._pool.fetch(
            SQL["record_facts"],
            *_fact_columns(heard),
            *_live_columns(heard),
            *_over_columns(heard),
            json.dumps(list(_verdicts(heard))),
            json.dumps(list(_attempts(heard))),
            *_delivery_columns(heard),
            max((one.heard_at for one in heard), default=None),
        )
        deliveries = _deliveries(rows, heard)
        await self._ask_about_lost_verdicts(heard, deliveries)
        return deliveries

    async def due_of(self, heard: Sequence[HeardFact]) -> list[Delivery]:
        """The deliveries of *heard* that are due, whoever wrote them."""
        heard = _first_of_each_key(heard)
        enterprises, hosts, keys, *_ = _fact_columns(heard)
        return _deliveries(await self._pool.fetch(SQL["due_of_facts"], enterprises, hosts, keys), heard)

    async def facts_of_live_calls(self, enterprise: EnterpriseId, host: HostName) -> list[AnyFact]:
        """What an earlier run said of the calls of this host that it did not see ending, as far as we understand it."""
        facts: list[AnyFact] = []
        for row in await self._pool.fetch(SQL["facts_of_live_calls"], enterprise, host):
            try:
                facts.append(decode_fact(row["kind"], row["body"]))
            except ValueError:
                log.warning("fact_unreadable", enterprise=enterprise, host=host, call=row["call_id"], kind=row["kind"])
        return facts

    async def _ask_about_lost_verdicts(self, heard: Sequence[HeardFact], made: Sequence[Delivery]) -> None:
        """A verdict that was there already is mostly the same one, heard again. One that is older than its call is
        another call's with the same id, and this one is not told."""
        told = {(one.enterprise, one.host, one.fact.key) for one in made if one.kind is NoticeKind.HISTORY}
        lost = [one for one in heard if HISTORY in notices_of(one.fact) and _place(one) not in told]
        if not lost:
            return
        since = {
            (row["enterprise_id"], row["host"], row["key"]): row["recorded_at"]
            for row in await self._pool.fetch(SQL["recorded_before"], *_fact_columns(lost)[:3])
        }
        for one in lost:
            recorded_at = since.get((one.enterprise, one.host, storable(one.fact.key)))
            if recorded_at is not None and one.heard_at - recorded_at > _length(one.fact) + SAME_CALL:
                log.error(
                    "call_id_used_again",
                    enterprise=one.enterprise,
                    host=one.host,
                    call=one.fact.call,
                    known_since=recorded_at.isoformat(),
                )

    async def record_anomalies(self, heard: Sequence[HeardAnomaly]) -> None:
        """Write down what was not understood."""
        await record_anomalies(self._pool, heard)

    async def reject(self, heard: HeardFact, error: str) -> None:
        """Set aside a fact that cannot be written."""
        fact = heard.fact
        key, body = _short(fact.key), storable(repr(fact))
        await self._pool.execute(
            SQL["reject_fact"], heard.enterprise, heard.host, key, fact.word, body, storable(error)
        )


def _place(one: HeardFact) -> tuple[EnterpriseId, HostName, FactKey]:
    return one.enterprise, one.host, one.fact.key


def _length(fact: AnyFact) -> timedelta:
    return fact.at - fact.record.started_at if isinstance(fact, CallEnded) else timedelta(0)


def _deliveries(rows: Iterable[asyncpg.Record], heard: Iterable[HeardFact]) -> list[Delivery]:
    said = {(one.enterprise, one.host, storable(one.fact.key)): one.fact for one in heard}
    return [
        Delivery(
            enterprise=EnterpriseId(row["enterprise_id"]),
            id=row["id"],
            host=HostName(row["host"]),
            call=(fact := said[row["enterprise_id"], row["host"], row["fact_key"]]).call,
            kind=NoticeKind(row["kind"]),
            fact=fact,
            attempts=0,
            due_at=row["due_at"],
            fresh_until=row["fresh_until"],
            created_at=row["created_at"],
            webhook=row["webhook"],
            seq=row["seq"],
        )
        for row in rows
    ]


def _first_of_each_key(heard: Iterable[HeardFact]) -> list[HeardFact]:
    found: dict[tuple[EnterpriseId, HostName, str], HeardFact] = {}
    for one in heard:
        found.setdefault((one.enterprise, one.host, storable(one.fact.key)), one)
    return list(found.values())


def _short(key: str) -> str:
    key = storable(key).encode(errors="replace").decode()
    if len(key) <= LONGEST_KEY:
        return key
    return f"{key[:LONGEST_KEY]}… {hashlib.sha256(key.encode()).hexdigest()}"


def _fact_columns(heard: Sequence[HeardFact]) -> tuple[list[Any], ...]:
    return (
        [one.enterprise for one in heard],
        [one.host for one in heard],
        [storable(one.fact.key) for one in heard],
        [storable(one.fact.call) for one in heard],
        [one.fact.word for one in heard],
        [one.fact.at for one in heard],
        [encode_fact(one.fact) for one in heard],
    )


def _live_columns(heard: Sequence[HeardFact]) -> tuple[list[Any], ...]:
    """One row for each call that goes on: its first fact says since when, its last one how it stands."""
    over = {(one.enterprise, one.fact.call) for one in heard if _ends(one.fact)}
    began: dict[tuple[EnterpriseId, CallId], datetime] = {}
    last: dict[tuple[EnterpriseId, CallId], HeardFact] = {}
    for one in heard:
        if (key := (one.enterprise, one.fact.call)) not in over:
            began.setdefault(key, one.fact.at)
            last[key] = one
    lives = list(last.values())
    return (
        [one.enterprise for one in lives],
        [one.host for one in lives],
        [storable(one.fact.call) for one in lives],
        [str(one.fact.brief.direction) for one in lives],
        list(began.values()),
        [one.fact.at for one in lives],
        [encode_fact(one.fact) for one in lives],
    )


def _over_columns(heard: Sequence[HeardFact]) -> tuple[list[str], list[str]]:
    over = [one for one in heard if _ends(one.fact)]
    return [one.enterprise for one in over], [storable(one.fact.call) for one in over]


def _ends(fact: AnyFact) -> bool:
    return isinstance(fact, CallEnded | CallMerged)


def _verdicts(heard: Iterable[HeardFact]) -> Iterable[dict[str, Any]]:
    for one in heard:
        if isinstance(one.fact, CallEnded):
            yield _clean({**one.fact.record.as_json(), **_origin(one)})


def _attempts(heard: Iterable[HeardFact]) -> Iterable[dict[str, Any]]:
    for one in heard:
        if isinstance(one.fact, CallEnded):
            for ordinal, attempt in enumerate(one.fact.record.attempts):
                yield _clean(
                    {
                        **_origin(one),
                        "ordinal": ordinal,
                        "extension": attempt.extension,
                        "rang_at": _iso(attempt.rang_at),
                        "joined_at": _iso(attempt.joined_at),
                        "left_at": _iso(attempt.left_at),
                        "outcome": attempt.outcome,
                    }
                )


def _origin(one: HeardFact) -> dict[str, str]:
    return {"enterprise_id": one.enterprise, "host": one.host, "key": one.fact.key, "call_id": one.fact.call}


def _delivery_columns(heard: Iterable[HeardFact]) -> tuple[list[Any], ...]:
    told = [(one, notice) for one in heard for notice in (*notices_of(one.fact), *wished_notices_of(one.fact))]
    return (
        [one.enterprise for one, _ in told],
        [one.host for one, _ in told],
        [storable(one.fact.call) for one, _ in told],
        [FactKey(storable(one.fact.key)) for one, _ in told],
        [str(notice.kind) for _, notice in told],
        [None if notice.fresh_for is None else one.heard_at + notice.fresh_for for one, notice in told],
        [one.heard_at for one, _ in told],
    )


def _clean(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _clean_value(value) for name, value in row.items()}


def _clean_value(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [_clean_value(item) for item in value]
    return _clean(value) if isinstance(value, dict) else value


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
