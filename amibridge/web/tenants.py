"""Whose affair a request is: the enterprises that are served now, by what a caller knows of them.

Laws: a secret is compared by its digest, so that no answer's time tells how much of it was right; what is not known
opens nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from amibridge.enterprises import Enterprise, EnterpriseId


class Tenants:
    def __init__(self) -> None:
        self._by_number: dict[EnterpriseId, Enterprise] = {}
        self._by_secret: dict[bytes, Enterprise] = {}
        self._by_client_id: dict[bytes, Enterprise] = {}

    def enterprises(self, known: Iterable[Enterprise]) -> None:
        """These are all enterprises from now on."""
        known = tuple(known)
        self._by_number = {one.id: one for one in known}
        self._by_secret = {_digest(one.webhook_secret): one for one in known if one.webhook_secret}
        self._by_client_id = {_digest(one.client_id): one for one in known if one.client_id}

    def of_number(self, number: str) -> Enterprise | None:
        return self._by_number.get(EnterpriseId(number))

    def of_secret(self, secret: str) -> Enterprise | None:
        """Whose webhook secret that is: RetailCRM shows it in the paths that we gave it."""
        return self._by_secret.get(_digest(secret))

    def of_client_id(self, client_id: str) -> Enterprise | None:
        """Whose client id that is: what RetailCRM and callers of ``/api`` present."""
        return self._by_client_id.get(_digest(client_id))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
