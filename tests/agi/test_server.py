"""FastAGI as Asterisk speaks it, and as it does not: a call is answered in time, or goes its normal way."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from structlog.testing import capture_logs

from amibridge.agi.conversation import LONGEST_LINE, MOST_LINES
from amibridge.agi.server import AgiAddressTaken, AgiServer
from amibridge.config import AgiSettings
from amibridge.responsible.answer import Answer, Nobody, Why
from tests.agi.caller import AT_ONCE, CLIENT, ENVIRONMENT, Exchange, unwritten

WHOLE = {"AMIBRIDGE_EXTENSION": "101", "AMIBRIDGE_NAME": "Москва | Иван", "AMIBRIDGE_REASON": "responsible"}
SAID = "".join(f"{name}: {value}\n" for name, value in ENVIRONMENT.items()).encode()


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines
    assert CLIENT not in str(lines)


def refused(lines: list[Any]) -> list[str]:
    return [line["reason"] for line in lines if line["event"] == "agi_refused"]


class TestAsked:
    async def test_variables_are_set(self) -> None:
        async with Exchange().serve() as exchange:
            assert await exchange.call() == WHOLE
            assert exchange.asked == [("0123", "79161234567", "74951110001")]

    @pytest.mark.parametrize(
        ("said", "phone", "line"),
        [
            ({"agi_arg_2": "79160000002", "agi_arg_3": "0001301"}, "79160000002", "0001301"),
            ({"agi_arg_1": None, "agi_network_script": f"responsible?client={CLIENT}"}, "79161234567", "74951110001"),
            (
                {
                    "agi_arg_1": None,
                    "agi_network_script": f"/responsible/?client={CLIENT}&phone=%2B79160000003&line=1",
                },
                "+79160000003",
                "1",
            ),
            ({"agi_callerid": "unknown"}, "", "74951110001"),
            ({"agi_callerid": None, "agi_dnid": "unknown"}, "", "74951110001"),
            ({"agi_dnid": "unknown", "agi_extension": "s"}, "79161234567", "s"),
            ({"agi_dnid": None, "agi_extension": None}, "79161234567", None),
        ],
    )
    async def test_of_whom_and_on_which_line(self, said: dict[str, str | None], phone: str, line: str | None) -> None:
        async with Exchange().serve() as exchange:
            assert await exchange.call(None, **said) == WHOLE
            assert exchange.asked == [("0123", phone, line)]

    async def test_nobody_empties_what_an_earlier_question_left(self) -> None:
        async with Exchange(answer=Answer(Nobody(Why.DINNER))).serve() as exchange:
            assert await exchange.call() == {
                "AMIBRIDGE_EXTENSION": "",
                "AMIBRIDGE_NAME": "",
                "AMIBRIDGE_REASON": "dinner",
            }

    async def test_what_is_set_ends_neither_word_nor_line(self) -> None:
        told = Answer(Nobody(Why.BUSY), 'a"b\\c\r\nEXEC System "reboot"\n')
        async with Exchange(answer=told).serve() as exchange:
            assert (await exchange.call())["AMIBRIDGE_NAME"] == 'a"b\\c  EXEC System "reboot" '

    @pytest.mark.parametrize("before", ["HANGUP\n", "100 Trying...\n", "HANGUP\n100 Trying...\n"])
    async def test_what_asterisk_says_in_between_is_passed_over(self, before: str) -> None:
        async with Exchange().serve() as exchange:
            replies = {"AMIBRIDGE_EXTENSION": f"{before}200 result=1\n"}
            assert await exchange.call(replies) == WHOLE


class TestRefused:
    async def test_a_client_of_nobodys_gets_no_extension(self, lines: list[Any]) -> None:
        async with Exchange().serve() as exchange:
            found = await exchange.call(agi_arg_1="0123")
            assert found == {"AMIBRIDGE_EXTENSION": "", "AMIBRIDGE_NAME": "", "AMIBRIDGE_REASON": "not_told"}
            assert exchange.asked == []
        assert refused(lines) == ["a client id of nobody's"]

    async def test_whoever_tries_one_client_id_after_another_finds_none(self) -> None:
        nobody = {"AMIBRIDGE_EXTENSION": "", "AMIBRIDGE_NAME": "", "AMIBRIDGE_REASON": "not_told"}
        async with Exchange().serve() as exchange:
            for number in range(25):
                assert await exchange.call(agi_arg_1=f"{number:04}") == nobody
            assert await exchange.call() == nobody, "also the right one, or whoever guesses would know it"
            assert exchange.asked == []

    async def test_a_pbx_whose_client_id_is_an_old_one_does_not_silence_its_neighbour(self) -> None:
        async with Exchange().serve() as exchange:
            for _ in range(25):
                await exchange.call(agi_arg_1="0123")
            assert await exchange.call() == WHOLE

    @pytest.mark.parametrize("script", ["", "other", "responsible.agi", "../responsible/x", "?client=1", None])
    async def test_another_script(self, lines: list[Any], script: str | None) -> None:
        async with Exchange().serve() as exchange:
            assert await exchange.call(agi_network_script=script) == {}
        assert refused(lines) == ["another script"]

    async def test_a_query_without_an_end(self, lines: list[Any]) -> None:
        async with Exchange().serve() as exchange:
            for _ in range(3):
                assert await exchange.call(agi_network_script="responsible?" + "&" * 1000) == {}
        assert refused(lines) == ["a query without an end"]
        assert [line["event"] for line in lines if line["log_level"] == "error"] == []

    @pytest.mark.parametrize(
        ("said", "reason"),
        [
            (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "a line that is none of an AGI environment"),
            (b"\x16\x03\x01\x00\xff\n\n", "a line that is none of an AGI environment"),
            (b"agi_network: yes", None),
            (b"a" * (LONGEST_LINE * 4), "a line without an end"),
            (b"agi_x: " + b"y" * LONGEST_LINE + b"\n\n", "a line without an end"),
            (b"agi_x: y\n" * (MOST_LINES + 1), "an environment without an end"),
            (b"\n", "another script"),
        ],
    )
    async def test_what_is_no_agi(self, lines: list[Any], said: bytes, reason: str | None) -> None:
        async with Exchange(within=AT_ONCE if reason is None else Exchange.within).serve() as exchange:
            assert await exchange.send(said) == b""
            assert exchange.asked == []
            assert await exchange.call() == WHOLE if reason is not None else True
        assert refused(lines)[:1] == [reason or "nothing said in time"]

    @pytest.mark.parametrize(
        "reply", ["510 Invalid or unknown command\n", "520-Invalid syntax\n", "511 Dead Channel\n", "\n", "x" * 9000]
    )
    async def test_an_asterisk_that_does_not_set_it_is_left(self, lines: list[Any], reply: str) -> None:
        async with Exchange().serve() as exchange:
            assert list(await exchange.call({"AMIBRIDGE_EXTENSION": reply})) == ["AMIBRIDGE_EXTENSION"]
        assert len(refused(lines)) == 1

    async def test_an_asterisk_that_answers_without_end_is_left(self, lines: list[Any]) -> None:
        async with Exchange().serve() as exchange:
            await exchange.call({"AMIBRIDGE_EXTENSION": "100 Trying...\n" * MOST_LINES})
        assert refused(lines) == ["an answer without an end"]

    async def test_refusals_are_said_once_a_minute(self, lines: list[Any]) -> None:
        async with Exchange().serve() as exchange:
            for _ in range(5):
                await exchange.send(b"\n")
        assert len(refused(lines)) == 1


class TestSlow:
    async def test_who_says_nothing_is_left(self, lines: list[Any]) -> None:
        async with Exchange(within=AT_ONCE).serve() as exchange:
            assert await exchange.send(b"") == b""
        assert refused(lines) == ["nothing said in time"]

    async def test_who_says_it_byte_by_byte_is_left(self) -> None:
        async with Exchange(within=AT_ONCE).serve() as exchange:
            reader, writer = await exchange.connect()
            drip = asyncio.create_task(_drip(writer), name="drip")
            async with asyncio.timeout(30):
                with suppress(ConnectionResetError):
                    assert await reader.read() == b""
            drip.cancel()
            writer.close()
            assert exchange.asked == []

    async def test_who_is_answered_and_does_not_say_so_is_left(self, lines: list[Any]) -> None:
        async with Exchange(within=AT_ONCE).serve() as exchange:
            assert await exchange.send(SAID + b"\n") == b'SET VARIABLE AMIBRIDGE_EXTENSION "101"\n'
        assert refused(lines) == ["nothing said in time"]

    async def test_who_leaves_in_the_middle_costs_nothing(self, lines: list[Any]) -> None:
        async with Exchange().serve() as exchange:
            for said in (b"", b"agi_network: yes\n", SAID, SAID + b"\n"):
                _, writer = await exchange.connect()
                writer.write(said)
                writer.transport.abort()
            assert await exchange.call() == WHOLE
        assert not any(line["event"] == "agi_failed" for line in lines)

    async def test_one_too_many_is_closed_and_the_others_are_answered(self, lines: list[Any]) -> None:
        async with Exchange(most=2).serve() as exchange:
            idle = [await exchange.connect() for _ in range(2)]
            assert await exchange.call() == {}
            for _, writer in idle:
                writer.close()
            async with asyncio.timeout(30):
                while await exchange.call() != WHOLE:
                    await asyncio.sleep(0.01)
        assert "too many at once" in refused(lines)

    async def test_whoever_says_nothing_silences_nobody_but_himself(self, lines: list[Any]) -> None:
        async with Exchange(most=4, of_one=2).serve() as exchange:
            silent = [await exchange.connect("127.0.0.2") for _ in range(6)]
            assert [await exchange.call() for _ in range(5)] == [WHOLE] * 5
            assert exchange.asked == [("0123", "79161234567", "74951110001")] * 5
            for _, writer in silent:
                writer.close()
        assert "too many at once" in refused(lines)

    async def test_a_defect_of_ours_is_said_and_costs_one_call(self, lines: list[Any]) -> None:
        async with Exchange(answer=RuntimeError("broken")).serve() as exchange:
            assert await exchange.call() == {}
            exchange.answer = Answer(Nobody(Why.BUSY))
            assert (await exchange.call())["AMIBRIDGE_REASON"] == "busy"
        assert [line["event"] for line in lines if line["event"] == "agi_failed"] == ["agi_failed"]


class TestAudit:
    async def test_whom_a_dialplan_was_told_of_is_written_down(self) -> None:
        async with Exchange().serve() as exchange:
            await exchange.call()
            await exchange.call(agi_arg_1="0123")
            exchange.answer = Answer(Nobody(Why.UNKNOWN_CUSTOMER))
            await exchange.call()
        [row] = exchange.trail._rows
        assert (row.enterprise, row.who, row.address) == ("0123", "dialplan", "127.0.0.1")
        assert (row.action, row.target, row.outcome) == ("responsible", "79161234567 to 101", "responsible")

    async def test_what_cannot_be_written_down_is_not_told(self) -> None:
        async with Exchange(trail=unwritten(room=1)).serve() as exchange:
            assert await exchange.call() == WHOLE
            assert (await exchange.call())["AMIBRIDGE_REASON"] == "not_told"
        assert len(exchange.trail) == 1


async def test_an_address_that_is_taken_is_said() -> None:
    exchange = Exchange()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        server = AgiServer(AgiSettings("127.0.0.1", port), exchange.whose, exchange.who, exchange.trail)
        with pytest.raises(BaseExceptionGroup) as taken:
            await server.serve(asyncio.Event(), asyncio.Event())
    assert isinstance(taken.value.exceptions[0], AgiAddressTaken)
    assert str(taken.value.exceptions[0]) == f"cannot listen on 127.0.0.1:{port} for AGI: Address already in use"


async def _drip(writer: asyncio.StreamWriter) -> None:
    for byte in SAID * 100:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.01)
