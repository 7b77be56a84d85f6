"""What differs between two descriptions of an enterprise, in words for the person who applied the second. Pure.

Law: a secret is only ever said to have changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TypeVar

from amibridge.enterprises import AmiHost, Enterprise, Line, Operator, Webhook

Named = TypeVar("Named", AmiHost, Operator, Line, Webhook)
Name = TypeVar("Name", bound=str)


def changes(old: Enterprise | None, new: Enterprise) -> list[str]:
    """One phrase for each thing that *new* adds to, takes from or changes in *old*; none when they are alike."""
    if old is None:
        added: list[tuple[str, str]] = [("host", host.name) for host in new.hosts]
        added += [("operator", extension) for extension in new.operators]
        added += [("line", number) for number in new.lines]
        added += [("webhook", webhook.name) for webhook in new.webhooks]
        return ["enterprise added", *(f"{what} {name} added" for what, name in added)]
    return [
        *_changed("", _enterprise_fields(old), _enterprise_fields(new)),
        *_secret("api key", old.account.api_key, new.account.api_key),
        *_secret("webhook secret", old.webhook_secret, new.webhook_secret),
        *_differing("host", {host.name: host for host in old.hosts}, {host.name: host for host in new.hosts}),
        *_differing("operator", old.operators, new.operators),
        *_differing("line", old.lines, new.lines),
        *_differing("webhook", {one.name: one for one in old.webhooks}, {one.name: one for one in new.webhooks}),
    ]


def _differing(what: str, old: Mapping[Name, Named], new: Mapping[Name, Named]) -> Iterator[str]:
    yield from (f"{what} {name} removed" for name in old if name not in new)
    for name, now in new.items():
        before = old.get(name)
        if before is None:
            yield f"{what} {name} added"
        elif before != now:
            yield from _changed(f"{what} {name}: ", _fields(before), _fields(now))
            if isinstance(now, AmiHost):
                yield from _secret(f"{what} {name}: secret", before.secret, now.secret)
                yield from _secret(
                    f"{what} {name}: recordings password", before.recordings_password, now.recordings_password
                )
            elif isinstance(now, Webhook):
                yield from _secret(f"{what} {name}: secret", before.secret, now.secret)
                yield from _secret(f"{what} {name}: previous secret", before.previous_secret, now.previous_secret)


def _changed(where: str, old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[str]:
    for name, before in old.items():
        if before != new[name]:
            yield f"{where}{name} changed from {_shown(before)} to {_shown(new[name])}"


def _secret(what: str, old: str | None, new: str | None) -> Iterator[str]:
    if old != new:
        yield f"{what} changed"


def _shown(value: object) -> str:
    match value:
        case None | () | "":
            return "none"
        case bool():
            return "yes" if value else "no"
        case tuple():
            return ", ".join(str(part) for part in value)
        case _:
            return str(value)


def _enterprise_fields(enterprise: Enterprise) -> dict[str, object]:
    return {
        "name": enterprise.name,
        "time zone": enterprise.time_zone and enterprise.time_zone.key,
        "region": enterprise.region,
        "client id": enterprise.client_id,
        "CRM address": enterprise.account.url,
        "site": enterprise.account.site,
        "credit": enterprise.credit.value,
        "create customers": enterprise.create_customers,
        "create orders": enterprise.create_orders,
        "create tasks": enterprise.create_tasks,
        "module code": enterprise.module_code,
        "recordings kept": _days(enterprise.recordings_keep),
        "links valid": _days(enterprise.links_valid),
        "supervisors": enterprise.supervisors,
        "responsible mode": enterprise.responsible.mode.value,
        "responsible dialplan": enterprise.responsible.dialplan,
        "responsible fallback": enterprise.responsible.fallback.value,
        "responsible name": tuple(part.value for part in enterprise.responsible.name),
        "wait after a missed call": enterprise.missed_calls.wait,
        "never for": enterprise.missed_calls.never_for,
        "performer": enterprise.missed_calls.performer,
        "text of missed calls": enterprise.missed_calls.text,
        "task within": enterprise.missed_calls.task_within,
        "order method": enterprise.missed_calls.order_method,
        "order type": enterprise.missed_calls.order_type,
        "order status": enterprise.missed_calls.order_status,
        "order status when reached": enterprise.missed_calls.order_status_reached,
    }


def _days(span: timedelta | None) -> str | None:
    return None if span is None else f"{span.days} days"


def _fields(one: AmiHost | Operator | Line | Webhook) -> dict[str, object]:
    match one:
        case AmiHost():
            return {
                "address": f"{one.host}:{one.port}",
                "username": one.username,
                "extensions": one.numbering.internal,
                "trunks": one.numbering.trunks,
                "originate channel": one.originate_channel,
                "originate context": one.originate_context,
                "originate number": one.originate_number,
                "recordings": one.recordings,
            }
        case Operator():
            return {"user": one.user, "name": one.name}
        case Line():
            return {"site": one.site, "name": one.name}
        case Webhook():
            return {"url": one.url, "events": "all" if one.events is None else one.events}
