"""Where the recordings of a host are, as `recordings` of its file says: a folder of this machine, HTTP(S), or SFTP.

Laws: a password never stands in an address, for addresses are shown; it goes over TLS or SSH, or to this very machine.
Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

from amibridge.redact import Secret

SFTP_PORT = 22
SFTP_USER = "amibridge"


@dataclass(frozen=True, slots=True)
class Folder:
    """*path* is whole."""

    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class Website:
    """*base*: scheme, host, port and path, percent-encoded, with a slash at its end."""

    base: str
    user: str | None = None
    password: Secret | None = None

    def __str__(self) -> str:
        return self.base


@dataclass(frozen=True, slots=True)
class SftpFolder:
    """*path* is whole. *password* None: the bridge's key opens it."""

    host: str
    port: int
    user: str
    path: str
    password: Secret | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"sftp://{self.user}@{host}:{self.port}{self.path}"


Place: TypeAlias = Folder | Website | SftpFolder


def place_of(text: str, password: Secret | None = None) -> Place:
    """Raises ValueError, whose words complete a sentence that begins with the name of the key."""
    if text.startswith("/"):
        return Folder(text)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("is not an address that can be understood") from None
    if parts.scheme not in ("http", "https", "sftp"):
        raise ValueError("must be a whole path, or begin with https://, http:// or sftp://")
    if parts.password is not None:
        raise ValueError("must not hold a password: it is a secret, and has keys of its own: recordings_password_file")
    if not parts.hostname or port == 0 or parts.query or parts.fragment or any(not 32 < ord(one) < 127 for one in text):
        raise ValueError("must be an address of ASCII letters without a question mark, like https://pbx.example/rec/")
    if ".." in unquote(parts.path).split("/"):
        raise ValueError("must not lead upwards: write the path itself, without ..")
    if parts.scheme == "sftp":
        return _sftp(parts, parts.hostname, port, password)
    if password is not None and parts.username is None:
        raise ValueError("must name the user whose password is given, like https://amibridge@pbx.example/rec/")
    if password is not None and parts.scheme == "http" and not _is_this_machine(parts.hostname):
        raise ValueError("must begin with https:// where a password goes along")
    base = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    user = unquote(parts.username) if parts.username else None
    return Website(base if base.endswith("/") else base + "/", user, password)


def is_within_reach(text: str, password: Secret | None = None) -> bool:
    """Whether recordings can be had from there, so that the CRM is given links to them."""
    try:
        place_of(text, password)
    except ValueError:
        return False
    return True


def _sftp(parts: SplitResult, host: str, port: int | None, password: Secret | None) -> SftpFolder:
    path = unquote(parts.path).rstrip("/")
    if not path:
        raise ValueError("must name a folder, like sftp://amibridge@pbx.example/var/spool/asterisk/monitor")
    return SftpFolder(host, port or SFTP_PORT, unquote(parts.username or SFTP_USER), path, password)


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
