"""Opening a link: the good conversation, and everything that may stand at the other end instead."""

from __future__ import annotations

import contextlib
import socket

import pytest

from amibridge.ami import actions
from amibridge.ami.errors import AmiError, HostUnreachable, LinkLost, LoginRefused
from amibridge.ami.events import (
    ChannelSnapshot,
    Connected,
    FullyBooted,
)
from amibridge.ami.link import AmiAddress, Link, LinkSettings
from amibridge.redact import Secret
from tests.ami.linking import HASTY, PATIENT, SECRET, Listener, hangup, link_to, linked
from tests.ami.scripted_pbx import GREETING, OPENING, ScriptedPbx, Talk, Visit, polite, scripted
from tests.delivery.waiting import until


class TestOpening:
    async def test_log_in_set_the_filter_ask_for_the_channels(self) -> None:
        async with linked(polite()) as (link, pbx, listener):
            await listener.has(1, ChannelSnapshot)
            assert listener.types() == [Connected, FullyBooted, ChannelSnapshot]
            assert (link.version, link.filtered, link.lists_channels) == ("11.0.0", True, True)
            await until(lambda: pbx.visits[0].names() == list(OPENING))
            [login] = pbx.heard("Login")
            assert (login["Username"], login["Secret"], login["Events"]) == ("amibridge", SECRET, "on")
            filters = [(one["Operation"], one["Filter"]) for one in pbx.heard("Filter")]
            assert filters == [("Add", actions.event_filter())]

    async def test_a_user_who_is_never_told_that_asterisk_has_booted(self) -> None:
        async with linked(polite(booted=False)) as (_, _, listener):
            await listener.has(1, ChannelSnapshot)
            assert listener.types() == [Connected, ChannelSnapshot]

    async def test_a_user_who_may_not_filter_goes_on_unfiltered(self) -> None:
        async with linked(polite(refuses={"Filter"}, after=hangup(1))) as (link, pbx, listener):
            await listener.has(1)
            assert not link.filtered
            assert len(pbx.heard("Filter")) == 1
            assert len(pbx.heard("CoreShowChannels")) == 1

    async def test_a_user_who_may_not_list_channels_goes_on_without(self) -> None:
        async with linked(polite(refuses={"CoreShowChannels"}, before=hangup(1))) as (link, _, listener):
            await listener.has(1)
            assert not link.lists_channels

    async def test_events_before_the_login_is_answered_are_not_lost(self) -> None:
        """Asterisk may send them in one segment with the answer."""
        async with linked(polite(before=hangup(1) + hangup(2))) as (_, _, listener):
            assert listener.numbers() == [1, 2]

    async def test_the_snapshot_is_one_event(self) -> None:
        channel = (
            b"Event: CoreShowChannel\r\nActionID: ACTION-ID\r\nChannel: PJSIP/101-0000000a\r\nChannelState: 6\r\n"
            b"Uniqueid: 1.%d\r\nLinkedid: 1.1\r\nApplication: Dial\r\nDuration: 00:00:09\r\n\r\n"
        )
        async with linked(polite(channels=channel % 1 + hangup(1) + channel % 2)) as (_, _, listener):
            await listener.has(1, ChannelSnapshot)
            [snapshot] = [event for event in listener.events if isinstance(event, ChannelSnapshot)]
            assert [one.uniqueid for one in snapshot.channels] == ["1.1", "1.2"]
            assert listener.numbers() == [1]

    async def test_a_server_that_speaks_one_byte_at_a_time(self) -> None:
        async with linked(polite(after=hangup(1), piece=1)) as (link, _, listener):
            await listener.has(1)
            assert link.garbled == 0


async def failing(talk: Talk, settings: LinkSettings = PATIENT) -> tuple[AmiError, ScriptedPbx, Listener]:
    """What `open` raises towards *talk*."""
    listener = Listener()
    async with scripted(talk) as pbx:
        link = link_to(pbx, listener, settings)
        with pytest.raises(AmiError) as raised:
            await link.open()
        assert SECRET not in str(raised.value)
        await link.close()
        return raised.value, pbx, listener


class TestNotOpening:
    async def test_nobody_listens(self) -> None:
        async with scripted(polite()) as pbx:
            pass
        link = link_to(pbx, Listener())
        with pytest.raises(HostUnreachable):
            await link.open()
        await link.close()

    @pytest.mark.parametrize(
        ("host", "port"),
        [("127.0.0.1", 70_000), ("127.0.0.1", -1), ("a..b", 5038), ("x" * 300, 5038), ("nul\0", 5038), ("", 1)],
    )
    async def test_an_address_that_cannot_be(self, host: str, port: int) -> None:
        link = Link(AmiAddress(host, port, "amibridge", Secret(SECRET)), Listener().hear, settings=PATIENT)
        with pytest.raises(HostUnreachable):
            await link.open()
        await link.close()

    async def test_nobody_accepts(self) -> None:
        with socket.socket() as deaf, contextlib.ExitStack() as waiting:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(0)
            for _ in range(3):
                one = waiting.enter_context(socket.socket())
                one.setblocking(False)
                one.connect_ex(deaf.getsockname())
            host, port = deaf.getsockname()
            address = AmiAddress(host, port, "amibridge", Secret(SECRET))
            link = Link(address, Listener().hear, settings=HASTY)
            with pytest.raises(HostUnreachable, match=r"0\.2 s"):
                await link.open()
            await link.close()

    async def test_the_login_is_refused(self) -> None:
        async def refuse(visit: Visit) -> None:
            visit.say(GREETING)
            visit.answer(await visit.hear(), "Error", Message="Authentication failed")

        error, pbx, _ = await failing(refuse)
        assert isinstance(error, LoginRefused)
        assert str(error) == "Authentication failed"
        assert pbx.visits[0].names() == ["Login"]

    async def test_the_login_is_refused_and_the_line_kept_open(self) -> None:
        error, pbx, _ = await failing(polite(refuses={"Login"}))
        assert isinstance(error, LoginRefused)
        assert pbx.heard("Filter") == pbx.heard("CoreShowChannels") == []

    async def test_the_login_is_not_answered(self) -> None:
        error, _, _ = await failing(polite(ignores={"Login"}), HASTY)
        assert isinstance(error, LinkLost)
        assert "Login" in str(error)

    async def test_the_channels_are_not_listed(self) -> None:
        error, _, _ = await failing(polite(ignores={"CoreShowChannels"}), HASTY)
        assert isinstance(error, LinkLost)

    async def test_it_closes_while_we_log_in(self) -> None:
        async def leave(visit: Visit) -> None:
            visit.say(GREETING)
            await visit.hear()

        error, _, _ = await failing(leave)
        assert isinstance(error, LinkLost)
        assert "closed" in str(error)

    @pytest.mark.parametrize(
        "greeting",
        [
            b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
            b"\x15\x03\x01\x00\x02\x02\x0a",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"\x00" * 4096,
            b"Asterisk Call Monster/1.0\r\n\r\n",
            b"\r\nAsterisk Call Manager/11.0.0\r\n",
            b"A" + b"\xff" * 100_000,
        ],
    )
    async def test_who_does_not_speak_ami_is_not_told_the_secret(self, greeting: bytes) -> None:
        async def other(visit: Visit) -> None:
            visit.say(greeting)
            visit.told = await visit.reader.read()

        error, pbx, listener = await failing(other)
        assert isinstance(error, LinkLost)
        assert "AMI" in str(error)
        assert pbx.visits[0].told == b""
        assert listener.events == []

    async def test_who_says_nothing_is_not_told_the_secret(self) -> None:
        async def mute(visit: Visit) -> None:
            visit.told = await visit.reader.read()

        error, pbx, _ = await failing(mute, HASTY)
        assert isinstance(error, HostUnreachable)
        assert "greet" in str(error)
        assert pbx.visits[0].told == b""

    async def test_half_a_greeting(self) -> None:
        async def half(visit: Visit) -> None:
            visit.say(GREETING[:10])
            visit.told = await visit.reader.read()

        error, pbx, _ = await failing(half, HASTY)
        assert isinstance(error, HostUnreachable)
        assert pbx.visits[0].told == b""
