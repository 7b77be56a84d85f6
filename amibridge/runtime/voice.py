"""Speaking for one host: facts into the queue, one log line per thing that happened.

Laws: nothing here waits; a fact that the queue has no room for is kept and said first when there is room, so none is
lost and none overtakes another; that there was no room is said to the caller, who has to let go of the host. A storm
of anomalies is counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import assert_never

import structlog

from amibridge.ami.cutting import cut_call
from amibridge.ami.transcript import ended
from amibridge.ami.wire import END_OF_MESSAGE
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
from amibridge.calls.telling import Anomaly, AnomalyKind
from amibridge.enterprises import AmiHost
from amibridge.store.anomalies import HeardAnomaly
from amibridge.store.ledger import HeardFact
from amibridge.store.recorder import FactQueue, QueueFull
from amibridge.tallies import HostTally

MOST_ANOMALIES = 10
"""Of one host that are told of within `SPELL`; more of them say nothing new."""
SPELL = timedelta(minutes=1)

LONGEST_TRACE = 64 * 1024
"""Bytes of its call that are kept with an anomaly."""


class Voice:
    """What *host* has to say goes through here, and is counted in *tally*."""

    def __init__(self, host: AmiHost, queue: FactQueue) -> None:
        self.tally = HostTally()
        self._host = host
        self._queue = queue
        self._unsaid: deque[HeardFact] = deque()
        self._wondering_since = datetime.fromtimestamp(0, UTC)
        self._wondered = self._passed_over = 0
        self._log = structlog.get_logger(enterprise=host.enterprise, host=host.name)

    def say(self, facts: Iterable[AnyFact], heard_at: datetime) -> None:
        """Raises QueueFull; what it had no room for is kept."""
        for fact in facts:
            self._write_log(fact)
            if isinstance(fact, CallEnded):
                self.tally.calls[fact.record.direction, fact.record.outcome] += 1
            self._unsaid.append(HeardFact(self._host.enterprise, self._host.name, fact, heard_at))
        while self._unsaid:
            self._queue.put(self._unsaid[0])
            self._unsaid.popleft()

    def has_caught_up(self) -> bool:
        """Say what was kept; whether nothing is left of it."""
        try:
            self.say((), datetime.now(UTC))
        except QueueFull:
            return False
        return True

    def wonder(self, anomalies: Iterable[Anomaly], heard_at: datetime, tail: Callable[[], Sequence[bytes]]) -> None:
        """Tell of *anomalies*, with what *tail*, the latest messages, has of their calls."""
        for anomaly in anomalies:
            self.tally.anomalies += 1
            if abs(heard_at - self._wondering_since) > SPELL:
                self._wondering_since, self._wondered = heard_at, 0
            self._wondered += 1
            if self._wondered > MOST_ANOMALIES:
                self._passed_over += 1
                continue
            self._write_anomaly(anomaly)
            trace = _newest(cut_call(tail(), anomaly.call.partition(":")[2].encode()))
            host = self._host
            self._queue.wonder(HeardAnomaly(host.enterprise, host.name, anomaly, self._passed_over, trace))
            self._passed_over = 0

    def _write_anomaly(self, anomaly: Anomaly) -> None:
        log = self._log.bind(call=anomaly.call, **_given({"passed_over": self._passed_over or None}))
        match anomaly.kind:
            case AnomalyKind.CHANGE:
                log.warning("call_change_not_understood", change=anomaly.text)
            case AnomalyKind.DIRECTION:
                log.warning("call_not_decided", question=anomaly.text)
            case _ as never:
                assert_never(never)

    def _write_log(self, fact: AnyFact) -> None:
        log = self._log.bind(call=fact.call)
        match fact:
            case CallStarted():
                brief = fact.brief
                known = {"number": brief.external_number, "line": brief.line, "operator": brief.caller}
                log.info(f"call_{brief.direction}", **_given(known))
            case CallAnswered():
                log.info("call_answered", operator=fact.extension)
            case CallEnded():
                record = fact.record
                told = {
                    "outcome": record.outcome,
                    "reason": record.reason,
                    "operator": ",".join(record.operators) or None,
                    "waited": round(record.waited.total_seconds(), 1),
                    "talked": round(record.talked.total_seconds(), 1),
                    "complete": None if record.complete else False,
                }
                log.info("call_ended", **_given(told))
            case OperatorRang() | OperatorStopped() | OperatorJoined() | OperatorLeft():
                log.debug(fact.word.replace(".", "_"), operator=fact.extension)
            case CustomerRang():
                log.debug("customer_rang")
            case CallHeld():
                log.debug("call_held", operator=fact.extension)
            case CallResumed():
                log.debug("call_resumed", operator=fact.extension)
            case CallTransferred():
                log.info("call_transferred", way=fact.way, operator=fact.from_, to=fact.to)
            case RecordingStarted():
                log.debug("recording_started", path=fact.path)
            case CallMerged():
                log.info("call_merged", into=fact.into)
            case _ as never:
                assert_never(never)


def _given(words: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in words.items() if value is not None}


def _newest(messages: Sequence[bytes]) -> bytes:
    """As many of the last messages as are worth keeping."""
    size, first = 0, len(messages)
    while first > 0 and (size := size + len(messages[first - 1]) + len(END_OF_MESSAGE)) <= LONGEST_TRACE:
        first -= 1
    return ended(messages[first:])
