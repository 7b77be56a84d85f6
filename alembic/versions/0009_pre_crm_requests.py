"""Every request to a CRM: what was asked, what it answered, and what followed.

Runs before the new version is deployed.
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"

STATEMENTS = (
    """
    CREATE TABLE crm_requests (
        enterprise_id   text        NOT NULL,
        id              bigint      GENERATED ALWAYS AS IDENTITY,
        at              timestamptz NOT NULL,
        verb            text        NOT NULL,
        address         text        NOT NULL,
        calls           text[]      NOT NULL,
        deliveries      bigint[]    NOT NULL,
        attempt         integer     NOT NULL,
        http_status     integer,
        took            interval    NOT NULL,
        failure         text,
        verdict         text,
        next_attempt_at timestamptz,
        request         text        NOT NULL,
        answer          text        NOT NULL,
        PRIMARY KEY (enterprise_id, id)
    ) WITH (autovacuum_vacuum_scale_factor = 0.02)
    """,
    """
    CREATE TABLE crm_requests_of_calls (
        enterprise_id text   NOT NULL,
        call_id       text   NOT NULL,
        request_id    bigint NOT NULL,
        PRIMARY KEY (enterprise_id, call_id, request_id)
    ) WITH (autovacuum_vacuum_scale_factor = 0.02)
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
