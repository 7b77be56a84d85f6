"""What to do with a delivery after a try. Pure: time and chance are passed in.

Laws: a popup is news and is dropped rather than sent late; history is kept and tried for days, then parked where a
person sees it; what is wrong with a whole enterprise pauses that enterprise and settles no delivery.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import TypeAlias, assert_never

from amibridge.retailcrm.errors import (
    CrmBroken,
    CrmBusy,
    CrmError,
    CrmForbids,
    CrmLockedOut,
    CrmMissing,
    CrmNotEnabled,
    CrmRefused,
    CrmUnreachable,
)


@dataclass(frozen=True, slots=True)
class Done:
    pass


@dataclass(frozen=True, slots=True)
class Retry:
    at: datetime


@dataclass(frozen=True, slots=True)
class Drop:
    why: str


@dataclass(frozen=True, slots=True)
class Park:
    why: str


@dataclass(frozen=True, slots=True)
class PauseEnterprise:
    """Ask nothing for this enterprise before *until*; the delivery stays as it was."""

    until: datetime
    why: str


Verdict: TypeAlias = Done | Retry | Drop | Park | PauseEnterprise


class Answer(Enum):
    """The three things an error can call for."""

    TRY_AGAIN = "try again"
    GIVE_UP = "give up"
    PAUSE = "pause"


ANSWERS: Mapping[type[CrmError], Answer] = {
    CrmBusy: Answer.TRY_AGAIN,
    CrmUnreachable: Answer.TRY_AGAIN,
    CrmBroken: Answer.TRY_AGAIN,
    CrmRefused: Answer.GIVE_UP,
    CrmMissing: Answer.GIVE_UP,
    CrmLockedOut: Answer.PAUSE,
    CrmForbids: Answer.PAUSE,
    CrmNotEnabled: Answer.PAUSE,
}

PATIENCE = timedelta(days=5)
"""How long history is tried: over a long weekend with nobody in the office."""

GIVEN_UP = "given up after "
"""Begins the reason of a row that was tried for so long."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that double from *first* up to *cap*, the n-th taken from [*least* of it, all of it] by chance."""

    first: timedelta
    cap: timedelta
    least: float

    def wait(self, attempts: int, jitter: float) -> timedelta:
        # Thirty doublings pass any cap, and more would overflow.
        ceiling = min(self.cap, self.first * (1 << min(max(attempts, 1) - 1, 30)))
        return ceiling * (self.least + (1 - self.least) * jitter)


POPUP = Backoff(timedelta(milliseconds=200), timedelta(seconds=5), least=0.5)
HISTORY = Backoff(timedelta(seconds=1), timedelta(minutes=10), least=0.0)
PAUSE = Backoff(timedelta(minutes=1), timedelta(minutes=15), least=1.0)

SHORTEST = timedelta(milliseconds=200)
"""Full jitter may say "at once"; a dead CRM must not be asked in a tight loop."""


def decide(
    error: CrmError | None,
    *,
    perishable_until: datetime | None,
    attempts: int,
    first_tried: datetime,
    now: datetime,
    jitter: float,
) -> Verdict:
    """What to do after a try that ended at *now* with *error*, None for success.

    *perishable_until*: when the news is stale, None for history. *attempts*: tries so far, this one too; for a
    pause, failures of the enterprise in a row. *first_tried*: since when it is tried, not counting a pause and
    what was before it. *jitter*: from [0, 1).
    """
    if error is None:
        return Done()
    match ANSWERS[type(error)]:
        case Answer.PAUSE:
            return PauseEnterprise(now + PAUSE.wait(attempts, jitter), str(error))
        case Answer.GIVE_UP:
            return Park(str(error)) if perishable_until is None else Drop(str(error))
        case Answer.TRY_AGAIN:
            asked = error.retry_after if isinstance(error, CrmBusy) and error.retry_after else SHORTEST
            if perishable_until is None:
                if now - first_tried >= PATIENCE:
                    return Park(f"{GIVEN_UP}{PATIENCE.days} days: {error}")
                return Retry(now + max(HISTORY.wait(attempts, jitter), asked))
            at = now + max(POPUP.wait(attempts, jitter), asked)
            return Retry(at) if at < perishable_until else Drop(f"stale: {error}")
        case _ as never:
            assert_never(never)
