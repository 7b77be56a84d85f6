"""Which way a call goes, whose number it is about and who placed it, decided once from its first channels.

Laws: seen from the enterprise; a click-to-call is outgoing although Asterisk dials the operator first; while it
cannot be told, nothing is said.
"""

from __future__ import annotations

from amibridge.ami.events import DialBegin
from amibridge.calls.model import Call, Leg
from amibridge.calls.numbering import Numbering, Role, dialled_number, endpoint_of
from amibridge.calls.phones import shown, to_e164
from amibridge.calls.record import Direction, Extension

NO_EXTENSION = frozenset({"", "s", "h", "i", "t", "failed"})
"""Asterisk's special extensions: none of them is a number that somebody dialled."""

NOBODY_RUNG = "nothing was dialled for it: its direction is that of the number called"


def direct(call: Call, numbering: Numbering) -> bool:
    """Set the call's direction and parties, if its legs tell them by now; whether they did."""
    parties = [leg for leg in call.legs.values() if leg.role is not Role.PLUMBING]
    over = call.is_deserted
    if not parties:
        if over:
            _direct_partyless(call, numbering)
    elif parties[0].part.doubt is not None and not parties[0].dialled:
        pass  # whatever follows is as true of a phone as of a line
    elif parties[0].role is Role.TRUNK:
        _direct_from_trunk(call, parties[0], parties, over, numbering)
    elif parties[0].placed:
        _direct_from_operator(call, parties[0], parties[1:], over, numbering)
    elif not parties[0].fetches and any(leg.originated for leg in call.legs.values()):
        _direct_click_to_call(call, parties[0], parties[1:], over, numbering)
    return call.direction is not None


def undecided(call: Call, numbering: Numbering) -> str | None:
    """Why *call*, which is over, has no direction; None if there was none to find: nobody called anybody."""
    parties = [leg for leg in call.legs.values() if leg.role is not Role.PLUMBING]
    if not parties:
        return None
    first = parties[0]
    if first.fetches:
        return None
    if first.part.doubt is not None:
        return first.part.doubt
    if first.role is Role.OPERATOR and first.placed and _may_be_a_line(first, numbering):
        return f"{endpoint_of(first.channel)} calls as {first.caller_id_num}: is it a line, or a phone?"
    if call.met:
        return f"{' and '.join(endpoint_of(leg.channel) for leg in parties)} talked: who called whom?"
    return None


def rejoin(call: Call) -> None:
    """A resumed call knows its direction: find its customer and its caller among the channels a snapshot shows."""
    lines = [leg for leg in call.legs.values() if leg.role is Role.TRUNK and leg.gone_at is None]
    people = [leg for leg in call.legs.values() if leg.role is Role.OPERATOR and leg.gone_at is None]
    if call.direction is Direction.INCOMING:
        call.customer = call.customer or next((leg for leg in lines if leg.placed), None)
    else:
        call.caller = call.caller or next((leg for leg in people if leg.extension == call.asked_caller), None)
        if call.direction is Direction.OUTGOING:
            call.customer = call.customer or next(iter(lines), None)


def note_dialled(call: Call, leg: Leg, dial: DialBegin, numbering: Numbering) -> None:
    """A line is dialled: note its number and what we present. In a known outgoing call it is the customer's now."""
    leg.dialled_number = dialled_number(dial.dial_string) or shown(dial.dest_caller_id_num)
    if not numbering.is_internal(dial.caller_id_num):
        leg.presented = shown(dial.caller_id_num)
    if call.direction is not Direction.OUTGOING or not call.is_customer_side(leg):
        return
    if call.customer is None or call.customer.joined_at is None:
        _set_customer(call, leg, numbering)


def note_originated(call: Call, dial: DialBegin, numbering: Numbering) -> None:
    """`Originate` presents the number that is to be called to the operator whose phone it rings: as who calls, or where
    we asked for it, as whom he is connected with. That is shown, too, where Asterisk rings back whoever handed on a
    customer that nobody took: no call of its own."""
    presented = dial.dest_connected_line_num if call.click_to_call is not None else dial.dest_caller_id_num
    number = shown(presented)
    if number is not None and not numbering.is_internal(number):
        call.originate_number = number


def _direct_from_trunk(call: Call, first: Leg, parties: list[Leg], over: bool, numbering: Numbering) -> None:
    if first.placed or (over and not first.dialled and first.exten not in NO_EXTENSION):
        call.direction = Direction.INCOMING
        call.customer = first
        call.line = None if first.exten in NO_EXTENSION else first.exten
        _set_number(call, shown(first.caller_id_num), numbering)
    elif first.originated:
        operator = next((leg for leg in parties if leg.role is Role.OPERATOR), None)
        if operator is not None or over:
            call.direction = Direction.OUTGOING
            call.caller = operator
            _set_customer(call, first, numbering)


def _direct_from_operator(call: Call, first: Leg, others: list[Leg], over: bool, numbering: Numbering) -> None:
    called = next((leg for leg in others if leg.dialled or _meets(first, leg)), None)
    if called is not None:
        if called.role is Role.TRUNK:
            call.caller = first
            call.direction = Direction.OUTGOING
            _set_customer(call, called, numbering)
        elif not _may_be_a_line(first, numbering):
            call.caller = first
            call.direction = Direction.INTERNAL
    elif over and first.up_at is not None:
        pass  # a feature code, an announcement, an empty conference room: no two parties met
    elif over and _may_be_a_line(first, numbering):
        pass
    elif over and numbering.is_internal(first.exten):
        call.caller = first
        call.direction = Direction.INTERNAL
        call.note(NOBODY_RUNG)
    elif over and to_e164(first.exten, numbering.region) is not None:
        call.caller = first
        call.direction = Direction.OUTGOING
        call.note(NOBODY_RUNG)
        _set_number(call, first.exten, numbering)


def _may_be_a_line(first: Leg, numbering: Numbering) -> bool:
    """Whether an endpoint named like an extension shows a public number, as a gateway does that is set up as one."""
    return not numbering.trunks and numbering.is_public(first.caller_id_num)


def _meets(one: Leg, other: Leg) -> bool:
    """Whether both are in one conversation, such as a conference room."""
    return one.bridge is not None and one.bridge == other.bridge and not one.silent


def _direct_click_to_call(call: Call, first: Leg, others: list[Leg], over: bool, numbering: Numbering) -> None:
    called = next((leg for leg in others if leg.dialled), None)
    asked = call.originate_number or _external(call.originate_exten, numbering)
    if called is not None and called.role is Role.OPERATOR and asked is None:
        call.caller = first
        call.direction = Direction.INTERNAL
    elif called is not None or asked is not None or (over and call.click_to_call is not None):
        # Without any of these it is no call to anybody: Asterisk rings an operator who handed a customer on in vain.
        call.caller = first
        call.direction = Direction.OUTGOING
        _set_number(call, asked, numbering)
        if called is not None and called.role is Role.TRUNK:
            _set_customer(call, called, numbering)


def _direct_partyless(call: Call, numbering: Numbering) -> None:
    """A click-to-call through a Local channel whose phone was not there: nobody ever had a channel."""
    local = next((leg for leg in call.legs.values() if leg.originated), None)
    asked = call.originate_number or _external(call.originate_exten, numbering)
    if local is None or asked is None:
        return
    called = endpoint_of(local.channel).partition("/")[2].partition("@")[0]
    if numbering.is_internal(called):
        call.asked_caller = Extension(called)
        call.direction = Direction.OUTGOING
        _set_number(call, asked, numbering)


def _set_customer(call: Call, leg: Leg, numbering: Numbering) -> None:
    call.customer = leg
    call.line = call.line or leg.presented
    _set_number(call, leg.dialled_number or call.external_number, numbering)


def _set_number(call: Call, number: str | None, numbering: Numbering) -> None:
    call.external_number = number
    call.phone = to_e164(number, numbering.region)


def _external(number: str | None, numbering: Numbering) -> str | None:
    if number is None or number in NO_EXTENSION or numbering.is_internal(number):
        return None
    return number
