"""Whoever reads the specification, or our manual, knows what comes from us."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from amibridge.delivery.webhooks.signature import check_secret, sign
from amibridge.redact import Secret
from amibridge.store.webhooks import make_secret
from tests.delivery.webhooks.receiver import SECRET, is_ours, manual


def test_the_vector_of_the_standards_own_libraries() -> None:
    secret = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = sign([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def headers(signature: str, timestamp: int) -> dict[str, str]:
    return {"webhook-id": "17", "webhook-timestamp": str(timestamp), "webhook-signature": signature}


def test_the_manuals_python_knows_us_and_nobody_else() -> None:
    known, other, body, now = Secret(SECRET), make_secret(), b'{"id":17}', int(time.time())
    ours = headers(sign([other, known], "17", now, body), now)
    assert is_ours()(known, ours, body)
    assert is_ours()(other, ours, body), "both secrets sign while one takes the other's place"
    assert not is_ours()(make_secret(), ours, body)
    assert not is_ours()(known, ours, body + b" ")
    assert not is_ours()(known, ours | {"webhook-id": "18"}, body)
    assert not is_ours()(known, headers(sign([known], "17", now - 600, body), now - 600), body)


async def test_the_manuals_shell_makes_the_same_signature(tmp_path: Path) -> None:
    body, now = '{"phone":"+375…","é":"\\u0000 %s"}'.encode(), int(time.time())
    (tmp_path / "body").write_bytes(body)
    process = await asyncio.create_subprocess_exec(
        "sh",
        "-c",
        manual("bash"),
        stdout=asyncio.subprocess.PIPE,
        env={
            "PATH": "/usr/bin:/bin",
            "SECRET": SECRET,
            "WEBHOOK_ID": "17",
            "WEBHOOK_TIMESTAMP": str(now),
            "BODY_FILE": str(tmp_path / "body"),
        },
    )
    out, _ = await process.communicate()
    assert out.decode().strip() == sign([Secret(SECRET)], "17", now, body)


def test_what_is_made_can_be_signed_with() -> None:
    assert check_secret(make_secret())
    assert make_secret() != make_secret()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        "whsec_AAAA",
        SECRET.removeprefix("whsec_"),
        SECRET + "\n",
        SECRET + "=",
        "whsec_" + "é" * 40,
        "whsec_" + "A" * 92,
        "WHSEC_" + SECRET[6:],
        SECRET.replace("9", "-"),
    ],
)
def test_what_is_no_secret_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="must be whsec_ and 24 to 64 bytes") as refused:
        check_secret(text)
    assert len(text) < 10 or text not in str(refused.value)
