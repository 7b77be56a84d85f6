"""Names say what is inside, and a file is one idea."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.house.source import Module, modules, parse

LONGEST_FILE = 400  # lines

EMPTY_WORDS = {"manager", "managers", "helper", "helpers", "util", "utils", "data", "info"}
EMPTY_VERBS = {"process", "handle"}
MEANT = re.compile(
    "data_received"  # asyncio.Protocol
    "|handle_error"  # aiohttp.web.RequestHandler
    "|receive_data|data_to_send"  # the usual names of a sans-IO protocol
    "|.*data_dir.*"  # a key of amibridge.toml
)


def empty_names(module: Module) -> Iterator[str]:
    if set(module.name.split(".")[-1].split("_")) & EMPTY_WORDS:
        yield f"{module.at(module.tree)} the file's name says nothing"
    for node in ast.walk(module.tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                words = name.strip("_").lower().split("_")
                empty = bool(set(words) & EMPTY_WORDS) or words[0] in EMPTY_VERBS
            case ast.ClassDef(name=name):
                empty = bool({word.lower() for word in re.findall("[A-Z][a-z]*", name)} & EMPTY_WORDS)
            case _:
                continue
        if empty and not MEANT.fullmatch(name) and not _means_a_foreign_manager(module, name):
            yield f"{module.at(node)} {name} says nothing"


def _means_a_foreign_manager(module: Module, name: str) -> bool:
    """RetailCRM calls its people managers, and panoramisk its client Manager: there the word means something."""
    return "anager" in name and module.name.startswith(("retailcrm.", "responsible.", "sandbox.crm", "ami.link"))


def test_names_say_something() -> None:
    assert [line for module in modules() for line in empty_names(module)] == []


def test_files_are_one_idea() -> None:
    long = {module.name: lines for module in modules() if (lines := module.text.count("\n")) > LONGEST_FILE}
    assert long == {}


def test_every_file_says_its_job() -> None:
    assert [module.name for module in modules() if not ast.get_docstring(module.tree)] == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("calls.utils", ""),
        ("calls.call_helpers", ""),
        ("calls.sample", "def handle_event(): ..."),
        ("calls.sample", "def _process_queue(): ..."),
        ("calls.sample", "async def get_info(): ..."),
        ("calls.sample", "class CallManager: ..."),
        ("calls.sample", "class CallData: ..."),
    ],
)
def test_the_rule_sees_an_empty_name(name: str, text: str) -> None:
    assert list(empty_names(parse(name, text)))


@pytest.mark.parametrize("text", ["def data_received(): ...", "def update(): ...", "class Database: ..."])
def test_the_rule_leaves_good_names(text: str) -> None:
    assert list(empty_names(parse("calls.sample", text))) == []
