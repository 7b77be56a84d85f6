"""A click becomes one action, with the right phone on the right host; or none at all, and a sentence."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from structlog.testing import capture_logs

from amibridge.ami.errors import ActionRefused, ActionUnanswered, AmiError, HostUnreachable, LinkLost
from amibridge.calls.clicks import ClickFailed, ClickRefused, Dialling, Placed, Why
from amibridge.enterprises import EnterpriseId, HostName
from amibridge.runtime import originate
from amibridge.store.db import open_pool
from amibridge.store.ledger import HeardFact, Ledger
from tests.delivery.rows import ended, record
from tests.runtime.placing import CLICK, PHONE, PaperPbx, customer, originator, shop
from tests.store.proxy import proxy

pytestmark = pytest.mark.postgres


@pytest.fixture
def pbx() -> PaperPbx:
    return PaperPbx()


class TestTheAction:
    async def test_it_says_what_was_asked_and_who_is_called(self, pool: asyncpg.Pool, pbx: PaperPbx) -> None:
        await customer(pool, "0123", 7, 'ООО "Ромашка", (Минск)')
        await customer(pool, "0124", 8, "Somebody else's")
        placed = await originator(pool, pbx).call(
            shop(), replace(CLICK, phone=" 375 (29) 123-45-67", line="+7 495 111 00 01")
        )
        assert re.fullmatch(r"pbx1:1\d{9}\.\d{12}", placed.call)
        uniqueid = placed.call.removeprefix("pbx1:")
        assert placed == Placed(
            placed.call, "10.0.0.5", placed.extension, "375291234567", PHONE, "ООО Ромашка Минск", 7, placed.took
        )
        assert pbx.headers == {
            "ActionID": [f"amibridge-{uniqueid}"],
            "Channel": ["Local/101@from-internal/n"],
            "ChannelId": [uniqueid],
            "OtherChannelId": [f"{uniqueid}2"],
            "Context": ["from-internal"],
            "Exten": ["375291234567"],
            "Priority": ["1"],
            "Timeout": ["30000"],
            "Async": ["true"],
            "Variable": [
                f"__AMIBRIDGE_CLICK=amibridge-{uniqueid}",
                "CALLERID(num)=101",
                "CONNECTEDLINE(num,i)=375291234567",
                "CONNECTEDLINE(name,i)=ООО Ромашка Минск",
                "__AMIBRIDGE_LINE=74951110001",
            ],
        }

    async def test_it_is_dialled_as_the_dialplan_wants_it(self, pool: asyncpg.Pool, pbx: PaperPbx) -> None:
        enterprise = shop()
        [host] = enterprise.hosts
        enterprise = replace(enterprise, hosts=(replace(host, originate_number=Dialling.NATIONAL),))
        placed = await originator(pool, pbx).call(enterprise, CLICK)
        assert (placed.number, placed.phone, pbx.headers["Exten"]) == ("80291234567", PHONE, ["80291234567"])
        assert "CONNECTEDLINE(num,i)=80291234567" in pbx.headers["Variable"]

    async def test_a_stranger_has_no_name_and_a_line_of_nobody_is_none(self, pool: asyncpg.Pool, pbx: PaperPbx) -> None:
        await customer(pool, "0123", 7, "")
        placed = await originator(pool, pbx).call(shop(), replace(CLICK, line="74950000000"))
        assert placed.name is None
        assert [one.partition("=")[0] for one in pbx.headers["Variable"]] == [
            "__AMIBRIDGE_CLICK", "CALLERID(num)", "CONNECTEDLINE(num,i)",
        ]  # fmt: skip

    async def test_a_silent_database_holds_up_nobody(
        self, dsn: str, pbx: PaperPbx, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(originate, "PATIENCE", timedelta(milliseconds=1))
        monkeypatch.setattr(originate, "HOST_PATIENCE", timedelta(milliseconds=1))
        async with proxy(dsn) as way, open_pool(way.dsn) as pool:
            way.silent = True
            placed = await originator(pool, pbx, "pbx1", "pbx2").call(shop("0123", "pbx1", "pbx2"), CLICK)
            assert (placed.name, placed.call.partition(":")[0]) == (None, "pbx1")
            way.silent = False

    @pytest.mark.parametrize("code", ["10", "999999", "101&102", "101\r\nAction: Command", "102@from-trunk"])
    async def test_what_is_no_extension_is_no_action(self, pool: asyncpg.Pool, pbx: PaperPbx, code: str) -> None:
        with pytest.raises(ClickRefused):
            await originator(pool, pbx).call(shop(), replace(CLICK, code=code))
        assert pbx.asked == []

    @pytest.mark.parametrize("phone", ["101", "102", "${EXTEN}", "+375291234567&PJSIP/102", "9" * 4096])
    async def test_what_is_no_number_is_no_action(self, pool: asyncpg.Pool, pbx: PaperPbx, phone: str) -> None:
        with pytest.raises(ClickRefused):
            await originator(pool, pbx).call(shop(), replace(CLICK, phone=phone))
        assert pbx.asked == []


class TestWhatFails:
    @pytest.mark.parametrize(
        ("error", "advice"),
        [
            (HostUnreachable("not a byte for 12 s"), None),
            (ActionRefused("Extension does not exist."), None),
            (ActionRefused("Permission denied"), "`write` of the AMI account needs originate"),
        ],
    )
    async def test_it_is_said_at_once_logged_and_may_be_tried_again(
        self, pool: asyncpg.Pool, pbx: PaperPbx, error: AmiError, advice: str | None
    ) -> None:
        placing = originator(pool, pbx)
        pbx.fails = error
        with capture_logs() as lines, pytest.raises(ClickFailed, match=f"^pbx1: {re.escape(str(error))}$"):
            await placing.call(shop(), CLICK)
        [line] = lines
        assert (line["event"], line["log_level"], line.get("advice")) == ("call_not_placed", "warning", advice)
        assert (line["enterprise"], line["host"], line["operator"], line["way"]) == ("0123", "pbx1", "101", "api")
        pbx.fails = None
        assert (await placing.call(shop(), CLICK)).extension == "101"
        assert len(pbx.asked) == 2

    @pytest.mark.parametrize("error", [ActionUnanswered("no answer to Originate"), LinkLost("the connection broke")])
    async def test_what_may_have_been_placed_is_not_placed_again(
        self, pool: asyncpg.Pool, pbx: PaperPbx, error: AmiError
    ) -> None:
        placing = originator(pool, pbx)
        pbx.fails = error
        for _ in range(2):
            with pytest.raises(ClickFailed):
                await placing.call(shop(), CLICK)
        assert len(pbx.asked) == 1


class TestRepeats:
    async def test_a_double_click_is_one_call_and_one_answer(self, pool: asyncpg.Pool, pbx: PaperPbx) -> None:
        placing = originator(pool, pbx)
        clicks = [CLICK, CLICK, replace(CLICK, phone="80291234567"), replace(CLICK, code=" 101 ", way="retailcrm")]
        first, *others = await asyncio.gather(*(placing.call(shop(), click) for click in clicks))
        assert others == [first] * 3
        assert await placing.call(shop(), CLICK) == first
        assert len(pbx.asked) == 1

    async def test_another_operator_number_or_enterprise_is_another_call(
        self, pool: asyncpg.Pool, pbx: PaperPbx
    ) -> None:
        placing = originator(pool, pbx)
        await placing.call(shop(), CLICK)
        await placing.call(shop(), replace(CLICK, code="102"))
        await placing.call(shop(), replace(CLICK, phone="+375291234568"))
        await placing.call(shop("0124"), CLICK)
        assert [enterprise for enterprise, _, _ in pbx.asked] == ["0123"] * 3 + ["0124"]
        assert len({dict(action.headers)["ChannelId"] for _, _, action in pbx.asked}) == 4

    async def test_after_a_while_it_is_another_call(
        self, pool: asyncpg.Pool, pbx: PaperPbx, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(originate, "AGAIN_WITHIN", timedelta(0))
        placing = originator(pool, pbx)
        first = await placing.call(shop(), CLICK)
        await asyncio.sleep(0.001)
        assert (await placing.call(shop(), CLICK)).call != first.call

    async def test_a_key_outlasts_it(self, pool: asyncpg.Pool, pbx: PaperPbx, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(originate, "AGAIN_WITHIN", timedelta(0))
        placing, keyed = originator(pool, pbx), replace(CLICK, key="k-1")
        first = await placing.call(shop(), keyed)
        await asyncio.sleep(0.001)
        assert await placing.call(shop(), keyed) == first
        assert (await placing.call(shop("0124"), keyed)).call != first.call
        assert len(pbx.asked) == 2

    async def test_a_key_of_another_call_is_refused(self, pool: asyncpg.Pool, pbx: PaperPbx) -> None:
        placing = originator(pool, pbx)
        await placing.call(shop(), replace(CLICK, key="k-1"))
        for other in (replace(CLICK, key="k-1", code="102"), replace(CLICK, key="k-1", phone="+375291234568")):
            with pytest.raises(ClickRefused) as refused:
                await placing.call(shop(), other)
            assert refused.value.why is Why.KEY_USED
        assert len(pbx.asked) == 1


class TestWhichHost:
    NAMES = ("pbx1", "pbx2", "pbx3")

    async def asked(self, pool: asyncpg.Pool, pbx: PaperPbx, code: str = "101") -> str:
        placed = await originator(pool, pbx, *self.NAMES).call(shop("0123", *self.NAMES), replace(CLICK, code=code))
        assert placed.call.startswith(f"{pbx.asked[-1][1]}:")
        return pbx.asked[-1][1]

    async def met(
        self, pool: asyncpg.Pool, host: str, *, number: str = "0123", ago: timedelta = timedelta(days=1)
    ) -> None:
        at = datetime.now(UTC) - ago
        fact = ended(record(f"{host}:{at.timestamp()}", caller="101", at=at), at)
        await Ledger(pool).record([HeardFact(EnterpriseId(number), HostName(host), fact, at)])

    async def test_the_one_on_which_the_operator_was_met_last(self, pool: asyncpg.Pool, pbx: PaperPbx) -> None:
        await self.met(pool, "pbx3", ago=timedelta(days=2))
        await self.met(pool, "pbx2")
        await self.met(pool, "pbx1", ago=timedelta(days=40))
        await self.met(pool, "pbx1", number="0124", ago=timedelta(0))
        assert await self.asked(pool, pbx) == "pbx2"

    async def test_also_while_it_is_away(self, pool: asyncpg.Pool, pbx: PaperPbx) -> None:
        """A phone of another PBX would ring, of whoever has that extension there."""
        await self.met(pool, "pbx2")
        pbx.down = {"pbx2"}
        assert await self.asked(pool, pbx) == "pbx2"

    async def test_also_while_the_database_is_slow(
        self, dsn: str, pool: asyncpg.Pool, pbx: PaperPbx, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Longer than a name is worth waiting for."""
        await self.met(pool, "pbx2")
        monkeypatch.setattr(originate, "PATIENCE", timedelta(milliseconds=1))
        monkeypatch.setattr(originate, "HOST_PATIENCE", timedelta(minutes=4))
        async with proxy(dsn) as way, open_pool(way.dsn) as slow:
            way.silent = True
            asking = asyncio.create_task(self.asked(slow, pbx), name="a click")
            await asyncio.wait({asking}, timeout=0.1)
            way.silent = False
            assert await asking == "pbx2"

    async def test_else_the_first_that_is_there(self, pool: asyncpg.Pool, pbx: PaperPbx) -> None:
        assert await self.asked(pool, pbx, "102") == "pbx1"
        pbx.down = {"pbx1"}
        assert await self.asked(pool, pbx, "103") == "pbx2"
