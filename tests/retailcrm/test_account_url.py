from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amibridge.retailcrm.account_url import check_account_url, is_loopback


@pytest.mark.parametrize(
    ("url", "checked"),
    [
        ("https://romashka.retailcrm.ru", "https://romashka.retailcrm.ru"),
        ("https://Romashka.RetailCRM.ru/", "https://romashka.retailcrm.ru"),
        ("https://crm.example:8443", "https://crm.example:8443"),
        (f"https://{'a' * 63}.retailcrm.ru", f"https://{'a' * 63}.retailcrm.ru"),
        ("https://ромашка.example", "https://ромашка.example"),
        ("http://localhost:8080/", "http://localhost:8080"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]"),
    ],
)
def test_an_address_is_accepted_and_normalised(url: str, checked: str) -> None:
    assert check_account_url(url) == checked


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://romashka.retailcrm.ru", "only towards this machine"),
        ("http://localhost.evil.example", "only towards this machine"),
        ("http://127.0.0.1.evil.example", "only towards this machine"),
        ("http://2130706433", "only towards this machine"),
        ("http://10.0.0.5", "only towards this machine"),
        ("http://0.0.0.0", "only towards this machine"),
        ("http://localhost@evil.example", "user name"),
        ("https://user:hunter2@crm.example", "user name"),
        ("https://crm.example?apiKey=hunter2", "query"),
        ("https://crm.example#hunter2", "query"),
        ("https://crm.example/api/v5", "path"),
        ("https://crm.example\\@localhost", "backslash"),
        ("https://crm.example\r\nX: hunter2", "unprintable"),
        (" https://crm.example", "space"),
        ("ftp://crm.example", "begin with https"),
        ("crm.example", "path"),
        ("", "look like"),
        ("https://", "look like"),
        ("https://crm..example", "look like"),
        (f"https://{'a' * 64}.retailcrm.ru", "look like"),
        (f"https://{'я' * 60}.retailcrm.ru", "look like"),
        (f"https://{'a.' * 130}ru", "look like"),
        ("https://crm.example:99999", "not a valid URL"),
        ("https://[::1", "not a valid URL"),
        ("https://[fe80::1%eth0]", "look like|not a valid"),
        ("https://[v1.x:y]", "look like|not a valid"),
    ],
)
def test_a_dangerous_or_broken_address_is_refused_in_words(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        check_account_url(url)
    assert "hunter2" not in str(caught.value)


@given(st.text(max_size=60))
def test_whatever_passes_is_safe_and_passes_again(text: str) -> None:
    for prefix in ("", "http://", "https://", "http://localhost"):
        try:
            checked = check_account_url(prefix + text)
        except ValueError:
            continue
        assert check_account_url(checked) == checked
        scheme, _, rest = checked.partition("://")
        host = rest.rpartition(":")[0] if rest.rpartition(":")[2].isdigit() and not rest.endswith("]") else rest
        assert scheme == "https" or is_loopback(host.strip("[]"))
