"""Whose affair a request is: the enterprises that are served now, by what a caller knows of them.

Laws: a secret is compared by its digest, so that no answer's time tells how much of it was right; what is not known
opens nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from amibridge.enterprises import ApiToken, Enterprise, EnterpriseId
from amibridge.store.tokens import digest_of


class Tenants:
    def __init__(self) -> None:
        self.are_known = False
        self._by_number: dict[EnterpriseId, Enterprise] = {}
        self._by_secret: dict[bytes, Enterprise] = {}
        self._by_client_id: dict[bytes, Enterprise] = {}
        self._by_token: dict[bytes, tuple[Enterprise, ApiToken]] = {}

    def enterprises(self, known: Iterable[Enterprise]) -> None:
        """These are all enterprises from now on."""
        self.are_known = True
        known = tuple(known)
        self._by_number = {one.id: one for one in known}
        self._by_secret = {digest_of(one.webhook_secret): one for one in known if one.webhook_secret}
        self._by_client_id = {digest_of(one.client_id): one for one in known if one.client_id}
        self._by_token = {token.digest: (one, token) for one in known for token in one.tokens}

    def of_number(self, number: str) -> Enterprise | None:
        return self._by_number.get(EnterpriseId(number))

    def of_secret(self, secret: str) -> Enterprise | None:
        """Whose webhook secret that is: RetailCRM shows it in the paths that we gave it."""
        return self._by_secret.get(digest_of(secret))

    def of_client_id(self, client_id: str) -> Enterprise | None:
        """Whose client id that is: what RetailCRM and callers of ``/api`` present."""
        return self._by_client_id.get(digest_of(client_id))

    def of_token(self, presented: str) -> tuple[Enterprise, ApiToken] | None:
        """Whose API token that is; it may have expired."""
        return self._by_token.get(digest_of(presented))
