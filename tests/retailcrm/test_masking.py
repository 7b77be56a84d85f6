"""What the ledger keeps of requests and answers names nobody and opens nothing, whatever is in them."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amibridge.redact import HIDDEN
from amibridge.retailcrm.masking import (
    LONGEST,
    masked_address,
    masked_body,
    masked_fields,
    masked_number,
    masked_text,
)

NAMES = ("Иван", "Petrova", "Ленина 5, кв. 7", "o'Brien")
FIELDS = ("firstName", "phone", "number", "phones", "text", "comment", "address", "newValue", "x", "email", "name")


def digits(text: str) -> str:
    return "".join(char for char in text if char.isdigit())


def spelt(number: str, separators: list[str]) -> str:
    """*number* with *separators* between its digits, as long as there are some."""
    return "".join(a + b for a, b in zip(number, [*separators, *[""] * len(number)], strict=False))


numbers = st.text("0123456789", min_size=9, max_size=15)
spellings = st.builds(
    spelt,
    numbers,
    st.lists(st.sampled_from(["", "", " ", "-", "(", ") ", ".", "\u00a0", "\u200b", "\x00"]), max_size=14),
)
words = st.sampled_from(NAMES)
people = st.one_of(spellings, spellings.map("+{}".format), words, st.just("ivan.petrov@mail.ru"), st.just("i@x.ru"))


def bodies(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    fields = st.dictionaries(st.sampled_from(FIELDS), leaves, min_size=1, max_size=3)
    return st.recursive(
        fields, lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner)
    )


def leaves(body: Any) -> list[str]:
    if isinstance(body, dict | list):
        return [leaf for inner in (body.values() if isinstance(body, dict) else body) for leaf in leaves(inner)]
    return [str(body)]


def gives_away(masked: str, person: str) -> bool:
    """Whether *person* can be read off: his name, or more of his number than its ends."""
    number = digits(person)
    if len(number) >= 9:
        return number[: len(number) - 4] in digits(masked) or number[3:] in digits(masked)
    return person in masked


@given(bodies(people), st.booleans())
def test_nobody_can_be_read_off_json_in_an_answer(body: Any, ascii_only: bool) -> None:
    text = masked_body(json.dumps(body, ensure_ascii=ascii_only).encode())
    assert not [person for person in leaves(body) if any(gives_away(line, person) for line in re.split(r"[,:]", text))]


@given(bodies(people), people)
def test_nobody_can_be_read_off_a_form_with_json_in_it(body: Any, person: str) -> None:
    form = urlencode({"event": json.dumps(body), "filter[name]": person, "phone": person})
    text = masked_fields(form)
    assert not [
        one for one in (*leaves(body), person) if any(gives_away(line, one) for line in re.split(r"[,:&]", text))
    ]


@given(spellings, st.sampled_from(["errorMsg", "errors", "error"]))
def test_no_number_can_be_read_off_what_the_crm_complains_of(number: str, field: str) -> None:
    said: Any = {"phone": [f"{number} is in use"]} if field == "errors" else f"Customer with phone {number} exists"
    text = masked_body(json.dumps({"success": False, field: said}).encode())
    assert not gives_away(text, number)
    assert "exists" in text or "is in use" in text


@given(st.binary(max_size=3000))
def test_any_bytes_have_a_bounded_text_that_postgresql_takes(body: bytes) -> None:
    for text in (masked_body(body), masked_fields(body.decode("latin-1")), masked_address(body.decode("latin-1"))):
        assert len(text) <= LONGEST
        assert "\x00" not in text
        text.encode()


@given(bodies(people), st.integers(0, 400))
def test_cut_off_anywhere_it_gives_nobody_away(body: Any, at: int) -> None:
    whole = json.dumps(body, ensure_ascii=False).encode()
    text = masked_body(whole[:at])
    assert not [one for one in leaves(body) if any(gives_away(line, one) for line in re.split(r"[,:]", text))]


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("+375291231234", "+375•••••1234"),
        ("8 (916) 123-45-67", "89•••••4567"),
        ("79161234567", "79•••••4567"),
        ("123-45-67", "•••••67"),
        ("12345", "•••••45"),
        ("0", "0"),
        ("1001", "1001"),
    ],
)
def test_a_number_keeps_what_finds_it_again(number: str, shown: str) -> None:
    assert masked_number(number) == shown


def test_a_popup_is_shown_but_for_its_number() -> None:
    event = {
        "phone": "+375291231234",
        "type": "in",
        "codes": ["101", "102"],
        "userIds": [27],
        "externalPhone": "74951110001",
        "callExternalId": "pbx1:1795491044.6",
        "site": "romashka",
    }
    text = masked_fields(urlencode({"event": json.dumps(event, separators=(",", ":"))}))
    assert json.loads(text.removeprefix("event=")) == event | {
        "phone": "+375•••••1234",
        "externalPhone": "74•••••0001",
    }


def test_what_names_nobody_is_shown() -> None:
    answer = (
        '{"success":false,"errorMsg":"Errors in the entity format","errors":{"calls[0].date":"2026-11-25 10:41:22 is no'
        ' date"},"processedCallsCount":49,"duplicateCalls":["pbx1:1795491044.6"],"notExistCodes":["105"],'
        '"id":12345678,"generatedAt":"2026-11-25 10:41:22","apiKey":{"current":true}}'
    )
    assert masked_body(answer.encode()) == answer


@pytest.mark.parametrize("field", ["apiKey", "api_key", "clientSecret", "accessToken", "password", "clientId"])
@pytest.mark.parametrize("value", ["s3cr3t-Key", 12345678901, ["s3cr3t-Key"], {"id": "s3cr3t-Key"}])
def test_secrets_are_stars(field: str, value: Any) -> None:
    text = masked_body(json.dumps({field: value}).encode()) + masked_fields(urlencode({field: json.dumps(value)}))
    assert "s3cr3t" not in text
    assert "12345678901" not in text
    assert HIDDEN in text


def test_links_lose_what_opens_them() -> None:
    link = "https://user:pass@bridge.example.com/retailcrm/s3cr3t/call?x=1"
    for text in (
        masked_text(f"see {link} now"),
        masked_body(json.dumps({"makeCallUrl": link, "errorMsg": link}).encode()),
        masked_fields(urlencode({"integrationModule": json.dumps({"baseUrl": link})})),
    ):
        assert "s3cr3t" not in text
        assert "pass" not in text
        assert "https://bridge.example.com/•••" in text


@pytest.mark.parametrize(
    "page",
    [
        "<customer><phone>+375291231234</phone><name>Иван</name><email>i@x.ru</email></customer>",
        '<customer name="Иван" phone="+375291231234" mail=i@x.ru />',
        "<name>Иван",
        '<p>no<customer phone="+375291231234" name="Иван',
        "<!-- +375291231234 --><FirstName>Иван</FirstName>",
    ],
)
def test_markup_of_machines_names_nobody(page: str) -> None:
    text = masked_body(page.encode())
    assert not gives_away(text, "+375291231234")
    assert "Иван" not in text
    assert "i@x.ru" not in text


def test_a_page_for_people_is_recognised() -> None:
    page = "<html><head><title>502 Bad Gateway</title></head><body><h1>502</h1><center>nginx</center></body></html>"
    assert masked_body(page.encode()) == page


def test_numbers_in_other_digits_and_other_letters_are_numbers() -> None:
    for text in ("٣٧٥٢٩١٢٣١٢٣٤", "+3\u200b7\u200b5291231234", "+375\u202f29\u202f123\u202f12\u202f34"):
        assert not gives_away(masked_body(json.dumps({"errorMsg": f"bad {text}"}).encode()), "375291231234")
    assert not gives_away(masked_body("+375291231234".encode("utf-16")), "375291231234")


@pytest.mark.parametrize("between", ["\u2014", "\u2013", "\u2011", "\u2212", "_", "\u200b", "\u00a0"])
def test_a_number_is_one_whatever_stands_between_its_digits(between: str) -> None:
    number = between.join(("8", "916", "123", "45", "67"))
    for shown in (
        masked_body(f"Customer {number} exists".encode()),
        masked_body(json.dumps({"errorMsg": number, "externalId": number, number: 1}).encode()),
        masked_fields(urlencode({"externalId": number})),
        masked_address(f"/api/v5/customers/{quote(number)}?by=externalId"),
    ):
        assert "123" not in shown


def test_a_number_where_an_id_stands_is_no_id() -> None:
    body = b'{"id":12345678,"customerId":79161234567,"ids":[123456789,7],"total":1234567.5,"externalId":"79161234567"}'
    assert masked_body(body) == (
        '{"id":12345678,"customerId":"79•••••4567","ids":["•••••6789",7],"total":"1•••••75","externalId":"79•••••4567"}'
    )
    assert masked_address("/api/v5/customers/79161234567?by=id") == "/api/v5/customers/79•••••4567?by=id"


def test_an_external_id_that_is_somebodys_number_is_none_to_show() -> None:
    assert masked_address("/api/v5/customers/79161234567?by=externalId&site=a") == (
        "/api/v5/customers/79•••••4567?by=externalId&site=a"
    )
    assert masked_address("/api/v5/orders/12345678?by=id") == "/api/v5/orders/12345678?by=id"
    assert masked_address("/api/v5/telephony/manager?phone=%2B79161234567&details=1") == (
        "/api/v5/telephony/manager?phone=+79•••••4567&details=1"
    )
