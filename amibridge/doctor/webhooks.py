"""One webhook of ours: whether its receiver is there and takes what we sign, and what waits for it.

It is told one `ping`, which means nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from urllib.parse import urlsplit

from amibridge.delivery.webhooks.body import ping_body
from amibridge.delivery.webhooks.policy import Meaning, meaning
from amibridge.delivery.webhooks.post import Heard, open_post
from amibridge.doctor.clocks import ago
from amibridge.doctor.findings import Finding, fail, ok, warn
from amibridge.doctor.ledger import LATE, REASONS
from amibridge.enterprises import EnterpriseId, Webhook
from amibridge.retailcrm.account_url import is_loopback
from amibridge.store.outbox import DeliveryStatus, Outbox
from amibridge.store.server import WITHIN
from amibridge.store.survey import Survey


async def receiver(number: EnterpriseId, webhook: Webhook) -> AsyncGenerator[Finding]:
    about, parts = f"webhook {webhook.name}", urlsplit(webhook.url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        found = f"{parts.hostname} is told of calls in the clear: whoever listens on the way reads numbers"
        yield warn(about, found, "give it an https:// address, unless the network between is yours alone")
    async with open_post() as post:
        id = f"ping_{secrets.token_hex(8)}"
        heard = await post.send(webhook, id, ping_body(number, datetime.now(UTC)))
    if meaning(heard) is Meaning.TAKEN:
        yield ok(about, f"{parts.hostname} takes what we sign ({heard.status})")
    else:
        yield fail(about, f"{parts.hostname} did not take a ping: {heard.said}", _advice(heard))


async def events(number: EnterpriseId, webhook: Webhook, outbox: Outbox, survey: Survey) -> AsyncGenerator[Finding]:
    about, now = f"events for {webhook.name}", datetime.now(UTC)
    backlogs = {
        one.status: one
        for one in await outbox.backlogs(WITHIN)
        if (one.enterprise, one.webhook) == (number, webhook.name)
    }
    for one in await survey.parked_for(number, most=REASONS, webhook=webhook.name):
        found = f"{one.rows} parked, the oldest made {ago(one.oldest, now)}: {one.reason or 'no reason known'}"
        yield warn(about, found, f"mend that; then amibridge resend {number} --parked")
    due = backlogs.get(DeliveryStatus.DUE)
    newest = await survey.newest_deliveries(number, webhook.name)
    if due is not None and now - due.oldest > LATE:
        answer = newest[DeliveryStatus.DUE].answer if DeliveryStatus.DUE in newest else None
        said = f"; of the newest the receiver said: {answer}" if answer else ""
        found = f"{due.rows} wait, the oldest since {ago(due.oldest, now)}{said}"
        yield fail(
            about, found, "see how the receiver stands, here and in the log (webhook_in_trouble, webhook_paused)"
        )
    elif DeliveryStatus.PARKED not in backlogs:
        sent = newest.get(DeliveryStatus.SENT)
        told = "none was told yet" if sent is None else f"the newest was told {ago(sent.settled_at or now, now)}"
        yield ok(about, told if due is None else f"{due.rows} wait; {told}")


def _advice(heard: Heard) -> str:
    match meaning(heard):
        case Meaning.GONE:
            return "take it out of the file, or give it its new address; until then it is asked once an hour"
        case Meaning.REFUSED if heard.status in (401, 403):
            return "compare the secret there with the one in the file"
        case Meaning.REFUSED if heard.status is not None and heard.status < 400:
            return "it sends us elsewhere, where we do not go: write the address itself into the file"
        case Meaning.REFUSED:
            return "look whether the address is the right one, and at the receiver's log"
        case _:
            return "look whether it runs, at its log, and at names, certificates and firewalls in between"
