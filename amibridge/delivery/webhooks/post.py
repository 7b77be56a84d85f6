"""The wire to receivers: one POST, signed, and what was answered.

Laws: nobody is sent anywhere else, redirects included; an answer is read up to a bound in size and in time, and nothing
of it is believed but its status; nothing is repeated here.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import aiohttp
from yarl import URL

from amibridge import __version__
from amibridge.delivery.webhooks.resolver import OwnThreads
from amibridge.delivery.webhooks.signature import sign
from amibridge.enterprises import Webhook
from amibridge.retailcrm.masking import masked_text
from amibridge.retailcrm.responses import retry_after

WITHIN = timedelta(seconds=10)
"""For the whole of a try."""

SAID_WITHIN = timedelta(seconds=1)
"""For the body of an answer, of which the status is all that counts."""

SAID_MAX = 300
"""Characters of a refusal that are kept."""

KEEP_ALIVE = timedelta(seconds=4)
"""Less than the five seconds after which many servers close a connection that nobody uses."""


@dataclass(frozen=True, slots=True)
class Heard:
    """*status* None: no answer came, and *said* tells why; else what was answered, begun with the status."""

    status: int | None
    said: str
    retry_after: timedelta | None = None

    @property
    def plainly(self) -> str:
        """For the log, and for health, which anybody may ask: some servers refuse a thing by repeating it."""
        return self.said if self.status is None else str(self.status)


class Post:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def send(self, webhook: Webhook, id: str, body: bytes) -> Heard:
        """One try."""
        now = datetime.now(UTC)
        timestamp = int(now.timestamp())
        secrets = [webhook.secret, *([webhook.previous_secret] if webhook.previous_secret else [])]
        headers = {
            "Content-Type": "application/json",
            "webhook-id": id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(secrets, id, timestamp, body),
        }
        try:
            async with self._session.post(
                URL(webhook.url, encoded=True), data=body, headers=headers, allow_redirects=False
            ) as response:
                return Heard(
                    response.status,
                    await _said(response),
                    retry_after(response.headers, datetime.now(UTC)),
                )
        except TimeoutError:
            return Heard(None, f"no answer within {WITHIN.total_seconds():g} s")
        except aiohttp.ClientConnectorCertificateError as error:
            why = getattr(error.certificate_error, "verify_message", "") or "it is not believed"
            return Heard(None, f"its TLS certificate: {why}")
        except (aiohttp.ClientSSLError, ssl.SSLError):
            return Heard(None, "it does not speak TLS")
        except aiohttp.ClientConnectorDNSError:
            return Heard(None, "its name has no address")
        except aiohttp.ClientConnectorError as error:
            number = error.os_error.errno  # asyncio's own words name the address
            return Heard(None, f"no connection: {os.strerror(number) if number else type(error.os_error).__name__}")
        except (aiohttp.ClientResponseError, aiohttp.InvalidURL, ValueError) as error:
            return Heard(None, f"it does not speak HTTP as it should: {type(error).__name__}")
        except (aiohttp.ClientError, OSError) as error:
            return Heard(None, f"the connection broke: {type(error).__name__}")


async def _said(response: aiohttp.ClientResponse) -> str:
    """Read also where it says nothing to us: a connection whose answer was read can be used again."""
    body = b""
    with suppress(aiohttp.ClientError, OSError, TimeoutError):  # the status has been told, whatever comes of the rest
        async with asyncio.timeout(SAID_WITHIN.total_seconds()):
            while len(body) < SAID_MAX and (piece := await response.content.read(SAID_MAX - len(body))):
                body += piece
    if 200 <= response.status < 300:
        return str(response.status)
    text = masked_text(" ".join(body.decode("utf-8", "replace").split()))
    shown = "".join(one if one.isprintable() else "?" for one in text)
    return f"{response.status}: {shown}" if shown else str(response.status)


@asynccontextmanager
async def open_post(within: timedelta = WITHIN) -> AsyncIterator[Post]:
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0, keepalive_timeout=KEEP_ALIVE.total_seconds(), ttl_dns_cache=60, resolver=OwnThreads()
        ),
        timeout=aiohttp.ClientTimeout(total=within.total_seconds()),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": f"amibridge/{__version__}", "Accept-Encoding": "identity"},
        auto_decompress=False,
    ) as session:
        yield Post(session)
