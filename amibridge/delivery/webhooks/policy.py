"""What an answer of a receiver means for the event that it was told. Pure: time and chance are passed in.

Laws: whatever is not 2xx is no success; an event is never too late, and is tried for days; what the receiver plainly
does not want, for an hour, for so long a wrong address or a changed secret may take to be noticed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum

from amibridge.delivery.policy import GIVEN_UP, SHORTEST, Backoff, Done, Park, Retry
from amibridge.delivery.webhooks.post import Heard

BACKOFF = Backoff(timedelta(seconds=1), timedelta(minutes=10), least=0.0)

PATIENCE = timedelta(days=5)
"""As history to a CRM: over a long weekend with nobody in the office."""

REFUSED_PATIENCE = timedelta(hours=1)

GONE_AGAIN = timedelta(hours=1)
"""A receiver that says it is gone is asked again all the same, for its address may be given to it once more."""

TRY_AGAIN = frozenset({408, 425, 429})
"""Of 4xx: nothing is wrong with the event."""


class Meaning(Enum):
    TAKEN = "taken"
    TRY_AGAIN = "try again"
    REFUSED = "refused"
    GONE = "gone"


def meaning(heard: Heard) -> Meaning:
    status = heard.status
    if status is None or status >= 500 or status in TRY_AGAIN:
        return Meaning.TRY_AGAIN
    if 200 <= status < 300:
        return Meaning.TAKEN
    return Meaning.GONE if status == 410 else Meaning.REFUSED


def decide(heard: Heard, *, attempts: int, since: datetime, now: datetime, jitter: float) -> Done | Retry | Park:
    """*attempts*: tries so far, this one too. *since*: since when it is tried in vain. *jitter*: from [0, 1)."""
    means = meaning(heard)
    if means is Meaning.TAKEN:
        return Done()
    if means is Meaning.GONE:
        patience, again = PATIENCE, GONE_AGAIN
    else:
        patience = REFUSED_PATIENCE if means is Meaning.REFUSED else PATIENCE
        again = max(BACKOFF.wait(attempts, jitter), heard.retry_after or SHORTEST)
    if now - since >= patience:
        return Park(given_up(patience, heard))
    return Retry(now + again)


def given_up(patience: timedelta, heard: Heard) -> str:
    span = f"{patience.days} days" if patience.days else "an hour"
    return f"{GIVEN_UP}{span}: {heard.said}"
