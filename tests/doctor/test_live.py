"""What `doctor N --live` finds out: that an account does as we assume, and each way in which it does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from amibridge.doctor.findings import Finding, Level, Verdict
from amibridge.doctor.live.asking import NOBODY
from amibridge.doctor.live.assumptions import ASSUMPTIONS, WRITES
from amibridge.sandbox.crm_faults import BadGateway, Busy, Cut, Nonsense, TelephonyOff, WrongKey
from amibridge.sandbox.crm_ways import Otherwise
from tests.doctor.looking import Told
from tests.doctor.shop import UNLIMITED, asked, asking, serving
from tests.sandbox.crm_asker import KEY

ASKED = {one.about for one in ASSUMPTIONS if not isinstance(one.question, str)}
ONLY_WITH_WRITE = {one.about for one in ASSUMPTIONS if one.question in WRITES}

DIFFERENCES: Mapping[Otherwise, set[str]] = {
    Otherwise.RIGHTS_REFUSED_IN_OTHER_WORDS: {"missing right"},
    Otherwise.OWN_RIGHTS_HIDDEN: {"rights"},
    Otherwise.SETTINGS_HIDDEN: {"settings"},
    Otherwise.TIMES_IN_UTC: {"time"},
    Otherwise.SMALL_PAGES: {"page of 100"},
    Otherwise.BIG_PAGES_REFUSED: {"page of 100"},
    Otherwise.FEW_IDS: {"100 ids", "250 statuses"},
    Otherwise.MORE_STATUSES_OF_USERS: {"user status"},
    Otherwise.LOOKUP_AS_TYPED: {"phone lookup"},
    Otherwise.LOOKUP_GUESSES: {"lookup of nobody"},
    Otherwise.LOOKUP_WITHOUT_TWINS: {"lookup of several"},
    Otherwise.LOOKUP_WITHOUT_CODE: {"user's code"},
    Otherwise.SEARCH_BY_NAME_ALONE: {"phone search"},
    Otherwise.MERGES_FORGOTTEN: {"merged customer"},
    Otherwise.HISTORY_BACKWARDS: {"history cursor"},
    Otherwise.HISTORY_REPEATS: {"history cursor"},
    Otherwise.HISTORY_WITHOUT_START: {"history start"},
    Otherwise.HISTORY_OF_ONE_PAGE: {"more history"},
    Otherwise.HISTORY_BY_RULES: {"history sources"},
    Otherwise.NO_MODULE_DENIED: {"no such module"},
    Otherwise.MODULE_WITHOUT_TELEPHONY: {"whole module"},
    Otherwise.STRANGE_CODES_REFUSED: {"unknown extension"},
    Otherwise.NO_TELEPHONY_IN_OTHER_WORDS: {"no telephony"},
    Otherwise.CALLS_TAKEN_AGAIN: {"call told twice"},
    Otherwise.CALLS_PASSED_OVER: {"call told twice"},
    Otherwise.OLD_CALLS_REFUSED: {"old call"},
    Otherwise.CUSTOMERS_TWICE: {"customer twice"},
    Otherwise.EXTERNAL_ID_UNSAID: {"customer twice"},
    Otherwise.PHONES_ADDED: {"phones in edit"},
    Otherwise.TASKS_STAY_OPEN: {"tasks"},
}
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "missing right": {"scopes": frozenset({"customer_read", "order_read", "integration_read"})},
    "no telephony": {"module": False, "needs_module": True},
}
"""What an account must be like to be asked about something."""


def verdicts(found: list[Finding]) -> dict[str, Verdict]:
    return {one.about: one.evidence.verdict for one in found if one.evidence is not None}


def of(found: list[Finding], verdict: Verdict) -> set[str]:
    return {about for about, one in verdicts(found).items() if one is verdict}


async def test_an_account_like_our_sandbox_is_as_assumed_and_nothing_is_changed_there() -> None:
    async with serving() as (crm, one):
        found = await asked(one)
        theirs = crm.account(KEY)
        assert {seen.method for seen in crm.requests} == {"GET"}
        assert (theirs.calls, theirs.popups, theirs.tasks) == ([], [], {})
        assert crm.violations == []
    assert of(found, Verdict.DIFFERENT) == set()
    assert of(found, Verdict.AS_ASSUMED) == ASKED - ONLY_WITH_WRITE - {"missing right"}
    assert [finding.about for finding in found] == [assumption.about for assumption in ASSUMPTIONS]
    assert {finding.level for finding in found} == {Level.OK, Level.OPEN}


async def test_with_leave_it_writes_once_and_names_what_it_left() -> None:
    async with serving() as (crm, one):
        theirs = crm.account(KEY)
        customers = set(theirs.customers.by_id)
        found = await asked(one, ONLY_WITH_WRITE, write=True)
        assert of(found, Verdict.AS_ASSUMED) == ONLY_WITH_WRITE - {"no telephony"}
        [made] = set(theirs.customers.by_id) - customers
        assert [call.external_id for call in theirs.calls] == ["amibridge-doctor-0123", "amibridge-doctor-0123-old"]
        assert {call.phone for call in theirs.calls} == {NOBODY}
        assert [task["complete"] for task in theirs.tasks.values()] == [True]
        assert theirs.open_popups() == theirs.closed_popups(theirs.calls[0].date) == []
        left = found[-1]
        assert (left.level, left.about) == (Level.WARN, "left there")
        assert left.found == "customer NAME, call NAME, call NAME-old, task of user 27".replace(
            "NAME", "amibridge-doctor-0123"
        )
        assert theirs.customers.by_id[made]["externalId"] == "amibridge-doctor-0123"
        again = await asked(one, ONLY_WITH_WRITE, write=True)
        assert verdicts(again) == verdicts(found)
        assert len(theirs.calls) == 2
        assert len(theirs.customers.by_id) == len(customers) + 1


async def test_what_may_have_been_made_is_named_too() -> None:
    async with serving() as (crm, one):
        crm.faults.give(Cut(done=True), path="/api/v5/telephony/calls")
        [asking_failed, left] = await asked(one, ["old call"], write=True)
        assert [call.external_id for call in crm.account(KEY).calls] == ["amibridge-doctor-0123-old"]
    assert verdicts([asking_failed]) == {"old call": Verdict.UNASKED}
    assert left.found == "call amibridge-doctor-0123-old, perhaps"


async def test_a_customer_of_an_earlier_test_is_known_for_one() -> None:
    async with serving() as (_, one):
        await asked(one, ["customer twice"], write=True)
        [nobody] = await asked(one, ["lookup of nobody"])
    assert nobody.evidence is not None
    assert nobody.evidence.answered == "it names who has it: an earlier test"


@pytest.mark.parametrize("otherwise", Otherwise)
async def test_each_difference_is_found(otherwise: Otherwise) -> None:
    for about in DIFFERENCES[otherwise]:
        async with serving(otherwise, **SETTINGS.get(about, {})) as (_, one):
            [finding, *_] = await asked(one, [about], write=True)
        assert finding.evidence is not None
        assert finding.evidence.verdict is Verdict.DIFFERENT, finding
        assert finding.evidence.asked
        assert finding.evidence.answered
        assert finding.level in (Level.WARN, Level.FAIL)
        assert (finding.advice or "").startswith("tell the developers; meanwhile ")


@pytest.mark.parametrize("about", SETTINGS)
async def test_what_takes_an_account_of_its_own_is_as_assumed_there(about: str) -> None:
    async with serving(**SETTINGS[about]) as (_, one):
        found = await asked(one, [about], write=True)
    assert verdicts(found) == {about: Verdict.AS_ASSUMED}


def test_every_question_has_a_difference_or_takes_either_answer() -> None:
    either = {"unknown filter", "search by a part"}
    assert ASKED - set().union(*DIFFERENCES.values()) == {"wrong key"} | either
    assert set(DIFFERENCES) == set(Otherwise)


@pytest.mark.parametrize(("finds_parts", "answered"), [(True, "a part is enough"), (False, "a part finds nobody")])
async def test_either_is_told_of_a_search(finds_parts: bool, answered: str) -> None:
    async with serving(finds_parts=finds_parts) as (_, one):
        [finding] = await asked(one, ["search by a part"])
    assert finding.evidence is not None
    assert (finding.evidence.answered or "").startswith(answered)


@pytest.mark.parametrize(("ignores", "answered"), [(True, "it passes the filter over"), (False, "it says: Errors in")])
async def test_either_is_told_of_a_filter(ignores: bool, answered: str) -> None:
    async with serving(ignores_unknown=ignores) as (_, one):
        [finding] = await asked(one, ["unknown filter"])
    assert finding.evidence is not None
    assert (finding.evidence.answered or "").startswith(answered)


async def test_a_wrong_key_that_is_let_in_is_found() -> None:
    answer = {"success": True, "scopes": ["telephony_write"]}
    async with Told({"/api/credentials": (200, answer)}).serve() as url:
        [finding] = await asked(asking(url), ["wrong key"])
    assert verdicts([finding]) == {"wrong key": Verdict.DIFFERENT}


class TestWhatCannotBeAsked:
    async def test_a_new_account_has_nobody_to_ask_about(self) -> None:
        async with serving(lived=False, module=False) as (_, one):
            found = await asked(one)
        assert of(found, Verdict.DIFFERENT) == set()
        assert {"phone lookup", "phone search", "history cursor", "whole module"} <= of(found, Verdict.UNASKED)
        assert all(finding.level in (Level.OK, Level.OPEN) for finding in found)

    async def test_a_module_that_is_off_is_no_difference(self) -> None:
        async with serving(module=False, needs_module=True) as (crm, one):
            found = await asked(one, ["call told twice", "old call", "unknown extension"], write=True)
            assert crm.account(KEY).calls == []
        assert of(found, Verdict.UNASKED) == {"call told twice", "old call", "unknown extension"}

    async def test_nor_is_a_lookup_that_wants_one(self) -> None:
        async with serving() as (crm, one):
            crm.faults.give(TelephonyOff(), times=None, path="/api/v5/telephony/")
            [finding] = await asked(one, ["phone lookup"])
        assert verdicts([finding]) == {"phone lookup": Verdict.UNASKED}
        assert finding.advice == "amibridge retailcrm register 0123"

    async def test_a_key_without_the_right_is_told_to_get_it(self) -> None:
        async with serving(scopes=frozenset({"telephony_read"})) as (_, one):
            [finding] = await asked(one, ["phone search"])
        assert (finding.level, verdicts([finding])) == (Level.OPEN, {"phone search": Verdict.UNASKED})
        assert "give it the rights" in (finding.advice or "")

    @pytest.mark.parametrize("fault", [WrongKey(), BadGateway(), Cut(), Nonsense()])
    async def test_an_account_that_does_not_let_us_in_is_one_finding(self, fault: Any) -> None:
        async with serving() as (crm, one):
            crm.faults.give(fault, times=None)
            [finding] = await asked(one)
        assert (finding.level, finding.about) == (Level.WARN, "live")
        assert finding.found.startswith("nothing could be asked: ")


NESTED = '{"success": true, "x": ' + "[" * 5000 + "]" * 5000 + "}"
HOSTILE = (
    '{"success": true}',
    '{"success": true, "customers": "\\u0000", "users": 7, "history": {}, "pagination": [[]], "scopes": 1}',
    '{"success": true, "customers": [{"id": 1e400, "phones": {"a": null}}], "history": [[]], "manager": 5}',
    '{"success": true, "generatedAt": "0000-99-99 99:99:99", "users": [null], "history": [null, {"id": -1}]}',
    '{"success": true, "id": 99999999999999999999, "customer": {"id": "7", "phones": [{"number": {}}]}}',
    '{"success": true, "processedCallsCount": "many", "duplicateCalls": {"x": {"y": []}}, "notExistCodes": 1}',
    '{"success": false, "errorMsg": ["no"], "errors": "\\ud800"}',
    NESTED,
    "<html>",
    "",
)
PATHS = (
    "customers", "customers/create", "customers/history", "customers/amibridge-doctor-0123/edit", "orders",
    "orders/history", "orders/statuses", "users", "settings", "telephony/manager", "telephony/call/event",
    "telephony/calls/upload", "integration-modules/amibridge-0123", "integration-modules/amibridge-doctor-nobodys",
    "tasks/create", "tasks",
)  # fmt: skip


@pytest.mark.parametrize("status", [200, 400, 502])
@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
async def test_whatever_comes_is_a_finding_and_no_defect_of_ours(body: str, status: int) -> None:
    credentials = (200, {"success": True, "scopes": ["task_read", "task_write"]})
    answers = {f"/api/v5/{path}": (status, body) for path in PATHS} | {"/api/credentials": credentials}
    async with Told(answers).serve() as url:
        found = await asked(asking(url), write=True, settings=UNLIMITED)
    assert "the check itself failed" not in "".join(finding.found for finding in found)
    assert of(found, Verdict.AS_ASSUMED) < ASKED
    assert set(verdicts(found)) == {assumption.about for assumption in ASSUMPTIONS}


async def test_a_busy_account_is_asked_again() -> None:
    async with serving() as (crm, one):
        crm.faults.give(Busy(retry_after=1))
        [finding] = await asked(one, ["rights"])
    assert verdicts([finding]) == {"rights": Verdict.AS_ASSUMED}


async def test_nobodys_number_or_name_is_told() -> None:
    async with serving() as (crm, one):
        found = await asked(one, write=True)
        told = " ".join(f"{finding}" for finding in found)
        assert len(crm.requests) > len(found)
    assert "Анна" not in told
    assert "1234567" not in told.replace(" ", "").replace("-", "")
    assert KEY not in told
