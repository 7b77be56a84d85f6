"""What a host's follower counts is what really came: events by type, bytes, calls by outcome, links that broke."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter

from structlog.testing import capture_logs

from amibridge.calls.board import Board, replay
from amibridge.calls.facts import CallEnded
from amibridge.calls.record import CallId, Direction, Outcome
from amibridge.calls.telling import Anomaly, AnomalyKind
from amibridge.enterprises import LinkState
from amibridge.runtime.voice import MOST_ANOMALIES, Voice
from amibridge.store.recorder import FactQueue
from tests.calls.truth import events_of
from tests.delivery.waiting import until
from tests.runtime.following import AttentiveFollower, following, host_at, pbx_of, trace
from tests.runtime.test_voice import HOST, NOW

CALLS = ("a", "d", "l1")


async def test_events_calls_and_bytes_of_a_real_recording() -> None:
    traces = [trace(kind) for kind in CALLS]
    pbx = pbx_of(*traces)
    async with pbx.serve() as address:
        follower = AttentiveFollower(host_at(address), FactQueue())
        async with following(follower):
            await asyncio.wait_for(pbx.played(), 30)
            await until(lambda: follower.standing().tally.calls.total() == 3)
            assert follower.standing().state is LinkState.UP
        standing = follower.standing()
    tally = standing.tally
    assert tally.events == Counter(map(type, follower.heard))
    assert standing.events == len(follower.heard)
    assert tally.events.total() > 30
    assert tally.calls == {
        (Direction.INCOMING, Outcome.ANSWERED): 1,
        (Direction.INCOMING, Outcome.MISSED): 1,
        (Direction.OUTGOING, Outcome.BUSY): 1,
    }
    assert tally.received > 50_000
    assert standing.ahead is not None


async def test_links_that_were_up_and_broke() -> None:
    pbx = pbx_of(trace("a"))
    async with contextlib.AsyncExitStack() as stack:
        address = await stack.enter_async_context(pbx.serve())
        follower = AttentiveFollower(host_at(address), FactQueue())
        with capture_logs():
            await stack.enter_async_context(following(follower))
            for times in (1, 2):
                await until(lambda: follower.standing().state is LinkState.UP)
                assert follower.standing().tally.losses == times - 1
                pbx.cut()
                await until(lambda times=times: follower.standing().tally.losses == times)  # type: ignore[misc]


def test_what_is_passed_over_in_the_log_is_counted() -> None:
    voice = Voice(HOST, FactQueue())
    storm = [Anomaly(NOW, CallId("pbx1:1.1"), "call from over to talking", AnomalyKind.CHANGE)] * (MOST_ANOMALIES + 5)
    with capture_logs() as lines:
        voice.wonder(storm, NOW, list)
    assert len(lines) == MOST_ANOMALIES
    assert voice.tally.anomalies == MOST_ANOMALIES + 5


def test_a_call_is_counted_when_it_is_over() -> None:
    facts = replay(Board("pbx1"), events_of(trace("a").path))
    voice = Voice(HOST, FactQueue())
    with capture_logs():
        voice.say([fact for fact in facts if not isinstance(fact, CallEnded)], NOW)
        assert voice.tally.calls.total() == 0
        voice.say([fact for fact in facts if isinstance(fact, CallEnded)], NOW)
    assert voice.tally.calls == {(Direction.INCOMING, Outcome.ANSWERED): 1}
