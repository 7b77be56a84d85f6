"""One RetailCRM account: whether it lets us in, what the key may do, and whether it means what our file means.

Only questions are asked. Of modules RetailCRM tells only of ours: that another service's is active shows in what it
answers to popups and calls.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from amibridge.doctor.clocks import compared
from amibridge.doctor.database import some
from amibridge.doctor.findings import Finding, fail, ok, warn
from amibridge.doctor.over_http import why
from amibridge.enterprises import Enterprise
from amibridge.retailcrm.client import CrmSettings, RetailCrm, open_crm
from amibridge.retailcrm.errors import CrmError, CrmForbids, CrmLockedOut, CrmMissing, CrmRefused, CrmUnreachable
from amibridge.retailcrm.exchange import Exchange
from amibridge.retailcrm.installation import api_versions
from amibridge.retailcrm.limits import BESIDE
from amibridge.retailcrm.module_wish import module_code
from amibridge.retailcrm.modules import integration_module, says_there_is_none
from amibridge.retailcrm.reference import order_methods, order_types, statuses
from amibridge.retailcrm.replies import CredentialsReply
from amibridge.retailcrm.requests import credentials, settings
from amibridge.retailcrm.rights import missing
from amibridge.retailcrm.users import User, users

VERSION = "5."
"""Of the API: what we speak begins so."""

NEEDED = "telephony_write"
"""The one right without which nothing is told. See docs/operations.md."""

SETTINGS = CrmSettings(connect=timedelta(seconds=5), total=timedelta(seconds=8), rates=BESIDE)

WITHIN = timedelta(seconds=40)
"""All questions together."""

MOST_PAGES = 20
"""Of 100 users each."""

MEND = "mend [operators], or performer of [missed_calls], and apply the file"


async def crm(enterprise: Enterprise) -> AsyncGenerator[Finding]:
    account, dates = enterprise.account, list[str]()

    def note(exchange: Exchange) -> None:
        dates.append(exchange.headers.get("Date", ""))

    async with open_crm(SETTINGS, tap=note) as client:
        asked = datetime.now(UTC)
        try:
            granted = await client.send(account, credentials())
        except CrmForbids:
            yield ok("CRM key", f"{account.url} accepts it")
            yield warn("CRM rights", "the key may not ask for its own rights", f"see that it has {NEEDED}")
        except CrmError as error:
            yield _shut_out(error, account.url)
            return
        else:
            yield ok("CRM key", f"{account.url} accepts it")
            yield _rights(granted, enterprise)
            for finding in _sites(granted, enterprise):
                yield finding
        if (told := _date(dates)) is not None:
            yield compared("CRM clock", told, asked, datetime.now(UTC), step=timedelta(seconds=1))
        for look in (_version, _time_zone, _users, _order_words, _module):
            for finding in await look(client, enterprise):
                yield finding


def _shut_out(error: CrmError, url: str) -> Finding:
    match error:
        case CrmUnreachable():
            found, advice = why(error.__cause__)
            return fail("CRM", f"{url}: {found}", advice)
        case CrmLockedOut():
            advice = "put the account's address and an active key of it into the enterprise file, and apply it"
            return fail("CRM key", f"{url}: {error}", advice)
        case _:
            advice = "ask again in a minute; if it stays so, look whether the address is right"
            return fail("CRM", f"{url}: {error}", advice)


def _rights(granted: CredentialsReply, enterprise: Enterprise) -> Finding:
    about, lacking = "CRM rights", missing(enterprise, granted)
    advice = f"give the key {some(lacking)} in the CRM's settings of API keys"
    if NEEDED in lacking:
        return fail(about, f"{NEEDED} is missing: neither popups nor calls are taken", advice)
    if lacking:
        return warn(about, f"{some(lacking)} missing: calls are told, and not all else is done", advice)
    return ok(about, "all that is needed")


def _sites(granted: CredentialsReply, enterprise: Enterprise) -> Iterator[Finding]:
    """A key for all stores may name none."""
    about, reached, site = "CRM stores", granted.sites, enterprise.account.site
    said = [("`site`", site), *((f"`site` of line {one.number}", one.site) for one in enterprise.lines.values())]
    strange = [f"{where}: {named}" for where, named in said if named is not None and named not in reached]
    if strange and (reached or granted.site_access == "access_selective"):
        found = f"the key does not reach {some(strange)}; it reaches {some(reached) or 'no store'}"
        yield fail(about, found, "mend `site`, the store's symbolic code, or let the key reach that store")
    elif site is None and len(reached) > 1:
        advice = "name the store of calls whose line names none, as `site` of [retailcrm]"
        yield warn(about, f"the key reaches {some(reached)}, and `site` says none", advice)
    else:
        yield ok(about, f"the key reaches {some(reached) or 'all'}" + (f"; ours is {site}" if site else ""))


def _date(dates: list[str]) -> datetime | None:
    try:
        told = parsedate_to_datetime(dates[0])
    except Exception:  # email.utils raises whatever it stumbles over
        return None
    return told if told.tzinfo is not None else told.replace(tzinfo=UTC)


async def _version(client: RetailCrm, enterprise: Enterprise) -> list[Finding]:
    about = "CRM API"
    try:
        versions = (await client.send(enterprise.account, api_versions())).versions
    except CrmError as error:
        return [warn(about, f"its versions could not be asked: {error}", "ask again in a minute")]
    if not any(version.startswith(VERSION) for version in versions):
        found = f"it has version {some(versions) or 'none'}, and we speak 5"
        return [fail(about, found, "look whether the address is that of a RetailCRM account")]
    return [ok(about, f"version {some(versions)}")]


async def _time_zone(client: RetailCrm, enterprise: Enterprise) -> list[Finding]:
    ours, about = enterprise.time_zone, "CRM time zone"
    try:
        theirs = (await client.send(enterprise.account, settings())).time_zone
    except CrmError as error:
        if ours is not None:
            return [ok(about, f"{ours.key}, as the file says; the CRM does not tell its own")]
        advice = "set `timezone` in the enterprise file and apply it"
        return [fail(about, f"it does not tell: {error}. History waits, for a date cannot be guessed", advice)]
    if ours is None:
        return [ok(about, f"{theirs.key}, as the CRM says")]
    now = datetime.now(UTC)
    if now.astimezone(ours).utcoffset() != now.astimezone(theirs).utcoffset():
        advice = f'timezone = "{theirs.key}" in the enterprise file, or none at all; and apply it'
        return [fail(about, f"the file says {ours.key}, the CRM {theirs.key}: calls stand at a wrong hour", advice)]
    return [ok(about, ours.key if ours.key == theirs.key else f"{ours.key}, now the same as the CRM's {theirs.key}")]


async def _users(client: RetailCrm, enterprise: Enterprise) -> list[Finding]:
    about = "CRM users"
    wanted: dict[int, str] = {
        one.user: extension for extension, one in enterprise.operators.items() if one.user is not None
    }
    if enterprise.create_tasks and enterprise.missed_calls.performer is not None:
        wanted.setdefault(enterprise.missed_calls.performer, "performer")
    if not wanted:
        return [ok(about, "[operators] names none, so calls go to whose code the extension is")]
    try:
        known = await _all_users(client, enterprise)
    except CrmError as error:
        advice = "give the key user_read, or compare the ids in [operators] by hand"
        return [warn(about, f"they could not be asked: {error}", advice)]
    nobody = [f"{user} (of {extension})" for user, extension in wanted.items() if user not in known]
    gone = [f"{user.id} (of {wanted[user.id]})" for user in known.values() if user.id in wanted and not user.active]
    findings = []
    if nobody:
        findings.append(fail(about, f"there is no user {some(nobody)}", MEND))
    if gone:
        advice = "give their extensions or tasks to somebody else, and apply the file"
        findings.append(warn(about, f"not active any more: {some(gone)}", advice))
    return findings or [ok(about, f"all {len(wanted)} that the file names are there and active")]


async def _order_words(client: RetailCrm, enterprise: Enterprise) -> list[Finding]:
    """What orders for missed calls are to be called: a word that the account does not have makes it refuse each."""
    about, account, wishes = "CRM orders", enterprise.account, enterprise.missed_calls
    wanted = {
        "order_method": wishes.order_method,
        "order_type": wishes.order_type,
        "order_status": wishes.order_status,
        "order_status_reached": wishes.order_status_reached,
    }
    if not enterprise.create_orders or not any(wanted.values()):
        return []
    try:
        words = {
            "order_method": (await client.send(account, order_methods())).methods,
            "order_type": (await client.send(account, order_types())).types,
        }
        status = (await client.send(account, statuses())).statuses
    except CrmError as error:
        return [warn(about, f"its dictionaries could not be asked: {error}", "give the key reference_read")]
    strange = [f"{key}: {code}" for key, code in wanted.items() if code and code not in words.get(key, status)]
    if strange:
        advice = "write codes, not names, into [missed_calls], and apply the file"
        return [fail(about, f"the account has no {some(strange)}", advice)]
    return [ok(about, "the account has the words of [missed_calls]")]


async def _module(client: RetailCrm, enterprise: Enterprise) -> list[Finding]:
    about, code = "CRM module", module_code(enterprise)
    register = f"amibridge retailcrm register {enterprise.id}"
    try:
        module = (await client.send(enterprise.account, integration_module(code))).module
    except (CrmMissing, CrmRefused) as error:
        if not says_there_is_none(error):
            return [
                warn(about, f"{code} could not be asked for: {error}", f"amibridge retailcrm status {enterprise.id}")
            ]
        return [warn(about, f"there is no {code}: without one neither popups nor calls are taken", register)]
    except CrmError as error:
        return [warn(about, f"{code} could not be asked for: {error}", "give the key integration_read, or ask again")]
    if module.frozen:
        advice = "an administrator of the account must settle it with RetailCRM, which then tells us"
        return [fail(about, f"{code} is frozen by RetailCRM: its bills are not paid", advice)]
    if not module.active:
        return [fail(about, f"{code} is switched off: nothing is sent", f"switch it on in the CRM, or {register}")]
    return [ok(about, f"{code} is active")]


async def _all_users(client: RetailCrm, enterprise: Enterprise) -> dict[int, User]:
    known: dict[int, User] = {}
    page, pages = 1, 1
    while page <= min(pages, MOST_PAGES):
        reply = await client.send(enterprise.account, users(page=page))
        known |= {user.id: user for user in reply.users}
        page, pages = page + 1, reply.paging.pages
    return known
