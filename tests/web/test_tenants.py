"""Whose affair a request is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from amibridge.enterprises import EnterpriseId
from amibridge.redact import Secret
from amibridge.web.tenants import Tenants
from tests.store.enterprises import romashka

ONE = replace(romashka("0001"), client_id="client-one", webhook_secret=Secret("secret-one"))
TWO = replace(romashka("0002"), client_id="client-two", webhook_secret=Secret("secret-two"))


@pytest.fixture
def tenants() -> Tenants:
    tenants = Tenants()
    tenants.enterprises([ONE, TWO])
    return tenants


def test_each_is_found_by_what_is_its_own(tenants: Tenants) -> None:
    for one in (ONE, TWO):
        assert tenants.of_number(one.id) is one
        assert tenants.of_secret(one.webhook_secret) is one
        assert tenants.of_client_id(one.client_id) is one


@pytest.mark.parametrize(
    "text", ["", "secret-on", "secret-one ", "SECRET-ONE", "client-one", "\0", "\ud800", "x" * 100_000]
)
def test_what_is_not_known_opens_nothing(tenants: Tenants, text: str) -> None:
    assert tenants.of_secret(text) is None


def test_who_left_is_gone_and_an_old_secret_opens_nothing(tenants: Tenants) -> None:
    tenants.enterprises([replace(ONE, webhook_secret=Secret("new"))])
    assert tenants.of_secret("secret-one") is None
    assert tenants.of_secret("new") is not None
    assert tenants.of_number(EnterpriseId("0002")) is None
    assert tenants.of_client_id("client-two") is None


def test_an_empty_secret_is_nobodys() -> None:
    tenants = Tenants()
    tenants.enterprises([replace(ONE, webhook_secret=Secret(""), client_id="")])
    assert tenants.of_secret("") is None
    assert tenants.of_client_id("") is None
