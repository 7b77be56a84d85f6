"""The private PostgreSQL under every kind of user: as we are, and in what root can make of this machine."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from amibridge.store import rootless
from amibridge.store.embedded import EmbeddedUnusable, find_binaries, open_embedded
from tests.databases import command
from tests.delivery.waiting import until
from tests.store.owner import owner
from tests.store.worlds import ORDINARY, has_namespaces

pytestmark = pytest.mark.postgres

NOBODY = 65534

ROOT = os.geteuid() == 0 and has_namespaces()
"""Who can make worlds. In a container that forbids it, root is in one of them."""


def owners(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_uid for path in (folder, *folder.rglob("*"))}


def user_of(process: int) -> int:
    return Path(f"/proc/{process}").stat().st_uid


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def open_to_all(path: Path) -> bool:
    return all(mode(folder) & 0o001 for folder in (path, *path.parents))


def capabilities_of(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text("ascii").splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff"))


if ROOT:

    async def test_for_root_the_programs_run_as_somebody_who_has_a_name(tmp_path: Path) -> None:
        """Without, initdb refuses; which name does not matter."""
        runner = await rootless.find_runner(find_binaries(), tmp_path)
        child = await asyncio.create_subprocess_exec(
            "id", "-un", preexec_fn=runner.preexec, stdout=asyncio.subprocess.PIPE
        )
        name, _ = await child.communicate()
        assert child.returncode == 0
        assert name.strip() not in (b"", b"root")

    @pytest.mark.parametrize(("world", "us", "theirs"), [("ordinary", ORDINARY, 0), ("forbidden", 0, NOBODY)])
    async def test_another_world_has_a_server_that_ends_with_its_owner_and_is_found_again_from_ours(
        tmp_path: Path, world: str, us: int, theirs: int
    ) -> None:
        """The folder lies below one that is closed to all but root, as in a root's home. *theirs*: seen from here."""
        async with owner(tmp_path, (sys.executable, "-m", "tests.store.worlds", world)) as one:
            assert (one.refused, one.uid) == ("", us)
            assert user_of(one.server) == theirs
            await command(one.dsn, "CREATE TABLE said (word text); INSERT INTO said VALUES ('first')")
            os.kill(one.pid, signal.SIGKILL)
            await until(lambda: not Path(f"/proc/{one.server}").exists())
        async with open_embedded(tmp_path, throwaway=True) as server:
            assert server.process is not None
            assert user_of(server.process.pid) == theirs
            await command(server.dsn, "SELECT word FROM said")
            if theirs == NOBODY:
                assert capabilities_of(server.process.pid) == 1 << 1  # CAP_DAC_OVERRIDE alone
        home = tmp_path / "postgresql"
        assert set(owners(home / "data").values()) == {theirs}
        # What runs as nobody for others must not reach a socket behind which that right waits.
        assert {path: uid for path, uid in owners(home).items() if not path.startswith("data") and uid != 0} == {}
        assert mode(home) == mode(home / "run") == 0o700

    async def test_a_cluster_that_was_roots_is_taken_over_where_namespaces_are_forbidden(tmp_path: Path) -> None:
        async with open_embedded(tmp_path, throwaway=True) as server:
            await command(server.dsn, "CREATE TABLE said (word text)")
        async with owner(tmp_path, (sys.executable, "-m", "tests.store.worlds", "forbidden")) as one:
            assert one.refused == ""
            await command(one.dsn, "SELECT word FROM said")

    @pytest.fixture
    def his() -> Iterator[Path]:
        """A folder that an ordinary user can reach, and in it one of his own for a database."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            folder.chmod(0o711)
            (folder / "postgresql").mkdir(mode=0o700)
            os.chown(folder / "postgresql", ORDINARY, ORDINARY)
            yield folder

    async def test_a_folder_of_another_user_remains_his(his: Path) -> None:
        """Root looks into the database of a service that does not run."""
        if open_to_all(find_binaries()):
            async with open_embedded(his, throwaway=True) as server:
                assert server.process is not None
                assert user_of(server.process.pid) == ORDINARY
                assert capabilities_of(server.process.pid) == 0
        else:  # we lie in root's home
            with pytest.raises(EmbeddedUnusable, match=r"is not root's, and user .* cannot reach"):
                async with open_embedded(his, throwaway=True):
                    pass
        assert set(owners(his / "postgresql").values()) == {ORDINARY}


async def test_a_child_whose_parent_died_before_it_could_ask_to_end_with_it_ends_itself() -> None:
    for parent, code in ((os.getpid(), 0), (os.getppid(), 1)):
        child = await asyncio.create_subprocess_exec("true", preexec_fn=functools.partial(rootless._end_with, parent))
        assert await child.wait() == code
