"""What the ledger knows of one enterprise: how its CRM hears us, and which calls do not end."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

from amibridge.config import KeepSettings
from amibridge.delivery.judge import UNSPEAKABLE
from amibridge.delivery.policy import GIVEN_UP
from amibridge.doctor.clocks import ago
from amibridge.doctor.database import some
from amibridge.doctor.findings import Finding, fail, ok, warn
from amibridge.enterprises import EnterpriseId
from amibridge.store.outbox import USER, Backlog, DeliveryStatus, Outbox
from amibridge.store.server import WITHIN
from amibridge.store.survey import Survey

LATE = timedelta(minutes=10)
"""What waits longer is not simply on its way: history is tried again within ten minutes."""

REASONS = 3
"""For which something is parked, told apart."""

LATE_DELETION = timedelta(days=2)
"""A bridge that was off for a day has some hours to make up for it."""

LONG = timedelta(days=1)
"""Nobody talks for a day."""

LATELY = timedelta(days=3)
"""What was before it was mended, or nobody minds."""

FEW = 0.02
"""Of the calls: as many as a restart now and then costs."""


async def deliveries(number: EnterpriseId, outbox: Outbox, survey: Survey) -> AsyncGenerator[Finding]:
    about, now = "deliveries", datetime.now(UTC)
    backlogs = {
        one.status: one for one in await outbox.backlogs(WITHIN) if (one.enterprise, one.webhook) == (number, "")
    }
    newest = await survey.newest_deliveries(number)
    answers = {status: row.answer for status, row in newest.items()}
    parked = await survey.parked_for(number, most=REASONS)
    sent = newest.get(DeliveryStatus.SENT)
    last = "nothing was told yet" if sent is None else f"the newest was told {ago(sent.settled_at or now, now)}"
    due, all_parked = backlogs.get(DeliveryStatus.DUE), backlogs.get(DeliveryStatus.PARKED)
    for one in parked:
        found = (
            f"{one.rows} parked ({one.kind}), the oldest made {ago(one.oldest, now)}: {one.reason or 'no reason known'}"
        )
        yield warn(about, found, f"{_mended(one.reason or '')}; then amibridge resend {number} --parked")
    others = (all_parked.rows if all_parked is not None else 0) - sum(one.rows for one in parked)
    if others > 0:
        yield warn(about, f"{others} more parked for other reasons", f"amibridge deliveries {number} --state parked")
    if due is not None and now - due.oldest > LATE:
        said = f"; of the newest the CRM said: {answers[DeliveryStatus.DUE]}" if answers.get(DeliveryStatus.DUE) else ""
        advice = "see how the bridge and the CRM stand, here and in the log (crm_paused, crm_in_trouble)"
        yield fail(about, f"{_waiting(due, now)}; {last}{said}", advice)
    elif not parked:
        yield ok(about, last if due is None else f"{_waiting(due, now)}; {last}")


def _mended(reason: str) -> str:
    if reason.startswith(GIVEN_UP):
        return "see that the CRM answers properly now (CRM told, crm_in_trouble in the log)"
    if reason.startswith(UNSPEAKABLE):
        return "this is a defect of ours: send us call_not_expressible from the log, and upgrade"
    return "mend what the CRM complains of, in the enterprise's file or in the CRM"


async def retention(number: EnterpriseId, survey: Survey, keep: KeepSettings) -> AsyncGenerator[Finding]:
    """Whether what is old goes."""
    about, now = "retention", datetime.now(UTC)
    oldest = await survey.oldest_kept(number)
    late = [
        f"{what} of {at:%Y-%m-%d}, though only {days.days} days are kept"
        for what, at, days in (
            ("requests", oldest.request, keep.requests),
            ("settled deliveries", oldest.delivery, keep.deliveries),
        )
        if at is not None and now - at > days + LATE_DELETION
    ]
    if late:
        advice = (
            "a running bridge deletes them every hour: look whether it runs, and for old_rows_not_deleted in its log"
        )
        yield warn(about, f"there are still {' and '.join(late)}", advice)
    else:
        yield ok(
            about, f"requests of {keep.requests.days} days and settled deliveries of {keep.deliveries.days} at most"
        )


def _waiting(due: Backlog, now: datetime) -> str:
    return f"{due.rows} due, the oldest made {ago(due.oldest, now)}"


async def unknown_to_crm(number: EnterpriseId, survey: Survey) -> AsyncGenerator[Finding]:
    about = "CRM extensions"
    unknown = await survey.unknown_to_crm(number, since=datetime.now(UTC) - LATELY)
    extensions = [name for name in unknown if not name.startswith(USER)]
    users = [name.removeprefix(USER) for name in unknown if name.startswith(USER)]
    if extensions:
        advice = "enter each as the code of a user in the CRM, or give that user's id in [operators]"
        yield warn(about, f"nobody in the CRM has {some(extensions)}: popups that nobody sees", advice)
    if users:
        advice = "give the ids that these people have in the CRM now in [operators], and apply the file"
        yield warn(about, f"the CRM has no user {some(users)}, whom [operators] names: popups that nobody sees", advice)
    if not unknown:
        yield ok(about, "of none that rang lately the CRM said that it does not know it")


async def calls(number: EnterpriseId, survey: Survey) -> AsyncGenerator[Finding]:
    about, days = "calls", f"{LATELY.days} days"
    found = await survey.seen_whole(number, since=datetime.now(UTC) - LATELY)
    if found.incomplete > found.calls * FEW:
        said = f"{found.incomplete} of {found.calls} in {days} were not seen whole; of the newest: {found.note}"
        advice = "look in the log for host_lost and database_lost, and for starts of the bridge or the PBX at that time"
        yield warn(about, said, advice)
    else:
        partly = f", {found.incomplete} of them not whole" if found.incomplete else ""
        yield ok(about, f"{found.calls} in {days}{partly}")


async def riddles(number: EnterpriseId, survey: Survey) -> AsyncGenerator[Finding]:
    about, days = "odd calls", f"{LATELY.days} days"
    found = await survey.riddles(number, since=datetime.now(UTC) - LATELY)
    if found is None:
        yield ok(about, f"none in {days}")
        return
    said = f"{found.many} not understood in {days}, the newest of {found.call}: {found.text}"
    advice = (
        f"if it asks who is a line: set `trunks`, see docs/pbx.md; else amibridge capture --call {found.call} --mask"
    )
    yield warn(about, said, advice)


async def long_calls(number: EnterpriseId, survey: Survey) -> AsyncGenerator[Finding]:
    about, now = "live calls", datetime.now(UTC)
    found = await survey.long_calls(number, unheard_since=now - LONG)
    for one in found:
        said = f"{one.calls} on {one.host} are not over, and nothing was heard of them since {ago(one.since, now)}"
        advice = f"they end once the bridge reaches {one.host}; where it does, send us the log of one"
        yield warn(about, said, advice)
    if not found:
        yield ok(about, "none goes on for more than a day")
