"""Recordings that were fetched or converted, below the data folder: bounded, and lost without harm. Blocks.

Laws: a file has its name only when it is whole and on disk, so that a death leaves a draft, which the next start
removes; what was heard longest ago goes first (its access time says so, and outlives us); an enterprise's files are
below its own folder, and gone when it is.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from amibridge.enterprises import EnterpriseId

DRAFT = ".draft-"


class CacheFull(OSError):
    """Do without: this is larger than all that may be kept."""


class Cache:
    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._lock = Lock()

    def __str__(self) -> str:
        return str(self._folder)

    def begin(self) -> None:
        """Remove what a process that died left unfinished. Raises OSError."""
        for draft in self._folder.glob(f"*/{DRAFT}*"):
            draft.unlink(missing_ok=True)

    def find(self, enterprise: EnterpriseId, name: str) -> Path | None:
        """The file, which counts as heard now."""
        file = self._folder / enterprise / name
        try:
            stat = file.stat()
            os.utime(file, ns=(time.time_ns(), stat.st_mtime_ns))
        except OSError:
            return None
        return file

    def draft(self, enterprise: EnterpriseId, size: int) -> Draft:
        """A file to be written, of about *size* bytes; it is removed unless it is kept. Raises OSError."""
        folder = self._folder / enterprise
        for made in (self._folder, folder):
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.make_room(size)
        return Draft(self, folder)

    def drop(self, enterprise: EnterpriseId, name: str) -> None:
        (self._folder / enterprise / name).unlink(missing_ok=True)

    def keep_only(self, keeps: Mapping[EnterpriseId, timedelta | None], now: datetime) -> None:
        """Remove what is older than its enterprise keeps recordings, and all of enterprises that are not there."""
        for folder in self._enterprises():
            if folder.name not in keeps:
                shutil.rmtree(folder, ignore_errors=True)
            elif (keep := keeps[EnterpriseId(folder.name)]) is not None:
                for file, stat in _files(folder):
                    if stat.st_mtime < (now - keep).timestamp():
                        file.unlink(missing_ok=True)

    def make_room(self, size: int) -> None:
        """Let *size* more bytes fit. Raises CacheFull."""
        if size > self._most_bytes:
            raise CacheFull(f"{size} bytes, and cache_megabytes allows {self._most_bytes}")
        with self._lock:
            found = [one for folder in self._enterprises() for one in _files(folder)]
            found.sort(key=lambda one: one[1].st_atime_ns)
            over = size + sum(stat.st_size for _, stat in found) - self._most_bytes
            for file, stat in found:
                if over <= 0:
                    return
                if not file.name.startswith(DRAFT):
                    file.unlink(missing_ok=True)
                    over -= stat.st_size

    def _enterprises(self) -> Iterator[Path]:
        if self._folder.is_dir():
            yield from (folder for folder in self._folder.iterdir() if folder.is_dir())


class Draft:
    """A file without a name of its own yet. To be closed, kept or not."""

    def __init__(self, cache: Cache, folder: Path) -> None:
        self._cache = cache
        self.path = folder / f"{DRAFT}{os.urandom(8).hex()}"
        self.file: BinaryIO = self.path.open("xb")

    def write_down(self, modified_ns: int) -> None:
        """Onto the disk, as a file that was last modified when its original was. Raises OSError."""
        self.file.flush()
        os.fsync(self.file.fileno())
        os.utime(self.file.fileno(), ns=(time.time_ns(), modified_ns))

    def keep(self, name: str) -> Path:
        """Give it its name. Raises OSError."""
        whole = self.path.with_name(name)
        self.path.rename(whole)
        self._cache.make_room(0)
        return whole

    def close(self) -> None:
        try:
            self.file.close()
        finally:
            self.path.unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for file in folder.iterdir():
        try:
            yield file, file.stat()
        except OSError:  # it is gone already
            continue
