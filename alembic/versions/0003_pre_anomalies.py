"""Anomalies, with the bytes that caused them.

Runs before the new version is deployed.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = (
    """
    CREATE TABLE anomalies (
        enterprise_id text        NOT NULL,
        id            bigint      GENERATED ALWAYS AS IDENTITY,
        host          text        NOT NULL,
        call_id       text        NOT NULL,
        at            timestamptz NOT NULL,
        text          text        NOT NULL,
        passed_over   integer     NOT NULL,
        trace         bytea       NOT NULL,
        recorded_at   timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (enterprise_id, id)
    )
    """,
    """
    CREATE INDEX anomalies_by_host ON anomalies (enterprise_id, host, id)
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
