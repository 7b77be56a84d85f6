"""A transfer that is asked for becomes one action, on the channel that the board tells; or none, and a sentence."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from amibridge.ami.actions import Action
from amibridge.ami.errors import ActionRefused, AmiError, HostUnreachable, LinkLost
from amibridge.ami.events import Uniqueid
from amibridge.ami.session import Reply
from amibridge.calls.clicks import ClickRefused, Dialling
from amibridge.calls.conversations import Conversation
from amibridge.calls.record import CallId, Extension
from amibridge.calls.transfers import Asked, Step, TransferFailed, TransferRefused, Why
from amibridge.calls.waiting import Fate, Parked, Ringing
from amibridge.enterprises import AmiHost, Enterprise
from amibridge.runtime import transfer
from amibridge.runtime.handing import Sight
from amibridge.runtime.one_at_a_time import OneAtATime
from amibridge.runtime.transfer import Transferor
from tests.runtime.placing import PaperPbx, shop

TALKS = Conversation(CallId("pbx1:1.1"), Uniqueid("1.2"), "PJSIP/101-00000001", False, True)
ASKS = replace(TALKS, consulting=True)
OTHER = Conversation(CallId("pbx1:2.1"), Uniqueid("2.2"), "PJSIP/101-00000002", False, True)


@dataclass
class Pbx(PaperPbx):
    """*talks*: what each extension of a host is in. *then*: what that is after an action."""

    talks: dict[tuple[str, str, str], list[Conversation]] = field(default_factory=dict)
    then: list[Conversation] | None = None

    def __post_init__(self) -> None:
        super().__init__()

    async def send(self, host: AmiHost, action: Action) -> Reply:
        reply = await super().send(host, action)
        await asyncio.sleep(0)  # as long as any link takes
        if self.then is not None:
            self.talks[host.enterprise, host.name, "101"] = self.then
        return reply

    def see(self, host: AmiHost) -> Sight:
        if host.name in self.down:
            raise HostUnreachable("it is away")
        return Board(self, host)


@dataclass
class Board:
    """What a host's board shows: conversations alone."""

    pbx: Pbx
    host: AmiHost

    def conversations(self, extension: Extension) -> list[Conversation]:
        return self.pbx.talks.get((self.host.enterprise, self.host.name, extension), [])

    def ringing(self, extension: Extension) -> list[Ringing]:
        raise AssertionError

    def parked(self) -> list[Parked]:
        raise AssertionError

    def fate(self, channel: Uniqueid) -> Fate:
        raise AssertionError


def transferor(pbx: Pbx) -> Transferor:
    return Transferor(pbx.send, pbx.see, OneAtATime())


def talking(*conversations: Conversation, host: str = "pbx1", enterprise: str = "0123") -> Pbx:
    return Pbx(talks={(enterprise, host, "101"): list(conversations)})


def asks(step: Step = Step.BLIND, to: str = "102", from_: str = "101", call: str | None = None) -> Asked:
    return Asked(step, from_, to if step.has_target else "", call)


def dialling(how: Dialling) -> Enterprise:
    one = shop()
    return replace(one, hosts=(replace(one.hosts[0], originate_number=how),))


@pytest.mark.parametrize(
    ("step", "before", "after", "action"),
    [
        (Step.BLIND, TALKS, None, ("BlindTransfer", {"Channel": "1.2", "Context": "from-internal", "Exten": "102"})),
        (Step.ATTENDED, TALKS, ASKS, ("Atxfer", {"Channel": "1.2", "Context": "from-internal", "Exten": "102"})),
        (Step.COMPLETE, ASKS, None, ("Hangup", {"Channel": "1.2"})),
        (Step.CANCEL, ASKS, TALKS, ("CancelAtxfer", {"Channel": "1.2"})),
    ],
)
async def test_each_step_is_one_action(
    step: Step, before: Conversation, after: Conversation | None, action: tuple[str, dict[str, str]]
) -> None:
    pbx = talking(before)
    pbx.then = None if after is None else [after]
    done = await transferor(pbx).transfer(shop(), asks(step))
    [(enterprise, host, sent)] = pbx.asked
    assert (enterprise, host, sent.name, dict(sent.headers)) == ("0123", "pbx1", *action)
    assert (done.call, done.host, done.to) == ("pbx1:1.1", "10.0.0.5", "102" if step.has_target else "")


@pytest.mark.parametrize(
    ("how", "to", "dialled"),
    [
        (Dialling.NATIONAL, "+375291234567", "80291234567"), (Dialling.DIGITS, "8 (029) 123-45-67", "375291234567"),
        (Dialling.AS_GIVEN, " 375291234567", "375291234567"), (Dialling.E164, "102", "102"),
    ],
)  # fmt: skip
async def test_numbers_are_dialled_as_a_click_dials_them(how: Dialling, to: str, dialled: str) -> None:
    pbx = talking(TALKS)
    done = await transferor(pbx).transfer(dialling(how), asks(to=to))
    assert (done.to, pbx.headers["Exten"]) == (dialled, [dialled])


@pytest.mark.parametrize(
    ("conversations", "asked", "why"),
    [
        ([], asks(), Why.NO_CALL),
        ([TALKS], asks(call="pbx1:9.9"), Why.NO_CALL),
        ([TALKS], asks(from_="103"), Why.NO_CALL),
        ([TALKS, OTHER], asks(), Why.SEVERAL),
        ([ASKS], asks(), Why.CONSULTING),
        ([ASKS], asks(Step.ATTENDED), Why.CONSULTING),
        ([TALKS], asks(Step.COMPLETE), Why.NOT_CONSULTING),
        ([TALKS], asks(Step.CANCEL), Why.NOT_CONSULTING),
        ([TALKS], asks(to="101"), Why.TO_HIMSELF),
        ([TALKS], asks(Step.ATTENDED, to="+375291234567"), Why.NOT_KEYS),
    ],
)
async def test_what_cannot_be_is_refused(conversations: list[Conversation], asked: Asked, why: Why) -> None:
    pbx = talking(*conversations)
    with pytest.raises(TransferRefused) as refused:
        await transferor(pbx).transfer(shop(), asked)
    assert (refused.value.why, pbx.asked) == (why, [])


@pytest.mark.parametrize(
    "text", ["", "102&103", "102\r\nAction: Hangup", "102\0", "${EXTEN}", "102@ivr", "*8102", "8" * 4096, "PJSIP/102"]
)
async def test_what_is_no_extension_and_no_number_is_refused(text: str) -> None:
    pbx = talking(TALKS)
    for asked in (asks(to=text), asks(from_=text)):
        with pytest.raises(ClickRefused):
            await transferor(pbx).transfer(shop(), asked)
    assert pbx.asked == []


async def test_of_several_conversations_the_one_that_is_named_is_meant() -> None:
    pbx = talking(TALKS, OTHER)
    done = await transferor(pbx).transfer(shop(), asks(call="pbx1:2.1"))
    assert (done.call, pbx.headers["Channel"]) == ("pbx1:2.1", ["2.2"])


async def test_the_calls_of_others_are_not_looked_at() -> None:
    pbx = talking(TALKS, enterprise="0124")
    with pytest.raises(TransferRefused) as refused:
        await transferor(pbx).transfer(shop("0123"), asks())
    assert refused.value.why is Why.NO_CALL
    await transferor(pbx).transfer(shop("0124"), asks())
    assert [who for who, _, _ in pbx.asked] == ["0124"]


async def test_the_host_is_the_one_where_he_talks_and_one_that_is_away_is_not_nobody() -> None:
    pbx = talking(TALKS, host="pbx2")
    await transferor(pbx).transfer(shop("0123", "pbx1", "pbx2"), asks())
    assert [host for _, host, _ in pbx.asked] == ["pbx2"]
    pbx.down = {"pbx2"}
    with pytest.raises(TransferFailed, match="pbx2: it is away"):
        await transferor(pbx).transfer(shop("0123", "pbx1", "pbx2"), asks())


async def test_who_asks_again_meanwhile_gets_the_same_and_for_something_else_must_wait() -> None:
    pbx = talking(TALKS)
    hands = transferor(pbx)
    one, two, other, colleague = await asyncio.gather(
        hands.transfer(shop(), asks()),
        hands.transfer(shop(), asks()),
        hands.transfer(shop(), asks(to="103")),
        hands.transfer(shop("0124"), asks()),
        return_exceptions=True,
    )
    assert one is two
    assert len(pbx.asked) == 1
    assert [getattr(refused, "why", None) for refused in (other, colleague)] == [Why.BUSY, Why.NO_CALL]
    await hands.transfer(shop(), asks(to="103"))
    assert len(pbx.asked) == 2


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (ActionRefused("Permission denied"), "`write` of the AMI account needs call"),
        (ActionRefused("Transfer failed"), None),
        (ActionRefused("Invalid/unknown command: CancelAtxfer."), None),
        (LinkLost("it fell silent"), None),
    ],
)
async def test_what_the_pbx_says_is_told_and_logged(error: AmiError, advice: str | None) -> None:
    pbx = talking(TALKS)
    pbx.fails = error
    with capture_logs() as lines, pytest.raises(TransferFailed, match=f"^pbx1: {error}$"):
        await transferor(pbx).transfer(shop(), asks(to="375291234567"))
    [line] = lines
    assert (line["event"], line.get("advice")) == ("transfer_not_made", advice)
    assert "291234567" not in str(line)


async def test_keys_that_nobody_hears_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "HEARD_WITHIN", timedelta(milliseconds=50))
    pbx = talking(TALKS)
    with pytest.raises(TransferFailed, match="nothing came of it"):
        await transferor(pbx).transfer(shop(), asks(Step.ATTENDED))
