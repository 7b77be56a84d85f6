"""Two clocks beside each other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from amibridge.doctor.clocks import ago, compared
from amibridge.doctor.findings import Level

NOON = datetime(2026, 3, 10, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ahead", "took", "step", "level", "found"),
    [
        (0.0, 0.0, 0.0, Level.OK, "as ours"),
        (0.3, 1.0, 0.0, Level.OK, "as ours"),
        (1.5, 0.0, 0.0, Level.OK, "1.5 s from ours"),
        (3.0, 0.0, 0.0, Level.WARN, "3.0 s ahead of ours"),
        (-3.0, 0.0, 0.0, Level.WARN, "3.0 s behind ours"),
        (3.0, 4.0, 0.0, Level.OK, "3.0 s from ours"),
        (-0.5, 0.0, 1.0, Level.OK, "as ours"),
        (61.0, 0.0, 0.0, Level.FAIL, "61.0 s ahead of ours"),
        (-10_800.0, 0.0, 0.0, Level.FAIL, "3:00:00 behind ours"),
    ],
)
def test_the_doubt_of_the_way_and_of_the_step_counts(
    ahead: float, took: float, step: float, level: Level, found: str
) -> None:
    """*ahead*: of the middle between question and answer."""
    answered = NOON + timedelta(seconds=took)
    theirs = NOON + timedelta(seconds=took / 2 + ahead)
    finding = compared("clock", theirs, NOON, answered, step=timedelta(seconds=step))
    assert (finding.level, finding.found) == (level, found)
    assert (finding.advice is None) == (level is Level.OK)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0 s ago"), (119, "119 s ago"), (120, "2 min ago"), (7_199, "119 min ago"), (7_200, "2 h ago"),
     (172_800, "2 days ago")],
)  # fmt: skip
def test_how_long_ago(seconds: int, words: str) -> None:
    assert ago(NOON - timedelta(seconds=seconds), NOON) == words
