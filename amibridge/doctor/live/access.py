"""Questions about the door: what a key is told, and how much may be asked for at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from amibridge.doctor.live.asking import NOBODY, Answer, LiveAccount, Unasked, nobodys_key, said, whole
from amibridge.retailcrm.customers import customers
from amibridge.retailcrm.errors import CrmBroken, CrmForbids, CrmLockedOut, CrmRefused
from amibridge.retailcrm.fields import MOST_LISTED
from amibridge.retailcrm.history import customers_history
from amibridge.retailcrm.modules import integration_module
from amibridge.retailcrm.orders import MOST_STATUSES, order_statuses, orders
from amibridge.retailcrm.phone_lookup import telephony_manager
from amibridge.retailcrm.reference import sites
from amibridge.retailcrm.requests import Request, credentials, settings
from amibridge.retailcrm.tolerant import TIME_FORMAT, mapping, mappings, number, text
from amibridge.retailcrm.users import UserStatus, users

NOBODYS_IDS = 999_990_000
"""From here on, ids that nothing has."""

CLOCKS_DIFFER = timedelta(minutes=15)
"""Less than any two time zones."""


async def wrong_key(account: LiveAccount) -> Answer:
    refusal = await account.refusal(credentials(), account.with_key(nobodys_key()))
    return Answer(isinstance(refusal, CrmLockedOut), "`credentials` with a key that nobody has", said(refusal))


async def missing_right(account: LiveAccount) -> Answer:
    guarded: Mapping[str, Request[Any]] = {
        "user_read": users(limit=20),
        "order_read": orders(),
        "customer_read": customers(),
        "reference_read": sites(),
        "integration_read": integration_module("amibridge-doctor"),
        "telephony_read": telephony_manager(NOBODY),
    }
    granted = (await account.ask(credentials())).scopes
    lacking = next((scope for scope in guarded if scope not in granted), None)
    if lacking is None:
        raise Unasked("the key has every right that only reads")
    refusal = await account.refusal(guarded[lacking])
    return Answer(isinstance(refusal, CrmForbids), f"what the key may not, for it lacks {lacking}", said(refusal))


async def own_rights(account: LiveAccount) -> Answer:
    asked = "`credentials`"
    try:
        scopes = (await account.ask(credentials())).scopes
    except CrmForbids as error:
        return Answer(False, asked, said(error))
    return Answer(bool(scopes), asked, f"it names {len(scopes)} rights")


async def settings_allowed(account: LiveAccount) -> Answer:
    refusal = await account.refusal(settings())
    return Answer(refusal is None, "`settings`", "it names a time zone" if refusal is None else said(refusal))


async def account_time(account: LiveAccount) -> Answer:
    now = await account.local()
    reply = await account.ask(whole(customers_history(start=now, limit=20)))
    told = text(reply.body.get("generatedAt"))
    if told is None:
        raise Unasked("its answers do not say when they were made")
    try:
        theirs = datetime.strptime(told, TIME_FORMAT)
    except ValueError:
        return Answer(False, "a history, which says when it was made", "it writes times in another form")
    return Answer(
        abs(theirs - now.replace(tzinfo=None)) < CLOCKS_DIFFER,
        f"a history, which says when it was made, at {now:%H:%M} in {await account.zone()}",
        f"it writes {theirs:%H:%M}",
    )


async def page_of_a_hundred(account: LiveAccount) -> Answer:
    asked = "`customers` with limit=100"
    try:
        paging = mapping((await account.ask(whole(customers(limit=100)))).body.get("pagination"))
    except CrmRefused as refusal:
        return Answer(False, asked, said(refusal))
    limit = number(paging.get("limit"))
    return Answer(limit == 100, asked, f"it says that a page holds {limit}")


async def unknown_filter(account: LiveAccount) -> Answer:
    asked = "`customers` with a filter that there is not"
    plain = customers()
    strange = replace(plain, query={**plain.query, "filter[amibridgeDoctor]": "1"})
    refusal = await account.refusal(strange)
    if refusal is not None:
        return Answer(not isinstance(refusal, CrmBroken), asked, said(refusal))
    everybody, found = (await account.ask(plain)).paging.total, (await account.ask(strange)).paging.total
    if found:
        return Answer(True, asked, "it passes the filter over" if found == everybody else "it makes something of it")
    return Answer(True, asked, "it finds nobody")


async def many_ids(account: LiveAccount) -> Answer:
    refusal = await account.refusal(orders(ids=range(NOBODYS_IDS, NOBODYS_IDS + MOST_LISTED)))
    return Answer(refusal is None, f"`orders` with {MOST_LISTED} ids", said(refusal))


async def many_statuses(account: LiveAccount) -> Answer:
    refusal = await account.refusal(order_statuses(ids=range(NOBODYS_IDS, NOBODYS_IDS + MOST_STATUSES)))
    return Answer(refusal is None, f"`orders/statuses` with {MOST_STATUSES} ids", said(refusal))


async def statuses_of_users(account: LiveAccount) -> Answer:
    people = mappings((await account.ask(whole(users()))).body.get("users"))
    statuses = {status for one in people if (status := text(one.get("status"))) is not None}
    if not statuses:
        raise Unasked("it tells no user's status")
    strange = sorted(statuses - set(UserStatus))
    return Answer(
        not strange, "`users`", f"there is also {', '.join(strange)[:100]}" if strange else ", ".join(sorted(statuses))
    )
