"""Which rights of its key an enterprise needs: reading always, writing for what it wants to be created."""

from __future__ import annotations

from dataclasses import replace

import pytest

from amibridge.retailcrm.replies import REQUIRED_SCOPES, CredentialsReply
from amibridge.retailcrm.rights import missing, needed
from tests.store.enterprises import romashka


@pytest.mark.parametrize(
    ("customers", "orders", "tasks", "more", "less"),
    [
        (True, False, False, set(), set()),
        (True, True, False, {"order_write"}, set()),
        (True, False, True, {"task_read", "task_write"}, set()),
        (False, False, False, set(), {"customer_write"}),
    ],
)
def test_what_is_created_needs_its_right(
    customers: bool, orders: bool, tasks: bool, more: set[str], less: set[str]
) -> None:
    enterprise = replace(romashka(), create_customers=customers, create_orders=orders, create_tasks=tasks)
    assert set(needed(enterprise)) == {*REQUIRED_SCOPES, *more} - less
    assert missing(enterprise, CredentialsReply(frozenset(needed(enterprise)))) == ()
    assert missing(enterprise, CredentialsReply(frozenset())) == needed(enterprise)
    some = CredentialsReply(frozenset(needed(enterprise)) - {"telephony_write", "user_read"})
    assert missing(enterprise, some) == ("telephony_write", "user_read")
