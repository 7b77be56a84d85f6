"""`amibridge retailcrm`: the module in a sandbox CRM, over a real socket; nothing entered there is ever lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from amibridge.cli import crm_account
from amibridge.cli.enterprise_file import read_enterprise
from amibridge.enterprises import Enterprise, EnterpriseId
from amibridge.sandbox.crm_account import CrmAccount
from amibridge.sandbox.crm_faults import BadGateway, Busy, Cut, Fault, Nonsense, TelephonyOff, WrongKey
from amibridge.sandbox.crm_forms import AdditionalCode, ExternalPhone, IntegrationModule
from amibridge.sandbox.retailcrm import SandboxAccount, SandboxCrm, SandboxUser
from amibridge.secrets import open_keyring
from amibridge.store.directory import Directory
from amibridge.store.modules import tell_module
from tests.cli.commanding import Amibridge, Done
from tests.cli.enterprise_files import EXAMPLE, written

KEY, WEBHOOK = "hush-key", "hush-hush-webhook"
ONE = EnterpriseId("0123")
CODE = "amibridge-0123"
PUBLIC = "https://bridge.example.com"


@dataclass
class Stage:
    """An enterprise that was applied, and its account."""

    crm: SandboxCrm
    url: str
    pool: asyncpg.Pool
    folder: Path
    amibridge: Amibridge

    @property
    def account(self) -> CrmAccount:
        return self.crm.account(KEY)

    @property
    def module(self) -> IntegrationModule:
        return self.account.modules[CODE]

    def is_active(self) -> bool:
        return self.module.active

    @property
    def codes(self) -> dict[int, str]:
        telephony = self.module.integrations.telephony
        return {one.user_id: one.code for one in (telephony and telephony.additional_codes) or ()}

    @property
    def writes(self) -> int:
        return sum(seen.method == "POST" for seen in self.crm.requests)

    async def __call__(self, *words: str) -> Done:
        done = await self.amibridge.beside("retailcrm", *words)
        assert KEY not in done.out + done.err
        assert WEBHOOK not in done.out + done.err
        return done

    async def apply(self, text: str = EXAMPLE) -> None:
        text = text.replace("https://romashka.retailcrm.ru", self.url)
        done = await self.amibridge.beside("enterprise", "apply", written(self.folder, text))
        assert done.code == 0, done.err

    async def stored(self) -> Enterprise:
        found = await Directory(self.pool, open_keyring(self.folder / "data" / "keyring")).load_one(ONE)
        assert found is not None
        return found

    def enter(self, codes: dict[int, str], phones: dict[str, str] | None = None, **changes: Any) -> None:
        """What people do in the CRM."""
        telephony = self.module.integrations.telephony
        assert telephony is not None
        entered = telephony.model_copy(
            update={
                "additional_codes": [
                    AdditionalCode.model_validate({"userId": user, "code": code}) for user, code in codes.items()
                ],
                "external_phones": [
                    ExternalPhone.model_validate({"siteCode": site, "externalPhone": phone})
                    for site, phone in (phones or {}).items()
                ],
            }
        )
        integrations = self.module.integrations.model_copy(update={"telephony": entered})
        self.account.modules[CODE] = self.module.model_copy(update={"integrations": integrations, **changes})


@pytest.fixture
async def stage(
    pool: asyncpg.Pool, at_database: str, tmp_path: Path, amibridge: Amibridge, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stage]:
    monkeypatch.setenv("AMIBRIDGE_WEB__PUBLIC_URL", PUBLIC)
    users = [
        SandboxUser(27, "Анна Сидорова"), SandboxUser(31, "Борис Иванов"), SandboxUser(50, "Клара Вебер"),
    ]  # fmt: skip
    crm = SandboxCrm([SandboxAccount("romashka", KEY, ZoneInfo("Europe/Minsk"), users, "Ромашка")])
    async with crm.serve() as url:
        stage = Stage(crm, url, pool, tmp_path, amibridge)
        await stage.apply()
        yield stage


def whats(done: Done) -> list[str]:
    return [one["what"] for one in done.answers]


class TestRegister:
    async def test_the_module_is_made_and_a_second_time_nothing_is_written(self, stage: Stage) -> None:
        done = await stage("register", "0123")
        assert done.code == 0, done.err
        [answer] = done.answers
        assert (answer["module"], answer["written"], answer["left"]) == (CODE, True, [])
        assert (answer["unknown_users"], answer["unknown_sites"]) == ([], [])
        assert done.sentences == [f"0123: the module {CODE} is registered"]
        module, telephony = stage.module, stage.module.integrations.telephony
        assert (module.integration_code, module.active, module.name) == ("amibridge", True, "amibridge")
        assert (module.client_id, module.base_url) == ("d0c5-0123", PUBLIC)
        assert telephony is not None
        assert telephony.make_call_url == f"{PUBLIC}/retailcrm/{WEBHOOK}/call"
        assert stage.codes == {27: "101", 31: "102"}
        assert stage.account.telephony_enabled
        writes = stage.writes
        again = await stage("register", "0123")
        assert (again.code, again.answers[0]["written"], again.answers[0]["changes"]) == (0, False, [])
        assert again.sentences == [f"0123: the module {CODE} is as it should be: nothing written"]
        assert stage.writes == writes

    async def test_what_people_entered_stays_and_the_file_counts_for_whom_it_names(self, stage: Stage) -> None:
        await stage("register", "0123")
        stage.enter({50: "150", 27: "109"}, {"romashka": "+7 495 111-00-01"}, name="PBX")
        done = await stage("register", "0123")
        assert done.code == 0, done.err
        assert {one["what"] for one in done.answers[0]["changes"]} == {"name", "code of user 27", "code of user 31"}
        assert stage.codes == {50: "150", 27: "101", 31: "102"}
        telephony = stage.module.integrations.telephony
        assert telephony is not None
        phones = [(one.site_code, one.external_phone) for one in telephony.external_phones or ()]
        assert phones == [("romashka", "+7 495 111-00-01")]

    async def test_a_file_that_names_nobody_wipes_nobody(self, stage: Stage) -> None:
        await stage("register", "0123")
        stage.enter({50: "150"}, {"romashka": "74952220002"})
        head, _, _ = EXAMPLE.partition("[operators]")
        await stage.apply(head)
        assert (await stage("register", "0123")).code == 0
        assert stage.codes == {50: "150"}

    async def test_whom_the_crm_does_not_know_is_said(self, stage: Stage) -> None:
        await stage.apply(
            EXAMPLE.replace("user = 31", "user = 99").replace('site = "romashka", name', 'site = "other", name')
        )
        done = await stage("register", "0123")
        assert (done.answers[0]["unknown_users"], done.answers[0]["unknown_sites"]) == ([99], ["other"])
        assert "0123: the CRM has no user 99: mend [operators] of the enterprise's file" in done.sentences
        assert "0123: the CRM has no store other: mend [lines] of the enterprise's file" in done.sentences

    async def test_another_services_module_is_taken_over_by_its_code(self, stage: Stage) -> None:
        await stage("register", "0123")
        stage.enter({50: "150"}, base_url="https://old.example.com")
        theirs = stage.account.modules.pop(CODE)
        stage.account.modules["vendor-telephony"] = theirs.model_copy(
            update={"code": "vendor-telephony", "integration_code": "vendor"}
        )
        await stage.apply(EXAMPLE.replace("[retailcrm]", '[retailcrm]\nmodule_code = "vendor-telephony"'))
        assert (await stage("register", "0123")).code == 0
        taken = stage.account.modules["vendor-telephony"]
        assert (taken.base_url, taken.integration_code, taken.client_id) == (PUBLIC, "vendor", "d0c5-0123")
        assert CODE not in stage.account.modules

    async def test_it_ends_a_pause_and_a_frozen_module_stays_paused(self, stage: Stage) -> None:
        await stage("register", "0123")
        await tell_module(stage.pool, ONE, active=False, frozen=False, at=datetime.now(UTC), unheeded="evil.example")
        assert not (await stage.stored()).module.works
        assert (await stage("register", "0123")).code == 0
        module = (await stage.stored()).module
        assert (module.works, module.unheeded) == (True, None)
        stage.enter({}, freeze=True)
        done = await stage("register", "0123")
        assert done.code == 0
        assert [one["what"] for one in done.answers[0]["left"]] == ["freeze"]
        assert "still freeze is yes, should be no" in done.sentences[-1]
        assert (await stage.stored()).module.frozen

    async def test_it_is_switched_off_whole_and_on_again(self, stage: Stage) -> None:
        never = await stage("register", "0123", "--deactivate")
        assert (never.code, never.answers) == (
            0, [{"enterprise": "0123", "module": CODE, "written": False, "active": None}],
        )  # fmt: skip
        assert never.sentences == [f"0123: there is no module {CODE} in the account: nothing to switch off"]
        await stage("register", "0123")
        stage.enter({50: "150"})
        done = await stage("register", "0123", "--deactivate")
        assert (done.code, done.answers[0]["written"], done.answers[0]["active"]) == (0, True, False)
        assert not stage.is_active()
        assert stage.codes[50] == "150"
        assert stage.module.integrations.telephony is not None
        assert not (await stage.stored()).module.works
        again = await stage("register", "0123", "--deactivate")
        assert (again.code, again.answers[0]["written"]) == (0, False)
        on = await stage("register", "0123")
        assert on.answers[0]["changes"][0]["what"] == "active"
        assert stage.is_active()
        assert (await stage.stored()).module.works

    @pytest.mark.parametrize("words", [("register",), ("register", "--deactivate"), ("status",), ("users",)])
    @pytest.mark.parametrize(
        ("fault", "says"),
        [
            (BadGateway(), "the CRM's answer cannot be used: not an API answer"),
            (Nonsense(), "the CRM's answer cannot be used: not an API answer"),
            (Nonsense('{"success": true}'), "the CRM's answer cannot be used: the CRM tells of a module"),
            (Cut(), "the CRM cannot be reached"),
            (TelephonyOff(), "the CRM says: Telephony not enabled"),
            (WrongKey(), "the CRM says: Wrong"),
        ],
    )
    async def test_a_crm_that_fails_is_a_sentence_and_no_reason_to_register_anew(
        self, stage: Stage, words: tuple[str, ...], fault: Fault, says: str
    ) -> None:
        await stage("register", "0123")
        stage.enter({50: "150"})
        writes = stage.writes
        stage.crm.faults.give(fault, times=None)
        done = await stage(*words, "0123")
        assert (done.code, done.out) == (1, "")
        assert done.sentences[0].startswith(f"amibridge: 0123: {says}")
        assert done.sentences[0].endswith("; amibridge doctor 0123 says what to do")
        assert stage.writes == writes
        assert stage.codes == {50: "150"}

    @pytest.mark.parametrize(("times", "code"), [(3, 0), (4, 1)])
    async def test_a_crm_that_is_busy_is_asked_again_for_a_while(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch, times: int, code: int
    ) -> None:
        monkeypatch.setattr(crm_account, "LONGEST_WAIT", timedelta())
        stage.crm.faults.give(Busy(retry_after=3600), times=times)
        done = await stage("register", "0123")
        assert done.code == code
        assert bool(stage.account.modules) is (code == 0)
        assert code == 0 or "the CRM is busy" in done.sentences[0]

    async def test_a_wrong_key_is_a_sentence(self, stage: Stage) -> None:
        await stage.apply(EXAMPLE.replace("hush-key", "hush-wrong"))
        done = await stage("register", "0123")
        assert (done.code, done.out) == (1, "")
        assert 'Wrong "apiKey" value' in done.sentences[0]
        assert "hush-wrong" not in done.err

    @pytest.mark.parametrize("words", [("register",), ("register", "--deactivate"), ("status",)])
    @pytest.mark.parametrize(
        ("public", "why"), [(None, "by the name 127.0.0.1"), ("http://bridge.example.com", "only https://")]
    )
    async def test_an_address_that_retailcrm_cannot_ask_is_refused_before_it_is_asked(
        self,
        stage: Stage,
        monkeypatch: pytest.MonkeyPatch,
        words: tuple[str, ...],
        public: str | None,
        why: str,
    ) -> None:
        stage.url = "https://localhost.invalid"
        await stage.apply()
        if public is None:
            monkeypatch.delenv("AMIBRIDGE_WEB__PUBLIC_URL")
        else:
            monkeypatch.setenv("AMIBRIDGE_WEB__PUBLIC_URL", public)
        done = await stage(*words, "0123")
        assert (done.code, done.out) == (1, "")
        assert why in done.sentences[0]
        assert "set `public_url` of [web]" in done.sentences[0]

    async def test_a_crm_on_this_machine_may_ask_here_without_tls(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("AMIBRIDGE_WEB__PUBLIC_URL")
        done = await stage("register", "0123")
        assert done.code == 0, done.err
        assert stage.module.base_url == "http://127.0.0.1:8019"

    async def test_an_enterprise_that_nobody_has_is_said(self, stage: Stage) -> None:
        for words in (["register"], ["status"], ["users"]):
            done = await stage(*words, "0132")
            assert (done.code, done.sentences) == (1, ["amibridge: there is no enterprise 0132; did you mean 0123?"])


class TestStatus:
    async def test_what_is_as_it_should_be_is_said(self, stage: Stage) -> None:
        await stage("register", "0123")
        done = await stage("status", "0123")
        assert (done.code, done.answers) == (0, [{"enterprise": "0123", "module": CODE, "as_wished": True}])
        assert done.sentences == [f"0123: the module {CODE} is as it should be"]

    async def test_each_difference_is_a_line_with_what_to_do(self, stage: Stage) -> None:
        first = await stage("status", "0123")
        assert (first.code, whats(first)) == (1, ["code"])
        assert first.answers[0]["do"] == "amibridge retailcrm register 0123"
        await stage("register", "0123")
        stage.enter({27: "109", 31: "102"}, {"romashka": "74951110001"}, freeze=True, active=False)
        writes = stage.writes
        done = await stage("status", "0123")
        assert (done.code, whats(done)) == (1, ["freeze", "active", "code of user 27"])
        assert done.sentences[1:] == [
            "0123: active is no, should be yes: amibridge retailcrm register 0123",
            "0123: code of user 27 is 109, should be 101: amibridge retailcrm register 0123",
        ]
        assert stage.writes == writes

    async def test_what_is_not_there_at_all_is_said_so(self, stage: Stage) -> None:
        done = await stage("status", "0123")
        assert (done.code, whats(done)) == (1, ["code"])
        assert done.sentences == [f"0123: there is no module {CODE} in the account: amibridge retailcrm register 0123"]

    async def test_what_the_bridge_was_told_is_a_difference_too(self, stage: Stage) -> None:
        await stage("register", "0123")
        at = datetime.now(UTC)
        await tell_module(stage.pool, ONE, active=False, frozen=False, at=at, unheeded="evil.example")
        done = await stage("status", "0123")
        assert (done.code, whats(done)) == (1, ["told", "url"])
        assert "the CRM once told us that the module is switched off, and says now that it works" in done.sentences[0]
        assert "nothing is sent: amibridge retailcrm register 0123" in done.sentences[0]
        assert "evil.example" in done.sentences[1]

    async def test_an_account_that_moved_is_asked_where_it_is(self, stage: Stage) -> None:
        await stage("register", "0123")
        moved = replace(read_enterprise(stage.folder / "enterprise.toml"))
        await stage.apply(EXAMPLE.replace("https://romashka.retailcrm.ru", "http://127.0.0.1:1"))
        await tell_module(stage.pool, ONE, active=True, frozen=False, at=datetime.now(UTC), moved_to=moved.account.url)
        done = await stage("status", "0123")
        assert (done.code, whats(done)) == (1, ["url"])
        assert (done.answers[0]["wish"], done.answers[0]["found"]) == ("http://127.0.0.1:1", moved.account.url)


class TestUsers:
    async def test_users_and_extensions_side_by_side(self, stage: Stage) -> None:
        text = EXAMPLE.replace("102 = { user = 31 }", '102 = { name = "Иванов Борис" }\n109 = {}')
        await stage.apply(text)
        early = await stage("users", "0123")
        assert "0123: the module is not registered yet" in early.sentences[0]
        await stage("register", "0123")
        stage.enter({27: "101", 50: "150"})
        done = await stage("users", "0123")
        assert done.code == 0, done.err
        assert [(one["extension"], one["user"], one["by"]) for one in done.answers] == [
            ("101", 27, "file"),
            ("102", 31, "name"),
            ("109", None, None),
            ("150", 50, "code"),
        ]
        assert done.sentences == [
            "0123: what the enterprise's file could say:",
            "[operators]",
            '101 = { user = 27, name = "Иван" }',
            '102 = { user = 31, name = "Иванов Борис" }',
            "109 = {}",
            '150 = { user = 50, name = "Клара Вебер" }',
        ]

    async def test_where_nobody_has_an_extension_an_example_is_given(self, stage: Stage) -> None:
        await stage.apply(EXAMPLE.partition("[operators]")[0])
        done = await stage("users", "0123")
        assert done.sentences[-1].endswith("say who has which in [operators] of the file, like 101 = { user = 27 }")

    async def test_contradictions_are_said_and_nothing_is_decided(self, stage: Stage) -> None:
        await stage("register", "0123")
        stage.enter({50: "101", 27: "109"})
        writes = stage.writes
        done = await stage("users", "0123")
        assert done.code == 1
        conflicts = [one["conflict"] for one in done.answers if "conflict" in one]
        assert conflicts == ["code of another"]
        assert "in the file 101 is user 27 (Анна Сидорова), in the CRM it is user 50 (Клара Вебер)" in done.err
        assert stage.writes == writes

    async def test_all_pages_are_read(self, stage: Stage) -> None:
        for number in range(1000, 1250):
            stage.account.users[number] = SandboxUser(number, f"User {number}")
        done = await stage("users", "0123")
        assert len([one for one in done.answers if one.get("user", 0) and one["user"] >= 1000]) == 250
