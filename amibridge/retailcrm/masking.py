"""What is asked of the CRM and what it answers, without secrets and without people.

Laws: words that are known to name nobody are shown, everything else is hidden, for an answer may hold anything; a
number keeps its last four digits and some of its country, so that whoever knows it finds it again: ``+375•••••1234``;
whatever the bytes are, there is a text, of bounded length, that PostgreSQL takes.
"""

from __future__ import annotations

import json
import re
from enum import Enum
from functools import lru_cache
from typing import assert_never
from urllib.parse import unquote, unquote_plus

from amibridge.redact import HIDDEN

LONGEST = 4000
"""Characters of a text."""

LONGEST_EXTENSION = 4
"""Digits of a number that is nobody's outside."""

LONGEST_ID = 8
"""Digits of an id of the CRM's; what is longer may be somebody's number."""

SHORTEST = 7
"""Characters of a text that can hold a number of somebody's, or a link."""

DOTS = "•••"

_SECRET = re.compile(r"api[-_]?key|secret|token|passw|authorization|cookie|clientid", re.IGNORECASE)
_SHOWN = re.compile(
    r"(?:api)?versions?|additionalCodes|by|codes?|createdAt\w*|currency|date|duration\w*|duplicateCalls|(?:call)?externalId"
    r"|(?:start|end)Date|field|generatedAt|hangupStatus|limit|notExistCodes|order(?:Method|Type)|page|result|scopes|site"
    r"|siteAccess|sites(?:Available)?|sinceId|source|status|statusGroup|type|ids?|userIds?",
    re.IGNORECASE,
)
"""Fields whose words name nobody. Numbers in them are looked at all the same."""

_COMPLAINTS = frozenset({"errormsg", "errors", "error"})
"""Whatever stands in these is the CRM's word about our request, by whichever field."""


class _Kind(Enum):
    SECRET = "secret"
    COMPLAINT = "complaint"
    SHOWN = "shown"
    UNKNOWN = "unknown"


@lru_cache(maxsize=4096)
def _kind_of(field: str) -> _Kind:
    if _SECRET.search(field):
        return _Kind.SECRET
    if field.lower() in _COMPLAINTS:
        return _Kind.COMPLAINT
    return _Kind.SHOWN if _SHOWN.fullmatch(field) else _Kind.UNKNOWN


_BETWEEN = r"[\s().\-\u2010-\u2015\u2212_/]"
"""Between the digits of a number, whoever wrote it: office programs make dashes of all kinds."""

_IN_TEXT = re.compile(
    r"(?P<kept>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # a UUID
    r"|(?<!\d)(?:1[5-9]|2[0-2])\d{8}\.\d{1,9}(?!\d)"  # Asterisk's Uniqueid, in the id of a call
    r"|(?<!\d)(?:19|20)\d\d-[01]\d-[0-3]\d(?:[ T][0-2]\d:[0-5]\d(?::[0-5]\d)?)?(?!\d))"
    r"|(?P<web>https?://[^\s\"'<>/]*)[^\s\"'<>]*"
    r"|(?P<mail>[^\s\"'<>@,;:=]{1,64}@[^\s\"'<>@,;]+)"
    rf"|(?P<number>\+?\d(?:{_BETWEEN}{{0,3}}\d){{6,}})"
)
_OWN_ID = re.compile(rf"[0-9]{{1,{LONGEST_ID}}}")
_ONE_WORD = re.compile(r"\S+")
_USER_IN_URL = re.compile(r"//[^/@]*@")
_SPELT = re.compile(rf"\+?\d(?:{_BETWEEN}*\d)*")
_TOKEN = re.compile(
    r'(?P<string>"[^"\\]*(?:\\.[^"\\]*)*")(?P<colon>\s*:)?|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)'
    r"|(?P<word>true|false|null)\b|(?P<punctuation>[\[\]{},:\s]+)|(?P<foreign>[^\[\]{},:\s\"]+)|(?P<cut>\".*)",
    re.DOTALL,
)
_TAG = re.compile(r"<(?P<name>/?[^\s<>/!?]*)(?P<rest>[^<>]*)>")
_OF_PAGES = re.compile(
    r"html|head|title|body|h[1-6]|p|center|b|i|em|strong|code|pre|div|span|hr|br|ul|li|small|address", re.IGNORECASE
)
"""Elements of a page for people, such as a proxy's: what stands there is for everybody."""


def masked_address(address: str) -> str:
    """A path with its query. Ids of the CRM's own are shown, other people's are not."""
    path, question, query = address.partition("?")
    fields = masked_fields(query)
    ids = "by=externalId" not in query
    shown = "/".join(
        part if ids and _OWN_ID.fullmatch(part) else masked_text(_clean(unquote(part))) for part in path.split("/")
    )
    return _bounded(_clean(f"{shown}?{fields}" if question else shown))


def masked_body(body: bytes) -> str:
    """What the CRM answered."""
    text = _clean(body.decode("utf-8-sig", "replace"))
    start = text.lstrip()[:1]
    if start and start in "{[":
        return _bounded(_masked_json(text, ""))
    return _bounded(_masked_page(text) if start == "<" else masked_text(text))


def masked_fields(form: str) -> str:
    """``name=value&name=value``, percent-encoded, as people read it."""
    if not form:
        return ""
    return _bounded("&".join(_masked_field(*field.partition("=")) for field in form.split("&")))


def masked_text(text: str) -> str:
    """*text*, with what looks like a number, a mail address or a link in it hidden."""
    return text if len(text) < SHORTEST and "@" not in text else _IN_TEXT.sub(_hidden, text)


def masked_party(text: str) -> str:
    """Who is outside on a call, as the PBX names him: a number, or ``anonymous``."""
    return masked_number(text) if _SPELT.fullmatch(text) else masked_text(text)


def masked_number(spelt: str) -> str:
    """A telephone number, however it is spelt. Of nine digits or more at least five are hidden."""
    digits = "".join(char for char in spelt if char.isdigit())
    if len(digits) <= LONGEST_EXTENSION:
        return digits
    tail = 4 if len(digits) >= 9 else 2
    head = max(0, min(3, len(digits) - tail - 5))
    return f"{'+' if spelt.startswith('+') else ''}{digits[:head]}•••••{digits[-tail:]}"


def _hidden(found: re.Match[str]) -> str:
    if found["kept"] is not None:
        return found[0]
    if found["web"] is not None:
        return found[0] if found[0] == found["web"] else f"{_USER_IN_URL.sub('//', found['web'])}/{DOTS}"
    if found["mail"] is not None:
        return _masked_mail(found["mail"])
    return masked_number(found["number"])


def _masked_mail(address: str) -> str:
    return f"{address[:1]}{DOTS}@{DOTS}"


def _masked_field(name: str, _: str, value: str) -> str:
    name, value = _clean(unquote_plus(name)), _clean(unquote_plus(value))
    key = re.split(r"[\[\]]+", name.rstrip("]"))
    word = next((part for part in reversed(key) if part and not part.isdigit()), "")
    shown = _masked_json(value, word) if value[:1] in ("{", "[") else _masked_value(_kind_of(word), value)
    return f"{masked_text(name)}={shown}"


def _masked_json(text: str, key: str) -> str:
    """JSON, or what begins like it, token by token: what is cut off or foreign in it is hidden and harms nothing."""
    shown: list[str] = []
    around: list[str] = []
    for token in _TOKEN.finditer(text):
        match token.lastgroup:
            case "colon":
                key = _unquoted(token["string"])
                shown.append(f"{_quoted_field(key)}:")
            case "string":
                shown.append(_quoted(_masked_value(_meant(key, around), _unquoted(token["string"]))))
            case "number":
                shown.append(_masked_json_number(_meant(key, around), key, token[0]))
            case "punctuation":
                shown.append(token[0])
                for char in token[0]:
                    if char in "{[":
                        around.append(key)
                    elif char in "}]" and around:
                        key = around.pop()
            case "word":
                shown.append(token[0])
            case _:
                shown.append(DOTS)
    return "".join(shown)


def _meant(key: str, around: list[str]) -> _Kind:
    """By what a value is judged: complaints are maps by field, and secrets may be lists."""
    for outer in around:
        if (kind := _kind_of(outer)) in (_Kind.SECRET, _Kind.COMPLAINT):
            return kind
    return _kind_of(key)


def _masked_value(kind: _Kind, value: str) -> str:
    match kind:
        case _Kind.SECRET:
            return HIDDEN
        case _Kind.SHOWN | _Kind.COMPLAINT:
            return masked_text(value)
        case _Kind.UNKNOWN:
            return _masked_unknown(value.strip())
        case _ as never:
            assert_never(never)


def _masked_unknown(value: str) -> str:
    """Somebody's number, name, address, or words about him."""
    if not value:
        return ""
    if _SPELT.fullmatch(value):
        return masked_number(value)
    if _ONE_WORD.fullmatch(value) and ("@" in value or value.startswith(("http://", "https://"))):
        return masked_text(value)
    return f"{value[0]}{DOTS}" if value[0].isalpha() else DOTS


def _masked_json_number(kind: _Kind, key: str, number: str) -> str:
    if kind is _Kind.SECRET:
        return _quoted(HIDDEN)
    if sum(char.isdigit() for char in number) < SHORTEST:
        return number
    if key.lower().endswith(("id", "ids")) and _OWN_ID.fullmatch(number):
        return number
    return _quoted(masked_number(number))


def _masked_page(text: str) -> str:
    """A page for people is shown, but not what stands in elements of a machine's own."""
    shown: list[str] = []
    element, at = "", 0
    for tag in _TAG.finditer(text):
        shown += [_masked_content(element, text[at : tag.start()]), f"<{tag['name']}{' …' if tag['rest'] else ''}>"]
        element = tag["name"].removeprefix("/")
        at = tag.end()
    rest, cut, _ = text[at:].partition("<")
    return "".join([*shown, _masked_content(element, rest), cut and "<…"])


def _masked_content(element: str, text: str) -> str:
    if not text.strip():
        return text
    return masked_text(text) if not element or _OF_PAGES.fullmatch(element) else _masked_value(_kind_of(element), text)


def _unquoted(string: str) -> str:
    if "\\" not in string:
        return _clean(string[1:-1])
    try:
        return _clean(str(json.loads(string, strict=False)))
    except ValueError:
        return string[1:-1]


@lru_cache(maxsize=1024)
def _quoted_field(name: str) -> str:
    return _quoted(masked_text(name))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _clean(text: str) -> str:
    """Without what cannot be seen: it may stand between the digits of a number."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " if char.isspace() else "" for char in text)


def _bounded(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
