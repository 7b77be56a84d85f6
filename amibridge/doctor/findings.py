"""What a look finds, and looking: each check for itself, with a deadline.

Laws: whatever is not well says what to do; no check keeps another from being done, neither by failing nor by waiting;
a finding never holds a secret, and what others wrote into it is made harmless where it is shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from traceback import extract_tb

from amibridge.enterprises import EnterpriseId
from amibridge.store.db import DATABASE_FAILURES

PATIENCE = timedelta(seconds=15)
"""For one check. What it looks at has deadlines of its own, which are shorter."""


class Level(StrEnum):
    OK = "ok"
    OPEN = "open"
    WARN = "warn"
    FAIL = "fail"


class Verdict(StrEnum):
    """Of what we assume of others."""

    AS_ASSUMED = "as assumed"
    DIFFERENT = "DIFFERENT"
    UNASKED = "cannot be asked here"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a verdict rests on: *assumed* by us, *asked* and *answered*, None where nothing was."""

    verdict: Verdict
    assumed: str
    asked: str | None = None
    answered: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """*about*: what was looked at, in a word or two. *found* and *advice*: sentences without a full stop.

    *enterprise* None: it concerns the whole installation. *evidence*: only of what others do that we only assume.
    """

    level: Level
    about: str
    found: str
    advice: str | None = None
    enterprise: EnterpriseId | None = None
    evidence: Evidence | None = None


def ok(about: str, found: str) -> Finding:
    return Finding(Level.OK, about, found)


def unknown(about: str, found: str, advice: str | None, evidence: Evidence) -> Finding:
    """It could not be found out, and nothing says that it is not well."""
    return Finding(Level.OPEN, about, found, advice, evidence=evidence)


def warn(about: str, found: str, advice: str) -> Finding:
    """It works, or may; not as well as it should."""
    return Finding(Level.WARN, about, found, advice)


def fail(about: str, found: str, advice: str) -> Finding:
    """Something that was promised does not happen while this is so."""
    return Finding(Level.FAIL, about, found, advice)


@dataclass(frozen=True, slots=True)
class Check:
    """*about* is what is said of it where it cannot be done itself."""

    about: str
    look: Callable[[], AsyncGenerator[Finding]]
    within: timedelta = PATIENCE


async def findings_of(check: Check) -> list[Finding]:
    """What *check* found until it ended, however it ended."""
    found: list[Finding] = []
    limit = asyncio.timeout(check.within.total_seconds())
    try:
        async with limit, aclosing(check.look()) as looking:
            async for finding in looking:
                found.append(finding)
    except DATABASE_FAILURES as error:  # TimeoutError is one
        found.append(_broken_off(check, limit.expired(), error))
    except Exception as error:
        place = extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__} in {Path(place.filename).name}, line {place.lineno}"
        advice = "this is a defect of ours: send us this line"
        found.append(fail(check.about, f"the check itself failed: {what}", advice))
    return found


def _broken_off(check: Check, expired: bool, error: BaseException) -> Finding:
    if expired:
        found = f"nothing more was learnt within {check.within.total_seconds():g} s"
        return fail(check.about, found, "ask again, and look at the machine's load")
    reason = str(error) or type(error).__name__
    return fail(check.about, f"it could not be asked: {reason}", "mend what else is found, and ask again")
