"""Calls of ordinary PBXs, with nothing configured: which way they go, who is who, and what cannot be told."""

from __future__ import annotations

import pytest

from amibridge.calls.numbering import Numbering
from amibridge.calls.record import CallRecord
from amibridge.calls.telling import AnomalyKind
from tests.calls.exchange import Exchange

CUSTOMER, DID, MOBILE = "79161234567", "74951110001", "89161112233"


def the_record(exchange: Exchange, numbering: Numbering | None = None) -> CallRecord:
    records, anomalies = exchange.told(numbering)
    assert anomalies == []
    [record] = records
    return record


def the_riddle(exchange: Exchange, numbering: Numbering | None = None) -> str:
    """What is asked about a call that cannot be decided: asked once, and nothing is told of it."""
    records, anomalies = exchange.told(numbering)
    assert records == []
    [anomaly] = anomalies
    assert anomaly.kind is AnomalyKind.DIRECTION
    assert anomaly.call.startswith("pbx:")
    return anomaly.text


def comes_in(line: str, context: str, phone: str = "PJSIP/101", caller_id: str | None = CUSTOMER) -> Exchange:
    exchange = Exchange().calls(line, caller_id, context, DID)
    exchange.dials(line, phone, phone.partition("/")[2], caller_id="101", context="from-internal")
    return exchange.talk(phone, line).all_hang_up()


def goes_out(phone: str, caller_id: str | None, context: str, line: str, dial_string: str, behind: str) -> Exchange:
    exchange = Exchange().calls(phone, caller_id, context, MOBILE)
    return exchange.dials(phone, line, dial_string, context=behind).talk(line, phone).all_hang_up()


LINES = [
    ("PJSIP/sipnet", "from-pstn"),
    ("PJSIP/0042080578-endpoint", "from-trunk"),
    ("SIP/74951110000", "from-trunk-sip-74951110000"),
    ("SIP/00013", "from-trunk-sip-00013"),
    ("SIP/0001301", "from-out-office"),
    ("SIP/13", "from-trunk"),
    ("IAX2/12345", "from-trunk-iax2-12345"),
    ("IAX2/office", "from-trunk"),
    ("DAHDI/33", "from-dahdi"),
    ("DAHDI/33", "plan"),
    ("DAHDI/i1/79161234567", "from-digital"),
    ("Dongle/dongle0", "from-trunk"),
    ("PJSIP/SIP-TRUNK-03E89C97", "SIP-TRUNK-03E89C97-incoming"),
    ("PJSIP/provider", "trk-64-in"),
    ("PJSIP/anonymous", "from-sip-external"),
    ("SIP/10.0.0.1", "default"),
    ("PJSIP/mts", "from-mts"),
    ("PJSIP/mts", "default"),
    ("SIP/74951110000", "default"),
]


@pytest.mark.parametrize(("line", "context"), LINES)
def test_comes_in_on_a_line(line: str, context: str) -> None:
    record = the_record(comes_in(line, context))
    assert (record.direction, record.external_number, record.line) == ("incoming", CUSTOMER, DID)
    assert record.operators == ("101",)


@pytest.mark.parametrize(("line", "context"), LINES)
def test_a_withheld_caller_is_a_customer_too(line: str, context: str) -> None:
    record = the_record(comes_in(line, context, caller_id="anonymous"))
    assert (record.direction, record.external_number, record.operators) == ("incoming", None, ("101",))


OUTSIDE_LINES = [(line, context) for line, context in LINES if context not in ("plan", "default", "from-mts")]


@pytest.mark.parametrize(("line", "context"), OUTSIDE_LINES)
def test_a_short_number_on_a_line_is_nobodys_extension(line: str, context: str) -> None:
    record = the_record(comes_in(line, context, caller_id="0611"))
    assert (record.direction, record.external_number, record.phone) == ("incoming", "0611", None)


PHONES = [
    ("PJSIP/101", "101", "from-internal", "101"),
    ("SIP/101", "74951110000", "from-internal", "101"),
    ("PJSIP/101", "101", "from-phones", "101"),
    ("SCCP/101", "101", "plan", "101"),
    ("PJSIP/anna", "101", "from-internal", "101"),
    ("PJSIP/anna", "101", "internal", "101"),
    ("SIP/anna", "101", "inoffice", "101"),
    ("SIP/101-wifi", "101", "plan", "101"),
    ("PJSIP/201-WS", "201", "all_peers", "201"),
    ("PJSIP/T18_101", "101", "T18_cos-all", "101"),
    ("PJSIP/101_1", "101", "plan", "101"),
    ("DAHDI/7", "112", "from-internal", "112"),
    ("PJSIP/200101", "200101", "from-internal", "200101"),
    ("PJSIP/7200101", "7200101", "from-internal-custom", "7200101"),
]


@pytest.mark.parametrize(("phone", "caller_id", "context", "extension"), PHONES)
def test_a_phone_calls_a_customer(phone: str, caller_id: str, context: str, extension: str) -> None:
    for line, dial_string, behind in (
        ("PJSIP/sipnet", f"{MOBILE}@sipnet", "from-pstn"),
        ("SIP/0001301", f"0001301/{MOBILE}", "from-out-office"),
        ("SIP/mts", f"mts/{MOBILE}", "default"),
        ("DAHDI/i1/89161112233", f"g0/{MOBILE}", "from-digital"),
        ("PJSIP/sipnet", f"sipnet/sip:{MOBILE}@10.0.0.1", "from-mts"),
        ("PJSIP/gateway", f"{MOBILE}@gateway", "from-internal"),
        ("SIP/901", f"901/{MOBILE}", "from-internal"),
    ):
        record = the_record(goes_out(phone, caller_id, context, line, dial_string, behind))
        assert (record.direction, record.external_number, record.phone) == ("outgoing", MOBILE, "+79161112233")
        assert (record.caller, record.operators) == (extension, (extension,))


@pytest.mark.parametrize(
    ("phone", "dial_string", "caller_id", "context", "extension"),
    [
        ("PJSIP/102", "102", "102", "from-internal", "102"),
        ("PJSIP/102", "102/sip:102@10.0.0.7:5060", "102", "from-internal", "102"),
        ("PJSIP/102", "102/sip:8u3kd9@10.0.0.7:5060;transport=ws", "102", "from-internal", "102"),
        ("PJSIP/102", "PJSIP/102", "102", "from-internal", "102"),
        ("PJSIP/boris", "boris", "102", "internal", "102"),
        ("PJSIP/boris", "boris/sip:boris@10.0.0.7:5060", "102", "plan", "102"),
        ("PJSIP/boris", "boris", None, "plan", "boris"),
        ("PJSIP/102-wifi", "102-wifi", None, "plan", "102"),
        ("DAHDI/8", "8", None, "from-internal", "DAHDI/8"),
        ("PJSIP/200102", "200102", "200102", "plan", "200102"),
        ("SIP/200102", "200102", None, "plan", "200102"),
        ("PJSIP/office2", "102@office2", None, "from-internal", "102"),
    ],
)
def test_who_is_rung(phone: str, dial_string: str, caller_id: str | None, context: str, extension: str) -> None:
    """By a customer and by a colleague: a phone is dialled by its name, or stands where phones stand."""
    exchange = Exchange().calls("PJSIP/sipnet", CUSTOMER, "from-pstn", DID)
    exchange.dials("PJSIP/sipnet", phone, dial_string, caller_id=caller_id, context=context)
    record = the_record(exchange.talk(phone, "PJSIP/sipnet").all_hang_up())
    assert (record.direction, record.rang, record.operators) == ("incoming", (extension,), (extension,))

    exchange = Exchange().calls("PJSIP/101", "101", "from-internal", "102")
    exchange.dials("PJSIP/101", phone, dial_string, caller_id=caller_id, context=context)
    record = the_record(exchange.talk(phone, "PJSIP/101").all_hang_up())
    assert (record.direction, record.caller, record.operators) == ("internal", "101", (extension,))


def test_a_forwarded_call_stays_the_customers() -> None:
    exchange = Exchange().calls("PJSIP/sipnet", CUSTOMER, "default", DID)
    exchange.dials("PJSIP/sipnet", "PJSIP/mts", f"{MOBILE}@mts", context="default")
    record = the_record(exchange.talk("PJSIP/mts", "PJSIP/sipnet").all_hang_up())
    assert (record.direction, record.external_number, record.operators) == ("incoming", CUSTOMER, (MOBILE,))


def test_the_second_phone_of_freepbx_speaks_for_the_first() -> None:
    exchange = Exchange().calls("PJSIP/99101", "99101", "from-internal", MOBILE).speaks_as("PJSIP/99101", "101")
    exchange.dials("PJSIP/99101", "PJSIP/sipnet", f"{MOBILE}@sipnet", context="from-pstn")
    record = the_record(exchange.talk("PJSIP/sipnet", "PJSIP/99101").all_hang_up())
    assert (record.caller, record.operators) == ("101", ("101",))
    assert record.notes == ("99101 is a phone of 101: it speaks as 101",)


def test_what_a_trunk_is_given_as_caller_id_names_nobody() -> None:
    exchange = Exchange().calls("PJSIP/101", "101", "from-internal", MOBILE).speaks_as("PJSIP/101", "74951110000")
    exchange.dials("PJSIP/101", "PJSIP/sipnet", f"{MOBILE}@sipnet", context="from-pstn")
    record = the_record(exchange.talk("PJSIP/sipnet", "PJSIP/101").all_hang_up())
    assert (record.caller, record.notes) == ("101", ())


def test_an_extension_may_be_a_part_of_a_phones_name() -> None:
    numbering = Numbering(internal=r"^(?:9[89])?(?P<extension>\d{3})$")
    exchange = Exchange().calls("PJSIP/sipnet", CUSTOMER, "from-pstn", DID)
    exchange.dials("PJSIP/sipnet", "PJSIP/99101", "99101", caller_id="99101", context="from-internal")
    record = the_record(exchange.talk("PJSIP/99101", "PJSIP/sipnet").all_hang_up(), numbering)
    assert (record.rang, record.operators) == (("101",), ("101",))


@pytest.mark.parametrize(
    ("exchange", "note"),
    [
        (comes_in("SIP/13", "from-trunk"), "SIP/13 is a line: its context is from-trunk"),
        (
            goes_out("PJSIP/anna", "101", "internal", "PJSIP/sipnet", f"{MOBILE}@sipnet", "from-pstn"),
            "PJSIP/anna is the phone of 101: by its caller ID and context internal",
        ),
        (
            goes_out("SIP/101-wifi", "101", "plan", "PJSIP/sipnet", f"{MOBILE}@sipnet", "from-pstn"),
            "SIP/101-wifi is the phone of 101: by its caller ID and its name",
        ),
        (
            goes_out("PJSIP/101", "101", "from-internal", "SIP/901", f"901/{MOBILE}", "from-internal"),
            f"SIP/901 is a line: {MOBILE} is dialled through it",
        ),
    ],
)
def test_a_decision_that_the_name_does_not_bear_out_is_noted(exchange: Exchange, note: str) -> None:
    assert the_record(exchange).notes == (note,)


@pytest.mark.parametrize(("line", "context"), OUTSIDE_LINES)
def test_what_the_name_says_is_not_noted(line: str, context: str) -> None:
    record = the_record(comes_in(line, context))
    assert all(note.startswith(f"{line} is a line") for note in record.notes)


def talks(one: str, caller_id: str | None, context: str, exten: str, other: str, dial_string: str) -> Exchange:
    exchange = Exchange().calls(one, caller_id, context, exten)
    return exchange.dials(one, other, dial_string, context="plan").talk(other, one).all_hang_up()


@pytest.mark.parametrize(
    ("exchange", "question"),
    [
        # Both ends look like lines, and the first calls with an extension, or by its own name.
        (
            talks("PJSIP/anna", "101", "plan", MOBILE, "PJSIP/sipnet", f"{MOBILE}@sipnet"),
            "PJSIP/anna calls as 101 from context plan: is it a line, or a phone?",
        ),
        (
            talks("PJSIP/anna", "anna", "plan", MOBILE, "PJSIP/sipnet", f"{MOBILE}@sipnet"),
            "PJSIP/anna calls as anna from context plan: is it a line, or a phone?",
        ),
        (
            talks("SIP/0001301", "0001301", "plan", DID, "SIP/101", "101"),
            "SIP/0001301 calls as 0001301 from context plan: is it a line, or a phone?",
        ),
        # A line of another office, or a phone that shows our number: both stand where phones stand.
        (
            talks("PJSIP/office2", CUSTOMER, "from-internal", "101", "PJSIP/101", "101"),
            f"PJSIP/office2 calls as {CUSTOMER} from context from-internal: is it a line, or a phone?",
        ),
        (
            talks("PJSIP/office2", None, "from-internal", "101", "PJSIP/101", "101"),
            "PJSIP/office2 calls as nobody from context from-internal: is it a line, or a phone?",
        ),
        # Everything looks internal although a number is public: a gateway set up as an extension, maybe.
        (
            talks("SIP/901", CUSTOMER, "from-internal", "101", "SIP/101", "101"),
            f"SIP/901 calls as {CUSTOMER}: is it a line, or a phone?",
        ),
        (
            Exchange().calls("SIP/901", CUSTOMER, "from-internal", DID).answers("SIP/901").all_hang_up(),
            f"SIP/901 calls as {CUSTOMER}: is it a line, or a phone?",
        ),
    ],
)
def test_what_cannot_be_decided_is_asked_once(exchange: Exchange, question: str) -> None:
    assert the_riddle(exchange) == question


def test_two_who_talked_and_nobody_called_are_a_riddle() -> None:
    """Their beginning was not seen: who called whom?"""
    exchange = Exchange().calls("PJSIP/101", "101", "from-internal", "102")
    exchange.dials("PJSIP/101", "PJSIP/102", "102", caller_id="102", context="from-internal")
    exchange.talk("PJSIP/102", "PJSIP/101").all_hang_up()
    exchange.events[:4] = []
    assert the_riddle(exchange) == "PJSIP/102 and PJSIP/101 talked: who called whom?"


@pytest.mark.parametrize("exten", ["*97", "*43", "s", "700"])
def test_a_phone_that_talks_with_the_pbx_is_no_riddle(exten: str) -> None:
    exchange = Exchange().calls("PJSIP/101", "101", "from-internal", exten).answers("PJSIP/101").all_hang_up()
    assert exchange.told() == ([], [])


@pytest.mark.parametrize(
    ("exchange", "numbering", "direction", "operators"),
    [
        (
            talks("PJSIP/anna", "101", "plan", MOBILE, "PJSIP/sipnet", f"{MOBILE}@sipnet"),
            Numbering(trunks=("PJSIP/sipnet",)), "outgoing", ("101",),
        ),
        (
            talks("PJSIP/anna", "anna", "from-internal", MOBILE, "PJSIP/sipnet", f"{MOBILE}@sipnet"),
            Numbering(trunks=("PJSIP/sipnet",)), "outgoing", ("anna",),
        ),
        (
            talks("PJSIP/anna", "anna", "plan", MOBILE, "PJSIP/sipnet", f"{MOBILE}@sipnet"),
            Numbering(trunks=("PJSIP/sipnet",)), "outgoing", ("anna",),
        ),
        (
            # Forgotten, but who dials a customer through it?
            goes_out("PJSIP/101", "101", "staff", "PJSIP/gateway", f"{MOBILE}@gateway", "from-internal"),
            Numbering(trunks=("PJSIP/sipnet",)), "outgoing", ("101",),
        ),
        (
            talks("SIP/0001301", "0001301", "plan", DID, "SIP/101", "101"),
            Numbering(trunks=("SIP/00013*",)), "incoming", ("101",),
        ),
        (
            talks("SIP/0001301", "0001301", "plan", "101", "SIP/101", "101"),
            Numbering(internal=r"^\d{3}$|^\d{7}$"), "internal", ("101",),
        ),
        (
            talks("SIP/0001301", "0001301", "from-internal", DID, "SIP/101", "101"),
            Numbering(internal=r"^1\d\d$"), "incoming", ("101",),
        ),
        (
            talks("PJSIP/office2", CUSTOMER, "from-internal", "101", "PJSIP/101", "101"),
            Numbering(trunks=("PJSIP/sipnet", "PJSIP/office2")), "incoming", ("101",),
        ),
        (
            talks("SIP/901", CUSTOMER, "from-internal", "101", "SIP/101", "101"),
            Numbering(trunks=("SIP/901",)), "incoming", ("101",),
        ),
        (
            talks("SIP/102", CUSTOMER, "from-internal", "101", "SIP/101", "101"),
            Numbering(trunks=("SIP/901",)), "internal", ("101",),
        ),
    ],
)  # fmt: skip
def test_settings_decide_it(
    exchange: Exchange, numbering: Numbering, direction: str, operators: tuple[str, ...]
) -> None:
    record = the_record(exchange, numbering)
    assert (record.direction, record.operators) == (direction, operators)
