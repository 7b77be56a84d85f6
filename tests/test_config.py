"""Configuration as an operator gets it wrong: everything is said at once, with its place, and no secret is repeated."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from amibridge.config import AgiSettings, ConfigError, KeepSettings, RecordingSettings, Settings, load
from amibridge.config.documents import LARGEST_FILE, line_of, nearest

WHOLE = """
data_dir = "/srv/amibridge"
instance = "bridge-1"

[database]
dsn = "postgresql://amibridge:hush@db/amibridge"

[web]
listen = "[::1]:8020"
public_url = "https://bridge.example.com/"
trusted_proxies = ["127.0.0.1", "10.0.0.0/8"]
metrics_token = "hush-hush-hush-hush"

[agi]
listen = "10.0.0.9:4573"

[secrets]
key_file = "/etc/amibridge/keyring"

[log]
format = "logfmt"
level = "debug"

[traces]
keep_hours = 12
max_megabytes = 3

[recordings]
cache_megabytes = 5
sftp_key_file = "keys/sftp"
known_hosts_file = "/etc/ssh/ssh_known_hosts"

[keep]
requests_days = 30
deliveries_days = 365
audit_days = 31
"""


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "amibridge.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def problems(path: Path | None, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load(path, environ or {})
    assert "hush" not in str(error.value)
    return error.value.problems


def credentials(folder: Path, **files: str) -> dict[str, str]:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return {"CREDENTIALS_DIRECTORY": str(folder)}


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    settings = load(written(tmp_path, WHOLE), {})
    assert settings.data_dir == Path("/srv/amibridge")
    assert settings.instance == "bridge-1"
    assert settings.database.dsn == "postgresql://amibridge:hush@db/amibridge"
    assert (settings.web.listen_host, settings.web.listen_port) == ("::1", 8020)
    assert settings.web.public_url == "https://bridge.example.com"
    assert settings.web.trusted_proxies == ("127.0.0.1", "10.0.0.0/8")
    assert settings.agi == AgiSettings("10.0.0.9", 4573)
    assert settings.web.metrics_token == "hush-hush-hush-hush"
    assert settings.secrets.key_file == Path("/etc/amibridge/keyring")
    assert (settings.log.format, settings.log.level) == ("logfmt", "debug")
    assert (settings.traces.keep, settings.traces.most_bytes) == (timedelta(hours=12), 3 * 1024 * 1024)
    assert settings.recordings == RecordingSettings(
        5 * 1024 * 1024, tmp_path / "keys/sftp", Path("/etc/ssh/ssh_known_hosts")
    )
    assert settings.keep == KeepSettings(timedelta(days=30), timedelta(days=365), timedelta(days=31))


def test_settings_do_not_show_the_password(tmp_path: Path) -> None:
    settings = load(written(tmp_path, WHOLE), {})
    assert "hush" not in repr(settings)


def test_without_a_file_there_are_sensible_defaults() -> None:
    settings = load(None, {"STATE_DIRECTORY": "/var/lib/private/amibridge:/other"})
    assert settings.data_dir == Path("/var/lib/private/amibridge")
    assert settings.instance
    assert settings.database.dsn is None
    assert (settings.web.listen_host, settings.web.listen_port) == ("127.0.0.1", 8019)
    assert settings.web.public_url == "http://127.0.0.1:8019"
    assert settings.agi is None
    assert settings.secrets.key_file == Path("/var/lib/private/amibridge/keyring")
    assert (settings.log.format, settings.log.level) == ("auto", "info")
    assert (settings.traces.keep, settings.traces.most_bytes) == (timedelta(hours=48), 64 * 1024 * 1024)
    assert settings.recordings == RecordingSettings(1024 * 1024 * 1024, None, None)
    assert settings.keep == KeepSettings(timedelta(days=90), timedelta(days=90))


def test_numbers_are_numbers_in_every_source(tmp_path: Path) -> None:
    files = credentials(tmp_path, traces__max_megabytes="7\n", keep__deliveries_days="8")
    settings = load(None, {"AMIBRIDGE_TRACES__KEEP_HOURS": "0", "AMIBRIDGE_KEEP__REQUESTS_DAYS": "1", **files})
    traces = settings.traces
    assert settings.keep == KeepSettings(timedelta(days=1), timedelta(days=8))
    assert load(None, {"AMIBRIDGE_RECORDINGS__CACHE_MEGABYTES": "9"}).recordings.cache_bytes == 9 * 1024 * 1024
    assert (traces.keep, traces.most_bytes) == (timedelta(0), 7 * 1024 * 1024)
    for text in ("-1", "1.5", "٣", "much", "9" * 5000, "0x10", "1_0"):
        [problem] = problems(None, {"AMIBRIDGE_TRACES__KEEP_HOURS": text})
        assert problem.startswith("AMIBRIDGE_TRACES__KEEP_HOURS: must be ")


def test_the_data_folder_of_a_person_is_in_their_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert load(None, {"HOME": "/home/ivan"}).data_dir == Path("/home/ivan/.local/state/amibridge")
    assert load(None, {"XDG_STATE_HOME": "/state"}).data_dir == Path("/state/amibridge")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert load(None, {"HOME": "/root"}).data_dir == Path("/var/lib/amibridge")


def test_later_sources_win_key_by_key(tmp_path: Path) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir()
    environ = credentials(folder, database__dsn="postgresql://from-credential/x\n", romashka_api_key="other business")
    environ |= {"AMIBRIDGE_WEB__LISTEN": "0.0.0.0:80", "AMIBRIDGE_TEST_DSN": "not a setting"}
    settings = load(written(tmp_path, WHOLE), environ)
    assert settings.database.dsn == "postgresql://from-credential/x"
    assert (settings.web.listen_host, settings.web.listen_port) == ("0.0.0.0", 80)
    assert settings.web.public_url == "https://bridge.example.com"
    assert settings.instance == "bridge-1"
    environ["AMIBRIDGE_DATABASE__DSN"] = "postgresql://from-environment/x"
    assert load(written(tmp_path, WHOLE), environ).database.dsn == "postgresql://from-environment/x"


@pytest.mark.parametrize("name", ["database.dsn", "database_dsn", "database__dsn"])
def test_a_credential_may_be_named_three_ways(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("postgresql://db/x")
    assert load(None, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).database.dsn == "postgresql://db/x"


def test_a_keyring_may_be_a_credential(tmp_path: Path) -> None:
    secrets = load(None, credentials(tmp_path, keyring="k1 …")).secrets
    assert secrets.key_file == tmp_path / "keyring"
    assert secrets.guarded
    assert not load(None, {"AMIBRIDGE_SECRETS__KEY_FILE": "/elsewhere", **credentials(tmp_path)}).secrets.guarded


@pytest.mark.parametrize("text", ["127.0.0.1, 10.0.0.0/8", '["127.0.0.1", "10.0.0.0/8"]'])
def test_a_list_in_the_environment_is_json_or_divided_by_commas(text: str) -> None:
    settings = load(None, {"AMIBRIDGE_WEB__TRUSTED_PROXIES": text})
    assert settings.web.trusted_proxies == ("127.0.0.1", "10.0.0.0/8")


def test_paths_in_a_file_are_beside_it(tmp_path: Path) -> None:
    path = written(tmp_path, 'data_dir = "data"\n[secrets]\nkey_file = "../keys"\n')
    settings = load(path, {})
    assert settings.data_dir == tmp_path / "data"
    assert settings.secrets.key_file == tmp_path / ".." / "keys"


def test_every_mistake_of_every_source_is_named_at_once(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """\
instnce = "bridge-1"
data_dir = 7

[web]
listen = "8019"
publc_url = "https://x"
trusted_proxies = ["127.0.0.1", "not hush"]

[logs]
level = "info"

[database]
dsn = "mysql://u:hush@h"
""",
    )
    folder = tmp_path / "credentials"
    folder.mkdir()
    environ = credentials(folder, database__dns="postgresql://u:hush@h", log__level="loud")
    environ |= {"AMIBRIDGE_DATABSE__DSN": "hush", "AMIBRIDGE_LOG__FORMAT": " ", "AMIBRIDGE_WEB__LISTEN": "hush"}
    assert problems(path, environ) == [
        f"{path}, line 1: instnce: unknown key; did you mean 'instance'?",
        f"{path}, line 2: data_dir: must be text in quotes",
        f"{path}, line 5: web.listen: must be an address and a port like 127.0.0.1:8019 or [::1]:8019",
        f"{path}, line 6: web.publc_url: unknown key; did you mean 'public_url'?",
        f"{path}, line 7: web.trusted_proxies[2]: must be an IP address or a network like 10.0.0.0/8",
        f"{path}, line 9: logs: unknown key; did you mean 'log'?",
        f"{path}, line 13: database.dsn: must begin with postgresql://",
        f"{folder}/database.dns: unknown credential; did you mean 'database.dsn'?",
        f"{folder}/log.level: must be 'debug', 'info', 'warning', 'error' or 'critical'",
        "AMIBRIDGE_DATABSE__DSN: unknown variable; did you mean AMIBRIDGE_DATABASE__DSN?",
        "AMIBRIDGE_LOG__FORMAT: is empty; give it a value or unset it",
        "AMIBRIDGE_WEB__LISTEN: must be an address and a port like 127.0.0.1:8019 or [::1]:8019",
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("web = 'x'", "web: must be a table"),
        ("[[web]]\nlisten = 'x'", "web: must be a table"),
        ("[web]\nlisten = '::1:80'", "web.listen: must be an address and a port"),
        ("[agi]\nlisten = '4573'", "agi.listen: must be an address and a port"),
        ("[agi]\nlisten = true", "agi.listen: must be text"),
        ("[agi]\nport = 4573", "agi.port: unknown key"),
        ("[web]\nlisten = 'host:65536'", "web.listen: must be an address and a port"),
        ("[web]\nlisten = 'host:٨٠'", "web.listen: must be an address and a port"),
        ("[web]\nlisten = ':80'", "web.listen: must be an address and a port"),
        ("[web]\npublic_url = 'bridge.example.com'", "web.public_url: must be an address like"),
        ("[web]\npublic_url = 'ftp://x'", "web.public_url: must be an address like"),
        ("[web]\npublic_url = 'https://[x'", "web.public_url: must be an address like"),
        ("[web]\npublic_url = 'https://u:hush@x'", "web.public_url: must not have"),
        ("[web]\npublic_url = 'https://x?a=b'", "web.public_url: must not have"),
        ("[web]\ntrusted_proxies = '127.0.0.1'", "web.trusted_proxies: must be a list"),
        ("[web]\nmetrics_token = 'hush'", "web.metrics_token: must be 16 or more of"),
        ("[web]\nmetrics_token = 'hush hush hush hush'", "web.metrics_token: must be 16 or more of"),
        ("[web]\nmetrics_token = 'hush-hush-hush-hush-é'", "web.metrics_token: must be 16 or more of"),
        ("[web]\nmetrics_token = ''", "web.metrics_token: must be 16 or more of"),
        ("[traces]\nkeep_hours = -1", "traces.keep_hours: must be greater than or equal to 0"),
        ("[traces]\nkeep_hours = 1e9", "traces.keep_hours: must be"),
        ("[traces]\nkeep_hours = '48'", "traces.keep_hours: must be a whole number"),
        ("[traces]\nmax_megabytes = 0", "traces.max_megabytes: must be greater than or equal to 1"),
        ("[recordings]\ncache_megabytes = 0", "recordings.cache_megabytes: must be greater than or equal to 1"),
        ("[recordings]\nsftp_key_file = ''", "recordings.sftp_key_file: must not be empty"),
        ("[recordings]\nkey_file = 'a'", "recordings.key_file: unknown key; did you mean 'sftp_key_file'?"),
        ("[keep]\nrequests_days = 0", "keep.requests_days: must be greater than or equal to 1"),
        ("[keep]\nrequests_days = 1e6", "keep.requests_days: must be"),
        ("[keep]\ndeliveries_days = 6", "keep.deliveries_days: must be greater than or equal to 7"),
        ("[keep]\ndeliveries_days = '90d'", "keep.deliveries_days: must be a whole number"),
        ("[keep]\nfacts_days = 90", "keep.facts_days"),
        ("[log]\nlevel = true", "log.level: must be 'debug'"),
        ('instance = "a\\nb"', "instance: must not contain line breaks"),
        ('data_dir = "a\\u0000b"', "data_dir: must not contain line breaks"),
        ("instance = ' '", "instance: must not be empty"),
        ("[secrets]\nkey_file = ''", "secrets.key_file: must not be empty"),
        ("data_dir = /var/lib", "not valid TOML"),
        ("instance = 'a'\ninstance = 'b'", "not valid TOML"),
        ("instance = " + "[" * 5000, "not valid TOML"),
        ("instance = " + "9" * 5000, "not valid TOML"),
    ],
)
def test_a_mistake_is_told_in_words(tmp_path: Path, text: str, complaint: str) -> None:
    path = written(tmp_path, text)
    [problem] = problems(path)
    assert problem.startswith(str(path))
    assert complaint in problem


def test_files_that_are_no_configuration_are_refused(tmp_path: Path) -> None:
    assert problems(tmp_path / "absent.toml") == [f"{tmp_path}/absent.toml: cannot be read: No such file or directory"]
    assert problems(tmp_path) == [f"{tmp_path}: cannot be read: Is a directory"]
    assert "not UTF-8 text" in problems(written(tmp_path, b"# ok\ninstance = '\xcf\xf0\xe8'"))[0]
    assert "line 2" in problems(written(tmp_path, b"# ok\ninstance = '\xcf\xf0\xe8'"))[0]
    assert "larger than" in problems(written(tmp_path, b"#" * (LARGEST_FILE + 1)))[0]
    assert "cannot be the right file" in problems(Path("/dev/zero"))[0]
    assert "not a file name" in problems(Path("a\0b"))[0]


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    assert load(written(tmp_path, b"\xef\xbb\xbfinstance = 'b'\r\n"), {}).instance == "b"


def test_an_unreadable_credential_is_told(tmp_path: Path) -> None:
    (tmp_path / "database.dsn").mkdir()
    assert problems(None, {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == [
        f"{tmp_path}/database.dsn: cannot be read: Is a directory"
    ]
    absent = tmp_path / "absent"
    assert "cannot be read" in problems(None, {"CREDENTIALS_DIRECTORY": str(absent)})[0]


def test_the_settings_can_be_told_to_log_themselves_without_telling_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PYDANTIC_SETTINGS_DEBUG", "1")
    caplog.set_level("DEBUG")
    assert isinstance(load(written(tmp_path, WHOLE), {}), Settings)
    assert "bridge-1" in caplog.text
    assert "hush" not in caplog.text


def test_the_process_environment_is_not_looked_at_behind_our_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMIBRIDGE_INSTANCE", "hidden")
    monkeypatch.setenv("INSTANCE", "hidden")
    monkeypatch.setenv("DATABASE", '{"dsn": "postgresql://hidden"}')
    settings = load(None, {})
    assert settings.instance != "hidden"
    assert settings.database.dsn is None


def test_lines_are_found_for_keys_however_they_are_written() -> None:
    text = "a.b = 1\n[[t]]\nx = 1\n[[t]]\n'q r' = 1\nx = { y = 2 }\n[ o . \"1.2\" ]\nz = 1\n"
    assert line_of(text, ("a", "b")) == 1
    assert line_of(text, ("t", 1, "q r")) == 5
    assert line_of(text, ("t", 1, "x", "y")) == 6
    assert line_of(text, ("t", 0, "gone")) == 2
    assert line_of(text, ("o", "1.2", "z")) == 8
    assert line_of(text, ("nowhere",)) is None


def test_only_what_is_near_is_suggested() -> None:
    assert nearest("LISTN", ["listen", "level"]) == "listen"
    assert nearest("zzz", ["listen", "level"]) is None


@pytest.mark.parametrize("key", ["data_dir", "secrets.key_file"])
def test_a_home_that_nobody_has_is_a_mistake_with_its_place(tmp_path: Path, key: str) -> None:
    words = "begins with a home that nobody has: write the whole path"
    path = written(tmp_path, f'{key} = "~nosuchuser/amibridge"\n')
    assert problems(path) == [f"{path}, line 1: {key}: {words}"]
    variable = "AMIBRIDGE_" + key.replace(".", "__").upper()
    assert problems(None, {variable: "~nosuchuser/amibridge"}) == [f"{variable}: {words}"]


def test_who_has_no_home_must_say_where_the_data_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(Path, "home", nowhere)
    assert problems(None) == ["data_dir is missing, and you have no home: set AMIBRIDGE_DATA_DIR"]
