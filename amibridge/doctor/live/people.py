"""Questions about customers and their numbers, by those whom the account has already."""

from __future__ import annotations

from amibridge.doctor.live.asking import LOOKED_UP, NOBODY, RECENT, Answer, Known, LiveAccount, Unasked, has, said
from amibridge.retailcrm.customers import customer, customers
from amibridge.retailcrm.errors import CrmError, CrmMissing, CrmRefused
from amibridge.retailcrm.history import Happened
from amibridge.retailcrm.phone_lookup import ManagerReply, telephony_manager
from amibridge.retailcrm.phone_match import having

MOST_PAGES = 10
"""Of the customers' history, in which a merge is looked for."""


async def lookup_by_phone(account: LiveAccount) -> Answer:
    asked = f"`telephony/manager` for numbers of {LOOKED_UP} customers at most, as E.164"
    lookups = await account.looked_up()
    named = [(one, reply.customer) for one, reply in lookups if isinstance(reply, ManagerReply) and reply.customer]
    found = sum(bool(having([known], one.forms.e164, account.enterprise.region)) for one, known in named)
    typed = sum(one.typed != one.forms.e164 for one, _ in lookups)
    refused = next((f"; {said(reply)}" for _, reply in lookups if isinstance(reply, CrmError)), "")
    answered = f"it finds {found} of {len(lookups)}, of whom {typed} are typed in another way{refused}"
    return Answer(found == len(lookups), asked, answered)


async def lookup_of_nobody(account: LiveAccount) -> Answer:
    asked = "`telephony/manager` for a number that nobody has"
    try:
        named = (await account.ask(telephony_manager(NOBODY, details=True, ignore_status=True))).customer
    except (CrmRefused, CrmMissing) as error:
        return Answer(isinstance(error, CrmMissing), asked, said(error))
    if named is None:
        return Answer(True, asked, "it names nobody")
    if has(named, NOBODY):
        return Answer(True, asked, "it names who has it: an earlier test")
    return Answer(False, asked, f"it names customer {named.id}, who has another number")


async def lookup_of_several(account: LiveAccount) -> Answer:
    by_number: dict[str, list[Known]] = {}
    for one in await account.known():
        by_number.setdefault(one.forms.e164, []).append(one)
    several = next((ones for ones in by_number.values() if len(ones) > 1), None)
    if several is None:
        raise Unasked("no two of its newest customers have one number")
    asked = f"`telephony/manager` for a number that {len(several)} customers have"
    try:
        reply = await account.ask(telephony_manager(several[0].forms.e164, details=True, ignore_status=True))
    except (CrmRefused, CrmMissing) as error:
        return Answer(False, asked, said(error))
    if reply.customer is None:
        return Answer(False, asked, "it names nobody")
    one_of_them = reply.customer.id in {one.customer.id for one in several}
    return Answer(one_of_them, asked, f"it names {'one of them' if one_of_them else 'somebody else'}")


async def lookup_tells_code(account: LiveAccount) -> Answer:
    module = await account.module()
    codes = {one.user_id: one.code for one in (module and module.telephony and module.telephony.codes) or ()}
    if not codes:
        raise Unasked("our module gives no user an extension yet")
    replies = [reply for _, reply in await account.looked_up() if isinstance(reply, ManagerReply)]
    told = [reply.manager for reply in replies if reply.manager is not None and reply.manager.id in codes]
    if not told:
        raise Unasked("of the customers looked for none is looked after by a user with an extension")
    right = sum(one.code == codes[one.id] for one in told)
    asked = "`telephony/manager` for customers who are looked after by a user with an extension"
    return Answer(right == len(told), asked, f"it tells the right `code` of {right} of {len(told)}")


async def search_by_digits(account: LiveAccount) -> Answer:
    known = (await account.known())[:LOOKED_UP]
    found = 0
    for one in known:
        reply = await account.ask(customers(name=one.digits, limit=100))
        found += one.customer.id in {named.id for named in reply.customers}
    marked = sum(one.digits != one.typed.removeprefix("+") for one in known)
    asked = f"`customers` with filter[name] = the digits of a number, for {len(known)} customers"
    return Answer(found == len(known), asked, f"it finds {found}; {marked} are typed with spaces, dashes or brackets")


async def search_by_a_part(account: LiveAccount) -> Answer:
    longer = [one for one in await account.known() if one.digits != one.forms.significant]
    if not longer:
        raise Unasked("its newest customers' numbers are typed without anything before the national number")
    one = longer[0]
    reply = await account.ask(customers(name=one.forms.significant, limit=100))
    found = one.customer.id in {named.id for named in reply.customers}
    asked = "`customers` with filter[name] = the last digits of a number"
    return Answer(True, asked, "a part is enough to be found" if found else "a part finds nobody")


async def merged_customer(account: LiveAccount) -> Answer:
    reply = await account.history("customers", start=await account.local(RECENT))
    gone: int | None = None
    for _ in range(MOST_PAGES):
        gone = next((one.entity.id for one in reply.records if one.happened is Happened.COMBINED), None)
        if gone is not None or not reply.more:
            break
        reply = await account.history("customers", since_id=reply.last_id)
    if gone is None:
        raise Unasked("the history of the last month tells of no merge")
    asked = "`customers/{id}` for a customer who was merged into another"
    try:
        await account.ask(customer(gone, account.site))
    except CrmMissing as error:
        led = error.combined_to is not None
        return Answer(led, asked, "it says into whom" if led else "it says that there is none, and not into whom")
    except CrmRefused as error:
        return Answer(False, asked, said(error))
    return Answer(False, asked, "it has him still")
