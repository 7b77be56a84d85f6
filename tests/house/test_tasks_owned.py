"""Every task has an owner, a TaskGroup, and a name."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.house.source import Module, modules, parse

STARTERS = {"create_task", "ensure_future", "run_coroutine_threadsafe"}


def ownerless(module: Module) -> Iterator[str]:
    groups = set(_groups(module.tree))
    for node in ast.walk(module.tree):
        match node:
            case ast.Call(func=ast.Attribute(value=owner, attr="create_task")) if ast.unparse(owner) in groups:
                if not any(keyword.arg == "name" for keyword in node.keywords):
                    yield f"{module.at(node)} starts a task without a name"
            case ast.Attribute(attr=attr) if attr in STARTERS - {"create_task"}:
                yield f"{module.at(node)} uses {attr}"
            case ast.Attribute(value=owner, attr="create_task") if ast.unparse(owner) in groups:
                pass
            case ast.Attribute(attr="create_task"):
                yield f"{module.at(node)} starts a task outside a TaskGroup"
            case ast.ImportFrom(module="asyncio", names=aliases) if {alias.name for alias in aliases} & STARTERS:
                yield f"{module.at(node)} imports a task starter by itself"


def _groups(tree: ast.AST) -> Iterator[str]:
    """Names that stand for a TaskGroup: entered here, or handed in as one."""
    for node in ast.walk(tree):
        match node:
            case ast.withitem(
                context_expr=ast.Call(func=ast.Attribute(attr="TaskGroup")), optional_vars=ast.expr() as entered
            ):
                yield ast.unparse(entered)
            case ast.arg(arg=name, annotation=ast.Attribute(attr="TaskGroup")):
                yield name


def test_every_task_has_an_owner_and_a_name() -> None:
    assert [line for module in modules() for line in ownerless(module)] == []
    assert any("create_task" in module.text for module in modules())


@pytest.mark.parametrize(
    "text",
    [
        "asyncio.create_task(work(), name='x')",
        "asyncio.ensure_future(work())",
        "loop.create_task(work(), name='x')",
        "asyncio.get_running_loop().create_task(work(), name='x')",
        "start = asyncio.create_task",
        "from asyncio import create_task",
        "async def f(tasks: asyncio.TaskGroup):\n    tasks.create_task(work())",
    ],
)
def test_the_rule_sees_a_stray(text: str) -> None:
    assert list(ownerless(parse("delivery.sample", text)))


@pytest.mark.parametrize("group", ["tasks", "self._tasks"])
def test_the_rule_allows_a_group(group: str) -> None:
    entered = (
        f"async def f():\n    async with asyncio.TaskGroup() as {group}:\n        {group}.create_task(g(), name='g')"
    )
    assert list(ownerless(parse("delivery.sample", entered))) == []
