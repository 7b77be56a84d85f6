"""A command line, run in this process, and what came of it."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from amibridge.cli import main


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def answers(self) -> list[Any]:
        """What machines read: one JSON object a line, and nothing else."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def sentences(self) -> list[str]:
        """What people read, without the log."""
        return [line for line in self.err.splitlines() if not line.startswith("{")]


class Amibridge:
    """``amibridge`` with these words. In a running loop use `beside`."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str | Path, stdin: bytes = b"") -> Done:
        self._capsys.readouterr()
        with patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin))):
            code = main([str(word) for word in words])
        done = self._capsys.readouterr()
        assert "Traceback" not in done.err
        return Done(code, done.out, done.err)

    async def beside(self, *words: str | Path) -> Done:
        return await asyncio.to_thread(self, *words)
