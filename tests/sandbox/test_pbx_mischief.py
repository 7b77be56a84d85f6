"""Each mischief of the sandbox PBX does what it says, once or until it is told to behave."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from amibridge.sandbox.pbx import SandboxPbx
from amibridge.sandbox.pbx_mischief import Mischief
from tests.delivery.waiting import until
from tests.sandbox.ami_client import (
    ABANDONED,
    ANSWERED,
    BOOTED,
    BUSY,
    connected,
    dialled,
    messages,
    named,
    pbx_of,
)

LONG = timedelta(milliseconds=300)


def bad(*traces: Any, **mischief: Any) -> SandboxPbx:
    pbx = pbx_of(*(traces or (BUSY,)), shift=False)
    pbx.misbehave(**mischief)
    return pbx


async def whole(*traces: Any) -> bytes:
    """Every byte that is played when nothing is wrong."""
    pbx = pbx_of(*(traces or (BUSY,)), shift=False)
    async with dialled(pbx) as client:
        await client.login()
        return await client.hears_all(pbx)


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.2p1\r\n", b"Asterisk Call Manager/5.0.4\r\n"])
async def test_greeting_is_what_somebody_else_would_say(greeting: bytes) -> None:
    async with dialled(bad(greeting=greeting)) as client:
        assert await client.greeting() == greeting


async def test_greeting_may_be_nothing() -> None:
    async with dialled(bad(greeting=b"")) as client:
        client.send("Action: Ping", "ActionID: 1")
        assert (await client.next())["Message"] == "Permission denied"


async def test_close_at_login_answers_with_the_end() -> None:
    async with dialled(bad(close_at_login=True)) as client:
        await client.greeting()
        client.send("Action: Login", "Username: amibridge", "Secret: demo")
        assert await client.until_end() == b""


async def test_refuses_what_the_user_may_not_do_and_nothing_else() -> None:
    async with dialled(bad(refuses=frozenset({"Filter", "Originate"}))) as client:
        await client.login()
        for action in ("Filter", "Originate", "filter"):
            answer = await client.ask(action, Channel="PJSIP/101", Exten="1", Operation="Add", Filter="x")
            assert (answer["Response"], answer["Message"]) == ("Error", "Permission denied")
        assert (await client.ask("Ping"))["Response"] == "Success"


async def test_refuses_a_login_too() -> None:
    async with dialled(bad(refuses=frozenset({"Login"}))) as client:
        assert (await client.login())["Message"] == "Authentication failed"
        assert await client.until_end() == b""


async def test_ignores_never_answers() -> None:
    async with dialled(bad(ignores=frozenset({"Ping"}))) as client:
        await client.login()
        client.send("Action: Ping", "ActionID: unanswered")
        client.send("Action: ping", "ActionID: unanswered")
        await client.ask("CoreShowChannels")
        assert b"unanswered" not in client.heard


async def test_boots_tells_nobody_without_the_right_to_know() -> None:
    pbx = bad(boots=False)
    async with dialled(pbx) as client:
        await client.login()
        await client.hears_all(pbx)
        assert named(client.heard, "Hangup")
        assert b"FullyBooted" not in client.heard


async def test_stamps_leaves_the_time_out_of_events_and_of_nothing_else() -> None:
    pbx = bad(stamps=False)
    async with dialled(pbx) as client:
        await client.login()
        events = messages(await client.hears_all(pbx))
        assert len(events) > 10
        assert not any("Timestamp" in event for event in events)
        assert float((await client.ask("Ping"))["Timestamp"]) > 0


async def test_ahead_moves_the_clock_that_a_pong_tells() -> None:
    async with dialled(bad(ahead=timedelta(hours=1))) as client:
        await client.login()
        moved = float((await client.ask("Ping"))["Timestamp"])
    async with dialled(bad()) as client:
        await client.login()
        assert moved - float((await client.ask("Ping"))["Timestamp"]) == pytest.approx(3600, abs=60)


async def test_answers_after_makes_each_answer_late_and_no_event() -> None:
    pbx = pbx_of(BUSY, BUSY, shift=False, gap=1.0, speed=20)
    async with dialled(pbx) as client:
        await client.login()
        pbx.misbehave(answers_after=LONG)
        began = time.monotonic()
        await client.ask("Ping")
        assert time.monotonic() - began >= LONG.total_seconds()
        assert named(client.played, "Hangup")


@pytest.mark.parametrize("piece", [1, 7, 100])
async def test_piece_cuts_everything_that_is_said(piece: int) -> None:
    everything, said, sizes = await whole(), b"", list[int]()
    async with dialled(bad(piece=piece)) as client:
        client.send("Action: Login", "Username: amibridge", "Secret: demo")
        while len(said.partition(BOOTED)[2]) < len(everything):
            said += (one := await client.piece())
            sizes.append(len(one))
    assert said.startswith(b"Asterisk Call Manager/11.0.0\r\nResponse: Success\r\n")
    assert said.partition(BOOTED)[2] == everything
    # Two may arrive together, never a whole message.
    assert sorted(sizes)[len(sizes) // 2] <= 2 * piece


async def test_garbage_comes_before_every_event_and_no_answer() -> None:
    pbx = bad(garbage=b"%$ one line of noise\r\n\r\n")
    async with dialled(pbx) as client:
        await client.login()
        await client.hears_all(pbx)
        assert (await client.ask("Ping"))["Response"] == "Success"
    noise, events = client.played.count(b"%$ one line of noise\r\n\r\n"), client.played.count(b"Event: ")
    assert noise == events > 10
    assert client.played.replace(b"%$ one line of noise\r\n\r\n", b"") == await whole()


@pytest.mark.parametrize("limit", [1, 10, 300, 5000])
async def test_cut_after_bytes_carries_exactly_so_many(limit: int) -> None:
    pbx = bad(cut_after_bytes=limit)
    async with pbx.serve() as address:
        async with connected(address) as client:
            client.send("Action: Login", "ActionID: 1", "Username: amibridge", "Secret: demo")
            said = await client.until_end()
        assert len(said) == limit
        assert b"Asterisk Call Manager/11.0.0\r\n".startswith(said[:30])
        async with connected(address) as again:
            assert (await again.login())["Response"] == "Success"


async def test_cut_after_bytes_that_are_over_already_cuts_at_once() -> None:
    pbx = bad()
    async with dialled(pbx) as client:
        said = await client.greeting()
        pbx.misbehave(cut_after_bytes=len(said) - 10)
        client.send("Action: Ping")
        assert await client.until_end() == b""


async def test_cut_at_event_ends_in_the_middle_of_it() -> None:
    pbx, everything = bad(cut_at_event=5), await whole()
    async with pbx.serve() as address:
        async with connected(address) as client:
            client.send("Action: Login", "ActionID: 1", "Username: amibridge", "Secret: demo")
            heard = (await client.until_end()).partition(BOOTED)[2]
        assert everything.startswith(heard)
        assert heard.count(b"Event: ") == 5
        assert not heard.endswith(b"\r\n\r\n")
        async with connected(address) as again:
            await again.login()
            await again.hears_all(pbx)


async def test_cut_at_event_strikes_one_connection_and_is_used_up() -> None:
    pbx, everything = pbx_of(BUSY, shift=False, lost=False), await whole()
    pbx.misbehave(cut_at_event=5)
    async with pbx.serve() as address, connected(address) as one, connected(address) as other:
        await one.login()
        await other.login()
        other.send("Action: CoreShowChannels")
        async with asyncio.timeout(20):
            await pbx.played()
        assert pbx.connections == 1
        await other.ask("Ping")
        assert other.played.endswith(everything)
        await one.until_end()


async def test_cut_at_event_counts_what_one_connection_is_told() -> None:
    pbx = pbx_of(BUSY, shift=False, lost=False)
    pbx.misbehave(cut_at_event=2)
    async with dialled(pbx) as client:
        await client.login()
        await client.ask("Filter", Operation="Add", Filter="Event: (Newchannel|Hangup)[^A-Za-z]")
        client.send("Action: CoreShowChannels")
        heard = (await client.until_end()).replace(b"\r\n\r\n\r\n", b"\r\n\r\n")
    assert heard.count(b"Event: Newchannel\r\n") == 2


async def test_freeze_at_event_is_mute_and_deaf_from_there_and_stays_connected() -> None:
    pbx, everything = bad(freeze_at_event=5), await whole()
    async with pbx.serve() as address, connected(address) as client:
        client.send("Action: Login", "ActionID: 1", "Username: amibridge", "Secret: demo")
        await pbx.played()
        await client.greeting()
        for _ in range(2 + 4):
            await client.next()
        asked = len(pbx.received)
        client.send("Action: Ping")
        async with connected(address) as other:
            await other.login()
            await other.ask("Ping")
        await until(lambda: pbx.connections == 1)
        assert [action["Action"] for action in pbx.received[asked:]] == ["Login", "Ping"]
        pbx.behave()
        pbx.cut()
        assert await client.until_end() == b""
    assert everything.count(b"Event: ") > 5


async def test_mischief_adds_up_until_it_is_told_to_behave() -> None:
    pbx = bad(refuses=frozenset({"Filter"}))
    pbx.misbehave(ignores=frozenset({"Ping"}))
    async with dialled(pbx) as client:
        await client.login()
        client.send("Action: Ping", "ActionID: unanswered")
        assert (await client.ask("Filter"))["Message"] == "Permission denied"
        pbx.behave()
        assert (await client.ask("Ping"))["Response"] == "Success"
        assert (await client.ask("Filter", Operation="Add", Filter="x"))["Response"] == "Success"
        assert b"unanswered" not in client.heard


async def test_a_cut_ends_every_connection_and_the_pbx_serves_on() -> None:
    pbx = pbx_of(ABANDONED, speed=5)
    async with pbx.serve() as address:
        async with connected(address) as one, connected(address) as other:
            await one.login()
            await other.login()
            assert pbx.connections == 2
            pbx.cut()
            await one.until_end()
            await other.until_end()
            await until(lambda: pbx.connections == 0)
        async with connected(address) as again:
            assert (await again.login())["Response"] == "Success"


async def test_who_does_not_read_is_dropped_and_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amibridge.sandbox.pbx_line.WRITE_PATIENCE", timedelta(milliseconds=100))
    pbx = pbx_of(*[ANSWERED] * 100)
    async with pbx.serve() as address, connected(address) as client:
        deaf = socket.create_connection(address)
        deaf.sendall(b"Action: Login\r\nUsername: amibridge\r\nSecret: demo\r\n\r\n")
        await until(lambda: pbx.connections == 1)
        await client.login()
        await client.hears_all(pbx)
        assert pbx.connections == 1
        deaf.close()


def test_every_mischief_is_tried_here() -> None:
    text = Path(__file__).read_text("utf-8")
    assert [one.name for one in fields(Mischief) if f"{one.name}=" not in text] == []
