"""SQL stands in files, as named queries, each with a sentence about its purpose."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.house.source import PACKAGE

NAME = re.compile(r"-- (\w+) --")
SENTENCE = re.compile(r"[A-ZА-Я].*[.:)]")


def unexplained(text: str) -> Iterator[str]:
    """What is wrong with a file of named queries."""
    seen: set[str] = set()
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if NAME.fullmatch(line.strip())]
    if not starts:
        yield "no query has a name"
        return
    if stray := [line for line in lines[: starts[0]] if line.strip() and not line.startswith("--")]:
        yield f"before the first name: {stray[0]}"
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        name = NAME.sub(r"\1", lines[start].strip())
        if name in seen:
            yield f"{name} stands twice"
        seen.add(name)
        purpose: list[str] = []
        for line in lines[start + 1 : end]:
            if not line.startswith("-- "):
                break
            purpose.append(line.removeprefix("-- ").strip())
        if not SENTENCE.fullmatch(" ".join(purpose)):
            yield f"{name} does not say what it is for"
        if not any(line.strip() and not line.startswith("--") for line in lines[start + 1 : end]):
            yield f"{name} has no statement"


def test_every_query_says_what_it_is_for() -> None:
    files = [path for path in sorted(PACKAGE.rglob("*.sql")) if path.name != "schema.sql"]
    assert len(files) >= 3
    assert [f"{path.name}: {fault}" for path in files for fault in unexplained(path.read_text("utf-8"))] == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("SELECT 1;", "no query has a name"),
        ("-- one --\nSELECT 1;", "one does not say"),
        ("-- one --\n-- number one\nSELECT 1;", "one does not say"),
        ("-- one --\n-- The number one.\n", "one has no statement"),
        ("SELECT 0;\n-- one --\n-- The number one.\nSELECT 1;", "before the first name"),
        ("-- one --\n-- The one.\nSELECT 1;\n-- one --\n-- The one.\nSELECT 1;", "one stands twice"),
    ],
)
def test_the_rule_sees_a_fault(text: str, fault: str) -> None:
    assert any(line.startswith(fault) for line in unexplained(text))


def test_the_rule_leaves_a_good_file() -> None:
    assert list(unexplained("-- Of leases.\n\n-- one --\n-- The number one,\n-- always.\nSELECT 1;\n")) == []
