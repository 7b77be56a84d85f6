"""Root's commands act as the owner of the data folder, and say so when they cannot."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.enterprise_files import SMALLEST, written
from tests.house.source import ROOT
from tests.store.proxy import proxy

NOBODY = pwd.getpwnam("nobody")
NAMELESS = 54321

pytestmark = pytest.mark.slow

APPLY = """
import os, sys
from amibridge.cli import main, ownership
home, folder, file, needed = sys.argv[1:]
os.environ["AMIBRIDGE_DATA_DIR"] = home  # once as root: what is imported late would be out of the other's reach
assert main(["enterprise", "apply", file]) == 0
if needed == "-":
    ownership._needed = tuple
else:
    ownership._needed = lambda: (needed,)
os.environ["AMIBRIDGE_DATA_DIR"] = folder
code = main(["enterprise", "apply", file])
print(os.getresuid(), os.getresgid(), os.getgroups(), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where everybody can go, unlike `tmp_path`."""
    made = Path(tempfile.mkdtemp(prefix="amibridge-test-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def owners(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_uid for path in folder.iterdir()}


async def applied(tmp_path: Path, data_dir: Path, dsn: str, needed: str = "-") -> tuple[int | None, list[str]]:
    """Exit code and stderr of root's command with an enterprise file that is closed to all but root."""
    file = written(tmp_path, SMALLEST)
    file.chmod(0o600)
    async with proxy(dsn) as way:  # over TCP: the socket of a private server lets nobody else in
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", APPLY, str(tmp_path / "home"), str(data_dir), str(file), needed),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "AMIBRIDGE_DATABASE__DSN": way.dsn},
        )
        _, said = await process.communicate()
    return process.returncode, said.decode().splitlines()


if os.geteuid() == 0:

    @pytest.mark.parametrize("uid", [NOBODY.pw_uid, NAMELESS], ids=["named", "nameless"])
    async def test_what_root_makes_belongs_to_the_owner_of_the_data_folder(
        tmp_path: Path, folder: Path, dsn: str, uid: int
    ) -> None:
        os.chown(folder, uid, NOBODY.pw_gid)
        code, [*lines, ids] = await applied(tmp_path, folder, dsn)
        assert code == 0, lines
        assert ids.startswith(f"{(uid,) * 3} {(NOBODY.pw_gid,) * 3} ")
        assert owners(folder) == {"keyring": uid}

    async def test_an_owner_who_cannot_read_amibridge_is_one_sentence(tmp_path: Path, folder: Path, dsn: str) -> None:
        os.chown(folder, NOBODY.pw_uid, NOBODY.pw_gid)
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)
        code, [*_, sentence, _] = await applied(tmp_path, folder, dsn, str(closed / "python"))
        assert code == 1
        assert sentence == (
            f"amibridge: {folder} belongs to nobody, who cannot read {closed / 'python'}: install amibridge where "
            "nobody can read it, or choose another data_dir"
        )
        assert owners(folder) == {}
