"""Documents say what is: links lead somewhere, and commands and every line of the log are explained."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from amibridge.calls.record import Direction
from amibridge.cli import COMMANDS
from amibridge.store.codec import FACT_TYPES
from tests.house.source import ROOT, modules

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")
LINK = re.compile(r"\]\((?!https?://)([^)#]+)(?:#[^)]*)?\)")
CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LEVELS = {"debug", "info", "warning", "error", "critical"}
BUILT = {
    "f'call_{brief.direction}'": {f"call_{direction}" for direction in Direction},
    "self._event": {
        "api_request_limited",
        "api_request_refused",
        "call_request_refused",
        "call_request_suspicious",
        "crm_callback_refused",
        "legacy_module_asks",
        "responsible_refused",
        "webhook_refused",
    },
    "fact.word.replace('.', '_')": {word.replace(".", "_") for word in FACT_TYPES if word.startswith("operator.")},
}
"""Events whose names are put together, by the expression that does it."""


def names(event: ast.expr) -> set[str]:
    """The names that an event may have."""
    match event:
        case ast.Constant(value=str(name)):
            return {name}
        case ast.IfExp(body=one, orelse=other):
            return names(one) | names(other)
        case _:
            return BUILT[ast.unparse(event)]


def logged() -> Iterator[tuple[str, str]]:
    """(event, level) of every line that the product can write; the sandbox speaks to whoever plays with it."""
    for module in modules():
        if module.name.startswith("sandbox"):
            continue
        for node in ast.walk(module.tree):
            match node:
                case ast.Call(func=ast.Attribute(value=logger, attr=level), args=[event, *_]) if (
                    level in LEVELS and ast.unparse(logger) in ("log", "self._log")
                ):
                    yield from ((name, level) for name in names(event))


def explained() -> Iterator[tuple[str, str]]:
    """(event, level) of every row in the tables of the log."""
    for line in OPERATIONS.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > 3 and cells[2] in LEVELS:
            yield from ((event, cells[2]) for event in re.findall(r"`(\w+)`", cells[1]))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: object) -> None:
    path = ROOT / str(document)
    prose = CODE.sub("", path.read_text("utf-8"))
    dead = [target for target in LINK.findall(prose) if not (path.parent / target).exists()]
    assert dead == []


def test_every_line_of_the_log_is_explained_at_its_level_and_no_other_is() -> None:
    said, known = set(logged()), list(explained())
    assert len(said) > 50, "the rule looked at the wrong place"
    assert sorted(said - set(known)) == []
    assert sorted(set(known) - said) == []
    assert len(known) == len(set(known)), "some line is explained twice"


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_documented(command: str) -> None:
    text = (OPERATIONS + (ROOT / "README.md").read_text("utf-8")).replace("make ", "amibridge ")
    group, _, word = command.rpartition(" ")
    assert re.search(rf"amibridge {group}[^\n`]*\b{word}\b" if group else rf"amibridge {word}\b", text), command


def test_every_word_for_a_fact_is_in_the_glossary() -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    assert [word for word in FACT_TYPES if f"`{word}`" not in glossary] == []
