"""One HTTP request rings both phones: through the side server, the keeper's own link, and a real Asterisk."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import asyncpg
import pytest
from structlog.testing import capture_logs

from amibridge.ami.actions import ping
from amibridge.calls.record import Extension
from amibridge.enterprises import Account, AmiHost, Enterprise, EnterpriseId, HostName, LinkState, Operator
from amibridge.redact import Secret
from amibridge.runtime.originate import Originator
from amibridge.store.directory import Directory
from tests.delivery.waiting import until
from tests.real.asterisk import BRIDGE, NEVER_THERE, Asterisk
from tests.real.office import CUSTOMER, Office, hangs_up, moment
from tests.runtime.keeping import KEYRING, Kept, keeping
from tests.runtime.placing import customer
from tests.web.serving import Answer, Site, serving

pytestmark = pytest.mark.postgres

NUMBER = EnterpriseId("0123")
NAME = "Иван Петров"
PHONE = "+79161112233"
SECRET = "hush-webhook-secret"

WAYS = pytest.mark.parametrize("way", ["phone", "local"])


@dataclass
class Bridge:
    """The parts of a daemon that a click goes through."""

    pool: asyncpg.Pool
    kept: Kept
    site: Site

    async def click(self, code: str = "101", phone: str = CUSTOMER, **more: Any) -> Answer:
        query = urlencode({"code": code, "phone": phone, "clientId": "client-one"})
        return await self.site.ask(f"/api/makecallexternal?{query}", **more)

    async def calls(self, count: int = 1) -> list[asyncpg.Record]:
        """The rows of so many calls that ended."""
        async with asyncio.timeout(20):
            while await self.pool.fetchval("SELECT count(*) FROM calls") < count:
                await asyncio.sleep(0.02)
        return list(await self.pool.fetch("SELECT * FROM calls ORDER BY started_at"))


@contextlib.asynccontextmanager
async def bridging(
    pool: asyncpg.Pool, asterisk: Asterisk, way: str = "phone", account: str = BRIDGE
) -> AsyncIterator[Bridge]:
    channel = f"{asterisk.driver}/{{extension}}" if way == "phone" else "Local/{extension}@from-internal/n"
    host = AmiHost(NUMBER, HostName("pbx"), *asterisk.ami, account, Secret("secret"), originate_channel=channel)
    enterprise = Enterprise(
        NUMBER, "Ромашка", Account("https://romashka.retailcrm.ru", Secret("hush-key")), (host,), "client-one",
        Secret(SECRET), operators={Extension("101"): Operator(Extension("101"), 27)},
    )  # fmt: skip
    await Directory(pool, KEYRING).apply(enterprise)
    async with keeping(pool) as kept, serving(pool) as site:
        await until(lambda: kept.states().get("pbx") in (LinkState.UP, LinkState.REFUSED))
        site.tenants.enterprises([enterprise])
        site.call = Originator(pool, kept.keeper.send, kept.keeper.standings).call
        yield Bridge(pool, kept, site)


@WAYS
async def test_both_phones_ring_and_the_call_is_known_by_the_id_of_the_answer(
    office: Office, pool: asyncpg.Pool, way: str
) -> None:
    await customer(pool, NUMBER, 7, NAME, PHONE)
    async with bridging(pool, office.asterisk, way) as bridge:
        answer = await bridge.click()
        assert (answer.status, answer.json["display_name"], answer.json["to_phone"]) == (200, NAME, CUSTOMER)
        anna = await office.takes("101")
        assert anna.shown == (NAME, CUSTOMER)
        talk = await office.takes("trunk")
        [live] = await pool.fetch("SELECT call_id, direction FROM live_calls")
        assert tuple(live) == (answer.json["call"], "outgoing")
        await hangs_up(talk, anna)
        [row] = await bridge.calls()
    assert (row["call_id"], row["click_to_call"]) == (
        answer.json["call"], f"amibridge-{answer.json['call'].removeprefix('pbx:')}",
    )  # fmt: skip
    record = await office.outgoing(
        anna, talk, external_number=CUSTOMER, phone=PHONE, caller="101", operators=["101"], hangup_by="customer",
        click_to_call=row["click_to_call"], ended_at=talk.ended_at,
    )  # fmt: skip
    assert record.call_id == row["call_id"]
    assert (row["outcome"], row["phone"], row["caller"], row["operators"]) == ("answered", PHONE, "101", ["101"])
    assert [str(one.kind) for one in bridge.kept.delivered if one.call == row["call_id"]].count("history") == 1


@WAYS
@pytest.mark.parametrize(
    ("who", "operator", "outside", "outcome", "reason"),
    [
        (NEVER_THERE, None, None, "cancelled", "unavailable"),
        ("101", 486, None, "cancelled", "busy"),
        ("101", 603, None, "cancelled", "declined"),
        ("101", None, 486, "busy", "busy"),
        ("101", None, 404, "failed", "unallocated"),
    ],
)
async def test_each_ending_is_told(
    office: Office, pool: asyncpg.Pool, way: str, who: str, operator: int | None, outside: int | None, outcome: str,
    reason: str,
) -> None:  # fmt: skip
    if operator is not None:
        office.phones["101"].on_call = lambda talk: talk.refuse(operator, "No")
    if outside is not None:
        office.outside.on_call = lambda talk: talk.refuse(outside, "No")
    async with bridging(pool, office.asterisk, way) as bridge:
        answer = await bridge.click(who)
        assert answer.status == 200
        if outside is not None:
            anna = await office.takes("101")
            await office.outside.is_called()
            await hangs_up(anna)
        [row] = await bridge.calls()
        await office.records()
    assert (row["call_id"], row["direction"], row["outcome"], row["reason"]) == (
        answer.json["call"], "outgoing", outcome, reason,
    )  # fmt: skip
    assert (row["caller"], row["external_number"], row["phone"]) == (who, CUSTOMER, PHONE)
    assert (row["click_to_call"], row["complete"], row["notes"]) == (
        f"amibridge-{answer.json['call'].removeprefix('pbx:')}", True, [],
    )  # fmt: skip


async def test_two_clicks_are_one_call_and_one_answer(office: Office, pool: asyncpg.Pool) -> None:
    async with bridging(pool, office.asterisk) as bridge:
        answers = await asyncio.gather(*(bridge.click(phone=phone) for phone in (CUSTOMER, PHONE, CUSTOMER)))
        assert [one.json for one in answers] == [answers[0].json] * 3
        anna = await office.called("101")
        await moment()
        assert len(office.phones["101"].talks) == 1
        await hangs_up(anna)
        assert [row["call_id"] for row in await bridge.calls()] == [answers[0].json["call"]]
    await office.records()


async def test_retailcrm_clicks(office: Office, pool: asyncpg.Pool) -> None:
    async with bridging(pool, office.asterisk) as bridge:
        query = urlencode({"clientId": "client-one", "userId": 27, "phone": "8 (916) 111-22-33"})
        answer = await bridge.site.ask(f"/retailcrm/{SECRET}/call?{query}")
        assert (answer.status, answer.body) == (200, b"OK")
        anna = await office.takes("101")
        talk = await office.takes("trunk")
        await hangs_up(anna, talk)
        [row] = await bridge.calls()
    assert (row["outcome"], row["phone"]) == ("answered", PHONE)
    await office.records()


@pytest.mark.parametrize(
    ("code", "phone"),
    [
        ("101&PJSIP/102", CUSTOMER), ("101\r\nAction: Originate", CUSTOMER), ("102@from-internal", CUSTOMER),
        ("101", "102"), ("101", "600"), ("101", "*8102"), ("101", "${EXTEN}"), ("101", f"{CUSTOMER}&{PHONE}"),
        ("101", f"{CUSTOMER}\r\nChannel: PJSIP/102"), ("101", f"{CUSTOMER}\0"), ("101", "8" * 4096),
    ],
)  # fmt: skip
async def test_what_is_no_extension_and_no_number_reaches_no_pbx(
    office: Office, pool: asyncpg.Pool, code: str, phone: str
) -> None:
    async with bridging(pool, office.asterisk) as bridge:
        before = len(office.ear.bytes)
        answer = await bridge.click(code, phone)
        assert (answer.status, answer.json["error"]) in ((400, "unknown_extension"), (400, "not_a_number"))
        await office.ear.send(ping())  # whatever Asterisk began before that has been told by now
        assert b"OriginateResponse" not in office.ear.bytes[before:]
        assert b"Newchannel" not in office.ear.bytes[before:]


async def test_an_account_that_may_not_call_is_an_error_that_says_so(office: Office, pool: asyncpg.Pool) -> None:
    async with bridging(pool, office.asterisk, account="all") as bridge:
        with capture_logs() as lines:
            answer = await bridge.click()
    assert (answer.status, answer.json) == (500, {"detail": "Call initiation failed: pbx: Permission denied"})
    assert [line["advice"] for line in lines if line["event"] == "call_not_placed"] == [
        "`write` of the AMI account needs originate"
    ]


async def test_a_link_that_is_down_is_an_error_at_once(office: Office, pool: asyncpg.Pool) -> None:
    async with bridging(pool, office.asterisk, account="nobody-of-that-name") as bridge:
        answer = await bridge.click()
        assert bridge.kept.states() == {"pbx": LinkState.REFUSED}
    assert (answer.status, answer.json) == (500, {"detail": "Call initiation failed: pbx: Authentication failed"})
