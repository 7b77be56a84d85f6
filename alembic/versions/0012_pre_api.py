"""Who may ask over HTTP, and what was done there; whose calls were whose, to find them.

Runs before the new version is deployed.
"""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"

STATEMENTS = (
    """
    CREATE TABLE api_tokens (
        enterprise_id text        NOT NULL REFERENCES enterprises ON DELETE CASCADE,
        id            bigint      GENERATED ALWAYS AS IDENTITY,
        digest        bytea       NOT NULL,
        scopes        text[]      NOT NULL,
        created_at    timestamptz NOT NULL,
        expires_at    timestamptz,
        revoked_at    timestamptz,
        PRIMARY KEY (enterprise_id, id)
    )
    """,
    """
    CREATE TABLE audit (
        enterprise_id text        NOT NULL,
        id            bigint      GENERATED ALWAYS AS IDENTITY,
        at            timestamptz NOT NULL,
        who           text        NOT NULL,
        address       text        NOT NULL,
        action        text        NOT NULL,
        target        text        NOT NULL,
        outcome       text        NOT NULL,
        request       text        NOT NULL,
        PRIMARY KEY (enterprise_id, id)
    )
    """,
    """
    CREATE INDEX audit_by_time ON audit (enterprise_id, at)
    """,
    """
    CREATE TABLE call_extensions (
        enterprise_id text        NOT NULL,
        call_id       text        NOT NULL,
        extension     text        NOT NULL,
        started_at    timestamptz NOT NULL,
        PRIMARY KEY (enterprise_id, call_id, extension),
        FOREIGN KEY (enterprise_id, call_id) REFERENCES calls ON DELETE CASCADE
    )
    """,
    """
    INSERT INTO call_extensions (enterprise_id, call_id, extension, started_at)
    SELECT DISTINCT enterprise_id, call_id, extension, started_at
      FROM calls, unnest(rang || operators || caller) AS part (extension)
     WHERE extension IS NOT NULL
    """,
    """
    CREATE INDEX call_extensions_by_time ON call_extensions (enterprise_id, extension, started_at)
    """,
    """
    CREATE INDEX calls_by_verdict ON calls (enterprise_id, direction, outcome, started_at)
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
