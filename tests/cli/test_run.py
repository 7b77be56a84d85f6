"""`amibridge run` where it cannot run. How it runs is for the tests of the whole system."""

from __future__ import annotations

import socket
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from amibridge import daemon
from amibridge.store import db
from amibridge.store.opening import open_database
from tests.cli.commanding import Amibridge
from tests.cli.enterprise_files import written


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "AGAIN", 0.01)
    monkeypatch.setattr(daemon, "open_database", partial(open_database, patience=timedelta(milliseconds=50)))


def test_every_mistake_of_every_source_is_named(
    amibridge: Amibridge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMIBRIDGE_DATABSE__DSN", "postgresql://us:hush-hush@db/amibridge")
    monkeypatch.setenv("AMIBRIDGE_LOG__LEVEL", "loud")
    file = written(tmp_path, '[web]\nlisten = "8019"\n[secrets]\nkeyfile = "/hush"\n', "amibridge.toml")
    done = amibridge("run", "--config", file)
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines() == [
        f"amibridge: {file}, line 2: web.listen: must be an address and a port like 127.0.0.1:8019 or [::1]:8019",
        f"amibridge: {file}, line 4: secrets.keyfile: unknown key; did you mean 'key_file'?",
        "amibridge: AMIBRIDGE_DATABSE__DSN: unknown variable; did you mean AMIBRIDGE_DATABASE__DSN?",
        "amibridge: AMIBRIDGE_LOG__LEVEL: must be 'debug', 'info', 'warning', 'error' or 'critical'",
    ]


@pytest.mark.usefixtures("_hasty")
def test_a_database_that_is_away_is_waited_for_and_then_said(
    amibridge: Amibridge, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AMIBRIDGE_DATABASE__DSN", "postgresql://us:hush-hush@127.0.0.1:1/amibridge")
    done = amibridge("run")
    assert (done.code, done.out) == (1, "")
    [sentence] = done.sentences
    assert sentence == "amibridge: no database amibridge at 127.0.0.1:1 after 0.05 s: Connection refused"
    assert '"event":"database_awaited","database":"amibridge at 127.0.0.1:1","reason":"Connection refused"' in done.err
    assert "hush" not in done.err
    assert not (tmp_path / "data" / "keyring").exists()


@pytest.mark.usefixtures("_hasty")
def test_a_database_that_refuses_us_is_said_at_once(
    dsn: str, amibridge: Amibridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMIBRIDGE_DATABASE__DSN", dsn.replace("/amibridge_test_", "/no_such_database_"))
    done = amibridge("run")
    assert (done.code, done.out) == (1, "")
    [sentence] = done.sentences
    assert sentence.startswith("amibridge: the database no_such_database_")
    assert sentence.count("does not exist") == 1


def test_a_keyring_that_others_may_read_is_refused(amibridge: Amibridge, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    keyring = written(tmp_path / "data", "old " + "A" * 43 + "=\n", "keyring")
    keyring.chmod(0o644)
    done = amibridge("run")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"amibridge: {keyring}: others may read or change the keyring (mode 0644): chmod 600 {keyring}\n"
    )


def test_a_data_folder_that_cannot_be_made(amibridge: Amibridge, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    done = amibridge("run")
    assert (done.code, done.out) == (1, "")
    assert done.err == f"amibridge: {tmp_path / 'data'}: File exists\n"


def test_a_port_that_is_taken_is_said_before_anything_is_made(
    amibridge: Amibridge, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        monkeypatch.setenv("AMIBRIDGE_WEB__LISTEN", address)
        done = amibridge("run")
    assert (done.code, done.out) == (1, "")
    assert done.err == f"amibridge: cannot listen on {address}: Address already in use\n"
    assert list((tmp_path / "data").iterdir()) == []
