"""An enterprise's facts in the order in which they may be told, each once.

Runs before the new version is deployed.
"""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"

STATEMENTS = (
    """
    CREATE INDEX facts_in_order ON facts (enterprise_id, seq)
    """,
    """
    CREATE FUNCTION take_turn() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock(hashtextextended('amibridge facts', 0));
        RETURN NULL;
    END
    $$
    """,
    """
    CREATE TRIGGER facts_in_turn BEFORE INSERT ON facts FOR EACH STATEMENT EXECUTE FUNCTION take_turn()
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
