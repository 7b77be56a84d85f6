"""When a delivery was tried for the first time: its days of retries count from there, not from when the call ended.

Runs before the new version is deployed.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("ALTER TABLE deliveries ADD COLUMN first_tried_at timestamptz")
