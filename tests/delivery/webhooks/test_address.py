"""An address is a web server's, and nothing hides in it."""

from __future__ import annotations

import pytest

from amibridge.delivery.webhooks.address import check_webhook_url


@pytest.mark.parametrize(
    "url",
    [
        "https://erp.example.com/calls",
        "http://10.0.0.7:8080/",
        "http://erp",
        "https://[2001:db8::1]:8443/a?key=1&b=%2F",
        "https://xn--e1afmkfd.xn--p1ai/x",
        "http://localhost:1/",
    ],
)
def test_what_is_one(url: str) -> None:
    assert check_webhook_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "erp.example.com/calls",
        "ftp://erp.example.com/hush",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https:///hush",
        "https://user:hush@erp.example.com/",
        "https://hush@erp.example.com/",
        "https://erp.example.com/#hush",
        "https://erp.example.com/#",
        "https://erp.example.com/\nhush: 1",
        "https://erp.example.com/ hush",
        "https://erp.example.com\\@hush.example/",
        "https://erp.example.com:0/hush",
        "https://erp.example.com:99999/hush",
        "https://erp..example.com/hush",
        "https://пример.рф/hush",
        "https://[fe80::1%25eth0]/hush",
        "https://[hush]/",
        "https://" + "a" * 300 + "/hush",
        "https://erp.example.com/" + "hush" * 1000,
        "https://erp.example.com/\x00hush",
    ],
)
def test_what_is_none_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|must) ") as refused:
        check_webhook_url(url)
    assert "hush" not in str(refused.value)
