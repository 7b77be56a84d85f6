"""The settings of one process, whole and checked. Each component is handed its slice, never all of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal, TypeAlias

from amibridge.redact import Secret

LogFormat: TypeAlias = Literal["auto", "console", "json", "logfmt"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error", "critical"]


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """*dsn* None: a private PostgreSQL under the data folder."""

    dsn: Secret | None = None


@dataclass(frozen=True, slots=True)
class WebSettings:
    """*public_url* is what RetailCRM is told, without a trailing slash. *trusted_proxies*: addresses or networks.

    *metrics_token* None: metrics are told to this machine only.
    """

    listen_host: str
    listen_port: int
    public_url: str
    trusted_proxies: tuple[str, ...] = ()
    metrics_token: Secret | None = None


@dataclass(frozen=True, slots=True)
class AgiSettings:
    """Where FastAGI is listened for."""

    listen_host: str
    listen_port: int


@dataclass(frozen=True, slots=True)
class SecretsSettings:
    """*guarded*: the key file is a systemd credential, so its mode is systemd's affair."""

    key_file: Path
    guarded: bool = False


@dataclass(frozen=True, slots=True)
class LogSettings:
    format: LogFormat = "auto"
    level: LogLevel = "info"


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """What hosts said lately, kept on disk. *keep* zero: nothing is kept. *most_bytes*: of one host, packed."""

    keep: timedelta = timedelta(hours=48)
    most_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RecordingSettings:
    """*cache_bytes*: what was fetched or converted, of all enterprises. *sftp_key_file*, *known_hosts_file*: our
    private key, and the host keys of PBXs; None: `sftp_key` and `known_hosts` in the data folder."""

    cache_bytes: int = 1024 * 1024 * 1024
    sftp_key_file: Path | None = None
    known_hosts_file: Path | None = None


@dataclass(frozen=True, slots=True)
class KeepSettings:
    """For how long what is settled stays in the database: *requests* to CRMs, *deliveries* that were sent or dropped,
    and the *audit*."""

    requests: timedelta = timedelta(days=90)
    deliveries: timedelta = timedelta(days=90)
    audit: timedelta = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Settings:
    """*data_dir*: recordings cache, embedded database, captured traces. *instance*: who speaks in logs and leases.
    *agi* None: nobody asks by AGI."""

    data_dir: Path
    instance: str
    database: DatabaseSettings
    web: WebSettings
    secrets: SecretsSettings
    log: LogSettings
    traces: TraceSettings = TraceSettings()
    agi: AgiSettings | None = None
    keep: KeepSettings = KeepSettings()
    recordings: RecordingSettings = RecordingSettings()
