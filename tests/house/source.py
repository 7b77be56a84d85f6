"""The package's source, parsed once for every rule of the house."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "amibridge"


@dataclass(frozen=True)
class Module:
    """*name* is dotted, without the package: ``calls.board``; a package's `__init__` is called like the package."""

    name: str
    path: Path
    text: str
    tree: ast.Module

    def at(self, node: ast.AST) -> str:
        return f"{self.path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def parse(name: str, text: str) -> Module:
    """A module that is only a sample."""
    return Module(name, PACKAGE / f"{name.replace('.', '/')}.py", text, ast.parse(text))


@cache
def modules() -> tuple[Module, ...]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        text = path.read_text(encoding="utf-8")
        name = ".".join(part for part in parts if part != "__init__")
        found.append(Module(name, path, text, ast.parse(text)))
    assert len(found) > 30, "the rules looked at the wrong folder"
    return tuple(found)


def imported(tree: ast.AST) -> set[str]:
    """Every absolute module name the tree imports, ``from a import b`` both as ``a`` and as ``a.b``."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                names.update(alias.name for alias in aliases)
            case ast.ImportFrom(module=str(module), names=aliases):
                names.add(module)
                names.update(f"{module}.{alias.name}" for alias in aliases)
    return names
