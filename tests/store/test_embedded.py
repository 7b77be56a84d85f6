"""The private PostgreSQL: one server per folder, which keeps what it was told and never outlives its owner."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from structlog.testing import capture_logs

from amibridge.store import embedded
from amibridge.store.embedded import DatabaseServer, EmbeddedStopped, EmbeddedUnusable, open_embedded
from tests.databases import command
from tests.delivery.waiting import until
from tests.store.owner import owner

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
async def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One where a server ran before and was told one word, for tests that tell it no more."""
    folder = tmp_path_factory.mktemp("state")
    async with open_embedded(folder, throwaway=True) as server:
        await command(server.dsn, "CREATE TABLE said (word text); INSERT INTO said VALUES ('first')")
    return folder


@pytest.fixture
def folder_of_my_own(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder, tmp_path / "state")


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "FREE_WITHIN", timedelta(seconds=0.5))


async def words(server: DatabaseServer) -> list[str]:
    connection = await asyncpg.connect(server.dsn)
    try:
        return [row["word"] for row in await connection.fetch("SELECT word FROM said")]
    finally:
        await connection.close()


async def shown(server: DatabaseServer, setting: str) -> str:
    connection = await asyncpg.connect(server.dsn)
    try:
        return str(await connection.fetchval(f"SHOW {setting}"))
    finally:
        await connection.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def sockets_of(process: int) -> set[str]:
    """The inodes of its sockets."""
    files = {os.readlink(one) for one in Path(f"/proc/{process}/fd").iterdir()}
    return {file.removeprefix("socket:[").removesuffix("]") for file in files if file.startswith("socket:")}


def network_sockets() -> set[str]:
    """The inodes of all sockets of this machine that have an address on a network."""
    tables = [Path(f"/proc/net/{name}").read_text("ascii") for name in ("tcp", "tcp6", "udp", "udp6")]
    return {line.split()[9] for table in tables for line in table.splitlines()[1:]}


def processes_on(folder: Path) -> list[int]:
    """Processes whose command line names *folder*."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue  # it ended while we looked
    return found


async def test_a_first_start_makes_a_database_that_a_second_one_finds_again(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with open_embedded(tmp_path) as server:
            assert await shown(server, "server_encoding") == "UTF8"
            assert await shown(server, "fsync") == "on"
            await command(server.dsn, "CREATE TABLE said (word text); INSERT INTO said VALUES ('слово')")
    assert [(line["event"], line["folder"]) for line in logs] == [("database_being_made", f"{tmp_path}/postgresql")]
    assert processes_on(tmp_path) == []
    async with open_embedded(tmp_path, throwaway=True) as server:
        assert await words(server) == ["слово"]
        connection = await asyncpg.connect(server.dsn)
        assert await connection.fetchval("SELECT current_database()") == "amibridge"
        await connection.close()


async def test_no_other_user_and_no_network_gets_in(folder: Path) -> None:
    (folder / "postgresql" / "run").chmod(0o755)  # as somebody might leave it who looked for a fault
    async with open_embedded(folder, throwaway=True) as server:
        assert await shown(server, "listen_addresses") == ""
        assert server.process is not None
        sockets = sockets_of(server.process.pid)
        assert sockets
        assert sockets.isdisjoint(network_sockets())
        assert mode(folder / "postgresql" / "run" / ".s.PGSQL.5432") == 0o700


async def test_folders_of_ours_are_closed_and_those_above_stay_as_they_are(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    above = tmp_path_factory.mktemp("srv")  # a short path, or the socket lies elsewhere
    above.chmod(0o751)
    (above / "state").mkdir()
    (above / "state").chmod(0o705)
    before = os.umask(0)
    try:
        async with open_embedded(above / "state", throwaway=True):
            home = above / "state" / "postgresql"
            assert {mode(path) for path in (home, home / "data", home / "run")} == {0o700}
    finally:
        os.umask(before)
    assert (mode(above), mode(above / "state")) == (0o751, 0o705)
    assert {path.owner() for path in home.rglob("*")} == {above.owner()}


async def test_the_server_ends_when_its_owner_is_killed(folder: Path) -> None:
    async with owner(folder) as one:
        assert one.server in processes_on(folder)
        os.kill(one.pid, signal.SIGKILL)
        await until(lambda: not processes_on(folder))
    async with open_embedded(folder, throwaway=True) as server:
        assert await words(server) == ["first"]


async def test_a_shared_server_is_used_and_left_running(folder: Path) -> None:
    async with open_embedded(folder, throwaway=True) as first:
        async with open_embedded(folder, share=True) as shared:
            assert (shared.dsn, shared.process) == (first.dsn, None)
            assert await words(shared) == ["first"]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await shared.watch()
        assert await words(first) == ["first"]


async def test_who_would_share_and_finds_nobody_starts_its_own(folder: Path) -> None:
    async with open_embedded(folder, throwaway=True, share=True) as server:
        assert server.process is not None
        assert await words(server) == ["first"]


@pytest.mark.usefixtures("_hasty")
async def test_a_second_owner_is_told_so_and_the_first_one_feels_nothing(folder: Path) -> None:
    async with open_embedded(folder, throwaway=True) as first:
        with pytest.raises(EmbeddedUnusable, match=rf"another amibridge runs on {folder}: stop it"):
            async with open_embedded(folder, throwaway=True):
                pass
        assert await words(first) == ["first"]
        assert "ready to accept connections" in (folder / "postgresql" / "server.log").read_text("utf-8")


async def test_a_second_owner_gets_it_as_soon_as_the_first_lets_go(folder_of_my_own: Path) -> None:
    async def second() -> tuple[DatabaseServer, list[str]]:
        async with open_embedded(folder_of_my_own, throwaway=True) as server:
            return server, await words(server)

    async with asyncio.TaskGroup() as tasks, open_embedded(folder_of_my_own, throwaway=True) as first:
        waiting = tasks.create_task(second(), name="second owner")
        log = folder_of_my_own / "postgresql" / "server.log"
        await until(lambda: "already exists" in log.read_text("utf-8"))
        assert not waiting.done()
        await command(first.dsn, "INSERT INTO said VALUES ('last')")
    server, said = waiting.result()
    assert server.process is not None
    assert first.process is not None
    assert server.process.pid != first.process.pid
    assert said == ["first", "last"]


async def test_two_first_starts_at_the_same_moment_make_one_cluster(tmp_path: Path) -> None:
    async def say(word: str) -> None:
        async with open_embedded(tmp_path, throwaway=True) as server:
            await command(
                server.dsn, f"CREATE TABLE IF NOT EXISTS said (word text); INSERT INTO said VALUES ('{word}')"
            )

    await asyncio.gather(say("one"), say("other"))
    async with open_embedded(tmp_path, throwaway=True) as server:
        assert sorted(await words(server)) == ["one", "other"]


async def test_what_an_interrupted_initdb_left_is_no_cluster(tmp_path: Path) -> None:
    left = tmp_path / "postgresql" / "data.new"
    left.mkdir(parents=True)
    (left / "PG_VERSION").write_text("18\n")
    async with open_embedded(tmp_path, throwaway=True) as server:
        assert await shown(server, "data_directory") == str(tmp_path / "postgresql" / "data")
    assert not left.exists()


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("PG_VERSION", "9.6\n", "database files are incompatible with server"),
        ("postgresql.conf", "shared_buffers = many\n", "configuration file .*postgresql.conf.* contains errors"),
        ("PG_VERSION", None, "data is damaged: restore it from a backup, or move it away"),
        ("global/pg_control", None, "could not open file .*pg_control.*: No such file"),
    ],
    ids=["of an old version", "a configuration with an error", "without its version", "without its control file"],
)
async def test_a_broken_cluster_says_why(folder: Path, file: str, content: str | None, why: str) -> None:
    broken = folder / "postgresql" / "data" / file
    whole = broken.read_bytes()
    try:
        if content is None:
            broken.unlink()
        else:
            broken.write_text(content)
        with pytest.raises(EmbeddedUnusable, match=why):
            async with open_embedded(folder, throwaway=True):
                pass
        assert processes_on(folder) == []
        assert broken.exists() == (content is not None), "nothing is mended behind anybody's back"
    finally:
        broken.write_bytes(whole)
    async with open_embedded(folder, throwaway=True) as server:
        assert await words(server) == ["first"]


async def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedUnusable, match=rf"no PostgreSQL in {tmp_path}/file/postgresql: .*Not a directory"):
        async with open_embedded(tmp_path / "file"):
            pass


@pytest.mark.parametrize(
    "name", ["x" * 110, "a b+c&d,e%41?#\"'", "дом"], ids=["too long", "not fit for a DSN", "Cyrillic"]
)
async def test_a_path_that_no_socket_can_have_does_not_matter(folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to(folder)
    folder = tmp_path / name
    async with open_embedded(folder, throwaway=True) as server:
        assert await words(server) == ["first"]
        async with open_embedded(folder, share=True) as shared:
            assert shared.dsn == server.dsn
            assert await words(shared) == ["first"]
        sockets = Path(await shown(server, "unix_socket_directories"))
        assert mode(sockets) == 0o700
    with pytest.raises(FileNotFoundError):
        mode(sockets)


async def test_a_relative_folder_is_one_of_where_we_stand(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    async with open_embedded(Path(folder.name), throwaway=True) as server:
        assert await words(server) == ["first"]


async def test_a_server_that_is_killed_is_noticed_and_what_was_committed_is_there_after(folder_of_my_own: Path) -> None:
    async with open_embedded(folder_of_my_own) as server:
        await command(server.dsn, "INSERT INTO said VALUES ('committed')")
        assert server.process is not None
        server.process.kill()
        with pytest.raises(EmbeddedStopped, match="ended by itself"):
            await server.watch()
    async with open_embedded(folder_of_my_own, throwaway=True) as server:
        assert await words(server) == ["first", "committed"]


async def test_the_environment_of_an_administrator_does_not_disturb(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PGDATA": "/nowhere", "PGPORT": "1", "LC_ALL": "ru_RU.UTF-8", "PGOPTIONS": "-c broken"}.items():
        monkeypatch.setenv(name, value)
    async with open_embedded(folder, throwaway=True) as server:
        assert await shown(server, "data_directory") == str(folder / "postgresql" / "data")
        assert await shown(server, "port") == "5432"


async def test_the_log_of_the_server_does_not_grow_from_start_to_start(folder: Path) -> None:
    (folder / "postgresql" / "server.log").write_bytes(b"x" * (embedded.LONGEST_LOG + 1))
    async with open_embedded(folder, throwaway=True):
        pass
    assert (folder / "postgresql" / "server.log").stat().st_size < 10_000
