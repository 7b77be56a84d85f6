"""Traces: the raw bytes that Asterisk sent, as a file. A text editor can read, cut and mask one."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

CHUNK = 64 * 1024


def read_trace(path: str) -> Iterator[bytes]:
    """The bytes of a trace: a file, one packed with gzip (``.gz``), or ``-`` for standard input.

    Raises OSError for what cannot be read, damaged packing among it.
    """
    if path == "-":
        yield from _chunks(sys.stdin.buffer)
    elif path.endswith(".gz"):
        with gzip.open(path, "rb") as packed:
            try:
                yield from _chunks(packed)
            except EOFError as error:
                raise OSError(f"{Path(path).name} ends in the middle of its compressed data") from error
            except zlib.error as error:
                raise OSError(f"{Path(path).name} is damaged: {error}") from error
    else:
        with open(path, "rb") as plain:
            yield from _chunks(plain)


def _chunks(source: BinaryIO | gzip.GzipFile) -> Iterator[bytes]:
    while chunk := source.read(CHUNK):
        yield chunk
