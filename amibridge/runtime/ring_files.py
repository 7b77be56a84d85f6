"""The ring on disk: packed traces in pieces, ``traces/<enterprise>/<host>/<UTC time of its first byte>.ami.gz``.

Laws: no name leads out of the folder; only files of our own form are read or deleted, and no link is followed; what
is appended is whole or not there, so that a death in the midst of it costs the last moments and nothing else.
"""

from __future__ import annotations

import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from amibridge.ami.wire import Framer

RING = "traces"
"""The folder under the data folder."""

PIECE_LASTS = timedelta(hours=1)
PIECES = 16
"""A piece is at most this part of all that a host may have: so much is missing right after one was deleted."""

CHUNK = 16 * 1024
"""Bytes of packed data that are unpacked at once: 16 MB at the very worst."""

_OURS = re.compile(r"\d{4}-\d\d-\d\dT\d{6}\.\d{3}Z\.ami\.gz")
_PLAIN = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]*")


def folder_of(root: Path, enterprise: str, host: str) -> Path:
    """Where the pieces of *host* are; whatever its name is, it is below *root*."""
    return root / _safe(enterprise) / _safe(host)


def enterprises_with(root: Path, host: str) -> list[str]:
    """The enterprises of whose *host* there is a folder. Raises OSError."""
    return [enterprise.name for enterprise in _folders(root) if (enterprise / _safe(host)).is_dir()]


def began_at(piece: Path) -> datetime:
    """When the first of its bytes was written."""
    return datetime.strptime(piece.name[:21], "%Y-%m-%dT%H%M%S.%f").replace(tzinfo=UTC)


def pieces(folder: Path) -> list[Path]:
    """What is kept there, oldest first; nothing if there is no such folder. Raises OSError."""
    try:
        with os.scandir(folder) as entries:
            found = [entry.name for entry in entries if _is_ours(entry)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [folder / name for name in sorted(found)]


def frames_in(piece: Path, on_damage: Callable[[Path, str], None]) -> Iterator[bytes]:
    """The messages of one piece as far as it is whole; *on_damage* is told where it is not. Raises OSError."""
    framer = Framer()
    try:
        for chunk in _unpacked(piece):
            yield from framer.feed(chunk)
    except FileNotFoundError:
        pass  # it has become too old meanwhile
    except _Damaged as damage:
        on_damage(piece, str(damage))


class Piece:
    """The piece of one host to which bytes are appended. Used by one thread at a time."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._path: Path | None = None
        self._since = datetime.fromtimestamp(0, UTC)

    def append(self, packed: bytes, now: datetime) -> None:
        """Write a whole gzip member, in a new piece if need be. Raises OSError; then it is not there."""
        number = self._open(now)
        try:
            before = os.fstat(number).st_size
            try:
                _write(number, packed)
            except OSError:
                self._undo(number, before)
                raise
            if before + len(packed) > self._most_bytes:
                self._path = None
        finally:
            os.close(number)

    def _open(self, now: datetime) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        if self._path is not None and abs(now - self._since) < PIECE_LASTS:
            with suppress(FileNotFoundError):  # somebody has cleared the folder
                return os.open(self._path, flags)
        for folder in (self._folder.parents[1], self._folder.parent, self._folder):
            folder.mkdir(mode=0o700, exist_ok=True)
        while True:
            path = self._folder / f"{now:%Y-%m-%dT%H%M%S}.{now.microsecond // 1000:03}Z.ami.gz"
            try:
                number = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                now += timedelta(milliseconds=1)
            else:
                self._path, self._since = path, now
                return number

    def _undo(self, number: int, size: int) -> None:
        try:
            os.ftruncate(number, size)
        except OSError:
            self._path = None  # what comes after half a member could not be read


def tidy(root: Path, keep: timedelta, most_bytes: int, now: datetime) -> None:
    """Delete what is older than *keep*, and of each host what is over *most_bytes*, oldest first. Raises OSError."""
    for enterprise in _folders(root):
        for folder in _folders(enterprise):
            left = [(piece, piece.lstat()) for piece in pieces(folder)]
            total = sum(status.st_size for _, status in left)
            for piece, status in left:
                age = now - datetime.fromtimestamp(status.st_mtime, UTC)
                if age > keep or total > most_bytes:
                    piece.unlink(missing_ok=True)
                    total -= status.st_size
            with suppress(OSError):
                folder.rmdir()  # of a host that is not followed any more
        with suppress(OSError):
            enterprise.rmdir()


class _Damaged(Exception):
    """Read on in the next piece."""


def _unpacked(piece: Path) -> Iterator[bytes]:
    number = os.open(piece, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(number, "rb") as file:
        unpack, is_whole = zlib.decompressobj(wbits=31), True
        while packed := file.read(CHUNK):
            while packed:
                try:
                    yield unpack.decompress(packed)
                except zlib.error as error:
                    raise _Damaged(f"it is damaged: {error}") from error
                is_whole, packed = unpack.eof, unpack.unused_data
                if is_whole:
                    unpack = zlib.decompressobj(wbits=31)
        if not is_whole:
            raise _Damaged("its end is missing")


def _write(number: int, packed: bytes) -> None:
    written = 0
    while written < len(packed):
        written += os.write(number, packed[written:])


def _safe(name: str) -> str:
    """*name* itself, unless it could be more than the name of a file."""
    return name if _PLAIN.fullmatch(name) else quote(name, safe="").replace(".", "%2E") or "%"


def _is_ours(entry: os.DirEntry[str]) -> bool:
    return _OURS.fullmatch(entry.name) is not None and stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode)


def _folders(root: Path) -> list[Path]:
    try:
        with os.scandir(root) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []
