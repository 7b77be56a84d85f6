"""How a host wants numbers to be dialled.

Runs before the new version is deployed: the old one writes hosts without it, and they dial as they did.
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute(
        "ALTER TABLE hosts ADD COLUMN originate_number text NOT NULL DEFAULT 'as_given'"
        " CHECK (originate_number IN ('as_given', 'e164', 'digits', 'national'))"
    )
