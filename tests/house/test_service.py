"""The systemd unit keeps its promises: notify, watchdog, restart, no privileges; the example settings are valid."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from amibridge.cli.enterprise_document import (
    AsteriskTable,
    EnterpriseDocument,
    LineTable,
    MissedCallsTable,
    OperatorTable,
    RecordingsTable,
    ResponsibleTable,
    RetailcrmTable,
    SupervisionTable,
    WebhookTable,
)
from amibridge.cli.enterprise_file import read_enterprise
from amibridge.config.sources import KEYS, load
from amibridge.store.webhooks import make_secret
from tests.house.source import ROOT

UNIT = ROOT / "systemd" / "amibridge.service"
EXAMPLE = ROOT / "systemd" / "amibridge.toml.example"
ENTERPRISE = ROOT / "systemd" / "enterprise.toml.example"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")
ANALYZE = shutil.which("systemd-analyze")


def directives() -> dict[str, list[str]]:
    """Every ``Section.Key`` of the unit with its values in order."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    section = ""
    for line in UNIT.read_text("utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            assert equals, line
            found[f"{section}.{key}"].append(value)
    return found


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("Unit.StartLimitIntervalSec", ["0"]),
        ("Service.Type", ["notify"]),
        ("Service.NotifyAccess", ["main"]),
        ("Service.WatchdogSec", ["30s"]),
        ("Service.ExecStart", ["/usr/bin/amibridge run --config /etc/amibridge/amibridge.toml"]),
        ("Service.ExecReload", ["/bin/kill -HUP $MAINPID"]),
        ("Service.Restart", ["always"]),
        ("Service.RestartPreventExitStatus", ["2"]),
        ("Service.KillMode", ["mixed"]),
        ("Service.TimeoutStopSec", ["30s"]),
        ("Service.User", ["amibridge"]),
        ("Service.UMask", ["0077"]),
        ("Service.StateDirectory", ["amibridge"]),
        ("Service.NoNewPrivileges", ["yes"]),
        ("Service.CapabilityBoundingSet", [""]),
        ("Service.ProtectSystem", ["strict"]),
        ("Service.ProtectHome", ["yes"]),
        ("Service.RestrictAddressFamilies", ["AF_INET AF_INET6 AF_UNIX"]),
        ("Service.SystemCallFilter", ["@system-service", "~@privileged @resources", "setpriority"]),
        ("Service.MemoryMax", ["512M"]),
        ("Install.WantedBy", ["multi-user.target"]),
    ],
)
def test_the_unit_promises(key: str, values: list[str]) -> None:
    assert directives()[key] == values


def test_systemd_waits_longer_than_the_bridge_needs_to_stop() -> None:
    assert int(directives()["Service.TimeoutStopSec"][0].removesuffix("s")) > 10


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """Our program is not where the unit says on a developer's machine, so another one stands in."""
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text("utf-8")), encoding="utf-8")
    done = subprocess.run([str(ANALYZE), "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60)
    complaints = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert complaints == []


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
def test_systemd_finds_the_unit_hardened() -> None:
    command = [str(ANALYZE), "security", "--offline=true", "--threshold=15", "--no-pager", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if "--offline" in done.stderr:
        pytest.skip("this systemd-analyze is older than 250")
    assert done.returncode == 0, done.stdout[-200:]
    assert "OK" in done.stdout


def test_the_user_and_its_folders_agree_with_the_unit() -> None:
    users = (ROOT / "systemd/sysusers.d/amibridge.conf").read_text("utf-8")
    folders = (ROOT / "systemd/tmpfiles.d/amibridge.conf").read_text("utf-8")
    assert re.search(r"(?m)^u amibridge ", users)
    assert re.search(r"(?m)^d /var/lib/amibridge\s+0750 amibridge amibridge ", folders)
    assert re.search(r"(?m)^d /etc/amibridge\s+0750 root\s+amibridge ", folders)


def test_the_example_settings_are_valid_as_they_are_and_with_every_line_switched_on(tmp_path: Path) -> None:
    assert load(EXAMPLE, {}).data_dir == Path("/var/lib/amibridge")
    everything = tmp_path / "amibridge.toml"
    everything.write_text(switched_on(EXAMPLE), encoding="utf-8")
    settings = load(everything, {})
    assert settings.instance == "bridge-1"
    assert settings.database.dsn is not None
    assert settings.web.trusted_proxies == ("127.0.0.1",)


def test_the_example_shows_every_setting() -> None:
    text = EXAMPLE.read_text("utf-8")
    assert [key for key in KEYS if not re.search(rf"(?m)^(# )?{key[-1]} = ", text)] == []


def switched_on(example: Path) -> str:
    return re.sub(r"(?m)^# (?=\w+ = |\[\[)", "", example.read_text("utf-8"))


def keys_of_an_enterprise() -> set[str]:
    """Every key that an enterprise file may have."""
    shapes = (
        EnterpriseDocument,
        RetailcrmTable,
        MissedCallsTable,
        AsteriskTable,
        RecordingsTable,
        ResponsibleTable,
        SupervisionTable,
        WebhookTable,
        OperatorTable,
        LineTable,
    )
    tables = {"retailcrm", "missed_calls", "asterisk", "responsible", "supervision", "webhooks", "operators", "lines"}
    return {key for shape in shapes for key in shape.model_fields} - tables


def test_the_example_enterprise_is_valid_as_it_is_and_with_every_line_switched_on(tmp_path: Path) -> None:
    for name in ("0123.key", "0123-pbx1.secret", "0123-pbx1.recordings"):
        (tmp_path / name).write_text("hush\n")
    for name in ("0123-erp.secret", "0123-erp.previous"):
        (tmp_path / name).write_text(f"{make_secret()}\n")
    file = tmp_path / "0123.toml"
    file.write_text(ENTERPRISE.read_text("utf-8"), encoding="utf-8")
    plain = read_enterprise(file)
    file.write_text(switched_on(ENTERPRISE), encoding="utf-8")
    whole = read_enterprise(file)
    assert whole.account.site == "romashka"
    [ours], [theirs] = plain.hosts, whole.hosts
    # Where a line shows the default, switching it on changes nothing.
    assert (ours.port, ours.numbering.internal) == (theirs.port, theirs.numbering.internal)
    assert (ours.originate_channel, ours.originate_context) == (theirs.originate_channel, theirs.originate_context)
    assert ours.originate_number == theirs.originate_number
    for one in ("region", "credit", "create_customers", "create_orders", "responsible"):
        assert getattr(plain, one) == getattr(whole, one)


def test_the_example_enterprise_and_the_manual_name_every_key() -> None:
    names = {re.sub("_file$", "", key) for key in keys_of_an_enterprise()}
    assert [name for name in sorted(names) if not re.search(rf"\b{name}(_file)? = ", switched_on(ENTERPRISE))] == []
    rows = [line.split("|")[1] for line in OPERATIONS.splitlines() if line.startswith("| `")]
    explained = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    assert keys_of_an_enterprise() - explained == set()


def test_the_documentation_of_the_unit_is_where_the_manual_puts_it() -> None:
    [address] = directives()["Unit.Documentation"]
    assert "copy the checkout to `/opt/amibridge`" in OPERATIONS
    assert (ROOT / address.removeprefix("file:/opt/amibridge/")).is_file()
