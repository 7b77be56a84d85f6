"""Why a request over HTTP did not come through, and what to do about it, from what aiohttp raised."""

from __future__ import annotations

import os

import aiohttp


def why(error: BaseException | None) -> tuple[str, str]:
    """(what happened, what to do); the address is said by the caller."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            reason = getattr(error.certificate_error, "verify_message", "") or str(error.certificate_error)
            advice = "look at the certificate's names and dates, and at the CA certificates of this machine"
            return f"its TLS certificate is not believed: {reason}", advice
        case aiohttp.ClientConnectorDNSError():
            return "its name has no address", "look at the spelling, and at the DNS of this machine"
        case aiohttp.ClientSSLError():
            return "it does not speak TLS", "look whether the port is the one of https, and for a proxy in between"
        case aiohttp.ClientConnectorError():
            number = error.os_error.errno
            reason = (
                os.strerror(number) if number else type(error.os_error).__name__
            )  # asyncio's words name the address
            return f"no connection: {reason}", "look whether it runs, and at firewalls in between"
        case TimeoutError():
            return "it does not answer in time", "look at its load, and at firewalls and proxies in between"
        case aiohttp.ClientConnectionError():
            return "it ended the connection without an answer", "look at proxies in between, and at its log"
        case _:
            return "it does not speak HTTP as it should", "look whether the address is the right one"
