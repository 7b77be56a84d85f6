"""The cache holds no more than it may, survives a death, and forgets what is kept no longer."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from amibridge.enterprises import EnterpriseId
from amibridge.recordings.cache import Cache, CacheFull

ONE, TWO = EnterpriseId("0123"), EnterpriseId("0124")
HOUR_NS = 3_600_000_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "recordings"


def put(cache: Cache, name: str, size: int, *, whose: EnterpriseId = ONE, modified_ns: int = HOUR_NS) -> Path:
    draft = cache.draft(whose, size)
    try:
        draft.file.write(b"x" * size)
        draft.write_down(modified_ns)
        return draft.keep(name)
    finally:
        draft.close()


def heard(file: Path, hours_ago: int) -> None:
    stat = file.stat()
    os.utime(file, ns=(stat.st_atime_ns - hours_ago * HOUR_NS, stat.st_mtime_ns))


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.rglob("*") if file.is_file()}


def test_what_is_put_is_found_as_old_as_its_original(folder: Path) -> None:
    cache = Cache(folder, 1000)
    kept = put(cache, "a.mp3", 10, modified_ns=5 * HOUR_NS)
    assert cache.find(ONE, "a.mp3") == kept
    assert (kept.stat().st_mtime_ns, kept.read_bytes()) == (5 * HOUR_NS, b"x" * 10)
    assert cache.find(TWO, "a.mp3") is None
    assert cache.find(ONE, "b.mp3") is None
    assert (folder.stat().st_mode | kept.parent.stat().st_mode) & 0o077 == 0


def test_what_was_heard_longest_ago_goes_first_whosever_it_is(folder: Path) -> None:
    cache = Cache(folder, 1000)
    for number, (name, whose) in enumerate([("a", TWO), ("b", ONE), ("c", ONE), ("d", ONE)]):
        heard(put(cache, name, 240, whose=whose), 4 - number)
    cache.find(TWO, "a")
    put(cache, "e", 300)
    assert names(folder) == {"a", "d", "e"}


def test_it_is_bounded_also_where_nobody_said_how_long_it_gets(folder: Path) -> None:
    cache = Cache(folder, 1000)
    heard(put(cache, "a", 600), 1)
    draft = cache.draft(ONE, 0)
    draft.file.write(b"x" * 600)
    draft.write_down(0)
    draft.keep("b")
    draft.close()
    assert names(folder) == {"b"}


def test_what_is_larger_than_all_is_not_begun_and_costs_nothing(folder: Path) -> None:
    cache = Cache(folder, 1000)
    put(cache, "a", 600)
    with pytest.raises(CacheFull, match="cache_megabytes"):
        cache.draft(ONE, 1001)
    assert names(folder) == {"a"}


def test_a_draft_that_is_not_kept_leaves_nothing(folder: Path) -> None:
    draft = Cache(folder, 1000).draft(ONE, 10)
    draft.file.write(b"half")
    assert len(names(folder)) == 1
    draft.close()
    assert names(folder) == set()


@pytest.mark.slow
def test_a_death_leaves_what_was_whole_and_the_next_start_removes_the_rest(folder: Path) -> None:
    dying = f"""
import os, signal
from pathlib import Path
from amibridge.recordings.cache import Cache
cache = Cache(Path({str(folder)!r}), 1000)
for name in ("whole", None):
    draft = cache.draft("0123", 10)
    draft.file.write(b"x" * 10)
    draft.file.flush()
    if name:
        draft.write_down(0)
        draft.keep(name)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", dying], check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == -9
    assert len(names(folder)) == 2
    cache = Cache(folder, 1000)
    cache.begin()
    assert names(folder) == {"whole"}
    assert cache.find(ONE, "whole") is not None


def test_a_full_disk_leaves_nothing_half(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    cache = Cache(tmp_path, 1000)
    draft = cache.draft(ONE, 10)
    draft.file.close()
    draft.file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115
    with pytest.raises(OSError, match="No space left"):
        draft.file.write(b"x")
    draft.close()
    assert names(tmp_path) == set()


def test_what_is_kept_no_longer_goes_and_so_does_all_of_who_is_gone(folder: Path) -> None:
    cache, now = Cache(folder, 1000), datetime.now(UTC)
    for days in (1, 40):
        for whose in (ONE, TWO, EnterpriseId("gone")):
            at = int((now - timedelta(days=days)).timestamp() * 1e9)
            put(cache, f"{whose}-{days}", 10, whose=whose, modified_ns=at)
    cache.keep_only({ONE: timedelta(days=30), TWO: None}, now)
    assert names(folder) == {"0123-1", "0124-1", "0124-40"}


def test_a_cache_that_was_never_used_has_nothing_to_do(folder: Path) -> None:
    cache = Cache(folder, 1000)
    cache.begin()
    cache.keep_only({}, datetime.now(UTC))
    assert not folder.exists()
