"""What Prometheus is told: every metric there is, made anew for each scrape from how things stand and what was counted.

Laws: nothing is kept here; labels are the enterprise, its host and words of closed sets, never a number that somebody
called; a metric that has nothing to say is named all the same, with its type and its help.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from amibridge import __version__
from amibridge.enterprises import CrmStanding, HistoryStanding, HostStanding, LinkState, WebhookStanding
from amibridge.store.outbox import Backlog, DeliveryStatus
from amibridge.store.recorder import FactQueue
from amibridge.web.health import Sources

CRM_STATES = ("well", "troubled", "paused")
PROCESS = ProcessCollector(registry=None)
WAITING = (DeliveryStatus.DUE, DeliveryStatus.PARKED)

Sample: TypeAlias = tuple[Sequence[str], float]


def metrics(sources: Sources, backlogs: Sequence[Backlog] | None) -> Iterator[Metric]:
    """All of them, one at a time. *backlogs* None: the database is away."""
    yield _gauge("amibridge_build_info", "The version that runs; always 1.", ["version"], [([__version__], 1)])
    text = "The longest time that the process stood still within the last minute or two."
    stall = sources.longest_stall().total_seconds()
    yield GaugeMetricFamily("amibridge_loop_longest_stall_seconds", text, value=stall)
    text = "1 while the database answers in time."
    yield GaugeMetricFamily("amibridge_database_up", text, value=float(backlogs is not None))
    crms = sources.crms()
    yield from _of_hosts(sources.hosts())
    yield from _of_crms(crms)
    yield from _of_histories(sources.histories())
    yield from _of_deliveries(crms, backlogs)
    yield from _of_webhooks(sources.webhooks(), backlogs)
    yield from _of_facts(sources.queue, crms)
    yield _gauge(
        "amibridge_event_streams",
        "Streams of events that are open.",
        ["enterprise"],
        (
            ([enterprise], many)
            for enterprise, many in ({one.enterprise: 0 for one in crms} | {**sources.streams()}).items()
        ),
    )
    yield from PROCESS.collect()


def _of_hosts(hosts: Sequence[HostStanding]) -> Iterator[Metric]:
    labels = ["enterprise", "host"]
    named = [([one.host.enterprise, one.host.name], one) for one in hosts]
    yield _gauge(
        "amibridge_ami_link_state",
        "How far we have come with a PBX: 1 for the state it is in, 0 for the others.",
        [*labels, "state"],
        (([*name, state], one.state is state) for name, one in named for state in LinkState),
    )
    yield _counter(
        "amibridge_ami_links_lost",
        "Connections to a PBX that were up and broke.",
        labels,
        ((name, one.tally.losses) for name, one in named),
    )
    yield _gauge(
        "amibridge_ami_lag_seconds",
        "How late the events of a PBX came at worst within the last minute or two, beside the quickest of late.",
        labels,
        ((name, one.lag.total_seconds()) for name, one in named),
    )
    yield _gauge(
        "amibridge_ami_clock_ahead_seconds",
        "By how much the clock of a PBX is ahead of ours, less the time that an event takes at least.",
        labels,
        ((name, one.ahead.total_seconds()) for name, one in named if one.ahead is not None),
    )
    yield _counter(
        "amibridge_ami_received_bytes",
        "Bytes that a PBX sent us.",
        labels,
        ((name, one.tally.received) for name, one in named),
    )
    yield _counter(
        "amibridge_ami_events",
        "Events that tell of calls, by Asterisk's name for them; others are not decoded, and not counted.",
        [*labels, "type"],
        (([*name, kind.__name__], count) for name, one in named for kind, count in one.tally.events.items()),
    )
    yield _counter(
        "amibridge_ami_garbled",
        "Messages of a PBX that could not be read.",
        labels,
        ((name, one.garbled) for name, one in named),
    )
    yield _counter(
        "amibridge_calls",
        "Calls that are over, by their direction and what became of them.",
        [*labels, "direction", "outcome"],
        (
            ([*name, direction, outcome or "unknown"], count)
            for name, one in named
            for (direction, outcome), count in one.tally.calls.items()
        ),
    )
    yield _counter(
        "amibridge_call_anomalies",
        "Changes of calls that were not understood, and calls whose direction could not be told.",
        labels,
        ((name, one.tally.anomalies) for name, one in named),
    )


def _of_crms(crms: Sequence[CrmStanding]) -> Iterator[Metric]:
    yield _gauge(
        "amibridge_crm_state",
        "How an enterprise stands with its CRM: 1 for the state, 0 for the others.",
        ["enterprise", "state"],
        (([one.enterprise, state], one.state == state) for one in crms for state in CRM_STATES),
    )
    yield _counter(
        "amibridge_crm_requests",
        "Requests to a CRM, by its answer: accepted, or what was wrong.",
        ["enterprise", "answer"],
        (([one.enterprise, answer], count) for one in crms for answer, count in one.answers.items()),
    )
    delays = HistogramMetricFamily(
        "amibridge_popup_delay_seconds",
        "From our hearing that a phone rings to the CRM's answer that it has the popup.",
        labels=["enterprise"],
    )
    for one in crms:
        spread = one.tally.popup_delays
        buckets = zip([*map(str, spread.bounds), "+Inf"], spread.at_most(), strict=True)
        delays.add_metric([one.enterprise], list(buckets), spread.sum)
    yield delays


def _of_histories(histories: Sequence[HistoryStanding]) -> Iterator[Metric]:
    labels = ["enterprise", "history"]
    named = [([one.enterprise, one.history], one) for one in histories]
    yield _gauge(
        "amibridge_crm_history_followed",
        "1 while customers or orders of a CRM can be read; 0 when not, or not yet.",
        labels,
        ((name, one.reason is None and one.read_at is not None) for name, one in named),
    )
    yield _gauge(
        "amibridge_crm_history_read_timestamp_seconds",
        "When the customers or orders of a CRM were last read.",
        labels,
        ((name, one.read_at.timestamp()) for name, one in named if one.read_at is not None),
    )


def _of_deliveries(crms: Sequence[CrmStanding], backlogs: Sequence[Backlog] | None) -> Iterator[Metric]:
    yield _counter(
        "amibridge_deliveries_settled",
        "What became of deliveries: sent, dropped, parked, or due again after a failure.",
        ["enterprise", "kind", "status"],
        (
            ([one.enterprise, kind, status], count)
            for one in crms
            for (kind, status), count in one.tally.settled.items()
        ),
    )
    labels = ["enterprise", "status"]
    rows: dict[tuple[str, str], int] = {}
    if backlogs is not None:  # nothing waits where nothing is said of it
        rows = {(one.enterprise, status): 0 for one in crms for status in WAITING}
        rows |= {(one.enterprise, one.status): one.rows for one in backlogs if not one.webhook}
    yield _gauge(
        "amibridge_deliveries",
        "Deliveries that wait to be told to a CRM (due), or for a person to look at them (parked).",
        labels,
        rows.items(),
    )
    yield _gauge(
        "amibridge_deliveries_oldest_timestamp_seconds",
        "Since when the oldest of those waits.",
        labels,
        (([one.enterprise, one.status], one.oldest.timestamp()) for one in backlogs or () if not one.webhook),
    )


def _of_webhooks(webhooks: Sequence[WebhookStanding], backlogs: Sequence[Backlog] | None) -> Iterator[Metric]:
    labels = ["enterprise", "webhook"]
    named = [([one.enterprise, one.webhook], one) for one in webhooks]
    yield _gauge(
        "amibridge_webhook_state",
        "How a webhook stands with its receiver: 1 for the state, 0 for the others.",
        [*labels, "state"],
        (([*name, state], one.state == state) for name, one in named for state in CRM_STATES),
    )
    yield _counter(
        "amibridge_webhook_events_settled",
        "What became of events told to a webhook: sent, parked, or due again after a failure.",
        [*labels, "status"],
        (([*name, status], count) for name, one in named for status, count in one.settled.items()),
    )
    rows: dict[tuple[str, ...], int] = {}
    if backlogs is not None:
        rows = {(*name, status): 0 for name, _ in named for status in WAITING}
        rows |= {(one.enterprise, one.webhook, one.status): one.rows for one in backlogs if one.webhook}
    yield _gauge(
        "amibridge_webhook_events",
        "Events that wait to be told to a webhook (due), or for a person to look at them (parked).",
        [*labels, "status"],
        rows.items(),
    )
    yield _gauge(
        "amibridge_webhook_events_oldest_timestamp_seconds",
        "Since when the oldest of those waits.",
        [*labels, "status"],
        (([one.enterprise, one.webhook, one.status], one.oldest.timestamp()) for one in backlogs or () if one.webhook),
    )


def _of_facts(queue: FactQueue, crms: Sequence[CrmStanding]) -> Iterator[Metric]:
    yield GaugeMetricFamily("amibridge_facts_waiting", "Facts that wait to be written.", value=len(queue))
    text = "For how many more facts there is room; without any, PBXs are let go of."
    yield GaugeMetricFamily("amibridge_facts_room", text, value=queue.room)
    yield CounterMetricFamily("amibridge_facts_written", "Facts that were written, or set aside.", value=queue.written)
    set_aside = {one.enterprise: 0 for one in crms} | queue.set_aside
    yield _counter(
        "amibridge_facts_rejected",
        "Facts that PostgreSQL would not take; they lie in rejected_facts.",
        ["enterprise"],
        (([enterprise], count) for enterprise, count in set_aside.items()),
    )


def _gauge(name: str, text: str, labels: Sequence[str], samples: Iterable[Sample]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in samples:
        family.add_metric(values, float(number))
    return family


def _counter(name: str, text: str, labels: Sequence[str], samples: Iterable[Sample]) -> Metric:
    """*name* without the ``_total`` with which it is told."""
    family = CounterMetricFamily(name, text, labels=labels)
    for values, number in samples:
        family.add_metric(values, float(number))
    return family
