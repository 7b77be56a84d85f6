"""No check keeps another from being done, and what was found before it broke off counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta

import asyncpg
import pytest

from amibridge.doctor.findings import Check, Finding, Level, findings_of, ok


async def never_ends() -> AsyncGenerator[Finding]:
    yield ok("one", "found")
    await asyncio.Event().wait()


async def is_wrong() -> AsyncGenerator[Finding]:
    yield ok("one", "found")
    raise KeyError("postgresql://user:hush@db")


async def loses_the_database() -> AsyncGenerator[Finding]:
    yield ok("one", "found")
    raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")


async def is_impatient() -> AsyncGenerator[Finding]:
    yield ok("one", "found")
    raise TimeoutError


async def test_a_check_that_takes_too_long_ends() -> None:
    found = await findings_of(Check("it", never_ends, timedelta(milliseconds=20)))
    assert [one.level for one in found] == [Level.OK, Level.FAIL]
    assert found[1].found == "nothing more was learnt within 0.02 s"


async def test_a_defect_of_ours_is_said_with_its_place_and_without_its_text() -> None:
    [_, failed] = await findings_of(Check("it", is_wrong))
    assert failed.level is Level.FAIL
    assert failed.found.startswith("the check itself failed: KeyError in test_findings.py, line ")
    assert "hush" not in f"{failed}"


@pytest.mark.parametrize(
    ("look", "reason"), [(loses_the_database, "connection was closed"), (is_impatient, "TimeoutError")]
)
async def test_a_database_that_goes_away_fails_the_check_that_asks_it(look: object, reason: str) -> None:
    [_, failed] = await findings_of(Check("it", look))  # type: ignore[arg-type]
    assert failed.found.startswith(f"it could not be asked: {reason}")
    assert failed.advice
