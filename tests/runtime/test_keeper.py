"""The directory's hosts and the followers that run, on a real PostgreSQL, with PBXs that play recorded calls."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from amibridge.ami.actions import Action, ping
from amibridge.ami.errors import ActionRefused, HostUnreachable
from amibridge.calls.board import Board, replay
from amibridge.calls.numbering import Numbering
from amibridge.enterprises import Enterprise, LinkState
from amibridge.runtime import follower as follower_module
from amibridge.runtime import keeper as keeper_module
from amibridge.runtime.follower import Follower
from amibridge.runtime.keeper import Keeper
from amibridge.sandbox.pbx import SandboxPbx
from amibridge.store.directory import Directory
from amibridge.store.ledger import HeardFact, Ledger
from amibridge.store.recorder import FactQueue
from tests.ami.linking import PATIENT
from tests.ami.scripted_pbx import Visit, polite, scripted
from tests.calls.truth import events_of, read_bytes, truths
from tests.delivery.waiting import until
from tests.runtime.following import SOON, host_at, keys, pbx_of, taken_from, trace
from tests.runtime.keeping import (
    KEYRING,
    count,
    counts,
    ended,
    enterprise,
    facts_of,
    goodbyes,
    keeping,
    logins,
    rows,
    untraced,
)
from tests.store.enterprises import romashka


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower_module, "AWAY", SOON)
    monkeypatch.setattr(follower_module, "REFUSED", SOON)
    monkeypatch.setattr(follower_module, "ROOM_AGAIN", timedelta(milliseconds=1))


@pytest.fixture
def directory(pool: asyncpg.Pool) -> Directory:
    return Directory(pool, KEYRING)


def changes_in(lines: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    changes = ("host_changed", "host_left_alone")
    return [(line["event"], line["host"]) for line in lines if line["event"] in changes]


def left(pbx: SandboxPbx) -> bool:
    return pbx.connections == 0 and goodbyes(pbx) == 1


class TestFollowing:
    async def test_hosts_come_change_and_go_while_it_runs(self, pool: asyncpg.Pool, directory: Directory) -> None:
        first, second, third = (pbx_of(trace("a"), lost=False, speed=0.01) for _ in range(3))
        async with first.serve() as one, second.serve() as two, third.serve() as three, keeping(pool) as kept:
            with capture_logs() as lines:
                await until(lambda: kept.told == [()])
                await directory.apply(enterprise(host_at(one, "pbx1")))
                await until(lambda: kept.all_up("pbx1"))
                await directory.apply(enterprise(host_at(one, "pbx1"), host_at(two, "pbx2")))
                await until(lambda: kept.all_up("pbx1", "pbx2"))
                await directory.apply(enterprise(host_at(one, "pbx1"), host_at(three, "pbx2")))
                await until(lambda: third.connections == 1 and kept.all_up("pbx1", "pbx2") and left(second))
                await directory.apply(enterprise(host_at(three, "pbx2")))
                await until(lambda: kept.all_up("pbx2") and left(first))
                await directory.remove(romashka().id)
                await until(lambda: kept.all_up() and left(third))
                await until(lambda: len(changes_in(lines)) == 3)
        for pbx in (first, second, third):
            assert (logins(pbx), goodbyes(pbx)) == (1, 1)
        assert changes_in(lines) == [("host_changed", "pbx2"), ("host_left_alone", "pbx1"), ("host_left_alone", "pbx2")]

    async def test_who_is_told_of_enterprises_hears_of_them_before_their_hosts_speak(
        self, pool: asyncpg.Pool, directory: Directory
    ) -> None:
        pbx = pbx_of(trace("d"), lost=False)
        async with pbx.serve() as address:
            await directory.apply(enterprise(host_at(address)))
            async with keeping(pool) as kept:
                await until(lambda: kept.delivered)
                assert [one.id for one in kept.told[0]] == ["0123"]

    async def test_two_enterprises_may_call_their_hosts_alike(self, pool: asyncpg.Pool, directory: Directory) -> None:
        mine, yours = (pbx_of(trace("d"), lost=False) for _ in range(2))
        async with mine.serve() as one, yours.serve() as two, keeping(pool):
            await directory.apply(enterprise(host_at(one)))
            await directory.apply(enterprise(host_at(two, enterprise="0124"), number="0124"))
            await counts(pool, "calls", 2)
        assert sorted(await rows(pool, "SELECT enterprise_id FROM calls")) == ["0123", "0124"]

    async def test_an_action_goes_to_the_host_it_is_for_or_is_said_not_to_go(
        self, pool: asyncpg.Pool, directory: Directory
    ) -> None:
        mine, yours = (pbx_of(trace("d"), lost=False) for _ in range(2))
        async with mine.serve() as one, yours.serve() as two, keeping(pool) as kept:
            here, there = host_at(one), host_at(two, enterprise="0124")
            with pytest.raises(HostUnreachable, match="it is not followed"):
                await kept.keeper.send(here, ping())
            await directory.apply(enterprise(here))
            await directory.apply(enterprise(there, number="0124"))
            await until(lambda: list(kept.states().values()) == [LinkState.UP] and len(kept.keeper.standings()) == 2)
            asked = Action("Nonsense")
            with pytest.raises(ActionRefused):
                await kept.keeper.send(there, asked)
            assert [one["Action"] for one in yours.received].count("Nonsense") == 1
            assert [one["Action"] for one in mine.received].count("Nonsense") == 0
            mine.misbehave(close_at_login=True)
            mine.cut()
            await until(lambda: [one.state for one in kept.keeper.standings()].count(LinkState.UP) == 1)
            with pytest.raises(HostUnreachable):
                await kept.keeper.send(here, ping())

    async def test_a_change_of_numbers_changes_the_followers_board(
        self, pool: asyncpg.Pool, directory: Directory
    ) -> None:
        pbx = pbx_of(trace("d"), lost=False, speed=0.01)
        async with pbx.serve() as address, keeping(pool) as kept:
            host = host_at(address)
            await directory.apply(enterprise(host))
            await until(lambda: kept.all_up("pbx"))
            await directory.apply(enterprise(replace(host, numbering=Numbering(r"^\d{4}$"))))
            await until(lambda: logins(pbx) == 2 and kept.all_up("pbx"))

    async def test_what_changes_between_the_first_reading_and_the_first_listening_is_seen(
        self, pool: asyncpg.Pool, directory: Directory
    ) -> None:
        """Whoever starts the daemon may apply a file in the same moment."""

        class Overtaken(Directory):
            async def load(self) -> tuple[Enterprise, ...]:
                found = await super().load()
                if not found:
                    await directory.apply(enterprise(host_at(address)))
                return found

        pbx = pbx_of(trace("a"), lost=False, speed=0.01)
        async with pbx.serve() as address, keeping(pool, directory=Overtaken(pool, KEYRING)) as kept:
            await until(lambda: kept.all_up("pbx"), 10)  # a third of the time after which it looks anyway

    async def test_a_keeper_that_is_started_again_follows_again(self, pool: asyncpg.Pool, directory: Directory) -> None:
        pbx, stop = pbx_of(trace("a"), lost=False, speed=0.01), asyncio.Event()
        async with pbx.serve() as address:
            await directory.apply(enterprise(host_at(address)))
            keeper = Keeper(directory, Ledger(pool), FactQueue(), untraced(), lambda _: None, PATIENT)
            for _ in range(2):
                async with asyncio.TaskGroup() as tasks:
                    work = tasks.create_task(keeper.keep(stop), name="keeper under test")
                    await until(lambda: [one.state for one in keeper.standings()] == [LinkState.UP])
                    assert pbx.connections == 1
                    work.cancel()
                await until(lambda: pbx.connections == 0)
                assert keeper.standings() == []
        assert logins(pbx) == 2

    async def test_followers_are_ticked(
        self, pool: asyncpg.Pool, directory: Directory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ticked: list[str] = []
        monkeypatch.setattr(keeper_module, "TICK_EVERY", timedelta(milliseconds=1))
        monkeypatch.setattr(Follower, "tick", lambda self: ticked.append(self.standing().host.name))
        async with scripted(polite()) as pbx, keeping(pool):
            address = pbx.host, pbx.port
            await directory.apply(enterprise(host_at(address, "pbx1"), host_at(address, "pbx2")))
            await until(lambda: Counter(ticked)["pbx1"] > 3 and Counter(ticked)["pbx2"] > 3)


class TestStop:
    async def test_every_host_is_told_goodbye(self, pool: asyncpg.Pool, directory: Directory) -> None:
        pbxs = [pbx_of(trace("a"), lost=False, speed=0.01) for _ in range(3)]
        async with contextlib.AsyncExitStack() as stack:
            hosts = [
                host_at(await stack.enter_async_context(pbx.serve()), f"pbx{number}") for number, pbx in enumerate(pbxs)
            ]
            await directory.apply(enterprise(*hosts))
            async with keeping(pool) as kept:
                await until(lambda: kept.all_up("pbx0", "pbx1", "pbx2"))
            assert [goodbyes(pbx) for pbx in pbxs] == [1, 1, 1]

    async def test_a_host_that_does_not_answer_holds_up_nobody(self, pool: asyncpg.Pool, directory: Directory) -> None:
        async with scripted(polite(ignores={"Logoff"})) as pbx:
            await directory.apply(enterprise(host_at((pbx.host, pbx.port))))
            async with keeping(pool) as kept:
                await until(lambda: kept.all_up("pbx"))
                async with asyncio.timeout(5):
                    kept.stop.set()
                    await until(lambda: pbx.heard("Logoff"))


class Counting(Directory):
    readings = 0

    async def load(self) -> tuple[Enterprise, ...]:
        self.readings += 1
        return await super().load()


def reached(read: Counting, readings: int) -> bool:
    return read.readings >= readings


class TestUnreadable:
    async def test_a_directory_that_cannot_be_read_changes_nothing_and_is_said_once(
        self, pool: asyncpg.Pool, directory: Directory
    ) -> None:
        read = Counting(pool, KEYRING)
        pbx, other = (pbx_of(trace("a"), lost=False, speed=0.01) for _ in range(2))
        async with pbx.serve() as address, other.serve() as second, keeping(pool, directory=read) as kept:
            await directory.apply(enterprise(host_at(address, "pbx1")))
            await until(lambda: kept.all_up("pbx1"))
            with capture_logs() as lines:
                await pool.execute("ALTER TABLE enterprises RENAME TO enterprises_away")
                for readings in range(read.readings + 1, read.readings + 4):
                    await pool.execute("SELECT pg_notify('amibridge_directory', '0123')")
                    await until(partial(reached, read, readings))
                assert kept.all_up("pbx1")
                await pool.execute("ALTER TABLE enterprises_away RENAME TO enterprises")
                await directory.apply(enterprise(host_at(address, "pbx1"), host_at(second, "pbx2")))
                await until(lambda: kept.all_up("pbx1", "pbx2"))
        said = [line["event"] for line in lines if line["event"].startswith("directory_")]
        assert said == ["directory_not_read", "directory_read_again"]
        assert (logins(pbx), pbx.connections) == (1, 0)

    async def test_live_calls_that_cannot_be_read_do_not_keep_a_host_from_being_followed(
        self, pool: asyncpg.Pool, directory: Directory
    ) -> None:
        pbx = pbx_of(trace("a"), lost=False)
        await pool.execute(
            "INSERT INTO facts (enterprise_id, host, key, call_id, kind, at, body)"
            " VALUES ('0123', 'pbx', 'k', 'pbx:1.1', 'call.levitated', now(), '{}')"
        )
        await pool.execute(
            "INSERT INTO live_calls (enterprise_id, call_id, host, direction, started_at, updated_at, body)"
            " VALUES ('0123', 'pbx:1.1', 'pbx', 'incoming', now(), now(), '{}')"
        )
        async with pbx.serve() as address:
            await directory.apply(enterprise(host_at(address)))
            async with keeping(pool) as kept:
                await counts(pool, "calls", 1)
                await until(lambda: kept.all_up("pbx"))


class TestLiveCalls:
    async def test_a_call_that_was_talked_on_is_taken_up_and_ends_once(
        self, pool: asyncpg.Pool, directory: Directory
    ) -> None:
        """The PBX waits with the rest of the call while nobody listens."""
        pbx = pbx_of(trace("a"), lost=False, speed=4.0)
        [told] = truths(trace("a").truth)
        async with pbx.serve() as address:
            await directory.apply(enterprise(host_at(address)))
            async with keeping(pool):
                await facts_of(pool, "call.answered", 1)
            assert (await count(pool, "live_calls"), await count(pool, "calls")) == (1, 0)
            with capture_logs() as lines:
                async with keeping(pool):
                    await counts(pool, "calls", 1)
        [taken] = [line for line in lines if line["event"] == "live_calls_taken_up"]
        assert (taken["enterprise"], taken["host"], taken["calls"]) == ("0123", "pbx", 1)
        [row] = await pool.fetch("SELECT * FROM calls")
        assert (row["outcome"], row["operators"], row["rang"]) == ("answered", ["101"], ["101"])
        assert (row["external_number"], row["line"]) == (told["external_number"], told["did"])
        assert row["talked"].total_seconds() == pytest.approx(told["talk_s"], abs=0.3)
        assert not row["complete"]
        assert list((await ended(pool)).values()) == [1]
        assert await count(pool, "live_calls") == 0
        assert await rows(pool, "SELECT count(*) FROM deliveries WHERE kind = 'history'") == [1]

    async def test_a_call_that_ended_while_nobody_listened_is_settled_once(
        self, pool: asyncpg.Pool, directory: Directory
    ) -> None:
        pbx = pbx_of(trace("a"), speed=4.0)
        async with pbx.serve() as address:
            await directory.apply(enterprise(host_at(address)))
            async with keeping(pool):
                await facts_of(pool, "call.answered", 1)
            assert await count(pool, "calls") == 0
            await pbx.played()
            async with keeping(pool):
                await counts(pool, "calls", 1)
        [row] = await pool.fetch("SELECT * FROM calls")
        assert (row["outcome"], row["operators"], row["complete"]) == ("answered", ["101"], False)
        assert list((await ended(pool)).values()) == [1]
        assert await count(pool, "live_calls") == 0

    async def test_a_host_that_changes_while_what_it_said_is_not_written_yet_keeps_its_call(
        self, pool: asyncpg.Pool, directory: Directory
    ) -> None:
        """A slow database: the call is live, and its facts are still in the queue."""
        raw = read_bytes(trace("a").path)
        talks = iter((polite(after=raw[: raw.index(b"Event: BridgeLeave")]), polite()))

        async def talk(visit: Visit) -> None:
            await next(talks)(visit)

        async with scripted(talk) as pbx, keeping(pool) as kept:
            host = host_at((pbx.host, pbx.port))
            async with pool.acquire() as slow, slow.transaction():
                await slow.execute("LOCK TABLE facts IN SHARE MODE")
                with capture_logs() as lines:
                    await directory.apply(enterprise(host))
                    await until(lambda: [line for line in lines if line["event"] == "call_answered"])
                    await directory.apply(enterprise(replace(host, originate_context="from-inside")))
                    await until(lambda: [line for line in lines if line["event"] == "host_changed"])
                    await asyncio.sleep(0.2)  # for a keeper that does not wait
                assert len(kept.queue)
            await counts(pool, "calls", 1)
            await until(lambda: kept.all_up("pbx"))
        assert list((await ended(pool)).values()) == [1]
        assert await count(pool, "live_calls") == 0

    async def test_many_calls_and_many_restarts(self, pool: asyncpg.Pool, directory: Directory) -> None:
        played = [trace(kind) for kind in ("a", "b", "d", "g", "h", "i", "j", "k", "m")]
        pbx = SandboxPbx(
            [one.path for one in played],
            username="amibridge",
            secret="correct-horse-battery",
            speed=15.0,
            gap=0.0,
            overlap=3,
            lost=False,
        )
        async with pbx.serve() as address:
            await directory.apply(enterprise(host_at(address)))
            for restart in range(1, 6):
                async with keeping(pool):
                    await facts_of(pool, "operator.rang", 2 * restart)
            async with keeping(pool) as kept:
                await pbx.played()
                await until(lambda: not len(kept.queue))
                await counts(pool, "live_calls", 0)
        assert set((await ended(pool)).values()) == {1}
        started = await rows(
            pool, "SELECT call_id FROM facts WHERE kind IN ('call.incoming', 'call.outgoing', 'call.internal')"
        )
        over = await rows(
            pool, "SELECT call_id FROM facts WHERE kind IN ('call.finished', 'call.missed', 'call.merged')"
        )
        assert sorted(started) == sorted(over)
        assert await count(pool, "calls") == len(played)
        assert await rows(pool, "SELECT count(*) FROM deliveries WHERE kind = 'history'") == [len(played) - 1]

    @pytest.mark.parametrize("event", [2, 5, 9, 14])
    async def test_a_link_that_breaks_in_a_call_ends_it_once(
        self, pool: asyncpg.Pool, directory: Directory, event: int
    ) -> None:
        pbx = pbx_of(trace("a"), lost=False)
        pbx.misbehave(cut_at_event=event)
        async with pbx.serve() as address, keeping(pool) as kept:
            await directory.apply(enterprise(host_at(address)))
            await pbx.played()
            await counts(pool, "calls", 1)
            await until(lambda: kept.all_up("pbx"))
        assert logins(pbx) == 2
        assert list((await ended(pool)).values()) == [1]
        assert await count(pool, "live_calls") == 0

    async def test_what_found_no_room_outlives_a_change_of_its_host(
        self, pool: asyncpg.Pool, directory: Directory
    ) -> None:
        raw = read_bytes(trace("i", "asterisk22-tracker").path)
        wanted = keys(replay(Board("pbx"), events_of(trace("i", "asterisk22-tracker").path)))
        queue = FactQueue(2)
        async with scripted(polite(after=raw)) as pbx, keeping(pool, queue=queue, recording=False) as kept:
            host = host_at((pbx.host, pbx.port))
            await directory.apply(enterprise(host))
            await until(lambda: kept.states() == {"pbx": LinkState.LOST})
            with capture_logs() as lines:
                await directory.apply(enterprise(replace(host, originate_context="from-inside")))
                await until(lambda: [line for line in lines if line["event"] == "host_changed"])
            said: list[HeardFact] = []
            while len(said) < 6:
                await until(lambda: len(queue))
                said += taken_from(queue)
        assert len(wanted) > 6
        assert keys([one.fact for one in said])[:6] == wanted[:6]
