"""`amibridge doctor N --live`: what people and machines read, and that nothing is written unless somebody says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from amibridge.doctor.live.assumptions import ASSUMPTIONS
from amibridge.doctor.live.examination import ask_live
from amibridge.sandbox.crm_ways import Otherwise
from amibridge.sandbox.retailcrm import SandboxCrm
from tests.cli.commanding import Amibridge
from tests.cli.enterprise_files import EXAMPLE, written
from tests.doctor.shop import FAST, lived_in, shop
from tests.sandbox.crm_asker import KEY


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amibridge.doctor.examination.ask_live", partial(ask_live, settings=FAST))


@pytest.fixture
async def crm(amibridge: Amibridge, at_database: str, tmp_path: Path) -> AsyncIterator[SandboxCrm]:
    """With an enterprise of its own, 0123; its search finds nobody by phone."""
    crm = SandboxCrm([shop(otherwise=frozenset({Otherwise.SEARCH_BY_NAME_ALONE, Otherwise.SMALL_PAGES}))])
    lived_in(crm.account(KEY))
    async with crm.serve() as url:
        text = EXAMPLE.replace("https://romashka.retailcrm.ru", url).replace("hush-key", KEY)
        text = text.replace('"10.0.0.5"', '"127.0.0.1"').replace("5039", "9").replace('"BY"', '"RU"')
        assert (await amibridge.beside("enterprise", "apply", written(tmp_path, text))).code == 0
        yield crm


async def test_people_read_what_was_assumed_asked_and_answered(amibridge: Amibridge, crm: SandboxCrm) -> None:
    done = await amibridge.beside("doctor", "0123", "--live")
    lines = [line[6:].strip() if line[0] != " " else line.strip() for line in done.out.splitlines()]
    place = next(number for number, line in enumerate(lines) if line.startswith("0123 phone search"))
    assert lines[place].split("  ")[-1].strip() == "DIFFERENT"
    assert [line.partition(" ")[0] for line in lines[place + 1 : place + 5]] == ["assumed:", "asked:", "answered:", "→"]
    assert lines[place + 3].startswith("answered: it finds 0; ")
    assert lines[place + 4].startswith("→ tell the developers; meanwhile create_customers = false")
    assert "could not be asked" in done.sentences[-1]
    assert done.code == 1


async def test_machines_read_a_line_for_each_assumption(amibridge: Amibridge, crm: SandboxCrm) -> None:
    done = await amibridge.beside("doctor", "0123", "--live", "--json")
    live = [one for one in done.answers if "verdict" in one]
    assert [one["about"] for one in live] == [assumption.about for assumption in ASSUMPTIONS]
    assert {tuple(one) for one in live} == {
        ("level", "enterprise", "about", "found", "advice", "verdict", "assumed", "asked", "answered")
    }
    different = {one["about"]: one["level"] for one in live if one["verdict"] == "DIFFERENT"}
    assert different == {"phone search": "fail", "page of 100": "warn"}
    assert {one["enterprise"] for one in live} == {"0123"}


async def test_it_reads_unless_it_is_told_to_write(amibridge: Amibridge, crm: SandboxCrm) -> None:
    await amibridge.beside("doctor", "0123", "--live")
    assert {seen.method for seen in crm.requests} == {"GET"}
    done = await amibridge.beside("doctor", "0123", "--live", "--write")
    assert Counter(seen.path for seen in crm.requests if seen.method == "POST")["/api/v5/customers/create"] == 3
    assert "0123 left there" in done.out


async def test_without_the_word_nothing_of_it_is_asked(amibridge: Amibridge, crm: SandboxCrm) -> None:
    done = await amibridge.beside("doctor", "0123", "--json")
    assert not any("verdict" in one for one in done.answers)
    assert "/api/v5/customers" not in {seen.path for seen in crm.requests}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--live"], "--live asks the account of one enterprise: amibridge doctor N --live"),
        (["0123", "--write"], "--write goes with --live: amibridge doctor N --live --write"),
    ],
)
def test_words_that_mean_nothing_alone(amibridge: Amibridge, words: list[str], sentence: str) -> None:
    done = amibridge("doctor", *words)
    assert (done.code, done.out, done.sentences) == (2, "", [f"amibridge: {sentence}"])
