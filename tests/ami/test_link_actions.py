"""Actions over a link: every answer to who asked, once, in time, and never a second sending."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

import pytest

from amibridge.ami import actions
from amibridge.ami.actions import Action
from amibridge.ami.errors import ActionRefused, ActionUnanswered, LinkLost
from amibridge.ami.events import Disconnected, OriginateResponse, Uniqueid
from amibridge.ami.link import LinkSettings
from tests.ami.linking import Listener, hangup, link_to, linked, pending
from tests.ami.scripted_pbx import GREETING, OPENING, Visit, polite, scripted
from tests.delivery.waiting import until

ASKED = actions.originate(
    "PJSIP/101",
    context="from-internal",
    exten="89161112233",
    caller="101",
    uniqueid=Uniqueid("1795491044.482913047711"),
)


class TestActions:
    async def test_the_answer_goes_to_who_asked(self) -> None:
        async def crossed(visit: Visit) -> None:
            visit.say(GREETING)
            for _ in OPENING:
                visit.answer(await visit.hear())
            asked = [await visit.hear() for _ in range(3)]
            for action in reversed(asked):
                visit.answer(action, Message=action["Which"])
            await visit.hold()

        async with linked(crossed) as (link, _, _):
            replies = await asyncio.gather(
                *(link.send(Action("Ping", (("Which", str(number)),))) for number in range(3))
            )
            assert [reply.message.get("Message") for reply in replies] == ["0", "1", "2"]
            assert pending(link) == 0

    async def test_headers_that_repeat_arrive_all(self) -> None:
        async with linked(polite()) as (link, pbx, _):
            await link.send(
                actions.originate(
                    "PJSIP/101",
                    context="c",
                    exten="1",
                    caller="1",
                    uniqueid=Uniqueid("1795491044.482913047711"),
                    variables=[("A", "1"), ("B", "2"), ("C", "3")],
                )
            )
            told = pbx.visits[0].told
            assert all(b"\r\nVariable: %s\r\n" % one in told for one in (b"A=1", b"B=2", b"C=3"))
            assert told.count(b"Action: Originate\r\n") == 1

    async def test_a_refusal_is_an_error(self) -> None:
        async with linked(polite(refuses={"Originate"})) as (link, _, _):
            with pytest.raises(ActionRefused, match="Permission denied"):
                await link.send(ASKED)
            assert pending(link) == 0

    async def test_no_answer_is_an_error_and_a_late_one_harmless(self) -> None:
        late = asyncio.Event()

        async def slow(visit: Visit) -> None:
            visit.say(GREETING)
            for _ in OPENING:
                visit.answer(await visit.hear())
            asked = await visit.hear()
            await late.wait()
            visit.answer(asked)
            visit.say(hangup(1))
            await polite()(visit)

        settings = LinkSettings(action_timeout=timedelta(milliseconds=150), boot_grace=timedelta(milliseconds=20))
        async with linked(slow, settings) as (link, _, listener):
            with pytest.raises(ActionUnanswered, match="Originate"):
                await link.send(ASKED)
            assert pending(link) == 0
            late.set()
            await listener.has(1)
            await link.send(actions.ping())

    async def test_who_stops_waiting_leaves_nothing_behind(self) -> None:
        async with linked(polite(ignores={"Originate"})) as (link, pbx, _):
            for _ in range(20):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.001):
                        await link.send(ASKED)
            assert pending(link) == 0
            await link.send(actions.ping())
            assert len(pbx.heard("Originate")) == 20

    async def test_an_event_with_the_id_of_an_action_is_still_an_event(self) -> None:
        """Stock panoramisk swallows OriginateResponse into the future of its action."""

        async def originate(visit: Visit) -> None:
            visit.say(GREETING)
            for _ in OPENING:
                visit.answer(await visit.hear())
            action = await visit.hear()
            visit.say(hangup(1).replace(b"Cause: 16", b"ActionID: %s\r\nCause: 16" % action["ActionID"].encode()))
            visit.answer(action, Message="Originate successfully queued")
            await visit.hold()

        async with linked(originate) as (link, _, listener):
            reply = await link.send(ASKED)
            assert reply.message.get("Message") == "Originate successfully queued"
            assert listener.numbers() == [1]

    async def test_an_unanswered_action_is_not_sent_again_after_a_new_connection(self) -> None:
        """An Originate sent twice is a call placed twice."""
        listener = Listener()

        async def cut(visit: Visit) -> None:
            visit.say(GREETING)
            for _ in OPENING:
                visit.answer(await visit.hear())
            await visit.hear()
            if len(pbx.visits) > 1:
                await visit.hold()

        async with scripted(cut) as pbx:
            first = link_to(pbx, listener)
            await first.open()
            with pytest.raises(LinkLost, match="closed"):
                await first.send(ASKED)
            await first.close()
            second = link_to(pbx, listener)
            await second.open()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await second.send(actions.ping())
            assert len(pbx.heard("Originate")) == 1
            assert pbx.visits[1].names() == [*OPENING, "Ping"]
            second.lose(LinkLost("over"))

    async def test_without_a_connection_it_fails_at_once(self) -> None:
        async with linked(polite()) as (link, pbx, _):
            link.lose(LinkLost("the cable was cut"))
            with pytest.raises(LinkLost, match="the cable was cut"):
                await link.send(ASKED)
            assert pbx.heard("Originate") == []

    async def test_before_the_connection_it_fails_at_once(self) -> None:
        async with scripted(polite()) as pbx:
            with pytest.raises(LinkLost):
                await link_to(pbx, Listener()).send(ASKED)

    async def test_two_links_do_not_take_each_others_answers(self) -> None:
        async with linked(polite(refuses={"Originate"})) as (one, _, _), linked(polite()) as (two, _, _):
            outcomes = await asyncio.gather(one.send(ASKED), two.send(ASKED), return_exceptions=True)
            assert [type(outcome).__name__ for outcome in outcomes] == ["ActionRefused", "Reply"]


class TestFailedOriginate:
    """Asterisk says it from another thread than what became of the channel."""

    RESPONSE = (
        b"Event: OriginateResponse\r\nTimestamp: 1795491044.500000\r\nPrivilege: call,all\r\n"
        b"ActionID: amibridge-1795491044.482913047711\r\nResponse: Failure\r\nChannel: PJSIP/101\r\n"
        b"Context: from-internal\r\nExten: 89161112233\r\nReason: 0\r\nUniqueid: 1795491044.482913047711\r\n\r\n"
    )

    async def test_it_is_passed_on_after_what_its_channel_still_has_to_say(self) -> None:
        async def early(visit: Visit) -> None:
            visit.say(GREETING)
            for _ in OPENING:
                visit.answer(await visit.hear())
            visit.say(self.RESPONSE)
            visit.say(hangup(1))
            await visit.hold()

        async with linked(early) as (_, _, listener):
            await until(lambda: isinstance(listener.events[-1], OriginateResponse))
            assert listener.numbers() == [1]

    async def test_it_outlives_the_link(self) -> None:
        async def last_word(visit: Visit) -> None:
            visit.say(GREETING)
            for _ in OPENING:
                visit.answer(await visit.hear())
            visit.say(self.RESPONSE)

        async with linked(last_word) as (link, _, listener):
            await link.watch()
            assert [type(event) for event in listener.events[-2:]] == [OriginateResponse, Disconnected]
