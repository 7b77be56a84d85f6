"""`amibridge.toml` as people write it: its keys, its defaults, and what each value must look like."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from amibridge.config.documents import Shape, Text, with_a_home
from amibridge.config.settings import LogFormat, LogLevel

DEFAULT_LISTEN = "127.0.0.1:8019"

SHORTEST_TOKEN = 16
"""Characters: what can be reached from anywhere is guessed at from everywhere."""


def split_listen(text: str) -> tuple[str, int]:
    """``host:port`` or ``[v6]:port``. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    digits = port.isascii() and port.isdigit()
    if not colon or not host or not digits or int(port) > 65535 or " " in host or (":" in host and not bracketed):
        raise ValueError("must be an address and a port like 127.0.0.1:8019 or [::1]:8019")
    return host, int(port)


def _is_dsn(text: str) -> str:
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("must begin with postgresql://")
    return text


def _is_listen(text: str) -> str:
    split_listen(text)
    return text


def _is_public_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("must be an address like https://bridge.example.com") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or " " in text:
        raise ValueError("must be an address like https://bridge.example.com")
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("must not have a query, a fragment, a user or a password in it")
    return text.rstrip("/")


def _is_network(text: str) -> str:
    try:
        ip_network(text, strict=False)
    except ValueError:
        raise ValueError("must be an IP address or a network like 10.0.0.0/8") from None
    return text


def _is_token(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", text) or len(text) < SHORTEST_TOKEN:
        letters = "A-Z a-z 0-9 . _ ~ + / -"
        raise ValueError(f"must be {SHORTEST_TOKEN} or more of {letters}, as openssl rand -hex 24 makes them")
    return text


def _is_given(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


GivenText = Annotated[Text, AfterValidator(_is_given)]
GivenPath = Annotated[GivenText, AfterValidator(with_a_home)]


class DatabaseTable(Shape):
    dsn: Annotated[Text, AfterValidator(_is_dsn)] | None = None


class WebTable(Shape):
    listen: Annotated[Text, AfterValidator(_is_listen)] = DEFAULT_LISTEN
    public_url: Annotated[Text, AfterValidator(_is_public_url)] | None = None
    trusted_proxies: list[Annotated[Text, AfterValidator(_is_network)]] = Field(default_factory=list)
    metrics_token: Annotated[Text, AfterValidator(_is_token)] | None = None


class AgiTable(Shape):
    listen: Annotated[Text, AfterValidator(_is_listen)] | None = None


class SecretsTable(Shape):
    key_file: GivenPath | None = None


class LogTable(Shape):
    format: LogFormat = "auto"
    level: LogLevel = "info"


class TracesTable(Shape):
    keep_hours: Annotated[int, Field(ge=0, le=10_000)] = 48
    max_megabytes: Annotated[int, Field(ge=1, le=1_000_000)] = 64


class RecordingsTable(Shape):
    cache_megabytes: Annotated[int, Field(ge=1, le=10_000_000)] = 1024
    sftp_key_file: GivenPath | None = None
    known_hosts_file: GivenPath | None = None


class KeepTable(Shape):
    requests_days: Annotated[int, Field(ge=1, le=36_500)] = 90
    deliveries_days: Annotated[int, Field(ge=7, le=36_500)] = 90
    audit_days: Annotated[int, Field(ge=30, le=36_500)] = 365


class ProcessDocument(Shape):
    """`amibridge.toml`, and what the other sources say in its terms."""

    data_dir: GivenPath | None = None
    instance: GivenText | None = None
    database: DatabaseTable = DatabaseTable()
    web: WebTable = WebTable()
    agi: AgiTable = AgiTable()
    secrets: SecretsTable = SecretsTable()
    log: LogTable = LogTable()
    traces: TracesTable = TracesTable()
    recordings: RecordingsTable = RecordingsTable()
    keep: KeepTable = KeepTable()
