"""What the manual shows on a terminal is what the command prints."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.source import ROOT

BLOCK = re.compile(r"^```console\n\$ (?P<command>.*)\n(?P<printed>(?:.*\n)*?)```$", re.MULTILINE)
EXAMPLES = [
    pytest.param(block["command"], block["printed"], id=f"{document.name}-{number}")
    for document in sorted((ROOT / "docs").glob("*.md"))
    for number, block in enumerate(BLOCK.finditer(document.read_text("utf-8")), 1)
]


@pytest.mark.skipif(shutil.which("jq") is None, reason="the examples use jq")
@pytest.mark.parametrize(("command", "printed"), EXAMPLES)
def test_it_prints_what_the_manual_says(command: str, printed: str, tmp_path: Path) -> None:
    program = tmp_path / "amibridge"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m amibridge "$@"\n')
    program.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-c", f"{command} 2>&1"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == printed


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 5
