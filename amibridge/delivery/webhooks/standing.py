"""How one receiver stands: how many events it may be told now, and what changed that an operator should know.

Laws: the first answers that fail may be about their events, so that others go on; failures in a row are about the
receiver, which is then asked one thing at a time, ever more rarely, until it takes one; one that says it is gone is
left alone for an hour. Pure: the time is passed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from amibridge.delivery.policy import SHORTEST
from amibridge.delivery.standing import WORTH_SAYING, Mood
from amibridge.delivery.webhooks.policy import BACKOFF, GONE_AGAIN

AT_ONCE = 4
"""Events on their way to one receiver, each of another call."""


@dataclass(slots=True)
class Standing:
    """Methods that take an answer in return the new mood when it changed, else None.

    *failing_since*: since when nothing was taken, None while all is well.
    """

    mood: Mood = Mood.WELL
    failures: int = 0
    failing_since: datetime | None = None
    silent_till: datetime | None = None

    def room(self, now: datetime, *, in_flight: int) -> int:
        """How many more may be told."""
        if self.silent_till is not None and now < self.silent_till:
            return 0
        return max(0, (AT_ONCE if self.failures < WORTH_SAYING else 1) - in_flight)

    def wake_at(self, now: datetime) -> datetime | None:
        """When there will be more room without any answer arriving."""
        return self.silent_till if self.silent_till is not None and self.silent_till > now else None

    def taken(self) -> Mood | None:
        self.failures, self.failing_since, self.silent_till = 0, None, None
        return self._become(Mood.WELL)

    def failed(
        self, now: datetime, *, tried_since: datetime, retry_after: timedelta | None, jitter: float
    ) -> Mood | None:
        """*tried_since*: since when the event is tried, which a start of ours does not begin anew."""
        self.failing_since = min(self.failing_since or tried_since, tried_since)
        if self.wake_at(now) is None:  # those that were on their way together fail together: one failure
            self.failures += 1
            if self.failures >= WORTH_SAYING:
                self._be_silent(now + max(BACKOFF.wait(self.failures, jitter), SHORTEST))
        if retry_after is not None:
            self._be_silent(now + retry_after)
        worse = self.failures >= WORTH_SAYING and self.mood is Mood.WELL
        return self._become(Mood.TROUBLED) if worse else None

    def gone(self, now: datetime, *, tried_since: datetime) -> Mood | None:
        self.failing_since = min(self.failing_since or tried_since, tried_since)
        self.failures = max(self.failures, WORTH_SAYING)
        self._be_silent(now + GONE_AGAIN)
        return self._become(Mood.PAUSED)

    def _be_silent(self, till: datetime) -> None:
        self.silent_till = till if self.silent_till is None else max(self.silent_till, till)

    def _become(self, mood: Mood) -> Mood | None:
        if mood is self.mood:
            return None
        self.mood = mood
        return mood
