"""Links to the recordings of a call, as other software asks for them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.web.api_calls import THERE, bearer, introduce
from tests.web.recorded import CALL, NUMBER, Known, sound
from tests.web.serving import PUBLIC_URL, Site

pytestmark = pytest.mark.postgres

LEGS = ("/var/spool/asterisk/monitor/one.wav", "/var/spool/asterisk/monitor/two.wav")


async def recordings(site: Site, call: str = CALL, **more: Any) -> list[dict[str, Any]]:
    answer = await site.ask(f"/api/v1/calls/{call}/recordings", headers=bearer(**more))
    assert answer.status == 200, answer.json
    told: list[dict[str, Any]] = answer.json["recordings"]
    return told


async def test_each_leg_can_be_heard_by_its_link_without_a_token(site: Site, known: Known, folder: Path) -> None:
    sounds = [sound(folder / name, seconds) for name, seconds in (("one.wav", 0.5), ("two.wav", 1.0))]
    await known(*LEGS)
    introduce(site)
    told = await recordings(site)
    assert [(one["number"], one["path"]) for one in told] == list(enumerate(LEGS, 1))
    for one, wav in zip(told, sounds, strict=True):
        assert (await site.ask(one["url"].removeprefix(PUBLIC_URL) + "?format=wav")).body == wav
        good_for = datetime.fromisoformat(one["expires_at"]) - datetime.now(UTC)
        assert timedelta(hours=23) < good_for <= timedelta(days=1)


async def test_a_link_is_there_before_the_file_is(site: Site, known: Known) -> None:
    await known()
    introduce(site)
    [one] = await recordings(site)
    answer = await site.ask(one["url"].removeprefix(PUBLIC_URL))
    assert (answer.status, answer.json["error"]) == (503, "not_ready")


@pytest.mark.parametrize(
    "case", [{"recordings": None}, {"keep": timedelta(days=2), "over_for": timedelta(days=3)}], ids=["nowhere", "gone"]
)
async def test_what_cannot_be_heard_has_no_link(site: Site, known: Known, case: dict[str, Any]) -> None:
    await known(**case)
    introduce(site)
    [one] = await recordings(site)
    assert (one["url"], one["expires_at"]) == (None, None)


async def test_no_link_outlives_its_recording(site: Site, known: Known) -> None:
    await known(keep=timedelta(hours=3), over_for=timedelta(hours=2))
    introduce(site)
    [one] = await recordings(site)
    assert datetime.fromisoformat(one["expires_at"]) - datetime.now(UTC) <= timedelta(hours=1)


async def test_nobody_elses_and_none_without_the_scope(site: Site, known: Known, pool: asyncpg.Pool) -> None:
    await known()
    introduce(site)
    path = f"/api/v1/calls/{CALL}/recordings"
    elsewhere = await site.ask(path, headers=bearer(THERE))
    assert (elsewhere.status, elsewhere.json["error"]) == (404, "unknown_call")
    here = site.tenants.of_number(NUMBER)
    assert here is not None
    refused = await site.ask(path, headers={"Authorization": f"Bearer {here.client_id}"})
    assert (refused.status, refused.json["error"]) == (403, "wrong_scope")
    for id in ("pbx1:none", "..%2f..", "%00", "x" * 300, "$%7BEXTEN%7D"):
        answer = await site.ask(f"/api/v1/calls/{id}/recordings", headers=bearer())
        assert answer.status in (400, 404), id
        assert answer.json["success"] is False, id
