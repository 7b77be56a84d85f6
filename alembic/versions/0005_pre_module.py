"""By which code our module stands in the account, and what the CRM said of it.

Runs before the new version is deployed.
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS = (
    """
    ALTER TABLE enterprises ADD COLUMN module_code text
    """,
    """
    CREATE TABLE crm_modules (
        enterprise_id text        PRIMARY KEY REFERENCES enterprises ON DELETE CASCADE,
        active        boolean     NOT NULL,
        frozen        boolean     NOT NULL,
        told_at       timestamptz NOT NULL,
        moved_to      text,
        unheeded      text
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
