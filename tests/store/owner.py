"""A process of its own that opens the private PostgreSQL of a folder, in the loop of the product.

``python -m tests.store.owner FOLDER`` prints one JSON line about it and keeps it until its own input ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from amibridge.cli.configured import in_loop
from amibridge.store.embedded import EmbeddedUnusable, open_embedded
from tests.house.source import ROOT


@dataclass(frozen=True)
class Owner:
    """*refused*: why it got no server; then *dsn* is empty and there is no *server*."""

    pid: int
    uid: int
    dsn: str
    server: int
    refused: str


@asynccontextmanager
async def owner(folder: Path, through: Sequence[str] = ()) -> AsyncIterator[Owner]:
    """One that has said how it fared. *through*: a command that starts it."""
    process = await asyncio.create_subprocess_exec(
        *through,
        *(sys.executable, "-m", "tests.store.owner", str(folder)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            yield Owner(**json.loads(await process.stdout.readline()))
    finally:
        process.stdin.close()
        await process.wait()


async def _main(folder: Path) -> None:
    try:
        async with open_embedded(folder, throwaway=True) as server:
            assert server.process is not None
            _say(Owner(os.getpid(), os.geteuid(), server.dsn, server.process.pid, ""))
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    except EmbeddedUnusable as error:
        _say(Owner(os.getpid(), os.geteuid(), "", 0, str(error)))


def _say(owner: Owner) -> None:
    print(json.dumps(owner.__dict__), flush=True)


if __name__ == "__main__":
    in_loop(_main(Path(sys.argv[1])))
