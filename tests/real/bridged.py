"""The parts of a daemon that a question by HTTP goes through, before a real Asterisk."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import asyncpg

from amibridge.ami.errors import LinkLost
from amibridge.calls.board import Board
from amibridge.calls.conversations import Conversation
from amibridge.calls.record import Extension
from amibridge.enterprises import Account, AmiHost, Enterprise, EnterpriseId, HostName, LinkState, Operator
from amibridge.redact import Secret
from amibridge.runtime.fetching import Fetcher
from amibridge.runtime.one_at_a_time import OneAtATime
from amibridge.runtime.originate import Originator
from amibridge.runtime.parking import Parker
from amibridge.runtime.transfer import Transferor
from amibridge.store.directory import Directory
from tests.delivery.waiting import until
from tests.real.asterisk import BRIDGE, Asterisk
from tests.real.office import CUSTOMER
from tests.runtime.keeping import KEYRING, Kept, keeping
from tests.web.serving import Answer, Site, serving

NUMBER = EnterpriseId("0123")
SECRET = "hush-webhook-secret"


@dataclass
class Bridge:
    pool: asyncpg.Pool
    kept: Kept
    site: Site

    async def click(self, code: str = "101", phone: str = CUSTOMER, **more: Any) -> Answer:
        query = urlencode({"code": code, "phone": phone, "clientId": "client-one"})
        return await self.site.ask(f"/api/makecallexternal?{query}", **more)

    async def transfer(self, step: str, from_: str = "101", to: str | None = None, **more: str) -> Answer:
        query = {"transfer_type": step, "from_ext": from_, "clientId": "client-one"} | more
        return await self.site.ask(f"/api/transfer?{urlencode(query if to is None else query | {'to_ext': to})}")

    async def park(self, from_: str = "101", **more: str) -> Answer:
        query = {"from_ext": from_, "clientId": "client-one"} | more
        return await self.site.ask(f"/api/park?{urlencode(query)}")

    async def pickup(self, from_: str, **more: str) -> Answer:
        query = {"from_ext": from_, "clientId": "client-one"} | more
        return await self.site.ask(f"/api/pickup?{urlencode(query)}")

    def conversations(self, extension: str) -> list[Conversation]:
        return self.board.conversations(Extension(extension))

    def cut(self) -> None:
        """The link to the PBX breaks; it comes back by itself."""
        for running in self.kept.keeper._running.values():
            link = running.follower._link
            assert link is not None
            link.lose(LinkLost("cut by a test"))

    @property
    def is_up(self) -> bool:
        return self.kept.all_up("pbx")

    @property
    def board(self) -> Board:
        [standing] = self.kept.keeper.standings()
        return self.kept.keeper.board(standing.host)

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
        Secret(SECRET), operators={one: Operator(one, 27) for one in (Extension("101"), Extension("vera"))},
    )  # fmt: skip
    await Directory(pool, KEYRING).apply(enterprise)
    async with keeping(pool) as kept, serving(pool) as site:
        await until(lambda: kept.states().get("pbx") in (LinkState.UP, LinkState.REFUSED))
        site.tenants.enterprises([enterprise])
        site.call = Originator(pool, kept.keeper.send, kept.keeper.standings).call
        turns = OneAtATime()
        site.transfer = Transferor(kept.keeper.send, kept.keeper.board, turns).transfer
        site.park = Parker(kept.keeper.send, kept.keeper.board, turns).park
        site.fetch = Fetcher(kept.keeper.send, kept.keeper.board, turns).fetch
        yield Bridge(pool, kept, site)
