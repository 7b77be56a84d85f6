"""Whose phone rings to hear whom: from what the board says to the one action, and everything that becomes none."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest
from structlog.testing import capture_logs

from amibridge.ami.errors import ActionRefused, ActionUnanswered, AmiError, HostUnreachable, LinkLost
from amibridge.ami.events import Uniqueid, click_of, is_supervision
from amibridge.calls.clicks import ClickRefused
from amibridge.calls.conversations import Conversation
from amibridge.calls.monitoring import EVERY, Mode, MonitoringFailed, MonitoringRefused, Wanted, Why
from amibridge.calls.record import CallId, Extension
from amibridge.enterprises import AmiHost, Enterprise
from amibridge.runtime.monitoring import Monitoring
from tests.runtime.placing import PaperPbx, shop

TALKS = Conversation(CallId("pbx1:1.1"), Uniqueid("1.2"), "PJSIP/101-00000001", False, True)
OTHER = Conversation(CallId("pbx1:2.1"), Uniqueid("2.2"), "PJSIP/101-00000002", False, True)


@dataclass
class Pbx(PaperPbx):
    """*talks*: what each extension of a host is in. *listening*: who listens in."""

    talks: dict[tuple[str, str, str], list[Conversation]] = field(default_factory=dict)
    listening: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()

    def see(self, host: AmiHost) -> Seen:
        if host.name in self.down:
            raise HostUnreachable("it is away")
        return Seen(self, host)

    @property
    def monitoring(self) -> Monitoring:
        return Monitoring(self.send, self.see)


@dataclass
class Seen:
    """What *pbx* shows of *host*."""

    pbx: Pbx
    host: AmiHost

    def conversations(self, extension: Extension) -> list[Conversation]:
        return self.pbx.talks.get((self.host.enterprise, self.host.name, extension), [])

    def listens_in(self, extension: Extension) -> bool:
        return extension in self.pbx.listening


def talking(*conversations: Conversation, host: str = "pbx1", enterprise: str = "0123") -> Pbx:
    return Pbx(talks={(enterprise, host, "101"): list(conversations)})


def wants(mode: Mode = Mode.LISTEN, target: str = "101", from_: str = "100", call: str | None = None) -> Wanted:
    return Wanted(mode, target, from_, call)


def only(*extensions: str) -> Enterprise:
    return replace(shop(), supervisors=tuple(map(Extension, extensions)))


@pytest.mark.parametrize(
    ("mode", "options", "name"),
    [
        (Mode.LISTEN, EVERY, "Прослушивание"),
        (Mode.WHISPER, EVERY + "w", "Подсказка оператору"),
        (Mode.BARGE, EVERY + "B", "Вмешательство в разговор"),
    ],
)
async def test_one_action_on_that_very_channel(mode: Mode, options: str, name: str) -> None:
    pbx = talking(TALKS)
    begun = await pbx.monitoring.begin(shop(), wants(mode))
    assert (begun.call, begun.channel, begun.target, begun.from_) == ("pbx1:1.1", "PJSIP/101-00000001", "101", "100")
    [uniqueid] = pbx.headers["ChannelId"]
    assert (is_supervision(uniqueid), is_supervision(f"{uniqueid}2"), click_of(uniqueid)) == (True, False, None)
    assert pbx.headers == {
        "ActionID": [f"amibridge-{uniqueid}"],
        "Channel": [shop().hosts[0].originate_channel.replace("{extension}", "100")],
        "ChannelId": [uniqueid],
        "OtherChannelId": [f"{uniqueid}2"],
        "Application": ["ChanSpy"],
        "Data": [f"1.2,{options}"],
        "Timeout": ["30000"],
        "Async": ["true"],
        "Variable": ["CALLERID(num)=100", "CONNECTEDLINE(num,i)=101", f"CONNECTEDLINE(name,i)={name}"],
    }


def test_the_options_keep_to_one_channel_and_end_with_it() -> None:
    for mode in Mode:
        assert set("uqES") <= set(mode.options)
        assert "d" not in mode.options  # or a key would make a listener heard


@pytest.mark.parametrize(
    ("pbx", "wanted", "why"),
    [
        (talking(), wants(), Why.NO_CALL),
        (talking(TALKS), wants(call="pbx1:9.9"), Why.NO_CALL),
        (talking(TALKS), wants(target="102"), Why.NO_CALL),
        (talking(TALKS, OTHER), wants(), Why.SEVERAL),
        (talking(TALKS), wants(from_="101"), Why.HIMSELF),
        (talking(replace(TALKS, of_two=False)), wants(Mode.BARGE), Why.NOT_TWO),
    ],
)
async def test_what_cannot_be_is_refused(pbx: Pbx, wanted: Wanted, why: Why) -> None:
    with pytest.raises(MonitoringRefused) as refused:
        await pbx.monitoring.begin(shop(), wanted)
    assert (refused.value.why, pbx.asked) == (why, [])


async def test_who_talks_there_himself_or_listens_already_is_refused() -> None:
    pbx = talking(TALKS)
    pbx.talks["0123", "pbx1", "100"] = [replace(OTHER, call=TALKS.call)]
    with pytest.raises(MonitoringRefused) as refused:
        await pbx.monitoring.begin(shop(), wants())
    assert refused.value.why is Why.IN_THAT_CALL
    pbx.talks["0123", "pbx1", "100"] = [OTHER]  # of another call he is free to let go
    pbx.listening = {"100"}
    with pytest.raises(MonitoringRefused) as refused:
        await pbx.monitoring.begin(shop(), wants())
    assert (refused.value.why, pbx.asked) == (Why.LISTENS_ALREADY, [])
    pbx.listening = set()
    await pbx.monitoring.begin(shop(), wants())


async def test_where_extensions_are_named_nobody_elses_phone_listens() -> None:
    pbx = talking(TALKS)
    for from_ in ("102", "10", "1000", "999"):
        with pytest.raises((MonitoringRefused, ClickRefused)):
            await pbx.monitoring.begin(only("100"), wants(from_=from_))
    assert pbx.asked == []
    await pbx.monitoring.begin(only("100", "103"), wants())
    await pbx.monitoring.begin(only("100", "103"), wants(from_="103"))
    assert len(pbx.asked) == 2


@pytest.mark.parametrize(
    "text",
    ["", "101&102", "101\r\nAction: Hangup", "101\0", "${EXTEN}", "101@ivr", "101,bqw", "all", "1" * 4096, "PJSIP/101"],
)
async def test_what_is_no_extension_is_refused(text: str) -> None:
    pbx = talking(TALKS)
    for wanted in (wants(target=text), wants(from_=text)):
        with pytest.raises(ClickRefused):
            await pbx.monitoring.begin(shop(), wanted)
    assert pbx.asked == []


async def test_of_several_conversations_the_one_that_is_named_is_meant() -> None:
    pbx = talking(TALKS, OTHER)
    begun = await pbx.monitoring.begin(shop(), wants(call="pbx1:2.1"))
    assert (begun.call, pbx.headers["Data"]) == ("pbx1:2.1", [f"2.2,{EVERY}"])


async def test_the_calls_of_others_are_not_heard() -> None:
    pbx = talking(TALKS, enterprise="0124")
    with pytest.raises(MonitoringRefused) as refused:
        await pbx.monitoring.begin(shop("0123"), wants())
    assert refused.value.why is Why.NO_CALL
    await pbx.monitoring.begin(shop("0124"), wants())
    assert [who for who, _, _ in pbx.asked] == ["0124"]


async def test_the_phone_rings_where_the_operator_talks_and_one_that_is_away_is_not_nobody() -> None:
    pbx = talking(TALKS, host="pbx2")
    await pbx.monitoring.begin(shop("0123", "pbx1", "pbx2"), wants())
    assert [host for _, host, _ in pbx.asked] == ["pbx2"]
    pbx.down = {"pbx2"}
    with pytest.raises(MonitoringFailed, match="pbx2: it is away"):
        await pbx.monitoring.begin(shop("0123", "pbx1", "pbx2"), wants(Mode.BARGE))


async def test_twice_is_once_and_another_wish_is_another() -> None:
    pbx = talking(TALKS)
    monitoring = pbx.monitoring
    one, two = await asyncio.gather(monitoring.begin(shop(), wants()), monitoring.begin(shop(), wants()))
    assert one is two
    assert await monitoring.begin(shop(), wants()) is one
    assert len(pbx.asked) == 1
    await monitoring.begin(shop(), wants(Mode.BARGE))
    await monitoring.begin(shop(), wants(from_="102"))
    assert len(pbx.asked) == 3


@pytest.mark.parametrize(
    ("error", "advice", "again"),
    [
        (ActionRefused("Permission denied"), "`write` of the AMI account needs originate", True),
        (ActionRefused("Channel not specified"), None, True),
        (LinkLost("it fell silent"), None, False),
        (ActionUnanswered("no answer"), None, False),
    ],
)
async def test_what_the_pbx_says_is_told_and_logged(error: AmiError, advice: str | None, again: bool) -> None:
    """*again*: nothing can have come of it, so the same may be asked at once."""
    pbx = talking(TALKS)
    pbx.fails, monitoring = error, pbx.monitoring
    with capture_logs() as lines:
        for _ in range(2):
            with pytest.raises(MonitoringFailed, match=f"^pbx1: {error}$"):
                await monitoring.begin(shop(), wants())
    assert len(pbx.asked) == len(lines) == (2 if again else 1)
    assert {(line["event"], line.get("advice"), line["supervisor"]) for line in lines} == {
        ("monitoring_not_begun", advice, "100")
    }
