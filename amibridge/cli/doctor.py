"""`amibridge doctor`: what is looked at, what was found, and for what is not well what to do about it."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict

from amibridge import log
from amibridge.cli.configured import in_loop, settings_file, settings_of
from amibridge.cli.ownership import act_as_owner
from amibridge.cli.stored import show, unknown
from amibridge.config import ConfigError
from amibridge.doctor.examination import Live, UnknownEnterprise, examine
from amibridge.doctor.findings import Evidence, Finding, Level
from amibridge.enterprises import EnterpriseId
from amibridge.log import escape

COLUMN = 24
"""Where what was found begins, after the level: right for a number, a host and a word."""

LONGEST = 500
"""Characters of a sentence: what others say of themselves has no end."""


def doctor(args: argparse.Namespace) -> int:
    """Exit code 1 if anything failed; a warning is none."""
    if args.number is None and args.live:
        raise ConfigError(["--live asks the account of one enterprise: amibridge doctor N --live"])
    if args.write and not args.live:
        raise ConfigError(["--write goes with --live: amibridge doctor N --live --write"])
    settings = settings_of(args)
    log.configure(settings.log.format, "critical")  # what the log would say meanwhile is among the findings
    act_as_owner(settings.data_dir)
    number = EnterpriseId(args.number) if args.number is not None else None
    told = Counter[Level]()

    def say(finding: Finding) -> None:
        told[finding.level] += 1
        if args.json:
            show(_as_json(finding))
        else:
            print("\n".join(_lines(finding)), flush=True)

    try:
        in_loop(examine(settings, settings_file(args), number, say, _live(args)))
    except UnknownEnterprise as error:
        raise unknown(EnterpriseId(args.number), error.known) from None
    unknown_yet = f", {told[Level.OPEN]} could not be asked" if told[Level.OPEN] else ""
    print(
        f"{told[Level.OK]} ok, {told[Level.WARN]} to look at, {told[Level.FAIL]} failed{unknown_yet}", file=sys.stderr
    )
    return 1 if told[Level.FAIL] else 0


def _live(args: argparse.Namespace) -> Live | None:
    if not args.live:
        return None
    return Live.WRITE if args.write else Live.READ


def _lines(finding: Finding) -> list[str]:
    about = f"{finding.enterprise} {finding.about}" if finding.enterprise else finding.about
    first = f"{finding.level:<5} {escape(about):<{COLUMN - 1}}  {_shown(finding.found)}"
    below = [] if finding.evidence is None else list(_evidence(finding.evidence))
    if finding.advice is not None:
        below.append(f"→ {finding.advice}")
    return [first, *(f"{'':<{COLUMN + 6}} {_shown(line)}" for line in below)]


def _evidence(evidence: Evidence) -> Iterator[str]:
    yield f"assumed: {evidence.assumed}"
    if evidence.asked is not None:
        yield f"asked: {evidence.asked}"
        yield f"answered: {evidence.answered}"


def _shown(text: str) -> str:
    return escape(text if len(text) <= LONGEST else text[: LONGEST - 1] + "…")


def _as_json(finding: Finding) -> dict[str, str | None]:
    """Of what is asked with `--live` it tells more."""
    evidence = {} if finding.evidence is None else asdict(finding.evidence)
    return {
        "level": finding.level,
        "enterprise": finding.enterprise,
        "about": finding.about,
        "found": finding.found,
        "advice": finding.advice,
        **evidence,
    }
