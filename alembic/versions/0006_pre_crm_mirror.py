"""What the CRM tells of customers and orders, and how far we have read its histories.

Runs before the new version is deployed.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"

STATEMENTS = (
    """
    CREATE TABLE crm_customers (
        enterprise_id text        NOT NULL,
        customer_id   bigint      NOT NULL,
        external_id   text,
        name          text        NOT NULL,
        site          text,
        manager_id    bigint,
        is_contact    boolean     NOT NULL,
        vip           boolean     NOT NULL,
        created_at    timestamptz,
        deleted_at    timestamptz,
        merged_into   bigint,
        seen_at       timestamptz NOT NULL,
        PRIMARY KEY (enterprise_id, customer_id)
    )
    """,
    """
    CREATE TABLE crm_phones (
        enterprise_id text   NOT NULL,
        phone         text   NOT NULL,
        customer_id   bigint NOT NULL,
        PRIMARY KEY (enterprise_id, phone, customer_id)
    )
    """,
    """
    CREATE INDEX crm_phones_by_customer ON crm_phones (enterprise_id, customer_id)
    """,
    """
    CREATE TABLE crm_orders (
        enterprise_id     text        NOT NULL,
        order_id          bigint      NOT NULL,
        number            text,
        external_id       text,
        site              text,
        customer_id       bigint,
        company_id        bigint,
        phone             text,
        manager_id        bigint,
        status            text,
        status_group      text,
        total             numeric,
        currency          text,
        order_method      text,
        created_at        timestamptz,
        status_changed_at timestamptz,
        paid_at           timestamptz,
        deleted_at        timestamptz,
        seen_at           timestamptz NOT NULL,
        PRIMARY KEY (enterprise_id, order_id)
    )
    """,
    """
    CREATE INDEX crm_orders_by_customer ON crm_orders (enterprise_id, customer_id, created_at)
    """,
    """
    CREATE INDEX crm_orders_by_manager ON crm_orders (enterprise_id, manager_id, created_at)
    """,
    """
    CREATE INDEX crm_orders_by_phone ON crm_orders (enterprise_id, phone, created_at) WHERE phone IS NOT NULL
    """,
    """
    CREATE TABLE crm_cursors (
        enterprise_id   text        NOT NULL,
        history         text        NOT NULL CHECK (history IN ('customers', 'orders')),
        account         text        NOT NULL,
        started_at      timestamptz NOT NULL,
        since_id        bigint,
        backfilled_from date,
        moved_at        timestamptz NOT NULL,
        PRIMARY KEY (enterprise_id, history)
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
