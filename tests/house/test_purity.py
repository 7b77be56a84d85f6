"""The middle is pure: no clock, no socket, no database, no logger, not even through what it imports."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.house.source import Module, imported, modules, parse

PURE = re.compile(
    r"calls(\..+)?|enterprises|ami\.(wire|events|actions|session|transcript|cutting)"
    r"|retailcrm\.(?!(client|service)$).+|delivery\.policy"
    r"|responsible\.(answer|decision|memory|naming|presence|silence)"
)
IMPURE_IMPORTS = {
    "aiohttp", "asyncio", "asyncpg", "logging", "os", "pathlib", "random", "secrets", "socket", "structlog",
    "subprocess", "threading", "time", "uuid",
}  # fmt: skip
IMPURE_METHODS = {"now", "today", "utcnow", "getenv", "monotonic", "perf_counter"}
IMPURE_FUNCTIONS = {"open", "print", "input"}


def impurities(module: Module) -> Iterator[str]:
    for name in sorted({name.split(".")[0] for name in imported(module.tree)} & IMPURE_IMPORTS):
        yield f"{module.at(module.tree)} imports {name}"
    for node in ast.walk(module.tree):
        match node:
            case ast.Call(func=ast.Attribute(attr=called)) if called in IMPURE_METHODS:
                yield f"{module.at(node)} calls {called}()"
            case ast.Call(func=ast.Name(id=called)) if called in IMPURE_FUNCTIONS | IMPURE_METHODS:
                yield f"{module.at(node)} calls {called}()"


def reachable(known: dict[str, Module]) -> dict[str, Module]:
    """The pure modules and every module of ours that they import, however far."""
    found: dict[str, Module] = {}
    ahead = [name for name in known if PURE.fullmatch(name)]
    while ahead:
        name = ahead.pop()
        if name in found:
            continue
        found[name] = known[name]
        ours = {used.removeprefix("amibridge.") for used in imported(known[name].tree) if used.startswith("amibridge.")}
        ahead += ours & known.keys()
    return found


def test_pure_modules_stay_pure_with_all_they_import() -> None:
    found = reachable({module.name: module for module in modules()})
    assert {"calls.board", "ami.session", "enterprises", "delivery.policy", "retailcrm.render"} <= found.keys()
    assert [line for module in found.values() for line in impurities(module)] == []


@pytest.mark.parametrize(
    "text",
    [
        "import asyncio",
        "import os.path",
        "from random import choice",
        "def f():\n    import logging",
        "from datetime import datetime\nat = datetime.now()",
        "at = dt.date.today()",
        "from time import monotonic",
        "open('trace')",
    ],
)
def test_the_rule_sees_an_impurity(text: str) -> None:
    assert list(impurities(parse("calls.sample", text)))


def test_the_rule_sees_an_impurity_behind_an_import() -> None:
    board = parse("calls.board", "from amibridge.ami import clock")
    clock = parse("ami.clock", "import time")
    assert reachable({"calls.board": board, "ami.clock": clock}).keys() == {"calls.board", "ami.clock"}
