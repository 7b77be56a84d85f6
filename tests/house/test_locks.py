"""The locks pin every package by hash, name no index, and agree with each other."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.house.source import ROOT

PIN = re.compile(
    r"(?P<name>[a-z0-9._-]+)(?P<extras>\[[a-z0-9,_-]+\])?==(?P<version>[^ ;\\]+)(?P<marker> ; .+?)?"
    r" \\((?:\n    --hash=sha256:[0-9a-f]{64} ?\\?)+)"
)


def locked(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text("utf-8")
    pins = {match["name"]: match["version"] for match in PIN.finditer(text)}
    left = PIN.sub("", text).strip()
    assert left == "", f"{name}.txt holds more than pins with hashes: {left[:200]}"
    return pins


@pytest.mark.parametrize("name", ["runtime", "dev", "build"])
def test_a_lock_holds_nothing_but_pins_with_hashes(name: str) -> None:
    assert locked(name)


def test_development_runs_on_the_runtime_pins() -> None:
    assert locked("runtime").items() <= locked("dev").items()


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = {re.split(r"[\[<>= ;]", line)[0].lower() for line in project["dependencies"]}
    assert len(wanted) > 10
    assert wanted <= locked("runtime").keys()
    tools = (ROOT / "requirements" / "dev.in").read_text("utf-8").splitlines()
    assert {re.split(r"[<>=]", line)[0] for line in tools if not line.startswith("#")} <= locked("dev").keys()


def test_extras_stay_in_the_locks() -> None:
    """Older pips look for `coverage[toml]` anew when only `coverage` is pinned, and then miss its hash."""
    assert "coverage[toml]==" in (ROOT / "requirements" / "dev.txt").read_text("utf-8")
    assert "sqlalchemy[asyncio]==" in (ROOT / "requirements" / "runtime.txt").read_text("utf-8")
