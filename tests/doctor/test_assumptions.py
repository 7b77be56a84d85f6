"""The table of assumptions: complete in itself, true of the code, and the same in the document that people read."""

from __future__ import annotations

import importlib
import re
from functools import reduce

import pytest

from amibridge.doctor.live.assumptions import ASSUMPTIONS, WRITES, Assumption
from tests.house.source import ROOT

DOCUMENT = (ROOT / "docs" / "assumptions.md").read_text("utf-8")
SENTENCE = re.compile(r"[^|\n]*[^|\n.]")


def asked(assumption: Assumption) -> str:
    if isinstance(assumption.question, str):
        return f"no: {assumption.question}"
    return "with `--write`" if assumption.question in WRITES else "yes"


def row(assumption: Assumption) -> str:
    grave = "**grave** " if assumption.grave else ""
    where = assumption.where.removeprefix("amibridge.")
    cells = (assumption.about, assumption.assumes, f"`{where}`", asked(assumption), grave + assumption.meanwhile)
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize("assumption", ASSUMPTIONS, ids=lambda one: one.about)
def test_the_choice_stands_where_the_table_says(assumption: Assumption) -> None:
    module, _, name = assumption.where.partition(":")
    assert reduce(getattr, name.split("."), importlib.import_module(module)) is not None


def test_the_document_shows_the_table() -> None:
    shown = [line for line in DOCUMENT.splitlines() if line.startswith("| ")][1:]
    assert shown == [row(assumption) for assumption in ASSUMPTIONS]


def test_each_is_said_once_and_in_sentences_that_fit_into_a_cell() -> None:
    assert len({assumption.about for assumption in ASSUMPTIONS}) == len(ASSUMPTIONS)
    for assumption in ASSUMPTIONS:
        said = [assumption.about, assumption.assumes, assumption.meanwhile, asked(assumption)]
        assert [text for text in said if not SENTENCE.fullmatch(text)] == []


def test_what_writes_is_a_question_of_the_table() -> None:
    assert {assumption.question for assumption in ASSUMPTIONS} >= WRITES
