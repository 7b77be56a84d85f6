"""The file that a command writes a trace into, or standard output.

Laws: a file that is there is not written over unless that was asked for, and then not before there is something to
write; a file into which nothing came is not left behind, where we may still remove it; a terminal is not sent what
could steer it.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from amibridge.calls.masking import Mask
from amibridge.calls.numbering import Numbering
from amibridge.cli.failure import CommandFailed
from amibridge.config import ConfigError


class TraceFile:
    """Takes the bytes of a trace. Packed ones can be read up to the last `flush`, also if we die."""

    def __init__(self, raw: BinaryIO, *, packed: bool, replaces: bool = False) -> None:
        self._raw = raw
        self._replaces = replaces
        self._packer = gzip.GzipFile(filename="", mode="wb", fileobj=raw) if packed else None
        self.written = 0

    def write(self, data: bytes) -> None:
        """Raises OSError."""
        if not data:
            return
        if self._replaces:
            self._replaces = False
            with contextlib.suppress(OSError):  # a device has no length
                os.ftruncate(self._raw.fileno(), 0)
        (self._packer or self._raw).write(data)
        self.written += len(data)

    def flush(self) -> None:
        if self.written and self._packer is not None:
            self._packer.flush()
        self._raw.flush()

    def finish(self) -> None:
        if self.written and self._packer is not None:
            self._packer.close()
        self._raw.flush()


def mask_for(numbering: Numbering) -> Callable[[bytes], bytes]:
    """What is written in place of a message when nobody's number is to be shown; other numbers each time."""
    return Mask(numbering, os.urandom(16)).message


@contextlib.contextmanager
def open_trace_file(path: Path | None, *, force: bool) -> Iterator[TraceFile]:
    """*path*, or standard output without one. Raises ConfigError, CommandFailed, OSError."""
    if path is None or str(path) == "-":
        if sys.stdout.isatty():
            raise ConfigError(["raw bytes are not for a terminal: say -o FILE, or pipe them somewhere"])
        file = TraceFile(sys.stdout.buffer, packed=False)
        yield file
        file.finish()
        return
    raw, is_new = _open(path, force)
    file = TraceFile(raw, packed=path.suffix == ".gz", replaces=not is_new)
    try:
        yield file
        file.finish()
    finally:
        if is_new and not file.written:
            with contextlib.suppress(OSError):
                path.unlink()
        with contextlib.suppress(OSError):  # what could not be written has been said
            raw.close()


def _open(path: Path, force: bool) -> tuple[BinaryIO, bool]:
    """The file, and whether it is ours alone."""
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except ValueError:
        raise ConfigError([f"{str(path)!r}: not a file name"]) from None
    except FileExistsError:
        if not force:
            raise CommandFailed(f"{path} is there already: choose another name, or say --force") from None
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CLOEXEC), "wb"), False
    return os.fdopen(number, "wb"), True
