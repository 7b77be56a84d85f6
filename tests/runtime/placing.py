"""A PBX on paper for an Originator under test: it takes on what it is asked, or fails as it is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import asyncpg

from amibridge.ami.actions import Action
from amibridge.ami.errors import AmiError
from amibridge.ami.session import Reply
from amibridge.ami.wire import Message
from amibridge.calls.clicks import Click
from amibridge.calls.numbering import Numbering
from amibridge.enterprises import AmiHost, Enterprise, EnterpriseId, HostName, HostStanding, LinkState
from amibridge.runtime.originate import Originator
from tests.store.enterprises import romashka

PHONE = "+375291234567"
CLICK = Click("101", PHONE, "api")


class PaperPbx:
    """*asked*: each action, and by which host. *fails*: what the next ones raise."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Action]] = []
        self.fails: AmiError | None = None
        self.down: set[str] = set()

    async def send(self, host: AmiHost, action: Action) -> Reply:
        self.asked.append((host.enterprise, host.name, action))
        if self.fails is not None:
            raise self.fails
        return Reply("", True, Message({}, {}))

    @property
    def headers(self) -> dict[str, list[str]]:
        """Of the one action that there was."""
        [(_, _, action)] = self.asked
        found: dict[str, list[str]] = {}
        for name, value in action.headers:
            found.setdefault(name, []).append(value)
        return found


def shop(number: str = "0123", *names: str) -> Enterprise:
    """With hosts of these names, all of one numbering."""
    enterprise = romashka(number)
    [host] = enterprise.hosts
    names = names or ("pbx1",)
    hosts = tuple(replace(host, name=HostName(name), numbering=Numbering(r"^\d{3}$", (), "BY")) for name in names)
    return replace(enterprise, hosts=hosts)


def originator(pool: asyncpg.Pool, pbx: PaperPbx, *names: str) -> Originator:
    def standings() -> list[HostStanding]:
        now = datetime.now(UTC)
        return [
            HostStanding(one, LinkState.LOST if one.name in pbx.down else LinkState.UP, now, None, "", 0, 0)
            for one in shop("0123", *names).hosts
        ]

    return Originator(pool, pbx.send, standings)


async def customer(pool: asyncpg.Pool, number: str, id: int, name: str, phone: str = PHONE) -> None:
    """Somebody whom the mirror knows."""
    await pool.execute(
        "INSERT INTO crm_customers (enterprise_id, customer_id, name, is_contact, vip, seen_at) "
        "VALUES ($1, $2, $3, false, false, now())",
        EnterpriseId(number), id, name,
    )  # fmt: skip
    await pool.execute(
        "INSERT INTO crm_phones (enterprise_id, phone, customer_id) VALUES ($1, $2, $3)",
        EnterpriseId(number),
        phone,
        id,
    )
