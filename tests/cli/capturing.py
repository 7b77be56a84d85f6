"""`amibridge capture` in a process of its own, as it is used."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from tests.house.source import ROOT


@dataclass
class Capture:
    """`amibridge capture` in a process of its own."""

    process: asyncio.subprocess.Process

    async def ended(self) -> tuple[int, bytes, str]:
        """Exit code, stdout, stderr."""
        async with asyncio.timeout(30):
            out, err = await self.process.communicate()
        assert self.process.returncode is not None
        assert b"Traceback" not in err, err
        return self.process.returncode, out, err.decode()


@contextlib.asynccontextmanager
async def capturing(*words: str | Path, stdout: int = asyncio.subprocess.PIPE) -> AsyncIterator[Capture]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "amibridge", "capture", *map(str, words)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        yield Capture(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
