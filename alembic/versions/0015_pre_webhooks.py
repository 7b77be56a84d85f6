"""Webhooks of ours: whom an enterprise wants told of its calls, and for which of them a delivery is.

Runs before the new version is deployed.
"""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"

STATEMENTS = (
    "ALTER TYPE delivery_kind ADD VALUE 'webhook'",
    """
    CREATE TABLE webhooks (
        enterprise_id   text        NOT NULL REFERENCES enterprises ON DELETE CASCADE,
        name            text        NOT NULL,
        url             text        NOT NULL,
        secret          bytea       NOT NULL,
        previous_secret bytea,
        events          text[],
        PRIMARY KEY (enterprise_id, name)
    )
    """,
    "ALTER TABLE deliveries ADD COLUMN webhook text NOT NULL DEFAULT ''",
    # An older version that still runs goes on writing: its rows are the CRM's, which the new index keeps apart as well.
    "DROP INDEX deliveries_once",
    "CREATE UNIQUE INDEX deliveries_once ON deliveries (enterprise_id, host, fact_key, kind, webhook)",
    "DROP INDEX deliveries_unfinished",
    """
    CREATE INDEX deliveries_unfinished ON deliveries (enterprise_id, status, webhook, id)
     WHERE status IN ('due', 'parked')
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
