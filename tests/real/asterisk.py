"""A private Asterisk: its own folders, its own loopback network, no root, nothing of the system's."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.real.sip import write

ETC = Path(__file__).parent / "etc"

BOOTS_WITHIN = 30.0
"""Seconds. Measured: below one on an idle machine."""

WELL_WITHIN = 5.0
"""Seconds, each for both doors."""

PEOPLE = {"101": "Анна", "102": "Борис", "103": "Вера", "104": "Глеб"}
NEVER_THERE = "109"
"""An extension that exists and whose phone is not plugged in."""

TRUNK = "trunk"
GATEWAY = "901"
"""A line that somebody set up as if it were an extension."""

OTHERS = {"anna": (110, "Анна <111>"), "vera": (111, None), "200101": (112, "200101"), GATEWAY: (113, None)}
"""Phones whose names are no short extension, and the gateway: the last number of their address, and the caller ID that
they are configured with. All stand where phones stand."""

WITHOUT_DIALPLAN = (
    "FullyBooted", "Shutdown", "Newchannel", "Newstate", "NewCallerid", "NewConnectedLine", "DialBegin", "DialEnd",
    "BridgeEnter", "BridgeLeave", "Hangup", "QueueCallerJoin", "QueueCallerLeave", "QueueCallerAbandon",
    "BlindTransfer", "AttendedTransfer", "Pickup", "ParkedCall", "UnParkedCall", "OriginateResponse",
)  # fmt: skip
"""A whitelist as short as an administrator in a hurry makes it: no VarSet, no HangupRequest. Each ends in a
non-letter, for ``Event: Hangup`` alone lets HangupRequest through."""

ACCOUNTS = {
    "amibridge": "read=system,call,agent,dialplan\nwrite=system,call,originate,reporting\n",
    "all": "read=all\nwrite=call,reporting\n",
    "classes": "read=system,call,agent,user,cdr\nwrite=call,reporting\n",
    "minimal": "read=system,call,agent\nwrite=call,reporting\n"
    + "".join(f"eventfilter=Event: {name}[^A-Za-z]\n" for name in WITHOUT_DIALPLAN),
}
"""What each account may hear and do, as in manager.conf. Only the first may set our filter."""


BRIDGE = "bridge"
BRIDGE_MAY = "read=system,call,agent,dialplan\nwrite=system,reporting,originate,call\n"
"""The account of the manual, for a bridge beside the listeners."""

HEARS = "hears"
HEARS_ONLY = "read=system,call,agent,dialplan\nwrite=system,reporting\n"
"""One that may neither call nor transfer."""

RINGS = "rings"
RINGS_ONLY = "read=system,call,agent,dialplan\nwrite=originate,reporting\n"
"""One that may call, and nothing that is dangerous."""


class Driver(StrEnum):
    PJSIP = "PJSIP"
    SIP = "SIP"


@dataclass(frozen=True)
class Package:
    """Where an unpacked Asterisk lies. *root*: what would be ``/``."""

    root: Path
    version: int

    @property
    def libraries(self) -> Path:
        return next(self.root.glob("usr/lib/*-linux-gnu/ld-linux-*.so.*")).parent

    def command(self, configuration: Path, *options: str) -> list[str]:
        """Run with the loader and the C library it was built for; those of this machine do not matter."""
        loader = next(self.libraries.glob("ld-linux-*.so.*"))
        paths = f"{self.libraries}:{self.root / 'usr/lib'}"
        asterisk = self.root / "usr/sbin/asterisk"
        return [str(loader), "--library-path", paths, str(asterisk), "-C", str(configuration), *options]

    @property
    def modules(self) -> Path:
        return next(
            folder for lib in (self.libraries, self.root / "usr/lib") if (folder := lib / "asterisk/modules").exists()
        )


class Asterisk:
    """One that runs in *home*, with addresses of a network of its own: 127.0.N.1, and 127.0.N.x for its phones."""

    def __init__(self, package: Package, driver: Driver, home: Path, network: int) -> None:
        self.package = package
        self.driver = driver
        self.home = home
        self.network = network
        self.process: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> str:
        return f"127.0.{self.network}.1"

    @property
    def sip(self) -> tuple[str, int]:
        return self.address, 5060

    @property
    def monitor(self) -> Path:
        """Where MixMonitor writes."""
        return self.home / "spool/monitor"

    @property
    def ami(self) -> tuple[str, int]:
        return self.address, 5038

    @property
    def bridge(self) -> Mapping[str, tuple[str, int]]:
        """Where the dialplan asks the bridge, by the name of a global."""
        return {"BRIDGE": (self.address, 8019), "BRIDGE_AGI": (self.address, 4573)}

    def phone_address(self, name: str) -> tuple[str, int]:
        last = 200 if name == TRUNK else OTHERS[name][0] if name in OTHERS else name
        return f"127.0.{self.network}.{last}", 5060

    async def start(self) -> None:
        """Until it has fully booted."""
        self._configure()
        with (self.home / "output").open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *self.package.command(self.home / "etc/asterisk.conf", "-f", "-n"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.home,
                env={"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8"},
            )
        try:
            async with asyncio.timeout(BOOTS_WITHIN):
                while not await self._has_booted():
                    assert self.process.returncode is None, self.said()
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"Asterisk does not boot:\n{self.said()}") from None

    async def stop(self) -> None:
        """As ``systemctl stop`` does."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """As a crash."""
        await self._end(signal.SIGKILL)

    async def cli(self, command: str) -> None:
        """As an administrator types it."""
        asked = await asyncio.create_subprocess_exec(
            *self.package.command(self.home / "etc/asterisk.conf", "-rx", command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await asked.wait()

    async def is_gone(self) -> None:
        """Its process has ended by itself."""
        assert self.process is not None
        await asyncio.wait_for(self.process.wait(), 10)

    def lacks(self, module: str) -> bool:
        """Whether it could not load *module*, for want of a library that fits on this machine."""
        return f"Error loading module '{module}'" in (self.home / "log/messages").read_text("utf-8", "replace")

    async def is_well(self) -> bool:
        """It answers at both its doors, and carries no call any more."""
        try:
            async with asyncio.timeout(WELL_WITHIN):
                while not await self._is_idle():
                    await asyncio.sleep(0.05)
                return await asyncio.to_thread(self._answers_sip)
        except TimeoutError:
            return False

    def said(self) -> str:
        log = self.home / "log/messages"
        return (log if log.exists() else self.home / "output").read_text("utf-8", "replace")[-3000:]

    async def _end(self, number: signal.Signals) -> None:
        if self.process is None or self.process.returncode is not None:
            return
        self.process.send_signal(number)
        try:
            async with asyncio.timeout(10):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()

    async def _has_booted(self) -> bool:
        """FullyBooted is the first event of an account that may hear it."""
        try:
            reader, writer = await asyncio.open_connection(*self.ami)
        except OSError:
            return False
        try:
            writer.write(b"Action: Login\r\nUsername: all\r\nSecret: secret\r\n\r\n")
            async with asyncio.timeout(5):
                return b"Event: FullyBooted" in await reader.readuntil(b"Event: FullyBooted")
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
            return False
        finally:
            writer.close()

    async def _is_idle(self) -> bool:
        """No channel lives."""
        try:
            reader, writer = await asyncio.open_connection(*self.ami)
        except OSError:
            return False
        try:
            writer.write(b"Action: Login\r\nUsername: all\r\nSecret: secret\r\nEvents: off\r\n\r\n")
            writer.write(b"Action: CoreShowChannels\r\n\r\n")
            await reader.readuntil(b"Event: CoreShowChannelsComplete")
            return b"ListItems: 0\r\n" in await reader.readuntil(b"\r\n\r\n")
        except (ConnectionError, asyncio.IncompleteReadError):
            return False
        finally:
            writer.close()

    def _answers_sip(self) -> bool:
        """Whatever it answers to a stranger."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(WELL_WITHIN)
            sock.bind((f"127.0.{self.network}.253", 5060))
            place, who = f"127.0.{self.network}.253:5060", f"<sip:who@{self.address}>"
            headers = [("Via", f"SIP/2.0/UDP {place};branch=z9hG4bKwell;rport"), ("Max-Forwards", "70")]
            headers += [("From", f"{who};tag=well"), ("To", who), ("Contact", f"<sip:who@{place}>")]
            headers += [("Call-ID", f"well-{time.monotonic_ns()}"), ("CSeq", "1 OPTIONS"), ("Content-Length", "0")]
            sock.sendto(write(f"OPTIONS sip:who@{self.address} SIP/2.0", headers), self.sip)
            try:
                return sock.recv(4096).startswith(b"SIP/2.0 ")
            except TimeoutError:
                return False

    def _configure(self) -> None:
        folders = ("etc", "var", "keys", "agi", "spool/monitor", "spool/voicemail/default/101/INBOX", "run", "log")
        for folder in folders:
            (self.home / folder).mkdir(parents=True, exist_ok=True)
        for file in ETC.iterdir():
            self._write(file.name, file.read_text("utf-8").replace("@PHONE@", self.driver))
        self._write("asterisk.conf", self._asterisk_conf())
        self._write("manager.conf", self._manager_conf())
        plan = (ETC / "extensions.conf").read_text("utf-8") + f"\n[globals]\nPHONE={self.driver}\n"
        plan += "".join(f"{name}={':'.join(map(str, where))}\n" for name, where in self.bridge.items())
        for variable, name in (("LINE", TRUNK), ("GATEWAY", GATEWAY)):
            before, after = ("PJSIP/", f"@{name}") if self.driver is Driver.PJSIP else (f"SIP/{name}/", "")
            plan += f"{variable}={before}\n{variable}_END={after}\n"
        self._write("extensions.conf", plan)
        if self.driver is Driver.PJSIP:
            self._write("pjsip.conf", self._pjsip_conf())
        else:
            self._write("sip.conf", self._sip_conf())

    def _write(self, name: str, text: str) -> None:
        (self.home / "etc" / name).write_text(text, encoding="utf-8")

    def _asterisk_conf(self) -> str:
        lines = {
            "astetcdir": self.home / "etc",
            "astmoddir": self.package.modules,
            "astvarlibdir": self.home / "var",
            "astdbdir": self.home / "var",
            "astkeydir": self.home / "keys",
            "astdatadir": self.package.root / "usr/share/asterisk",
            "astagidir": self.home / "agi",
            "astspooldir": self.home / "spool",
            "astrundir": self.home / "run",
            "astlogdir": self.home / "log",
        }
        return "[directories]\n" + "".join(f"{name} => {folder}\n" for name, folder in lines.items())

    def _manager_conf(self) -> str:
        general = f"[general]\nenabled=yes\nport=5038\nbindaddr={self.address}\ntimestampevents=yes\n"
        accounts = ACCOUNTS | {BRIDGE: BRIDGE_MAY, HEARS: HEARS_ONLY, RINGS: RINGS_ONLY}
        return general + "".join(f"[{name}]\nsecret=secret\n{may}\n" for name, may in accounts.items())

    def _pjsip_conf(self) -> str:
        text = (
            "[global]\ntype=global\nendpoint_identifier_order=ip,username\n"
            f"[udp]\ntype=transport\nprotocol=udp\nbind={self.address}:5060\n"
            "[endpoint](!)\ntype=endpoint\ndisallow=all\nallow=ulaw\ndirect_media=no\ndtmf_mode=info\n"
            "trust_id_inbound=yes\nsend_pai=no\n"
        )
        for name in (*PEOPLE, *OTHERS, TRUNK):
            address = ":".join(map(str, self.phone_address(name)))
            context = "from-trunk" if name == TRUNK else "from-internal"
            text += f"[{name}](endpoint)\ncontext={context}\naors={name}\n"
            if (caller_id := OTHERS.get(name, (0, None))[1]) is not None:
                text += f"callerid={caller_id}\n"
            if name in PEOPLE:
                text += f'callerid="{PEOPLE[name]}" <{name}>\ncall_group=1\npickup_group=1\n'
            text += f"[{name}]\ntype=aor\ncontact=sip:{name}@{address}\n"
            text += f"[{name}]\ntype=identify\nendpoint={name}\nmatch={address.partition(':')[0]}\n"
        return (
            text
            + f"[{NEVER_THERE}](endpoint)\ncontext=from-internal\naors={NEVER_THERE}\n"
            + (f"[{NEVER_THERE}]\ntype=aor\nmax_contacts=1\n")
        )

    def _sip_conf(self) -> str:
        text = (
            f"[general]\nudpbindaddr={self.address}:5060\ntcpenable=no\nallowguest=no\nsrvlookup=no\n"
            "trustrpid=yes\nsendrpid=no\nalwaysauthreject=no\n"
            "[phone](!)\ntype=peer\ninsecure=port,invite\ndisallow=all\nallow=ulaw\ndirectmedia=no\ndtmfmode=info\n"
            "qualify=no\ntransport=udp\n"
        )
        for name in (*PEOPLE, *OTHERS, TRUNK):
            context = "from-trunk" if name == TRUNK else "from-internal"
            text += f"[{name}](phone)\ncontext={context}\nhost={self.phone_address(name)[0]}\nport=5060\n"
            if (caller_id := OTHERS.get(name, (0, None))[1]) is not None:
                text += f"callerid={caller_id}\n"
            if name in PEOPLE:
                text += f'callerid="{PEOPLE[name]}" <{name}>\ncallgroup=1\npickupgroup=1\n'
        return text + f"[{NEVER_THERE}](phone)\ncontext=from-internal\nhost=dynamic\n"


@contextlib.contextmanager
def free_network() -> Iterator[int]:
    """An N whose 127.0.N.x are ours while we keep one of its addresses: many look for one at the same time."""
    start = 32 + os.getpid() % 200
    for number in itertools.islice(_numbers_from(start), 200):
        with contextlib.ExitStack() as taken:
            ours, pbx = (taken.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2))
            try:
                ours.bind((f"127.0.{number}.254", 5060))
                pbx.bind((f"127.0.{number}.1", 5060))
            except OSError:
                continue
            pbx.close()
            yield number
            return
    raise AssertionError("every loopback network is taken")


def _numbers_from(start: int) -> Iterator[int]:
    return (32 + (start - 32 + step) % 200 for step in itertools.count())


def version_of(banner: str) -> int:
    """16 or 22, from ``Asterisk 22.10.1~dfsg``."""
    found = re.search(r"Asterisk (\d+)", banner)
    assert found is not None, banner
    return int(found[1])
