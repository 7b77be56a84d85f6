"""For how long recordings are kept and links to them are valid; what opens a host's recordings on another machine.

Runs before the new version is deployed.
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"

STATEMENTS = (
    """
    ALTER TABLE enterprises
        ADD COLUMN recordings_keep interval CHECK (recordings_keep > '0'),
        ADD COLUMN links_valid     interval CHECK (links_valid > '0')
    """,
    "ALTER TABLE hosts ADD COLUMN recordings_password bytea",
    # An address with a password in it was taken before, and never asked: it is a secret in the clear.
    "UPDATE hosts SET recordings = NULL WHERE recordings ~ '^[a-z]+://[^/]*:[^/]*@'",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
