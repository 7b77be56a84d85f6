"""Which rights (RetailCRM's scopes) an enterprise's API key needs for what the enterprise wants done. Pure."""

from __future__ import annotations

from amibridge.enterprises import Enterprise
from amibridge.retailcrm.replies import REQUIRED_SCOPES, CredentialsReply


def needed(enterprise: Enterprise) -> tuple[str, ...]:
    """Nobody's file asks for less than reading; what is created is its choice."""
    unwanted = {"customer_write"} if not enterprise.create_customers else set()
    orders = ("order_write",) if enterprise.create_orders else ()
    tasks = ("task_read", "task_write") if enterprise.create_tasks else ()
    return (*(scope for scope in REQUIRED_SCOPES if scope not in unwanted), *orders, *tasks)


def missing(enterprise: Enterprise, reply: CredentialsReply) -> tuple[str, ...]:
    return tuple(scope for scope in needed(enterprise) if scope not in reply.scopes)
