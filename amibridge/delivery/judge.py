"""What an answer of the CRM means for the rows it was about and for the whole account; each verdict is written.

Laws: what stops the whole enterprise settles no row; each change of how the account stands is one line in the log;
what an account answered before its settings were changed says nothing of how it stands now.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import assert_never

from structlog.typing import FilteringBoundLogger

from amibridge.delivery.policy import PauseEnterprise, Retry, Verdict, decide
from amibridge.delivery.standing import Mood, Standing
from amibridge.enterprises import CrmStanding, Enterprise
from amibridge.retailcrm.errors import CrmBusy, CrmError, CrmMissing, CrmRefused
from amibridge.retailcrm.exchange import occasion
from amibridge.store.outbox import Delivery, DeliveryStatus, Settlement
from amibridge.tallies import CrmTally

ANSWER_MAX = 500
"""Characters of an answer kept with the row."""

UNSPEAKABLE = "cannot be put into the CRM's words: "
"""Begins the reason of a row that met a defect of ours."""


class Judge:
    """Of one enterprise. *settle* takes verdicts to be written soon; *jitter* gives a number from [0, 1)."""

    def __init__(
        self,
        enterprise: Enterprise,
        *,
        settle: Callable[[Sequence[Settlement]], None],
        now: Callable[[], datetime],
        jitter: Callable[[], float],
        log: FilteringBoundLogger,
    ) -> None:
        self.enterprise = enterprise
        self.standing = Standing()
        self.tally = CrmTally()
        self.now = now
        self._settle = settle
        self._jitter = jitter
        self._log = log
        self._since, self._reason = now(), ""
        if not enterprise.module.works:
            self._hold(enterprise)

    def crm_standing(self) -> CrmStanding:
        """How the account stands, since when, and why."""
        return CrmStanding(self.enterprise.id, self.standing.mood, self._since, self._reason or None, self.tally)

    def reconfigure(self, enterprise: Enterprise) -> None:
        """A new account is a new beginning; so is a module that works again, or that a command has found to work."""
        if not enterprise.module.works:
            if _why_held(enterprise) != _why_held(self.enterprise):
                self._hold(enterprise)
        elif not self.enterprise.module.works:
            self._begin_anew("the module works again, the CRM says")
        elif enterprise.account != self.enterprise.account:
            self._begin_anew("the account's settings were changed")
        elif enterprise.module.told_at != self.enterprise.module.told_at and self.standing.mood is Mood.PAUSED:
            self._begin_anew("the module works, the CRM says")
        self.enterprise = enterprise

    def _hold(self, enterprise: Enterprise) -> None:
        """Nothing is asked until the CRM says otherwise; what is being answered says nothing of how it stands now."""
        self.standing = Standing(Mood.PAUSED, held=True)
        self._since, self._reason = self.now(), _why_held(enterprise)
        self._log.error("crm_paused", reason=self._reason)

    def _begin_anew(self, reason: str) -> None:
        if self.standing.mood is not Mood.WELL:
            self._log.info("crm_resumed", reason=reason)
        self.standing = Standing()
        self._since, self._reason = self.now(), ""

    def answered(self, standing: Standing) -> None:
        """The CRM did what it was asked, or said properly why not."""
        self._announce(standing, standing.answered(self.now()), "the CRM answers again")

    def verdict(
        self, error: CrmError, row: Delivery, standing: Standing, *, attempts: int, fresh_until: datetime | None
    ) -> Verdict:
        """What becomes of *row* after *error*; a pause is announced with it. *attempts*: before this one."""
        now, jitter = self.now(), self._jitter()
        verdict = decide(
            error,
            perishable_until=fresh_until,
            attempts=attempts + 1,
            first_tried=standing.tried_since(row.first_tried_at or now, now),
            now=now,
            jitter=jitter,
        )
        if not isinstance(verdict, PauseEnterprise):
            return verdict
        return decide(
            error, perishable_until=fresh_until, attempts=standing.pauses + 1, first_tried=now, now=now, jitter=jitter
        )

    def pause(self, verdict: PauseEnterprise, standing: Standing) -> None:
        self._announce(standing, standing.pause(self.now(), verdict.until), verdict.why)

    def note(self, error: CrmError, standing: Standing, *, holds_history: bool) -> None:
        """*holds_history*: one upload after another must not run into the same wall, so that all of history backs off
        as a row does."""
        if isinstance(error, CrmRefused | CrmMissing):
            self.answered(standing)
            return
        retry_after = error.retry_after if isinstance(error, CrmBusy) else None
        history_from = self._history_from(error, standing) if holds_history else None
        mood = standing.failed(self.now(), retry_after=retry_after, history_from=history_from)
        self._announce(standing, mood, str(error))

    def fail_beside(self, error: CrmError, *, standing: Standing) -> None:
        """A request beside deliveries failed, which says as much of the account as theirs do."""
        verdict = self._of_nobody(error, standing.pauses + 1)
        if isinstance(verdict, PauseEnterprise):
            self.pause(verdict, standing)
        else:
            self.note(error, standing, holds_history=True)

    def write(self, rows: Sequence[Delivery], status: DeliveryStatus, answer: str) -> None:
        self.tally.settled.update((row.kind, str(status)) for row in rows)
        due = status is DeliveryStatus.DUE
        if (asked := occasion()) is not None:
            asked.decided(status, len(rows), min(row.due_at for row in rows) if due else None)
        tries = 1 if status in (DeliveryStatus.SENT, DeliveryStatus.PARKED) else 0
        # What a server says may be anything; what the table takes is valid UTF-8 without NUL.
        text = answer[:ANSWER_MAX].replace("\0", "?").encode("utf-8", "replace").decode("utf-8")
        self._settle(
            [
                Settlement(
                    row.enterprise,
                    row.id,
                    status,
                    row.due_at if due else None,
                    row.attempts + tries,
                    text,
                    row.first_tried_at,
                )
                for row in rows
            ]
        )

    def _history_from(self, error: CrmError, standing: Standing) -> datetime | None:
        verdict = self._of_nobody(error, standing.failures + 1)
        return verdict.at if isinstance(verdict, Retry) else None

    def _of_nobody(self, error: CrmError, attempts: int) -> Verdict:
        now = self.now()
        return decide(error, perishable_until=None, attempts=attempts, first_tried=now, now=now, jitter=self._jitter())

    def _announce(self, standing: Standing, mood: Mood | None, reason: str) -> None:
        if standing is not self.standing or mood is None:
            return
        self._since, self._reason = self.now(), "" if mood is Mood.WELL else reason
        match mood:
            case Mood.WELL:
                self._log.info("crm_resumed", reason=reason)
            case Mood.TROUBLED:
                self._log.warning("crm_in_trouble", reason=reason)
            case Mood.PAUSED:
                self._log.error("crm_paused", reason=reason)
            case _ as never:
                assert_never(never)


def _why_held(enterprise: Enterprise) -> str:
    if enterprise.module.works:
        return ""
    if enterprise.module.frozen:
        return "the CRM has frozen our module: its bills are not paid"
    return "our module was switched off in the CRM"
