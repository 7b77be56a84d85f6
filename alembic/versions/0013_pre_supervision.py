"""Whose phones may listen in on others.

Runs before the new version is deployed: the old one writes enterprises without it, and nobody's may.
"""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.execute("ALTER TABLE enterprises ADD COLUMN supervisors text[] NOT NULL DEFAULT '{}'")
