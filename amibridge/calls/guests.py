"""Operators in a conference room with the customers of several calls: they talk in each of these.

Laws: a channel has its seat in one call; in the others it is a guest, who comes and goes with the channel and counts
for nothing but the conversation.
"""

from __future__ import annotations

from dataclasses import replace

from amibridge.ami.events import Uniqueid
from amibridge.calls.model import Call, Leg, Presence


class Guests:
    def __init__(self) -> None:
        self._seats: dict[Uniqueid, list[tuple[Call, Leg]]] = {}

    def invite(self, leg: Leg, call: Call) -> None:
        """*leg*, whose seat is in another call, talks in *call* as well."""
        if leg.uniqueid not in call.legs:
            guest = replace(
                leg, guest=True, placed=True, originated=False, dialled_by=None, dialled_at=None, dial_status=None,
                rang_at=None, joined_at=None, left_at=None, holds_in=None, held=None, said=Presence.NEW,
            )  # fmt: skip
            call.legs[leg.uniqueid] = guest
            self._seats.setdefault(leg.uniqueid, []).append((call, guest))

    def follow(self, leg: Leg) -> list[tuple[Call, Leg]]:
        """Where *leg* is a guest, and as whom; each is where *leg* is now."""
        seats = self._seats.get(leg.uniqueid, [])
        for _, guest in seats:
            guest.bridge, guest.silent, guest.gone_at = leg.bridge, leg.silent, leg.gone_at
        if leg.gone_at is not None:
            self._seats.pop(leg.uniqueid, None)
        return seats

    def dismiss(self, call: Call) -> None:
        """*call* is over, or a part of another."""
        for uniqueid, seats in list(self._seats.items()):
            for other, guest in seats:
                if other is call:
                    guest.gone_at = guest.gone_at or call.ended_at
            self._seats[uniqueid] = [seat for seat in seats if seat[0] is not call]
