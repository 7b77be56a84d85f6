"""A link that lives: what it hears, how it is lost, how it is closed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from amibridge.ami.errors import AmiError, LinkLost
from amibridge.ami.events import (
    AmiEvent,
    ChannelEvent,
    ChannelSnapshot,
    Connected,
    Disconnected,
    Hangup,
)
from amibridge.ami.link import AmiAddress, Link, LinkSettings
from amibridge.redact import Secret
from tests.ami.linking import HASTY, PATIENT, SECRET, Listener, hangup, link_to, linked, pending
from tests.ami.pieces import events_in
from tests.ami.scripted_pbx import BOOTED, GREETING, OPENING, Visit, polite, scripted
from tests.calls.truth import read_bytes
from tests.corpus import TRACES, Trace

SHORT = [trace for trace in TRACES if trace.path.suffix == ".ami"]


class TestListening:
    @pytest.mark.parametrize("trace", SHORT[::4], ids=str)
    @pytest.mark.parametrize("size", [7, 1460])
    async def test_a_trace_over_a_socket_is_the_trace(self, trace: Trace, size: int) -> None:
        raw = read_bytes(trace.path)
        expected = [event for event in events_in([raw]) if isinstance(event, ChannelEvent)]
        async with linked(polite(after=raw, piece=size)) as (link, _, listener):
            await listener.has(len(expected), ChannelEvent)
            assert [event for event in listener.events if isinstance(event, ChannelEvent)] == expected
            assert link.garbled == 0

    async def test_order_holds_over_any_chunks(self) -> None:
        many = b"".join(hangup(number) for number in range(2000))

        async def burst(visit: Visit) -> None:
            await polite(after=many)(visit)

        async with linked(burst) as (_, _, listener):
            await listener.has(2000)
            assert listener.numbers() == list(range(2000))
            assert listener.handed < 2000

    async def test_garbage_is_counted_and_the_stream_goes_on(self) -> None:
        garbage = b"\xff\x00\x80 no colon here\r\n\r\nEvent: Hangup\r\nCause: 16\r\n\r\n\r\n\r\n"
        async with linked(polite(after=hangup(1) + garbage + hangup(2))) as (link, _, listener):
            await listener.has(2)
            assert listener.numbers() == [1, 2]
            assert link.garbled == 2

    async def test_a_message_without_end_ends_the_link(self) -> None:
        async def endless(visit: Visit) -> None:
            await polite(after=hangup(1) + b"Event: " + b"x" * (2 * 1024 * 1024))(visit)

        async with linked(endless) as (link, _, listener):
            async with asyncio.timeout(20):
                lost = await link.watch()
            assert isinstance(lost, LinkLost)
            assert "no end" in str(lost)
            assert listener.numbers() == [1]
            assert listener.types()[-1] is Disconnected

    async def test_the_tap_hears_every_byte(self) -> None:
        heard: list[bytes] = []
        listener = Listener()
        async with scripted(polite(after=hangup(1))) as pbx:
            address = AmiAddress(pbx.host, pbx.port, "amibridge", Secret(SECRET))
            link = Link(address, listener.hear, settings=PATIENT, tap=heard.append)
            await link.open()
            await listener.has(1)
            await link.close()
        raw = b"".join(heard)
        assert raw.startswith(GREETING)
        assert BOOTED in raw
        assert hangup(1) in raw
        assert SECRET.encode() not in raw

    async def test_events_arrive_stamped_when_asterisk_stamps_none(self) -> None:
        unstamped = hangup().replace(b"Timestamp: 1795491044.000000\r\n", b"")
        before = datetime.now(UTC)
        async with linked(polite(after=unstamped)) as (_, _, listener):
            await listener.has(1)
            [event] = [event for event in listener.events if isinstance(event, Hangup)]
            assert before <= event.at <= datetime.now(UTC)

    async def test_who_cannot_take_the_events_ends_the_link(self) -> None:
        """A queue that is full: the next link's snapshot mends what is missed, silence would not."""
        taken: list[AmiEvent] = []

        def overflow(events: Sequence[AmiEvent]) -> None:
            taken.extend(events)
            if any(isinstance(event, Hangup) for event in events):
                raise OverflowError("queue")

        async with scripted(polite(after=hangup(1))) as pbx:
            address = AmiAddress(pbx.host, pbx.port, "amibridge", Secret(SECRET))
            link = Link(address, overflow, settings=PATIENT)
            await link.open()
            async with asyncio.timeout(20):
                lost = await link.watch()
            await link.close()
        assert isinstance(lost, LinkLost)
        assert "OverflowError" in str(lost)
        assert type(taken[-1]) is Disconnected


class TestLosing:
    async def test_the_pbx_goes(self) -> None:
        async def go(visit: Visit) -> None:
            task = asyncio.timeout(0.2)
            with contextlib.suppress(TimeoutError):
                async with task:
                    await polite(after=hangup(1))(visit)

        async with linked(go) as (link, _, listener):
            async with asyncio.timeout(20):
                lost = await link.watch()
            assert "closed" in str(lost)
            assert listener.types()[-2:] == [Hangup, Disconnected]

    async def test_the_connection_breaks(self) -> None:
        async with linked(polite()) as (link, pbx, listener):
            await listener.has(1, ChannelSnapshot)
            reset = pbx.visits[0].writer.transport.get_extra_info("socket")
            reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            pbx.visits[0].writer.transport.abort()
            async with asyncio.timeout(20):
                lost = await link.watch()
            assert isinstance(lost, LinkLost)
            assert listener.types().count(Disconnected) == 1

    async def test_a_half_open_link_is_noticed(self) -> None:
        async def freeze(visit: Visit) -> None:
            visit.say(GREETING)
            for name in OPENING:
                action = await visit.hear()
                assert action["Action"] == name
                visit.answer(action)
            await visit.hold()

        async with linked(freeze, HASTY) as (link, _, listener):
            async with asyncio.timeout(20):
                lost = await link.watch()
            assert isinstance(lost, LinkLost)
            assert "not a byte" in str(lost)
            assert listener.types() == [Connected, Disconnected]

    async def test_the_default_patience_is_under_fifteen_seconds(self) -> None:
        usual = LinkSettings()
        assert usual.silence + min(usual.silence, usual.ping_every) / 4 < timedelta(seconds=15)
        assert usual.ping_every * 2 < usual.silence

    async def test_an_idle_link_lives_by_its_pings(self) -> None:
        settings = LinkSettings(
            boot_grace=timedelta(milliseconds=20),
            ping_every=timedelta(milliseconds=50),
            silence=timedelta(seconds=2),
        )
        async with linked(polite(), settings) as (link, pbx, listener):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.7):
                    await link.watch()
                pytest.fail("the link went")
            assert len(pbx.heard("Ping")) >= 3
            assert Disconnected not in listener.types()
            assert pending(link) == 0

    async def test_any_byte_is_a_sign_of_life(self) -> None:
        """A PBX that is too busy to answer pings but talks is there."""
        settings = LinkSettings(
            boot_grace=timedelta(milliseconds=20),
            ping_every=timedelta(milliseconds=100),
            silence=timedelta(milliseconds=600),
        )

        async def chatter(visit: Visit) -> None:
            async def talk() -> None:
                while True:
                    await asyncio.sleep(0.02)
                    visit.say(b"\r\n")

            async with asyncio.TaskGroup() as tasks:
                talking = tasks.create_task(talk(), name="chatter")
                try:
                    await polite(ignores={"Ping"})(visit)
                finally:
                    talking.cancel()

        async with linked(chatter, settings) as (link, _, _):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.2):
                    lost = await link.watch()
                    pytest.fail(f"the link went: {lost}")

    async def test_what_is_lost_is_said_once(self) -> None:
        async with linked(polite()) as (link, _, listener):
            link.lose(LinkLost("first"))
            link.lose(LinkLost("second"))
            assert str(await link.watch()) == "first"
            assert listener.types().count(Disconnected) == 1

    async def test_after_the_end_nothing_is_heard(self) -> None:
        async with linked(polite()) as (link, _, listener):
            await listener.has(1, ChannelSnapshot)
            link.lose(LinkLost("over"))
            link.receive(hangup(1))
            assert listener.types()[-1] is Disconnected


class TestClosing:
    async def test_it_says_goodbye(self) -> None:
        async with linked(polite(), LinkSettings()) as (link, pbx, listener):
            await link.close()
            assert pbx.visits[0].names()[-1] == "Logoff"
            await link.close()
            assert len(pbx.heard("Logoff")) == 1
            assert listener.types().count(Disconnected) == 1

    async def test_who_does_not_answer_the_goodbye_is_left(self) -> None:
        async with linked(polite(ignores={"Logoff"}), HASTY) as (link, _, _):
            async with asyncio.timeout(10):
                await link.close()

    async def test_a_link_that_never_opened_closes(self) -> None:
        async with scripted(polite()) as pbx:
            link = link_to(pbx, Listener())
            await link.close()
            assert pbx.visits == []

    async def test_cancelled_while_it_connects_it_leaves_no_connection(self) -> None:
        left = asyncio.Event()

        async def mute(visit: Visit) -> None:
            with contextlib.suppress(ConnectionError):
                await visit.reader.read()
            left.set()

        async with scripted(mute) as pbx:
            link = link_to(pbx, Listener())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await link.open()
            await link.close()
            if pbx.visits:
                async with asyncio.timeout(10):
                    await left.wait()

    async def test_nothing_of_it_is_left_running(self) -> None:
        before = asyncio.all_tasks()
        async with linked(polite()):
            pass
        assert {task for task in asyncio.all_tasks() - before if "receive" not in repr(task)} == set()


async def test_the_secret_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for talk in (polite(), polite(refuses={"Login"}), polite(ignores={"Login"})):
        async with scripted(talk) as pbx:
            link = link_to(pbx, Listener(), HASTY)
            with contextlib.suppress(AmiError):
                await link.open()
            await link.close()
    assert SECRET not in caplog.text
