"""The API does what its OpenAPI document says, whatever it is asked; and says so to people without a network."""

from __future__ import annotations

import asyncio
import re
import sys
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amibridge.calls.announcement import announced
from amibridge.calls.facts import AnyFact
from amibridge.web import access, streams
from amibridge.web.api.shapes import EventShape
from tests.store.said import ending, living
from tests.web.api_calls import HERE, THERE, introduce, live, some, token_of, whole, write
from tests.web.serving import Site, serving


@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_nothing_is_found_by_asking_everything(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    for name in ("OF_ADDRESS", "OF_CREDENTIAL", "GUESSES"):
        monkeypatch.setattr(access, name, (1e6, 10**9))
    for name in ("OF_TOKEN", "OF_ENTERPRISE", "OF_ALL"):
        monkeypatch.setattr(streams, name, sys.maxsize)
    async with serving(pool, streams_last=timedelta(milliseconds=20)) as site:
        introduce(site)
        site.trail._room = sys.maxsize
        await write(pool, [*some(60), whole()])
        await write(pool, some(10), THERE)
        site.live_calls[HERE] = [live("pbx1:live")]
        examples = pytestconfig.getoption("--api-examples")
        command = [
            sys.executable, "-m", "schemathesis.cli", "run", f"http://{site.host}:{site.port}/openapi.json",
            "--header", f"Authorization: Bearer {token_of(HERE)}", "--max-examples", str(examples),
            "--phases", "examples,coverage,fuzzing,stateful", "--mode", "all", "--checks", "all",
            "--suppress-health-check", "all", "--generation-database", "none", "--no-color", "--continue-on-failure",
        ]  # fmt: skip
        document = (await site.ask("/openapi.json")).json
        work = await asyncio.create_subprocess_exec(
            *command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        said = (await work.communicate())[0].decode()
        assert work.returncode == 0, said[-6000:]
        asked = len(site.trail)
    print(f"{asked} answers to whom may ask; {said[-800:]}")
    assert asked > 3 * examples
    every = len(document["paths"])
    assert re.search(rf"\b{every} (selected|tested)|\b{every} ?/ ?{every}\b", said), said[-3000:]


@given(living | ending, st.integers(1, 2**63 - 1))
def test_the_schema_of_an_event_is_that_of_the_announcement(fact: AnyFact, seq: int) -> None:
    told = announced(seq, fact)
    assert list(told) == list(EventShape.model_fields)
    EventShape.model_validate(told)  # which takes no key more, and none less


@pytest.mark.postgres
async def test_the_page_needs_nothing_from_elsewhere(site: Site) -> None:
    answer = await site.ask("/docs")
    page = answer.body.decode()
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert re.findall(r"(?:src|href)=\"(?!#)([^\"]*)\"", page) == ["openapi.json"]
    assert "<script" not in page
    assert "`" not in page, "marks of the documents are shown as they are"
    document = (await site.ask("/openapi.json")).json
    for path, methods in document["paths"].items():
        assert path in page
        for parameter in methods["get"]["parameters"]:
            assert f"<code>{parameter['name']}</code>" in page
    for name in document["components"]["schemas"]:
        assert f'id="{name}"' in page
