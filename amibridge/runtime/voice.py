"""Speaking for one host: facts into the queue, one log line per thing that happened.

Laws: nothing here waits; a fact that the queue has no room for is kept and said first when there is room, so none is
lost and none overtakes another; that there was no room is said to the caller, who has to let go of the host.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import assert_never

import structlog

from amibridge.calls.facts import (
    AnyFact,
    CallAnswered,
    CallEnded,
    CallMerged,
    CallStarted,
    OperatorJoined,
    OperatorLeft,
    OperatorRang,
    OperatorStopped,
    RecordingStarted,
)
from amibridge.calls.telling import Anomaly, AnomalyKind
from amibridge.enterprises import AmiHost
from amibridge.store.ledger import HeardFact
from amibridge.store.recorder import FactQueue, QueueFull


class Voice:
    """What *host* has to say goes through here."""

    def __init__(self, host: AmiHost, queue: FactQueue) -> None:
        self._host = host
        self._queue = queue
        self._unsaid: deque[HeardFact] = deque()
        self._log = structlog.get_logger(enterprise=host.enterprise, host=host.name)

    def say(self, facts: Iterable[AnyFact], heard_at: datetime) -> None:
        """Raises QueueFull; what it had no room for is kept."""
        for fact in facts:
            self._write_log(fact)
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

    def wonder(self, anomalies: Iterable[Anomaly]) -> None:
        for anomaly in anomalies:
            match anomaly.kind:
                case AnomalyKind.CHANGE:
                    self._log.warning("call_change_not_understood", call=anomaly.call, change=anomaly.text)
                case AnomalyKind.DIRECTION:
                    self._log.warning("call_not_decided", call=anomaly.call, question=anomaly.text)
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
            case RecordingStarted():
                log.debug("recording_started", path=fact.path)
            case CallMerged():
                log.info("call_merged", into=fact.into)
            case _ as never:
                assert_never(never)


def _given(words: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in words.items() if value is not None}
