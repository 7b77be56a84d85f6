"""Where a webhook may lead: to a web server, named by whoever runs the bridge, and by nothing that hides in an address.

Law: no text repeats the address, which may carry a password by mistake. Pure.
"""

from __future__ import annotations

from urllib.parse import urlsplit

LONGEST = 2_000
"""Characters: what every web server takes."""


def check_webhook_url(url: str) -> str:
    """*url*, if it is one. Raises ValueError, whose words complete a sentence that begins with the name of the key."""
    if len(url) > LONGEST:
        raise ValueError(f"is longer than {LONGEST} characters")
    if any(not "!" <= one <= "~" or one == "\\" for one in url):
        raise ValueError("must be of ASCII characters without spaces and backslashes; other letters are encoded")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("is not an address that can be understood") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("must begin with https:// or http://")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user or a password: what comes from us is known by its signature")
    if "#" in url:
        raise ValueError("must not hold a fragment: no server would see it")
    if port == 0 or not _is_host(host, bracketed="[" in parts.netloc):
        raise ValueError("must name a server, like https://erp.example.com/calls")
    return url


def _is_host(host: str, *, bracketed: bool) -> bool:
    if bracketed:
        return ":" in host and "%" not in host
    labels = host.removesuffix(".").split(".")
    return len(host) <= 253 and all(
        0 < len(label) <= 63 and all(one.isalnum() or one in "-_" for one in label) for label in labels
    )
