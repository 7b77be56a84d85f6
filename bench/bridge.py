"""The daemon as an administrator runs it, in a folder that goes with it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from bench.process import Cost, cost_of

ROOT = Path(__file__).parents[1]
COMMAND = (sys.executable, "-m", "amibridge")

READY_WITHIN = 60.0
STOPPED_WITHIN = 15.0
LOOK_EVERY = 0.1


class Bridge:
    def __init__(self, folder: Path, dsn: str | None, session: aiohttp.ClientSession) -> None:
        self._folder = folder
        self._session = session
        self._config = folder / "amibridge.toml"
        self._web = f"127.0.0.1:{_free_port()}"
        self.agi = f"127.0.0.1:{_free_port()}"
        self._log = folder / "log"
        self._process: asyncio.subprocess.Process | None = None
        database = "" if dsn is None else f'[database]\ndsn = "{dsn}"\n'
        self._config.write_text(
            f'data_dir = "{self.data_dir}"\n{database}[web]\nlisten = "{self._web}"\n'
            f'[agi]\nlisten = "{self.agi}"\n[log]\nformat = "json"\n'
        )

    async def start(self, enterprises: Sequence[str]) -> None:
        """Until every host of the *enterprises*, given as the texts of their files, is followed."""
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *COMMAND, "run", "--config", str(self._config), stdout=log, stderr=log, cwd=ROOT, env=_environment()
            )
        await self._until(lambda told: True)
        await self._apply(enterprises)
        await self._until(
            lambda told: len(told["hosts"]) >= len(enterprises) and all(host["state"] == "up" for host in told["hosts"])
        )

    @property
    def data_dir(self) -> Path:
        return self._folder / "state"

    @property
    def url(self) -> str:
        return f"http://{self._web}"

    async def standing(self) -> dict[str, Any]:
        """What it says of itself."""
        async with self._session.get(f"{self.url}/health/ready") as response:
            told: dict[str, Any] = await response.json()
            return told

    async def fetch(self, path: str, headers: Mapping[str, str] | None = None) -> int:
        """The status of the answer, which is read to its end."""
        async with self._session.get(f"{self.url}{path}", headers=headers) as response:
            await response.read()
            return response.status

    async def click(self, client_id: str, extension: str, phone: str) -> str | None:
        """The id of the call that was placed; None if none was."""
        asked = {"clientId": client_id, "code": extension, "phone": phone}
        async with self._session.get(f"http://{self._web}/api/makecallexternal", params=asked) as response:
            body = await response.json()
            return str(body["call"]) if response.status == 200 else None

    def cost(self) -> Cost | None:
        assert self._process is not None
        return cost_of(self._process.pid)

    async def stop(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOPPED_WITHIN):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _apply(self, enterprises: Sequence[str]) -> None:
        files = []
        for number, text in enumerate(enterprises):
            file = self._folder / f"enterprise-{number}.toml"
            file.write_text(text)
            files.append(str(file))
        process = await asyncio.create_subprocess_exec(
            *(*COMMAND, "enterprise", "apply", "--config", str(self._config), *files),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env=_environment(),
        )
        _, said = await process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"amibridge enterprise apply: {said.decode()}")

    async def _until(self, ready: Callable[[dict[str, Any]], bool]) -> None:
        assert self._process is not None
        async with asyncio.timeout(READY_WITHIN):
            while self._process.returncode is None:
                with suppress(aiohttp.ClientError):
                    if ready(await self.standing()):
                        return
                await asyncio.sleep(LOOK_EVERY)
        raise RuntimeError(f"the daemon ended with exit code {self._process.returncode}: {self._last_words()}")

    def _last_words(self) -> str:
        return self._log.read_text("utf-8", "replace")[-2000:]


@asynccontextmanager
async def open_bridge(dsn: str | None) -> AsyncIterator[Bridge]:
    """Not started yet. *dsn*: a database for it alone; None for a private server."""
    with tempfile.TemporaryDirectory(prefix="amibridge-bench-") as folder:
        async with aiohttp.ClientSession() as session:
            bridge = Bridge(Path(folder), dsn, session)
            try:
                yield bridge
            finally:
                await bridge.stop()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("AMIBRIDGE_", "PG"))}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
