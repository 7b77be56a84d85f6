"""The daemon as an administrator runs it: a process of its own, with a configuration file, told to stop by signals."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-m", "amibridge")
HURRIED = (sys.executable, str(Path(__file__).with_name("hurried.py")))
"""The same with shorter waits."""

READY_WITHIN = 30.0
STOPPED_WITHIN = 10.0
"""Seconds an orderly stop may take, by the promise made to systemd."""


class Bridge:
    """`amibridge run` on *folder*, speaking with the database *dsn*, reporting to a systemd of ours.

    *daemon*: the command line that `run` belongs to.
    """

    def __init__(self, folder: Path, dsn: str, port: int, daemon: Sequence[str] = COMMAND) -> None:
        self.folder = folder
        self.dsn = dsn
        self._daemon = daemon
        self.url = f"http://127.0.0.1:{port}"
        self.config = folder / "amibridge.toml"
        self.config.write_text(
            f'data_dir = "{folder / "state"}"\n[database]\ndsn = "{dsn}"\n'
            f'[web]\nlisten = "127.0.0.1:{port}"\n[log]\nlevel = "debug"\n',
            encoding="utf-8",
        )
        self.log_file = folder / "log"
        self._lines: list[dict[str, Any]] = []
        self._read_to = 0
        self.process: asyncio.subprocess.Process | None = None
        self._systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._systemd.setblocking(False)
        self._systemd.bind(f"\0amibridge-test-{os.getpid()}-{id(self)}")
        self.told: list[str] = []

    @property
    def environment(self) -> dict[str, str]:
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("AMIBRIDGE_", "PG"))}
        return plain | {"HOME": str(self.folder)}

    async def start(self) -> None:
        """Until it says READY."""
        with self.log_file.open("ab") as log_file:
            self.process = await asyncio.create_subprocess_exec(
                *self._daemon,
                "run",
                "--config",
                str(self.config),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
                cwd=self.folder,
                env=self.environment | {"NOTIFY_SOCKET": "@" + self._systemd.getsockname()[1:].decode()},
            )
        try:
            await self.says("READY=1", READY_WITHIN)
        except TimeoutError:
            raise AssertionError(f"not ready; its log:\n{self.log_file.read_text()[-3000:]}") from None

    async def says(self, word: str, seconds: float) -> None:
        """Wait until systemd has been told *word* once more."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(seconds):
            while True:
                words = (await loop.sock_recv(self._systemd, 4096)).decode().split("\n")
                self.told += words
                if word in words:
                    return

    def send_signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def ended(self, seconds: float = STOPPED_WITHIN) -> int:
        """Its exit code."""
        assert self.process is not None
        async with asyncio.timeout(seconds):
            return await self.process.wait()

    async def kill(self) -> None:
        """As the kernel does it when memory is short: no last word."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def close(self) -> None:
        if self.process is not None and self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()
        self._systemd.close()

    def log(self, event: str | None = None, **fields: object) -> list[dict[str, Any]]:
        """The lines of the log so far; those of one kind, and with these fields."""
        with self.log_file.open("rb") as file:
            file.seek(self._read_to)
            whole, _, _ = file.read().rpartition(b"\n")
        if whole:
            self._read_to += len(whole) + 1
            self._lines += [json.loads(line) for line in whole.split(b"\n")]
        wanted = fields | ({} if event is None else {"event": event})
        return [line for line in self._lines if wanted.items() <= line.items()]

    async def command(self, *words: str) -> tuple[int, str, str]:
        """Another `amibridge` beside the daemon: (exit code, stdout, stderr)."""
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.folder,
            env=self.environment,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def apply(self, *enterprises: str) -> None:
        """`amibridge enterprise apply` with these files' texts."""
        files: list[str] = []
        for number, text in enumerate(enterprises):
            file = self.folder / f"enterprise-{number}.toml"
            file.write_text(text, encoding="utf-8")
            files.append(str(file))
        code, _, err = await self.command("enterprise", "apply", "--config", str(self.config), *files)
        assert code == 0, err


def enterprise_file(
    number: str,
    *,
    crm_url: str,
    api_key: str,
    hosts: Mapping[str, tuple[str, int]],
    time_zone: str | None = None,
    operators: Mapping[str, int] | None = None,
    site: str = "shop",
    recordings: str | None = None,
    more: Sequence[str] = (),
) -> str:
    """The text of an enterprise file."""
    lines = [f'number = "{number}"', f'name = "Shop {number}"', *more]
    if time_zone is not None:
        lines.append(f'timezone = "{time_zone}"')
    lines += ["[retailcrm]", f'url = "{crm_url}"', f'api_key = "{api_key}"', f'site = "{site}"']
    for name, (address, port) in hosts.items():
        lines += ["[[asterisk]]", f'name = "{name}"', f'host = "{address}"', f"port = {port}"]
        lines += ['username = "amibridge"', 'secret = "demo"']
        if recordings is not None:
            lines.append(f'recordings = "{recordings}"')
    lines += ["[operators]", *(f"{extension} = {{ user = {user} }}" for extension, user in (operators or {}).items())]
    return "\n".join(lines) + "\n"
