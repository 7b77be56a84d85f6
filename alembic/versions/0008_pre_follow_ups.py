"""What is made in the CRM of missed calls: who wants what, and what is open.

Runs before the new version is deployed.
"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"

STATEMENTS = (
    "ALTER TYPE delivery_kind ADD VALUE 'follow_up'",
    """
    ALTER TABLE enterprises
        ADD COLUMN create_tasks         boolean  NOT NULL DEFAULT false,
        ADD COLUMN missed_wait          interval NOT NULL DEFAULT '3 minutes',
        ADD COLUMN missed_never_for     text[]   NOT NULL DEFAULT '{}',
        ADD COLUMN task_performer       integer,
        ADD COLUMN missed_text          text     NOT NULL DEFAULT 'Пропущенный звонок',
        ADD COLUMN task_within          interval NOT NULL DEFAULT '1 hour',
        ADD COLUMN order_method         text,
        ADD COLUMN order_type           text,
        ADD COLUMN order_status         text,
        ADD COLUMN order_status_reached text
    """,
    "ALTER TABLE retailcrm_customers ADD COLUMN made_for text",
    """
    CREATE TABLE follow_ups (
        enterprise_id text        NOT NULL,
        call_id       text        NOT NULL,
        phone         text        NOT NULL,
        kind          text        NOT NULL CHECK (kind IN ('task', 'order')),
        account       text        NOT NULL,
        site          text,
        mark          text        NOT NULL,
        missed_at     timestamptz NOT NULL,
        crm_id        bigint,
        crm_status    text,
        created_at    timestamptz NOT NULL DEFAULT now(),
        closed_at     timestamptz,
        ending        text        CHECK (ending IN ('reached', 'by others', 'gone', 'account left')),
        PRIMARY KEY (enterprise_id, call_id),
        CHECK ((closed_at IS NULL) = (ending IS NULL))
    )
    """,
    """
    CREATE UNIQUE INDEX follow_ups_open ON follow_ups (enterprise_id, phone) WHERE closed_at IS NULL
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
