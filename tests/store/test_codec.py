"""Facts become JSON and the same facts again."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import get_args

import pytest
from hypothesis import given

from amibridge.calls.facts import AnyFact
from amibridge.store.codec import FACT_TYPES, UnknownKind, decode_fact, encode_fact, storable
from tests.delivery.rows import dialled, ended, rang, record
from tests.store.said import ending, living, started, without_nul


def test_every_fact_has_its_words() -> None:
    assert set(FACT_TYPES.values()) == set(get_args(AnyFact))


@given(living | ending)
def test_a_fact_comes_back_as_it_was(fact: AnyFact) -> None:
    text = encode_fact(fact)
    assert decode_fact(fact.word, text) == without_nul(fact)


@given(living | ending)
def test_postgresql_can_keep_what_we_write(fact: AnyFact) -> None:
    """jsonb refuses NUL, however it is written; everything else of Unicode it keeps."""
    texts = [json.loads(encode_fact(fact))]
    while texts:
        match texts.pop():
            case str() as text:
                assert "\x00" not in text
            case dict() as inner:
                texts += [*inner.keys(), *inner.values()]
            case list() as inner:
                texts += inner


@pytest.mark.parametrize("text", ["\x00", "\\u0000", "\\\x00", "\\\\u0000", "\\\\\x00\x00", "a\x00\\u0000\x00b"])
def test_a_nul_is_told_from_what_only_looks_like_one(text: str) -> None:
    fact = rang("pbx:1", text)
    back = decode_fact(fact.word, encode_fact(fact))
    assert back == without_nul(fact)
    assert storable(text) == text.replace("\x00", "\ufffd")


def test_the_word_tells_how_a_call_began_and_ended() -> None:
    answered = ended(record("pbx:1"))
    assert {fact.word for fact in (started("pbx:1"), dialled("pbx:2", "101"), answered)} == {
        "call.incoming",
        "call.outgoing",
        "call.finished",
    }
    assert decode_fact("call.finished", encode_fact(answered)) == answered


def test_a_key_of_a_newer_version_is_passed_over() -> None:
    fact = ended(record("pbx:1"))
    body = json.loads(encode_fact(fact))
    body["mood"] = "good"
    body["record"]["sentiment"] = {"customer": 1}
    body["brief"]["campaign"] = "spring"
    assert decode_fact(fact.word, json.dumps(body)) == fact


def test_a_kind_of_a_newer_version_is_said_to_be_one() -> None:
    with pytest.raises(UnknownKind, match=r"call\.recorded"):
        decode_fact("call.recorded", encode_fact(rang("pbx:1", "101")))


@pytest.mark.parametrize("body", ["", "{}", "[]", '{"key": 1}', encode_fact(rang("pbx:1", "101"))[:-1]])
def test_what_is_no_fact_is_refused(body: str) -> None:
    with pytest.raises(ValueError, match="validation error"):
        decode_fact("operator.rang", body)


def test_microseconds_and_long_talks_stay_exact() -> None:
    told = replace(record("pbx:1"), talked=timedelta(days=2, microseconds=1), waited=timedelta(microseconds=999_999))
    back = decode_fact("call.finished", encode_fact(ended(told)))
    assert back == ended(told)
