"""Questions that leave something behind: a customer, two calls, a task. RetailCRM lets nobody remove them by its API.

Laws: nothing here is asked unless a person said so; what is made bears the same name every time, so that it is made
once, is named in `left`, and is of a number that nobody has.
"""

from __future__ import annotations

from datetime import timedelta

from amibridge.delivery.policy import PATIENCE
from amibridge.doctor.live.asking import NOBODY, Answer, LiveAccount, Unasked, has, name_of_a_test, said
from amibridge.retailcrm.customers import CustomerFields, create_customer, customer, edit_customer
from amibridge.retailcrm.errors import CrmError, CrmMissing, CrmNotEnabled, CrmRefused
from amibridge.retailcrm.replies import CallEventReply, CallsUploadReply
from amibridge.retailcrm.requests import (
    CallResult,
    CallType,
    EventType,
    HangupStatus,
    Request,
    UploadedCall,
    call_event,
    calls_upload,
    credentials,
)
from amibridge.retailcrm.service import names_external_id
from amibridge.retailcrm.tasks import TaskFields, create_task, edit_task, task, tasks
from amibridge.retailcrm.users import users

ANOTHER = "+447700900456"
"""As NOBODY."""

NOBODYS_CODE = "amibridge-doctor"


def _ringing(account: LiveAccount, type: EventType, status: HangupStatus | None = None) -> Request[CallEventReply]:
    return call_event(
        type=type,
        phone=NOBODY,
        codes=[NOBODYS_CODE],
        hangup_status=status,
        call_external_id=name_of_a_test(account.enterprise),
        site=account.site,
    )


async def unknown_code(account: LiveAccount) -> Answer:
    asked = "`call/event` for an extension that nobody has"
    try:
        reply = await account.ask(_ringing(account, EventType.IN))
        await account.ask(_ringing(account, EventType.HANGUP, HangupStatus.NO_ANSWERED))
    except CrmRefused as error:
        return Answer(False, asked, said(error))
    named = NOBODYS_CODE in reply.not_exist_codes
    return Answer(named, asked, "it takes it, and names the extension" if named else "it takes it, and names none")


async def not_enabled(account: LiveAccount) -> Answer:
    module = await account.module()
    if module is not None and module.works:
        raise Unasked("our module is active")
    refusal = await account.refusal(_ringing(account, EventType.HANGUP, HangupStatus.NO_ANSWERED))
    if refusal is None:
        raise Unasked("another telephony module is active")
    return Answer(isinstance(refusal, CrmNotEnabled), "`call/event` without an active module", said(refusal))


async def call_told_twice(account: LiveAccount) -> Answer:
    name = name_of_a_test(account.enterprise)
    call = await _call(account, name, timedelta(0))
    first, second = await _upload(account, call), await _upload(account, call)
    if isinstance(first, CrmError):
        return Answer(False, "`calls/upload` with one call", said(first))
    asked = "`calls/upload` with one call, twice"
    if isinstance(second, CrmError):
        return Answer(False, asked, f"the second time {said(second)}")
    known = name in second.duplicates
    return Answer(
        known,
        asked,
        f"the second time it names {'it' if known else 'nothing'} as known, and takes {second.processed} calls",
    )


async def old_call(account: LiveAccount) -> Answer:
    name = f"{name_of_a_test(account.enterprise)}-old"
    reply = await _upload(account, await _call(account, name, PATIENCE))
    asked = f"`calls/upload` with a call of {PATIENCE.days} days ago"
    if isinstance(reply, CrmError):
        return Answer(False, asked, said(reply))
    if reply.processed == 0 and name not in reply.duplicates:
        return Answer(False, asked, "it does not take it, and does not say why")
    return Answer(True, asked, "it knows it from before" if name in reply.duplicates else "it takes it")


async def _call(account: LiveAccount, name: str, back: timedelta) -> UploadedCall:
    return UploadedCall(
        date=await account.local(back),
        type=CallType.IN,
        phone=NOBODY,
        result=CallResult.NO_ANSWER,
        external_id=name,
        duration=0,
        duration_waiting=1,
        site=account.site,
    )


async def _upload(account: LiveAccount, call: UploadedCall) -> CallsUploadReply | CrmRefused:
    try:
        return await account.make(f"call {call.external_id}", calls_upload([call]))
    except CrmRefused as error:
        return error


async def customer_made_twice(account: LiveAccount) -> Answer:
    asked = "`customers/create` with one externalId, twice"
    first, second = await _make_customer(account), await _make_customer(account)
    if isinstance(second, int):
        return Answer(False, asked, f"it makes one more: {first if isinstance(first, int) else 'before'}, {second}")
    named = names_external_id(second)
    return Answer(named, asked, f"it refuses, and names {'externalId' if named else 'no externalId'}: {second}")


async def _make_customer(account: LiveAccount) -> int | CrmRefused:
    """The id of the test customer; what the CRM says against it, which should be that he is there."""
    name = name_of_a_test(account.enterprise)
    fields = CustomerFields(external_id=name, phones=(NOBODY,), first_name="amibridge", last_name="test, delete me")
    try:
        return (await account.make(f"customer {name}", create_customer(fields, account.site))).id
    except CrmRefused as error:
        if names_external_id(error):
            account.left.append(f"customer {name}")
        return error


async def phones_edited(account: LiveAccount) -> Answer:
    name = name_of_a_test(account.enterprise)
    await _make_customer(account)
    try:
        for phone in (NOBODY, ANOTHER):
            await account.ask(edit_customer(name, CustomerFields(phones=(phone,)), account.site))
        found = (await account.ask(customer(name, account.site))).customer
    except CrmMissing:
        raise Unasked("its test customer was deleted, and his externalId is still taken") from None
    asked = "`customers/{id}/edit` of the test customer with another number"
    replaced = len(found.phones) == 1 and has(found, ANOTHER)
    return Answer(replaced, asked, "it replaces the number" if replaced else f"he has {len(found.phones)} numbers then")


async def task_done(account: LiveAccount) -> Answer:
    granted = (await account.ask(credentials())).scopes
    if lacking := [right for right in ("task_read", "task_write") if right not in granted]:
        raise Unasked(f"the key lacks {', '.join(lacking)}")
    people = (await account.ask(users(active=True))).users
    mapped = {operator.user for operator in account.enterprise.operators.values()}
    performer = next((one.id for one in sorted(people, key=lambda one: one.id not in mapped)), None)
    if performer is None:
        raise Unasked("it has no active user")
    asked = "`tasks/create`, `tasks` of today, and `tasks/{id}/edit` with complete"
    fields = TaskFields(text="amibridge doctor: a test, nothing to do", performer=performer)
    try:
        made = (await account.make(f"task of user {performer}", create_task(fields, account.site))).id
    except (CrmRefused, CrmMissing) as error:
        return Answer(False, asked, f"of the new task {said(error)}")
    try:
        today = (await account.ask(tasks(created_from=(await account.local()).date(), limit=100))).tasks
        await account.ask(edit_task(made, TaskFields(complete=True), account.site))
        done = (await account.ask(task(made))).task.complete
    except (CrmRefused, CrmMissing) as error:
        return Answer(False, asked, f"of the task that is done {said(error)}")
    if made not in {one.id for one in today if one.text == fields.text}:
        return Answer(False, asked, "it does not list the new task with its text")
    return Answer(done, asked, "it takes both, and lists it" if done else "the task stays open")
