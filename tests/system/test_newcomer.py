"""docs/retailcrm.md, from an API key to a ringing popup: its commands are given one by one, and the popup rings."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from amibridge.retailcrm.rights import needed
from amibridge.sandbox.retailcrm import SandboxCrm
from tests.corpus import TRACES
from tests.delivery.waiting import until
from tests.house.source import ROOT
from tests.store.enterprises import romashka
from tests.system.test_straight_line import KEY, account, pbx_of

WALK = (ROOT / "docs" / "retailcrm.md").read_text("utf-8").partition("\n## From an API key")[2].partition("\n## ")[0]
BLOCKS = re.findall(r"^```sh\n(.*?)^```", WALK, re.MULTILINE | re.DOTALL)
ELSEWHERE = ("make install\n", "amibridge doctor 0123 --live\n")
"""Every test stands on the first; the second takes as long as it is gentle, and is tested with the commands."""

RING_GROUP = [trace for trace in TRACES if (trace.stack, trace.kind) == ("asterisk22", "h_ringgroup_102_answers")]


@dataclass
class Terminal:
    process: asyncio.subprocess.Process
    screen: Path

    def shows(self) -> str:
        return self.screen.read_text("utf-8")


@dataclass
class Newcomer:
    """Sits in a folder and gives what the document says to a shell, with *own* names in place of the document's."""

    folder: Path
    environment: dict[str, str]
    own: dict[str, str]
    ahead: list[str] = field(default_factory=lambda: [block for block in BLOCKS if block not in ELSEWHERE])
    exported: str = ""

    @asynccontextmanager
    async def gives(self, block: str) -> AsyncIterator[Terminal]:
        """To a new terminal, with what was exported before; what runs there ends with it."""
        for said, meant in self.own.items():
            block = block.replace(said, meant)
        screen = self.folder / f"terminal-{len(self.ahead)}"
        with screen.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *("bash", "-euc", self.exported + block),
                cwd=self.folder,
                env=self.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.exported += "".join(f"{line}\n" for line in block.splitlines() if line.startswith("export "))
        try:
            yield Terminal(process, screen)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGTERM)
                await process.wait()

    async def goes_on_to(self, command: str) -> str:
        """Gives all that comes before the block of *command*, and that; each succeeds. What the last one says."""
        while True:
            block = self.ahead.pop(0)
            async with self.gives(block) as terminal:
                code = await terminal.process.wait()
            assert code == 0, f"{block}\n{terminal.shows()}"
            if command in block:
                return terminal.shows()


@pytest.fixture
def newcomer(tmp_path: Path, dsn: str, unused_tcp_port: int) -> Newcomer:
    program = tmp_path / ".venv" / "bin" / "amibridge"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m amibridge "$@"\n')
    program.chmod(0o755)
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("AMIBRIDGE_", "PG"))}
    here = f"127.0.0.1:{unused_tcp_port}"
    ours = {"DATABASE__DSN": dsn, "DATA_DIR": str(tmp_path / "state"), "WEB__LISTEN": here}
    environment = plain | {"HOME": str(tmp_path)} | {f"AMIBRIDGE_{name}": value for name, value in ours.items()}
    own = {ELSEWHERE[0]: "", "https://bridge.example.com": f"http://{here}", "KEY-FROM-THE-CRM": KEY}
    return Newcomer(tmp_path, environment, own | {"SECRET-OF-THE-AMI-ACCOUNT": "demo"})


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here, which one of the commands is")
async def test_the_commands_of_the_walk_end_in_a_popup(newcomer: Newcomer) -> None:
    crm = SandboxCrm([replace(account(), needs_module=True)])
    theirs = crm.account(KEY)
    pbx = pbx_of(RING_GROUP, speed=2.0, shift=True, loop=True)
    async with crm.serve() as url, pbx.serve() as (_, port):
        newcomer.own |= {"https://shop.retailcrm.ru": url, '"10.0.0.5"': '"127.0.0.1"', "5038": str(port)}
        assert "enterprise added; host pbx1 added" in await newcomer.goes_on_to("amibridge enterprise apply")
        fits = await newcomer.goes_on_to("amibridge doctor 0123")
        warned = {line[6:].partition("  ")[0] for line in fits.splitlines() if line.startswith("warn")}
        assert warned == {"bridge", "public_url", "0123 CRM module"}
        assert "0 failed" in fits
        run = newcomer.ahead.pop(0)
        assert run.splitlines()[-1] == "amibridge run"
        async with newcomer.gives(run) as bridge:
            await until(lambda: "host_connected" in bridge.shows())
            assert newcomer.ahead.pop(0) == "amibridge doctor\n"  # what it says depends on whether somebody called
            assert '"user": 27' in await newcomer.goes_on_to("amibridge retailcrm users 0123")
            registered = await newcomer.goes_on_to("amibridge retailcrm register 0123")
            assert "the module amibridge-0123 is as it should be" in registered
            await until(lambda: any(event.kind == "in" and {27, 31} <= set(event.users) for event in theirs.popups))
            await until(lambda: theirs.calls)
            assert "0 failed" in await newcomer.goes_on_to("amibridge doctor 0123")
            assert '{"success": true}' in await newcomer.goes_on_to("curl")
            assert '"answer": "accepted"' in await newcomer.goes_on_to("amibridge deliveries 0123")
        assert newcomer.ahead == []
    assert {call.result for call in theirs.calls} == {"answered"}


def test_the_rights_that_it_names_are_those_that_are_asked_for() -> None:
    rights = set(re.findall(r"`(\w+_(?:read|write))`", WALK.partition("### 2.")[2].partition("### 3.")[0]))
    assert rights == set(needed(replace(romashka(), create_customers=True, create_orders=True, create_tasks=True)))


def test_every_line_of_the_log_that_it_names_is_one() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text("utf-8")
    named = set(re.findall(r"`((?:host|call|crm)_\w+)`", WALK))
    assert len(named) > 8
    assert sorted(name for name in named if f"`{name}`" not in operations) == []
