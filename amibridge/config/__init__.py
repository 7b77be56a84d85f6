"""What the process is told: TOML file, systemd credentials, environment → frozen `Settings`.

Laws: every mistake is reported at once, each with where it stands; nothing is ignored, a misspelt name least of all;
the text of a secret is never repeated.
"""

from __future__ import annotations

from amibridge.config.documents import ConfigError
from amibridge.config.settings import (
    AgiSettings,
    DatabaseSettings,
    KeepSettings,
    LogSettings,
    RecordingSettings,
    SecretsSettings,
    Settings,
    TraceSettings,
    WebSettings,
)
from amibridge.config.sources import DEFAULT_FILE, load

__all__ = [
    "DEFAULT_FILE",
    "AgiSettings",
    "ConfigError",
    "DatabaseSettings",
    "KeepSettings",
    "LogSettings",
    "RecordingSettings",
    "SecretsSettings",
    "Settings",
    "TraceSettings",
    "WebSettings",
    "load",
]
