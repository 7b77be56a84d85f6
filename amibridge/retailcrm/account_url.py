"""Where an account's API key may be sent: over TLS, or in the clear to this very machine and nowhere else."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

LONGEST_NAME = 253
"""Letters of a name in DNS; a label in it has at most 63, which IDNA knows."""

ZONES = ("retailcrm.ru", "retailcrm.pro", "retailcrm.es", "simla.com")
"""Where accounts are: whatever answers there is RetailCRM's own."""

_ACCOUNT = re.compile(rf"https://[a-z0-9]([a-z0-9-]{{0,61}}[a-z0-9])?\.({'|'.join(map(re.escape, ZONES))})(:443)?")


def check_account_url(url: str) -> str:
    """The address as ``scheme://host[:port]``.

    Raises ValueError with a text for people that never repeats *url*: it may carry a password or a key by mistake.
    """
    if not url.isprintable() or any(c.isspace() or c == "\\" for c in url):
        raise ValueError("the CRM address has a space, a backslash or an unprintable character in it")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ValueError("the CRM address is not a valid URL") from error
    if "@" in parts.netloc:
        raise ValueError("the CRM address must not hold a user name or password")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise ValueError("the CRM address must not hold a query: keys do not belong into URLs")
    if parts.path not in ("", "/"):
        raise ValueError("the CRM address must look like https://account.retailcrm.ru, without a path")
    if not _is_host(host):
        raise ValueError("the CRM address must look like https://account.retailcrm.ru")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(f"http:// is allowed only towards this machine: write https://{host}")
    if parts.scheme not in ("http", "https"):
        raise ValueError("the CRM address must begin with https://")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + ("" if port is None else f":{port}")


def check_moved_url(url: str) -> str:
    """The address of an account as a callback names it, which is anybody's word: only RetailCRM itself is sent a key.

    As `check_account_url`, and nothing but ``https://account.zone``. Raises ValueError.
    """
    found = check_account_url(url)
    if _ACCOUNT.fullmatch(found) is None:
        raise ValueError("the address is not that of an account at RetailCRM")
    return found.removesuffix(":443")


def is_loopback(host: str) -> bool:
    """True for `localhost` and literal loopback addresses; other names may resolve to anything."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _is_host(host: str) -> bool:
    if ":" in host:
        try:
            return ip_address(host).version == 6 and "%" not in host
        except ValueError:
            return False
    labels = host.removesuffix(".").split(".")
    return all(label and all(c.isalnum() or c in "-_" for c in label) for label in labels) and _can_be_asked_for(host)


def _can_be_asked_for(host: str) -> bool:
    """DNS has a name like that: whoever resolves *host* encodes it so, too."""
    try:
        return len(host.encode("idna")) <= LONGEST_NAME
    except UnicodeError:
        return False
