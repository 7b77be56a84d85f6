"""The two companies of the demo: who works there, which recorded PBXs they have, their accounts in the sandbox CRM."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from amibridge.calls.record import Extension
from amibridge.enterprises import Account, AmiHost, Enterprise, EnterpriseId, HostName, Line, MissedCalls, Operator
from amibridge.redact import Secret
from amibridge.sandbox.library import demo_traces
from amibridge.sandbox.retailcrm import SandboxAccount, SandboxUser

USERNAME, SECRET = "amibridge", "demo"
"""How the bridge logs in to each sandbox PBX."""

PEOPLE: Mapping[Extension, tuple[int, str]] = {
    Extension("101"): (27, "Анна Сидорова"),
    Extension("102"): (31, "Борис Иванов"),
    Extension("103"): (35, "Клара Вебер"),
}
SOON = timedelta(seconds=3)
"""After a missed call: whoever looks at a demo waits no three minutes."""
CUSTOMERS = {"+79161234567": "Иван Петров"}
LINE = "74951110001"


@dataclass(frozen=True, slots=True)
class Shop:
    """*hosts*: names of recorded PBXs. *mapped*: extensions whose CRM user the bridge is told; others go by code."""

    number: EnterpriseId
    name: str
    zone: ZoneInfo
    region: str
    hosts: tuple[HostName, ...]
    mapped: tuple[Extension, ...]

    def traces(self) -> list[Path]:
        return [trace for host in self.hosts for trace in demo_traces()[host]]

    def account(self) -> SandboxAccount:
        """A new account in the sandbox CRM, with a key of its own."""
        return SandboxAccount(
            site=f"shop-{self.number}",
            api_key=secrets.token_hex(16),
            time_zone=self.zone,
            users=[SandboxUser(user, name, extension) for extension, (user, name) in PEOPLE.items()],
            name=self.name,
            customers=CUSTOMERS,
        )

    def enterprise(
        self, account: SandboxAccount, crm_url: str, addresses: Mapping[HostName, tuple[str, int]], recordings: Path
    ) -> Enterprise:
        """What the bridge is told about this shop."""
        return Enterprise(
            id=self.number,
            name=self.name,
            account=Account(crm_url, Secret(account.api_key), account.site),
            hosts=tuple(
                AmiHost(self.number, host, *addresses[host], USERNAME, Secret(SECRET), recordings=str(recordings))
                for host in self.hosts
            ),
            client_id=f"demo-{self.number}",
            webhook_secret=Secret(""),
            region=self.region,
            operators={one: Operator(one, *PEOPLE[one]) for one in self.mapped},
            lines={LINE: Line(LINE, account.site, "Москва")},
            create_tasks=True,
            missed_calls=MissedCalls(wait=SOON, performer=PEOPLE[Extension("101")][0]),
        )


SHOPS = (
    Shop(
        EnterpriseId("0123"),
        "Ромашка",
        ZoneInfo("Europe/Moscow"),
        "RU",
        (HostName("asterisk22"), HostName("asterisk16-chan_sip")),
        (Extension("101"), Extension("102")),
    ),
    Shop(EnterpriseId("0124"), "Василёк", ZoneInfo("Europe/Minsk"), "BY", (HostName("asterisk16"),), ()),
)
