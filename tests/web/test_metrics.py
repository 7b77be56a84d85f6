"""What Prometheus is told is how things stand: every metric, by its own parser, over a real socket."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import get_args

import asyncpg
import pytest

from amibridge import __version__
from amibridge.ami.events import AmiEvent
from amibridge.delivery.standing import Mood
from amibridge.enterprises import EnterpriseId, LinkState
from amibridge.web.metrics import CRM_STATES
from tests.house.source import ROOT
from tests.runtime.following import host_at
from tests.store.proxy import Proxy
from tests.web.scraping import HOST, NOW, Scraped, crm_standing, fill, host_standing, scrape
from tests.web.serving import Site

HOST_LABELS = {"enterprise": "0123", "host": "pbx1"}
OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")


@pytest.fixture
async def scraped(site: Site, pool: asyncpg.Pool) -> Scraped:
    await fill(site, pool)
    return await scrape(site)


async def test_a_pbx(scraped: Scraped) -> None:
    states = {
        state: scraped.value("amibridge_ami_link_state", **HOST_LABELS, state=state)
        for state in ("connecting", "up", "unreachable", "refused", "lost")
    }
    assert states == {"connecting": 0, "up": 1, "unreachable": 0, "refused": 0, "lost": 0}
    assert scraped.value("amibridge_ami_links_lost_total", **HOST_LABELS) == 1
    assert scraped.value("amibridge_ami_lag_seconds", **HOST_LABELS) == 0.25
    assert scraped.value("amibridge_ami_clock_ahead_seconds", **HOST_LABELS) == -1.5
    assert scraped.value("amibridge_ami_received_bytes_total", **HOST_LABELS) == 512
    assert scraped.value("amibridge_ami_events_total", **HOST_LABELS, type="Hangup") == 1
    assert scraped.value("amibridge_ami_garbled_total", **HOST_LABELS) == 4
    assert scraped.value("amibridge_call_anomalies_total", **HOST_LABELS) == 3
    assert scraped.value("amibridge_calls_total", **HOST_LABELS, direction="incoming", outcome="answered") == 2


async def test_a_crm(scraped: Scraped) -> None:
    states = [
        scraped.value("amibridge_crm_state", enterprise="0123", state=one) for one in ("well", "troubled", "paused")
    ]
    assert states == [1, 0, 0]
    assert tuple(Mood) == CRM_STATES
    assert scraped.value("amibridge_crm_requests_total", enterprise="0123", answer="busy") == 1
    delays = {
        bound: scraped.value("amibridge_popup_delay_seconds_bucket", enterprise="0123", le=bound)
        for bound in ("0.1", "0.25", "0.5", "10.0", "+Inf")
    }
    assert delays == {"0.1": 1, "0.25": 1, "0.5": 2, "10.0": 2, "+Inf": 3}
    assert scraped.value("amibridge_popup_delay_seconds_count", enterprise="0123") == 3
    assert scraped.value("amibridge_popup_delay_seconds_sum", enterprise="0123") == pytest.approx(30.35)


async def test_a_webhook(scraped: Scraped) -> None:
    labels = {"enterprise": "0123", "webhook": "erp"}
    states = [scraped.value("amibridge_webhook_state", **labels, state=state) for state in CRM_STATES]
    assert states == [0, 1, 0]
    assert scraped.value("amibridge_webhook_events_settled_total", **labels, status="sent") == 3
    assert scraped.value("amibridge_webhook_events", **labels, status="due") == 1
    assert scraped.value("amibridge_webhook_events", **labels, status="parked") == 0
    oldest = scraped.value("amibridge_webhook_events_oldest_timestamp_seconds", **labels, status="due")
    assert oldest == pytest.approx(NOW.timestamp(), abs=0.001)


async def test_histories(scraped: Scraped) -> None:
    for history, followed, read_at in (("customers", 1, NOW.timestamp()), ("orders", 0, None)):
        labels = {"enterprise": "0123", "history": history}
        assert scraped.value("amibridge_crm_history_followed", **labels) == followed
        assert scraped.value("amibridge_crm_history_read_timestamp_seconds", **labels) == read_at


async def test_deliveries(scraped: Scraped) -> None:
    settled = {"enterprise": "0123", "kind": "history", "status": "parked"}
    assert scraped.value("amibridge_deliveries_settled_total", **settled) == 1
    due, parked = ({"enterprise": "0123", "status": status} for status in ("due", "parked"))
    assert scraped.value("amibridge_deliveries", **due) == 3
    assert scraped.value("amibridge_deliveries", **parked) == 0
    assert scraped.value("amibridge_deliveries_oldest_timestamp_seconds", **due) == NOW.timestamp()
    assert scraped.value("amibridge_deliveries_oldest_timestamp_seconds", **parked) is None


async def test_the_process(scraped: Scraped) -> None:
    assert scraped.value("amibridge_build_info", version=__version__) == 1
    assert scraped.value("amibridge_database_up") == 1
    assert scraped.value("amibridge_facts_waiting") == 1
    assert scraped.value("amibridge_facts_room") == 49_999
    assert scraped.value("amibridge_facts_written_total") == 0
    assert scraped.value("amibridge_facts_rejected_total", enterprise="0123") == 2
    assert scraped.value("amibridge_loop_longest_stall_seconds") == 0.012
    begun = scraped.value("process_start_time_seconds")
    assert begun is not None
    assert begun < datetime.now(UTC).timestamp()


async def test_the_manual_explains_every_metric_and_no_other(scraped: Scraped) -> None:
    rows = re.findall(r"^\| `((?:amibridge|process)_\w+)` \| (\w+) \|([^|]*)\|", OPERATIONS, re.MULTILINE)
    explained = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert len(explained) == len(rows), "some metric is explained twice"
    told = {one.name: (one.type, one.labels - {"le"}) for one in scraped.values()}
    assert explained == told


async def test_names_keep_to_the_customs_of_prometheus(scraped: Scraped) -> None:
    for one in scraped.values():
        assert re.fullmatch("(amibridge|process)(_[a-z]+)+", one.name)
        assert one.name.endswith("_total") == (one.type == "counter"), one.name
        assert not re.search("_(ms|milliseconds|minutes|kb)$", one.name), one.name
        assert one.help.endswith((".", "rejected_facts.")) or one.name.startswith("process_"), one.name


async def test_there_are_never_many_whatever_the_world_sends(site: Site) -> None:
    site.standings = [host_standing(get_args(AmiEvent))]
    site.crms = [crm_standing()]
    scraped = await scrape(site)
    assert len(scraped["amibridge_ami_events_total"].samples) == len(get_args(AmiEvent)) < 30
    assert {label for one in scraped.values() for label in one.labels} <= {
        *("enterprise", "host", "state", "type", "direction", "outcome", "answer", "history", "kind", "status"),
        *("version", "le"),
    }


async def test_nothing_to_tell_is_told_too(site: Site) -> None:
    scraped = await scrape(site)
    assert scraped["amibridge_calls_total"].samples == {}
    assert scraped["amibridge_crm_requests_total"].help
    assert scraped.value("amibridge_database_up") == 1


async def test_names_of_any_letters_break_no_line(site: Site) -> None:
    name = 'pbx"1\\\n# HELP x'
    host = replace(host_at(("10.0.0.5", 5038), name), enterprise=EnterpriseId("}\n"))
    site.standings = [replace(host_standing(), host=host)]
    scraped = await scrape(site)
    assert scraped.value("amibridge_ami_links_lost_total", enterprise="}\n", host=name) == 1


async def test_without_a_database_all_else_is_told(far_site: Site, way: Proxy) -> None:
    far_site.standings = [replace(host_standing(), state=LinkState.LOST)]
    far_site.crms = [crm_standing()]
    way.close()
    scraped = await scrape(far_site)
    assert scraped.value("amibridge_database_up") == 0
    assert scraped.value("amibridge_ami_link_state", enterprise="0123", host=HOST.name, state="lost") == 1
    assert scraped["amibridge_deliveries"].samples == {}, "nobody knows"
