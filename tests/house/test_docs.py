"""Documents say what is: links lead somewhere, and commands and every line of the log that asks for help are named."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from amibridge.cli import COMMANDS
from amibridge.store.codec import FACT_TYPES
from tests.house.source import ROOT, modules

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")
LINK = re.compile(r"\]\((?!https?://)([^)#]+)(?:#[^)]*)?\)")
SERIOUS = {"warning", "error", "critical"}


def logged() -> Iterator[tuple[str, str]]:
    """(level, event) of every line that the product can write; the sandbox speaks to whoever plays with it."""
    for module in modules():
        if module.name.startswith("sandbox"):
            continue
        for node in ast.walk(module.tree):
            match node:
                case ast.Call(func=ast.Attribute(attr=level), args=[ast.Constant(value=str(event)), *_]) if (
                    level in SERIOUS | {"info"} and "log" in ast.unparse(node.func).lower()
                ):
                    yield level, event


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: object) -> None:
    path = ROOT / str(document)
    dead = [target for target in LINK.findall(path.read_text("utf-8")) if not (path.parent / target).exists()]
    assert dead == []


def test_whatever_asks_for_help_is_explained() -> None:
    serious = {event for level, event in logged() if level in SERIOUS}
    assert len(serious) > 15, "the rule looked at the wrong place"
    assert sorted(event for event in serious if f"`{event}`" not in OPERATIONS) == []


def test_what_is_explained_is_said() -> None:
    said = {event for _, event in logged()} | {"call_incoming", "call_outgoing", "call_internal"}
    rows = [line for line in OPERATIONS.splitlines() if line.startswith("| `")]
    explained = {event for row in rows for event in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert sorted(explained - said) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_documented(command: str) -> None:
    text = (OPERATIONS + (ROOT / "README.md").read_text("utf-8")).replace("make ", "amibridge ")
    group, _, word = command.rpartition(" ")
    assert re.search(rf"amibridge {group}[^\n`]*\b{word}\b" if group else rf"amibridge {word}\b", text), command


def test_every_word_for_a_fact_is_in_the_glossary() -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    assert [word for word in FACT_TYPES if f"`{word}`" not in glossary] == []
