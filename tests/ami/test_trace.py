"""Reading traces: files, packed files, standard input, and files that are none."""

from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path

import pytest

from amibridge.ami.trace import CHUNK, read_trace

RAW = b"Event: Hangup\r\nCause: 16\r\n\r\n" * 5000


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "one.ami"
    path.write_bytes(RAW)
    chunks = list(read_trace(str(path)))
    assert b"".join(chunks) == RAW
    assert max(map(len, chunks)) <= CHUNK


def test_a_packed_file(tmp_path: Path) -> None:
    path = tmp_path / "one.ami.gz"
    path.write_bytes(gzip.compress(RAW))
    assert b"".join(read_trace(str(path))) == RAW


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(RAW)))
    assert b"".join(read_trace("-")) == RAW


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.ami"
    path.touch()
    assert list(read_trace(str(path))) == []


def _damaged() -> bytes:
    packed = bytearray(gzip.compress(RAW))
    packed[20] ^= 0xFF
    return bytes(packed)


@pytest.mark.parametrize("content", [b"no gzip at all", gzip.compress(RAW)[:-40], _damaged()])
def test_a_damaged_packed_file_is_an_os_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.ami.gz"
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"broken\.ami\.gz|gzip"):
        list(read_trace(str(path)))


@pytest.mark.parametrize("name", ["absent.ami", "absent.ami.gz", ""])
def test_a_file_that_is_not_there_is_an_os_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError, match=r"No such file|Is a directory"):
        list(read_trace(str(tmp_path / name)))
