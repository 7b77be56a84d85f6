"""The signature by which a receiver knows that we speak: Standard Webhooks, version 1.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md. Pure.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterable

from amibridge.redact import Secret
from amibridge.store.webhooks import SECRET_PREFIX

FEWEST_BYTES, MOST_BYTES = 24, 64
"""Of a key, as the specification has it."""


def check_secret(text: str) -> str:
    """*text*, if it is a secret to sign with. Raises ValueError, whose words complete a sentence."""
    try:
        key = b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(SECRET_PREFIX) or not FEWEST_BYTES <= len(key) <= MOST_BYTES:
        raise ValueError(
            f"must be {SECRET_PREFIX} and {FEWEST_BYTES} to {MOST_BYTES} bytes in base64: "
            f'echo "{SECRET_PREFIX}$(openssl rand -base64 32)"'
        )
    return text


def sign(secrets: Iterable[Secret], id: str, timestamp: int, body: bytes) -> str:
    """One signature for each secret: whoever knows any of them knows us."""
    signed = b".".join((id.encode(), str(timestamp).encode(), body))
    return " ".join(f"v1,{_mac(secret, signed)}" for secret in secrets)


def _mac(secret: Secret, signed: bytes) -> str:
    return b64encode(hmac.digest(b64decode(secret.removeprefix(SECRET_PREFIX)), signed, hashlib.sha256)).decode("ascii")
