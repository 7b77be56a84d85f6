"""What is installed is whole: migrations, queries, pages and traces come along, and nothing of the tests does."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.house.source import ROOT


@pytest.mark.slow
def test_a_wheel_holds_all_that_we_read_at_run_time(tmp_path: Path) -> None:
    source = tmp_path / "source"  # a build leaves things behind, and takes along what an earlier one left
    for name in ("amibridge", "alembic", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("alembic.ini", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--wheel-dir", str(tmp_path), str(source)], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = tmp_path.glob("amibridge-*.whl")
    names = {name.rpartition(".data/data/")[2] for name in zipfile.ZipFile(wheel).namelist()}
    ours = {path.relative_to(ROOT).as_posix() for path in (ROOT / "amibridge").rglob("*") if path.is_file()}
    migrations = ["alembic.ini", *(path.relative_to(ROOT).as_posix() for path in (ROOT / "alembic").rglob("*.*"))]
    wanted = ours | {f"share/amibridge/{name}" for name in migrations}
    assert {name for name in wanted - names if "__pycache__" not in name} == set()
    assert [name for name in names if name.startswith(("tests/", "bench/"))] == []
