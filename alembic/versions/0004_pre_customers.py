"""Errands: after a call, its customer is looked for in the CRM, or made there.

Runs before the new version is deployed.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("ALTER TYPE delivery_kind ADD VALUE 'customer'")
