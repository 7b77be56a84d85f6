"""Whether a query names what there is: metrics, their labels, and those words that a label can be."""

from __future__ import annotations

import re

from amibridge.delivery.policy import ANSWERS
from amibridge.delivery.standing import Mood
from amibridge.enterprises import LinkState
from amibridge.retailcrm.client import ABANDONED, ACCEPTED
from amibridge.store.outbox import DeliveryStatus
from tests.contrib.promql import parse
from tests.web.scraping import Scraped

BY_PROMETHEUS = {"instance", "job"}
"""Labels that it gives itself to everything that it scrapes."""

WORDS: dict[tuple[str, str], set[str]] = {
    ("amibridge_ami_link_state", "state"): set(LinkState),
    ("amibridge_crm_state", "state"): set(Mood),
    ("amibridge_crm_requests_total", "answer"): {ACCEPTED, ABANDONED, *(error.kind for error in ANSWERS)},
    ("amibridge_webhook_state", "state"): set(Mood),
    ("amibridge_webhook_events", "status"): {DeliveryStatus.DUE, DeliveryStatus.PARKED},
    ("amibridge_webhook_events_oldest_timestamp_seconds", "status"): {DeliveryStatus.DUE, DeliveryStatus.PARKED},
    ("amibridge_deliveries", "status"): {DeliveryStatus.DUE, DeliveryStatus.PARKED},
    ("amibridge_deliveries_oldest_timestamp_seconds", "status"): {DeliveryStatus.DUE, DeliveryStatus.PARKED},
}


def unknown(text: str, scraped: Scraped) -> list[str]:
    """What *text* names and is not there. Raises ValueError when it is no query."""
    query, found, labels = parse(text), [], set(BY_PROMETHEUS)
    for selector in query.selectors:
        told = next((one for one in scraped.values() if selector.metric in one.names), None)
        if told is None:
            found.append(f"{selector.metric}: no such metric")
            continue
        if selector.over != (told.type in ("counter", "histogram")) and "changes(" not in text:
            found.append(f"{selector.metric}: a {told.type} read {'over a range' if selector.over else 'at once'}")
        own = told.labels | BY_PROMETHEUS
        labels |= own
        for label, _, words in selector.matchers:
            if label not in own:
                found.append(f"{selector.metric}: no label {label}")
            elif not words.startswith("$"):
                never = set(words.split("|")) - WORDS[selector.metric, label]
                found += [f"{selector.metric}: {label} is never {word}" for word in sorted(never)]
    return found + [f"no label {label}" for label in query.labels - labels]


def referred(text: str) -> set[str]:
    """The labels that a template of Prometheus's or Grafana's puts into a sentence."""
    return set(re.findall(r"\{\{ ?(?:\$labels\.)?(\w+) ?\}\}", text))
