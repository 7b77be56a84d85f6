"""The ledger of deliveries, page by page, by what became of them and of which kind they are; follow-ups that are over,
in the order in which they ended, to be forgotten.

Runs before the new version is deployed.
"""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.execute("CREATE INDEX deliveries_by_state ON deliveries (enterprise_id, status, kind, created_at, id)")
    op.execute("CREATE INDEX follow_ups_closed ON follow_ups (enterprise_id, closed_at) WHERE closed_at IS NOT NULL")
