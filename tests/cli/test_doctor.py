"""`amibridge doctor`: what people and machines read, and by which exit code scripts know."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from amibridge.sandbox.library import TRACES
from amibridge.sandbox.retailcrm import SandboxCrm
from amibridge.secrets import open_keyring
from tests.cli.commanding import Amibridge, Done
from tests.cli.enterprise_files import EXAMPLE, SMALLEST, written
from tests.doctor.looking import Told
from tests.house.source import ROOT
from tests.sandbox.ami_client import BUSY, pbx_of
from tests.sandbox.crm_asker import romashka

RING_GROUP = TRACES / "asterisk22" / "h_ringgroup_102_answers.ami"
NOWHERE = "http://127.0.0.1:9"
"""A CRM that nobody runs: this machine's port of `discard`."""


def away(text: str) -> str:
    """An enterprise file of which nothing can be reached, at once."""
    text = re.sub(r'url = ".*"', f'url = "{NOWHERE}"', text)
    text = re.sub(r'host = ".*"', 'host = "127.0.0.1"', text)
    return re.sub(r"port = \d+\n", "", text).replace('username = "amibridge"', 'port = 9\nusername = "amibridge"')


def told(done: Done) -> list[tuple[str, str]]:
    """(level, the rest) of each finding; each that is not ok has what to do on its next line."""
    found: list[tuple[str, str]] = []
    advised = 0
    for line in done.out.splitlines():
        if line.startswith(" "):
            assert line.lstrip().startswith("→ ")
            assert found[-1][0] in ("warn", "fail")
            advised += 1
        else:
            found.append((line[:5].strip(), line[6:]))
            assert found[-1][0] in ("ok", "warn", "fail"), line
    assert advised == sum(level != "ok" for level, _ in found)
    return found


class TestWithoutADatabase:
    async def test_a_fresh_machine_is_told_what_is_not_there_yet_and_nothing_is_made(
        self, amibridge: Amibridge, tmp_path: Path
    ) -> None:
        done = await amibridge.beside("doctor")
        assert done.code == 0
        assert {level for level, _ in told(done)} == {"ok", "warn"}
        assert "there is no private PostgreSQL" in done.out
        assert os.listdir(tmp_path) == []

    async def test_an_enterprise_cannot_be_looked_at(self, amibridge: Amibridge) -> None:
        done = await amibridge.beside("doctor", "0123")
        assert done.code == 1
        assert ("fail", "0123 enterprise          it could not be looked at without its database") in told(done)

    async def test_a_database_that_is_away_is_a_failure_with_its_place_and_no_password(
        self, amibridge: Amibridge, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
    ) -> None:
        monkeypatch.setenv("AMIBRIDGE_DATABASE__DSN", f"postgresql://us:hush@127.0.0.1:{unused_tcp_port}/calls")
        monkeypatch.setattr("amibridge.doctor.examination.PATIENCE", timedelta(0))
        done = await amibridge.beside("doctor")
        assert done.code == 1
        assert f"no database calls at 127.0.0.1:{unused_tcp_port}" in done.out
        assert "hush" not in done.out + done.err

    async def test_a_mistake_in_the_settings_is_told_as_everywhere(self, amibridge: Amibridge, tmp_path: Path) -> None:
        done = await amibridge.beside("doctor", "--config", written(tmp_path, "[web]\nlisten = 'x'\n", "a.toml"))
        assert (done.code, done.out) == (2, "")
        assert "web.listen: must be an address and a port" in done.err


@pytest.mark.usefixtures("at_database")
class TestWithADatabase:
    async def test_no_enterprises_yet(self, amibridge: Amibridge) -> None:
        done = await amibridge.beside("doctor")
        assert done.code == 0
        assert "there are none yet" in done.out

    async def test_everything_in_order_a_line_each(self, amibridge: Amibridge, tmp_path: Path) -> None:
        await amibridge.beside("enterprise", "apply", written(tmp_path, away(EXAMPLE)))
        done = await amibridge.beside("doctor")
        assert done.code == 1
        assert NOWHERE in done.out
        abouts = [rest[:24].strip() for _, rest in told(done)]
        assert abouts[:3] == ["settings", "keyring", "disk"]
        assert abouts[-4:] == ["0123 pbx1 login", "0123 pbx1 recordings", "0123 CRM", "0123 Ромашка"]
        assert re.fullmatch(r"\d+ ok, \d+ to look at, 3 failed", done.sentences[-1])

    async def test_one_enterprise_is_told_whole_and_the_rest_in_a_line(
        self, amibridge: Amibridge, tmp_path: Path
    ) -> None:
        await amibridge.beside("enterprise", "apply", written(tmp_path, away(EXAMPLE)))
        await amibridge.beside("enterprise", "apply", written(tmp_path, away(SMALLEST)))
        done = await amibridge.beside("doctor", "0123")
        lines = told(done)
        assert next(rest.split()[0] for level, rest in lines if level == "ok") == "installation"
        assert {rest.split()[0] for _, rest in lines if rest[0] == "0"} == {"0123"}
        assert any(rest.startswith("0123 deliveries") for level, rest in lines if level == "ok")
        assert not any(rest.startswith("7 ") for _, rest in lines)

    async def test_an_unknown_number_is_told_as_everywhere(self, amibridge: Amibridge, tmp_path: Path) -> None:
        await amibridge.beside("enterprise", "apply", written(tmp_path, away(EXAMPLE)))
        done = await amibridge.beside("doctor", "0132")
        assert done.code == 1
        assert done.sentences == ["amibridge: there is no enterprise 0132; did you mean 0123?"]

    async def test_machines_read_json(self, amibridge: Amibridge, tmp_path: Path) -> None:
        await amibridge.beside("enterprise", "apply", written(tmp_path, away(EXAMPLE)))
        done = await amibridge.beside("doctor", "--json")
        assert {tuple(answer) for answer in done.answers} == {("level", "enterprise", "about", "found", "advice")}
        assert all((one["advice"] is None) == (one["level"] == "ok") for one in done.answers)
        login = next(one for one in done.answers if one["about"] == "pbx1 login")
        assert (login["level"], login["enterprise"]) == ("fail", "0123")

    async def test_a_keyring_that_was_lost_does_not_keep_the_rest_from_being_told(
        self, amibridge: Amibridge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await amibridge.beside("enterprise", "apply", written(tmp_path, away(EXAMPLE)))
        monkeypatch.setenv("AMIBRIDGE_SECRETS__KEY_FILE", str(tmp_path / "another"))
        lost = await amibridge.beside("doctor", "0123")
        assert ("fail", "0123 secrets             without the keyring nobody can read them") in told(lost)
        assert not (tmp_path / "another").exists()
        open_keyring(tmp_path / "another")
        other = await amibridge.beside("doctor", "0123")
        assert "which is not in the keyring" in other.out
        assert "0123 deliveries" in other.out
        assert (lost.code, other.code) == (1, 1)

    async def test_tables_of_another_version_are_left_alone(self, amibridge: Amibridge, pool: asyncpg.Pool) -> None:
        await pool.execute("UPDATE alembic_version SET version_num = '0001'")
        done = await amibridge.beside("doctor", "0123")
        assert done.code == 1
        assert "amibridge db upgrade" in done.out
        assert await pool.fetchval("SELECT version_num FROM alembic_version") == "0001"


HOSTILE = "\x1b[2J\x1b]0;owned\x07\r\nok    all is well"


@pytest.mark.usefixtures("at_database")
class TestHostile:
    async def test_neither_a_crm_nor_a_pbx_steers_the_terminal_or_learns_of_secrets(
        self, amibridge: Amibridge, tmp_path: Path
    ) -> None:
        scopes: Any = {"success": True, "scopes": ["telephony_write"], "sitesAvailable": [HOSTILE]}
        versions = {"success": True, "versions": [HOSTILE]}
        crm = Told({"/api/credentials": (200, scopes), "/api/api-versions": (200, versions)})
        pbx = pbx_of(BUSY)
        async with crm.serve() as url, pbx.serve() as (where, port):
            text = away(EXAMPLE).replace(NOWHERE, url).replace("port = 9\n", f"port = {port}\n")
            await amibridge.beside("enterprise", "apply", written(tmp_path, text))
            for words in ([], ["--json"]):
                done = await amibridge.beside("doctor", "0123", *words)
                assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", done.out)
                assert "hush" not in done.out + done.err
                assert "owned" in done.out
        assert where == "127.0.0.1"


@pytest.mark.usefixtures("at_database")
async def test_all_is_well_where_all_is_well(amibridge: Amibridge, tmp_path: Path) -> None:
    (tmp_path / "monitor").mkdir()
    (tmp_path / "monitor" / "a.wav").touch()
    pbx, crm = pbx_of(RING_GROUP, speed=1.0), SandboxCrm([romashka()])
    async with crm.serve() as url, pbx.serve() as (_, port):
        text = away(EXAMPLE).replace(NOWHERE, url).replace("port = 9\n", f"port = {port}\n")
        for was, now in (
            ("hush-key", romashka().api_key),
            ("hush-secret", "demo"),
            ("/var/spool/asterisk/monitor", str(tmp_path / "monitor")),
            ('trunks = ["PJSIP/provider", "SIP/00013*"]\n', ""),
            ("performer = 40", "performer = 27"),
            ('["103", "100", "103"]', '["103"]'),
        ):
            assert was in text
            text = text.replace(was, now)
        await amibridge.beside("enterprise", "apply", written(tmp_path, text))
        assert (await amibridge.beside("retailcrm", "register", "0123")).code == 0
        done = await amibridge.beside("doctor", "0123")
    # But for what takes a bridge that runs, and an address in the internet.
    assert [rest[:24].strip() for level, rest in told(done) if level != "ok"] == ["bridge", "public_url"]
    assert done.code == 0


def test_a_reader_who_leaves_ends_it_quietly(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AMIBRIDGE_DATA_DIR": str(tmp_path / "none")}
    command = [sys.executable, "-m", "amibridge", "doctor"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
