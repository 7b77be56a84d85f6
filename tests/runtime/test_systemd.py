from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from amibridge.runtime.systemd import notify, watchdog_interval


@pytest.fixture(params=["path", "abstract"])
def supervisor(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, str]]:
    """A datagram socket that listens as systemd does, and what NOTIFY_SOCKET says about it."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(10)
        if request.param == "path":
            address = str(Path(folder) / "notify")
            listener.bind(address)
        else:
            address = f"@amibridge-{uuid4().hex}"
            listener.bind("\0" + address[1:])
        yield listener, address


def test_systemd_hears_all_assignments_in_one_datagram(supervisor: tuple[socket.socket, str]) -> None:
    listener, address = supervisor
    assert notify("READY=1", "STATUS=2 узла", environ={"NOTIFY_SOCKET": address})
    assert listener.recv(4096).decode() == "READY=1\nSTATUS=2 узла"


def test_the_environment_of_the_process_is_the_default(
    supervisor: tuple[socket.socket, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    listener, address = supervisor
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert notify("STOPPING=1")
    assert listener.recv(4096) == b"STOPPING=1"


def test_a_status_cannot_smuggle_another_assignment(supervisor: tuple[socket.socket, str]) -> None:
    listener, address = supervisor
    notify("STATUS=lost pbx1\nSTOPPING=1", environ={"NOTIFY_SOCKET": address})
    assert listener.recv(4096) == b"STATUS=lost pbx1 STOPPING=1"


@pytest.mark.parametrize("address", ["", "relative", "vsock:2:1"])
def test_elsewhere_nothing_happens(address: str) -> None:
    with capture_logs() as lines:
        assert not notify("READY=1", environ={"NOTIFY_SOCKET": address})
        assert not notify("READY=1", environ={})
    assert lines == []


def test_a_supervisor_that_is_gone_is_a_line_and_no_error(tmp_path: Path) -> None:
    with capture_logs() as lines:
        assert not notify("WATCHDOG=1", environ={"NOTIFY_SOCKET": str(tmp_path / "gone")})
    assert [line["event"] for line in lines] == ["systemd_not_told"]


@pytest.mark.slow
def test_a_supervisor_that_does_not_read_cannot_stop_us(supervisor: tuple[socket.socket, str]) -> None:
    _, address = supervisor
    with capture_logs() as lines:
        told = [notify("WATCHDOG=1", environ={"NOTIFY_SOCKET": address}) for _ in range(10_000)]
    assert told[0]
    assert not told[-1]
    assert {line["event"] for line in lines} == {"systemd_not_told"}


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({"WATCHDOG_USEC": "30000000"}, timedelta(seconds=30)),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, timedelta(seconds=30)),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({}, None),
    ],
)
def test_watchdog_interval(environ: dict[str, str], interval: timedelta | None) -> None:
    assert watchdog_interval(environ) == interval
