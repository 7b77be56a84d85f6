"""Two clocks beside each other. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from amibridge.doctor.findings import Finding, fail, ok, warn

NOTICED = timedelta(seconds=2)
"""From here on a person who compares two screens sees it."""

WRONG = timedelta(minutes=1)
"""From here on calls are looked for at the wrong time, and what belongs together stands apart."""

ADVICE = "let both machines be set by NTP (chrony or systemd-timesyncd); `timedatectl` shows how ours stands"


def compared(
    about: str, theirs: datetime, asked: datetime, answered: datetime, *, step: timedelta = timedelta(0)
) -> Finding:
    """*theirs* beside ours, which showed *asked* before and *answered* after. *step*: what *theirs* is cut to."""
    doubt = (answered - asked + step) / 2
    apart = theirs + step / 2 - (asked + (answered - asked) / 2)
    size = abs(apart)
    if size <= NOTICED + doubt:
        return ok(about, "as ours" if size <= doubt else f"{_seconds(size)} from ours")
    found = f"{_seconds(size)} {'ahead of' if apart > timedelta(0) else 'behind'} ours"
    return fail(about, found, ADVICE) if size > WRONG + doubt else warn(about, found, ADVICE)


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():.1f} s" if span < timedelta(minutes=10) else str(span).partition(".")[0]


def ago(then: datetime, now: datetime) -> str:
    """For people: ``12 min ago``."""
    seconds = max(0, int((now - then).total_seconds()))
    for size, word in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {word} ago"
    return f"{seconds} s ago"
