"""One host, followed: found, lost, refused, overwhelmed, and come back to."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from structlog.testing import capture_logs

from amibridge.ami.events import AmiEvent, ChannelEvent, Hangup
from amibridge.ami.session import Reply, Session
from amibridge.calls.board import Board, replay
from amibridge.calls.facts import AnyFact, CallEnded, CallMerged, CallStarted
from amibridge.calls.telling import Anomaly
from amibridge.enterprises import LinkState
from amibridge.runtime import follower as module
from amibridge.runtime.follower import AWAY, REFUSED, Backoff
from amibridge.store.anomalies import HeardAnomaly
from amibridge.store.ledger import HeardFact
from amibridge.store.recorder import FactQueue, QueueFull
from tests.ami.linking import HASTY, hangup
from tests.ami.scripted_pbx import Visit, polite, scripted
from tests.calls.truth import events_of, read_bytes
from tests.delivery.waiting import until
from tests.runtime.following import (
    NEVER,
    SOON,
    AttentiveFollower,
    following,
    host_at,
    keys,
    pbx_of,
    taken_from,
    trace,
)

INCOMING = trace("a")


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AWAY", SOON)
    monkeypatch.setattr(module, "REFUSED", SOON)
    monkeypatch.setattr(module, "ROOM_AGAIN", timedelta(milliseconds=1))


def said(lines: Sequence[Mapping[str, object]], *events: str) -> list[object]:
    return [line["event"] for line in lines if line["event"] in events]


def reached(noted: Sequence[int], count: int) -> bool:
    return len(noted) >= count


class TestComingBack:
    async def test_a_host_that_is_away_is_said_once_and_tried_for_ever(self, unused_tcp_port: int) -> None:
        tries = itertools.count()
        follower = AttentiveFollower(
            host_at(("127.0.0.1", unused_tcp_port)), FactQueue(), chance=lambda: float(next(tries) * 0)
        )
        states = ("host_unreachable", "host_connected", "host_lost", "host_refused_login")
        with capture_logs() as lines:
            async with following(follower):
                assert follower.standing().state is LinkState.CONNECTING
                await until(lambda: follower.standing().state is LinkState.UNREACHABLE)
                since, before = follower.standing().since, next(tries)
                await until(lambda: next(tries) > before + 50)
                assert follower.standing().since == since
                assert follower.standing().reason
                async with pbx_of(INCOMING, lost=False).serve(port=unused_tcp_port):
                    await until(lambda: follower.standing().state is LinkState.UP)
                    assert follower.standing().since > since
                    assert follower.standing().reason is None
                await until(lambda: follower.standing().state is LinkState.UNREACHABLE)
                before = next(tries)
                await until(lambda: next(tries) > before + 50)
        assert said(lines, *states) == ["host_unreachable", "host_connected", "host_lost", "host_unreachable"]
        assert all((line["enterprise"], line["host"]) == ("0123", "pbx") for line in lines)

    async def test_what_does_not_speak_ami_is_unreachable(self) -> None:
        async def speak(visit: Visit) -> None:
            visit.say(b"SSH-2.0-OpenSSH_9.2p1\r\n")

        async with scripted(speak) as pbx:
            follower = AttentiveFollower(host_at((pbx.host, pbx.port)), FactQueue())
            with capture_logs() as lines:
                async with following(follower):
                    await until(lambda: len(pbx.visits) > 20)
                    assert follower.standing().state is LinkState.UNREACHABLE
                    assert "AMI" in str(follower.standing().reason)
            assert said(lines, "host_unreachable") == ["host_unreachable"]
            assert pbx.heard("Login") == []

    async def test_a_wrong_secret_is_said_once_and_tried_at_its_own_slow_pace(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "AWAY", NEVER)
        pbx = pbx_of(INCOMING, lost=False)
        pbx.misbehave(refuses=frozenset({"Login"}))
        async with pbx.serve() as address:
            follower = AttentiveFollower(host_at(address), FactQueue())
            with capture_logs() as lines:
                async with following(follower):
                    await until(lambda: sum(action["Action"] == "Login" for action in pbx.received) > 20)
                    assert follower.standing().state is LinkState.REFUSED
                    assert follower.standing().reason == "Authentication failed"
                    pbx.behave()
                    await until(lambda: follower.standing().state is LinkState.UP)
        refusals = [line for line in lines if line["event"] == "host_refused_login"]
        assert [(line["log_level"], line["user"], line["reason"]) for line in refusals] == [
            ("error", "amibridge", "Authentication failed")
        ]

    async def test_being_away_does_not_wait_as_long_as_being_refused(
        self, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
    ) -> None:
        monkeypatch.setattr(module, "REFUSED", NEVER)
        follower = AttentiveFollower(host_at(("127.0.0.1", unused_tcp_port)), FactQueue())
        async with following(follower):
            await until(lambda: follower.standing().state is LinkState.UNREACHABLE)
            async with pbx_of(INCOMING, lost=False).serve(port=unused_tcp_port):
                await until(lambda: follower.standing().state is LinkState.UP)

    async def test_failures_are_counted_until_a_link_has_lasted(
        self, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
    ) -> None:
        noted: list[tuple[int, float]] = []

        class Noting(Backoff):
            def pause(self, failures: int, chance: float) -> float:
                noted.append((failures, chance))
                return 0.0

        monkeypatch.setattr(module, "AWAY", Noting())
        follower = AttentiveFollower(host_at(("127.0.0.1", unused_tcp_port)), FactQueue(), chance=lambda: 0.25)
        async with following(follower):
            await until(lambda: len(noted) >= 5)
            assert noted[:5] == [(1, 0.25), (2, 0.25), (3, 0.25), (4, 0.25), (5, 0.25)]
            monkeypatch.setattr(module, "LASTED", timedelta(0))
            async with pbx_of(INCOMING, lost=False).serve(port=unused_tcp_port):
                await until(lambda: follower.standing().state is LinkState.UP)
            done = len(noted)
            await until(lambda: len(noted) > done)
            assert noted[done][0] == 1

    async def test_a_short_link_does_not_shorten_the_pauses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        noted: list[int] = []

        class Noting(Backoff):
            def pause(self, failures: int, chance: float) -> float:
                noted.append(failures)
                return 0.0

        monkeypatch.setattr(module, "AWAY", Noting())

        async with scripted(polite()) as pbx:
            follower = AttentiveFollower(host_at((pbx.host, pbx.port)), FactQueue())
            async with following(follower):
                for lost in (1, 2, 3):
                    await until(lambda: follower.standing().state is LinkState.UP)
                    pbx.visits[-1].writer.transport.abort()
                    await until(partial(reached, noted, lost))
        assert noted == [1, 2, 3]

    async def test_waiting_for_room_is_no_link_that_lasted(
        self, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
    ) -> None:
        noted: list[int] = []

        class Noting(Backoff):
            def pause(self, failures: int, chance: float) -> float:
                noted.append(failures)
                return 0.0

        monkeypatch.setattr(module, "AWAY", Noting())
        monkeypatch.setattr(module, "LASTED", timedelta(milliseconds=200))
        queue = FactQueue(1)
        follower = AttentiveFollower(host_at(("127.0.0.1", unused_tcp_port)), queue)
        clock = asyncio.get_running_loop().time
        async with following(follower):
            await until(partial(reached, noted, 3))
            with pytest.raises(QueueFull):
                follower.hear(events_of(INCOMING.path))
            full_at, done = clock(), len(noted)
            await until(lambda: clock() > full_at + 0.25)
            assert len(noted) <= done + 1  # the try that was under way
            done = len(noted)
            await until(lambda: taken_from(queue) == [] and len(noted) > done)
        assert noted[: done + 1] == list(range(1, done + 2))

    async def test_leaving_says_goodbye(self) -> None:
        async with scripted(polite()) as pbx:
            follower = AttentiveFollower(host_at((pbx.host, pbx.port)), FactQueue())
            async with following(follower):
                await until(lambda: follower.standing().state is LinkState.UP)
            assert len(pbx.heard("Logoff")) == 1


class TestPauses:
    @pytest.mark.parametrize("backoff", [AWAY, REFUSED, SOON])
    def test_pauses_double_up_to_the_longest_and_are_spread_over_their_upper_half(self, backoff: Backoff) -> None:
        whole = [backoff.pause(failures, math.nextafter(1.0, 0.0)) for failures in range(1, 200)]
        least = [backoff.pause(failures, 0.0) for failures in range(1, 200)]
        first, longest = backoff.first.total_seconds(), backoff.longest.total_seconds()
        for failures, (most, fewest) in enumerate(zip(whole, least, strict=True)):
            ceiling = min(longest, first * 2.0 ** min(failures, 16))
            assert most == pytest.approx(ceiling)
            assert fewest == pytest.approx(ceiling / 2)
        assert whole == sorted(whole)
        assert whole[-1] == pytest.approx(longest)

    def test_a_life_of_failures_overflows_nothing(self) -> None:
        assert AWAY.pause(10_000_000, 0.5) == pytest.approx(AWAY.longest.total_seconds() * 0.75)

    def test_a_refusal_is_much_slower_than_an_absence(self) -> None:
        """Every try with a wrong secret is one more line for the PBX's fail2ban."""
        assert REFUSED.pause(1, 0.0) > 10 * AWAY.pause(1, 1.0)
        assert REFUSED.longest > 10 * AWAY.longest


class TestFacts:
    @pytest.mark.parametrize("kind", ["a", "d", "i", "k", "p1"])
    async def test_the_facts_of_a_trace_arrive_as_they_were_said(self, kind: str) -> None:
        pbx, queue = pbx_of(trace(kind), lost=False), FactQueue()
        wanted = replay(Board("pbx"), events_of(trace(kind).path))
        begun = datetime.now(UTC)
        async with pbx.serve() as address:
            follower = AttentiveFollower(host_at(address), queue)
            async with following(follower):
                await until(lambda: len(queue) >= len(wanted))
                facts = taken_from(queue)
                assert follower.standing().events >= sum(isinstance(one, ChannelEvent) for one in follower.heard)
        assert [one.fact for one in facts] == wanted
        assert {(one.enterprise, one.host) for one in facts} == {("0123", "pbx")}
        times = [one.heard_at for one in facts]
        assert begun <= times[0]
        assert times == sorted(times)
        assert times[-1] <= datetime.now(UTC)

    async def test_an_event_that_cannot_be_folded_is_said_and_the_others_go_on(self) -> None:
        events = events_of(INCOMING.path)
        stone = next(event for event in events if isinstance(event, Hangup))

        class Stumbling(Board):
            def apply(self, event: AmiEvent) -> list[AnyFact]:
                if event == stone:
                    raise KeyError("a leg that nobody knows")
                return super().apply(event)

        pbx, queue = pbx_of(INCOMING, lost=False), FactQueue()
        wanted = replay(Board("pbx"), [event for event in events if event != stone])
        async with pbx.serve() as address:
            follower = AttentiveFollower(host_at(address), queue, board=Stumbling("pbx"))
            with capture_logs() as lines:
                async with following(follower):
                    await until(lambda: len(queue) >= len(wanted))
                    assert follower.standing().state is LinkState.UP
        assert keys([one.fact for one in taken_from(queue)]) == keys(wanted)
        [line] = [line for line in lines if line["event"] == "event_not_folded"]
        assert (line["event_type"], line["host"], line["log_level"]) == ("Hangup", "pbx", "error")
        assert isinstance(line["exc_info"], KeyError)

    async def test_what_is_not_understood_is_recorded_with_the_bytes_that_caused_it(self) -> None:
        class Wondering(Board):
            def apply(self, event: AmiEvent) -> list[AnyFact]:
                facts = super().apply(event)
                self._anomalies += [
                    Anomaly(event.at, fact.call, "call from over to talking")
                    for fact in facts
                    if isinstance(fact, CallEnded)
                ]
                return facts

        pbx, queue = pbx_of(INCOMING, lost=False), FactQueue()
        async with pbx.serve() as address:
            follower = AttentiveFollower(host_at(address), queue, board=Wondering("pbx"))
            async with following(follower):
                heard: list[HeardAnomaly] = []

                def is_there() -> bool:
                    heard.extend(queue.take_anomalies())
                    return bool(heard)

                await until(is_there)
        [one] = heard
        facts = [heard.fact for heard in taken_from(queue)]
        received = [event for event in Session().receive_data(one.trace) if not isinstance(event, Reply)]
        assert keys(replay(Board("pbx"), received)) == keys(facts)
        assert one.anomaly.call == facts[0].call
        assert b"amibridge" not in one.trace


class TestFullQueue:
    @pytest.mark.parametrize("size", [1, 4, 8])
    async def test_it_lets_go_keeps_every_fact_in_order_and_comes_back_when_there_is_room(self, size: int) -> None:
        raw = read_bytes(trace("i", "asterisk22-tracker").path)

        async def play_once(visit: Visit) -> None:
            await polite(after=raw if visit is pbx.visits[0] else b"")(visit)

        queue, facts = FactQueue(size), list[HeardFact]()
        async with scripted(play_once) as pbx:
            follower = AttentiveFollower(host_at((pbx.host, pbx.port)), queue)
            with capture_logs() as lines:
                async with following(follower):
                    await until(lambda: follower.standing().state is LinkState.LOST)
                    assert "facts wait for the database" in str(follower.standing().reason)
                    meant = len(replay(Board("pbx"), follower.heard))
                    assert meant > size
                    while len(facts) + len(queue) < meant:
                        assert len(pbx.visits) == 1
                        facts += taken_from(queue, 1)
                        await until(lambda: len(queue) == size)
                    while follower.standing().state is not LinkState.UP:
                        facts += taken_from(queue)
                        await until(lambda: len(queue) == size or follower.standing().state is LinkState.UP)
        facts += taken_from(queue)
        wanted = replay(Board("pbx"), follower.heard)
        assert [one.fact for one in facts] == wanted
        assert len(set(keys(wanted))) == len(wanted)
        assert said(lines, "host_lost", "host_unreachable")[0] == "host_lost"

    async def test_nothing_is_lost_or_doubled_however_often_the_queue_is_full(self) -> None:
        """Five recorded calls, and a database that takes a few facts only when nothing more fits."""
        queue, facts = FactQueue(9), list[HeardFact]()
        pbx = pbx_of(*(trace(kind) for kind in ("a", "b", "d", "h", "k")), shift=True, lost=False)
        async with pbx.serve() as address:
            follower = AttentiveFollower(host_at(address), queue)
            with capture_logs() as lines:
                async with following(follower), asyncio.TaskGroup() as tasks:
                    played = tasks.create_task(pbx.played(), name="all played")
                    while not played.done() or follower.standing().state is not LinkState.UP:
                        await until(
                            lambda: len(queue) == 9 or (played.done() and follower.standing().state is LinkState.UP)
                        )
                        facts += taken_from(queue)
        facts += taken_from(queue)
        assert [one.fact for one in facts] == replay(Board("pbx"), follower.heard)
        assert len(said(lines, "host_lost")) >= 3
        started = [one.fact.call for one in facts if isinstance(one.fact, CallStarted)]
        over = [one.fact.call for one in facts if isinstance(one.fact, CallEnded | CallMerged)]
        assert sorted(started) == sorted(over)
        assert len(set(started)) == len(started) >= 3

    async def test_events_of_one_piece_are_all_folded_though_the_first_fact_finds_no_room(self) -> None:
        """What has been read from the socket is never read again."""
        queue = FactQueue(1)
        follower = AttentiveFollower(host_at(("127.0.0.1", 1)), queue)
        events = events_of(INCOMING.path)
        with pytest.raises(QueueFull):
            follower.hear(events)
        facts = []
        while len(queue):
            facts += taken_from(queue)
            with contextlib.suppress(QueueFull):
                follower.hear([events[-1]])
        assert keys([one.fact for one in facts]) == keys(replay(Board("pbx"), events))

    async def test_a_tick_is_no_message_and_waits_for_no_room(self) -> None:
        follower = AttentiveFollower(host_at(("127.0.0.1", 1)), FactQueue(1))
        with pytest.raises(QueueFull):
            follower.hear(events_of(INCOMING.path))
        heard = follower.standing().events
        follower.tick()
        assert follower.standing().events == heard


class TestTick:
    @pytest.mark.parametrize("years", [-1, 0, 1])
    async def test_what_just_ended_is_remembered_whatever_the_clock_of_the_pbx_says(self, years: int) -> None:
        events = events_of(INCOMING.path)
        wrong = datetime.now(UTC) - events[-1].at + timedelta(days=365 * years)
        board = Board("pbx")
        follower = AttentiveFollower(host_at(("127.0.0.1", 1)), FactQueue(), board=board)
        follower.hear([replace(event, at=event.at + wrong) for event in events])
        remembered = board.remembered()
        assert remembered
        follower.tick()
        assert board.remembered() == remembered

    async def test_a_quiet_host_is_forgotten_in_time(self) -> None:
        events, board = events_of(INCOMING.path), Board("pbx")
        follower = AttentiveFollower(host_at(("127.0.0.1", 1)), FactQueue(), board=board)
        follower.hear([replace(event, at=event.at - events[-1].at + datetime.now(UTC)) for event in events])
        later = events_of(trace("d").path)[0]
        follower.hear([replace(later, at=datetime.now(UTC) + timedelta(minutes=16))])
        follower.tick()
        assert board.remembered() <= 2


class TestQuietHosts:
    """A caller was declined and his Hangup was quicker than that of the phone, which never comes."""

    @staticmethod
    def declined() -> list[AmiEvent]:
        events = events_of(trace("e2").path)
        hangups = sorted((one for one in events if isinstance(one, Hangup)), key=lambda one: one.uniqueid)
        heard = [*(one for one in events if not isinstance(one, Hangup)), hangups[0]]
        return [replace(event, at=event.at - heard[-1].at + datetime.now(UTC)) for event in heard]

    async def test_a_verdict_that_was_waited_with_is_said_soon(self) -> None:
        queue = FactQueue()
        follower = AttentiveFollower(host_at(("127.0.0.1", 1)), queue)
        follower.hear(self.declined())
        assert [one.fact.word for one in taken_from(queue)][-1] != "call.missed"
        await until(lambda: len(queue) > 0)
        assert [one.fact.word for one in taken_from(queue)] == ["operator.stopped", "call.missed"]

    async def test_a_tick_says_it_and_keeps_what_has_no_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "WAITS_FOR", timedelta(hours=1))
        events, board = self.declined(), Board("pbx")
        queue = FactQueue(len(replay(Board("pbx"), events)))
        follower = AttentiveFollower(host_at(("127.0.0.1", 1)), queue, board=board)
        follower.hear(events)
        assert queue.room == 0
        while board.is_waiting:
            follower.tick()
            await asyncio.sleep(0.05)
        taken_from(queue)
        follower.tick()
        assert [one.fact.word for one in taken_from(queue)] == ["operator.stopped", "call.missed"]


class TestStanding:
    async def test_it_counts_what_was_heard_and_what_was_garbled_over_all_connections(self) -> None:
        noise = b"\xff\x00 no header\r\n\r\n"

        async def chatter(visit: Visit) -> None:
            await polite(after=hangup(1) + noise + hangup(2))(visit)

        async with scripted(chatter) as pbx:
            follower = AttentiveFollower(host_at((pbx.host, pbx.port)), FactQueue())
            async with following(follower):
                await until(lambda: follower.standing().garbled == 1 and follower.standing().state is LinkState.UP)
                assert follower.standing().events == len(follower.heard)
                pbx.visits[0].writer.transport.abort()
                await until(lambda: follower.standing().garbled == 2 and follower.standing().state is LinkState.UP)
                standing = follower.standing()
                assert standing.events == len(follower.heard)
        assert standing.host == host_at((pbx.host, pbx.port))
        assert standing.ami == "11.0.0"
        assert standing.garbled == 2
        assert sum(isinstance(event, Hangup) for event in follower.heard) == 4

    async def test_a_half_open_link_is_lost_with_its_reason(self) -> None:
        async def fall_silent(visit: Visit) -> None:
            await polite(ignores={"Ping", "Logoff"})(visit)

        async with scripted(fall_silent) as pbx:
            follower = AttentiveFollower(host_at((pbx.host, pbx.port)), FactQueue(), settings=HASTY)
            with capture_logs() as lines:
                async with following(follower):
                    await until(lambda: len(pbx.visits) >= 2)
        [lost, *_] = [line for line in lines if line["event"] == "host_lost"]
        assert lost["reason"].startswith("not a byte for")
