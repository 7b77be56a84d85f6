"""The alert rules say what Prometheus accepts, of metrics that a running bridge tells, and what to do."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from amibridge.cli import COMMANDS
from tests.contrib.known import BY_PROMETHEUS, referred, unknown
from tests.contrib.promql import parse
from tests.house.source import ROOT
from tests.house.test_docs import explained
from tests.web.scraping import Scraped

FILE = ROOT / "contrib" / "prometheus" / "amibridge.rules.yml"
DURATION = re.compile(r"(?:\d+[smhd])+")


class Strict(yaml.SafeLoader):
    """Takes no key twice, as Prometheus does not."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"a key twice, {node.start_mark}"
        return super().construct_mapping(node, deep)


def rules() -> Iterator[dict[str, Any]]:
    document = yaml.load(FILE.read_text("utf-8"), Strict)
    assert document.keys() == {"groups"}
    for group in document["groups"]:
        assert group.keys() == {"name", "rules"}
        yield from group["rules"]


RULES = {rule["alert"]: rule for rule in rules()}


def test_no_alert_is_there_twice() -> None:
    assert len(RULES) == len(list(rules())) > 15


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_rule_has_the_form_that_prometheus_reads(rule: dict[str, Any]) -> None:
    assert (
        {"alert", "expr", "labels", "annotations"} <= rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    )
    assert re.fullmatch("Amibridge[A-Z][A-Za-z]+", rule["alert"])
    assert DURATION.fullmatch(rule.get("for", "0s"))
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert {"summary", "action"} <= rule["annotations"].keys() <= {"summary", "description", "action"}
    assert all(isinstance(text, str) and text for text in rule["annotations"].values())


async def test_rules_name_what_a_running_bridge_tells(scraped: Scraped) -> None:
    assert {name: wrong for name, rule in RULES.items() if (wrong := unknown(rule["expr"], scraped))} == {}


async def test_sentences_name_labels_that_are_there(scraped: Scraped) -> None:
    for rule in RULES.values():
        query = parse(rule["expr"])
        named = {name for text in rule["annotations"].values() for name in referred(text)}
        [first, *_] = query.selectors
        own = next(one.labels for one in scraped.values() if first.metric in one.names) | BY_PROMETHEUS
        grouped = query.labels - BY_PROMETHEUS
        assert named <= (grouped or own), rule["alert"]


def test_what_to_do_can_be_done() -> None:
    """Commands and lines of the log that the sentences name are there."""
    text = " ".join(text for rule in RULES.values() for text in rule["annotations"].values())
    assert set(re.findall(r"amibridge (doctor|deliveries|enterprise|retailcrm)", text)) <= {
        c.split()[0] for c in COMMANDS
    }
    events = {event for event, _ in explained()} | {"rejected_facts", "amibridge_crm_requests_total"}
    assert set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", text)) <= events


def test_the_test_sees_a_rule_that_names_nothing() -> None:
    scraped = Scraped()
    assert unknown("amibridge_none > 1", scraped) == ["amibridge_none: no such metric"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool here")
@pytest.mark.parametrize("what", ["rules", "metrics"])
async def test_prometheus_itself_finds_nothing_to_say(scraped: Scraped, what: str) -> None:
    command = ["promtool", "check", what, *([str(FILE)] if what == "rules" else [])]
    tool = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await tool.communicate(scraped.text.encode())
    assert tool.returncode == 0, said.decode()
