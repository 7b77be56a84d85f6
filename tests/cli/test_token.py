"""`amibridge token`: printed once, listed without, revoked."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from amibridge.store.tokens import PREFIX
from tests.cli.commanding import Amibridge
from tests.cli.enterprise_files import EXAMPLE, written

pytestmark = pytest.mark.usefixtures("at_database")


@pytest.fixture
async def applied(at_database: str, amibridge: Amibridge, tmp_path: Path) -> None:
    assert (await amibridge.beside("enterprise", "apply", written(tmp_path, EXAMPLE, "0123.toml"))).code == 0


@pytest.mark.usefixtures("applied")
async def test_a_token_is_printed_once_listed_without_and_revoked(amibridge: Amibridge, pool: asyncpg.Pool) -> None:
    made = await amibridge.beside("token", "add", "0123", "--scope", "read", "--scope", "call", "--expires", "90d")
    assert made.code == 0
    [told] = made.answers
    assert told["token"].startswith(PREFIX)
    assert told["scopes"] == ["call", "read"]
    assert told["token"] not in made.err
    await amibridge.beside("token", "add", "0123", "--scope", "recordings")
    listed = await amibridge.beside("token", "list", "0123")
    assert [(one["state"], one["scopes"]) for one in listed.answers] == [
        ("good", ["call", "read"]),
        ("good", ["recordings"]),
    ]
    assert listed.answers[0]["expires_at"] == told["expires_at"]
    assert told["token"] not in listed.out
    assert (await amibridge.beside("token", "revoke", "0123", str(told["id"]))).code == 0
    again = await amibridge.beside("token", "revoke", "0123", str(told["id"]))
    assert (again.code, again.sentences) == (
        1,
        [f"amibridge: 0123 has no token {told['id']} that could be revoked: amibridge token list 0123"],
    )
    await pool.execute("UPDATE api_tokens SET expires_at = '2020-01-01'")
    assert [one["state"] for one in (await amibridge.beside("token", "list", "0123")).answers] == ["revoked", "expired"]


@pytest.mark.usefixtures("applied")
async def test_whose_is_not_known(amibridge: Amibridge) -> None:
    for words in (("add", "0124", "--scope", "read"), ("list", "0124"), ("revoke", "0124", "1")):
        done = await amibridge.beside("token", *words)
        assert (done.code, done.out) == (1, "")
        assert done.sentences == ["amibridge: there is no enterprise 0124; did you mean 0123?"]


@pytest.mark.parametrize(
    "words",
    [
        ("add", "0123"),
        ("add", "0123", "--scope", "everything"),
        *(
            ("add", "0123", "--scope", "read", "--expires", when)
            for when in ("", "0d", "-1d", "soon", "2020-01-01", "9" * 99)
        ),
        ("revoke", "0123"),
        *(("revoke", "0123", id) for id in ("x", "-1", "1.5", "9" * 30, "")),
    ],
)
def test_what_cannot_be_meant_makes_nothing(amibridge: Amibridge, words: tuple[str, ...]) -> None:
    done = amibridge("token", *words)
    assert (done.code, done.out) == (2, "")
