"""A site with something to tell of everything, and what Prometheus reads there, by its own parser."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import asyncpg
from prometheus_client.parser import text_string_to_metric_families

from amibridge.ami.events import AmiEvent, Hangup, Newchannel
from amibridge.calls.notices import NoticeKind
from amibridge.calls.record import Direction, Outcome
from amibridge.enterprises import (
    CrmStanding,
    EnterpriseId,
    HistoryStanding,
    HostStanding,
    LinkState,
    Webhook,
    WebhookStanding,
)
from amibridge.store.directory import Directory
from amibridge.store.ledger import HeardFact, Ledger
from amibridge.store.webhooks import make_secret
from amibridge.tallies import CrmTally, HostTally
from tests.delivery.rows import ended, record
from tests.runtime.following import host_at
from tests.store.enterprises import romashka
from tests.web.serving import KEYRING, Site

NOW = datetime.now(UTC)
NUMBER = EnterpriseId("0123")
HOST = host_at(("10.0.0.5", 5038), "pbx1", NUMBER)


@dataclass(frozen=True)
class Told:
    """One metric. *name* and *samples* as they stand in the text; *labels*: of all its samples."""

    name: str
    type: str
    help: str
    samples: Mapping[tuple[str, frozenset[tuple[str, str]]], float]

    @property
    def labels(self) -> set[str]:
        return {label for _, labels in self.samples for label, _ in labels}

    @property
    def names(self) -> set[str]:
        """Those that a query may name."""
        return {name for name, _ in self.samples} or {self.name}


class Scraped(dict[str, Told]):
    """What was read, by name; *text*: as it was told."""

    text = ""

    def value(self, name: str, /, **labels: str) -> float | None:
        """Of one sample; None if there is none."""
        for told in self.values():
            if (name, frozenset(labels.items())) in told.samples:
                return told.samples[name, frozenset(labels.items())]
        return None

    @property
    def names(self) -> set[str]:
        return {name for told in self.values() for name in told.names}


def read(text: str) -> Scraped:
    scraped = Scraped()
    scraped.text = text
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        samples = {(one.name, frozenset(one.labels.items())): one.value for one in family.samples}
        assert len(samples) == len(family.samples), f"{name} says something twice"
        assert name not in scraped, f"{name} is told twice"
        scraped[name] = Told(name, family.type, family.documentation, samples)
    return scraped


async def scrape(site: Site) -> Scraped:
    answer = await site.ask("/metrics")
    assert answer.status == 200, answer.body
    return read(answer.body.decode())


def host_standing(events: Iterable[type[AmiEvent]] = (Newchannel, Hangup)) -> HostStanding:
    tally = HostTally(Counter(events), Counter({(Direction.INCOMING, Outcome.ANSWERED): 2}), 512, 1, 3)
    late, ahead = timedelta(seconds=0.25), timedelta(seconds=-1.5)
    return HostStanding(HOST, LinkState.UP, NOW, None, "11.0.0", tally.events.total(), 4, late, ahead, tally)


def crm_standing(state: str = "well") -> CrmStanding:
    tally = CrmTally()
    tally.settled[NoticeKind.HISTORY, "parked"] += 1
    for seconds in (0.05, 0.3, 30):
        tally.popup_delays.add(seconds)
    return CrmStanding(NUMBER, state, NOW, None, tally, {"accepted": 7, "busy": 1})


async def fill(site: Site, pool: asyncpg.Pool) -> None:
    """Something to tell in every metric."""
    heard = HeardFact(NUMBER, HOST.name, ended(record("pbx1:1.1")), NOW)
    erp = Webhook("erp", "http://10.0.0.7/", make_secret())
    await Directory(pool, KEYRING).apply(replace(romashka(NUMBER), create_orders=False, webhooks=(erp,)))
    await Ledger(pool).record([heard])
    site.standings = [host_standing()]
    site.crms = [crm_standing()]
    site.histories = [
        HistoryStanding(NUMBER, "customers", NOW, None),
        HistoryStanding(NUMBER, "orders", None, "Access denied."),
    ]
    site.webhooks = [WebhookStanding(NUMBER, "erp", "troubled", NOW, "500", {"sent": 3, "due": 1})]
    site.queue.put(heard)
    site.queue.set_aside[NUMBER] += 2
    site.stall = timedelta(milliseconds=12)
