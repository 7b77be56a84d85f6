"""The dashboard is one that Grafana imports, of metrics that a running bridge tells."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.contrib.known import BY_PROMETHEUS, referred, unknown
from tests.contrib.promql import parse
from tests.house.source import ROOT
from tests.web.scraping import Scraped

FILE = ROOT / "contrib" / "grafana" / "amibridge.json"
DASHBOARD: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
PANELS = DASHBOARD["panels"]
SHOWING = [panel for panel in PANELS if panel["type"] != "row"]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def test_it_can_be_imported_anywhere() -> None:
    assert (DASHBOARD["uid"], DASHBOARD["title"]) == ("amibridge", "amibridge")
    assert "id" not in DASHBOARD, "that is a number in somebody's database"
    assert [one["name"] for one in DASHBOARD["templating"]["list"]] == ["datasource", "enterprise", "host"]
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for panel in SHOWING:
        assert panel["datasource"] == SOURCE
        assert [target["datasource"] for target in panel["targets"]] == [SOURCE] * len(panel["targets"])
        assert panel["title"]
        assert panel["description"]


def test_no_panel_lies_on_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


async def test_panels_name_what_a_running_bridge_tells(scraped: Scraped) -> None:
    wrong = {}
    queries = [(panel["title"], target) for panel in SHOWING for target in panel["targets"]]
    queries += [(one["name"], one) for one in DASHBOARD["annotations"]["list"]]
    for title, target in queries:
        if found := unknown(target["expr"], scraped):
            wrong[title] = found
        query = parse(target["expr"])
        first = next(one for one in scraped.values() if query.selectors[0].metric in one.names)
        labels = (query.labels - BY_PROMETHEUS) or first.labels | BY_PROMETHEUS
        assert referred(target.get("legendFormat", "")) <= labels, title
    assert len(queries) > 20
    assert wrong == {}


async def test_choices_come_from_what_a_running_bridge_tells(scraped: Scraped) -> None:
    for variable in DASHBOARD["templating"]["list"][1:]:
        found = re.fullmatch(r"label_values\((?P<of>.+), (?P<label>\w+)\)", variable["definition"])
        assert found is not None
        assert variable["query"]["query"] == variable["definition"]
        assert unknown(found["of"], scraped) == []
        [selector] = parse(found["of"]).selectors
        assert found["label"] in scraped[selector.metric].labels


async def test_every_metric_of_ours_is_shown(scraped: Scraped) -> None:
    shown = {
        selector.metric
        for panel in SHOWING
        for target in panel["targets"]
        for selector in parse(target["expr"]).selectors
    }
    ours = {name: one for name, one in scraped.items() if name.startswith("amibridge_")}
    assert [name for name, one in ours.items() if not one.names & shown] == []
