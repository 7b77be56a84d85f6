"""Who should take a call: what each enterprise wants of it, and how its operators stand.

Runs before the new version is deployed.
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"

STATEMENTS = (
    """
    ALTER TABLE enterprises
        ADD COLUMN responsible_mode     text   NOT NULL DEFAULT 'off'
            CHECK (responsible_mode IN ('off', 'name', 'route')),
        ADD COLUMN responsible_dialplan text   NOT NULL DEFAULT 'mngr{extension}_{line}_1',
        ADD COLUMN responsible_fallback text   NOT NULL DEFAULT 'none'
            CHECK (responsible_fallback IN ('none', 'last_call')),
        ADD COLUMN responsible_name     text[] NOT NULL DEFAULT '{customer}'
    """,
    """
    CREATE TABLE operator_statuses (
        enterprise_id text        NOT NULL REFERENCES enterprises ON DELETE CASCADE,
        crm_user      bigint      NOT NULL,
        extension     text,
        status        text        NOT NULL CHECK (status IN ('free', 'busy', 'dinner', 'break')),
        told_at       timestamptz NOT NULL,
        PRIMARY KEY (enterprise_id, crm_user)
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
