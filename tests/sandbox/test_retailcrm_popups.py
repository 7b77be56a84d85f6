"""Popups in the sandbox CRM: one per operator and call, opened by `in` and `out`, closed by `hangup` only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from amibridge.sandbox.crm_account import (
    REMEMBERED_POPUPS,
    CallStored,
    CrmAccount,
    PopupClosed,
    PopupOpened,
)
from amibridge.sandbox.crm_forms import CallEvent
from amibridge.sandbox.crm_witness import RequestAnswered
from tests.sandbox.crm_asker import EVENT, OTHER_KEY, UPLOAD, Asker, finished, hangup, ringing, romashka

AT = datetime(2026, 11, 24, 9, 15, tzinfo=UTC)
IRINA, PYOTR = 27, 31


def screens(account: CrmAccount) -> dict[int, list[str]]:
    """The calls on each operator's screen."""
    return {user: [popup.call for popup in account.open_popups(user)] for user in account.users}


def hear(account: CrmAccount, event: dict[str, object], after: float = 0.0) -> list[object]:
    _, changes = account.hear(CallEvent.model_validate(event), AT + timedelta(seconds=after))
    return [*changes]


async def test_a_ringing_phone_opens_one_that_says_who_calls_whom_and_since_when(asker: Asker) -> None:
    before = datetime.now(UTC)
    await asker.post(EVENT, event=ringing(externalPhone="74951110001"))
    [account, _] = asker.crm.accounts
    [popup] = account.open_popups()
    assert (popup.user, popup.call, popup.kind) == (IRINA, "pbx1:1", "in")
    assert (popup.phone, popup.customer, popup.external_phone) == ("+79161234567", "Ольга Петрова", "74951110001")
    assert before <= popup.opened_at <= datetime.now(UTC)


async def test_codes_and_users_name_the_same_people(asker: Asker) -> None:
    await asker.post(EVENT, event=ringing(codes=["101", "102"], userIds=[IRINA]))
    [account, _] = asker.crm.accounts
    assert screens(account) == {IRINA: ["pbx1:1"], PYOTR: ["pbx1:1"]}
    assert [heard.users for heard in account.popups] == [(IRINA, PYOTR)]


class TestLife:
    def test_a_repeat_is_counted_and_opens_no_second_one(self) -> None:
        account = CrmAccount(romashka())
        [opened] = hear(account, ringing())
        assert hear(account, ringing(), after=1) == []
        [popup] = account.open_popups()
        assert isinstance(opened, PopupOpened)
        assert (popup.rings, popup.opened_at) == (2, AT)
        assert len(account.popups) == 2

    def test_a_hangup_closes_it_and_says_why(self) -> None:
        account = CrmAccount(romashka())
        hear(account, ringing())
        [closed] = hear(account, hangup(hangupStatus="cancel"), after=3)
        assert account.open_popups() == []
        assert isinstance(closed, PopupClosed)
        assert (closed.popup.hangup_status, closed.popup.closed_at) == ("cancel", AT + timedelta(seconds=3))
        assert account.closed_popups(AT) == [closed.popup]
        assert account.closed_popups(AT + timedelta(seconds=4)) == []

    def test_a_hangup_closes_only_those_it_is_for(self) -> None:
        account = CrmAccount(romashka())
        hear(account, ringing(codes=["101", "102"]))
        hear(account, hangup(codes=["102"]))
        assert screens(account) == {IRINA: ["pbx1:1"], PYOTR: []}

    def test_a_hangup_closes_only_its_own_call(self) -> None:
        account = CrmAccount(romashka())
        hear(account, ringing(callExternalId="pbx1:1"))
        hear(account, ringing(callExternalId="pbx1:2"))
        hear(account, hangup(callExternalId="pbx1:1"))
        assert screens(account)[IRINA] == ["pbx1:2"]

    def test_a_hangup_of_what_is_not_open_changes_nothing(self) -> None:
        account = CrmAccount(romashka())
        assert hear(account, hangup()) == []
        hear(account, ringing())
        assert hear(account, hangup(callExternalId="other")) == []
        assert len(account.open_popups()) == 1

    def test_one_that_was_closed_opens_anew(self) -> None:
        account = CrmAccount(romashka())
        hear(account, ringing())
        hear(account, hangup(), after=1)
        assert len(hear(account, ringing(), after=2)) == 1
        [popup] = account.open_popups()
        assert (popup.rings, popup.opened_at) == (1, AT + timedelta(seconds=2))

    def test_an_event_without_a_call_is_known_by_its_number(self) -> None:
        account = CrmAccount(romashka())
        anonymous = {name: value for name, value in ringing().items() if name != "callExternalId"}
        hear(account, anonymous)
        hear(account, anonymous)
        assert screens(account)[IRINA] == ["+79161234567"]
        hear(account, hangup())
        assert screens(account)[IRINA] == ["+79161234567"]
        hear(account, {**anonymous, "type": "hangup", "hangupStatus": "answered"})
        assert screens(account)[IRINA] == []

    def test_an_outgoing_call_has_one_too(self) -> None:
        account = CrmAccount(romashka())
        hear(account, ringing(type="out", phone="+79160000000"))
        [popup] = account.open_popups(IRINA)
        assert (popup.kind, popup.customer) == ("out", None)

    def test_many_closed_ones_are_not_kept_for_ever(self) -> None:
        account = CrmAccount(romashka())
        for number in range(REMEMBERED_POPUPS + 10):
            hear(account, ringing(callExternalId=str(number)))
            hear(account, hangup(callExternalId=str(number)))
        kept = account.closed_popups(AT)
        assert (len(kept), kept[-1].call) == (REMEMBERED_POPUPS, str(REMEMBERED_POPUPS + 9))


async def test_an_upload_closes_no_popup_and_a_popup_stores_no_call(asker: Asker) -> None:
    await asker.post(EVENT, event=ringing())
    await asker.post(UPLOAD, calls=[finished()])
    await asker.post(EVENT, event=ringing(callExternalId="pbx1:2"))
    [account, _] = asker.crm.accounts
    assert screens(account)[IRINA] == ["pbx1:1", "pbx1:2"]
    assert len(account.calls) == 1


async def test_accounts_with_the_same_people_have_screens_of_their_own(asker: Asker) -> None:
    await asker.post(EVENT, event=ringing())
    await asker.post(EVENT, OTHER_KEY, event=hangup())
    [mine, other] = asker.crm.accounts
    assert (len(mine.open_popups()), len(other.popups), other.open_popups()) == (1, 1, [])


async def test_who_listens_hears_of_every_change_in_order(asker: Asker) -> None:
    changes = asker.crm.listen()
    await asker.post(EVENT, event=ringing())
    await asker.post(EVENT, event=hangup())
    await asker.post(UPLOAD, OTHER_KEY, calls=[finished()])
    heard = [await anext(changes) for _ in range(6)]
    kinds = [type(change) for change in heard if not isinstance(change, RequestAnswered)]
    assert kinds == [PopupOpened, PopupClosed, CallStored]
    assert [change.account for change in heard if not isinstance(change, RequestAnswered)] == [
        "Ромашка",
        "Ромашка",
        "Василёк",
    ]
    assert [change.request.path for change in heard if isinstance(change, RequestAnswered)] == [EVENT, EVENT, UPLOAD]
