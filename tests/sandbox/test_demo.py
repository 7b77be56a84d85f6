"""`amibridge demo` as a person runs it: what he reads and sees, and that nothing is left when he has seen enough."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from amibridge.sandbox.shops import SHOPS
from tests.delivery.waiting import until
from tests.house.source import ROOT
from tests.recordings.mp3_frames import seconds_of

pytestmark = [pytest.mark.system, pytest.mark.slow]

STOPPED_WITHIN = 10.0
PATIENCE = 60.0
NOT_HERE = ("PYTHONDEVMODE", "PYTHONASYNCIODEBUG", "NO_COLOR")


class Demo:
    """A process in a session of its own, as a terminal has it, whose temporary files all lie in *folder*."""

    def __init__(self, folder: Path, told: Path) -> None:
        self.folder = folder
        self._told = told
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, *words: str, program: tuple[str, ...] = ("-m", "amibridge", "demo")) -> None:
        with self._told.open("wb") as told:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *program,
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=told,
                env={name: value for name, value in os.environ.items() if name not in NOT_HERE}
                | {"TMPDIR": str(self.folder)},
                start_new_session=True,
            )

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    def told(self) -> str:
        return self._told.read_text("utf-8")

    async def says(self, text: str) -> str:
        """Wait for the line, and return it."""
        await until(lambda: text in self.told() or self.process.returncode is not None, PATIENCE)
        return next(line for line in self.told().splitlines() if text in line)

    async def page(self) -> str:
        line = await self.says("and watch calls arrive")
        return line.partition("open ")[2].partition("/ ")[0]

    async def ended(self, seconds: float) -> tuple[int, list[str]]:
        """Exit code and lines of stdout."""
        async with asyncio.timeout(seconds):
            out, _ = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, out.decode().splitlines()

    async def running(self) -> list[str]:
        """Command lines of processes that work on the folder of temporary files."""
        listing = await asyncio.create_subprocess_exec("ps", "-A", "-ww", "-o", "args=", stdout=asyncio.subprocess.PIPE)
        out, _ = await listing.communicate()
        return [line for line in out.decode().splitlines() if str(self.folder) in line]

    async def assert_nothing_left(self) -> None:
        assert os.listdir(self.folder) == []
        assert await self.running() == []

    async def close(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.communicate()


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Demo]:
    """Not started yet."""
    with tempfile.TemporaryDirectory() as short:
        demo = Demo(Path(short), tmp_path / "stderr")
        try:
            yield demo
        finally:
            await demo.close()


def complaints(told: str) -> list[str]:
    """Lines of the log that are more than information, and tracebacks. That the machine is busy is its own affair."""
    logged = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    serious = [line for line in logged if line["level"] != "info" and line["event"] != "loop_stalled"]
    return [str(line) for line in serious] + re.findall("Traceback.*", told)


def steps(told: str) -> list[str]:
    """What the demo says of itself, whatever the time and the port."""
    said = re.findall(r"^\[ *\d+\.\d s\] (.*)$", told, re.MULTILINE)
    return [re.sub(r"(?<=127\.0\.0\.1:)\d+|(?<=DATA_DIR=)\S+|\d+\.\d(?= s\))", "…", step) for step in said]


SAMPLE = steps((ROOT / "README.md").read_text("utf-8"))
"""What the README promises to be read."""


async def test_once_plays_every_call_and_the_crm_has_each_right(demo: Demo) -> None:
    await demo.start("--once", "--speed", "60")
    code, lines = await demo.ended(PATIENCE)
    told = demo.told()
    assert code == 0, told
    summaries = [json.loads(line) for line in lines]
    assert [summary["enterprise"] for summary in summaries] == [shop.number for shop in SHOPS]
    for summary in summaries:
        assert summary["wrong"] == []
        assert summary["history_entries"] == summary["external_calls"] > 0
        assert summary["above_rate_limit"] == 0
    assert sum(summary["popup_events"] for summary in summaries) > 0, "of one call at this speed none may be in time"
    assert [(one["calls_played"], one["external_calls"]) for one in summaries] == [(21, 20), (1, 1)]
    said = re.findall(r"^\[ *\d+\.\d s\] (.*)$", told, re.MULTILINE)
    page = re.findall(r"^open (http://127\.0\.0\.1:\d+/) and watch calls arrive$", "\n".join(said), re.MULTILINE)
    assert len(page) == 1
    assert f"the first popup is on {page[0]}" in said
    assert said[-3:] == [
        "stopped; nothing is left behind",
        "Ромашка: calls with customers: 20 played, 20 in the CRM, each once and right",
        "Василёк: calls with customers: 1 played, 1 in the CRM, each once and right",
    ]
    assert all(
        re.search(r" \(\d+\.\d s\)$", step) for step in said[: said.index(f"open {page[0]} and watch calls arrive")]
    )
    assert complaints(told) == []
    await demo.assert_nothing_left()


async def test_while_it_runs_calls_can_be_seen_and_heard_and_ctrl_c_ends_it(demo: Demo) -> None:
    await demo.start("--speed", "10")
    page = await demo.page()
    async with aiohttp.ClientSession() as session:
        answered = await _answered(session, page)
        user = answered["user"]
        assert user["name"] in {"Анна Сидорова", "Борис Иванов", "Клара Вебер"}
        address = answered["record_url"]
        async with session.get(address) as response:
            recording = await response.read()
            assert (response.status, response.content_type) == (200, "audio/mpeg")
        assert seconds_of(recording) == pytest.approx(answered["talked"], rel=0.25)
        async with session.get(address, headers={"Range": "bytes=100-199"}) as response:
            assert (response.status, await response.read()) == (206, recording[100:200])
        async with session.get(f"{page}/") as response:
            assert address in await response.text()
    os.killpg(demo.process.pid, signal.SIGINT)  # a terminal tells everybody
    assert await demo.ended(STOPPED_WITHIN) == (0, [])
    told = demo.told()
    assert steps(told)[: len(SAMPLE)] == SAMPLE
    assert len(SAMPLE) == 7
    assert steps(told)[-2:] == ["stopping", "stopped; nothing is left behind"]
    assert told.splitlines()[-1].endswith("stopped; nothing is left behind")
    assert complaints(told) == []
    await demo.assert_nothing_left()


async def _answered(session: aiohttp.ClientSession, page: str) -> dict[str, Any]:
    """The first call with a recording that the CRM has."""
    async with asyncio.timeout(PATIENCE):
        while True:
            async with session.get(f"{page}/state.json") as response:
                state = await response.json()
            for account in state["accounts"]:
                for call in account["calls"]:
                    if call["record_url"] is not None:
                        assert call["result"] == "answered"
                        return dict(call)
            await asyncio.sleep(0.05)


async def test_sigterm_in_the_middle_ends_it_in_order(demo: Demo) -> None:
    await demo.start("--speed", "5")
    await demo.says("the first popup is on http://127.0.0.1:")
    demo.process.send_signal(signal.SIGTERM)
    assert await demo.ended(STOPPED_WITHIN) == (0, [])
    assert complaints(demo.told()) == []
    await demo.assert_nothing_left()


async def test_a_click_is_a_call_in_it(demo: Demo) -> None:
    await demo.start("--speed", "20")
    await demo.page()
    where = json.loads(await demo.says("web_listening"))["address"]
    await until(lambda: demo.told().count("host_connected") >= 3, PATIENCE)
    asked = {"clientId": "demo-0124", "code": "101", "phone": "+375291234567"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{where}/api/makecallexternal", params=asked) as response,
    ):
        answer = await response.json()
    assert (answer["enterprise"], answer["to_phone"]) == ("Василёк", "+375291234567")
    await until(lambda: any('"call_ended"' in line and answer["call"] in line for line in demo.told().splitlines()))
    demo.process.send_signal(signal.SIGINT)
    assert await demo.ended(STOPPED_WITHIN) == (0, [])


async def test_a_terminal_that_is_closed_ends_it_even_while_it_is_being_set_up(demo: Demo) -> None:
    """Half a run of `--once` is no success. The folder's path is too long for a socket's."""
    demo.folder /= "x" * 100
    os.mkdir(demo.folder)
    await demo.start("--once")
    await until(lambda: [*demo.folder.glob("*/postgresql/data*")], PATIENCE)
    os.killpg(demo.process.pid, signal.SIGHUP)
    assert await demo.ended(STOPPED_WITHIN) == (1, [])
    told = demo.told()
    assert told.splitlines()[-1].endswith("interrupted: not all calls were played")
    assert "watch calls arrive" not in told
    assert complaints(told) == []
    await demo.assert_nothing_left()


async def test_killed_without_a_word_it_leaves_no_postgresql_running(demo: Demo) -> None:
    await demo.start()
    await demo.says("a private PostgreSQL")
    assert any("postgres" in line for line in await demo.running())
    demo.process.kill()
    await demo.process.communicate()
    async with asyncio.timeout(STOPPED_WITHIN):
        while await demo.running():
            await asyncio.sleep(0.05)


async def test_a_port_that_is_taken_costs_one_sentence(demo: Demo) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        await demo.start("--port", str(port))
        assert await demo.ended(PATIENCE) == (1, [])
    assert demo.told() == (
        f"amibridge: port {port} cannot be had (Address already in use): choose another with --port\n"
    )
    await demo.assert_nothing_left()


async def test_a_machine_without_postgresql_is_told_what_to_install(demo: Demo, tmp_path: Path) -> None:
    program = (
        "import sys; from amibridge.store import embedded; from amibridge.cli import main; from pathlib import Path\n"
        "def find_binaries(): raise embedded.EmbeddedUnusable('there is no PostgreSQL: install it')\n"
        "embedded.find_binaries = find_binaries\n"
        "sys.exit(main(['demo']))"
    )
    await demo.start(program=("-c", program))
    assert await demo.ended(PATIENCE) == (1, [])
    assert demo.told() == "amibridge: there is no PostgreSQL: install it\n"
    await demo.assert_nothing_left()
