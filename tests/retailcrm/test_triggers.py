"""Whatever a trigger sends is read as the little that is taken from it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amibridge.retailcrm.triggers import Hint, Subject, client_id_in, read_hint

ORDER, CUSTOMER = Hint(Subject.ORDER, 5), Hint(Subject.CUSTOMER, 5)


@pytest.mark.parametrize(
    ("query", "body", "hint"),
    [
        ({"event": "order.create", "id": "5"}, b"", ORDER),
        ({"event": "order.edit", "id": " 5 "}, b"", ORDER),
        ({"type": "customer.create", "id": "5"}, b"", CUSTOMER),
        ({"event": "CUSTOMER.EDIT", "id": "5"}, b"", CUSTOMER),
        ({"type": "order", "id": "5"}, b"", ORDER),
        ({}, b"event=order.edit&id=5", ORDER),
        ({}, b"type=customer.edit&id=5&name=%D0%9E", CUSTOMER),
        ({}, b"order%5Bid%5D=5&order[status]=new", ORDER),
        ({}, b"orderId=5", ORDER),
        ({}, b'order={"id":5}', ORDER),
        ({}, b'{"event": "order.edit", "id": 5}', ORDER),
        ({}, b'{"event": "order.edit", "order": {"id": "5", "number": "5A"}}', ORDER),
        ({}, b'{"customer": {"id": 5}}', CUSTOMER),
        ({}, '\ufeff{"customer": {"id": 5}}'.encode(), Hint()),
        ({"event": "order.edit"}, b'{"id": 5}', Hint(Subject.ORDER)),
        ({"event": "order.edit", "id": "7"}, b'{"event": "order.edit", "id": 5}', ORDER),
        ({"event": "order.edit", "id": "5"}, b"nothing=of&use=1", ORDER),
        ({"event": "order.edit"}, b"", Hint(Subject.ORDER)),
        ({"event": "order.edit", "id": "5A"}, b"", Hint(Subject.ORDER)),
        ({"event": "order.edit", "id": "-5"}, b"", Hint(Subject.ORDER)),
        ({"event": "order.edit", "id": "0"}, b"", Hint(Subject.ORDER)),
        ({"event": "order.edit", "id": "9" * 40}, b"", Hint(Subject.ORDER)),
        ({}, b'{"event": "order.edit", "id": 1' + b"0" * 30 + b"}", Hint(Subject.ORDER)),
        ({}, b'{"event": "order.edit", "id": true}', Hint(Subject.ORDER)),
        ({"event": "customer_corporate.edit", "id": "5"}, b"", Hint()),
        ({"event": "payment.edit", "id": "5"}, b"", Hint()),
        ({"id": "5"}, b"", Hint()),
        ({}, b"[1, 2]", Hint()),
        ({}, b"{", Hint()),
        ({}, b"[" * 60_000, Hint()),
        ({}, b"a=1&" * 10_000, Hint()),
        ({}, b"\xff\xfe\x00", Hint()),
        ({}, b"", Hint()),
    ],
)
def test_a_hint(query: dict[str, str], body: bytes, hint: Hint) -> None:
    assert read_hint(query, body) == hint


@pytest.mark.parametrize(
    ("query", "body", "name"),
    [
        ({"clientId": "abc"}, b"id=5", "abc"),
        ({}, b'{"clientId": "abc"}', "abc"),
        ({}, b"clientId=abc", "abc"),
        ({"enterprise": "0123"}, b"", "0123"),
        ({}, b'{"enterprise_number": "0123"}', "0123"),
        ({}, b"", None),
    ],
)
def test_who_says_to_be_speaking(query: dict[str, str], body: bytes, name: str | None) -> None:
    assert client_id_in(query, body) == name


@given(
    st.dictionaries(st.sampled_from(["event", "type", "id", "order", "orderId"]), st.text()), st.binary(max_size=200)
)
def test_nothing_that_is_sent_is_an_error(query: dict[str, str], body: bytes) -> None:
    hint = read_hint(query, body)
    assert hint.id is None or hint.subject is not None
